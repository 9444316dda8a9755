"""Multi-guide local linear regression: the training-free prediction of HR maps from HR guides.

In a small window of the LR grid, the logarithm of each map is a linear function of the logarithms of
the guides. Fitted there, interpolated, and applied to the HR guides, it carries their detail into the maps.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.voxel_matrices import solve_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

REGRESSION_WINDOW = 0.7  # standard deviation of the Gaussian window in LR voxels, measured best on four cases
RIDGE = 2e-3  # variance of log guides below which a fit has no slope; about (4.5 %)^2, texture and noise
SHRINK, GROW = 0.6, 1.7  # smallest and largest factor of an LR correction


@dataclass(frozen=True, eq=False)
class LocalRegression:
    """log map = intercept + sum over guides of slope * log guide, around each LR voxel."""

    slope: Tensor  # (quantity, guide, x, y, z) on the LR grid
    intercept: Tensor  # (quantity, x, y, z) on the LR grid


def fit_regression(log_maps: Tensor, log_guides: Tensor, weight: Tensor) -> Generator[None, None, LocalRegression]:
    """Fit the local regression on the LR grid; yields between the longer steps.

    Parameters
    ----------
    log_maps
        ``(quantity, x, y, z)``.
    log_guides
        ``(guide, x, y, z)``, the guides truncated to the LR grid.
    weight
        ``(x, y, z)``, 0 for voxels without a measurement.
    """
    total = gaussian_average(weight, REGRESSION_WINDOW) + 1e-6

    def average(x: Tensor) -> Tensor:
        return gaussian_average(weight * x, REGRESSION_WINDOW) / total

    n_guides, values = len(log_guides), torch.cat([log_guides, log_maps])
    means = average(values)
    products = []
    for guide, mean in zip(log_guides, means, strict=False):
        yield
        products.append(average(guide * values) - mean * means)
    yield
    covariance = torch.stack(products)  # (guide, guide and quantity, x, y, z)
    ridge = RIDGE * torch.eye(n_guides, dtype=values.dtype, device=values.device)
    gram = covariance[:, :n_guides] + ridge.view(n_guides, n_guides, 1, 1, 1)
    slope = solve_voxelwise(gram, covariance[:, n_guides:]).transpose(0, 1)
    return LocalRegression(slope, means[n_guides:] - (slope * means[:n_guides]).sum(1))


def add_lr_correction(maps: Tensor, correction: Tensor) -> Tensor:
    """Add an LR correction to HR maps, both ``(3, X, Y, Z)``, within `SHRINK` to `GROW` times the maps."""
    return torch.minimum(torch.maximum(maps + correction, SHRINK * maps), GROW * maps)
