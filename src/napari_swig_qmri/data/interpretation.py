"""What volumes stand for: maps of a quantity in its unit, guides with their sequence, results as volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from scipy.ndimage import affine_transform

from napari_swig_qmri.data.bids import UNIT_FACTORS, UNITS, Evidence, find_suffix
from napari_swig_qmri.data.sidecars import from_sidecar, to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.results import RESEARCH_NOTICE

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.results import SuperResolution

QUANTITY_OF_SUFFIX = {
    **{"PDmap": "PD", "M0map": "PD", "S0map": "PD"},
    **{"T1map": "T1", "R1map": "T1", "T2map": "T2", "R2map": "T2"},
}
T2STAR_SUFFIXES = ("T2starmap", "R2starmap")
_SOFTWARE = ("napari-swig-qmri", "torch", "numpy", "scipy", "nibabel")


def with_kind(volume: Volume, suffix: str | None, file_unit: str | None = None) -> Volume:
    """The same stored numbers read as another kind of image, given in `file_unit` (None: the BIDS unit)."""
    unit = UNITS.get(suffix or "")
    file_unit = file_unit or unit
    if unit is not None and (file_unit not in UNIT_FACTORS or UNIT_FACTORS[file_unit][0] != unit):
        fitting = ", ".join(name for name, (base, _) in UNIT_FACTORS.items() if base == unit)
        raise ValueError(f"a {suffix} cannot be in {file_unit!r}: choose one of {fitting}.")
    if unit is None:
        file_unit = None
    factor = _factor(file_unit) / _factor(volume.file_unit)
    data = volume.data if factor == 1 else volume.data * np.asarray(factor, dtype=volume.data.dtype)
    return replace(volume, data=data, suffix=suffix, unit=unit, file_unit=file_unit)


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
    data = np.stack([quantity_values(_on_grid(by_quantity[name], grid)) for name in names])
    maps = QuantitativeMaps(data=data, grid=grid, names=names)
    check_times(maps, {name: volume.name for name, volume in by_quantity.items()})
    return maps


def interpolated(maps: QuantitativeMaps, grid: VoxelGrid) -> QuantitativeMaps:
    """Maps on another grid by cubic splines; voxels without a value count as 0, edges go on beyond the maps."""
    target = (grid.shape, grid.affine)
    images = [nib.Nifti1Image(np.nan_to_num(data).astype(np.float32), maps.grid.affine) for data in maps.data]
    moved = [np.asarray(resample_from_to(image, target, order=3, mode="nearest").dataobj) for image in images]
    return QuantitativeMaps(data=np.stack(moved), grid=grid, names=maps.names)


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


def in_file_unit(volume: Volume) -> FloatArray:
    """The numbers of a volume as its file has them."""
    factor = _factor(volume.file_unit)
    return volume.data if factor == 1 else volume.data / np.asarray(factor, dtype=volume.data.dtype)


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


def residual_volumes(result: SuperResolution) -> list[Volume]:
    """Acquired minus synthesised guides, then measured minus truncated SR maps."""
    sidecar = provenance(result)
    guides = [
        Volume(data=data, grid=g.grid, name=f"{g.name} residual", suffix="residual", sidecar=sidecar)
        for g, data in zip(result.guides, result.guide_residuals, strict=True)
    ]
    maps = map_volumes(result.lr_residual, "LR residual", sidecar)
    return [*guides, *(replace(v, suffix=v.suffix.replace("map", "residual")) for v in maps if v.suffix)]


def conflict_volume(result: SuperResolution) -> Volume | None:
    """Where the LR maps were followed against the guides, 0 to 1."""
    if result.conflict is None:
        return None
    sidecar, grid = provenance(result), result.maps.grid
    return Volume(data=result.conflict, grid=grid, name="Conflict", suffix="conflict", sidecar=sidecar)


def synthesised_volumes(result: SuperResolution) -> list[Volume]:
    """The guides as the SR maps predict them, with the settings of their sequences."""
    return [
        Volume(
            data=image.data,
            grid=image.grid,
            name=f"{image.name} synthesised",
            suffix=find_suffix(Evidence(stem=image.name))[0],
            sidecar=(to_sidecar(image.sequence) if image.sequence else {}) | provenance(result),
        )
        for image in result.synthesised
    ]


def provenance(result: SuperResolution) -> dict[str, Any]:
    """What a super-resolved layer or file says about itself."""
    return {
        "Notice": RESEARCH_NOTICE,
        "GeneratedBy": [generated_by()],
        "PackageVersions": {name: _version(name) for name in _SOFTWARE},
        "Parameters": dict(result.parameters),
        "Guides": [guide.name for guide in result.guides],
        "Gains": list(result.gains),
        "Assumed": assumptions(result),
    }


def assumptions(result: SuperResolution) -> list[str]:
    """What was assumed about the guides and in the run, one sentence each."""
    return [*(notice for guide in result.guides for notice in guide.notices), *result.notices]


def generated_by() -> dict[str, str]:
    """Name and version of this software as BIDS names the maker of a derivative."""
    return {"Name": "napari-swig-qmri", "Version": _version("napari-swig-qmri")}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


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


def _on_grid(volume: Volume, grid: VoxelGrid) -> Volume:
    """The volume, linearly interpolated if it lies on another grid; NaN outside of its own."""
    if volume.grid.is_aligned_with(grid):
        return volume
    matrix = np.linalg.inv(volume.grid.affine) @ grid.affine
    steps = matrix.round(6)  # voxels that only are stored in another order stay exact
    data = affine_transform(volume.data, steps[:3, :3], steps[:3, 3], output_shape=grid.shape, order=1, cval=np.nan)
    return replace(volume, data=data, grid=grid)


def _factor(file_unit: str | None) -> float:
    """What a number in a file is multiplied by when it is read."""
    return UNIT_FACTORS[file_unit][1] if file_unit else 1.0
