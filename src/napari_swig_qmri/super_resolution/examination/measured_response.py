"""Problems whose operator does to HR maps what was done to the LR maps, found from a part of the head."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import TruncationOperator, relative_axes
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.observations.lr_response import Axis, Response, fitted_responses, in_words
from napari_swig_qmri.super_resolution.preparation.coverage import DIRECTIONS
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
LEAST_PD, MOST_T2 = 0.35, 0.4  # relative to water and in s, of voxels that are compared
LEAST_GAINS = (0.06, 0.1, 0.2)  # in each round, shares of the misfit that the response along an axis must remove: the
# solution approaches the truth. In the last round, 0.24 or more were found with a window, 0.16 or less without one.
MOST_VOXELS = 150_000  # HR voxels of the part of the head
MARGIN = 2  # LR voxels at its ends that are not compared


def with_measured_response(problem: Problem) -> Generator[None, None, Problem]:
    """Problem with the operator that explains its LR maps, and a notice if this is not truncation alone.

    It is found in the middle of the head. Nothing can be found without guides, PD, T1 or T2.
    """
    if not problem.sequences or not all(problem.measured):
        return problem
    box = middle_of_head(problem)
    head = _compared(problem, box)
    changed = problem
    responses: tuple[Response | None, ...] = ()
    for least_gain in LEAST_GAINS if head.any() else ():
        maps = yield from loosely_solved(changed, box)
        responses = fitted_responses(maps.numpy(), problem.lr_maps.numpy(), head.numpy(), _axes(problem), least_gain)
        if not any(responses):
            return problem
        changed = _with(problem, responses)
        yield
    along = np.abs(problem.lr_grid.affine[:3, :3]).argmax(axis=0)
    notice = in_words(responses, [DIRECTIONS[axis] for axis in along])
    return replace(changed, notices=(*problem.notices, notice)) if any(responses) else problem


def middle_of_head(problem: Problem) -> Box:
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


def _compared(problem: Problem, box: Box) -> Tensor:
    """LR voxels ``(x, y, z)`` of the head inside a box, without CSF."""
    solid = (problem.lr_maps[0] > LEAST_PD) & (problem.lr_maps[2] < MOST_T2)
    return solid & inner_voxels(problem, box) & problem.lr_valid


def inner_voxels(problem: Problem, box: Box) -> Tensor:
    """LR voxels ``(x, y, z)`` inside a box, without those near its ends; boolean."""
    inside = torch.zeros_like(problem.lr_valid)
    inside[tuple(_inner(each, n) for each, n in zip(box.lr, problem.lr_grid.shape, strict=True))] = True
    return inside


def _inner(part: slice, n: int) -> slice:
    """Part of `n` voxels without those near the ends that lie inside."""
    return slice(part.start + MARGIN * (part.start > 0), part.stop - MARGIN * (part.stop < n))


def _axes(problem: Problem) -> list[Axis]:
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    return list(zip(problem.hr_grid.shape, problem.lr_grid.shape, spacing.tolist(), first.tolist(), strict=True))


def loosely_solved(problem: Problem, box: Box) -> Generator[None, None, Tensor]:
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


def _with(problem: Problem, responses: tuple[Response | None, ...]) -> Problem:
    """Problem with the operator of responses, also for the guides on the LR grid."""
    dtype = problem.lr_maps.dtype
    x, y, z = (
        matrix if response is None else torch.as_tensor(response.matrix, dtype=dtype)
        for matrix, response in zip(problem.truncate.matrices, responses, strict=True)
    )
    truncate = TruncationOperator((x, y, z), problem.truncate.n_hr_per_lr)
    lr_guides = torch.stack([truncate(image) for image in problem.guides])
    return replace(problem, truncate=truncate, lr_guides=lr_guides)
