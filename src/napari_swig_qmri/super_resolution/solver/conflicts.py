"""Conflicts: voxels where maps that agree with the guides cannot explain the LR maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri.super_resolution.preparation.problem import with_floor
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate
from napari_swig_qmri.super_resolution.solver.lr_term import lr_variance
from napari_swig_qmri.super_resolution.solver.numerics.filters import binomial_average, gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import subsample
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import inner_product, multiply_voxelwise
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior, clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.prediction import Noise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.observation import Observation

CONFLICT_NOISE = 0.01  # relative LR residual that is never a conflict
AGREED = 0.01  # LR multipliers are kept only where the conflict is below this
LEAST_AGREEMENT = 1e-3  # 1 - conflict of a voxel of a coarse guide that has no weight
FLUID_T2 = 0.25  # s, above which a voxel holds CSF
NEAR_FLUID, MOSTLY_FLUID = 0.01, 0.1  # smoothed share of LR voxels with CSF
FLUID_FACTOR = 3.0  # the residual of T1, or of signals, is divided by this next to CSF
CONFLICT_USUAL = 0.3  # smooth square LR residual over noise that tissue always has; noise alone makes 0.08
LEAST_LEVEL = (0.05, 0.2, 0.03)  # PD, T1 and T2 of LR maps, to which residuals are relative at least
LEAST_PD = 0.4  # relative to water, of LR voxels that hold no bone or air
LEAST_SINGLE = 0.035  # relative LR residual of single voxels that is usual
LEAST_COMMON = 0.26  # 95th percentile of what T1 and T2 have in common by chance alone
NORMAL = 0.6745  # median magnitude of noise with a standard deviation of 1
CONFLICT_STARTS, CONFLICT_WHOLE = 9.0, 13.0  # smooth square LR residual over its 95th percentile in tissue


def find_conflict(problem: Problem, posterior: NegativeLogPosterior, noise: Noise, log_maps: Tensor) -> Tensor:
    """Conflict between guides and LR maps, ``(X, Y, Z)``: 0 = they agree, 1 = they contradict each other.

    The square of the smooth LR residual, over noise, is compared with its 95th percentile over tissue, map by map: a
    lesion that is only in the guides or only in the LR maps stands out by a factor of thirty or more. Smoothing
    removes what changes sign from voxel to voxel, which is ringing and not anatomy. PD does not count, because guides
    hardly determine it. Next to CSF the residual of T2 is a misfit of its border: there only T1 counts, and needs to
    be three times as large. Where LR maps were fitted to signals, the residual of these is compared, which CSF does
    not falsify: it needs to be three times as large there, and T2 counts. Near ends of the field of view that lie in
    tissue, what rings in from beyond them counts as usual. `log_maps` ``(3, X, Y, Z)`` is the minimum of the loosened
    posterior.
    """
    fluid = fluid_share(problem)
    near = torch.where(fluid > NEAR_FLUID, FLUID_FACTOR, 1.0)
    if noise.lr_signals is None:
        _, t1, t2 = _relative_residual(problem, posterior, noise, log_maps)
        excess = torch.maximum(t1 / near, t2 * (fluid < NEAR_FLUID))
        excess = torch.maximum(excess, _compact_excess(problem, posterior, log_maps, fluid))
    else:
        excess = _relative_signal_residual(problem, posterior, noise.lr_signals, log_maps) / near
    excess = excess * problem.tissue * _off_the_ends(problem)
    neighbours = max_pool3d((excess * (fluid <= MOSTLY_FLUID))[None], 3, stride=1, padding=1)[0]
    excess = torch.maximum(excess, neighbours)  # the border of a conflict is part of it
    return problem.interpolate(((excess - CONFLICT_STARTS) / (CONFLICT_WHOLE - CONFLICT_STARTS)).clamp(0, 1))


def fluid_share(problem: Problem) -> Tensor:
    """Smoothed share of LR voxels with CSF, ``(x, y, z)``."""
    edges = problem.lr_grid.voxel_size
    return gaussian_average((problem.lr_maps[2] > FLUID_T2).float(), [max(edges) / edge for edge in edges])


def _relative_residual(problem: Problem, posterior: NegativeLogPosterior, noise: Noise, log_maps: Tensor) -> Tensor:
    """Square of the smooth LR residual over its 95th percentile in tissue; ``(3, x, y, z)``."""
    floor = (CONFLICT_NOISE / noise.lr_maps).clamp(min=1.0).square().view(-1, 1, 1, 1)
    residual = binomial_average(_lr_residual(problem, posterior, log_maps)).square()
    residual = residual / binomial_average(floor * lr_variance(problem, noise.lr_maps))
    usual = torch.stack([subsample(each[problem.tissue]).quantile(0.95) for each in residual])
    return residual / usual.clamp(min=CONFLICT_USUAL).view(-1, 1, 1, 1)


def _lr_residual(problem: Problem, posterior: NegativeLogPosterior, log_maps: Tensor) -> Tensor:
    """LR residual as one of the LR maps ``(3, x, y, z)``, scaled down where more is usual."""
    residual = _without_unseen(problem, posterior.lr, posterior.lr.residual(log_maps.exp()))
    return residual if posterior.lr_reading is None else multiply_voxelwise(posterior.lr_reading, residual)


def _without_unseen(problem: Problem, lr: Observation, residual: Tensor) -> Tensor:
    """Residual ``(n, x, y, z)`` of the LR maps, smaller where what lies beyond ends in tissue adds to its variance.

    It is divided by its standard deviation, relative to that of tissue in general.
    """
    if lr.unseen is None:
        return residual
    usual = torch.stack([subsample(each[problem.tissue].abs()).median() for each in residual]) / NORMAL
    inside = lr.variance.maximum(usual.square().view(-1, 1, 1, 1))
    return residual * (inside / (inside + lr.unseen.diagonal())).sqrt()


def _compact_excess(problem: Problem, posterior: NegativeLogPosterior, log_maps: Tensor, fluid: Tensor) -> Tensor:
    """Excess ``(x, y, z)`` of single voxels, which a small lesion fills: of T1 and T2 together, and of T1 alone.

    0 without both maps. `fluid` ``(x, y, z)`` is the smoothed share of CSF.

    Lesions change T1 and T2 the same way. What mixed voxels, noise and moved images leave rarely does: the smaller of
    both squares, each over its 95th percentile, is compared with its own 95th percentile. What a contrast agent does to
    one guide is a change of T1 alone. Away from CSF the residual of T1 has no tails: its square, without what
    ringing explains, is compared with its own 95th percentile, too.
    """
    if not (problem.measured[1] and problem.measured[2]):
        return torch.zeros_like(problem.lr_maps[0])
    inner = problem.tissue & _off_the_ends(problem)
    level = problem.lr_maps.abs().maximum(problem.lr_maps.new_tensor(LEAST_LEVEL).view(-1, 1, 1, 1))
    _, t1, t2 = _lr_residual(problem, posterior, log_maps) / level
    both = [each.square() / _usual(each.square(), inner, LEAST_SINGLE**2) for each in (t1, t2)]
    common: Tensor = torch.minimum(*both) * (t1 * t2 > 0) * _off_air(problem)
    excess = common / _usual(common, inner, LEAST_COMMON)
    alone = _peaks(t1).square() / _usual(t1.square(), inner, LEAST_SINGLE**2)
    return torch.maximum(excess, alone * (fluid < NEAR_FLUID) * _off_air(problem))


def _peaks(residual: Tensor) -> Tensor:
    """Magnitude of a residual ``(x, y, z)`` beyond that of the opposite sign beside it, which ringing has, too."""
    lowest, highest = (max_pool3d(each[None], 3, stride=1, padding=1)[0] for each in (-residual, residual))
    opposite = torch.where(residual > 0, lowest, highest)
    return (residual.abs() - opposite.clamp(min=0)).clamp(min=0)


def _off_air(problem: Problem) -> Tensor:
    """LR voxels without bone or air beside them, where PD was measured; boolean ``(x, y, z)``."""
    lowest = -max_pool3d(-problem.lr_maps[None, :1], 3, stride=1, padding=1)[0, 0]
    return (lowest > LEAST_PD) | (not problem.measured[0])


def _usual(volume: Tensor, where: Tensor, least: float) -> float:
    return max(float(subsample(volume[where]).quantile(0.95)), least)


def _relative_signal_residual(
    problem: Problem, posterior: NegativeLogPosterior, noise: Tensor, log_maps: Tensor
) -> Tensor:
    """Square of the smooth residual of LR signals over its 95th percentile in tissue; ``(x, y, z)``.

    The part that a change of PD alone would explain is left out. `noise` ``(n,)`` is that of the signals.
    """
    residual = _without_unseen(problem, posterior.lr, posterior.lr.residual(log_maps.exp()))
    of_pd = posterior.lr.values / posterior.lr.values.norm(dim=0).clamp(min=1e-6)
    residual = residual - of_pd * inner_product(of_pd, residual)
    square = (binomial_average(residual) / noise.view(-1, 1, 1, 1)).square().sum(0)
    return square / subsample(square[problem.tissue]).quantile(0.95).clamp(min=CONFLICT_USUAL)


def _off_the_ends(problem: Problem) -> Tensor:
    """LR voxels away from the ends of the field of view, where content beyond it rings; boolean ``(x, y, z)``."""
    inner = torch.ones(problem.lr_grid.shape, dtype=torch.bool)
    for axis, (n_lr, n_hr) in enumerate(zip(problem.lr_grid.shape, problem.hr_grid.shape, strict=True)):
        if 2 < n_lr < n_hr:
            inner.index_fill_(axis, torch.tensor([0, n_lr - 1]), False)
    return inner


def follow_lr_maps(
    posterior: NegativeLogPosterior, problem: Problem, conflict: Tensor, log_maps: Tensor
) -> NegativeLogPosterior:
    """Posterior that follows the LR maps where `conflict` ``(X, Y, Z)`` is 1.

    There the guides have no weight, and the prior mean is the band-limited interpolation of the LR maps, without
    the ringing of the fluid that the maps `log_maps` ``(3, X, Y, Z)`` show around it.
    """
    mean = _without_ringing(problem, conflict, log_maps).log()
    return replace(
        posterior,
        guide_precision=posterior.guide_precision * (1 - conflict).square(),
        coarse=tuple(_unused_in(conflict, each) for each in posterior.coarse),
        prior_mean=clamp_to_bounds(torch.lerp(posterior.prior_mean, mean, conflict), posterior.upper_limits),
    )


def _without_ringing(problem: Problem, conflict: Tensor, log_maps: Tensor) -> Tensor:
    """LR maps interpolated to ``(3, X, Y, Z)``, T2 without the ringing of fluid that lies outside a `conflict`.

    Fluid has up to twenty times the T2 of tissue, and rings into tissue several voxels away.
    """
    fluid = torch.zeros_like(log_maps)
    fluid[2] = (1 - conflict) * (log_maps[2].exp() - FLUID_T2).clamp(min=0)
    return with_floor(problem.truncate.zero_filled(problem.lr_maps - problem.truncate(fluid)) + fluid)


def _unused_in(conflict: Tensor, coarse: Observation) -> Observation:
    """Coarse guide without weight where `conflict` ``(X, Y, Z)`` is 1."""
    agreement = (1 - coarse.operator(conflict)).clamp(min=LEAST_AGREEMENT).square()
    return replace(coarse, variance=coarse.variance / agreement)


def restart(iterate: Iterate, posterior: NegativeLogPosterior, conflict: Tensor) -> Iterate:
    """Iterate moved to the prior mean where `conflict` ``(X, Y, Z)`` is 1, with multipliers of zero around it."""
    log_maps = torch.lerp(iterate.log_maps, posterior.prior_mean, conflict)
    kept = [each.operator(conflict) < AGREED for each in posterior.observations]
    return Iterate(log_maps, tuple(v * agreed for v, agreed in zip(iterate.multipliers, kept, strict=True)))
