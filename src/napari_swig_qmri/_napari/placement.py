"""Placement of volumes in a viewer: display frames, and arrays with the axes ``(..., S, A, R)``.

This is the only module that reorders axes for display. Shown axes point to superior, anterior and right, in mm.
Viewers slice along the axes of an array, so a layer is placed by a scale and a translation alone. A tilted volume is
therefore shown in a display frame: the frame of the scanner, rotated about its origin until the axes of the volume are
straight. Volumes with the same tilt share that frame exactly. A volume with another tilt, or with a shear, is
interpolated for display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spaces import vox2out_vox

from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid

SPACE_AXES = ("S", "A", "R")
STRAIGHT = float(np.sin(np.deg2rad(0.1)))  # an axis tilted by less counts as straight
_RAS = np.array([[0, 1], [1, 1], [2, 1]])


class Placed(NamedTuple):
    """Array with axes ``(..., S, A, R)``, and its voxel size and first voxel in a display frame."""

    data: FloatArray
    scale: FloatArray  # (3,) mm
    translate: FloatArray  # (3,) mm
    is_resampled: bool


def display_frame(grid: VoxelGrid) -> FloatArray:
    """Rotation ``(4, 4)`` about the origin of the scanner that makes the axes of a grid straight.

    The identity for a grid that is straight already, and for a sheared grid, which no rotation makes straight.
    """
    directions = grid.affine[:3, :3] / np.asarray(grid.voxel_size)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    frame = np.eye(4)
    if _is_straight(grid.affine) or np.abs(directions - rotation).max() > STRAIGHT:
        return frame
    rounded = np.eye(4)
    rounded[:3, :3] = np.round(rotation, 3)
    axes = io_orientation(rounded)
    target = np.zeros((3, 3))
    target[axes[:, 0].astype(int), [0, 1, 2]] = axes[:, 1]
    frame[:3, :3] = target @ rotation.T
    return frame


def shared_frame(grids: Sequence[VoxelGrid]) -> FloatArray:
    """Display frame of most grids; if several are equally frequent, that of the grid with the smallest voxels."""
    frames = [display_frame(grid) for grid in grids]
    fineness = [-float(np.prod(grid.voxel_size)) for grid in grids]
    votes = [
        (sum(same_frame(one, other) for other in frames), fine) for one, fine in zip(frames, fineness, strict=True)
    ]
    return frames[votes.index(max(votes))]


def same_frame(one: FloatArray, other: FloatArray) -> bool:
    """Whether two frames differ by less than the tilt that counts as straight."""
    return bool(np.abs(one - other).max() < STRAIGHT)


def place(volume: Volume, frame: FloatArray, order: int = 1) -> Placed:
    """Array of a volume along the axes of a display frame.

    It is a view of the data, or interpolated with a spline of degree `order` if the volume is tilted in the frame.
    """
    affine = frame @ volume.grid.affine
    if _is_straight(affine):
        axes = io_orientation(affine)
        data = _to_display_axes(apply_orientation(volume.data, axes))
        straight = affine @ inv_ornt_aff(axes, volume.grid.shape)
        scale = np.linalg.norm(straight[:3, :3], axis=0)
        centre = (np.asarray(data.shape[:-4:-1]) - 1) / 2
        translate = (straight @ [*centre, 1])[:3] - scale * centre
        return Placed(data, scale[::-1], translate[::-1], False)
    shape, target = vox2out_vox((volume.grid.shape, affine), volume.grid.voxel_size)
    data = on_grid(volume.data, VoxelGrid(volume.grid.shape, affine), VoxelGrid(shape, target), order, cval=0.0)
    return Placed(_to_display_axes(data), np.diag(target)[2::-1], target[2::-1, 3], True)


def to_stored_axes(data: FloatArray, affine: FloatArray) -> FloatArray:
    """Shown array in the voxel order of a grid that is straight under `affine`; inverse of `place`."""
    stored: FloatArray = apply_orientation(to_volume_axes(data), ornt_transform(_RAS, io_orientation(affine)))
    return stored


def tilt_notice(frame: FloatArray) -> str | None:
    """Notice on the tilt of a display frame; None for the frame of the scanner."""
    angle = np.degrees(np.arccos(np.clip((np.trace(frame[:3, :3]) - 1) / 2, -1, 1)))
    if angle <= 0.1:
        return None
    return (
        f"Slices tilted by {angle:.1f} degrees are shown straight. Images of another tilt are interpolated for display."
    )


def placement_notices(placed: Placed) -> tuple[str, ...]:
    """Notice on interpolation, if there was any."""
    if not placed.is_resampled:
        return ()
    return (
        "Interpolated for display, because its axes are tilted or sheared against the others. "
        "Computing and saving use its own voxels.",
    )


def layer_matrix(attributes: Mapping[str, Any], ndim: int) -> FloatArray:
    """Transform ``(ndim + 1, ndim + 1)`` from voxels to world, composed of all transforms of a layer."""
    matrix = np.eye(ndim + 1)
    rotate = attributes.get("rotate")
    shear = np.asarray(attributes.get("shear", ()), dtype=float)
    skew = np.eye(ndim)
    if shear.ndim == 2:
        skew = shear
    elif shear.any():
        skew[np.triu_indices(ndim, 1)] = shear
    turn = np.eye(ndim) if rotate is None else np.asarray(rotate, dtype=float)
    scale = attributes.get("scale")
    matrix[:ndim, :ndim] = turn @ skew @ np.diag(np.ones(ndim) if scale is None else scale)
    translate = attributes.get("translate")
    matrix[:ndim, ndim] = 0 if translate is None else translate
    affine = attributes.get("affine")
    return matrix if affine is None else np.asarray(affine, dtype=float) @ matrix


def scanner_position(shown: Sequence[float], frame: FloatArray) -> FloatArray:
    """Position (x, y, z) in RAS+ mm of a position ``(..., S, A, R)`` in mm in a display frame."""
    position: FloatArray = apply_affine(np.linalg.inv(frame), np.asarray(shown[-3:], dtype=float)[::-1])
    return position


def to_volume_axes(data: FloatArray) -> FloatArray:
    """Array ``(..., S, A, R)`` with its axes as ``(R, A, S, ...)``; a 2D image becomes one slice."""
    padded = data if data.ndim > 2 else data.reshape((1,) * (3 - data.ndim) + data.shape)
    n = padded.ndim
    return padded.transpose(n - 1, n - 2, n - 3, *range(n - 3))


def _is_straight(affine: FloatArray) -> bool:
    """Whether every voxel axis is parallel to a world axis of its own."""
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    off_axis = np.sqrt(np.clip((directions**2).sum(axis=0) - directions.max(axis=0) ** 2, 0, None))
    return bool((off_axis < STRAIGHT).all() and len(set(directions.argmax(axis=0))) == 3)


def _to_display_axes(data: FloatArray) -> FloatArray:
    """Array ``(R, A, S, ...)`` with its axes as ``(..., S, A, R)``."""
    extras = range(3, data.ndim)
    return data.transpose(*extras, 2, 1, 0)
