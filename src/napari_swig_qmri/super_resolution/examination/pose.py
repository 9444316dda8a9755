"""Pose of the guides against the LR maps: heads move between scans, and what is not corrected costs detail.

Every guide is moved to the maps, which are never resampled. A move is corrected where the head was displaced by more
than the fit can be wrong; all other guides stay exactly as they are. What a rigid move leaves, a smooth warp may
explain: gradients and susceptibility distort guides.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.super_resolution.examination.pose_contrasts import explaining_images
from napari_swig_qmri.super_resolution.examination.pose_fit import MOST_MISFIT, Fit, compared_voxels, fitted_pose
from napari_swig_qmri.super_resolution.examination.warp_fit import WarpFit, fitted_warp

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray, WeightedImage
    from napari_swig_qmri.data.warping import Warp
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LEAST_MOVE = 0.1  # mm, RMS over the head, that is corrected
LEAST_ERRORS = 4.0  # standard errors of the displacement that a move must exceed
LEAST_MISFITS = 0.35  # LR voxel edges, times the misfit, that a move must exceed: mixed voxels bias a poor fit
DECIMALS = 4  # of the numbers in the JSON


@dataclass(frozen=True, eq=False)
class Pose:
    """Rigid move of a guide to the LR maps, the identity if it was left alone, and what is warped after it."""

    affine: FloatArray  # (4, 4), from points of the guide to the same points in the maps, in mm
    shift: FloatArray  # (3,), of the centre of the head, in mm along the scanner axes
    warped: WarpFit | None = None  # with which the moved guide is read; None if it fits

    @property
    def degrees(self) -> float:
        """Angle of the rotation."""
        return float(np.degrees(Rotation.from_matrix(self.affine[:3, :3]).magnitude()))

    @property
    def is_corrected(self) -> bool:
        """Whether the guide moves at all."""
        return not np.array_equal(self.affine, np.eye(4))

    @property
    def warp(self) -> Warp | None:
        """Displacement of the HR voxels with which the moved guide is read; None if it is not warped."""
        return self.warped.warp if self.warped else None

    def to_json(self) -> dict[str, Any]:
        """Shift in mm, rotation in degrees and affine."""
        return {
            "shift_mm": self.shift.round(DECIMALS).tolist(),
            "rotation_deg": round(self.degrees, DECIMALS),
            "affine": self.affine.tolist(),
        }


def unmoved() -> Pose:
    """Pose of a guide that is left alone."""
    return Pose(np.eye(4), np.zeros(3))


def found_poses(problem: Problem, guides: Sequence[WeightedImage]) -> Generator[None, None, tuple[Pose, ...]]:
    """Pose of each guide against the LR maps of its problem; yields between the steps.

    `guides` are the images as they were measured, some of which the problem may hold sharpened.
    """
    head = compared_voxels(problem)
    poses = []
    for number, (guide, sequence) in enumerate(zip(guides, problem.sequences, strict=True)):
        yield
        image, valid = yield from _on_hr_grid(problem, number, guide)
        explaining = explaining_images(problem, sequence, guide.grid)
        fit = yield from fitted_pose(problem, image, valid, explaining, head)
        poses.append(_pose_of(fit, problem.lr_grid) if fit else unmoved())
    return tuple(poses)


def with_warps(
    problem: Problem, guides: Sequence[WeightedImage], poses: Sequence[Pose]
) -> Generator[None, None, tuple[Pose, ...]]:
    """Poses with the warps of guides that were moved to them; yields between the steps.

    Guides with thick slices are only moved.
    """
    head, coarse = compared_voxels(problem), {each.guide for each in problem.coarse}
    warped = []
    for number, (guide, sequence, pose) in enumerate(zip(guides, problem.sequences, poses, strict=True)):
        yield
        fit = None
        if number not in coarse:
            explaining = explaining_images(problem, sequence, guide.grid)
            image, valid = problem.guides[number], problem.guide_valid[number]
            fit = yield from fitted_warp(problem, image, valid, explaining, head)
        warped.append(replace(pose, warped=fit))
    return tuple(warped)


def _on_hr_grid(problem: Problem, number: int, guide: WeightedImage) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """A guide on the HR grid without the detail of another one, and its measured voxels."""
    if not any(each.guide == number for each in problem.coarse):
        return problem.guides[number], problem.guide_valid[number]
    data, seen = yield from resampled(guide.data, has_value(guide.data), guide.grid, problem.hr_grid)
    return torch.as_tensor(data, dtype=problem.guides.dtype), torch.as_tensor(seen)


def _pose_of(fit: Fit, lr_grid: VoxelGrid) -> Pose:
    """The pose that was found, if it can be trusted and matters."""
    edge = float(np.prod(lr_grid.voxel_size)) ** (1 / 3)
    least = max(LEAST_MOVE, LEAST_ERRORS * fit.error, LEAST_MISFITS * edge * fit.misfit)
    if not fit.converged or fit.misfit > MOST_MISFIT or fit.displacement < least:
        return unmoved()
    centre = fit.points.mean(axis=0)
    return Pose(fit.affine, apply_affine(fit.affine, centre) - centre)


def moved_guides(guides: Sequence[WeightedImage], poses: Sequence[Pose]) -> tuple[WeightedImage, ...]:
    """Guides with the affines of their poses; their voxels are as measured."""
    return tuple(
        replace(guide, grid=VoxelGrid(guide.grid.shape, pose.affine @ guide.grid.affine))
        if pose.is_corrected
        else guide
        for guide, pose in zip(guides, poses, strict=True)
    )
