"""What the network sees: zero where nothing is asked for, the same in every unit, and never infinite."""

from __future__ import annotations

from dataclasses import replace

import torch
from engine_cases import objective, textured

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.features import N_FEATURES, N_LEVELS, make_network_input

SHAPE = (20, 8, 6)
NOISE = torch.tensor([0.01, 0.01, 0.02], dtype=torch.float64)
NOTHING = torch.zeros(())  # was taken out


def test_at_the_truth_guides_and_lr_maps_ask_for_nothing():
    """The prior mean is moved there too."""
    posterior, hr, lr = objective(SHAPE)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    truth = torch.as_tensor(textured(SHAPE)).log()
    features = drained(make_network_input(replace(posterior, prior_mean=truth), truncate, truth, NOTHING, NOISE))
    assert features.volumes.shape == (N_FEATURES, *SHAPE)
    assert features.levels.shape == (N_LEVELS,)
    assert features.volumes[3:6].abs().max() < 1e-6
    assert features.volumes[12:15].abs().max() < 1e-6


def test_steps_point_back_from_a_disturbance():
    posterior, hr, lr = objective(SHAPE)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    truth = torch.as_tensor(textured(SHAPE)).log()
    above = drained(make_network_input(replace(posterior, prior_mean=truth), truncate, truth + 0.02, NOTHING, NOISE))
    assert (above.volumes[3:6] < 0).all()
    assert (above.volumes[12:15].mean((1, 2, 3)) < 0).all()


def test_uncertainty_is_that_of_the_inverse_hessian():
    """The diagonal of the inverse curvature of guides and prior, by automatic differentiation at one voxel."""
    posterior, hr, lr = objective(SHAPE)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    truth = torch.as_tensor(textured(SHAPE)).log()
    features = drained(make_network_input(posterior, truncate, truth, NOTHING, NOISE))
    here = (3, 4, 2)

    def signals(log_map: torch.Tensor) -> torch.Tensor:
        return torch.stack([sequence(*log_map.exp()) for sequence in posterior.sequences])

    jacobian = torch.autograd.functional.jacobian(signals, truth[(slice(None), *here)])
    precision = posterior.guide_precision.expand(-1, *SHAPE)[(slice(None), *here)]
    covariance = torch.linalg.inv(jacobian.T @ torch.diag(precision) @ jacobian + posterior.prior_precision)
    torch.testing.assert_close(features.unit[(slice(None), *here)], covariance.diagonal().sqrt())
    deviation = covariance.diagonal().sqrt()
    correlations = (covariance / deviation / deviation[:, None])[[0, 0, 1], [1, 2, 2]]
    torch.testing.assert_close(features.volumes[(slice(9, 12), *here)], correlations)


def test_the_scale_of_pd_and_guides_does_not_matter():
    """Only the log map of PD itself knows it."""
    posterior, hr, lr = objective(SHAPE)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    log_maps = posterior.prior_mean
    twice = torch.tensor([2.0, 1, 1], dtype=torch.float64).view(-1, 1, 1, 1)
    scaled = replace(
        posterior,
        guides=2 * posterior.guides,
        guide_precision=posterior.guide_precision / 4,
        lr=replace(posterior.lr, values=posterior.lr.values * twice),
        prior_mean=posterior.prior_mean + twice.log(),
    )
    first = drained(make_network_input(posterior, truncate, log_maps, NOTHING, NOISE))
    second = drained(make_network_input(scaled, truncate, log_maps + twice.log(), NOTHING, NOISE))
    torch.testing.assert_close(second.volumes[1:], first.volumes[1:], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(second.unit, first.unit)


def test_what_was_taken_out_is_seen_in_units_of_the_uncertainty():
    posterior, hr, lr = objective(SHAPE)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    noise = 0.01 * torch.randn(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features = drained(make_network_input(posterior, truncate, posterior.prior_mean, noise, NOISE))
    torch.testing.assert_close(features.volumes[18:21].sinh() * features.unit, noise)
