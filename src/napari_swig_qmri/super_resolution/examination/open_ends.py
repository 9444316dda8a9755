"""Problems whose field of view ends in tissue: truncation there does not join both ends, as it does in a whole head.

What truncation spreads into the LR maps from beyond such an end is estimated from what the guides do not explain, and
subtracted. The rest has a covariance.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.open_ends import UnseenCovariance, unseen_covariance
from napari_swig_qmri.data.truncation import (
    SeparableOperator,
    TruncationOperator,
    open_matrix,
    relative_axes,
    truncation_matrix,
)
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.super_resolution.preparation.coverage import DIRECTIONS
from napari_swig_qmri.super_resolution.solver.lr_term import MISSING_VARIANCE, lr_reading, lr_volumes
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import subsample
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import multiply_voxelwise
from napari_swig_qmri.super_resolution.solver.prediction import regressed

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem

    Ends = tuple[bool, bool]  # first and last along an axis

LEAST_TISSUE = 0.25  # of the plane with the most tissue, that an outer plane holds where the field ends in tissue
LEAST_SPACING = 1.2  # LR voxel edge in HR voxels; below it hardly anything is truncated
JOINED = 0.5  # share of the difference that joining both ends makes, above which they are: 0.6 to 1.1, others 0 to 0.45
N_ROUNDS = 3  # of estimating what comes from beyond the ends
WINDOW = 1.0  # standard deviation in LR voxels of the average of squared residuals
LARGEST = (1.2, 4.0, 0.5)  # PD relative to water, T1 and T2 in s; fluid counts as no more
MORE_VARIED = 1.5  # variance beyond the ends over that inside: best of 1, 2 and 4 lay between 1 and 2
LEFT = 0.5  # of that variance, after subtraction: .4 to .5 in PD, .1 in T1, .7 to 1 in T2 in three brains
NORMAL = 0.6745  # median magnitude of noise with a standard deviation of 1


def with_open_ends(problem: Problem) -> Generator[None, None, Problem]:
    """Problem with the operator and the LR maps of a field of view that ends in tissue, and a notice.

    The problem itself if no end lies in tissue, or if the LR maps are those of a field of view whose ends truncation
    has joined, as that of a slab measured alone is. Yields between the longer steps.
    """
    ends = {axis: each for axis, each in enumerate(ends_in_tissue(problem)) if any(each) and _is_plain(problem, axis)}
    if not ends or not problem.sequences:
        return problem
    maps = yield from regressed(problem)
    left = lr_volumes(problem, problem.lr_maps) - problem.truncate(lr_volumes(problem, maps))
    open_axes = {axis: each for axis, each in ends.items() if not _are_joined(problem, maps, left, axis)}
    if not open_axes:
        return problem
    opened = _opened(problem, open_axes)
    changed = opened
    for _ in range(N_ROUNDS):
        maps = yield from regressed(changed)
        changed = _without_unseen(opened, changed, maps, open_axes)
    unseen = None if changed.unseen is None else changed.unseen.scaled(LEFT)
    return replace(changed, unseen=unseen, notices=(*problem.notices, _notice(problem, open_axes)))


def ends_in_tissue(problem: Problem) -> Iterator[Ends]:
    """Whether the field of view ends in tissue, first and last end of each axis."""
    for axis in range(3):
        across = tuple(each for each in range(3) if each != axis)
        tissue = problem.tissue.sum(across)
        planes = problem.lr_valid.any(across[1]).any(across[0]).nonzero().flatten()
        first, last = tissue[planes[[0, -1]]] > LEAST_TISSUE * tissue.max()
        yield bool(first), bool(last)


def _axis(problem: Problem, axis: int) -> tuple[int, int, float, float]:
    """HR and LR voxels along an axis, LR voxel edge and first centre in HR voxels."""
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    return problem.hr_grid.shape[axis], problem.lr_grid.shape[axis], float(spacing[axis]), float(first[axis])


def _is_plain(problem: Problem, axis: int) -> bool:
    """Whether LR voxels are larger than HR voxels along an axis, by truncation alone."""
    voxels = _axis(problem, axis)
    matrix = problem.truncate.matrices[axis]
    return voxels[2] > LEAST_SPACING and torch.equal(matrix, torch.as_tensor(truncation_matrix(*voxels)).to(matrix))


def _are_joined(problem: Problem, maps: Tensor, left: Tensor, axis: int) -> bool:
    """Whether the LR maps hold what HR maps ``(3, X, Y, Z)`` leave in them if truncation joins both ends of an axis.

    `left` ``(n, x, y, z)`` is what they hold beside truncated HR maps, or signals, if it does.
    """
    matrices = list(problem.truncate.matrices)
    matrices[axis] = matrices[axis] - _opened_operator(problem, (axis,)).matrices[axis]
    change = SeparableOperator((matrices[0], matrices[1], matrices[2]))(lr_volumes(problem, maps))
    where = problem.tissue & problem.lr_valid
    change, left = change[:, where], (left + change)[:, where]
    if problem.lr_signals is None:
        known = torch.tensor(problem.measured)
        change, left = change[known], left[known]
    shares = (change * left).sum(1) / change.square().sum(1).clamp(min=torch.finfo(change.dtype).tiny)
    return float(shares.median()) > JOINED


def _opened_operator(problem: Problem, axes: Collection[int]) -> TruncationOperator:
    """Operator that does not join the ends of some axes."""
    x, y, z = (
        torch.as_tensor(open_matrix(*_axis(problem, axis))).to(matrix) if axis in axes else matrix
        for axis, matrix in enumerate(problem.truncate.matrices)
    )
    return TruncationOperator((x, y, z), problem.truncate.n_hr_per_lr)


def _opened(problem: Problem, axes: Collection[int]) -> Problem:
    """Problem whose operator does not join the ends of some axes, also for the guides on the LR grid."""
    truncate = _opened_operator(problem, axes)
    return replace(problem, truncate=truncate, lr_guides=torch.stack([truncate(image) for image in problem.guides]))


def _without_unseen(measured: Problem, current: Problem, maps: Tensor, ends: Mapping[int, Ends]) -> Problem:
    """Problem whose LR maps are those `measured` without what comes from beyond the ends, given HR maps.

    The residual of the `current` LR maps tells how well HR maps ``(3, X, Y, Z)`` explain them.
    """
    volumes = lr_volumes(measured, maps)
    expected = measured.truncate(volumes)
    unseen = _covariance(measured, volumes, ends)
    variance = _variance(lr_volumes(current, current.lr_maps) - expected, measured.lr_valid)
    residual = (lr_volumes(measured, measured.lr_maps) - expected) * measured.lr_valid
    estimate = unseen.estimate(residual, variance)
    if measured.lr_signals is not None:
        estimate = multiply_voxelwise(lr_reading(measured, measured.lr_signals), estimate)
    return replace(measured, lr_maps=measured.lr_maps - estimate, lr_unseen=estimate, unseen=unseen)


def _covariance(problem: Problem, volumes: Tensor, ends: Mapping[int, Ends]) -> UnseenCovariance:
    """Covariance of what comes from beyond the ends, if volumes ``(n, X, Y, Z)`` vary there as they do inside."""
    dtype, known = volumes.dtype, torch.ones(len(volumes))
    if problem.lr_signals is None:
        known = torch.tensor(problem.measured, dtype=dtype)
        volumes = torch.minimum(volumes, torch.tensor(LARGEST, dtype=dtype).view(-1, 1, 1, 1))
    along, variances = [], torch.zeros(3, len(volumes), dtype=dtype)
    for axis in range(3):
        matrix = unseen_covariance(*_axis(problem, axis), ends.get(axis, (False, False)))
        if axis in ends:
            variances[axis] = known * _steps(volumes, axis, max(1, round(_axis(problem, axis)[2])))
        along.append(torch.as_tensor(matrix, dtype=dtype))
    x, y, z = along
    return UnseenCovariance((x, y, z), variances)


def _steps(volumes: Tensor, axis: int, n: int) -> Tensor:
    """Mean square difference ``(n,)`` of HR voxels that lie `n` apart along an axis, per voxel in between."""
    length = volumes.shape[axis + 1] - n
    difference = volumes.narrow(axis + 1, n, length) - volumes.narrow(axis + 1, 0, length)
    return MORE_VARIED * difference.square().mean((1, 2, 3)) / n


def _variance(residual: Tensor, valid: Tensor) -> Tensor:
    """Variance ``(n, x, y, z)`` of a residual around each voxel, at least that of most voxels."""
    usual = torch.stack([subsample(each[valid].abs()).median() for each in residual]) / NORMAL
    nearby = gaussian_average(residual.square() * valid, WINDOW)
    return torch.maximum(nearby, usual.square().view(-1, 1, 1, 1)).masked_fill(~valid, MISSING_VARIANCE)


def _notice(problem: Problem, axes: Iterable[int]) -> str:
    """Sentence on the axes along which the field of view ends in tissue."""
    along = np.abs(problem.lr_grid.affine[:3, :3]).argmax(axis=0)
    directions = joined([f"from {DIRECTIONS[along[axis]]}" for axis in axes])
    return f"The low-resolution maps end in tissue {directions}: what lies beyond and rings into them is allowed for."
