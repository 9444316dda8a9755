"""Gauss-Newton steps against other optimisers; slabs do not show in the result."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_cases import objective

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, gauss_newton_step, refine


@pytest.fixture
def posterior():
    return objective((8, 8, 6))[0]


@pytest.fixture(scope="module")
def box():
    return objective((40, 36, 20), n_guides=2)[0]


def start_of(posterior):
    return Iterate.at(posterior.prior_mean, posterior)


def stepped(posterior, iterate, n_planes=1000, **options):
    return drained(gauss_newton_step(posterior, iterate, n_planes=n_planes, **options))


def refined(posterior, n_planes=1000, n_steps=4):
    return drained(refine(posterior, start_of(posterior), n_steps=n_steps, n_planes=n_planes)).log_maps


def gradient(posterior, log_maps):
    log_maps = log_maps.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(posterior(log_maps), log_maps)
    return slope


def test_a_step_lowers_the_objective(posterior):
    iterate = start_of(posterior)
    for _ in range(3):
        after = stepped(posterior, iterate)
        assert posterior(after.log_maps) < posterior(iterate.log_maps)
        iterate = after


def test_steps_end_where_lbfgs_ends(posterior):
    iterate = start_of(posterior)
    for _ in range(30):
        iterate = stepped(posterior, iterate, n_iterations=30)
    other = posterior.prior_mean.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [other], max_iter=1000, history_size=50, tolerance_grad=1e-4, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        value = posterior(other)
        value.backward()
        return value

    optimiser.step(closure)
    start = gradient(posterior, posterior.prior_mean).norm()
    assert gradient(posterior, iterate.log_maps).norm() < 1e-6 * start
    assert gradient(posterior, other).norm() < 1e-6 * start
    torch.testing.assert_close(iterate.log_maps, other.detach(), rtol=0, atol=1e-6)


def test_multipliers_end_at_the_weighted_lr_residual(posterior):
    """Where the gradient vanishes, v = (Q_lr - D Q) / sigma_lr^2."""
    iterate = start_of(posterior)
    for _ in range(30):
        iterate = stepped(posterior, iterate, n_iterations=30)
    expected = posterior.lr_residual(iterate.log_maps) / posterior.lr_variance
    torch.testing.assert_close(iterate.multipliers, expected, rtol=1e-5, atol=1e-5)


def test_few_inner_iterations_are_enough(posterior):
    """The default number ends at the same place as many, for steps go on from the multipliers of the last."""
    few = many = start_of(posterior)
    for _ in range(4):
        few, many = stepped(posterior, few), stepped(posterior, many, n_iterations=40)
    torch.testing.assert_close(few.log_maps, many.log_maps, rtol=0, atol=1e-3)


def test_the_step_leaves_its_start_alone(posterior):
    start = start_of(posterior)
    log_maps, multipliers = start.log_maps.clone(), start.multipliers.clone()
    stepped(posterior, start)
    assert torch.equal(start.log_maps, log_maps)
    assert torch.equal(start.multipliers, multipliers)


def test_background_has_finite_values_and_gradients(posterior):
    """Air: maps at their lower bounds, guides and LR maps zero."""
    low = torch.tensor([q.bounds[0] for q in QUANTITIES.values()], dtype=torch.float64).log().view(3, 1, 1, 1)
    log_maps = posterior.prior_mean.clone()
    log_maps[:, :4] = low
    guides, lr_maps = posterior.guides.clone(), posterior.lr_maps.clone()
    guides[:, :4], lr_maps[:, :2] = 0, 0
    empty = replace(posterior, guides=guides, lr_maps=lr_maps)
    assert torch.isfinite(empty(log_maps))
    assert torch.isfinite(gradient(empty, log_maps)).all()
    assert torch.isfinite(stepped(empty, Iterate.at(log_maps, empty)).log_maps).all()


def test_far_from_the_lr_maps_it_stays_inside_the_bounds(posterior):
    wild = replace(posterior, lr_maps=50 * posterior.lr_maps, prior_precision=1e-3 * posterior.prior_precision)
    iterate = start_of(wild)
    for _ in range(5):
        iterate = stepped(wild, iterate)
        for log_map, quantity in zip(iterate.log_maps.exp(), QUANTITIES.values(), strict=True):
            low, high = quantity.bounds
            assert low * (1 - 1e-9) <= log_map.min() <= log_map.max() <= high * (1 + 1e-9)


def test_no_guides_leave_prior_and_lr_maps():
    posterior = objective((6, 6, 4), n_guides=0)[0]
    iterate = start_of(posterior)
    for _ in range(4):
        iterate = stepped(posterior, iterate, n_iterations=40)
    start = gradient(posterior, posterior.prior_mean + 0.1).norm()
    assert gradient(posterior, iterate.log_maps).norm() < 1e-6 * start


@pytest.mark.parametrize("n_planes", [1, 7, 39])
def test_slabs_do_not_show_in_the_result(box, n_planes):
    torch.testing.assert_close(refined(box, n_planes, 2), refined(box, n_steps=2), rtol=0, atol=1e-9)


def test_progress_rises_to_one(box):
    fractions = list(refine(box, start_of(box), n_steps=2, n_planes=9))
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1.0


class LimitedModel:
    """A signal model that runs out of memory on more than `limit` planes, and notes the planes of every call."""

    def __init__(self, model, limit):
        self.model, self.limit, self.tried = model, limit, []

    def __call__(self, *maps):
        self.tried.append(len(maps[0]))
        if self.tried[-1] > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(*maps)


def limited(posterior, limit):
    model = LimitedModel(posterior.sequences[0], limit)
    return replace(posterior, sequences=(model, *posterior.sequences[1:])), model.tried


def test_out_of_memory_halves_the_slabs_and_goes_on(box):
    small, tried = limited(box, 12)
    torch.testing.assert_close(refined(small, 40), refined(box), rtol=0, atol=1e-9)
    assert tried[:3] == [40, 20, 10]
    assert max(tried[3:]) == 10


def test_out_of_memory_of_a_single_plane_is_raised(box):
    small, tried = limited(box, 0)
    with pytest.raises(torch.OutOfMemoryError):
        refined(small, 40)
    assert tried == [40, 20, 10, 5, 3, 2, 1]


def test_nothing_exceeds_what_is_highest():
    posterior, _, _ = objective((8, 8, 6), n_guides=2)
    limited = replace(posterior, upper_limits=(0.8, 1.2, 0.08))
    found = drained(refine(limited, Iterate.at(limited.prior_mean, limited), n_steps=2, n_planes=8)).log_maps.exp()
    assert (found.amax((1, 2, 3)) <= torch.tensor([0.8, 1.2, 0.08]) * (1 + 1e-6)).all()
