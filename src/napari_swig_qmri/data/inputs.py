"""Reading of maps, guides and masks from files and folders."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_swig_qmri.data.interpretation import (
    T2STAR_SUFFIXES,
    as_maps,
    is_contrast_enhanced,
    is_map,
    map_notices,
    quantity_of,
)
from napari_swig_qmri.data.provenance import is_computed, is_result
from napari_swig_qmri.data.recognition.evidence import Evidence, Kind
from napari_swig_qmri.data.recognition.kinds import find_kind, find_suffix
from napari_swig_qmri.data.recognition.suffixes import QUANTITY_OF_SUFFIX, WEIGHTED
from napari_swig_qmri.data.storage.files import read_content, read_folder, read_volume, read_volumes, volume_of
from napari_swig_qmri.data.storage.image_files import split_extension
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.data.wording import joined

_ENTITIES = "ses|acq|run|desc|space|res|rec|ce|part|echo|inv|flip|dir|stat|label"  # BIDS entities other than sub


@dataclass(frozen=True, eq=False, kw_only=True)
class MapFiles:
    """Maps with the volumes they were read from."""

    maps: QuantitativeMaps
    volumes: tuple[Volume, ...]  # one per map
    notices: tuple[str, ...]  # assumptions about the files, one sentence each
    transmit_map: Volume | Path | None = None  # among the files or in `fmap` beside them, where the caller uses it
    t2star: tuple[Volume, ...] = ()  # maps of T2* or R2* among the files, where the caller uses them

    @property
    def paths(self) -> list[Path]:
        """Files of the maps."""
        return paths_of(self.volumes)


def read_inputs(
    paths: Sequence[Path], units: str | None = None, named: Mapping[str, Path] | None = None
) -> list[Volume]:
    """Read maps from files, and all images from folders and their subfolders.

    `units` is that of relaxation times in the files, s or ms; it is detected by default. `named` are further files by
    the quantity that they hold (PD, T1 or T2), whatever their names say; they replace maps of these quantities in
    folders. Raises FileNotFoundError if a path does not exist, ValueError if a file is not a PD, T1, T2 or T2* map or
    cannot be read.
    """
    named = named or {}
    volumes = [_read_as(quantity, path, units) for quantity, path in named.items()]
    for path in paths:
        _check_exists(path)
        if path.is_dir():
            found = read_folder(path, units)
            volumes += [each for each in found if QUANTITY_OF_SUFFIX.get(each.suffix or "") not in named]
        else:
            of_file = read_volumes(path, units)
            if not all(map(_is_input, of_file)):
                raise ValueError(
                    f"{path.name} is a {of_file[0].suffix or 'file of unknown kind'}, not a PD, T1 or T2 map: "
                    "leave it out, or name it as `guide`, or as `pd`, `t1` or `t2` if it is a map."
                )
            volumes += of_file
    return volumes


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name.")


def _read_as(quantity: str, path: Path, units: str | None) -> Volume:
    """Map of a quantity, or of its rate if the file says so, of a file that need not say what it holds."""
    _check_exists(path)
    content, evidence = read_content(path, units)
    kind = find_kind(evidence)
    found = kind.suffix
    if found is not None and QUANTITY_OF_SUFFIX.get(found) == quantity:
        return volume_of(content, evidence, path, kind)
    is_other = found is not None and (found.endswith("map") or kind.confidence == "sure")
    told = (f"Taken as a {quantity} map as you say, although it looks like a {found}.",) if is_other else ()
    return volume_of(content, evidence, path, Kind(suffix=f"{quantity}map", notices=told))


def maps_among(
    volumes: Sequence[Volume],
    paths: Sequence[Path],
    *,
    uses_t2star: bool = False,
    uses_transmit_field: bool = False,
) -> MapFiles:
    """Maps of PD, T1 and T2, or some of them, among volumes read from `paths`; other images are ignored.

    Notices mention maps of T2* and of the transmit field that are left out, unless the caller uses them. A caller that
    uses T2* gets maps without a quantity where there is nothing else. Raises ValueError if there is no map, or two of
    one quantity.
    """
    kept, about_rates = _without_rates([volume for volume in volumes if is_map(volume)])
    kept, about_results = _without_results(kept, paths)
    _check_one_subject(kept, paths)
    stars = tuple(each for each in volumes if each.suffix in T2STAR_SUFFIXES) if uses_t2star else ()
    if not kept and not stars:
        listed = ", ".join(str(path) for path in paths)
        raise ValueError(f"no PD, T1 or T2 map in {listed}: name the files like sub-01_T1map.nii.gz.")
    for volume in kept:
        if not np.any(np.nan_to_num(volume.data)):
            raise ValueError(f"{volume.source} holds no finite value other than 0: choose another map.")
    fields = _transmit_maps(volumes, kept)
    used = fields[:1] if uses_transmit_field else []
    unused = _unused(volumes, fields[len(used) :], () if uses_t2star else T2STAR_SUFFIXES)
    notices = (
        *about_rates,
        *about_results,
        *unused,
        *(f"{v.name}: {notice}" for v in kept for notice in v.notices),
        *(map_notices(kept) if kept else ()),
        *(f"{v.name}: {told}" for v in kept[1:] for told in other_subject(v, kept)),
    )
    return MapFiles(
        maps=as_maps(kept) if kept else _no_maps(stars[0].grid),
        volumes=kept,
        notices=notices,
        transmit_map=next(iter(used), None),
        t2star=stars,
    )


def _no_maps(grid: VoxelGrid) -> QuantitativeMaps:
    return QuantitativeMaps(data=np.empty((0, *grid.shape), np.float32), grid=grid, names=())


def _transmit_maps(volumes: Sequence[Volume], maps: Sequence[Volume]) -> list[Volume | Path]:
    """Maps of the transmit field among volumes, and those in the folders `fmap` beside maps."""
    known = {path.name for path in paths_of(volumes)}
    folders = dict.fromkeys(path.parent.parent / "fmap" for path in paths_of(maps))
    beside = [path for folder in folders for path in sorted(folder.glob("*_TB1map*.nii*")) if path.name not in known]
    return [*(volume for volume in volumes if volume.suffix == "TB1map"), *beside]


def _unused(volumes: Sequence[Volume], fields: Sequence[Volume | Path], t2star: Sequence[str]) -> tuple[str, ...]:
    """One sentence on each map of T2* among volumes, and of the transmit field, none of which is used."""
    told = [
        f"{each.name}: left out, because only gradient echoes of T2* need it."
        for each in volumes
        if each.suffix in t2star
    ]
    use = "it is taken into account where contrasts are synthesised and maps super-resolved, with `b1`."
    return (*told, *(f"{each.name}: a map of the transmit field, not used here; {use}" for each in fields))


def _without_rates(maps: Sequence[Volume]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """Leave out rates of quantities that are also present as times, with one sentence on each."""
    times = {quantity_of(each): each.name for each in maps if each.unit == "s"}
    left_out = [each for each in maps if each.unit == "1/s" and quantity_of(each) in times]
    notices = [
        f"{each.name}: left out, because {times[quantity_of(each)]} holds the same as times." for each in left_out
    ]
    return tuple(each for each in maps if each not in left_out), tuple(notices)


def _without_results(maps: Sequence[Volume], paths: Sequence[Path]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """Leave out results found in folders beside measured maps of their quantities, with one sentence on each."""
    measured = {quantity_of(each): each.name for each in maps if not is_result(each)}
    left_out = [each for each in maps if is_result(each) and quantity_of(each) in measured and each.path not in paths]
    notices = [
        f"{each.name}: left out, because it is a result of this software and {measured[quantity_of(each)]} is measured."
        for each in left_out
    ]
    return tuple(each for each in maps if each not in left_out), tuple(notices)


def read_maps(
    paths: Sequence[Path],
    units: str | None = None,
    named: Mapping[str, Path] | None = None,
    *,
    uses_t2star: bool = False,
    uses_transmit_field: bool = False,
) -> MapFiles:
    """Read maps of PD, T1 and T2, or some of them, from files and folders; arguments and errors as of `read_inputs`."""
    volumes = read_inputs(paths, units, named)
    return maps_among(volumes, paths, uses_t2star=uses_t2star, uses_transmit_field=uses_transmit_field)


def subject_of(volumes: Iterable[Volume]) -> str:
    """Subject and session in the file names of volumes, as the start of the names of output files.

    Taken from the first BIDS name; otherwise the words of the first name that do not describe the kind of image are
    the subject: ``anna_T1map`` gives ``sub-anna``.
    """
    return subject_in(paths_of(volumes))


def other_subject(volume: Volume, maps: Iterable[Volume]) -> tuple[str, ...]:
    """Sentence on an image whose file name begins with another subject than those of maps; empty for other images."""
    theirs, own = _subjects(maps), _subjects([volume])
    if not theirs or not own or theirs[0] == own[0]:
        return ()
    return (f"Of {own[0]} by its name, but the first map is of {theirs[0]}: check that they show the same head.",)


def _subjects(volumes: Iterable[Volume]) -> list[str]:
    """Subjects in BIDS names of files, each once."""
    found = (re.match(r"sub-[a-zA-Z0-9+]+", path.name) for path in paths_of(volumes))
    return list(dict.fromkeys(match[0] for match in found if match))


def _check_one_subject(maps: Sequence[Volume], paths: Sequence[Path]) -> None:
    """Refuse folders with the maps of several subjects."""
    subjects = _subjects(maps)
    if len(subjects) > 1 and len(maps) > len({quantity_of(each) for each in maps}):
        listed = ", ".join(str(path) for path in paths)
        raise ValueError(
            f"{listed} holds maps of {len(subjects)} subjects, {subjects[0]} and {subjects[1]} among them: choose the "
            "folder of one, or one map per quantity."
        )


def subject_in(paths: Iterable[Path]) -> str:
    """Subject and session in file names; see `subject_of`."""
    stems = [split_extension(path)[0] for path in paths]
    named = next((stem for stem in stems if "sub-" in stem), stems[0] if stems else "")
    parts = named.split("_")
    subjects = [part for part in parts if part.startswith("sub-")] or [f"sub-{_label_in(named) or 'unnamed'}"]
    return "_".join([*subjects, *(part for part in parts if part.startswith("ses-"))])


def _label_in(stem: str) -> str:
    """Letters and digits of a file name without words for the kind of image and without BIDS entities."""
    words = re.split("[^A-Za-z0-9]+", re.sub(rf"(?:^|_)(?:{_ENTITIES})-[A-Za-z0-9]+", "", stem))
    return "".join(word for word in words if word.lower() != "map" and find_suffix(Evidence(stem=word))[0] is None)


def read_guides(paths: Sequence[Path]) -> list[Volume]:
    """Read images from files, and all weighted images from folders.

    Raises ValueError if a folder has no weighted image, or a file is given twice or cannot be read.
    """
    volumes: list[Volume] = []
    for path in paths:
        _check_exists(path)
        if not path.is_dir():
            volumes.append(read_volume(path))
            continue
        weighted = _measured([volume for volume in read_folder(path) if volume.suffix in WEIGHTED], path)
        usable = [volume for volume in weighted if not _no_guide(volume)]
        left_out = [f"{volume.name} ({_no_guide(volume)})" for volume in weighted if volume not in usable]
        told = f" Left out: {', '.join(left_out)}; give such a file by its name to use it." if left_out else ""
        if not usable:
            raise ValueError(f"no weighted image in {path}: name the guides like sub-01_T1w.nii.gz.{told}")
        if told:
            warnings.warn(told.strip(), stacklevel=2)
        volumes += usable
    check_given_once(volumes)
    return volumes


def _measured(images: Sequence[Volume], folder: Path) -> list[Volume]:
    """Images of a folder without those computed by this software, which a warning names."""
    computed = [image for image in images if is_computed(image.sidecar, image.suffix)]
    if computed:
        listed = joined(image.name for image in computed)
        warnings.warn(
            f"Left out of {folder.name}: {listed}, computed by this software. Name them to use them.", stacklevel=2
        )
    return [image for image in images if image not in computed]


def _no_guide(volume: Volume) -> str:
    """Why a weighted image of a folder is no guide unless it is given by name; empty for guides."""
    if volume.suffix == "MP2RAGE":
        return "one inversion of MP2RAGE, for which there is no signal model"
    return "acquired after a contrast agent" if is_contrast_enhanced(volume) else ""


def check_given_once(guides: Sequence[Volume]) -> None:
    """Raise a ValueError if two guides are the same file."""
    files = [volume.path.resolve() for volume in guides if volume.path is not None]
    repeated = next((path for path in files if files.count(path) > 1), None)
    if repeated:
        raise ValueError(f"the guide {repeated.name} was given twice: give it once.")


def paths_of(volumes: Iterable[Volume]) -> list[Path]:
    """Files of volumes in their order, each once; volumes without a file are skipped."""
    return list(dict.fromkeys(volume.path for volume in volumes if volume.path is not None))


def _is_input(volume: Volume) -> bool:
    return is_map(volume) or volume.suffix in T2STAR_SUFFIXES
