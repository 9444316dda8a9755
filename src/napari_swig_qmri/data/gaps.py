"""Gaps in images: voxels inside the head without a measured value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from napari_swig_qmri.data.volumes import BoolArray, FloatArray

SMOOTHING = 1.0  # voxels; standard deviation of the Gaussian that smooths filled gaps
CUT_AWAY = 0.1  # if at least this fraction of the voxels is exactly 0, zeros are masked background


def has_value(data: FloatArray) -> BoolArray:
    """Mask of the measured voxels of an image ``(x, y, z)``: finite, and not in a plane of zeros.

    If a tenth or more of the image is exactly zero, the background was masked out, and no zero counts as measured.
    """
    zero, finite = np.asarray(data == 0), np.isfinite(data)
    if float(zero.mean()) >= CUT_AWAY:
        return np.asarray(finite & ~zero)
    return np.asarray(finite & ~_in_plane(zero))


def gaps_of(data: FloatArray, seen: BoolArray) -> BoolArray:
    """Mask of the gaps of an image: voxels between measured ones that are not finite or lie in a plane of zeros.

    Single zeros are no gaps, since they may be dark tissue. `data` and the measured voxels `seen` are ``(x, y, z)``.
    """
    return enclosed(~seen & (~np.isfinite(data) | _in_plane(data == 0)), seen)


def enclosed(missing: BoolArray, seen: BoolArray) -> BoolArray:
    """Mask of the missing voxels with a seen voxel on both sides along at least one axis; all ``(x, y, z)``."""
    result = np.zeros_like(missing)
    if not missing.any():
        return result
    for axis in range(3):
        before = np.maximum.accumulate(seen, axis)
        after = np.flip(np.maximum.accumulate(np.flip(seen, axis), axis), axis)
        result |= missing & before & after
    return result


def filled(volumes: FloatArray, gaps: BoolArray, seen: BoolArray, voxel_size: Sequence[float]) -> FloatArray:
    """Volumes with their gaps filled by smoothed values of the nearest seen voxels.

    Parameters
    ----------
    volumes
        Images ``(..., x, y, z)`` on one grid.
    gaps, seen
        Masks ``(x, y, z)`` of the voxels to fill and of the voxels to fill them from.
    voxel_size
        Voxel edges in mm.
    """
    if not gaps.any():
        return volumes
    nearest_seen: Any = distance_transform_edt(~seen, voxel_size, return_distances=False, return_indices=True)
    result = volumes.copy()
    for index in np.ndindex(volumes.shape[:-3]):
        nearest = volumes[index][tuple(nearest_seen)]
        result[index][gaps] = gaussian_filter(nearest, SMOOTHING)[gaps]
    return result


def _in_plane(zero: BoolArray) -> BoolArray:
    """Mask of the voxels in planes that are entirely zero; axes of a single voxel are skipped."""
    result = np.zeros_like(zero)
    for axis, n in enumerate(zero.shape):
        if n > 1:
            result |= zero.all(axis=tuple(a for a in range(3) if a != axis), keepdims=True)
    return result
