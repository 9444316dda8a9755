"""The HR grid: parallel to the LR maps, per axis as fine as the guides and never coarser than the maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import from_matvec

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid
from napari_swig_qmri.data.wording import joined, size_text
from napari_swig_qmri.super_resolution.preparation.alignment import align_axes, is_parallel, reordered
from napari_swig_qmri.super_resolution.preparation.coverage import head_share, reach_of

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage

FINER = 0.99  # a voxel edge below this fraction of another counts as finer
MARGIN = 1.0  # LR voxels around the maps that the result covers as well
TOLERANCE = 1e-3  # voxels; centres that coincide may differ by rounding of the affines


def choose_hr_grid(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    voxel_size: float | Sequence[float] | None,
    reference: int | None,
) -> VoxelGrid:
    """Grid of the result: that of the reference guide where this is possible; that of the LR maps without a guide.

    Its axes are those of the maps, stored in the order of the reference guide. Along each axis it has the voxels of the
    finest guide, or of the reference if one was chosen, but none coarser than those of the maps. It covers the field
    of view of the reference, or its bounding box within that of the maps where the reference is tilted against them.
    With a `voxel_size` in mm, one number or three, it keeps this field of view and gets these voxels. Where the maps
    end inside the head, it is cut to what they cover and one LR voxel around it.

    ValueError if there is no such guide, or if it shows hardly anything of what the maps show.
    """
    if not guides:
        return maps.grid if voxel_size is None else _resized(maps.grid, voxel_size)
    chosen = guides[reference_index(guides, reference)]
    grid = _grid_of_guides(maps.grid, guides, reference)
    if voxel_size is not None:
        grid = _resized(chosen.grid if is_parallel(chosen.grid, maps.grid) else grid, voxel_size)
    return _cut(grid, maps) if head_share(maps, chosen).is_part else grid


def _resized(grid: VoxelGrid, voxel_size: float | Sequence[float]) -> VoxelGrid:
    """Grid with voxels of a size in mm, one number or three, and the same field of view."""
    sizes = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(grid.field_of_view, sizes, strict=True))
    return grid.with_shape((x, y, z))


def _cut(grid: VoxelGrid, maps: QuantitativeMaps) -> VoxelGrid:
    """Part of a grid with parallel axes in the measured part of the maps and one LR voxel around it.

    The grid itself if they have nothing in common.
    """
    turned = align_axes(maps, grid)
    spacing, first = relative_axes(grid, turned.grid)  # LR voxels in voxels of `grid`
    ends = np.clip(reach_of(turned), -0.5, np.array(turned.grid.shape)[:, None] - 0.5)
    ends += np.array([-MARGIN, MARGIN])  # in LR voxels
    low, high = (first[:, None] + spacing[:, None] * ends).T
    begin = np.maximum(np.ceil(low + 0.5 - TOLERANCE), 0).astype(int)
    stop = np.minimum(np.floor(high + 0.5 + TOLERANCE), grid.shape).astype(int)
    if (stop <= begin).any():
        return grid
    x, y, z = begin.tolist()
    nx, ny, nz = (stop - begin).tolist()
    return grid.box((x, y, z), (nx, ny, nz))


def reference_index(guides: Sequence[WeightedImage], reference: int | None) -> int:
    """Index of the reference guide: `reference`, or that of the guide with the smallest voxels if it is None."""
    if reference is None:
        return int(np.argmin([np.prod(guide.grid.voxel_size) for guide in guides]))
    if reference not in range(len(guides)):
        raise ValueError(f"the reference must be a guide from 0 to {len(guides) - 1}, but it is {reference}.")
    return int(reference)


def hr_grid_notices(maps: QuantitativeMaps, guides: Sequence[WeightedImage], hr_grid: VoxelGrid) -> tuple[str, ...]:
    """Sentences on an HR grid that is not simply that of a guide, and on guides that are coarser than the maps."""
    shares = [(head_share(maps, guide), guide.name) for guide in guides]
    least, name = min(shares, key=lambda each: each[0].share, default=(None, ""))
    tilted = [guide for guide in guides if not is_parallel(guide.grid, maps.grid)]
    size = size_text(hr_grid.voxel_size)
    notices = []
    if least is not None and least.is_part:
        notices.append(f"The low-resolution maps cover {least.text} in {name}: the result ends where they do.")
    if tilted:
        angles = joined([f"{guide.name} by {_angle(guide.grid, maps.grid):.1f}" for guide in tilted])
        notices.append(
            f"Tilted against the maps: {angles} degrees. The result has the axes of the maps, which are not "
            f"interpolated, and voxels of {size} mm."
        )
    elif guides and not any(hr_grid.has_voxels_of(guide.grid) for guide in guides):
        notices.append(f"No guide has the voxels of the result, {size} mm, which are along the axes of the maps.")
    for guide in guides:
        sizes = _sizes_along(guide.grid, reordered(maps.grid, guide.grid))
        lr_sizes = reordered(maps.grid, guide.grid).voxel_size
        if any(FINER * own > lr for own, lr in zip(sizes, lr_sizes, strict=True)):
            notices.append(
                f"{guide.name} has voxels of {size_text(sizes)} mm, the maps of {size_text(lr_sizes)} mm: where it is "
                "coarser, it adds no detail."
            )
    return tuple(notices)


def _grid_of_guides(lr_grid: VoxelGrid, guides: Sequence[WeightedImage], reference: int | None) -> VoxelGrid:
    chosen = guides[reference_index(guides, reference)].grid
    lr_grid = reordered(lr_grid, chosen)
    asked = [chosen] if reference is not None else [chosen, *(guide.grid for guide in guides)]
    sizes = np.min([_sizes_along(grid, lr_grid) for grid in (*asked, lr_grid)], axis=0)
    is_own = np.asarray(chosen.voxel_size) * FINER <= sizes
    if is_parallel(chosen, lr_grid) and is_own.all():
        return chosen
    lattices = [reordered(grid, lr_grid) for grid in asked if is_parallel(grid, lr_grid)] + [lr_grid]
    axes = []
    for axis, size in enumerate(sizes):
        low, high = _extent(chosen, lr_grid, axis)
        lattice = next((grid for grid in lattices if FINER * grid.voxel_size[axis] <= size), None)
        axes.append(_samples(lattice or _divided(lr_grid, axis, size), lr_grid, axis, low, high))
    first, step, shape = (np.array(each) for each in zip(*axes, strict=True))
    between = from_matvec(np.diag(step), first)
    x, y, z = shape.tolist()
    return VoxelGrid((x, y, z), lr_grid.affine @ between)


def _sizes_along(grid: VoxelGrid, axes: VoxelGrid) -> FloatArray:
    """Voxel edges ``(3,)`` in mm of a grid along the nearest axes of another one."""
    return np.asarray(reordered(grid, axes).voxel_size)


def _angle(grid: VoxelGrid, other: VoxelGrid) -> float:
    """Largest angle in degrees between nearest axes of two grids."""
    edges, others = (each.affine[:3, :3] / each.voxel_size for each in (reordered(grid, other), other))
    return float(np.degrees(np.arccos(np.clip((edges * others).sum(axis=0), -1, 1))).max())


def _extent(grid: VoxelGrid, lr_grid: VoxelGrid, axis: int) -> tuple[float, float]:
    """Ends of the field of view of a grid along an axis of the LR grid, in LR voxels."""
    between = np.linalg.inv(lr_grid.affine) @ grid.affine
    half = np.abs(between[axis, :3]) @ np.asarray(grid.shape) / 2
    centre = between[axis, :3] @ ((np.asarray(grid.shape) - 1) / 2) + between[axis, 3]
    if is_parallel(grid, lr_grid):
        return float(centre - half), float(centre + half)
    return max(float(centre - half), -0.5), min(float(centre + half), lr_grid.shape[axis] - 0.5)


def _divided(lr_grid: VoxelGrid, axis: int, size: float) -> VoxelGrid:
    """LR grid with at most `size` mm along an axis."""
    shape = list(lr_grid.shape)
    shape[axis] = math.ceil(lr_grid.field_of_view[axis] / size - 0.02)
    x, y, z = shape
    return lr_grid.with_shape((x, y, z))


def _samples(lattice: VoxelGrid, lr_grid: VoxelGrid, axis: int, low: float, high: float) -> tuple[float, float, int]:
    """First sample, step and number of the samples of a lattice between two ends along an axis, in LR voxels."""
    between = np.linalg.inv(lr_grid.affine) @ lattice.affine
    first, step = float(between[axis, 3]), float(between[axis, axis])
    begin, stop = math.ceil((low - first) / step - TOLERANCE), math.floor((high - first) / step + TOLERANCE)
    return first + begin * step, step, max(1, stop + 1 - begin)
