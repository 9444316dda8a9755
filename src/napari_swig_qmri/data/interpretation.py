"""What volumes stand for: maps of a quantity in its unit, guides with their sequence, results as volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.sidecars import from_sidecar, to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.weighting import UNIFORM

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray

QUANTITY_OF_SUFFIX = {
    **{"PDmap": "PD", "M0map": "PD", "S0map": "PD"},
    **{"T1map": "T1", "R1map": "T1", "T2map": "T2", "R2map": "T2"},
}
T2STAR_SUFFIXES = ("T2starmap", "R2starmap")

UNI_STEPS = 4095  # scanners store MP2RAGE UNI, -1/2 to 1/2, as 0 to this
UNI_SLACK = 0.02  # of the largest value, that interpolation may overshoot at either end
UNI_SHIFTED = 0.51  # largest value from which on a UNI without negative ones is taken as shifted by 1/2


def is_map(volume: Volume) -> bool:
    """Whether a volume holds PD, T1 or T2 (or a rate of them)."""
    return volume.suffix in QUANTITY_OF_SUFFIX


def as_maps(volumes: Sequence[Volume]) -> QuantitativeMaps:
    """Maps of PD, T1 and T2 (any of them): rates become times, PD keeps its scale.

    A map on another grid than most is interpolated linearly. Voxels that are not finite become NaN.
    `map_notices` tells what was changed. ValueError where the times are impossible in their unit.
    """
    if not volumes:
        raise ValueError("no map was given: choose at least one PD, T1 or T2 map.")
    by_quantity = {quantity_of(volume): volume for volume in volumes}
    if len(by_quantity) < len(volumes):
        listed = ", ".join(f"{volume.name!r} ({quantity_of(volume)})" for volume in volumes)
        raise ValueError(f"one map per quantity is needed, but there are {listed}: leave one of each kind.")
    names = tuple(name for name in QUANTITIES if name in by_quantity)
    grid = _common_grid(volumes)
    data = np.stack([quantity_values(_on(by_quantity[name], grid)) for name in names])
    maps = QuantitativeMaps(data=data, grid=grid, names=names)
    check_times(maps, {name: volume.name for name, volume in by_quantity.items()})
    return maps


def check_times(maps: QuantitativeMaps, called: Mapping[str, str] | None = None) -> None:
    """ValueError if T1 or T2 cannot be in s: a wrong unit would give a result without a number in it.

    `called` are the names of the images for the sentence, by quantity.
    """
    for name in maps.names:
        low, high = QUANTITIES[name].bounds
        sample = maps[name].ravel()[:: max(1, maps[name].size // 1_000_000)]
        sample = sample[np.isfinite(sample) & (sample > 0)]
        if name == "PD" or not sample.size:
            continue
        median, top = np.percentile(sample, (50, 99))
        if median > high or top < low:
            image = f" {called[name]!r}" if called else ""
            raise ValueError(
                f"{name}{image} has a median of {median:.3g} s, but {name} lies between {low:g} and {high:g} s; "
                'its unit is another: correct "Units" in its sidecar, or choose it (--units on the command line).'
            )


def quantity_values(volume: Volume) -> FloatArray:
    """Values of a map in the unit of its quantity, rates as times, NaN where there is none."""
    values = volume.data
    if volume.unit == "1/s":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / values
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32, copy=False)


def map_notices(volumes: Sequence[Volume]) -> tuple[str, ...]:
    """What `as_maps` changes in these maps, one sentence each."""
    grid = _common_grid(volumes)
    moved = [volume for volume in volumes if not volume.grid.is_aligned_with(grid)]
    return tuple(f"{volume.name}: interpolated onto the voxels of the other maps." for volume in moved)


def as_guide(volume: Volume) -> tuple[WeightedImage, tuple[str, ...]]:
    """A weighted image with the sequence its sidecar describes, and what was assumed about it.

    The image's own notices hold that too, with its name and what was assumed about its file.
    """
    if is_map(volume):
        raise ValueError(f"{volume.name!r} is a {volume.suffix}, but a guide is a weighted image: choose another.")
    sequence, notices = from_sidecar(volume.sidecar, volume.suffix)
    data = volume.data
    if data.ndim > 3:
        notices = (*notices, f"{volume.name!r} has {data[0, 0, 0].size} volumes: the first is the guide.")
        data = data.reshape(*data.shape[:3], -1)[..., 0]
    told = tuple(f"{volume.name}: {notice}" for notice in (*volume.notices, *notices))
    return WeightedImage(data=data, grid=volume.grid, name=volume.name, sequence=sequence, notices=told), notices


def quantity_of(volume: Volume) -> str:
    """Key of `quantities.QUANTITIES` that a map holds; ValueError for other images."""
    if volume.suffix not in QUANTITY_OF_SUFFIX:
        raise ValueError(
            f"{volume.name!r} is a {volume.suffix or 'image of unknown kind'}, but a PD, T1 or T2 map is "
            "needed: choose another image or tell its kind."
        )
    return QUANTITY_OF_SUFFIX[volume.suffix]


def map_volumes(maps: QuantitativeMaps, label: str, sidecar: Mapping[str, Any] | None = None) -> list[Volume]:
    """One volume per map, named "T1 SR" and the like."""
    return [
        Volume(
            data=maps[name],
            grid=maps.grid,
            name=f"{name} {label}",
            suffix=QUANTITIES[name].suffix,
            unit=QUANTITIES[name].unit,
            sidecar=sidecar or {},
        )
        for name in maps.names
    ]


def guide_volume(guide: WeightedImage, sidecar: Mapping[str, Any]) -> Volume:
    """A guide as a volume with the settings of its sequence and the entries of `sidecar`; its name is its suffix."""
    settings = to_sidecar(guide.sequence) if guide.sequence else {}
    return Volume(data=guide.data, grid=guide.grid, name=guide.name, suffix=guide.name, sidecar={**settings, **sidecar})


def _common_grid(volumes: Sequence[Volume]) -> VoxelGrid:
    """The grid that most volumes have, of equally many the first one's."""
    for volume in volumes:
        if volume.data.ndim != 3:
            raise ValueError(
                f"{volume.name!r} has the shape {volume.data.shape}, but a map has three axes: save one volume of it."
            )
    grids = [volume.grid for volume in volumes]
    votes = [sum(one.is_aligned_with(other) for other in grids) for one in grids]
    return grids[votes.index(max(votes))]


def uniform_image(data: FloatArray, seen: BoolArray, name: str, notices: list[str]) -> FloatArray:
    """An MP2RAGE UNI image between -1/2 and 1/2, as its equation has it, from the numbers that are stored.

    Whole numbers from 0 to 4095 and positive ones up to 1 are told from the range, as Marques' scripts do
    (github.com/JosePMarques/MP2RAGE-related-scripts, T1estimateMP2RAGE.m and RobustCombination.m), and in `notices`.
    Voxels that were not `seen` become 0. ValueError where it is neither.
    """
    low, high = float(data[seen].min()), float(data[seen].max())
    if low >= 0 and UNI_SHIFTED <= high <= 1:
        notices.append(f"{name} is stored as 0 to 1 and was brought to -0.5 to 0.5.")
        return np.where(seen, data - 0.5, 0).astype(np.float32)
    if max(-low, high) <= 1:
        return data
    if low < -UNI_SLACK * high or high > (1 + UNI_SLACK) * UNI_STEPS:
        raise ValueError(
            f"{name} is an MP2RAGE UNI image, stored as -0.5 to 0.5 or as 0 to {UNI_STEPS}, but its values go from "
            f"{low:.4g} to {high:.4g}: bring it to one of the two, or choose another image."
        )
    notices.append(f"{name} is stored as 0 to {UNI_STEPS} and was brought to -0.5 to 0.5.")
    return np.where(seen, data / UNI_STEPS - 0.5, 0).astype(np.float32)


def as_signal(acquired: Volume) -> tuple[Volume, tuple[str, ...]]:
    """An acquired image in the unit of its signal where it has one, and what was done: MP2RAGE UNI, -1/2 to 1/2.

    ValueError for a UNI that is stored in no known way.
    """
    if not is_uniform_image(acquired) or not np.isfinite(acquired.data).any():
        return acquired, ()
    data = np.asarray(acquired.data, np.float32)
    notices: list[str] = []
    data = uniform_image(data, np.isfinite(data), acquired.name, notices)
    return replace(acquired, data=data), tuple(notices)


def is_uniform_image(acquired: Volume) -> bool:
    """Whether an image is the uniform (UNI) image of an MP2RAGE scan."""
    kind = acquired.suffix or find_suffix(Evidence(stem=acquired.name, sidecar=acquired.sidecar))[0]
    return kind == UNIFORM or isinstance(from_sidecar(acquired.sidecar, kind)[0], Mp2rageUni)


def _on(volume: Volume, grid: VoxelGrid) -> Volume:
    """Volume on a grid, interpolated linearly if its own is not aligned with it; NaN beyond its field of view."""
    if volume.grid.is_aligned_with(grid):
        return volume
    return replace(volume, data=on_grid(volume.data, volume.grid, grid, decimals=6), grid=grid)
