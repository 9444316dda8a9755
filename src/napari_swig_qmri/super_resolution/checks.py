"""What a run cannot start from, refused in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.interpretation import check_times
from napari_swig_qmri.data.sidecars import REMEDY
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, METHODS
from napari_swig_qmri.super_resolution.solver.problem import choose_hr_grid
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage

MAX_GUIDES = 5
DTYPES = {"float32": torch.float32, "float64": torch.float64}


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


def check(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    *,
    method: str = DEFAULT_METHOD,
    gains: Sequence[float] | None = None,
    lr_noise: Mapping[str, float] | None = None,
    guide_noise: Sequence[float] | None = None,
    dtype: str = "float32",
    memory_limit: int | None = None,
    voxel_size: float | Sequence[float] | None = None,
    reference: int | None = None,
    weights: str | Path | None = None,
    adapt: bool = False,
    keep_noise: bool = False,
    **_others: Any,
) -> None:
    """Refuse with one sentence what cannot run; arguments as for `super_resolve`."""
    check_maps(maps)
    if method not in METHODS:
        raise ValueError(f"the method must be one of {', '.join(METHODS)}, but it is {method!r}.")
    if method != "network" and (weights is not None or adapt):
        raise ValueError(f"only the method network takes weights and adapts them, but it is {method!r}: choose one.")
    if method == "network" and keep_noise:
        raise ValueError("networks are trained on maps without noise: leave out keep_noise, or choose the posterior.")
    if method == "network":
        SwigNet.from_pretrained(weights or DEFAULT_WEIGHTS)  # says what is wrong with the file
    if adapt and not guides:
        raise ValueError("adapting needs a guide, but there is none: leave it out, or choose a weighted image.")
    if adapt and set(maps.names) != set(QUANTITIES):
        raise ValueError(f"adapting needs maps of PD, T1 and T2, but there are {', '.join(maps.names)}: leave it out.")
    if dtype not in DTYPES:
        raise ValueError(f"the dtype must be one of {', '.join(DTYPES)}, but it is {dtype!r}.")
    if len(guides) > MAX_GUIDES:
        raise ValueError(f"up to {MAX_GUIDES} guides can be used, but {len(guides)} came: leave some out.")
    check_per_guide(gains, len(guides), "gain")
    check_per_guide(guide_noise, len(guides), "noise level")
    check_lr_noise(lr_noise, maps.names)
    if memory_limit is not None:
        check_positive([memory_limit], "memory limit")
    for guide in guides:
        check_grid(guide.grid, guide.name)
        if guide.sequence is None:
            raise ValueError(f"the sequence of guide {guide.name!r} is not known: {REMEDY}.")
    check_distinct(guides)
    check_detail(maps, guides, choose_hr_grid(maps, guides, voxel_size, reference), voxel_size)
