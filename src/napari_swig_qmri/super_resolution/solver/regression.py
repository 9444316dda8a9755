"""Multi-guide local linear regression: the training-free prediction of HR maps from HR guides.

In a small window of the LR grid, a function of each map is a linear function of the logarithms of the guides. Fitted
there, interpolated, and applied to the HR guides, it carries their detail into the maps.

Truncation of k-space makes maps ring, and T2 most of all: fluid has twenty times the T2 of tissue, so that its ringing
exceeds the T2 of tissue several voxels away. A first fit of the LR maps therefore only starts the regression. Its LR
residual corrects the HR maps that it predicts. These are fitted again by averages over LR voxels, which do not ring.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.preparation.problem import FLOOR, log_with_floor
from napari_swig_qmri.super_resolution.solver.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.voxel_matrices import solve_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator, TruncationOperator

REGRESSION_WINDOW = 0.7  # standard deviation of the Gaussian window in LR voxels, measured best on four cases
RIDGE = 2e-3  # variance of log guides below which a fit has no slope; about (4.5 %)^2, texture and noise
LEAST_T2 = 0.5  # of that of tissue; smaller values of the LR map are taken for ringing in the first fit
N_ROUNDS = 2  # of correcting the maps and fitting them again
SHRINK, GROW = 0.6, 1.7  # smallest and largest factor of an LR correction
RELATIVE_SPREAD = 2  # power of T2 that its variance is taken as proportional to, for errors alike in log T2
RATE_SPREAD = 4  # the same for errors alike in 1/T2
CORRECTION_WINDOW = 1.0  # standard deviation in LR voxels
LEAST_PD = 0.3  # below which a voxel is partly air, for the share of a residual that it takes
LEAST_RECEIVED = 0.2  # share of a residual that an LR voxel can hand to its HR voxels; less in air
LEAST_ROOT = 0.1  # of a second, inverse: T2 of 100 s
EXCESS = 1.2  # mean square of a residual over noise that counts as noise: one standard deviation above 1 in the window


@dataclass(frozen=True, eq=False)
class LocalRegression:
    """value = intercept + sum over guides of slope * feature of the guide, around each LR voxel."""

    slope: Tensor  # (quantity, guide, x, y, z) on the LR grid
    intercept: Tensor  # (quantity, x, y, z) on the LR grid


@dataclass(frozen=True, eq=False, kw_only=True)
class RegressionScale:
    """Maps on a coarse grid, features of the guides there and on a finer grid, and the operators between both."""

    maps: Tensor  # (3, x, y, z)
    usual_t2: float  # s, of tissue
    rings: bool  # whether truncation made the maps ring; maps that were fitted to truncated signals ring little
    weight: Tensor  # (x, y, z), 0 without a measurement
    coarse_features: Tensor  # (guide, x, y, z)
    features: Tensor  # (guide, X, Y, Z)
    interpolate: SeparableOperator
    truncate: TruncationOperator
    residual: Callable[[Tensor], Tensor]  # of the coarse maps, (3, x, y, z), for maps on the finer grid

    def distributed(self, residual: Tensor, maps: Tensor, power: int) -> Tensor:
        """Change of HR maps by `distribute`: tissue of shorter T2 takes as much as usual tissue, and air nothing."""
        tissue = (maps[0] / LEAST_PD).clamp(max=1).square()
        return distribute(self.truncate, residual, tissue * (maps[2] / self.usual_t2).clamp(min=1) ** power)

    def average(self, x: Tensor) -> Tensor:
        """Average of ``(..., X, Y, Z)`` over LR voxels with the weights of linear interpolation, 0 outside the grid."""
        covered = self.interpolate.adjoint(torch.ones_like(self.features[0]))
        return self.interpolate.adjoint(x) / covered.clamp(min=1e-6)


def interpolate_with_floor(lr_maps: Tensor, truncate: TruncationOperator) -> Tensor:
    """Band-limited interpolation of maps ``(3, x, y, z)`` to ``(3, X, Y, Z)``, with a floor for values below it."""
    floor = torch.tensor(list(FLOOR.values())).view(-1, 1, 1, 1)
    return torch.maximum(truncate.zero_filled(lr_maps), floor)


def regress(scale: RegressionScale, n_rounds: int = N_ROUNDS) -> Generator[None, None, Tensor]:
    """Maps ``(3, X, Y, Z)`` by local regression, or by band-limited interpolation without a guide.

    They are corrected and fitted again `n_rounds` times. Yields between the longer steps.
    """
    if not len(scale.features):
        return interpolate_with_floor(scale.maps, scale.truncate)
    log_maps = log_with_floor(scale.maps)
    if scale.rings:
        log_maps[2].clamp_(min=math.log(LEAST_T2 * scale.usual_t2))
    fit = yield from fit_regression(log_maps, scale.coarse_features, scale.weight)
    maps = clamp_to_bounds((yield from _applied(fit, scale))).exp_()
    features = scale.average(scale.features)
    for _ in range(n_rounds):
        yield
        residual = scale.weight * scale.residual(maps)
        change = scale.distributed(residual, maps, RELATIVE_SPREAD)
        yield
        values = scale.average(regressed_values(add_lr_correction(maps, change)))
        fit = yield from fit_regression(values, features, scale.weight)
        maps = torch.cat([maps[:1], maps_of_values((yield from _applied(fit, scale)))])
    return maps


def _applied(fit: LocalRegression, scale: RegressionScale) -> Generator[None, None, Tensor]:
    """Values ``(3, X, Y, Z)`` of a regression for the guides on the fine grid."""
    values = scale.interpolate(fit.intercept)
    for guide, image in enumerate(scale.features):
        for quantity, value in enumerate(values):
            yield
            value += scale.interpolate(fit.slope[quantity, guide]) * image
    yield
    return values


def regressed_values(maps: Tensor) -> Tensor:
    """Functions of T1 and T2 in maps ``(3, ...)`` that are nearly linear in the logarithms of guides; ``(2, ...)``.

    These are log T1 and 1/sqrt(T2). The logarithm of an echo is linear in 1/T2, which cannot tell fluids apart. Log T2
    can, but next to fluid it is far from linear in that logarithm; the square root is between both. PD keeps its first
    fit: it hardly rings, and its average over LR voxels with air is not that of tissue.
    """
    return torch.stack([maps[1].log(), maps[2].rsqrt()])


def maps_of_values(values: Tensor) -> Tensor:
    """T1 and T2 ``(2, ...)`` of `regressed_values`, inside the bounds of their quantities."""
    log_t1, root = values
    log_maps = torch.stack([log_t1, log_t1, -2 * root.clamp(min=LEAST_ROOT).log()])
    return clamp_to_bounds(log_maps)[1:].exp_()


def fit_regression(values: Tensor, features: Tensor, weight: Tensor) -> Generator[None, None, LocalRegression]:
    """Fit the local regression on the LR grid; yields between the longer steps.

    Parameters
    ----------
    values
        ``(quantity, x, y, z)``, functions of the maps.
    features
        ``(guide, x, y, z)``, logarithms of the guides.
    weight
        ``(x, y, z)``, 0 for voxels without a measurement.
    """
    total = gaussian_average(weight, REGRESSION_WINDOW) + 1e-6

    def average(x: Tensor) -> Tensor:
        return gaussian_average(weight * x, REGRESSION_WINDOW) / total

    n_guides, both = len(features), torch.cat([features, values])
    means = average(both)
    products = []
    for feature, mean in zip(features, means, strict=False):
        yield
        products.append(average(feature * both) - mean * means)
    yield
    covariance = torch.stack(products)  # (guide, guide and quantity, x, y, z)
    ridge = RIDGE * torch.eye(n_guides, dtype=both.dtype, device=both.device)
    gram = covariance[:, :n_guides] + ridge.view(n_guides, n_guides, 1, 1, 1)
    slope = solve_voxelwise(gram, covariance[:, n_guides:]).transpose(0, 1)
    return LocalRegression(slope, means[n_guides:] - (slope * means[:n_guides]).sum(1))


def corrected(scale: RegressionScale, maps: Tensor, deviation: Tensor) -> Tensor:
    """Maps ``(3, X, Y, Z)`` after their LR residual is added, weighted by a local Wiener filter.

    The weight is 1 - noise variance / mean square of the residual nearby, with the standard deviation `deviation`
    ``(3, x, y, z)`` of the noise.
    """
    residual = scale.weight * scale.residual(maps)
    excess = gaussian_average((residual / deviation).square(), CORRECTION_WINDOW) / EXCESS
    weighted = (1 - 1 / excess.clamp(min=1)) * residual
    if len(scale.features):
        change = scale.distributed(weighted, maps, RATE_SPREAD)
    else:  # maps that ring themselves are no measure of what fluid takes
        change = scale.truncate.zero_filled(weighted)
    return add_lr_correction(maps, change)


def distribute(truncate: TruncationOperator, residual: Tensor, share: Tensor) -> Tensor:
    """Change ``(3, X, Y, Z)`` of HR maps that an LR residual ``(3, x, y, z)`` asks for.

    PD and T1 take it evenly, as zero filling does. T2 takes it in proportion to `share` ``(X, Y, Z)``, so that what is
    wrong in fluid does not ring into tissue.
    """
    squared, change = truncate.squared(), truncate.zero_filled(residual)
    received = squared(share) / squared(torch.ones_like(share))
    change[2] = share * truncate.zero_filled(residual[2] / received.clamp(min=LEAST_RECEIVED))
    return change


def add_lr_correction(maps: Tensor, correction: Tensor) -> Tensor:
    """Add an LR correction to HR maps, both ``(3, X, Y, Z)``, within `SHRINK` to `GROW` times the maps."""
    return torch.minimum(torch.maximum(maps + correction, SHRINK * maps), GROW * maps)
