"""What is known about HR maps before they are solved for: their regression on the guides, and the noise."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import (
    KSpaceTruncation,
    linear_interpolation,
)
from napari_swig_qmri.physics.signals import SingleSignal
from napari_swig_qmri.super_resolution.observations.lr_signals import UNKNOWN
from napari_swig_qmri.super_resolution.preparation.problem import GUIDE_FLOOR, Problem, log_with_floor
from napari_swig_qmri.super_resolution.solver.lr_term import (
    MISSING_VARIANCE,
    lr_observation,
    lr_reading,
    lr_residual,
    lr_variance,
    signal_residual,
)
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import (
    local_variance,
    noise_level,
    scatter_matrix,
    subsample,
)
from napari_swig_qmri.super_resolution.solver.observation import Observation
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior, clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.regression import RegressionScale, add_lr_correction, corrected, regress
from napari_swig_qmri.super_resolution.solver.unmeasured import inverse_of_known, nonlinearity, with_usual_maps

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import VoxelGrid
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide

MIN_LR_NOISE = 0.004  # of the value; smaller levels cannot be measured
MIN_SIGNAL_NOISE = 0.002  # of the PD of water; smaller levels cannot be measured
FIT_ERROR = 2.0  # factor on the noise of signals for what a fit to them leaves wrong: 1 is worse in all maps, 3 alike
PURE = 0.9  # interpolated share of tissue above which an HR voxel is all tissue
MIN_GUIDE_NOISE = 0.003  # of the median over tissue
ONE_SCALE_DOWN = 0.5  # assumed ratio of the variances of regression errors, HR to LR; measured values were 0.2 to 0.8
SAME_SCALE = 1.0  # the same where something was not measured: better T1 and T2 in nine cases, and no network uses it
T2_ERROR = 0.28  # of log T2 that was fitted again, at LR scale: .03 in most voxels, but up to 1 next to fluid
GREY_MATTER, FLUID = (0.81, 1.4, 0.09), (1.0, 4.0, 1.5)  # PD, T1 and T2 in s
LEAST_FLUID = 0.3  # signal of CSF over that of grey matter in guides that show it
WATER = (1.0, 4.5, 2.2)  # PD, T1 and T2 in s at body temperature, the largest values in the head
ABOVE_WATER = 1.1  # factor on WATER: PD is only roughly relative to water
WATER_WINDOW = 1.0  # standard deviation in LR voxels of the smoothing before the highest value is taken as limit
RESAMPLING_ERROR = 0.2  # of the detail of a guide, best of 0, 0.1, 0.2 and 0.3 in five of six cases
SHARPENING_ERROR = 0.4  # of the detail inside thick slices that a finer guide has shaped
LEAST_SHARPENING_ERROR = 0.05  # of the median over tissue
DETAIL_WINDOW = 0.8  # standard deviation in HR voxels of the average that detail is the difference from


@dataclass(frozen=True, eq=False, kw_only=True)
class Noise:
    """Standard deviations: of the LR maps relative to their value, of the guides in scanner units."""

    lr_maps: Tensor  # (3,)
    guides: Tensor  # (guide,)
    lr_signals: Tensor | None = None  # (n,), of the signals that LR maps were fitted to, in units of PD


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """HR maps of the regression, the covariance of their errors, and the noise of the problem."""

    maps: Tensor  # (3, X, Y, Z)
    covariance: Tensor  # (3, 3) of the error of log maps, at LR scale; 0 for what was not measured
    noise: Noise
    unmeasured: Tensor | None = None  # (n, X, Y, Z), variance of log maps that were not measured


def guide_features(problem: Problem, guides: Tensor) -> Tensor:
    """Features of guides ``(guide, ...)`` for the regression: logarithms of magnitudes, signed images unchanged."""
    levels = problem.guide_levels
    features = torch.empty_like(guides)
    for i, (sequence, level) in enumerate(zip(problem.sequences, levels.tolist(), strict=True)):
        relative = guides[i] / level
        features[i] = relative if sequence.is_signed else relative.clamp(min=GUIDE_FLOOR).log()
    return features


def predict(
    problem: Problem, lr_noise: Tensor | None = None, guide_noise: Tensor | None = None, *, refit_t2: bool = True
) -> Generator[None, None, Prediction]:
    """Regression of the LR maps on the guides, corrected by the LR residual where it exceeds the noise.

    Maps that were fitted to signals are not corrected: their residual next to CSF is no residual of maps. Yields
    between the longer steps.

    Parameters
    ----------
    lr_noise
        ``(3,)``, relative to the value; measured if None.
    guide_noise
        ``(guide,)``, in scanner units; measured if None.
    refit_t2
        Whether T2 is fitted again by averages that do not ring, where this is better.
    """
    scale = scale_of(problem, refit_t2)
    yield
    maps = yield from regress(scale)
    yield
    noise = yield from measure_noise(problem, maps, lr_noise, guide_noise)
    yield
    covariance = yield from cross_scale_covariance(problem, scale.coarse_features, noise)
    if scale.refits_t2:
        covariance = _with_refitted_t2(covariance)
    if problem.lr_signals is None:
        maps = corrected(scale, maps, lr_variance(problem, noise.lr_maps).sqrt())
    yield
    maps, own = with_usual_maps(maps, problem)
    return Prediction(maps=maps, covariance=covariance, noise=noise, unmeasured=own)


def regressed(problem: Problem) -> Generator[None, None, Tensor]:
    """Maps ``(3, X, Y, Z)`` by regression on the guides, not corrected by the LR residual."""
    return (yield from regress(scale_of(problem, refit_t2=False)))


def scale_of(problem: Problem, refit_t2: bool) -> RegressionScale:
    """LR maps and guides of a problem, as truncation alone would have given them."""
    return RegressionScale(
        maps=_sharpened(problem, problem.lr_maps),
        weight=problem.lr_valid.float(),
        coarse_features=guide_features(problem, _sharpened(problem, problem.lr_guides)),
        features=guide_features(problem, problem.guides),
        interpolate=problem.interpolate,
        truncate=problem.truncate,
        residual=partial(_residual, problem),
        usual_t2=_usual_t2(problem),
        refits_t2=refit_t2 and _can_refit_t2(problem),
    )


def _sharpened(problem: Problem, images: Tensor) -> Tensor:
    """LR images ``(n, x, y, z)`` with what windows and averages took from them, within the limits of a correction."""
    return images if problem.sharpen is None else add_lr_correction(images, problem.sharpen(images) - images)


def _residual(problem: Problem, maps: Tensor) -> Tensor:
    """Residual ``(3, x, y, z)`` of the LR maps for maps ``(3, X, Y, Z)``, as truncation alone would have given it."""
    residual = lr_residual(problem, maps)
    return residual if problem.sharpen is None else problem.sharpen(residual)


def _can_refit_t2(problem: Problem) -> bool:
    """Whether T2 is better fitted again: with all maps, several guides, T2 in fluid, and no known protocol."""
    known = problem.lr_signals is not None and problem.lr_signals.name != UNKNOWN
    several = len(problem.sequences) > 1 and all(problem.measured)
    return several and not known and show_t2_in_fluid(problem.sequences)


def show_t2_in_fluid(sequences: Sequence[SignalModel]) -> bool:
    """Whether a guide that shows CSF depends on T2 of tissue at least half as much as the one that does most.

    Where an inversion nulls CSF, there is nothing by which T2 next to it could be fitted.
    """
    maps, seen, all_guides = torch.tensor([GREY_MATTER, FLUID], dtype=torch.float64).T, 0.0, 0.0
    for sequence in sequences:
        (tissue, fluid), slopes = (each[0] for each in SingleSignal(sequence).linearised(maps))
        dependence = float((slopes[2, 0] / tissue).abs())
        all_guides = max(all_guides, dependence)
        if abs(fluid) > LEAST_FLUID * abs(tissue):
            seen = max(seen, dependence)
    return seen >= all_guides / 2


def _usual_t2(problem: Problem) -> float:
    return float(problem.lr_maps[2, problem.tissue].median())


def measure_noise(
    problem: Problem, maps: Tensor, lr_noise: Tensor | None, guide_noise: Tensor | None
) -> Generator[None, None, Noise]:
    """Noise of the LR maps, from their residual to predicted maps ``(3, X, Y, Z)``, and of the guides.

    Levels that are given are not measured. Yields between the images.
    """
    if lr_noise is None:
        lr_noise = _lr_noise(problem, maps)
        yield
    if guide_noise is None:
        guide_noise = yield from guide_noise_levels(problem)
    return Noise(lr_maps=lr_noise, guides=guide_noise, lr_signals=_signal_noise(problem, maps))


def _signal_noise(problem: Problem, maps: Tensor) -> Tensor | None:
    """Noise ``(n,)`` of the signals that LR maps were fitted to, from their residual to predicted maps; else None."""
    if problem.lr_signals is None:
        return None
    structure, residual = lr_structure(problem), signal_residual(problem, problem.lr_signals, maps)
    levels = [noise_level(volume, problem.tissue, structure) for volume in residual]
    return FIT_ERROR * torch.tensor(levels, dtype=maps.dtype).clamp(min=MIN_SIGNAL_NOISE)


def lr_structure(problem: Problem) -> Tensor:
    """Local variance ``(x, y, z)`` of the guides on the LR grid, or of PD without a guide, as a measure of anatomy."""
    lr_guides = problem.lr_guides / problem.guide_levels.view(-1, 1, 1, 1)
    return local_variance(lr_guides if len(lr_guides) else log_with_floor(problem.lr_maps)[:1])


def pure_tissue(problem: Problem) -> Tensor:
    """HR voxels that are surrounded by tissue, boolean ``(X, Y, Z)``."""
    return problem.interpolate(problem.tissue.float()) > PURE


def _lr_noise(problem: Problem, maps: Tensor) -> Tensor:
    measured = log_with_floor(problem.lr_maps)
    residual = measured - log_with_floor(problem.lr_maps - lr_residual(problem, maps))
    structure = lr_structure(problem)
    levels = [noise_level(volume, problem.tissue, structure) for volume in residual]
    if others := [level for level, measured in zip(levels[:2], problem.measured, strict=False) if measured]:
        levels[2] = min(levels[2], 1.5 * max(others))  # T2 rings around CSF, which is not noise
    return torch.tensor(levels, dtype=maps.dtype).clamp(min=MIN_LR_NOISE)


def guide_noise_levels(problem: Problem) -> Generator[None, None, Tensor]:
    """Noise ``(guide,)`` of the guides in flat tissue, in scanner units; yields between them."""
    tissue = pure_tissue(problem)
    noise = []
    coarse = {each.guide: each for each in problem.coarse}
    for number, (image, level) in enumerate(zip(problem.guides, problem.guide_levels.tolist(), strict=True)):
        yield
        where = tissue
        if number in coarse:
            image, average = coarse[number].image, coarse[number].average
            where = coarse[number].valid & (average(tissue.to(image.dtype)) > PURE)
        structure = local_variance(image[None] / level)
        noise.append(max(noise_level(image, where, structure), MIN_GUIDE_NOISE * level))
    return torch.tensor(noise, dtype=problem.guides.dtype)


def grid_one_scale_up(problem: Problem) -> VoxelGrid:
    """LR grid, coarsened by the ratio of LR to HR voxels."""
    x, y, z = (
        max(2, min(n_lr, round(n_lr * n_lr / n)))
        for n, n_lr in zip(problem.hr_grid.shape, problem.lr_grid.shape, strict=True)
    )
    return problem.lr_grid.with_shape((x, y, z))


def cross_scale_covariance(problem: Problem, lr_features: Tensor, noise: Noise) -> Generator[None, None, Tensor]:
    """Covariance ``(3, 3)`` of the errors of predicted log maps, measured one scale up.

    The LR maps are truncated once more by the same factor, predicted from there, and compared with themselves. Their
    own noise is subtracted. `lr_features` ``(guide, x, y, z)`` are those of the guides on the LR grid.
    """
    grid = grid_one_scale_up(problem)
    truncate = KSpaceTruncation(problem.lr_grid, grid, open_axes=problem.open_axes)
    lr_maps = _sharpened(problem, problem.lr_maps)
    coarse_maps = truncate(lr_maps)
    scale = RegressionScale(
        maps=coarse_maps,
        weight=truncate(problem.lr_valid.float()).clamp(0, 1),
        coarse_features=truncate(lr_features),
        features=lr_features,
        interpolate=linear_interpolation(problem.lr_grid, grid),
        truncate=truncate,
        residual=lambda maps: coarse_maps - truncate(maps),
        usual_t2=_usual_t2(problem),
        refits_t2=False,
    )
    predicted = yield from regress(scale)
    if problem.lr_signals is None:
        deviation = truncate(lr_variance(problem, noise.lr_maps).clamp(max=1)).clamp(min=1e-12).sqrt()
        predicted = corrected(scale, predicted, deviation)
    errors = (log_with_floor(lr_maps) - predicted.log())[:, problem.tissue]
    known = torch.tensor(problem.measured)
    covariance = errors.new_zeros(len(errors), len(errors))
    measured = _without_noise(scatter_matrix(subsample(errors[known])), noise.lr_maps[known])
    covariance[known & known[:, None]] = measured.flatten()
    return covariance


def _with_refitted_t2(covariance: Tensor) -> Tensor:
    """Covariance ``(3, 3)`` of log maps whose T2 was fitted again: alone, with a spread of `T2_ERROR` or less."""
    t2 = covariance[2, 2].clamp(max=T2_ERROR**2)
    covariance = covariance.clone()
    covariance[2], covariance[:, 2] = 0, 0
    covariance[2, 2] = t2
    return covariance


def _without_noise(covariance: Tensor, lr_noise: Tensor) -> Tensor:
    """Covariance ``(n, n)`` minus that of the LR noise ``(n,)``, limited so that it stays positive definite."""
    own = torch.diag(torch.minimum(lr_noise.square(), 0.7 * covariance.diagonal()))
    share: Tensor = torch.linalg.eigvals(torch.linalg.solve(covariance, own)).real.max()
    return covariance - own * (0.9 / share).clamp(max=1.0)


def make_posterior(problem: Problem, prediction: Prediction, gains: Tensor) -> NegativeLogPosterior:
    """Posterior of a problem with gains ``(guide,)`` in scanner units per unit of PD."""
    noise = prediction.noise
    upper_limits = upper_limits_of(problem)
    ratio = ONE_SCALE_DOWN if all(problem.measured) else SAME_SCALE
    precision = (gains / noise.guides).square().view(-1, 1, 1, 1)
    doubt = doubt_variance(problem, prediction.maps)
    error = resampling_variance(problem, gains) + sharpening_variance(problem, gains) + doubt
    if prediction.unmeasured is not None:
        error += nonlinearity(problem.sequences, prediction.maps, prediction.unmeasured, problem.measured)
    return NegativeLogPosterior(
        sequences=problem.sequences,
        guides=problem.guides / gains.view(-1, 1, 1, 1),
        guide_precision=precision / (1 + precision * error) * problem.guide_valid,
        lr=lr_observation(problem, noise.lr_maps, noise.lr_signals),
        lr_reading=None if problem.lr_signals is None else lr_reading(problem, problem.lr_signals),
        prior_mean=clamp_to_bounds(prediction.maps.clamp(min=1e-6).log(), upper_limits),
        prior_precision=inverse_of_known(ratio * prediction.covariance, problem.measured),
        unmeasured_precision=None if prediction.unmeasured is None else 1 / prediction.unmeasured,
        measured=problem.measured,
        upper_limits=upper_limits,
        coarse=tuple(_coarse_observation(each, problem, noise, gains, doubt[each.guide]) for each in problem.coarse),
        coarse_guides=tuple(each.guide for each in problem.coarse),
    )


def _coarse_observation(
    coarse: CoarseGuide, problem: Problem, noise: Noise, gains: Tensor, doubt: Tensor
) -> Observation:
    """A guide with thick slices as an observation, in units of PD, with the variance `doubt` ``(X, Y, Z)`` besides."""
    gain = float(gains[coarse.guide])
    values = (coarse.image / gain - coarse.outside)[None]
    variance = (float(noise.guides[coarse.guide]) / gain) ** 2 + coarse.average(doubt)[None]
    return Observation(
        values=values,
        variance=variance.masked_fill(~coarse.valid, MISSING_VARIANCE),
        operator=coarse.average,
        signals=SingleSignal(problem.sequences[coarse.guide]),
    )


def doubt_variance(problem: Problem, maps: Tensor) -> Tensor:
    """Variance ``(guide, X, Y, Z)`` in units of PD of what equations of doubted sequences leave wrong; 0 for others."""
    variance = torch.zeros_like(problem.guides)
    for guide, doubt in enumerate(problem.doubts):
        if doubt is not None:
            variance[guide] = doubt.variance(problem.sequences[guide], maps, pure_tissue(problem))
    return variance


def sharpening_variance(problem: Problem, gains: Tensor) -> Tensor:
    """Variance ``(guide, X, Y, Z)`` in units of PD of what sharpening leaves wrong; 0 for guides as measured.

    Of the detail inside thick slices, which another guide has shaped, 0.4 may be wrong, and 5 % of the signal anywhere.
    """
    variance = torch.zeros_like(problem.guides)
    for coarse in problem.coarse:
        image, average = problem.guides[coarse.guide], coarse.average
        whole = average.adjoint(torch.ones_like(coarse.image)).clamp(min=1e-6)
        detail = SHARPENING_ERROR * (image - average.adjoint(average(image)) / whole)
        least = LEAST_SHARPENING_ERROR * problem.guide_levels[coarse.guide]
        variance[coarse.guide] = (gaussian_average(detail.square(), 1.0) + least**2) / gains[coarse.guide] ** 2
    return variance


def resampling_variance(problem: Problem, gains: Tensor) -> Tensor:
    """Variance ``(guide, X, Y, Z)`` of what guides lost or gained when they were resampled, in units of PD; else 0.

    An edge that was sampled at other places has another value in a voxel: 0.2 of its difference from its surroundings.
    """
    variance = torch.zeros_like(problem.guides)
    for i, (image, gain) in enumerate(zip(problem.guides, gains.tolist(), strict=True)):
        if problem.guide_resampled[i]:
            detail = RESAMPLING_ERROR / gain * (image - gaussian_average(image, DETAIL_WINDOW))
            variance[i] = gaussian_average(detail.square(), 1.0)
    return variance


def upper_limits_of(problem: Problem) -> tuple[float, ...]:
    """Upper limits of PD, T1 and T2: 1.1 times those of water, or of an LR map that is higher; none if not measured.

    Guides determine only a product of PD, T1 and T2 of a fluid, so that noise could raise each of them without limit.
    """
    limits = []
    for lr_map, water, measured in zip(problem.lr_maps, WATER, problem.measured, strict=True):
        values = gaussian_average(lr_map, WATER_WINDOW)[problem.lr_valid]
        limits.append(ABOVE_WATER * (max(water, float(subsample(values).quantile(0.999))) if measured else water))
    return tuple(limits) if problem.measured[0] else (math.inf, *limits[1:])  # gains give PD its scale
