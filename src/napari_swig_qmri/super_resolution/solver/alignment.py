"""LR maps brought to the axes of the HR grid."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from napari_swig_qmri.data.gaps import enclosed, filled
from napari_swig_qmri.data.resampling import mostly_seen, spline
from napari_swig_qmri.data.truncation import MAX_ANGLE, KSpaceTruncation, relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid


def align_axes(
    maps: QuantitativeMaps, hr_grid: VoxelGrid, notices: list[str]
) -> Generator[None, None, QuantitativeMaps]:
    """Maps with the order and direction of the axes of the HR grid.

    Axes are permuted and flipped. Maps that are rotated against the HR grid are resampled to its axes at their own
    voxel size, which is added to `notices`. Yields between the volumes.
    """
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
            f"The maps are rotated by more than {MAX_ANGLE} degrees against the high-resolution grid and were "
            f"resampled to its axes at their own voxel size."
        )
        return (yield from _resampled_along(turned, hr_grid))
    return turned


def _resampled_along(maps: QuantitativeMaps, hr_grid: VoxelGrid) -> Generator[None, None, QuantitativeMaps]:
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
    data[:, ~(yield from mostly_seen(seen, maps.grid, target))] = np.nan
    return QuantitativeMaps(data=data, grid=target, names=maps.names)
