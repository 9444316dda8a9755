"""What is known of the HR maps before they are solved for: their regression on the guides, and the noise."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation, TruncationOperator, linear_interpolation
from napari_swig_qmri.super_resolution.solver.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.noise import local_variance, noise_level, scatter_matrix, subsample
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior, clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.problem import FLOOR, GUIDE_FLOOR
from napari_swig_qmri.super_resolution.solver.regression import add_lr_correction, fit_regression

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import VoxelGrid
    from napari_swig_qmri.super_resolution.solver.problem import Problem

MIN_LR_NOISE = 0.004  # of the value; below it a smaller level measures no better
PURE = 0.9  # interpolated tissue above it is all tissue
MIN_GUIDE_NOISE = 0.003  # of the median over tissue
ONE_SCALE_DOWN = 0.5  # variance of regression errors at HR over that at LR, measured between 0.2 and 0.8
MISSING_VARIANCE = 1e6  # of an LR voxel without a measurement
UNKNOWN_SD = 0.15  # of the logarithm of PD over the brain, where it was not measured
WATER = (1.0, 4.5, 2.2)  # PD, T1 and T2 in s at body temperature; nothing in the head has more
ABOVE_WATER = 1.1  # times that, for PD is relative to water only roughly
WATER_WINDOW = 1.0  # standard deviation in LR voxels of the average that shows how high a LR map is
CORRECTION_WINDOW = 1.0  # standard deviation in LR voxels


@dataclass(frozen=True, eq=False, kw_only=True)
class Noise:
    """Standard deviations: of the LR maps relative to their value, of the guides in scanner units."""

    lr_maps: Tensor  # (3,)
    guides: Tensor  # (guide,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """HR maps of the regression and how far they can be trusted."""

    maps: Tensor  # (3, X, Y, Z)
    covariance: Tensor  # (3, 3) of the error of log maps, at LR scale
    noise: Noise


def guide_features(problem: Problem, guides: Tensor) -> Tensor:
    """What the regression sees of guides ``(guide, ...)``: logarithms of magnitudes, signed images as they are."""
    levels = problem.guide_levels
    features = torch.empty_like(guides)
    for i, (sequence, level) in enumerate(zip(problem.sequences, levels.tolist(), strict=True)):
        relative = guides[i] / level
        features[i] = relative if sequence.is_signed else relative.clamp(min=GUIDE_FLOOR).log()
    return features


def log_with_floor(maps: Tensor) -> Tensor:
    """Logarithms of maps ``(3, ...)`` with a floor where truncation made them negative."""
    return torch.stack([volume.clamp(min=floor).log() for volume, floor in zip(maps, FLOOR.values(), strict=True)])


def predict(
    problem: Problem, lr_noise: Tensor | None = None, guide_noise: Tensor | None = None
) -> Generator[None, None, Prediction]:
    """Regression of the LR maps on the guides, corrected by the LR residual as far as noise allows.

    `lr_noise` ``(3,)`` relative and `guide_noise` ``(guide,)`` in scanner units replace the estimates. Yields
    between the longer steps.
    """
    features = guide_features(problem, problem.guides)
    lr_features = guide_features(problem, problem.lr_guides)
    yield
    weight = problem.lr_valid.float()
    maps = yield from _regressed(problem.lr_maps, weight, lr_features, features, problem.interpolate, problem.truncate)
    for i, measured in enumerate(problem.measured):
        if not measured:
            maps[i] = problem.lr_maps[i].mean()
    yield
    noise = yield from measure_noise(problem, maps, lr_noise, guide_noise)
    yield
    covariance = yield from cross_scale_covariance(problem, lr_features, noise)
    deviation = lr_variance(problem, noise).sqrt()
    corrected = _lr_corrected(maps, problem.lr_maps, weight, problem.truncate, deviation)
    return Prediction(maps=corrected, covariance=covariance, noise=noise)


def _regressed(
    lr_maps: Tensor,
    weight: Tensor,
    lr_features: Tensor,
    features: Tensor,
    interpolate: SeparableOperator,
    truncate: TruncationOperator,
) -> Generator[None, None, Tensor]:
    """Maps on the grid of `features` by local regression; band-limited interpolation where there is no guide."""
    if not len(features):
        floor = torch.tensor(list(FLOOR.values())).view(-1, 1, 1, 1)
        return torch.maximum(truncate.zero_filled(lr_maps), floor)
    fit = yield from fit_regression(log_with_floor(lr_maps), lr_features, weight)
    log_maps = interpolate(fit.intercept)
    for guide, image in enumerate(features):
        for quantity, log_map in enumerate(log_maps):
            yield
            log_map += interpolate(fit.slope[quantity, guide]) * image
    yield
    return clamp_to_bounds(log_maps).exp_()


def _lr_corrected(
    maps: Tensor, lr_maps: Tensor, weight: Tensor, truncate: TruncationOperator, deviation: Tensor
) -> Tensor:
    """Add the LR residual of predicted maps as far as it stands out of the noise around it.

    The weight is that of a local Wiener filter, 1 - noise variance / mean square of the residual nearby.
    """
    residual = weight * (lr_maps - truncate(maps))  # nothing where there is no measurement
    excess = gaussian_average((residual / deviation).square(), CORRECTION_WINDOW).clamp(min=1)
    return add_lr_correction(maps, truncate.zero_filled((1 - 1 / excess) * residual))


def measure_noise(
    problem: Problem, maps: Tensor, lr_noise: Tensor | None, guide_noise: Tensor | None
) -> Generator[None, None, Noise]:
    """Noise of the LR maps, from what predicted HR maps leave of them, and of the guides, where it is not given."""
    if lr_noise is None:
        lr_noise = _lr_noise(problem, maps)
        yield
    if guide_noise is None:
        guide_noise = yield from _guide_noise(problem)
    return Noise(lr_maps=lr_noise, guides=guide_noise)


def lr_structure(problem: Problem) -> Tensor:
    """Local variance ``(x, y, z)`` of the guides on the LR grid, or of PD if there is none: what noise is not."""
    lr_guides = problem.lr_guides / problem.guide_levels.view(-1, 1, 1, 1)
    return local_variance(lr_guides if len(lr_guides) else log_with_floor(problem.lr_maps)[:1])


def pure_tissue(problem: Problem) -> Tensor:
    """Voxels of the HR grid with nothing but tissue around them, boolean ``(X, Y, Z)``."""
    return problem.interpolate(problem.tissue.float()) > PURE


def _lr_noise(problem: Problem, maps: Tensor) -> Tensor:
    left = log_with_floor(problem.lr_maps) - log_with_floor(problem.truncate(maps))
    structure = lr_structure(problem)
    levels = [noise_level(volume, problem.tissue, structure) for volume in left]
    levels[2] = min(levels[2], 1.5 * max(levels[:2]))  # T2 rings around CSF, which is not noise
    return torch.tensor(levels, dtype=maps.dtype).clamp(min=MIN_LR_NOISE)


def _guide_noise(problem: Problem) -> Generator[None, None, Tensor]:
    tissue = pure_tissue(problem)
    noise = []
    for image, level in zip(problem.guides, problem.guide_levels.tolist(), strict=True):
        yield
        flat = local_variance(image[None] / level)
        noise.append(max(noise_level(image, tissue, flat), MIN_GUIDE_NOISE * level))
    return torch.tensor(noise, dtype=problem.guides.dtype)


def grid_one_scale_up(problem: Problem) -> VoxelGrid:
    """Grid that is to the LR grid what that is to the HR grid."""
    x, y, z = (
        max(2, min(n_lr, round(n_lr * n_lr / n)))
        for n, n_lr in zip(problem.hr_grid.shape, problem.lr_grid.shape, strict=True)
    )
    return problem.lr_grid.with_shape((x, y, z))


def cross_scale_covariance(problem: Problem, lr_features: Tensor, noise: Noise) -> Generator[None, None, Tensor]:
    """Covariance ``(3, 3)`` of the errors of log maps one scale up.

    The LR maps are truncated once more by the same factor, predicted from there, and compared with themselves.
    Their own noise is taken off.
    """
    grid = grid_one_scale_up(problem)
    truncate = KSpaceTruncation(problem.lr_grid, grid)
    maps, weight = truncate(problem.lr_maps), truncate(problem.lr_valid.float()).clamp(0, 1)
    interpolate = linear_interpolation(problem.lr_grid, grid)
    predicted = yield from _regressed(maps, weight, truncate(lr_features), lr_features, interpolate, truncate)
    deviation = truncate(lr_variance(problem, noise).clamp(max=1)).clamp(min=1e-12).sqrt()
    predicted = _lr_corrected(predicted, maps, weight, truncate, deviation)
    errors = (log_with_floor(problem.lr_maps) - predicted.log())[:, problem.tissue]
    covariance = scatter_matrix(subsample(errors))
    own = torch.diag(torch.minimum(noise.lr_maps.square(), 0.7 * covariance.diagonal()))
    share: Tensor = torch.linalg.eigvals(torch.linalg.solve(covariance, own)).real.max()
    covariance = covariance - own * (0.9 / share).clamp(max=1.0)  # positive definite, however errors correlate
    known = torch.tensor(problem.measured, dtype=covariance.dtype)
    return covariance * known * known[:, None] + torch.diag((1 - known) * UNKNOWN_SD**2)


def make_posterior(problem: Problem, prediction: Prediction, gains: Tensor) -> NegativeLogPosterior:
    """The objective of a problem with given gains ``(guide,)``, in scanner units per unit of PD."""
    noise = prediction.noise
    upper_limits = upper_limits_of(problem)
    precision = (gains / noise.guides).square().view(-1, 1, 1, 1)
    return NegativeLogPosterior(
        sequences=problem.sequences,
        guides=problem.guides / gains.view(-1, 1, 1, 1),
        guide_precision=precision * problem.guide_valid,
        lr_maps=problem.lr_maps - problem.lr_outside,
        lr_variance=lr_variance(problem, noise),
        truncate=problem.truncate,
        prior_mean=clamp_to_bounds(prediction.maps.clamp(min=1e-6).log(), upper_limits),
        prior_precision=torch.linalg.inv(ONE_SCALE_DOWN * prediction.covariance),
        upper_limits=upper_limits,
    )


def upper_limits_of(problem: Problem) -> tuple[float, ...]:
    """What PD, T1 and T2 may reach: a little more than those of water, or than an LR map that is higher itself.

    Guides see PD, T1 and T2 of a fluid as a product, so that noise could raise all of them far beyond what there is.
    """
    upper_limits = []
    for lr_map, water, measured in zip(problem.lr_maps, WATER, problem.measured, strict=True):
        seen = gaussian_average(lr_map, WATER_WINDOW)[problem.lr_valid]
        most = max(water, float(subsample(seen).quantile(0.999)))
        upper_limits.append(ABOVE_WATER * most if measured else math.inf)
    return tuple(upper_limits)


def lr_variance(problem: Problem, noise: Noise) -> Tensor:
    """Noise variance of the LR maps ``(3, x, y, z)``: relative to the value, with a floor where that is small."""
    size = noise_reference(problem.lr_maps, problem.tissue)
    variance = (noise.lr_maps.view(-1, 1, 1, 1) * size).square()
    variance[:, ~problem.lr_valid] = MISSING_VARIANCE
    variance[~torch.tensor(problem.measured)] = MISSING_VARIANCE
    return variance


def noise_reference(lr_maps: Tensor, tissue: Tensor) -> Tensor:
    """What the relative noise of LR maps ``(3, x, y, z)`` is relative to: the value, with a floor where that is small.

    The floor keeps what rings around CSF, and air, from counting as measured without noise.
    """
    size = lr_maps.abs()
    typical = size[:, tissue].median(-1).values.view(-1, 1, 1, 1)
    return torch.maximum(torch.maximum(size, 0.1 * gaussian_average(size, 1.0)), 0.5 * typical)
