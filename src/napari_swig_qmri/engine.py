"""The training-free engine: regression, calibration and refinement of one prepared problem."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri import calibration as cal
from napari_swig_qmri.operators import KSpaceTruncation, linear_interpolation
from napari_swig_qmri.posterior import NegativeLogPosterior, bounded
from napari_swig_qmri.preparation import FLOOR, GUIDE_FLOOR
from napari_swig_qmri.refine import Block, Blocking, refine
from napari_swig_qmri.regression import fit_regression, gaussian_window, lr_corrected
from napari_swig_qmri.results import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.operators import LinearOperator
    from napari_swig_qmri.preparation import Problem

MIN_LR_NOISE = 0.004  # of the value; below it a smaller level measures no better
MIN_GUIDE_NOISE = 0.003  # of the median over tissue
GUESSED_SD = (0.15, 0.35, 0.30)  # of log PD, T1 and T2 in brain, for a map that was not measured
MISSING_VARIANCE = 1e6  # of an LR voxel without a measurement
GAIN_ROUNDS = 3
GAIN_PROBE = 0.02  # relative change of a gain that its effect is measured with
GAIN_EDGE = 48  # HR voxels along the edge of a block that gains are found in
GAIN_BLOCKS = 3
CONFLICT_SD = 4.0  # LR residuals that many standard deviations large are a conflict


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
    levels = tissue_levels(problem)
    features = torch.empty_like(guides)
    for i, (sequence, level) in enumerate(zip(problem.sequences, levels.tolist(), strict=True)):
        relative = guides[i] / level
        features[i] = relative if sequence.is_signed else relative.clamp(min=GUIDE_FLOOR).log()
    return features


def tissue_levels(problem: Problem) -> Tensor:
    """Median magnitude of each guide over tissue, ``(guide,)``."""
    lr_guides = problem.truncate(problem.guides)
    return lr_guides[:, problem.tissue].abs().median(-1).values.clamp(min=1e-12)


def log_maps_of(maps: Tensor) -> Tensor:
    """Logarithms of maps ``(3, ...)`` with a floor where truncation made them negative."""
    return torch.stack([volume.clamp(min=floor).log() for volume, floor in zip(maps, FLOOR.values(), strict=True)])


def measure_noise(problem: Problem, lr_features: Tensor) -> Noise:
    """Noise of the LR maps, from what local regression on the guides leaves, and of the guides."""
    log_maps = log_maps_of(problem.lr_maps)
    structure = cal.local_variance(lr_features if len(lr_features) else log_maps[:1])
    left = log_maps
    if len(lr_features):
        fit = fit_regression(log_maps, lr_features, problem.lr_valid.float())
        left = log_maps - fit.predict(lr_features, linear_interpolation(problem.lr_grid, problem.lr_grid))
    levels = [cal.noise_level(volume, problem.tissue, structure) for volume in left]
    levels[2] = min(levels[2], 1.5 * max(levels[:2]))  # T2 rings around CSF, which is not noise
    tissue = problem.interpolate(problem.tissue.float()) > 0.9
    guide_levels = []
    for image, level in zip(problem.guides, tissue_levels(problem).tolist(), strict=True):
        flat = cal.local_variance(image[None] / level)
        guide_levels.append(max(cal.noise_level(image, tissue, flat), MIN_GUIDE_NOISE * level))
    return Noise(
        lr_maps=torch.tensor(levels).clamp(min=MIN_LR_NOISE), guides=torch.tensor(guide_levels, dtype=torch.float32)
    )


def predict(problem: Problem, noise: Noise | None = None) -> Prediction:
    """Regression of the LR maps on the guides, corrected by the LR residual as far as noise allows."""
    if not problem.sequences:
        noise = noise or measure_noise(problem, problem.guides[:, :0])
        maps = problem.truncate.zero_filled(problem.lr_maps)
        return Prediction(maps=maps, covariance=torch.diag(torch.tensor(GUESSED_SD).square()), noise=noise)
    lr_features = guide_features(problem, problem.truncate(problem.guides))
    noise = noise or measure_noise(problem, lr_features)
    fit = fit_regression(log_maps_of(problem.lr_maps), lr_features, problem.lr_valid.float())
    maps = bounded(fit.predict(guide_features(problem, problem.guides), problem.interpolate)).exp()
    maps = _lr_corrected(maps, problem.lr_maps, problem.tissue, problem.truncate, noise)
    for i, measured in enumerate(problem.measured):
        if not measured:
            maps[i] = problem.lr_maps[i].mean()
    return Prediction(maps=maps, covariance=cross_scale_covariance(problem, lr_features, noise), noise=noise)


def _lr_corrected(
    maps: Tensor, lr_maps: Tensor, tissue: Tensor, truncate: KSpaceTruncation, noise: Noise
) -> Tensor:
    """Add the LR residual of predicted maps, shrunk by the share of noise in it (a Wiener weight per map)."""
    lr_prediction = truncate(maps)
    gap = (log_maps_of(lr_maps) - log_maps_of(lr_prediction))[:, tissue]
    noise_variance = noise.lr_maps.square()
    wanted = (cal.robust_sd(gap).square() - noise_variance).clamp(min=1e-8)
    weight = (wanted / (wanted + noise_variance)).view(-1, 1, 1, 1)
    return lr_corrected(maps, truncate.zero_filled(weight * (lr_maps - lr_prediction)))


def cross_scale_covariance(problem: Problem, lr_features: Tensor, noise: Noise) -> Tensor:
    """Covariance ``(3, 3)`` of the errors of log maps one scale up.

    The LR maps are truncated once more by the same factor, predicted from there, and compared with themselves.
    Their own noise is taken off.
    """
    truncated = [
        max(2, min(n_lr, round(n_lr * n_lr / n)))
        for n, n_lr in zip(problem.hr_grid.shape, problem.lr_grid.shape, strict=True)
    ]
    grid = problem.lr_grid.with_shape((truncated[0], truncated[1], truncated[2]))
    truncate = KSpaceTruncation(problem.lr_grid, grid)
    maps, weight = truncate(problem.lr_maps), truncate(problem.lr_valid.float())
    features = truncate(lr_features)
    fit = fit_regression(log_maps_of(maps), features, weight.clamp(0, 1))
    predicted = bounded(fit.predict(lr_features, linear_interpolation(problem.lr_grid, grid))).exp()
    tissue = truncate(problem.tissue.float()) > 0.5
    predicted = _lr_corrected(predicted, maps, tissue if tissue.any() else weight > 0.5, truncate, noise)
    errors = (log_maps_of(problem.lr_maps) - predicted.log())[:, problem.tissue]
    covariance = cal.scatter_matrix(cal.sample(errors))
    own = torch.minimum(noise.lr_maps.square(), 0.7 * covariance.diagonal())
    return covariance - torch.diag(own)


def posterior_of(problem: Problem, prediction: Prediction, gains: Tensor, covariance: Tensor) -> NegativeLogPosterior:
    """The objective of a problem with given gains ``(guide,)`` and covariance ``(3, 3)`` of the prior."""
    noise = prediction.noise
    precision = (gains / noise.guides).square().view(-1, 1, 1, 1)
    return NegativeLogPosterior(
        sequences=problem.sequences,
        guides=problem.guides / gains.view(-1, 1, 1, 1),
        guide_precision=precision * problem.guide_valid,
        lr_maps=problem.lr_maps,
        lr_variance=lr_variance(problem, noise),
        truncate=problem.truncate,
        prior_mean=bounded(prediction.maps.clamp(min=1e-6).log()),
        prior_precision=torch.linalg.inv(covariance),
    )


def lr_variance(problem: Problem, noise: Noise) -> Tensor:
    """Noise variance of the LR maps ``(3, x, y, z)``: relative to the value, with a floor where that is small."""
    size = problem.lr_maps.abs()
    typical = size[:, problem.tissue].median(-1).values.view(-1, 1, 1, 1)
    size = torch.maximum(torch.maximum(size, 0.1 * gaussian_window(size, 1.0)), 0.5 * typical)
    variance = (noise.lr_maps.view(-1, 1, 1, 1) * size).square()
    variance[:, ~problem.lr_valid] = MISSING_VARIANCE
    for i, measured in enumerate(problem.measured):
        if not measured:
            variance[i] = MISSING_VARIANCE
    return variance
