"""Files and folders that a command is given: maps, guides, a mask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.bids import WEIGHTED, find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.files import read_folder, read_volume, read_volumes
from napari_swig_qmri.data.interpretation import (
    T2STAR_SUFFIXES,
    as_maps,
    is_map,
    map_notices,
    quantity_of,
)
from napari_swig_qmri.data.nifti import split_extension

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume, VoxelGrid


_ENTITIES = "ses|acq|run|desc|space|res|rec|ce|part|echo|inv|flip|dir|stat|label"  # of BIDS, not of a subject


@dataclass(frozen=True, eq=False, kw_only=True)
class MapFiles:
    """Maps and the files that they came from."""

    maps: QuantitativeMaps
    volumes: tuple[Volume, ...]  # one per map
    notices: tuple[str, ...]  # what was assumed about the files

    @property
    def paths(self) -> list[Path]:
        """Files of the maps."""
        return paths_of(self.volumes)


def read_inputs(paths: Sequence[Path], units: str | None = None) -> list[Volume]:
    """Volumes of files, and of folders with everything below them; relaxation times in `units` if given."""
    volumes: list[Volume] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: check the name.")
        if path.is_dir():
            volumes += read_folder(path, units, strict=True)
        else:
            found = read_volumes(path, units)
            if not all(map(_is_input, found)):
                raise ValueError(
                    f"{path.name} is a {found[0].suffix or 'file of unknown kind'}, not a PD, T1 or T2 map: "
                    "leave it out, or put --guide before it if it is a guide."
                )
            volumes += found
    return volumes


def maps_among(volumes: Sequence[Volume], paths: Sequence[Path]) -> MapFiles:
    """PD, T1 and T2 maps, any of them, of volumes read from `paths`; other images are passed over."""
    found, twice = _without_rates([volume for volume in volumes if is_map(volume)])
    if not found:
        listed = ", ".join(str(path) for path in paths)
        raise ValueError(f"no PD, T1 or T2 map in {listed}: name the files like sub-01_T1map.nii.gz.")
    notices = (*twice, *(f"{v.name}: {notice}" for v in found for notice in v.notices), *map_notices(found))
    return MapFiles(maps=as_maps(found), volumes=found, notices=notices)


def _without_rates(maps: Sequence[Volume]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """The maps without rates of quantities that are there as times, too, and a sentence on each rate left out."""
    times = {quantity_of(each): each.name for each in maps if each.unit == "s"}
    left = [each for each in maps if each.unit == "1/s" and quantity_of(each) in times]
    told = [f"{each.name}: left out, because {times[quantity_of(each)]} holds the same as times." for each in left]
    return tuple(each for each in maps if each not in left), tuple(told)


def read_maps(paths: Sequence[Path], units: str | None = None) -> MapFiles:
    """PD, T1 and T2 maps, any of them, among files and folders."""
    return maps_among(read_inputs(paths, units), paths)


def subject_of(volumes: Iterable[Volume]) -> str:
    """Start of the names of output files: subject and session of the first map whose name tells them.

    Of names that are not BIDS names, the words that do not tell the kind are the subject: anna_T1map is of sub-anna.
    """
    return subject_in(paths_of(volumes))


def subject_in(paths: Iterable[Path]) -> str:
    """Subject and session in the names of files, as `subject_of` finds them."""
    stems = [split_extension(path)[0] for path in paths]
    named = next((stem for stem in stems if "sub-" in stem), stems[0] if stems else "")
    parts = named.split("_")
    subjects = [part for part in parts if part.startswith("sub-")] or [f"sub-{_label_in(named) or 'unnamed'}"]
    return "_".join([*subjects, *(part for part in parts if part.startswith("ses-"))])


def _label_in(stem: str) -> str:
    """Letters and digits of a file name without the kind of the image and without BIDS entities."""
    words = re.split("[^A-Za-z0-9]+", re.sub(rf"(?:^|_)(?:{_ENTITIES})-[A-Za-z0-9]+", "", stem))
    return "".join(word for word in words if word.lower() != "map" and find_suffix(Evidence(stem=word))[0] is None)


def read_guides(paths: Sequence[Path]) -> list[Volume]:
    """Images of files, and the weighted images of folders."""
    volumes: list[Volume] = []
    for path in paths:
        found = read_folder(path, strict=True) if path.is_dir() else [read_volume(path)]
        if path.is_dir():
            found = [volume for volume in found if volume.suffix in WEIGHTED]
            if not found:
                raise ValueError(f"no weighted image in {path}: name the guides like sub-01_T1w.nii.gz.")
        volumes += found
    files = [volume.path.resolve() for volume in volumes if volume.path is not None]
    twice = next((path for path in files if files.count(path) > 1), None)
    if twice:
        raise ValueError(f"the guide {twice.name} was given twice: give it once.")
    return volumes


def paths_of(volumes: Iterable[Volume]) -> list[Path]:
    """Files of volumes that came from files, in their order, each once for all that it holds."""
    return list(dict.fromkeys(volume.path for volume in volumes if volume.path is not None))


def read_mask(path: Path, grid: VoxelGrid, owner: str) -> BoolArray:
    """Mask from a file on the voxels of `grid`, which belongs to `owner`; see `mask_on`."""
    return mask_on(read_volume(path), grid, owner)


def mask_on(volume: Volume, grid: VoxelGrid, owner: str) -> BoolArray:
    """Voxels of a volume above 0.5, ``(x, y, z)``; ValueError unless it has the voxels of `grid` of `owner`."""
    if not volume.grid.is_aligned_with(grid):
        raise ValueError(
            f"the mask {volume.path.name if volume.path else volume.name} ({volume.grid.shape} voxels) and {owner} "
            f"({grid.shape} voxels) do not have the same voxels: resample the mask first."
        )
    return np.asarray(volume.data > 0.5)


def _is_input(volume: Volume) -> bool:
    return is_map(volume) or volume.suffix in T2STAR_SUFFIXES
