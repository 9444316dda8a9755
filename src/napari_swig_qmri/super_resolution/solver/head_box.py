"""The part of a problem that holds the head: the air around it, often more than half of the voxels, is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_swig_qmri.data.truncation import EVERYWHERE, Slices, relative_axes
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.observation import rows_in

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.sequence import SignalModel
    from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide
    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.prediction import Prediction

HEAD = 0.2  # PD relative to water, above which a voxel belongs to the head
HEAD_WINDOW = 1.0  # standard deviation in LR voxels of the average of PD, which suppresses specks of noise
HEAD_MARGIN = 3  # LR voxels to each side
SMALLEST = 1e-3  # of the maps outside the box, whose contrast is computed
TOLERANCE = 1e-4  # HR voxels; centres that coincide may differ by rounding of the affines


@dataclass(frozen=True)
class Box:
    """A box of LR voxels, and the HR voxels between their centres.

    Where the box reaches an end of the LR grid, its HR voxels reach the end of the HR grid.
    """

    hr: Slices
    lr: Slices


def find_head_box(problem: Problem) -> Box:
    """Bounding box of the head with a margin. Falls back to all measured voxels where PD is low or missing."""
    high = gaussian_average(problem.lr_maps[0], HEAD_WINDOW) > HEAD
    head = problem.lr_valid & high if (problem.lr_valid & high).any() else problem.lr_valid
    lr = []
    for axis, n_lr in enumerate(problem.lr_grid.shape):
        planes = head.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
        lr.append(slice(max(0, planes[0] - HEAD_MARGIN), min(n_lr, planes[-1] + 1 + HEAD_MARGIN)))
    return box_of(problem, (lr[0], lr[1], lr[2]))


def box_of(problem: Problem, lr: Slices) -> Box:
    """Box of the LR voxels `lr`."""
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    hr = []
    for axis, (n, n_lr) in enumerate(zip(problem.hr_grid.shape, problem.lr_grid.shape, strict=True)):
        start, end = first[axis] + spacing[axis] * lr[axis].start, first[axis] + spacing[axis] * (lr[axis].stop - 1)
        begin = 0 if lr[axis].start == 0 else max(0, math.ceil(start - TOLERANCE))
        hr.append(slice(begin, n if lr[axis].stop == n_lr else min(n, math.floor(end + TOLERANCE) + 1)))
    return Box((hr[0], hr[1], hr[2]), lr)


def crop_to_box(problem: Problem, prediction: Prediction, box: Box) -> tuple[Problem, Prediction]:
    """Problem and prediction inside a box, with the maps outside it held at the prediction.

    Where the LR maps were not measured, the maps outside are held at 0.
    """
    hr, lr = (slice(None), *box.hr), (slice(None), *box.lr)
    inside, truncate = prediction.maps[hr], problem.truncate.restricted(box.hr, box.lr)
    held = prediction.maps
    if not problem.lr_seen.all():
        held = held * (problem.interpolate(problem.lr_seen.to(inside.dtype)) > 0.5)
    volumes = held if problem.lr_signals is None else problem.lr_signals(held)
    part = replace(
        problem,
        hr_grid=problem.hr_grid.box(*_corner_and_shape(box.hr)),
        lr_grid=problem.lr_grid.box(*_corner_and_shape(box.lr)),
        lr_maps=problem.lr_maps[lr],
        lr_outside=problem.truncate.restricted(EVERYWHERE, box.lr)(volumes) - truncate(volumes[hr]),
        lr_seen=problem.lr_seen[box.lr],
        lr_valid=problem.lr_valid[box.lr],
        guides=problem.guides[hr],
        lr_guides=problem.lr_guides[lr],
        guide_valid=problem.guide_valid[hr],
        coarse=tuple(_cropped(each, problem.sequences[each.guide], held, box.hr) for each in problem.coarse),
        truncate=truncate,
        sharpen=None if problem.sharpen is None else problem.sharpen.restricted(box.lr, box.lr),
        interpolate=problem.interpolate.restricted(box.lr, box.hr),
        tissue=problem.tissue[box.lr],
        lr_unseen=None if problem.lr_unseen is None else problem.lr_unseen[lr],
        unseen=None if problem.unseen is None else problem.unseen.restricted(box.lr),
    )
    unmeasured = prediction.unmeasured
    return part, replace(prediction, maps=inside, unmeasured=None if unmeasured is None else unmeasured[hr])


def _cropped(coarse: CoarseGuide, sequence: SignalModel, held: Tensor, hr: Slices) -> CoarseGuide:
    """Voxels of a coarse guide inside a block of HR voxels, with the maps outside held at `held` ``(3, X, Y, Z)``."""
    rows = rows_in(coarse.average, hr)
    average = coarse.average.restricted(hr, rows)
    signal = sequence(*held.clamp(min=SMALLEST))
    return replace(
        coarse,
        image=coarse.image[rows],
        valid=coarse.valid[rows],
        average=average,
        outside=coarse.average(signal)[rows] - average(signal[hr]),
    )


def insert_box(inside: Tensor, box: Box, outside: Tensor) -> Tensor:
    """Copy of the volumes `outside` ``(..., X, Y, Z)`` with the values `inside` in a box."""
    whole = outside.clone()
    whole[(..., *box.hr)] = inside
    return whole


def _corner_and_shape(slices: Slices) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    x, y, z = slices
    return (x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start)
