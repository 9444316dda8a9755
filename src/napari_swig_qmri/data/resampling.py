"""Interpolation of images onto the voxels of another grid."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform, convolve1d, map_coordinates, spline_filter

from napari_swig_qmri.data.gaps import filled
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid

if TYPE_CHECKING:
    from napari_swig_qmri.data.warping import Warp

Scalar = TypeVar("Scalar", bound=np.generic)

N_PLANES = 16  # planes interpolated between two yields
ALIASING = 1.02  # ratio of voxel edges above which the high frequencies of a finer image are removed
LOBES, KAISER = 6, 5.0  # of the windowed sinc that removes them: zero crossings to each side, shape of the window
OVERLAP = 0.45  # voxels beyond the end of a field of view whose values are the nearest ones, and count as measured
MARGIN = 12  # copies of the outermost voxels around an image, so that its ends do not ring


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
    data: FloatArray,
    seen: BoolArray,
    source: VoxelGrid,
    target: VoxelGrid,
    *,
    with_ends: bool = False,
    warp: Warp | None = None,
) -> Generator[None, None, tuple[FloatArray, BoolArray]]:
    """Image on another grid by quintic splines, and the mask of its measured voxels there.

    Along axes where `target` is coarser, frequencies that it cannot hold are first removed by a windowed sinc; nothing
    is smoothed elsewhere. Voxels that were not measured take the nearest measured values before, so that they do not
    ring, and are 0 afterwards. Images whose voxels coincide with those of `target`, in any storage order and field of
    view, are not interpolated. Yields between steps of the work.

    Parameters
    ----------
    data
        Image ``(x, y, z)``; values that are not finite count as in `numpy.nan_to_num`.
    seen
        Measured voxels of `data`, ``(x, y, z)``.
    source, target
        Grids of `data` and of the result.
    with_ends
        Whether target voxels count as measured that lie in the field of view of `source` by a part of their volume.
    warp
        Displacement of the voxels of `target`, if the image is warped.

    Returns
    -------
    Image ``(x, y, z)`` on `target`, finite, with the nearest values beyond the field of view of `source`, and its
    measured voxels, whose centres lie in that field of view.

    Notes
    -----
    Root-mean-square errors against exact band-limited interpolation, a T2-weighted slice of the built-in head turned by
    6 degrees (``benchmarks/kernels.py``): linear 5.4 %, cubic splines 2.7 %, Lanczos 3 2.7 %, Kaiser-windowed sinc of
    radius 4 2.6 %, quintic splines 2.1 %. A sinc of radius 8 reaches 1.8 % with 19 times as many samples per voxel.
    """
    data = np.nan_to_num(data)
    if warp is None and source.is_aligned_with(target):
        return data, seen
    if warp is None and source.has_voxels_of(target):
        inside = on_grid(seen.astype(np.uint8), source, target, order=0, mode="grid-constant", cval=0)
        return on_grid(data, source, target, order=0, mode="nearest"), inside > 0
    if not seen.any():
        return np.zeros(target.shape, np.float32), np.zeros(target.shape, bool)
    data = filled(data, ~seen, seen, source.voxel_size)
    between = np.linalg.inv(source.affine) @ target.affine
    steps = np.abs(between[:3, :3]).max(axis=1)  # largest step of a target voxel along each source axis, in its voxels
    for axis, step in enumerate(steps):
        if step > ALIASING:
            data = convolve1d(data, _low_pass(step), axis, mode="nearest")
            yield
    moved = yield from spline(data, source, target, order=5, warp=warp)
    near: BoolArray = np.ones(target.shape, bool)
    if not seen.all():
        near = (yield from spline(seen.astype(np.float32), source, target, order=1, warp=warp)) > 0.5
        moved *= near
    if not with_ends:
        return moved, (yield from mostly_seen(seen, source, target, warp=warp))
    least = 0.5 - OVERLAP * min(1.0, float(steps.min()))
    return moved, near & (yield from mostly_seen(np.ones_like(seen), source, target, least, warp))


def mostly_seen(
    seen: BoolArray, source: VoxelGrid, target: VoxelGrid, least: float = 0.5, warp: Warp | None = None
) -> Generator[None, None, BoolArray]:
    """Mask of the target voxels of which more than a share of `least` was measured, ``(x, y, z)``."""
    share = yield from _in_slabs(seen.astype(np.float32), source, target, 1, warp, mode="grid-constant", cval=0.0)
    return share > least


def spline(
    data: FloatArray, source: VoxelGrid, target: VoxelGrid, order: int = 3, warp: Warp | None = None
) -> Generator[None, None, FloatArray]:
    """Image ``(x, y, z)`` on another grid, or where a warp displaces its voxels, by splines in float32.

    Yields between slabs. Beyond the field of view it has the nearest values.
    """
    if order > 1:
        padded = np.pad(data, MARGIN, mode="edge")
        data = spline_filter(padded, order, np.float32, "mirror")
        x, y, z = padded.shape
        source = source.box((-MARGIN, -MARGIN, -MARGIN), (x, y, z))
    return (yield from _in_slabs(data, source, target, order, warp, mode="nearest"))


def _in_slabs(
    data: FloatArray, source: VoxelGrid, target: VoxelGrid, order: int, warp: Warp | None, **options: Any
) -> Generator[None, None, FloatArray]:
    """`on_grid`, warped if there is a warp, in float32, of spline coefficients if `order` exceeds 1.

    Yields between slabs.
    """
    result = np.empty(target.shape, np.float32)
    for first in range(0, target.shape[0], N_PLANES):
        yield
        planes = slice(first, first + N_PLANES)
        if warp is None:
            result[planes] = on_grid(data, source, target, order, planes=planes, prefilter=False, **options)
        else:
            places = _warped_places(source, target, planes, warp)
            result[planes] = map_coordinates(data, places, np.float32, order, prefilter=False, **options)
    return result


def _warped_places(source: VoxelGrid, target: VoxelGrid, planes: slice, warp: Warp) -> FloatArray:
    """Voxel coordinates ``(3, n, Y, Z)`` in `source` of displaced voxels in planes of `target`."""
    displacement = warp.displacement(planes)
    voxels = np.indices(displacement.shape[1:], dtype=float)
    voxels[0] += planes.start
    points = target.world(np.moveaxis(voxels, 0, -1)) + np.moveaxis(displacement, 0, -1)
    return np.moveaxis(apply_affine(np.linalg.inv(source.affine), points), -1, 0)


def _low_pass(step: float) -> FloatArray:
    """Windowed sinc that passes the frequencies which voxels of `step` times the size can hold."""
    radius = int(np.ceil(LOBES * step))
    place = np.arange(-radius, radius + 1)
    kernel = np.sinc(place / step) * np.kaiser(2 * radius + 1, KAISER)
    return np.asarray(kernel / kernel.sum())
