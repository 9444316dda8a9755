"""The objective and its Gauss-Newton step against other optimisers and derivatives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from engine_cases import objective, textured

from napari_swig_qmri.posterior import bounded, signal_and_slope
from napari_swig_qmri.quantities import QUANTITIES
from napari_swig_qmri.signal_models import SEQUENCES


@pytest.fixture
def posterior():
    return objective((8, 8, 6))[0]


def gradient(posterior, log_maps):
    log_maps = log_maps.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(posterior(log_maps), log_maps)
    return slope


def test_its_three_terms_are_those_of_the_equation(posterior):
    log_maps = posterior.prior_mean + 0.01
    maps = log_maps.exp()
    guide = sum(
        precision.item() * (sequence(*maps) - image).square().sum()
        for sequence, image, precision in zip(
            posterior.sequences, posterior.guides, posterior.guide_precision, strict=True
        )
    )
    lr = ((posterior.lr_maps - posterior.truncate(maps)) / posterior.lr_variance.sqrt()).square().sum()
    prior = 0.01**2 * posterior.prior_precision.sum() * maps[0].numel()
    torch.testing.assert_close(posterior(log_maps), guide + lr + prior)
    torch.testing.assert_close(posterior.lr_residual(log_maps), posterior.lr_maps - posterior.truncate(maps))


def test_gradcheck():
    small = objective((4, 4, 2))[0]
    assert torch.autograd.gradcheck(small, (small.prior_mean.clone().requires_grad_(),), rtol=1e-5, atol=1e-2)


def test_a_step_lowers_the_objective(posterior):
    log_maps = posterior.prior_mean
    for _ in range(3):
        stepped = posterior.gauss_newton_step(log_maps)
        assert posterior(stepped) < posterior(log_maps)
        log_maps = stepped


def test_steps_end_where_lbfgs_ends(posterior):
    log_maps = posterior.prior_mean
    for _ in range(30):
        log_maps = posterior.gauss_newton_step(log_maps, n_iterations=30)
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
    assert gradient(posterior, log_maps).norm() < 1e-6 * start
    assert gradient(posterior, other).norm() < 1e-6 * start
    torch.testing.assert_close(log_maps, other.detach(), rtol=0, atol=1e-6)


def test_few_inner_iterations_are_enough(posterior):
    """The default number ends at the same place as many: their error shrinks from step to step."""
    few = many = posterior.prior_mean
    for _ in range(6):
        few, many = posterior.gauss_newton_step(few), posterior.gauss_newton_step(many, n_iterations=40)
    torch.testing.assert_close(few, many, rtol=0, atol=1e-3)


def test_the_step_leaves_its_start_alone(posterior):
    start = posterior.prior_mean.clone()
    posterior.gauss_newton_step(posterior.prior_mean)
    assert torch.equal(start, posterior.prior_mean)


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
    assert torch.isfinite(empty.gauss_newton_step(log_maps)).all()


def test_without_guides_and_far_from_the_lr_maps_it_stays_inside_the_bounds(posterior):
    wild = replace(posterior, lr_maps=50 * posterior.lr_maps, prior_precision=1e-3 * posterior.prior_precision)
    log_maps = posterior.prior_mean
    for _ in range(5):
        log_maps = wild.gauss_newton_step(log_maps)
        for log_map, quantity in zip(log_maps.exp(), QUANTITIES.values(), strict=True):
            low, high = quantity.bounds
            assert low * (1 - 1e-9) <= log_map.min() <= log_map.max() <= high * (1 + 1e-9)


def test_no_guides_leave_prior_and_lr_maps():
    posterior = objective((6, 6, 4), n_guides=0)[0]
    log_maps = posterior.prior_mean
    for _ in range(4):
        log_maps = posterior.gauss_newton_step(log_maps, n_iterations=40)
    start = gradient(posterior, posterior.prior_mean + 0.1).norm()
    assert gradient(posterior, log_maps).norm() < 1e-6 * start


def test_bounded_clamps_each_quantity_to_its_own_bounds():
    for value in (-100.0, 100.0):
        clamped = bounded(torch.full((3, 2, 2, 2), value, dtype=torch.float64)).exp()
        for volume, quantity in zip(clamped, QUANTITIES.values(), strict=True):
            expected = quantity.bounds[int(value > 0)]
            torch.testing.assert_close(volume, torch.full_like(volume, expected))


@pytest.mark.parametrize("name", SEQUENCES)
def test_signal_and_slope_against_differences(name):
    sequence = SEQUENCES[name].from_typical()
    maps = torch.as_tensor(textured((4, 3, 2)))
    signal, slope = signal_and_slope(sequence, maps)
    torch.testing.assert_close(signal, sequence(*maps))
    step = 1e-5
    for i in range(3):
        up, down = maps.clone(), maps.clone()
        up[i] *= math.exp(step)
        down[i] *= math.exp(-step)
        difference = (sequence(*up) - sequence(*down)) / (2 * step)
        torch.testing.assert_close(slope[i], difference, rtol=1e-6, atol=1e-9)


def test_a_block_is_the_objective_with_its_surroundings_held(posterior):
    """Changes inside a block change both objectives by the same amount, when the block sees all LR voxels."""
    hr, lr = (slice(0, 5), slice(2, 8), slice(0, 6)), (slice(0, 4), slice(0, 4), slice(0, 3))
    log_maps = posterior.prior_mean
    residual = posterior.lr_residual(log_maps)
    part = posterior.restricted(hr, lr, log_maps, residual, "cpu")
    block = (slice(None), *hr)
    changed = log_maps.clone()
    changed[block] += 0.05 * torch.randn(changed[block].shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(part(changed[block]) - part(log_maps[block]), posterior(changed) - posterior(log_maps))
    torch.testing.assert_close(part.lr_residual(changed[block]), posterior.lr_residual(changed))
