"""What a run cannot start from, refused in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.interpretation import check_times
from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, VoxelGrid, WeightedImage


def check_maps(maps: QuantitativeMaps) -> None:
    """Every map has values, in its unit, on a grid that exists."""
    if not maps.names:
        raise ValueError("no map was given: choose at least one PD, T1 or T2 map.")
    if unknown := [name for name in maps.names if name not in QUANTITIES]:
        raise ValueError(f"maps are of PD, T1 and T2, but {unknown[0]!r} came: leave it out.")
    check_grid(maps.grid, "the low-resolution maps")
    valid = np.isfinite(maps.data).all(axis=0) & (maps.data != 0).any(axis=0)
    if not valid.any():
        raise ValueError("the low-resolution maps hold no voxel with a value: choose other maps.")
    for name in maps.names:
        if not (maps[name][valid] > 0).any():
            raise ValueError(f"the {name} map holds no value above 0: choose another one, or leave it out.")
    check_times(maps)


def check_grid(grid: VoxelGrid, owner: str) -> None:
    """The affine can be inverted."""
    edges = grid.affine[:3, :3]
    if not np.isfinite(grid.affine).all() or np.linalg.matrix_rank(edges) < 3:
        raise ValueError(
            f"the affine of {owner} is singular or not finite, so that its voxels have no place: correct the header."
        )


def check_mask(mask: FloatArray | None, grid: VoxelGrid) -> None:
    """The mask, if there is one, has the voxels of the result and is not empty."""
    if mask is None:
        return
    if np.shape(mask) != grid.shape:
        raise ValueError(
            f"the mask has the shape {np.shape(mask)}, but the result {grid.shape}: resample it to the voxels of the "
            "result."
        )
    if not (np.asarray(mask) > 0.5).any():
        raise ValueError("the mask is empty: choose one that covers the brain, or none.")


def check_distinct(guides: Sequence[WeightedImage]) -> None:
    """No image guides twice: its noise would count as two measurements."""
    for i, guide in enumerate(guides):
        for other in guides[:i]:
            is_same = guide.data is other.data or guide.name == other.name
            if is_same and np.array_equal(guide.data, other.data, equal_nan=True):
                raise ValueError(f"the guide {guide.name!r} was given twice: give it once.")


def check_detail(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    hr_grid: VoxelGrid,
    voxel_size: float | Sequence[float] | None,
) -> None:
    """The result would differ from the maps, and asked voxels are no coarser than theirs along any axis."""
    if not guides and hr_grid.is_aligned_with(maps.grid):
        raise ValueError(
            "without a guide and with the voxels of the maps, nothing would change: add a guide or choose a smaller "
            "voxel size."
        )
    if voxel_size is None:
        return
    hr_axes, lr_axes = (grid.affine[:3, :3] / grid.voxel_size for grid in (hr_grid, maps.grid))
    along = np.abs(hr_axes.T @ lr_axes).argmax(axis=1)  # LR axis nearest to each HR axis
    edges = np.asarray(maps.grid.voxel_size)[along]
    asked = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    if np.any(asked > 1.01 * edges):
        shown, largest = (" x ".join(f"{edge:.3g}" for edge in sizes) for sizes in (asked, edges))
        raise ValueError(
            f"voxels of {shown} mm would be coarser than those of the maps, {largest} mm: choose a smaller voxel size."
        )


def check_per_guide(values: Sequence[float] | None, n_guides: int, what: str) -> None:
    """One positive number per guide, if any are given."""
    if values is None:
        return
    if np.ndim(values) != 1 or len(values) != n_guides:
        came = len(values) if np.ndim(values) == 1 else repr(values)
        raise ValueError(f"{n_guides} guides need one {what} each, but {came} came.")
    check_positive(values, what)


def check_lr_noise(levels: Mapping[str, float] | None, names: Sequence[str]) -> None:
    """A positive level for each of the maps `names`, and for no other, if any are given."""
    if levels is None:
        return
    missing, other = [n for n in names if n not in levels], [n for n in levels if n not in names]
    if missing:
        raise ValueError(f"lr_noise needs {' and '.join(names)}, but {' and '.join(missing)} is missing: add it.")
    if other:
        raise ValueError(f"lr_noise names {' and '.join(map(str, other))}, but there is no such map: leave it out.")
    check_positive(levels.values(), "noise level")


def check_positive(values: Iterable[Any], what: str) -> None:
    """Only finite numbers above 0."""
    values = list(values)
    if not all(isinstance(value, Real) and np.isfinite(float(value)) and float(value) > 0 for value in values):
        raise ValueError(f"every {what} must be a number above 0, but they are {values}.")
