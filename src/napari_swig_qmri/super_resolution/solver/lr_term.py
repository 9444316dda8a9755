"""What the LR maps say of HR maps: directly, or through the signals that they were fitted to.

LR maps that are averages of HR maps are compared with the truncated HR maps. Maps that a scanner fitted to truncated
signals s are compared in the domain of these signals, s(Q_lr) with D s(Q); where a residual of maps is needed, that of
the signals is converted by their derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import invert_voxelwise, multiply_voxelwise
from napari_swig_qmri.super_resolution.solver.observation import Observation

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.signals import Signals
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

MISSING_VARIANCE = 1e6  # of an LR voxel without a measurement
USUAL_NOISE = 0.01  # of the signals, in units of the PD of water
LOOSE = 0.5  # change of a log map that is not believed, whatever the residual of the signals
SMALLEST = 1e-8  # added to J^T J, so that it can be inverted where a map has no effect
FLOOR = 0.02  # of the maps where signals are converted to maps


def lr_observation(problem: Problem, noise: Tensor, signal_noise: Tensor | None) -> Observation:
    """The LR maps, or the signals that they were fitted to, as an observation.

    Parameters
    ----------
    noise
        ``(3,)``, standard deviation of the maps relative to their value.
    signal_noise
        ``(n,)``, standard deviation of the signals in units of PD; None without signals.
    """
    if problem.lr_signals is None or signal_noise is None:
        values, variance = problem.lr_maps - problem.lr_outside, lr_variance(problem, noise)
        return Observation(values=values, variance=variance, operator=problem.truncate, unseen=problem.unseen)
    values = problem.lr_signals(problem.lr_maps) - problem.lr_outside
    variance = signal_noise.square().view(-1, 1, 1, 1).expand_as(values)
    return Observation(
        values=values,
        variance=variance.masked_fill(~problem.lr_valid, MISSING_VARIANCE),
        operator=problem.truncate,
        signals=problem.lr_signals,
        unseen=problem.unseen,
    )


def lr_volumes(problem: Problem, maps: Tensor) -> Tensor:
    """Volumes ``(n, ...)`` of maps ``(3, ...)`` that truncation averages: signals, or the maps themselves."""
    return maps if problem.lr_signals is None else problem.lr_signals(maps)


def signal_residual(problem: Problem, signals: Signals, maps: Tensor) -> Tensor:
    """Residual ``(n, x, y, z)`` of the signals for HR maps ``(3, X, Y, Z)``, measured minus expected."""
    return signals(problem.lr_maps) - problem.truncate(signals(maps))


def lr_reading(problem: Problem, signals: Signals) -> Tensor:
    """Matrices ``(3, n, x, y, z)`` that convert residuals of signals to those of the LR maps.

    They are (J^T J + lambda)^-1 J^T, which keeps changes small that signals hardly determine.
    """
    maps = problem.lr_maps.clamp(min=FLOOR)
    _, slope = signals.linearised(maps)
    normal = _normal_matrix(slope)
    normal.diagonal(dim1=0, dim2=1).add_((USUAL_NOISE / LOOSE) ** 2)
    inverse = invert_voxelwise(normal)
    return torch.stack([multiply_voxelwise(inverse, row) for row in slope], dim=1) * maps[:, None]


def _normal_matrix(slope: Tensor) -> Tensor:
    """J^T J ``(3, 3, ...)`` of derivatives ``(n, 3, ...)``, kept invertible where a map has no effect."""
    rows = slope.movedim(1, 0)
    normal = torch.stack([torch.stack([(a * b).sum(0) for b in rows]) for a in rows])
    normal.diagonal(dim1=0, dim2=1).add_(SMALLEST)
    return normal


def lr_residual(problem: Problem, maps: Tensor) -> Tensor:
    """Residual ``(3, x, y, z)`` of the LR maps for HR maps ``(3, X, Y, Z)``, measured minus expected."""
    signals = problem.lr_signals
    if signals is None:
        return problem.lr_maps - problem.truncate(maps)
    return multiply_voxelwise(lr_reading(problem, signals), signal_residual(problem, signals, maps))


def lr_variance(problem: Problem, noise: Tensor) -> Tensor:
    """Noise variance of the LR maps ``(3, x, y, z)``, very large without a measurement.

    `noise` ``(3,)`` is the standard deviation relative to the value.
    """
    size = noise_reference(problem.lr_maps, problem.tissue)
    variance = (noise.view(-1, 1, 1, 1) * size).square()
    variance[:, ~problem.lr_valid] = MISSING_VARIANCE
    variance[~torch.tensor(problem.measured)] = MISSING_VARIANCE
    return variance


def noise_reference(lr_maps: Tensor, tissue: Tensor) -> Tensor:
    """Value ``(3, x, y, z)`` that the relative noise of LR maps refers to: the map itself, with a floor.

    The floor prevents low values, which ring around CSF or lie in air, from counting as measured without noise.
    """
    size = lr_maps.abs()
    typical = size[:, tissue].median(-1).values.view(-1, 1, 1, 1)
    return torch.maximum(torch.maximum(size, 0.1 * gaussian_average(size, 1.0)), 0.5 * typical)
