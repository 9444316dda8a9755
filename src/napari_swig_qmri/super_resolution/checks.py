"""Checks of maps, guides and options that a run cannot start without; each raises ValueError with one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.interpretation import check_times
from napari_swig_qmri.data.recognition.sidecars import REMEDY
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.options import MAX_GUIDES, Options

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, VoxelGrid, WeightedImage


def check_maps(maps: QuantitativeMaps) -> None:
    """Raise ValueError unless every map has values, in its unit, on an invertible grid."""
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
    """Raise ValueError if the affine cannot be inverted; `owner` names the image in the message."""
    edges = grid.affine[:3, :3]
    if not np.isfinite(grid.affine).all() or np.linalg.matrix_rank(edges) < 3:
        raise ValueError(
            f"the affine of {owner} is singular or not finite, so that its voxels have no place: correct the header."
        )


def check_distinct(guides: Sequence[WeightedImage]) -> None:
    """Raise ValueError if an image is given twice: its noise would count as two independent measurements."""
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
    """Raise ValueError if the result would equal the maps, or if `voxel_size` (mm) is coarser than the maps."""
    if not guides and hr_grid.is_aligned_with(maps.grid):
        raise ValueError(
            "without a guide and with the voxels of the maps, nothing would change: add a guide or choose a smaller "
            "`voxel_size`."
        )
    if voxel_size is None:
        return
    hr_axes, lr_axes = (grid.affine[:3, :3] / grid.voxel_size for grid in (hr_grid, maps.grid))
    along = np.abs(hr_axes.T @ lr_axes).argmax(axis=1)  # LR axis nearest to each HR axis
    edges = np.asarray(maps.grid.voxel_size)[along]
    asked = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    if np.any(asked > 1.01 * edges):
        shown, largest = (size_text(sizes) for sizes in (asked, edges))
        raise ValueError(
            f"voxels of {shown} mm would be coarser than those of the maps, {largest} mm: choose a smaller "
            "`voxel_size`."
        )


def check_guides(guides: Sequence[WeightedImage]) -> None:
    """Raise ValueError if there are too many guides, or one has no contrast, place or known sequence, or came twice."""
    if len(guides) > MAX_GUIDES:
        raise ValueError(f"up to {MAX_GUIDES} guides can be used, but {len(guides)} came: leave some out.")
    for guide in guides:
        check_grid(guide.grid, guide.name)
        if _is_flat(guide.data):
            raise ValueError(
                f"the guide {guide.name!r} has no contrast, no two values other than 0: choose a weighted image."
            )
        if guide.sequence is None:
            raise ValueError(f"the sequence of guide {guide.name!r} is not known: {REMEDY}.")
    check_distinct(guides)


def _is_flat(data: FloatArray) -> bool:
    """Whether all values other than 0 are the same, as in a mask."""
    values = data[np.isfinite(data) & (data != 0)]
    return bool(values.size) and bool(values.min() == values.max())


def check_options(options: Options, maps: QuantitativeMaps, n_guides: int) -> None:
    """Raise ValueError if options do not fit these maps and this number of guides."""
    if options.adapt and not n_guides:
        raise ValueError("adapting needs a guide, but there is none: leave it out, or choose a weighted image.")
    if options.adapt and set(maps.titles) != set(QUANTITIES):
        raise ValueError(f"adapting needs maps of PD, T1 and T2, but there are {', '.join(maps.titles)}: leave it out.")
    if options.all_maps and not n_guides:
        raise ValueError("maps that were not measured need a guide, but there is none: leave out `all_maps`.")
    for values, what in ((options.gains, "gain"), (options.guide_noise, "noise level")):
        if values is not None and np.shape(values) != (n_guides,):
            came = len(values) if np.ndim(values) == 1 else repr(values)
            raise ValueError(f"{n_guides} guides need one {what} each, but {came} came.")
    if options.lr_noise is not None:
        _check_lr_noise(options.lr_noise, maps.names)


def _check_lr_noise(levels: Mapping[str, float], names: Sequence[str]) -> None:
    missing, other = [n for n in names if n not in levels], [n for n in levels if n not in names]
    if missing:
        raise ValueError(f"`lr_noise` needs {' and '.join(names)}, but {' and '.join(missing)} is missing: add it.")
    if other:
        raise ValueError(f"`lr_noise` names {' and '.join(map(str, other))}, but there is no such map: leave it out.")
