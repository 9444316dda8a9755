"""Averages: the same as those of scipy, and what each keeps and removes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, gaussian_filter

from napari_swig_qmri.super_resolution.solver.numerics.filters import binomial_average, gaussian_average


@pytest.mark.parametrize("sigma", [0.7, 1.0, (0.5, 1.2, 2.0)])
def test_gaussian_averages_are_those_of_scipy(sigma):
    image = np.random.default_rng(0).standard_normal((9, 10, 11))
    expected = gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(gaussian_average(torch.as_tensor(image), sigma), expected, atol=1e-6)


def test_binomial_averages_are_those_of_scipy():
    images = np.random.default_rng(0).standard_normal((2, 5, 6, 7))
    expected = images
    for axis in (1, 2, 3):
        expected = correlate1d(expected, np.array([1, 4, 6, 4, 1]) / 16, axis, mode="nearest")
    np.testing.assert_allclose(binomial_average(torch.as_tensor(images)), expected, atol=1e-12)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_binomial_average_removes_the_highest_frequency(axis):
    alternating = torch.ones(1, 12, 12, 12)
    alternating.index_fill_(axis, torch.arange(0, 12, 2), -1.0)
    inner = binomial_average(alternating).narrow(axis, 2, 8)  # two voxels at each end see repeated values
    assert inner.abs().max() < 1e-6
