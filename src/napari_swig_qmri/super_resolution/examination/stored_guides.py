"""Guides that are stored on finer voxels than they were measured with, at the measured voxel size.

Scanners zero-fill the k-space of images, and other software interpolates between thick slices. Such a guide has no
detail of the stored voxels, so that neither the HR grid nor the comparison with the guide may follow them. Its spectrum
is taken inside the head, since magnitudes fill k-space again in air.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_swig_qmri.data.gaps import filled, has_value
from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid, WeightedImage
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.super_resolution.observations.interpolation import Lattice, at_samples, find_lattice
from napari_swig_qmri.super_resolution.observations.slice_thickness import interpolated_slices
from napari_swig_qmri.super_resolution.observations.spectra import tapered_spectra
from napari_swig_qmri.super_resolution.observations.stored_resolution import cropped, measured_ratio
from napari_swig_qmri.super_resolution.preparation.alignment import reordered

LEAST_DROP = 2.3  # of the logarithm of the power; at most 1.9 on real images, at least 2.4 where noise fills k-space
HEAD = 0.3  # of the mean of bright voxels, above which a voxel belongs to the head
LEAST_RATIO = 1.45  # of stored to measured frequencies; with 4/3 the stored guide gives better maps
FINER = 0.8  # ratio of voxel edges below which one image is finer than another
SHORTEST_AXIS = 24  # voxels
LEAST_SHARE = 0.7  # of the thickness by the spectrum, which exactly known slices have
THICKER = 1.2  # ratio of slices to voxels of the spectrum from which they count


def guides_at_measured_resolution(
    guides: Sequence[WeightedImage], lr_grid: VoxelGrid
) -> tuple[tuple[WeightedImage, ...], tuple[str, ...]]:
    """Guides with those replaced that were zero-filled or interpolated between slices, and a sentence on each.

    A guide stays as it is stored along axes where its measured voxels are as large as those of the LR maps, and no
    other guide is finer: its detail could not be told from that of the maps.
    """
    measured = [_measured(guide) for guide in guides]
    result, notices = [], []
    for guide, found in zip(guides, measured, strict=True):
        grid = found.grid
        own = np.asarray(grid.voxel_size)
        others = [other.grid for each, other in zip(guides, measured, strict=True) if each is not guide]
        finer_others = [_edges(other, grid) <= FINER * own for other in others]
        is_used = (own <= FINER * _edges(lr_grid, grid)) | np.any([np.zeros(3, bool), *finer_others], axis=0)
        is_used &= own >= LEAST_RATIO * np.asarray(guide.grid.voxel_size)
        x, y, z = np.where(is_used, grid.shape, guide.grid.shape).tolist()
        if (x, y, z) == guide.grid.shape:
            result.append(guide)
            continue
        small = _at_shape(guide, (x, y, z)) if found.axis is None else _at_slices(guide, found)
        sign = "its spectrum ends there" if found.axis is None else "values between the slices were interpolated"
        result.append(small)
        notices.append(
            f"{guide.name} is stored with voxels of {size_text(guide.grid.voxel_size)} mm, but was measured with "
            f"{size_text(small.grid.voxel_size)} mm: {sign}. The measured voxels are used."
        )
    return tuple(result), tuple(notices)


@dataclass(frozen=True)
class _Measured:
    """Voxels that a guide was measured with."""

    grid: VoxelGrid
    axis: int | None = None  # across slices that values were interpolated between
    lattice: Lattice | None = None  # of these slices, if it is known exactly


def _edges(grid: VoxelGrid, axes: VoxelGrid) -> FloatArray:
    """Voxel edges ``(3,)`` in mm of a grid along the nearest axes of another one."""
    return np.asarray(reordered(grid, axes).voxel_size)


def measured_grid(guide: WeightedImage) -> VoxelGrid:
    """Grid of a guide with voxels of the size that its spectrum was measured with."""
    return _grid_of(guide.grid, _spectra(*_head(guide)))


def _spectra(data: FloatArray, inside: BoolArray) -> list[FloatArray | None]:
    """Spectrum of an image ``(x, y, z)`` inside the head along each axis; None where the head is short."""
    return [next(iter(tapered_spectra(data[None], inside, axis)), None) for axis in range(3)]


def _grid_of(grid: VoxelGrid, spectra: Sequence[FloatArray | None]) -> VoxelGrid:
    """Grid with voxels of the size that spectra along its axes were measured with."""
    shape = []
    for n, spectrum in zip(grid.shape, spectra, strict=True):
        ratio = measured_ratio(spectrum, n, LEAST_DROP) if n >= SHORTEST_AXIS else None
        shape.append(n if ratio is None else round(n / ratio))
    return grid.with_shape((shape[0], shape[1], shape[2]))


def _measured(guide: WeightedImage) -> _Measured:
    """Voxels by the end of the spectrum, or with slices that values were interpolated between, if these are thicker."""
    data, inside = _head(guide)
    spectra = _spectra(data, inside)
    grid, slices = _grid_of(guide.grid, spectra), interpolated_slices(spectra, data.shape, guide.grid.voxel_size)
    if slices is None or slices.thickness < THICKER * grid.voxel_size[slices.axis]:
        return _Measured(grid)
    axis, shape = slices.axis, list(guide.grid.shape)
    thickness = slices.thickness / guide.grid.voxel_size[axis]
    lattice = find_lattice(data[None], inside, axis)
    if lattice is not None and lattice.ratio < LEAST_SHARE * thickness:  # splines are also splines between more samples
        lattice = None
    shape[axis] = round(shape[axis] / (thickness if lattice is None else lattice.ratio))
    return _Measured(guide.grid.with_shape((shape[0], shape[1], shape[2])), axis, lattice)


def _at_slices(guide: WeightedImage, found: _Measured) -> WeightedImage:
    """Guide at the slices that its voxels were interpolated from, or by splines where these are not known exactly."""
    seen = has_value(guide.data)
    whole = filled(np.nan_to_num(guide.data), ~seen, seen, guide.grid.voxel_size)
    if found.axis is not None and found.lattice is not None:
        both, grid = at_samples(np.stack([whole, seen]), guide.grid, found.axis, found.lattice)
        values, share = both
    else:
        grid = found.grid
        values = on_grid(whole, guide.grid, grid, order=5, mode="nearest", decimals=9)
        share = on_grid(seen.astype(np.float32), guide.grid, grid, mode="nearest", decimals=9)
    return replace(guide, data=np.where(share > 0.5, values, 0).astype(np.float32), grid=grid)


def _head(guide: WeightedImage) -> tuple[FloatArray, BoolArray]:
    """Values of a guide ``(x, y, z)``, and where its head is."""
    data = np.nan_to_num(np.asarray(guide.data, np.float32), posinf=0, neginf=0)
    bright = data[data > data.mean()]
    return data, data > HEAD * bright.mean() if bright.size else np.zeros(data.shape, bool)


def _read_at(guide: WeightedImage, grid: VoxelGrid) -> WeightedImage:
    """Guide at the centres of the voxels of another grid, by quintic splines without a low-pass filter."""
    seen = has_value(guide.data)
    whole = filled(np.nan_to_num(guide.data), ~seen, seen, guide.grid.voxel_size)
    values = on_grid(whole, guide.grid, grid, order=5, mode="nearest", decimals=9)
    share = on_grid(seen.astype(np.float32), guide.grid, grid, mode="nearest", decimals=9)
    return replace(guide, data=np.where(share > 0.5, values, 0).astype(np.float32), grid=grid)


def _at_shape(guide: WeightedImage, shape: tuple[int, int, int]) -> WeightedImage:
    """Guide with its k-space cut to `shape` samples."""
    seen = has_value(guide.data)
    both = np.stack([np.where(seen, guide.data, 0), seen]).astype(np.float32)
    for axis, (n, kept) in enumerate(zip(guide.grid.shape, shape, strict=True)):
        if kept < n:
            both = cropped(both, axis, n, kept)
    data = np.where(both[1] > 0.5, both[0] if (guide.data < 0).any() else np.abs(both[0]), 0)
    cut = tuple(axis for axis, (n, kept) in enumerate(zip(guide.grid.shape, shape, strict=True)) if kept < n)
    return replace(guide, data=data.astype(np.float32), grid=guide.grid.with_shape(shape), truncated_axes=cut)
