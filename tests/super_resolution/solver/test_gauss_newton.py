"""Gauss-Newton steps against another optimiser; slabs do not show in the result."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from engine_cases import objective, with_lr_maps

from napari_swig_qmri.data.open_ends import UnseenCovariance, unseen_covariance
from napari_swig_qmri.data.truncation import SeparableOperator
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signals import SingleSignal
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.gauss_newton import MAX_STEP, Iterate, gauss_newton_step, refine
from napari_swig_qmri.super_resolution.solver.observation import Observation

SHAPE = (12, 8, 6)


@cache
def box(n_guides=3):
    return objective(SHAPE, n_guides=n_guides)[0]


def start_of(posterior):
    return Iterate.at(posterior.prior_mean, posterior)


def stepped(posterior, iterate, n_steps=1, n_planes=1000, **options):
    for _ in range(n_steps):
        iterate = drained(gauss_newton_step(posterior, iterate, n_planes=n_planes, **options))
    return iterate


def refined(posterior, n_planes=1000, n_steps=2):
    return drained(refine(posterior, start_of(posterior), n_steps=n_steps, n_planes=n_planes)).log_maps


@cache
def converged(n_guides=3):
    return stepped(box(n_guides), start_of(box(n_guides)), n_steps=12, n_iterations=30)


def gradient(posterior, log_maps):
    log_maps = log_maps.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(posterior(log_maps), log_maps)
    return slope


def test_a_step_lowers_the_posterior():
    iterate = start_of(box())
    for _ in range(3):
        after = stepped(box(), iterate)
        assert box()(after.log_maps) < box()(iterate.log_maps)
        iterate = after


@pytest.mark.parametrize("n_guides", [0, 3])
def test_steps_end_where_the_gradient_vanishes(n_guides):
    """Without guides prior and LR maps remain."""
    start = gradient(box(n_guides), box(n_guides).prior_mean + 0.1).norm()
    assert gradient(box(n_guides), converged(n_guides).log_maps).norm() < 1e-6 * start


def test_what_comes_from_beyond_open_ends_has_a_covariance():
    along = [torch.as_tensor(unseen_covariance(n, n // 2, 2.0, 0.5, (True, True))) for n in SHAPE]
    unseen = UnseenCovariance((along[0], along[1], along[2]), torch.full((3, 3), 1e-3, dtype=torch.float64))
    posterior = replace(box(), lr=replace(box().lr, unseen=unseen))
    found = stepped(posterior, start_of(posterior), n_steps=8, n_iterations=15)
    start = gradient(posterior, posterior.prior_mean + 0.1).norm()
    assert gradient(posterior, found.log_maps).norm() < 1e-5 * start
    assert not torch.allclose(found.log_maps, converged().log_maps, atol=1e-4)


def test_multipliers_end_at_the_weighted_lr_residual():
    """Where the gradient vanishes, v = (Q_lr - D Q) / sigma_lr^2."""
    expected = box().lr_residual(converged().log_maps) / box().lr.variance
    torch.testing.assert_close(converged().multipliers[0], expected, rtol=1e-5, atol=1e-5)


def test_few_inner_iterations_are_enough():
    """The default number ends at the same place as many, for steps go on from the multipliers of the last."""
    few, many = (stepped(box(), start_of(box()), n_steps=4, **options) for options in ({}, {"n_iterations": 40}))
    torch.testing.assert_close(few.log_maps, many.log_maps, rtol=0, atol=1e-3)


def test_the_step_leaves_its_start_alone():
    start = start_of(box())
    log_maps, multipliers = start.log_maps.clone(), start.multipliers[0].clone()
    stepped(box(), start)
    assert torch.equal(start.log_maps, log_maps)
    assert torch.equal(start.multipliers[0], multipliers)


def test_background_has_finite_values_and_gradients():
    """Air: maps at their lower bounds, guides and LR maps zero."""
    low = torch.tensor([q.bounds[0] for q in QUANTITIES.values()], dtype=torch.float64).log().view(3, 1, 1, 1)
    log_maps = box().prior_mean.clone()
    log_maps[:, :4] = low
    guides, lr_maps = box().guides.clone(), box().lr.values.clone()
    guides[:, :4], lr_maps[:, :2] = 0, 0
    empty = with_lr_maps(replace(box(), guides=guides), lr_maps)
    assert torch.isfinite(empty(log_maps))
    assert torch.isfinite(gradient(empty, log_maps)).all()
    assert torch.isfinite(stepped(empty, Iterate.at(log_maps, empty)).log_maps).all()


def test_far_from_the_lr_maps_steps_are_limited_and_end_inside_the_bounds():
    wild = with_lr_maps(replace(box(), prior_precision=1e-3 * box().prior_precision), 50 * box().lr.values)
    iterate, largest = start_of(wild), []
    for _ in range(5):
        before, iterate = iterate, stepped(wild, iterate)
        largest.append(float((iterate.log_maps - before.log_maps).abs().max()))
        for log_map, quantity in zip(iterate.log_maps.exp(), QUANTITIES.values(), strict=True):
            low, high = quantity.bounds
            assert low * (1 - 1e-9) <= log_map.min() <= log_map.max() <= high * (1 + 1e-9)
    assert max(largest) == pytest.approx(MAX_STEP)


def test_nothing_exceeds_the_upper_limits():
    limits = (0.8, 1.2, 0.08)
    maps = refined(replace(box(2), upper_limits=limits)).exp()
    torch.testing.assert_close(maps.amax((1, 2, 3)), torch.tensor(limits, dtype=torch.float64))


@pytest.mark.parametrize("n_planes", [1, 5, 11])
def test_slabs_do_not_show_in_the_result(n_planes):
    torch.testing.assert_close(refined(box(2), n_planes), refined(box(2)), rtol=0, atol=1e-9)


def test_progress_rises_to_one():
    fractions = list(refine(box(2), start_of(box(2)), n_steps=2, n_planes=5))
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1.0


def with_coarse_guide(posterior, operator):
    """The posterior with its last guide as an observation through an operator from the HR grid."""
    values = operator(posterior.guides[-1:])
    coarse = Observation(
        values=values,
        variance=torch.full_like(values, 1 / float(posterior.guide_precision[-1])),
        operator=operator,
        signals=SingleSignal(posterior.sequences[-1]),
    )
    fewer = {name: getattr(posterior, name)[:-1] for name in ("sequences", "guides", "guide_precision")}
    return replace(posterior, **fewer, coarse=(coarse,), coarse_guides=(len(posterior.guides) - 2,))


def identity(shape):
    x, y, z = (torch.eye(n, dtype=torch.float64) for n in shape)
    return SeparableOperator((x, y, z))


def slices_of(factor):
    x, y, z = SHAPE
    thick = torch.eye(z // factor, dtype=torch.float64).repeat_interleave(factor, 1) / factor
    return SeparableOperator((torch.eye(x, dtype=torch.float64), torch.eye(y, dtype=torch.float64), thick))


def test_a_guide_on_the_hr_grid_may_be_an_observation():
    """The dual system then gives what the voxelwise path gives."""
    dual = with_coarse_guide(box(), identity(SHAPE))
    log_maps = stepped(dual, start_of(dual), n_steps=10, n_iterations=60).log_maps
    torch.testing.assert_close(log_maps, converged().log_maps, rtol=0, atol=1e-6)


def test_thick_slices_end_where_the_gradient_vanishes():
    dual = with_coarse_guide(box(), slices_of(3))
    end = stepped(dual, start_of(dual), n_steps=12, n_iterations=40)
    assert gradient(dual, end.log_maps).norm() < 1e-6 * gradient(dual, dual.prior_mean + 0.1).norm()


def test_slabs_do_not_show_where_slices_are_thick():
    x = torch.eye(4, dtype=torch.float64).repeat_interleave(3, 1) / 3  # along the axis that is cut into slabs
    thick = SeparableOperator((x, *identity(SHAPE).matrices[1:]))
    dual = with_coarse_guide(box(), thick)
    torch.testing.assert_close(refined(dual, 5), refined(dual), rtol=0, atol=1e-9)


class LimitedModel:
    """A signal model that runs out of memory on more than `limit` planes, and notes the planes of every call."""

    def __init__(self, model, limit):
        self.model, self.limit, self.tried = model, limit, []

    def __call__(self, *maps):
        self.tried.append(len(maps[0]))
        if self.tried[-1] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(*maps)


def limited(limit):
    model = LimitedModel(box(2).sequences[0], limit)
    return replace(box(2), sequences=(model, *box(2).sequences[1:])), model.tried


def test_out_of_memory_halves_the_slabs_and_goes_on():
    posterior, tried = limited(4)
    torch.testing.assert_close(refined(posterior, 12), refined(box(2)), rtol=0, atol=1e-9)
    assert tried[:3] == [12, 6, 3]
    assert max(tried[3:]) == 3


def test_out_of_memory_of_a_single_plane_is_raised():
    posterior, tried = limited(0)
    with pytest.raises(torch.OutOfMemoryError):
        refined(posterior, 12)
    assert tried == [12, 6, 3, 2, 1]
