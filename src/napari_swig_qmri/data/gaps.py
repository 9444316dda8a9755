"""Gaps in images: voxels without a measurement inside the head, as far as they can be told from air around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray


SMOOTHING = 1.0  # standard deviation in voxels
CUT_AWAY = 0.1  # share of exact zeros from which the surroundings of an image were cut away


def has_value(data: FloatArray) -> BoolArray:
    """Whether a voxel of an image ``(x, y, z)`` was measured: it is finite, and not in a plane of zeros.

    If a tenth or more of an image is exactly zero, its surroundings were cut away and no zero was measured.
    """
    zero, finite = np.asarray(data == 0), np.isfinite(data)
    if float(zero.mean()) >= CUT_AWAY:
        return np.asarray(finite & ~zero)
    return np.asarray(finite & ~_in_plane(zero))


def gaps_of(data: FloatArray, seen: BoolArray) -> BoolArray:
    """Voxels between measured ones that are not finite or in a plane of zeros; single zeros may be dark tissue."""
    return enclosed(~seen & (~np.isfinite(data) | _in_plane(data == 0)), seen)


def enclosed(missing: BoolArray, seen: BoolArray) -> BoolArray:
    """Missing voxels with a seen one on both sides along some axis, all ``(x, y, z)``."""
    found = np.zeros_like(missing)
    if not missing.any():
        return found
    for axis in range(3):
        before = np.maximum.accumulate(seen, axis)
        after = np.flip(np.maximum.accumulate(np.flip(seen, axis), axis), axis)
        found |= missing & before & after
    return found


def filled(volumes: FloatArray, gaps: BoolArray, seen: BoolArray, voxel_size: Sequence[float]) -> FloatArray:
    """Volumes ``(..., x, y, z)`` with gaps filled smoothly from the nearest seen voxels."""
    if not gaps.any():
        return volumes
    where: Any = distance_transform_edt(~seen, voxel_size, return_distances=False, return_indices=True)
    result = volumes.copy()
    for index in np.ndindex(volumes.shape[:-3]):
        nearest = volumes[index][tuple(where)]
        result[index][gaps] = gaussian_filter(nearest, SMOOTHING)[gaps]
    return result


def _in_plane(zero: BoolArray) -> BoolArray:
    """Voxels in planes across an axis of more than one voxel that are zero all over."""
    found = np.zeros_like(zero)
    for axis, n in enumerate(zero.shape):
        if n > 1:
            found |= zero.all(axis=tuple(a for a in range(3) if a != axis), keepdims=True)
    return found
