"""Zero-filled guides that stay on their stored voxels, compared at the frequencies that were measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.blur import band_limit
from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination.stored_guides import measured_grid
from napari_swig_qmri.super_resolution.observations.deblurring import deblurred
from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide
from napari_swig_qmri.super_resolution.solver.prediction import guide_noise_levels

if TYPE_CHECKING:
    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import WeightedImage
    from napari_swig_qmri.super_resolution.preparation.problem import Problem


def with_guide_support(problem: Problem, guides: Sequence[WeightedImage]) -> Problem:
    """Problem in which zero-filled guides on the HR grid are also compared on their measured voxels, with notices.

    Their voxels count less, as those of sharpened guides do.
    """
    coarse, notices = list(problem.coarse), []
    limits: dict[int, SeparableOperator] = {}
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
        limits[number] = band_limit(problem.hr_grid, grid.shape, image.dtype)
        notices.append(
            f"{guide.name} is stored with voxels of {size_text(guide.grid.voxel_size)} mm, but was measured with "
            f"{size_text(grid.voxel_size)} mm: its spectrum ends there. It is "
            "sharpened, and compared at this resolution."
        )
    if not notices:
        return problem
    sharpened = with_sharpened_guides(problem, limits)
    return replace(sharpened, coarse=tuple(coarse), notices=(*problem.notices, *notices))


def with_sharpened_guides(problem: Problem, operators: Mapping[int, SeparableOperator]) -> Problem:
    """Problem in which guides, by their number, have lost what operators on the HR grid did to them."""
    levels = problem.guide_levels
    noise = drained(guide_noise_levels(problem)) / levels
    scale = levels.view(-1, 1, 1, 1)
    guides = scale * drained(deblurred(problem.guides / scale, operators, noise))
    lr_guides = problem.lr_guides.clone()
    for number in operators:
        if not problem.sequences[number].is_signed:
            guides[number].clamp_(min=0)
        lr_guides[number] = problem.truncate(guides[number])
    return replace(problem, guides=guides, lr_guides=lr_guides)
