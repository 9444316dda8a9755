"""The objective, its derivatives and its restriction to a block."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from engine_cases import objective, textured, with_lr_maps

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.physics.signals import signal_and_slope
from napari_swig_qmri.super_resolution.solver.posterior import LOOSENING, clamp_to_bounds


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
    lr = ((posterior.lr.values - posterior.lr.operator(maps)) / posterior.lr.variance.sqrt()).square().sum()
    prior = 0.01**2 * posterior.prior_precision.sum() * maps[0].numel()
    torch.testing.assert_close(posterior(log_maps), guide + lr + prior)
    torch.testing.assert_close(posterior.lr_residual(log_maps), posterior.lr.values - posterior.lr.operator(maps))


def test_gains_rescale_the_guides_and_their_noise(posterior):
    """f_k - W_k / a over the noise / a is a f_k - W_k over the noise."""
    maps, factors = 1.02 * posterior.prior_mean.exp(), torch.tensor([0.9, 1.0, 1.2], dtype=torch.float64)
    expected = sum(
        (precision * (factor * model(*maps) - image).square()).sum()
        for (model, image, precision), factor in zip(posterior.guide_terms(), factors, strict=True)
    )
    torch.testing.assert_close(posterior.rescaled(factors).guide_term(maps), expected)


def test_the_loosened_posterior_trusts_the_lr_maps_less(posterior):
    """Guide term and prior vanish at the truth as a prior mean."""
    log_maps = posterior.prior_mean
    without = replace(posterior, guide_precision=0 * posterior.guide_precision)
    moved = with_lr_maps(without, 1.1 * without.lr.values)
    torch.testing.assert_close(LOOSENING * moved.loosened()(log_maps), moved(log_maps))


def test_the_linear_model_has_the_curvature_and_the_minimum_of_guide_term_and_prior(posterior):
    """At one voxel, with the Jacobian by automatic differentiation."""
    log_maps, here = posterior.prior_mean + 0.05, (slice(None), 3, 4, 2)
    maps, covariance, step = posterior.linearised(log_maps)
    torch.testing.assert_close(maps, log_maps.exp())

    def signals(log_map):
        return torch.stack([model(*log_map.exp()) for model in posterior.sequences])

    jacobian = torch.autograd.functional.jacobian(signals, log_maps[here])
    precision = posterior.guide_precision.expand_as(posterior.guides)[here]
    hessian = jacobian.T @ torch.diag(precision) @ jacobian + posterior.prior_precision
    torch.testing.assert_close(covariance[:, :, 3, 4, 2], torch.linalg.inv(hessian))
    residual = posterior.guides[here] - signals(log_maps[here])
    prior = posterior.prior_precision @ (posterior.prior_mean - log_maps)[here]
    torch.testing.assert_close(step[here], torch.linalg.solve(hessian, jacobian.T @ (precision * residual) + prior))


def test_gradcheck():
    small = objective((4, 4, 2))[0]
    assert torch.autograd.gradcheck(small, (small.prior_mean.clone().requires_grad_(),), rtol=1e-5, atol=1e-2)


def test_bounded_clamps_each_quantity_to_its_own_bounds():
    for value in (-100.0, 100.0):
        clamped = clamp_to_bounds(torch.full((3, 2, 2, 2), value, dtype=torch.float64)).exp()
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
    residuals = [each.residual(log_maps.exp()) for each in posterior.observations]
    part = posterior.restricted(hr, lr, log_maps, residuals, "cpu")
    block = (slice(None), *hr)
    changed = log_maps.clone()
    changed[block] += 0.05 * torch.randn(changed[block].shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(part(changed[block]) - part(log_maps[block]), posterior(changed) - posterior(log_maps))
    torch.testing.assert_close(part.lr_residual(changed[block]), posterior.lr_residual(changed))
