"""Guides that are stored on finer voxels than they were measured with, at the measured voxel size.

Scanners zero-fill the k-space of images. Such a guide has no detail of the stored voxels, so that neither the HR grid
nor the comparison with the guide may follow them. Its spectrum is taken inside the head, since magnitudes fill k-space
again in air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid, WeightedImage
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.super_resolution.observations.stored_resolution import cropped, measured_ratio
from napari_swig_qmri.super_resolution.preparation.alignment import reordered

LEAST_DROP = 2.3  # of the logarithm of the power; at most 1.9 on real images, at least 2.4 where noise fills k-space
HEAD = 0.3  # of the mean of bright voxels, above which a voxel belongs to the head
LEAST_RATIO = 1.45  # of stored to measured frequencies; with 4/3 the stored guide gives better maps
FINER = 0.8  # ratio of voxel edges below which one image is finer than another
SHORTEST_AXIS = 24  # voxels


def guides_at_measured_resolution(
    guides: Sequence[WeightedImage], lr_grid: VoxelGrid
) -> tuple[tuple[WeightedImage, ...], tuple[str, ...]]:
    """Guides with those replaced that were zero-filled, and a sentence on each.

    A guide stays as it is stored along axes where its measured voxels are as large as those of the LR maps, and no
    other guide is finer: its detail could not be told from that of the maps.
    """
    measured = [measured_grid(guide) for guide in guides]
    result, notices = [], []
    for guide, grid in zip(guides, measured, strict=True):
        own = np.asarray(grid.voxel_size)
        others = [other for each, other in zip(guides, measured, strict=True) if each is not guide]
        finer_others = [_edges(other, grid) <= FINER * own for other in others]
        is_used = (own <= FINER * _edges(lr_grid, grid)) | np.any([np.zeros(3, bool), *finer_others], axis=0)
        is_used &= own >= LEAST_RATIO * np.asarray(guide.grid.voxel_size)
        x, y, z = np.where(is_used, grid.shape, guide.grid.shape).tolist()
        small = _at_shape(guide, (x, y, z))
        result.append(small)
        if small is not guide:
            notices.append(
                f"{guide.name} is stored with voxels of {size_text(guide.grid.voxel_size)} mm, but was measured with "
                f"{size_text(small.grid.voxel_size)} mm: its spectrum ends there. The measured voxels are used."
            )
    return tuple(result), tuple(notices)


def _edges(grid: VoxelGrid, axes: VoxelGrid) -> FloatArray:
    """Voxel edges ``(3,)`` in mm of a grid along the nearest axes of another one."""
    return np.asarray(reordered(grid, axes).voxel_size)


def measured_grid(guide: WeightedImage) -> VoxelGrid:
    """Grid of a guide with voxels of the size that it was measured with."""
    data = np.nan_to_num(np.asarray(guide.data, np.float32), posinf=0, neginf=0)
    bright = data[data > data.mean()]
    inside = data > HEAD * bright.mean() if bright.size else np.zeros(data.shape, bool)
    shape = []
    for axis, n in enumerate(data.shape):
        ratio = measured_ratio(data, inside, axis, LEAST_DROP) if n >= SHORTEST_AXIS else None
        shape.append(n if ratio is None else round(n / ratio))
    return guide.grid.with_shape((shape[0], shape[1], shape[2]))


def _at_shape(guide: WeightedImage, shape: tuple[int, int, int]) -> WeightedImage:
    """Guide with its k-space cut to `shape` samples."""
    if shape == guide.grid.shape:
        return guide
    seen = has_value(guide.data)
    both = np.stack([np.where(seen, guide.data, 0), seen]).astype(np.float32)
    for axis, (n, kept) in enumerate(zip(guide.grid.shape, shape, strict=True)):
        if kept < n:
            both = cropped(both, axis, n, kept)
    data = np.where(both[1] > 0.5, both[0] if (guide.data < 0).any() else np.abs(both[0]), 0)
    return replace(guide, data=data.astype(np.float32), grid=guide.grid.with_shape(shape))
