"""Statistics of noise and errors: robust levels, local variance and the scatter of heavy-tailed errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

MAD_TO_SD = 1.4826
FLAT_SHARE = 0.3  # of the tissue voxels, those with the lowest local variance, in which noise is measured
DEGREES_OF_FREEDOM = 3.0  # of the Student t distribution of regression errors, in which edges are outliers
SMALLEST_SD = 1e-4  # of errors, which keeps the scatter of errors without spread invertible
MAX_SAMPLES = 200_000


def robust_sd(x: Tensor) -> Tensor:
    """Standard deviation of zero-centred values over the last axis, from their median absolute value."""
    return MAD_TO_SD * x.abs().median(-1).values


def noise_level(image: Tensor, tissue: Tensor, structure: Tensor) -> float:
    """Standard deviation of white noise in an image, 0 without tissue.

    The second difference along all three axes passes the corner of k-space, where anatomy has the least power. Its
    robust standard deviation is taken over the flattest tissue. Axes with fewer than three voxels are left out.

    Parameters
    ----------
    image
        ``(x, y, z)``, in any unit.
    tissue
        ``(x, y, z)``, boolean.
    structure
        ``(x, y, z)``, local variance that separates flat from structured tissue.
    """
    for axis in range(3):
        n = image.shape[axis]
        if n < 3:
            continue
        left, middle, right = (image.narrow(axis, i, n - 2) for i in range(3))
        image = (left - 2 * middle + right) / 6**0.5
        tissue, structure = tissue.narrow(axis, 1, n - 2), structure.narrow(axis, 1, n - 2)
    if not tissue.any():
        return 0.0
    return float(robust_sd(image[flattest(tissue, structure)]))


def flattest(tissue: Tensor, structure: Tensor, share: float = FLAT_SHARE) -> Tensor:
    """Share of the `tissue` with the lowest local variance `structure`; boolean ``(x, y, z)``, like both."""
    return tissue & (structure <= subsample(structure[tissue]).quantile(share))


def local_variance(images: Tensor) -> Tensor:
    """Variance around each voxel, summed over images: ``(n, x, y, z)`` to ``(x, y, z)``."""
    return (gaussian_average(images.square(), 1.0) - gaussian_average(images, 1.0).square()).sum(0).clamp(min=0)


def subsample(values: Tensor) -> Tensor:
    """Evenly spaced values of the last axis, fewer than twice `MAX_SAMPLES`."""
    return values[..., :: max(1, values.shape[-1] // MAX_SAMPLES)]


def scatter_matrix(errors: Tensor, n_iterations: int = 8) -> Tensor:
    """Scatter matrix ``(n, n)`` of heavy-tailed errors ``(n, samples)``: a Student t fit by EM."""
    n = len(errors)
    floor = SMALLEST_SD**2 * torch.eye(n, dtype=errors.dtype, device=errors.device)
    scatter = torch.diag(robust_sd(errors).square()) + floor
    for _ in range(n_iterations):
        distance = (errors * torch.linalg.solve(scatter, errors)).sum(0)
        weight = (DEGREES_OF_FREEDOM + n) / (DEGREES_OF_FREEDOM + distance)
        scatter = (errors * weight) @ errors.T / errors.shape[1] + floor
    return scatter
