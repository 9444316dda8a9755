"""The LR lock: SR maps changed as little as possible, until they explain the LR maps to within their noise."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.preparation.problem import with_floor
from napari_swig_qmri.super_resolution.solver.conflicts import NEAR_FLUID, fluid_share
from napari_swig_qmri.super_resolution.solver.lr_term import MISSING_VARIANCE, lr_residual, lr_variance
from napari_swig_qmri.super_resolution.solver.numerics.conjugate_gradients import conjugate_gradients
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import TruncationOperator
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

WITHIN = 2.0  # standard deviations of the noise, which 95 % of the values of true maps keep
LOCKED = 1.1 * WITHIN  # that all but 5 % of the values of a locked map keep
N_ROUNDS, N_ITERATIONS = 3, 20  # linearisations of signals, and conjugate gradients in each
LEAST_ERROR = 0.1  # of the average around it, that the standard error of a voxel counts at least
DAMPING = 0.2  # of the noise: what the equations of the multipliers need not be fulfilled better than
REACHED = 0.9  # share of an LR voxel that may change, without which it is left out
AIR = 0.1  # PD relative to water of voxels that are not changed


def locked(
    problem: Problem, maps: Tensor, errors: Tensor, lr_noise: Tensor
) -> Generator[None, None, tuple[Tensor, tuple[bool, ...]]]:
    """Maps ``(3, X, Y, Z)`` whose LR maps differ from the measured ones by no more than the noise.

    Each map gets the smallest change in units of its standard errors that moves its LR map to within two standard
    deviations of the noise of the measured one. Nothing changes where it lies within already. T2 is not compared next
    to CSF, which rings there. Yields between the iterations.

    Parameters
    ----------
    errors
        ``(3, X, Y, Z)``, standard errors relative to the maps; a voxel with 0 is not changed.
    lr_noise
        ``(3,)``, standard deviation of the noise of the LR maps relative to the value.

    Returns
    -------
    maps
        The locked maps. One that cannot be locked is unchanged.
    is_locked
        Per map, whether 95 % of the values of its LR map are within the noise.
    """
    variance = lr_variance(problem, lr_noise)
    least = LEAST_ERROR * gaussian_average(errors * maps, 1.0)
    freedom = torch.maximum(errors * maps, least).square() * ((errors > 0) & (maps[0] > AIR))
    compared = (variance < MISSING_VARIANCE) & (problem.truncate((freedom > 0).to(maps.dtype)) > REACHED)
    compared[2] &= fluid_share(problem) < NEAR_FLUID
    changed, limit = maps, WITHIN * variance.sqrt()
    for _ in range(N_ROUNDS):
        residual = lr_residual(problem, changed)
        missing = torch.where(compared, residual - residual.clamp(-limit, limit), 0.0)
        changes = []
        for free, of_map, noise in zip(freedom, missing, variance, strict=True):
            multipliers = yield from _multipliers(problem.truncate, free, of_map, DAMPING**2 * noise)
            changes.append(free * problem.truncate.adjoint(multipliers))
        changed = torch.where(freedom > 0, with_floor(changed + torch.stack(changes)), changed)
    left = lr_residual(problem, changed).abs() / variance.sqrt()
    is_locked = tuple(
        bool(where.any()) and float((of_map[where] > LOCKED).float().mean()) < 0.05
        for of_map, where in zip(left, compared, strict=True)
    )
    return torch.where(torch.tensor(is_locked).view(-1, 1, 1, 1), changed, maps), is_locked


def _multipliers(
    truncate: TruncationOperator, freedom: Tensor, target: Tensor, damping: Tensor
) -> Generator[None, None, Tensor]:
    """Solve (D W D^T + R) v = target by conjugate gradients, W the variances `freedom` and R those of `damping`."""
    diagonal = truncate.squared()(freedom) + damping

    def product(vector: Tensor) -> Generator[None, None, Tensor]:
        yield
        return truncate(freedom * truncate.adjoint(vector)) + damping * vector

    return (yield from conjugate_gradients(product, lambda vector: vector / diagonal, target, N_ITERATIONS))
