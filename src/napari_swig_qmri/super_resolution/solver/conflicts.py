"""Where guides and LR maps contradict each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate
from napari_swig_qmri.super_resolution.solver.noise import subsample
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.problem import FLOOR
from napari_swig_qmri.super_resolution.solver.regression import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior
    from napari_swig_qmri.super_resolution.solver.prediction import Noise
    from napari_swig_qmri.super_resolution.solver.problem import Problem

CONFLICT_NOISE = 0.01  # relative LR residual that is never a conflict
AGREED = 0.01  # conflict of an LR voxel that changes nothing
FLUID_T2 = 0.25  # s, above it a LR voxel holds CSF
CONFLICT_USUAL = 0.3  # smooth square LR residual over noise that tissue always has; noise alone makes 0.08
CONFLICT_STARTS, CONFLICT_WHOLE = 9.0, 13.0  # smooth square LR residual over that of 95 % of the tissue


def find_conflict(problem: Problem, posterior: NegativeLogPosterior, noise: Noise, log_maps: Tensor) -> Tensor:
    """Where maps that honour the guides cannot explain the LR maps; ``(X, Y, Z)`` from 0 to 1.

    The square of the smooth LR residual, over noise, is compared with that of 95 % of the tissue, map by map: a
    lesion that only one side knows stands out by a factor of thirty or more. Smoothing takes out what changes
    sign from voxel to voxel, which is ringing and not anatomy. PD tells nothing: guides hardly see it. Next to CSF
    the residual of T2 is misfit of its border, so that only T1 counts there, and needs three times as much.
    """
    floor = (CONFLICT_NOISE / noise.lr_maps).clamp(min=1.0).square().view(-1, 1, 1, 1)
    nearby = _smooth(posterior.lr_residual(log_maps)).square() / _smooth(floor * posterior.lr_variance)
    usual = torch.stack([subsample(r[problem.tissue]).quantile(0.95) for r in nearby]).clamp(min=CONFLICT_USUAL)
    _, t1, t2 = nearby / usual.view(-1, 1, 1, 1)
    edges = problem.lr_grid.voxel_size
    fluid = gaussian_average((problem.lr_maps[2] > FLUID_T2).float(), [max(edges) / edge for edge in edges])
    t1 = t1 / torch.where(fluid > 0.01, 3.0, 1.0)
    excess = torch.maximum(t1, t2 * (fluid < 0.01)) * problem.tissue * _inner(problem)
    border = max_pool3d((excess * (fluid <= 0.1))[None], 3, stride=1, padding=1)[0]
    excess = torch.maximum(excess, border)  # the border of a conflict is part of it
    share = ((excess - CONFLICT_STARTS) / (CONFLICT_WHOLE - CONFLICT_STARTS)).clamp(0, 1)
    return problem.interpolate(share)


def _smooth(volumes: Tensor) -> Tensor:
    """Binomial average ``1 4 6 4 1`` along each of the last three axes, which removes the highest frequency."""
    for axis in (-3, -2, -1):
        n = volumes.shape[axis]
        index = torch.arange(-2, n + 2, device=volumes.device).clamp(0, n - 1)
        padded = volumes.index_select(volumes.ndim + axis, index)
        parts = [weight * padded.narrow(axis, k, n) for k, weight in enumerate((1, 4, 6, 4, 1))]
        volumes = sum(parts[1:], parts[0]) / 16
    return volumes


def _inner(problem: Problem) -> Tensor:
    """LR voxels off the ends of the field of view, where content beyond it rings in; boolean ``(x, y, z)``."""
    inner = torch.ones(problem.lr_grid.shape, dtype=torch.bool)
    for axis, (n_lr, n_hr) in enumerate(zip(problem.lr_grid.shape, problem.hr_grid.shape, strict=True)):
        if 2 < n_lr < n_hr:
            inner.index_fill_(axis, torch.tensor([0, n_lr - 1]), False)
    return inner


def follow_lr_maps(posterior: NegativeLogPosterior, problem: Problem, conflict: Tensor) -> NegativeLogPosterior:
    """The objective without guides, and with band-limited LR maps as prior mean, where `conflict` is 1."""
    floor = torch.tensor(list(FLOOR.values())).view(-1, 1, 1, 1)
    interpolated = torch.maximum(problem.truncate.zero_filled(problem.lr_maps), floor).log()
    return replace(
        posterior,
        guide_precision=posterior.guide_precision * (1 - conflict).square(),
        prior_mean=clamp_to_bounds(torch.lerp(posterior.prior_mean, interpolated, conflict), posterior.upper_limits),
    )


def restart(iterate: Iterate, posterior: NegativeLogPosterior, conflict: Tensor) -> Iterate:
    """The same place, but at the prior mean of `posterior` where `conflict` is 1: what led there no longer holds."""
    log_maps = torch.lerp(iterate.log_maps, posterior.prior_mean, conflict)
    agreed = posterior.truncate(conflict) < AGREED
    return Iterate(log_maps, iterate.multipliers * agreed)
