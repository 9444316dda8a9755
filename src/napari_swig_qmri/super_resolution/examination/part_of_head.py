"""Parts of the head, solved so that they follow the guides: what the LR maps contradict there is examined."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.gains import start_gains
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.head_box import Box, box_of, crop_to_box, find_head_box
from napari_swig_qmri.super_resolution.solver.prediction import (
    Noise,
    Prediction,
    make_posterior,
    predict,
)
from napari_swig_qmri.super_resolution.solver.regression import interpolate_with_floor

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LOOSE = 0.1  # relative noise of LR maps with which the solution follows the guides
N_STEPS, N_STEPS_OF_PARTS = 2, 4  # of Gauss-Newton: in the middle, and in all parts
N_PLANES = 16  # linearised at a time
MOST_VOXELS = 100_000  # HR voxels of the middle
MOST_IN_PARTS = 400_000  # HR voxels of all parts together; a head with fewer is one part
PARTS_PER_AXIS = 2
LEAST_TISSUE = 500  # LR voxels of a part, one of several
MARGIN = 2  # LR voxels at the ends of a part that are not compared


@dataclass(frozen=True, eq=False)
class SolvedPart:
    """Maps that follow the guides in parts of the head, and are interpolated elsewhere."""

    maps: Tensor  # (3, X, Y, Z)
    inner: Tensor  # (x, y, z), boolean: measured LR voxels of the part, away from its ends

    @property
    def rows(self) -> Slices:
        """LR voxels of the smallest box that holds `inner`."""
        x, y, z = (self.inner.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist() for axis in range(3))
        return _between(x), _between(y), _between(z)


@dataclass(frozen=True, eq=False)
class LoosePart:
    """A part of the head whose LR maps count so little that its solution follows the guides."""

    problem: Problem
    prediction: Prediction

    @property
    def inner(self) -> Tensor:
        """Measured LR voxels ``(x, y, z)`` away from the ends, boolean."""
        inside = torch.zeros_like(self.problem.lr_valid)
        inside[tuple(slice(MARGIN, n - MARGIN) for n in inside.shape)] = True
        return inside & self.problem.lr_valid

    def with_sequences(self, sequences: Sequence[SignalModel]) -> LoosePart:
        """The same part with other sequences of the guides."""
        return replace(self, problem=replace(self.problem, sequences=tuple(sequences)))

    def solved(self, n_steps: int, start: Tensor | None = None) -> Generator[None, None, Tensor]:
        """Log maps ``(3, X, Y, Z)`` after some Gauss-Newton steps from `start`, or else from the regression."""
        posterior = make_posterior(self.problem, self.prediction, start_gains(self.problem))
        begin = Iterate.at(posterior.prior_mean if start is None else start, posterior)
        refining = refine(posterior, begin, n_steps=n_steps, n_planes=N_PLANES)
        return (yield from mapped(refining, lambda _: None)).log_maps


def _between(indices: Sequence[int]) -> slice:
    return slice(indices[0], indices[-1] + 1) if indices else slice(0, 0)


def can_be_examined(problem: Problem) -> bool:
    """Whether there are guides, and maps of all quantities."""
    return bool(problem.sequences) and all(problem.measured)


def solved_part(problem: Problem) -> Generator[None, None, SolvedPart]:
    """Solve the middle of the head with LR maps that count little; yields between the steps."""
    box = find_head_box(problem)
    middle = problem.tissue.nonzero().float().mean(0).tolist()
    return (yield from _solved(problem, [_around(problem, box, middle, MOST_VOXELS)], N_STEPS))


def solved_parts(problem: Problem) -> Generator[None, None, SolvedPart]:
    """Solve the head in the same way, or parts on all its sides if it is large."""
    box = find_head_box(problem)
    if _n_voxels(box) <= MOST_IN_PARTS:
        return (yield from _solved(problem, [box], N_STEPS_OF_PARTS))
    places = (np.arange(PARTS_PER_AXIS) + 0.5) / PARTS_PER_AXIS
    centres = product(*(each.start + places * (each.stop - each.start) for each in box.lr))
    most = MOST_IN_PARTS // PARTS_PER_AXIS**3
    parts = [_around(problem, box, centre, most) for centre in centres]
    parts = [part for part in parts if problem.tissue[part.lr].sum() > LEAST_TISSUE]
    return (yield from _solved(problem, parts, N_STEPS_OF_PARTS))


def _n_voxels(box: Box) -> int:
    return math.prod(each.stop - each.start for each in box.hr)


def _around(problem: Problem, box: Box, centre: Sequence[float], most: int) -> Box:
    """The box, or the part of it with at most `most` HR voxels around a centre in LR voxels."""
    share = (most / _n_voxels(box)) ** (1 / 3)
    if share >= 1:
        return box
    lr = []
    for middle, whole in zip(centre, box.lr, strict=True):
        length = max(1, int(share * (whole.stop - whole.start)))
        start = min(max(whole.start, round(middle - length / 2)), whole.stop - length)
        lr.append(slice(start, start + length))
    return box_of(problem, (lr[0], lr[1], lr[2]))


def _inner(part: slice, n: int) -> slice:
    """Part of `n` voxels without those near the ends that lie inside."""
    return slice(part.start + MARGIN * (part.start > 0), part.stop - MARGIN * (part.stop < n))


def _solved(problem: Problem, boxes: Sequence[Box], n_steps: int) -> Generator[None, None, SolvedPart]:
    """Maps that follow the guides in boxes, and the LR voxels inside."""
    around = interpolate_with_floor(problem.lr_maps, problem.truncate)
    maps, inner = around.clone(), torch.zeros_like(problem.lr_valid)
    for box in boxes:
        maps[(slice(None), *box.hr)] = yield from _solved_box(problem, box, around, n_steps)
        inner[tuple(_inner(each, n) for each, n in zip(box.lr, problem.lr_grid.shape, strict=True))] = True
    return SolvedPart(maps, inner & problem.lr_valid)


def _solved_box(problem: Problem, box: Box, around: Tensor, n_steps: int) -> Generator[None, None, Tensor]:
    """Maps of a box that follow the guides, given interpolated maps ``(3, X, Y, Z)`` around it."""
    part = yield from _loose_part(problem, box, around)
    return (yield from part.solved(n_steps)).exp()


def loose_middle(problem: Problem, most: int) -> Generator[None, None, LoosePart]:
    """The middle of the head, with at most `most` HR voxels; yields between the steps."""
    middle = problem.tissue.nonzero().float().mean(0).tolist()
    box = _around(problem, find_head_box(problem), middle, most)
    return (yield from _loose_part(problem, box, interpolate_with_floor(problem.lr_maps, problem.truncate)))


def _loose_part(problem: Problem, box: Box, around: Tensor) -> Generator[None, None, LoosePart]:
    problem = replace(problem, lr_signals=None, lr_outside=torch.zeros_like(problem.lr_maps))
    lr_noise = torch.full((3,), LOOSE, dtype=problem.lr_maps.dtype)
    unknown = Prediction(maps=around, covariance=torch.eye(3), noise=Noise(lr_maps=lr_noise, guides=lr_noise))
    part, _ = crop_to_box(problem, unknown, box)
    return LoosePart(part, (yield from predict(part, lr_noise, refit_t2=False)))  # which would follow the LR maps
