"""Zero-filled guides that stay on their stored voxels, compared at the frequencies that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.super_resolution.examination.stored_guides import measured_grid
from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import WeightedImage
    from napari_swig_qmri.super_resolution.preparation.problem import Problem


def with_guide_support(problem: Problem, guides: Sequence[WeightedImage]) -> Problem:
    """Problem in which zero-filled guides on the HR grid are also compared on their measured voxels, with notices.

    Their voxels count less, as those of sharpened guides do.
    """
    coarse, notices = list(problem.coarse), []
    for number, guide in enumerate(guides):
        is_coarse = any(each.guide == number for each in problem.coarse)
        if is_coarse or not guide.grid.is_aligned_with(problem.hr_grid):
            continue
        grid = measured_grid(guide)
        if grid.shape == guide.grid.shape:
            continue
        truncate = KSpaceTruncation(problem.hr_grid, grid, dtype=problem.guides.dtype)
        image = truncate(problem.guides[number])
        valid = truncate(problem.guide_valid[number].to(image.dtype)) > 0.5
        coarse.append(
            CoarseGuide(guide=number, image=image, valid=valid, average=truncate, outside=torch.zeros_like(image))
        )
        notices.append(
            f"{guide.name} is stored with voxels of {size_text(guide.grid.voxel_size)} mm, but was measured with "
            f"{size_text(grid.voxel_size)} mm: its spectrum ends there. It is compared at this resolution."
        )
    return replace(problem, coarse=tuple(coarse), notices=(*problem.notices, *notices)) if notices else problem
