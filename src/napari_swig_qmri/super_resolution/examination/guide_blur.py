"""Problems whose blurred guides are sharpened and compared as measured, with the width found from the LR maps.

The LR maps tell the contrast of a guide up to their highest frequency. A voxel that holds several tissues has not the
signal of its mean maps; the difference is taken from a solved part of the head, which is solved again with the blur
that was found.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.blur import gaussian_blur
from napari_swig_qmri.super_resolution.examination.guide_support import with_sharpened_guides
from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart, solved_part
from napari_swig_qmri.super_resolution.observations.guide_width import Width, fitted_width
from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide
from napari_swig_qmri.super_resolution.preparation.problem import seen_share, with_floor

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LEAST_PD, MOST_T2 = 0.35, 0.4  # relative to water and in s, of voxels that are compared
LEAST_WIDTHS = (1.4, 1.0, 1.3)  # HR voxels, in each round: the first one finds the blur of one guide in another, too
OVERESTIMATE = 1.1  # of the widths: the solution stays smoother than the head; 0.97 to 1.25 on two simulated heads
LEAST_GAIN = 0.04  # share of the misfit that the blur must explain along two axes of three
LEAST_VOXELS = 500  # LR voxels that are compared
LEAST_SEEN = 0.9  # share of an LR voxel that a guide has measured


def with_guide_blur(
    problem: Problem, part: SolvedPart, unexplained: Collection[int] = ()
) -> Generator[None, None, tuple[Problem, SolvedPart, Mapping[int, float]]]:
    """Problem in which blurred guides are sharpened and compared as measured, its part, and their blur in mm.

    `part` is that of the problem as it is. Guides whose contrast is `unexplained` are left out, since a wrong contrast
    looks like blur. Nothing changes without a blurred guide.
    """
    changed, again = problem, part
    widths: Mapping[int, float] = {}
    for least in LEAST_WIDTHS:
        found = _fitted(problem, again, unexplained)
        edge = max(problem.hr_grid.voxel_size)
        scale = OVERESTIMATE if least == LEAST_WIDTHS[-1] else 1.0
        widths = {guide: each.fwhm / scale for guide, each in found.items() if each.fwhm > least * edge}
        if not any(each.gain > LEAST_GAIN and each.fwhm > LEAST_WIDTHS[0] * edge for each in found.values()):
            return problem, part, {}
        yield
        changed = yield from _sharpened(problem, widths)
        again = yield from solved_part(changed)
    return changed, again, widths


def _fitted(problem: Problem, part: SolvedPart, unexplained: Collection[int]) -> dict[int, Width]:
    """Blur of the guides of a problem, in mm, given a part that may have been solved without it."""
    lr_maps = with_floor(problem.lr_maps)
    maps = part.maps
    averages = with_floor(problem.truncate(maps))
    compared = part.inner & (problem.lr_maps[0] > LEAST_PD) & (problem.lr_maps[2] < MOST_T2)
    found = {}
    for guide, (sequence, measured) in enumerate(zip(problem.sequences, problem.lr_guides, strict=True)):
        seen = seen_share(problem, problem.guide_valid[guide]) > LEAST_SEEN
        where, tissue = compared & seen, problem.tissue & seen
        is_coarse = any(each.guide == guide for each in problem.coarse)
        if is_coarse or guide in unexplained or int(where.sum()) < LEAST_VOXELS or not tissue.any():
            continue
        expected = sequence(*lr_maps) + problem.truncate(sequence(*maps)) - sequence(*averages)
        gain = float((measured[tissue] / expected[tissue]).median())
        found[guide] = _width(problem, expected.numpy(), (measured / gain).numpy(), where)
    return found


def _width(problem: Problem, expected: FloatArray, measured: FloatArray, where: Tensor) -> Width:
    """Width in mm of a blur that is the same along all axes: the median of the axes."""
    fits = [fitted_width(expected, measured, where.numpy(), axis) for axis in range(3)]
    squares = [
        np.sign(each.fwhm) * (each.fwhm * edge) ** 2
        for each, edge in zip(fits, problem.lr_grid.voxel_size, strict=True)
    ]
    width = float(np.sqrt(max(0.0, float(np.median(squares)))))
    return Width(width, float(np.median([each.gain for each in fits])))


def _sharpened(problem: Problem, widths: Mapping[int, float]) -> Generator[None, None, Problem]:
    """Problem in which guides with a blur of these widths in mm are sharpened, and compared as measured."""
    if not widths:
        return problem
    yield
    dtype = problem.guides.dtype
    operators = {guide: gaussian_blur(problem.hr_grid, (width,) * 3, dtype) for guide, width in widths.items()}
    coarse = [
        CoarseGuide(
            guide=guide,
            image=problem.guides[guide],
            valid=problem.guide_valid[guide],
            average=operator,
            outside=torch.zeros_like(problem.guides[guide]),
        )
        for guide, operator in operators.items()
    ]
    return replace(with_sharpened_guides(problem, operators), coarse=(*problem.coarse, *coarse))
