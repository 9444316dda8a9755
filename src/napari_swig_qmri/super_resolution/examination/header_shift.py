"""Maps whose header puts them a part of a voxel beside the guides.

If all guides moved alike, the images cannot tell whether they moved or the maps. The fields of view can: programs that
take the first corner of an image for the centre of its first voxel, or copy the origin of one grid to another, write
maps that would have the field of view of a guide but for a shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, from_matvec

from napari_swig_qmri.data.volumes import VoxelGrid

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, WeightedImage
    from napari_swig_qmri.super_resolution.examination.pose import Pose

COINCIDENT = 0.12  # LR voxels between two places that are the same
APART = 0.2  # LR voxels between the ends of fields of view that differ
LEAST_TURN = 0.5  # degrees


def header_shift(
    maps: QuantitativeMaps, guides: Sequence[WeightedImage], poses: Sequence[Pose] | None
) -> FloatArray | None:
    """Shift ``(3,)`` in mm that brings maps to the guides if their header is wrong; None if it is not.

    All guides must have moved alike without turning, and the maps, moved back, must end where a guide ends, on all six
    sides, which they did not before.
    """
    if not poses or not all(pose.is_corrected and pose.degrees < LEAST_TURN for pose in poses):
        return None
    moves, tolerance = np.stack([pose.shift for pose in poses]), COINCIDENT * min(maps.grid.voxel_size)
    if np.abs(moves - moves.mean(axis=0)).max() > tolerance:
        return None
    for guide in guides:
        low, high = _ends_of(guide.grid, maps.grid)
        shift = (low + high) / 2
        apart = np.abs([low, high]).max()
        remaining = apply_affine(_linear(maps.grid), shift) + moves.mean(axis=0)
        is_same = np.abs(high - low).max() < COINCIDENT
        if apart > APART and is_same and np.linalg.norm(remaining) < tolerance:
            return np.asarray(apply_affine(_linear(maps.grid), shift))
    return None


def with_shifted_header(maps: QuantitativeMaps, shift: FloatArray) -> QuantitativeMaps:
    """Maps whose origin is moved by a shift ``(3,)`` in mm."""
    affine = from_matvec(np.eye(3), shift) @ maps.grid.affine
    return replace(maps, grid=VoxelGrid(maps.grid.shape, affine))


def shift_notice(shift: FloatArray) -> str:
    """Sentence on maps whose header was corrected."""
    return (
        f"All guides show the head {np.linalg.norm(shift):.1f} mm beside the maps, whose field of view is that of a "
        "guide but for this shift: the header of the maps is off by part of a voxel. They were moved."
    )


def _ends_of(grid: VoxelGrid, other: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """Distances ``(3,)`` from the two ends of `other` along its axes to those of `grid`, in voxels of `other`."""
    corners = np.stack(np.meshgrid(*([-0.5, n - 0.5] for n in grid.shape), indexing="ij"), -1).reshape(-1, 3)
    there = apply_affine(np.linalg.inv(other.affine) @ grid.affine, corners)
    return there.min(axis=0) + 0.5, there.max(axis=0) - (np.asarray(other.shape) - 0.5)


def _linear(grid: VoxelGrid) -> FloatArray:
    """Affine ``(4, 4)`` of a grid without its origin."""
    return np.asarray(from_matvec(grid.affine[:3, :3], np.zeros(3)))
