"""Interpolation of images onto the voxels of another grid."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform, gaussian_filter, spline_filter

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid

Scalar = TypeVar("Scalar", bound=np.generic)

N_PLANES = 16  # planes interpolated between two yields
ALIASING = 1.25  # ratio of voxel edges above which a finer image is smoothed before it is resampled


def on_grid(
    data: npt.NDArray[Scalar],
    source: VoxelGrid,
    target: VoxelGrid,
    order: int = 1,
    *,
    planes: slice = slice(None),
    decimals: int | None = None,
    **options: Any,
) -> npt.NDArray[Scalar]:
    """Return an image interpolated at the voxel centres of another grid.

    Parameters
    ----------
    data
        Image ``(x, y, z, ...)`` on `source`; further axes are interpolated one by one.
    source, target
        Grids of `data` and of the result.
    order
        Order of the spline: 0 for the nearest voxel, 1 for linear, 3 for cubic interpolation.
    planes
        Planes of the first axis of `target` to compute; all by default.
    decimals
        Decimals to which the voxel-to-voxel matrix is rounded, so that voxels that coincide do so exactly.
    **options
        Further arguments of `scipy.ndimage.affine_transform`. Voxels beyond `data` are NaN unless
        ``mode`` or ``cval`` says otherwise.

    Returns
    -------
    Image on the chosen planes of `target` with the dtype and the further axes of `data`.
    """
    between = np.linalg.inv(source.affine) @ target.affine  # target voxel -> source voxel
    if decimals is not None:
        between = between.round(decimals)
    first, stop, _ = planes.indices(target.shape[0])
    shape = (stop - first, *target.shape[1:])
    begin = apply_affine(between, [first, 0, 0])
    options = {"output_shape": shape, "order": order, "cval": np.nan} | options
    images = data.reshape(*data.shape[:3], -1)
    moved = [
        affine_transform(images[..., index], between[:3, :3], begin, **options) for index in range(images.shape[3])
    ]
    return np.stack(moved, axis=-1).reshape(*shape, *data.shape[3:])


def interpolated(maps: QuantitativeMaps, grid: VoxelGrid) -> QuantitativeMaps:
    """Maps on another grid by cubic splines.

    Voxels without a value count as 0; beyond the field of view the outermost voxels are repeated.
    """
    data = np.nan_to_num(maps.data).astype(np.float32)
    moved = [on_grid(volume, maps.grid, grid, order=3, mode="nearest") for volume in data]
    return QuantitativeMaps(data=np.stack(moved), grid=grid, names=maps.names)


def resampled(
    data: FloatArray, seen: BoolArray, source: VoxelGrid, target: VoxelGrid
) -> Generator[None, None, tuple[FloatArray, BoolArray]]:
    """Image on another grid by cubic splines, and the mask of its measured voxels there.

    An image with finer voxels than `target` is smoothed first. Images on aligned grids are not interpolated.
    Yields between steps of the work.

    Parameters
    ----------
    data
        Image ``(x, y, z)``; values that are not finite count as in `numpy.nan_to_num`.
    seen
        Measured voxels of `data`, ``(x, y, z)``.
    source, target
        Grids of `data` and of the result.

    Returns
    -------
    Image ``(x, y, z)`` on `target`, finite and 0 beyond the field of view, and its measured voxels.
    """
    data = np.nan_to_num(data)
    if source.is_aligned_with(target):
        return data, seen
    between = np.linalg.inv(source.affine) @ target.affine
    coarsening = np.linalg.norm(between[:3, :3], axis=1)  # target voxel edge in source voxels, per source axis
    if coarsening.max() > ALIASING:
        data = gaussian_filter(data, 0.4 * np.sqrt(np.maximum(coarsening**2 - 1, 0)))
        yield
    moved = yield from spline(data, source, target)
    return np.nan_to_num(moved), (yield from mostly_seen(seen, source, target))


def mostly_seen(seen: BoolArray, source: VoxelGrid, target: VoxelGrid) -> Generator[None, None, BoolArray]:
    """Mask of the target voxels of which more than half was measured, ``(x, y, z)``."""
    share = yield from spline(seen.astype(np.float32), source, target, order=1)
    return np.asarray(share > 0.5)


def spline(data: FloatArray, source: VoxelGrid, target: VoxelGrid, order: int = 3) -> Generator[None, None, FloatArray]:
    """Image ``(x, y, z)`` on another grid by splines in float32, NaN beyond its field of view; yields between slabs."""
    coefficients = spline_filter(data, order, np.float32, "constant") if order > 1 else data
    result = np.empty(target.shape, np.float32)
    for first in range(0, target.shape[0], N_PLANES):
        yield
        planes = slice(first, first + N_PLANES)
        result[planes] = on_grid(coefficients, source, target, order, planes=planes, prefilter=False)
    return result
