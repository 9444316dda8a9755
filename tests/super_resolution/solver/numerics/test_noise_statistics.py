"""Noise levels and scatter: known distributions give their own parameters back."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import (
    DEGREES_OF_FREEDOM,
    MAX_SAMPLES,
    SMALLEST_SD,
    local_variance,
    noise_level,
    robust_sd,
    scatter_matrix,
    subsample,
)

SHAPE = (40, 36, 32)
INSIDE = torch.ones(SHAPE, dtype=torch.bool)


def white_noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plane():
    """Anatomy without a second difference along all axes: a ramp."""
    x, y, z = torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij")
    return 100 + 3 * x - 2 * y + z


@pytest.mark.parametrize("level", [0.01, 4.0])
def test_white_noise_on_a_ramp_is_measured(level):
    image = plane() + level * white_noise(*SHAPE)
    assert noise_level(image, INSIDE, torch.zeros(SHAPE)) == pytest.approx(level, rel=0.05)  # 3 % is 3 standard errors


def test_noise_is_measured_in_the_flattest_tissue():
    quiet = torch.arange(SHAPE[0]).view(-1, 1, 1).expand(SHAPE) < SHAPE[0] // 2
    image = torch.where(quiet, 1.0, 10.0) * white_noise(*SHAPE)
    assert noise_level(image, INSIDE, (~quiet).float()) == pytest.approx(1.0, rel=0.1)  # it borders on the loud one


def test_a_single_slice_has_a_noise_level():
    image = 2 * white_noise(200, 200, 1)
    tissue = torch.ones(image.shape, dtype=torch.bool)
    assert noise_level(image, tissue, torch.zeros(image.shape)) == pytest.approx(2.0, rel=0.05)


def test_smooth_anatomy_is_no_noise():
    x = torch.linspace(0, 6, 40)
    smooth = torch.sin(x)[:, None, None] * torch.cos(x)[None, :, None] + x[None, None, :20]
    noisy = smooth + 0.03 * white_noise(40, 40, 20)
    tissue = torch.ones(40, 40, 20, dtype=torch.bool)
    assert noise_level(noisy, tissue, torch.zeros(40, 40, 20)) == pytest.approx(0.03, rel=0.05)
    assert noise_level(smooth, tissue, torch.zeros(40, 40, 20)) < 0.002
    assert noise_level(noisy[..., :1], tissue[..., :1], torch.zeros(40, 40, 1)) == pytest.approx(0.03, rel=0.15)


def test_no_tissue_has_no_noise():
    assert noise_level(plane(), ~INSIDE, plane()) == 0.0


def test_robust_sd_does_not_see_outliers():
    values = white_noise(100_000)
    values[::20] = 1e6  # 5 % outliers move the median magnitude by 7 %
    assert float(robust_sd(values)) == pytest.approx(1.0, rel=0.1)


def test_local_variance_of_a_constant_is_zero_and_adds_over_images():
    assert local_variance(torch.full((1, 6, 6, 6), 3.0)).max() < 1e-5  # rounding of 3 squared in float32
    images = white_noise(2, 12, 12, 12)
    parts = local_variance(images[:1]) + local_variance(images[1:])
    torch.testing.assert_close(local_variance(images), parts)


def test_a_sample_is_small_and_even():
    values = torch.arange(2.0 * MAX_SAMPLES)
    assert torch.equal(subsample(values), values[::2])
    assert torch.equal(subsample(values[:10]), values[:10])


def test_scatter_of_student_errors_is_their_scale_whatever_their_tails():
    scale = torch.tensor([[4.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
    normal = torch.linalg.cholesky(scale) @ white_noise(2, 100_000).double()
    degrees = int(DEGREES_OF_FREEDOM)
    chi_square = white_noise(degrees, 100_000, seed=1).double().square().sum(0)
    found = scatter_matrix(normal * (degrees / chi_square).sqrt(), n_iterations=30)
    torch.testing.assert_close(found, scale, rtol=0.05, atol=0.0)


def test_scatter_of_gaussian_errors_keeps_their_shape():
    """Of a Student fit with 3 degrees of freedom the scale is smaller than a Gaussian's, by one factor for all."""
    covariance = torch.tensor([[4.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
    found = scatter_matrix(torch.linalg.cholesky(covariance) @ white_noise(2, 100_000).double())
    shrunk = found / covariance
    assert 0.5 < shrunk[0, 0] < 1
    torch.testing.assert_close(shrunk, shrunk[0, 0].expand(2, 2), rtol=0.05, atol=0.0)


def test_errors_of_nothing_have_the_smallest_scatter():
    found = scatter_matrix(torch.zeros(3, 100))
    torch.testing.assert_close(found, SMALLEST_SD**2 * torch.eye(3))
