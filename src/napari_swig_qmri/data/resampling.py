"""Images brought to the axes or the voxels of another grid, gaps kept as gaps."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from scipy.ndimage import affine_transform, gaussian_filter, spline_filter

from napari_swig_qmri.data.gaps import enclosed, filled
from napari_swig_qmri.data.truncation import MAX_ANGLE, KSpaceTruncation, relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid

if TYPE_CHECKING:
    from napari_swig_qmri.data.gaps import BoolArray
    from napari_swig_qmri.data.volumes import FloatArray

N_PLANES = 16  # interpolated between two steps
ALIASING = 1.25  # ratio of voxel edges from which a finer image is smoothed before it is resampled


def parallel(maps: QuantitativeMaps, hr_grid: VoxelGrid, notices: list[str]) -> Generator[None, None, QuantitativeMaps]:
    """Maps with the axes of the HR grid: axes permuted and flipped, turned maps resampled band-limited."""
    between = np.linalg.inv(hr_grid.affine) @ maps.grid.affine
    orientation = io_orientation(between)
    data = np.stack([apply_orientation(volume, orientation) for volume in maps.data])
    nx, ny, nz = data.shape[1:]
    grid = VoxelGrid((nx, ny, nz), maps.grid.affine @ inv_ornt_aff(orientation, maps.grid.shape))
    turned = QuantitativeMaps(data=data, grid=grid, names=maps.names)
    try:
        relative_axes(hr_grid, grid)
    except ValueError:
        notices.append(
            f"The maps are turned by more than {MAX_ANGLE} degrees against the high-resolution grid and were "
            f"resampled to its axes at their own voxel size."
        )
        return (yield from _turned_to(turned, hr_grid))
    return turned


def _turned_to(maps: QuantitativeMaps, hr_grid: VoxelGrid) -> Generator[None, None, QuantitativeMaps]:
    """Maps at their own voxel size along the axes of the HR grid, by sinc and then spline interpolation."""
    sizes = np.asarray(maps.grid.voxel_size)
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(hr_grid.field_of_view, sizes, strict=True))
    target = hr_grid.with_shape((x, y, z))
    nx, ny, nz = (2 * n for n in maps.grid.shape)
    fine = maps.grid.with_shape((nx, ny, nz))
    finite = np.isfinite(maps.data).all(axis=0)
    seen = finite & (maps.data != 0).any(axis=0)
    dense = filled(np.where(finite, maps.data, 0), enclosed(~seen, seen), seen, maps.grid.voxel_size)
    sharpen = KSpaceTruncation(maps.grid, fine)
    data = np.empty((len(maps.names), *target.shape), np.float32)
    for i, volume in enumerate(dense):
        yield
        data[i] = yield from spline(sharpen(torch.as_tensor(volume, dtype=torch.float32)).numpy(), fine, target)
    data[:, ~(yield from _mostly(seen, maps.grid, target))] = np.nan
    return QuantitativeMaps(data=data, grid=target, names=maps.names)


def resampled(
    data: FloatArray, seen: BoolArray, source: VoxelGrid, target: VoxelGrid
) -> Generator[None, None, tuple[FloatArray, BoolArray]]:
    """An image on another grid by cubic splines, smoothed first where its voxels are finer, and where it was seen.

    `data` ``(x, y, z)`` is finite; so is the outcome, which is 0 beyond the field of view.
    """
    between = np.linalg.inv(source.affine) @ target.affine
    coarser = np.linalg.norm(between[:3, :3], axis=1)  # voxel edge of the target in voxels, per axis of the source
    if coarser.max() > ALIASING:
        data = gaussian_filter(data, 0.4 * np.sqrt(np.maximum(coarser**2 - 1, 0)))
        yield
    moved = yield from spline(data, source, target)
    return np.nan_to_num(moved), (yield from _mostly(seen, source, target))


def _mostly(seen: BoolArray, source: VoxelGrid, target: VoxelGrid) -> Generator[None, None, BoolArray]:
    """Voxels of the target of which more than half was seen."""
    share = yield from spline(seen.astype(np.float32), source, target, order=1)
    return np.asarray(share > 0.5)


def spline(data: FloatArray, source: VoxelGrid, target: VoxelGrid, order: int = 3) -> Generator[None, None, FloatArray]:
    """Spline interpolation, NaN beyond the field of view; yields between slabs."""
    between = np.linalg.inv(source.affine) @ target.affine
    coefficients = spline_filter(data, order, np.float32, "constant") if order > 1 else data
    result = np.empty(target.shape, np.float32)
    for first in range(0, target.shape[0], N_PLANES):
        yield
        slab = result[first : first + N_PLANES]
        begin = apply_affine(between, [first, 0, 0])
        affine_transform(coefficients, between[:3, :3], begin, output=slab, order=order, cval=np.nan, prefilter=False)
    return result
