"""Maps to compute contrasts from, read from the files that a command is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.cli.console import say
from napari_swig_qmri.data.inputs import MapFiles, maps_among, paths_of, read_inputs
from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES, moved_to, quantity_values
from napari_swig_qmri.data.labels import offset_text
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps

if TYPE_CHECKING:
    from napari_swig_qmri.cli.parameters import MapArguments
    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid


def read_contrast_maps(
    arguments: MapArguments, t2star_path: Path | None, b1_path: Path | None
) -> tuple[MapFiles, ContrastMaps, list[Path]]:
    """Read the maps that contrasts are computed from, and print the notices about them on standard error.

    Without `t2star_path`, the first T2* map among the `arguments` on the grid of the other maps is used, if any.
    `b1_path` is the map of the transmit field. ValueError if one of these files holds another image.

    Returns
    -------
    given
        PD, T1 and T2 maps with their files and the notices about them and about T2*.
    maps
        The same maps with T2* and the transmit field.
    other_paths
        Files of T2* and of the transmit field.
    """
    units = arguments.units
    volumes = read_inputs(arguments.paths, units, arguments.named)
    given = maps_among([each for each in volumes if each.suffix not in T2STAR_SUFFIXES], arguments.paths)
    grid = given.maps.grid
    t2star, notices = _read_t2star(t2star_path, units, grid) if t2star_path else _t2star_among(volumes, grid)
    given = replace(given, notices=(*given.notices, *notices))
    say(*given.notices)
    maps = ContrastMaps(
        maps=given.maps,
        t2star=None if t2star is None else quantity_values(t2star),
        transmit_field=None if b1_path is None else _transmit_field(b1_path, grid),
        transmit_map="" if b1_path is None else b1_path.name,
    )
    other_paths = [] if t2star is None else paths_of([t2star])
    return given, maps, [*other_paths, *([b1_path] if b1_path else [])]


def _read_t2star(path: Path, units: str | None, grid: VoxelGrid) -> tuple[Volume, tuple[str, ...]]:
    """T2* map of a file and the notices about it; ValueError if the file is no T2* map or on another grid."""
    volume = read_volume(path, units)
    if volume.suffix not in T2STAR_SUFFIXES:
        raise ValueError(
            f"{volume.source!r} is a {volume.suffix or 'file of unknown kind'}, not a T2* map: choose another."
        )
    if not _has_all_voxels(volume, grid):
        offset = offset_text(volume.grid, grid)
        raise ValueError(f"{volume.source!r} does not have the voxels of the other maps: {offset}. Resample it first.")
    return moved_to(volume, grid), _t2star_notices(volume)


def _t2star_among(volumes: Sequence[Volume], grid: VoxelGrid) -> tuple[Volume | None, tuple[str, ...]]:
    """First T2* map on a grid and the notices about it; else None and a notice about each T2* map left out."""
    candidates = [volume for volume in volumes if volume.suffix in T2STAR_SUFFIXES]
    used = next((volume for volume in candidates if _has_all_voxels(volume, grid)), None)
    if used is not None:
        return moved_to(used, grid), _t2star_notices(used)
    reason = "left out, because it does not have the voxels of the other maps"
    return None, tuple(
        f"{volume.name}: {reason}: {offset_text(volume.grid, grid)}. Resample it to use it." for volume in candidates
    )


def _has_all_voxels(volume: Volume, grid: VoxelGrid) -> bool:
    """Whether a volume has the voxels of a grid, in any storage order."""
    is_alike = sorted(volume.grid.shape) == sorted(grid.shape) and volume.grid.has_voxels_of(grid)
    return is_alike and bool(np.allclose(volume.grid.centre, grid.centre, atol=0.05))


def _t2star_notices(volume: Volume) -> tuple[str, ...]:
    use = "used as T2*, with which gradient echoes decay."
    return tuple(f"{volume.name}: {notice}" for notice in (*volume.notices, use))


def _transmit_field(path: Path, grid: VoxelGrid) -> FloatArray:
    """Transmit field ``(x, y, z)`` of a file on a grid, as a fraction of the nominal one; its notices are printed."""
    from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on  # loads torch: over a second

    volume = as_transmit_map(read_volume(path))
    say(*(f"{volume.name}: {notice}" for notice in volume.notices))
    return drained(transmit_field_on(volume, grid))
