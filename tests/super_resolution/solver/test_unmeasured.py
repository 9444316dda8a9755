"""The prior of quantities that were not measured, worked by hand."""

from __future__ import annotations

import math

import torch

from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho
from napari_swig_qmri.super_resolution.solver.unmeasured import CURVATURE_LEFT, inverse_of_known, nonlinearity


def test_the_inverse_of_the_measured_block_leaves_the_others_zero():
    covariance = torch.tensor([[4.0, 0.0, 2.0], [0.0, 0.0, 0.0], [2.0, 0.0, 5.0]])
    inverse = inverse_of_known(covariance, (True, False, True))
    torch.testing.assert_close(inverse @ covariance, torch.diag(torch.tensor([1.0, 0.0, 1.0])))
    assert (inverse[1] == 0).all()


def test_what_is_curved_within_the_spread_of_an_unknown_adds_variance():
    """The signal at one standard deviation of log T2, on the mean of both sides, differs from that in the middle."""
    maps = torch.tensor([0.8, 1.0, 0.08]).view(3, 1, 1, 1)
    sequence = SpinEcho(echo_time=0.02, repetition_time=1.0)
    variance = nonlinearity((sequence,), maps, torch.full((1, 1, 1, 1), 0.3**2), (True, True, False))
    low, middle, high = (math.exp(-0.02 / (0.08 * math.exp(sd))) for sd in (-0.3, 0.0, 0.3))
    expected = CURVATURE_LEFT * 0.8 * (1 - math.exp(-1.0)) * ((low + high) / 2 - middle)
    torch.testing.assert_close(variance, torch.full((1, 1, 1, 1), expected**2), rtol=1e-3, atol=0)


def test_an_unknown_pd_is_a_factor_of_the_signal_and_adds_none():
    maps = torch.tensor([0.8, 1.0, 0.08]).view(3, 1, 1, 1)
    sequence = SpinEcho(echo_time=0.02, repetition_time=1.0)
    assert (nonlinearity((sequence,), maps, torch.ones(1, 1, 1, 1), (False, True, True)) == 0).all()


def test_a_guide_that_does_not_depend_on_the_unknown_keeps_its_weight():
    maps = torch.tensor([0.8, 1.0, 0.08]).view(3, 1, 1, 1)
    uniform = SEQUENCES["mp2rage-uni"].from_typical()
    variance = nonlinearity((uniform,), maps, torch.ones(2, 1, 1, 1), (False, True, False))
    assert float(variance.max()) < 1e-10
