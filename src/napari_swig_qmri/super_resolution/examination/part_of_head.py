"""The middle of the head, solved so that it follows the guides: what the LR maps contradict there is examined."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.gains import start_gains
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.head_box import Box, box_of, crop_to_box, find_head_box, insert_box
from napari_swig_qmri.super_resolution.solver.prediction import (
    Noise,
    Prediction,
    interpolate_with_floor,
    make_posterior,
    predict,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LOOSE = 0.1  # relative noise of LR maps with which the solution follows the guides
N_STEPS = 2  # of Gauss-Newton
N_PLANES = 16  # linearised at a time
MOST_VOXELS = 100_000  # HR voxels of the part
MARGIN = 2  # LR voxels at its ends that are not compared


@dataclass(frozen=True, eq=False)
class SolvedPart:
    """Maps that follow the guides in a part of the head, and are interpolated elsewhere."""

    maps: Tensor  # (3, X, Y, Z)
    inner: Tensor  # (x, y, z), boolean: measured LR voxels of the part, away from its ends


def can_be_examined(problem: Problem) -> bool:
    """Whether there are guides, and maps of all quantities."""
    return bool(problem.sequences) and all(problem.measured)


def solved_part(problem: Problem) -> Generator[None, None, SolvedPart]:
    """Solve a part of the head with LR maps that count little; yields between the steps."""
    box = _middle(problem)
    inner = torch.zeros_like(problem.lr_valid)
    inner[tuple(_inner(each, n) for each, n in zip(box.lr, problem.lr_grid.shape, strict=True))] = True
    maps = yield from _solved(problem, box)
    return SolvedPart(maps, inner & problem.lr_valid)


def _middle(problem: Problem) -> Box:
    """Box of the head, or a part of it in the middle of the tissue."""
    box = find_head_box(problem)
    share = (MOST_VOXELS / math.prod(each.stop - each.start for each in box.hr)) ** (1 / 3)
    if share >= 1:
        return box
    middle = problem.tissue.nonzero().float().mean(0).tolist()
    lr = []
    for centre, whole in zip(middle, box.lr, strict=True):
        length = max(1, int(share * (whole.stop - whole.start)))
        start = min(max(whole.start, round(centre - length / 2)), whole.stop - length)
        lr.append(slice(start, start + length))
    return box_of(problem, (lr[0], lr[1], lr[2]))


def _inner(part: slice, n: int) -> slice:
    """Part of `n` voxels without those near the ends that lie inside."""
    return slice(part.start + MARGIN * (part.start > 0), part.stop - MARGIN * (part.stop < n))


def _solved(problem: Problem, box: Box) -> Generator[None, None, Tensor]:
    """Maps ``(3, X, Y, Z)`` that follow the guides in a box, and are interpolated elsewhere."""
    problem = replace(problem, lr_signals=None, lr_outside=torch.zeros_like(problem.lr_maps))
    lr_noise = torch.full((3,), LOOSE, dtype=problem.lr_maps.dtype)
    around = interpolate_with_floor(problem.lr_maps, problem.truncate)
    unknown = Prediction(maps=around, covariance=torch.eye(3), noise=Noise(lr_maps=lr_noise, guides=lr_noise))
    part, _ = crop_to_box(problem, unknown, box)
    prediction = yield from predict(part, lr_noise)
    posterior = make_posterior(part, prediction, start_gains(part))
    start = Iterate.at(posterior.prior_mean, posterior)
    refining = refine(posterior, start, n_steps=N_STEPS, n_planes=N_PLANES)
    log_maps = (yield from mapped(refining, lambda _: None)).log_maps
    return insert_box(log_maps.exp(), box, around)
