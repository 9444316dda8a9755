"""Maps that a contrast is made of, read from the files of a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_swig_qmri.cli.console import say
from napari_swig_qmri.data.files import read_volume
from napari_swig_qmri.data.inputs import maps_among, paths_of, read_inputs
from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES, quantity_values
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps

if TYPE_CHECKING:
    from napari_swig_qmri.data.inputs import MapFiles
    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid


def read_contrast_maps(
    paths: Sequence[Path], units: str | None, t2star_path: Path | None, b1_path: Path | None
) -> tuple[MapFiles, ContrastMaps, list[Path]]:
    """Maps that contrasts are made of among files and folders, and the files beside those of PD, T1 and T2.

    A T2* map may lie among them, where one on other voxels is left out, or have a file of its own; a map of the
    transmit field is one that is asked for. What is told of T2* is added to the notices.
    """
    volumes = read_inputs(paths, units)
    given = maps_among(volumes, paths)
    grid = given.maps.grid
    t2star, told = _read_t2star(t2star_path, units, grid) if t2star_path else _t2star_among(volumes, grid)
    given = replace(given, notices=(*given.notices, *told))
    say(*given.notices)
    maps = ContrastMaps(
        maps=given.maps,
        t2star=None if t2star is None else quantity_values(t2star),
        transmit_field=None if b1_path is None else _transmit_field(b1_path, grid),
        transmit_map="" if b1_path is None else b1_path.name,
    )
    beside = [] if t2star is None else paths_of([t2star])
    return given, maps, [*beside, *([b1_path] if b1_path else [])]


def _read_t2star(path: Path, units: str | None, grid: VoxelGrid) -> tuple[Volume, tuple[str, ...]]:
    """T2* map of a file and what is told of it; ValueError where it is none or lies on other voxels."""
    volume = read_volume(path, units)
    if volume.suffix not in T2STAR_SUFFIXES:
        raise ValueError(
            f"{volume.name!r} is a {volume.suffix or 'file of unknown kind'}, not a T2* map: choose another."
        )
    if not volume.grid.is_aligned_with(grid):
        raise ValueError(f"{volume.name!r} does not have the voxels of the other maps: resample it first.")
    return volume, _told_of_t2star(volume)


def _t2star_among(volumes: Sequence[Volume], grid: VoxelGrid) -> tuple[Volume | None, tuple[str, ...]]:
    """The first T2* map on a grid among volumes, and what is told of it, or of those on other voxels."""
    found = [volume for volume in volumes if volume.suffix in T2STAR_SUFFIXES]
    used = next((volume for volume in found if volume.grid.is_aligned_with(grid)), None)
    if used is not None:
        return used, _told_of_t2star(used)
    why = "left out, because it does not have the voxels of the other maps: resample it to use it."
    return None, tuple(f"{volume.name}: {why}" for volume in found)


def _told_of_t2star(volume: Volume) -> tuple[str, ...]:
    used = "used as T2*, with which gradient echoes decay."
    return tuple(f"{volume.name}: {notice}" for notice in (*volume.notices, used))


def _transmit_field(path: Path, grid: VoxelGrid) -> FloatArray:
    """Map of B1+ in a file, on a grid."""
    from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on  # loads torch: over a second

    volume = as_transmit_map(read_volume(path))
    say(*(f"{volume.name}: {notice}" for notice in volume.notices))
    return drained(transmit_field_on(volume, grid))
