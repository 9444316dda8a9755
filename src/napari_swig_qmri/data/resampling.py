"""Images brought to the axes or the voxels of another grid, gaps kept as gaps."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from scipy.ndimage import affine_transform, gaussian_filter, spline_filter

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray

N_PLANES = 16  # interpolated between two steps
ALIASING = 1.25  # ratio of voxel edges from which a finer image is smoothed before it is resampled


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
    return np.nan_to_num(moved), (yield from mostly_seen(seen, source, target))


def mostly_seen(seen: BoolArray, source: VoxelGrid, target: VoxelGrid) -> Generator[None, None, BoolArray]:
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


def interpolated(maps: QuantitativeMaps, grid: VoxelGrid) -> QuantitativeMaps:
    """Maps on another grid by cubic splines; voxels without a value count as 0, edges go on beyond the maps."""
    target = (grid.shape, grid.affine)
    images = [nib.Nifti1Image(np.nan_to_num(data).astype(np.float32), maps.grid.affine) for data in maps.data]
    moved = [np.asarray(resample_from_to(image, target, order=3, mode="nearest").dataobj) for image in images]
    return QuantitativeMaps(data=np.stack(moved), grid=grid, names=maps.names)
