"""Grids with parallel axes, and LR maps in the order of the axes of the HR grid."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid

LEAST_TILT = 0.1  # mm by which voxels of a tilted image are off if its axes are taken as parallel


def reordered(grid: VoxelGrid, other: VoxelGrid) -> VoxelGrid:
    """Grid with its axes in the order and direction nearest to those of another one."""
    orientation = io_orientation(np.linalg.inv(other.affine) @ grid.affine)
    shape = [0, 0, 0]
    for n, axis in zip(grid.shape, orientation[:, 0].astype(int), strict=True):
        shape[axis] = n
    x, y, z = shape
    return VoxelGrid((x, y, z), grid.affine @ inv_ornt_aff(orientation, grid.shape))


def is_parallel(grid: VoxelGrid, other: VoxelGrid) -> bool:
    """Whether the axes of two grids are parallel, in any order and direction.

    They are if no voxel of either grid lies 0.1 mm or more from where it would be along the axes of the other one.
    """
    turned = reordered(grid, other)
    return max(_displacement(turned, other), _displacement(other, turned)) < LEAST_TILT


def _displacement(grid: VoxelGrid, other: VoxelGrid) -> float:
    """Upper bound in mm of how far voxels are off if each axis of `grid` is taken as parallel to that of `other`."""
    between = np.linalg.inv(other.affine) @ grid.affine
    across = other.affine[:3, :3] @ (between[:3, :3] - np.diag(np.diag(between)[:3]))
    return float(np.linalg.norm(np.abs(across) @ (np.asarray(grid.shape) - 1)))


def align_axes(maps: QuantitativeMaps, hr_grid: VoxelGrid) -> QuantitativeMaps:
    """Maps with the order and direction of the axes of an HR grid with parallel axes; no value is changed."""
    orientation = io_orientation(np.linalg.inv(hr_grid.affine) @ maps.grid.affine)
    data = np.stack([apply_orientation(volume, orientation) for volume in maps.data])
    return QuantitativeMaps(data=data, grid=reordered(maps.grid, hr_grid), names=maps.names)
