"""Multi-guide local linear regression: the training-free prediction of HR maps from HR guides.

In a small window of the LR grid, a function of each map is a linear function of the logarithms of the guides. Fitted
there, interpolated, and applied to the HR guides, it carries their detail into the maps.

Truncation of k-space makes maps ring, and T2 most of all: fluid has twenty times the T2 of tissue, so that its ringing
exceeds the T2 of tissue several voxels away. For T2, a fit of the LR map is therefore only a start. Its LR residual
corrects the predicted HR map, which is fitted again by averages over LR voxels: these do not ring.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.physics.quantities import T2
from napari_swig_qmri.super_resolution.preparation.problem import FLOOR, log_with_floor, with_floor
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import solve_voxelwise
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator, TruncationOperator

REGRESSION_WINDOW = 0.7  # standard deviation of the Gaussian window in LR voxels, measured best on four cases
RIDGE = 2e-3  # variance of log guides below which a fit has no slope; about (4.5 %)^2, texture and noise
SHRINK, GROW = 0.6, 1.7  # smallest and largest factor of an LR correction
CORRECTION_WINDOW = 1.0  # standard deviation in LR voxels
N_ROUNDS = 2  # of correcting T2 and fitting it again
LEAST_T2 = 0.5  # of that of tissue; smaller values of the LR map are taken for ringing in the first fit
LEAST_ROOT = 0.1  # of a second, inverse: T2 of 100 s
RELATIVE_SPREAD = 2  # power of T2 that its variance is taken as proportional to, for errors alike in log T2
RATE_SPREAD = 4  # the same for errors alike in 1/T2
T2_EXCESS = 1.2  # mean square of a residual over noise that is noise: one standard deviation above 1 in the window
PARTLY_AIR = 0.3  # PD below which a voxel is partly air
AIR = 0.1  # PD below which T2 is no longer than that of the LR map


@dataclass(frozen=True, eq=False)
class LocalRegression:
    """value = intercept + sum over guides of slope * feature of the guide, around each LR voxel."""

    slope: Tensor  # (quantity, guide, x, y, z) on the LR grid
    intercept: Tensor  # (quantity, x, y, z) on the LR grid


@dataclass(frozen=True, eq=False, kw_only=True)
class RegressionScale:
    """Maps on a coarse grid, features of the guides there and on a finer grid, and the operators between both."""

    maps: Tensor  # (3, x, y, z)
    weight: Tensor  # (x, y, z), 0 without a measurement
    coarse_features: Tensor  # (guide, x, y, z)
    features: Tensor  # (guide, X, Y, Z)
    interpolate: SeparableOperator
    truncate: TruncationOperator
    residual: Callable[[Tensor], Tensor]  # of the coarse maps, (3, x, y, z), for maps on the finer grid
    usual_t2: float  # s, of tissue
    refits_t2: bool  # whether T2 is fitted again by what does not ring

    def average(self, x: Tensor) -> Tensor:
        """Average of ``(..., X, Y, Z)`` over LR voxels with the weights of linear interpolation, 0 outside the grid."""
        covered = self.interpolate.adjoint(torch.ones_like(self.features[0]))
        return self.interpolate.adjoint(x) / covered.clamp(min=1e-6)

    def t2_share(self, maps: Tensor, power: int) -> Tensor:
        """Share ``(X, Y, Z)`` of an LR residual of T2 that voxels take: 1 in tissue, more in fluid, less in air."""
        return tissue_share(maps).square() * (maps[2] / self.usual_t2).clamp(min=1) ** power


def tissue_share(maps: Tensor) -> Tensor:
    """Share of tissue ``(X, Y, Z)`` in voxels of maps ``(3, X, Y, Z)``."""
    return (maps[0] / PARTLY_AIR).clamp(0, 1)


def interpolate_with_floor(lr_maps: Tensor, truncate: TruncationOperator) -> Tensor:
    """Band-limited interpolation of maps ``(3, x, y, z)`` to ``(3, X, Y, Z)``, with a floor for values below it."""
    return with_floor(truncate.zero_filled(lr_maps))


def regress(scale: RegressionScale) -> Generator[None, None, Tensor]:
    """Maps ``(3, X, Y, Z)`` by local regression, or by band-limited interpolation without a guide.

    Yields between the longer steps.
    """
    if not len(scale.features):
        return interpolate_with_floor(scale.maps, scale.truncate)
    log_maps = log_with_floor(scale.maps)
    if scale.refits_t2:
        log_maps[2].clamp_(min=math.log(LEAST_T2 * scale.usual_t2))
    fit = yield from fit_regression(log_maps, scale.coarse_features, scale.weight)
    maps = clamp_to_bounds((yield from _applied(fit, scale))).exp_()
    if scale.refits_t2:
        yield from _refit_t2(scale, maps)
    return maps


def _refit_t2(scale: RegressionScale, maps: Tensor) -> Generator[None, None, None]:
    """Replace T2 in maps ``(3, X, Y, Z)`` of a first fit by fits to corrected maps, in which fluid does not ring.

    Fitted is 1/sqrt(T2). The logarithm of an echo is linear in 1/T2, which cannot tell fluids apart. Log T2 can, but
    next to fluid it is far from linear in that logarithm; the square root is between both.
    """
    maps[2] = _t2_with_air(scale, maps)
    features = scale.average(scale.features)
    for _ in range(N_ROUNDS):
        yield
        residual = (scale.weight * scale.residual(maps))[2]
        change = distribute(scale.truncate, residual, scale.t2_share(maps, RELATIVE_SPREAD))
        yield
        t2 = add_lr_correction(maps[2], change).clamp(min=FLOOR["T2"])
        fit = yield from fit_regression(scale.average(t2.rsqrt()[None]), features, scale.weight)
        root = (yield from _applied(fit, scale))[0]
        maps[2] = root.clamp(min=LEAST_ROOT).square().reciprocal().clamp(*T2.bounds)
        maps[2] = _t2_with_air(scale, maps)


def _t2_with_air(scale: RegressionScale, maps: Tensor) -> Tensor:
    """T2 ``(X, Y, Z)`` of maps ``(3, X, Y, Z)``, no longer in air than that of the LR map."""
    lowest = scale.interpolate(scale.maps[2]).clamp(min=T2.bounds[0]).minimum(maps[2])
    return maps[2].log().lerp(lowest.log(), (1 - maps[0] / AIR).clamp(0, 1)).exp()


def _applied(fit: LocalRegression, scale: RegressionScale) -> Generator[None, None, Tensor]:
    """Values ``(quantity, X, Y, Z)`` of a regression for the guides on the fine grid."""
    values = scale.interpolate(fit.intercept)
    for guide, image in enumerate(scale.features):
        for quantity, value in enumerate(values):
            yield
            value += scale.interpolate(fit.slope[quantity, guide]) * image
    yield
    return values


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
    excess = gaussian_average((residual / deviation).square(), CORRECTION_WINDOW)
    if scale.refits_t2:
        excess[2] /= T2_EXCESS
    weighted = (1 - 1 / excess.clamp(min=1)) * residual
    change = scale.truncate.zero_filled(weighted)
    if scale.refits_t2:
        change[2] = distribute(scale.truncate, weighted[2], scale.t2_share(maps, RATE_SPREAD))
        left = (scale.weight * scale.residual(add_lr_correction(maps, change)))[2]
        change[2] += (1 - tissue_share(maps)) * scale.truncate.zero_filled(left)
    return add_lr_correction(maps, change)


def distribute(truncate: TruncationOperator, residual: Tensor, share: Tensor) -> Tensor:
    """Change ``(X, Y, Z)`` of an HR map for an LR residual ``(x, y, z)``, in proportion to a `share` ``(X, Y, Z)``.

    With a larger share of fluid, what is wrong there does not ring into tissue. Air, with a share of 0, takes nothing,
    so that tissue beside it takes all; LR voxels that hold more air than tissue count little.
    """
    squared = truncate.squared()
    received = squared(share) / squared(torch.ones_like(share))
    return share * truncate.zero_filled(residual * torch.minimum(received, 1 / received))


def add_lr_correction(maps: Tensor, correction: Tensor) -> Tensor:
    """Add an LR correction to HR maps, both ``(..., X, Y, Z)``, within `SHRINK` to `GROW` times the maps."""
    return torch.minimum(torch.maximum(maps + correction, SHRINK * maps), GROW * maps)
