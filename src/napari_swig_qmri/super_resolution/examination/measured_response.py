"""Problems whose operator does to HR maps what was done to the LR maps, found from a part of the head."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import SeparableOperator, TruncationOperator, relative_axes
from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart, solved_part
from napari_swig_qmri.super_resolution.observations.lr_response import (
    Axis,
    Response,
    fitted_responses,
    in_words,
    sharpening_matrix,
)
from napari_swig_qmri.super_resolution.preparation.coverage import DIRECTIONS

if TYPE_CHECKING:
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LEAST_PD, MOST_T2 = 0.35, 0.4  # relative to water and in s, of voxels that are compared
LEAST_GAINS = (0.06, 0.1, 0.2)  # in each round, shares of the misfit that the response along an axis must remove: the
# solution approaches the truth. In the last round, 0.24 or more were found with a window, 0.16 or less without one.


def with_measured_response(problem: Problem, part: SolvedPart) -> Generator[None, None, tuple[Problem, SolvedPart]]:
    """Problem with the operator that explains its LR maps, a notice if this is not truncation alone, and its part.

    `part` is that of the problem as it is.
    """
    changed, again = problem, part
    responses: tuple[Response | None, ...] = ()
    head = part.inner & (problem.lr_maps[0] > LEAST_PD) & (problem.lr_maps[2] < MOST_T2)
    for least_gain in LEAST_GAINS if head.any() else ():
        maps, lr_maps = again.maps.numpy(), problem.lr_maps.numpy()
        responses = fitted_responses(maps, lr_maps, head.numpy(), _axes(problem), least_gain)
        if not any(responses):
            return problem, part
        changed = _with(problem, responses)
        yield
        again = yield from solved_part(changed)
    if not any(responses):
        return problem, part
    along = np.abs(problem.lr_grid.affine[:3, :3]).argmax(axis=0)
    notice = in_words(responses, [DIRECTIONS[axis] for axis in along])
    return replace(changed, notices=(*problem.notices, notice)), again


def _axes(problem: Problem) -> list[Axis]:
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    return list(zip(problem.hr_grid.shape, problem.lr_grid.shape, spacing.tolist(), first.tolist(), strict=True))


def _with(problem: Problem, responses: tuple[Response | None, ...]) -> Problem:
    """Problem with the operator of responses, also for the guides on the LR grid, and what sharpens LR images."""
    matrices, sharpening = list(problem.truncate.matrices), [torch.eye(n) for n in problem.lr_grid.shape]
    for axis, response in enumerate(responses):
        plain = matrices[axis]
        if response is not None:
            matrices[axis] = torch.as_tensor(response.matrix, dtype=plain.dtype)
            if not response.is_average:
                sharpening[axis] = torch.as_tensor(sharpening_matrix(response.matrix, plain.numpy()))
    x, y, z = matrices
    truncate = TruncationOperator((x, y, z), problem.truncate.n_hr_per_lr)
    lr_guides = torch.stack([truncate(image) for image in problem.guides])
    x, y, z = (matrix.to(problem.lr_maps.dtype) for matrix in sharpening)
    return replace(problem, truncate=truncate, lr_guides=lr_guides, sharpen=SeparableOperator((x, y, z)))
