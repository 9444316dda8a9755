"""Volumes and results from and to files; every conversion of units happens here."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.bids import (
    LABELS,
    MAP_UNITS,
    UNIT_FACTORS,
    Evidence,
    dataset_root,
    find_suffix,
    find_unit,
    read_sidecar,
    short_name,
)
from napari_swig_qmri.nifti import (
    NiftiContent,
    header_text,
    read_nifti,
    split_extension,
    write_nifti,
    write_text,
)
from napari_swig_qmri.quantities import QUANTITIES
from napari_swig_qmri.sidecars import from_sidecar
from napari_swig_qmri.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage

if TYPE_CHECKING:
    from napari_swig_qmri.volumes import FloatArray

_QUANTITY_OF_SUFFIX = {
    **{"PDmap": "PD", "M0map": "PD", "S0map": "PD"},
    **{"T1map": "T1", "R1map": "T1", "T2map": "T2", "R2map": "T2"},
}
_OTHER_MODALITIES = {"func", "dwi", "perf", "pet", "meg", "eeg", "sourcedata", "code"}
_MOST_IMAGES = 40  # of one folder; more belong to several subjects and fill the memory


def read_volume(path: str | Path) -> Volume:
    """Read one NIfTI file with its sidecar; relaxation times come out in s, rates in 1/s.

    What had to be assumed about kind, unit and position stands in the volume's notices.
    """
    path = Path(path)
    stem, _ = split_extension(path)
    content = read_nifti(path)
    sidecar, problems = read_sidecar(path, stem, dataset_root(path))
    evidence = Evidence(
        stem=stem, sidecar=sidecar, header_text=header_text(content.header), values=content.data
    )
    suffix, about_kind = find_suffix(evidence)
    file_unit, about_unit = find_unit(suffix, evidence)
    volume = Volume(
        data=content.data,
        grid=VoxelGrid(content.data.shape[:3], content.affine),
        name=short_name(stem),
        sidecar=sidecar,
        header=content.header,
        path=path,
        notices=(*content.notices, *problems, *about_kind, *about_unit),
    )
    return with_kind(volume, suffix, file_unit)


def with_kind(volume: Volume, suffix: str | None, file_unit: str | None = None) -> Volume:
    """The same stored numbers read as another kind of image, given in `file_unit` (None: the BIDS unit)."""
    unit = MAP_UNITS.get(suffix or "")
    file_unit = file_unit or unit
    if unit is not None and (file_unit not in UNIT_FACTORS or UNIT_FACTORS[file_unit][0] != unit):
        fitting = ", ".join(name for name, (base, _) in UNIT_FACTORS.items() if base == unit)
        raise ValueError(f"a {suffix} cannot be in {file_unit!r}: choose one of {fitting}.")
    if unit is None:
        file_unit = None
    factor = _factor(file_unit) / _factor(volume.file_unit)
    data = volume.data if factor == 1 else volume.data * np.asarray(factor, dtype=volume.data.dtype)
    return replace(volume, data=data, suffix=suffix, unit=unit, file_unit=file_unit)


def _factor(file_unit: str | None) -> float:
    """What a number in a file is multiplied by when it is read."""
    return UNIT_FACTORS[file_unit][1] if file_unit else 1.0


def read_folder(path: str | Path) -> list[Volume]:
    """Read every image of a folder and its subfolders, maps first, each under a name of its own.

    A file that cannot be read is left out and named in one warning; ValueError if nothing remains.
    """
    folder = Path(path)
    files, problems = find_images(folder)
    volumes = []
    for file in files:
        try:
            volumes.append(read_volume(file))
        except (ValueError, OSError) as error:
            problems.append(str(error))
    if not volumes:
        reasons = " ".join(problems) or "It holds no file that ends in .nii, .nii.gz or .hdr."
        raise ValueError(f"no image could be read from {folder}. {reasons} Choose a folder with NIfTI files.")
    if problems:
        warnings.warn(f"Left out of {folder.name}: {' '.join(problems)}", stacklevel=2)
    return sorted(with_distinct_names(volumes, folder), key=_display_order)


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """NIfTI files of a folder and its subfolders in order of name, and sentences on those left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: check the name.")
    found = [p for p in sorted(folder.rglob("*")) if _is_image(p, folder)]
    other = [p for p in found if _OTHER_MODALITIES & set(p.relative_to(folder).parts)]
    wanted = [p for p in found if p not in set(other)]
    problems = [f"{len(other)} images that are not anatomical."] if other else []
    if len(wanted) > _MOST_IMAGES:
        left = len(wanted) - _MOST_IMAGES
        problems.append(f"{left} of {len(wanted)} images: open the folder of one subject to see the others.")
    return wanted[:_MOST_IMAGES], problems


def with_distinct_names(volumes: Sequence[Volume], folder: Path | None = None) -> list[Volume]:
    """The same volumes; where names repeat, the folder of the file below `folder` is added."""
    names = [volume.name for volume in volumes]
    return [
        replace(volume, name=f"{volume.name} ({_place(volume.path, folder)})")
        if names.count(volume.name) > 1 and volume.path is not None
        else volume
        for volume in volumes
    ]


def is_map(volume: Volume) -> bool:
    """Whether a volume holds PD, T1 or T2 (or a rate of them)."""
    return volume.suffix in _QUANTITY_OF_SUFFIX


def as_maps(volumes: Sequence[Volume]) -> QuantitativeMaps:
    """Maps of PD, T1 and T2 (any of them) on their common grid: rates become times, PD is brought near 1.

    Voxels that are not finite become NaN; `pd_factor` tells how PD is scaled.
    """
    if not volumes:
        raise ValueError("no map was given: choose at least one PD, T1 or T2 map.")
    by_quantity = {quantity_of(volume): volume for volume in volumes}
    if len(by_quantity) < len(volumes):
        listed = ", ".join(f"{volume.name!r} ({quantity_of(volume)})" for volume in volumes)
        raise ValueError(f"one map per quantity is needed, but there are {listed}: leave one of each kind.")
    names = tuple(name for name in QUANTITIES if name in by_quantity)
    first = by_quantity[names[0]]
    for name in names:
        _check_same_grid(by_quantity[name], first)
    data = np.stack([_quantity_values(by_quantity[name]) for name in names])
    return QuantitativeMaps(data=data, grid=first.grid, names=names)


def as_guide(volume: Volume) -> tuple[WeightedImage, tuple[str, ...]]:
    """A weighted image with the sequence its sidecar describes, and what was assumed."""
    if is_map(volume):
        raise ValueError(
            f"{volume.name!r} is a {volume.suffix}, but a guide is a weighted image: choose another."
        )
    sequence, notices = from_sidecar(volume.sidecar, volume.suffix)
    data = volume.data
    if data.ndim > 3:
        notices = (*notices, f"{volume.name!r} has {data[0, 0, 0].size} volumes: the first is the guide.")
        data = data.reshape(*data.shape[:3], -1)[..., 0]
    return WeightedImage(data=data, grid=volume.grid, name=volume.name, sequence=sequence), notices


def quantity_of(volume: Volume) -> str:
    """Key of `quantities.QUANTITIES` that a map holds; ValueError for other images."""
    if volume.suffix not in _QUANTITY_OF_SUFFIX:
        raise ValueError(
            f"{volume.name!r} is a {volume.suffix or 'image of unknown kind'}, but a PD, T1 or T2 map is "
            "needed: choose another image or tell its kind."
        )
    return _QUANTITY_OF_SUFFIX[volume.suffix]


def pd_factor(volume: Volume) -> tuple[float, tuple[str, ...]]:
    """Factor that brings a PD map near 1 for water, with a sentence if it is not 1."""
    values = volume.data[np.isfinite(volume.data) & (volume.data > 0)]
    top = float(np.percentile(values, 99)) if values.size else 1.0
    if 0.1 <= top <= QUANTITIES["PD"].bounds[1]:
        return 1.0, ()
    factor = 0.01 if 50 <= top <= 130 else 1 / top
    return factor, (f"{volume.name}: PD is multiplied by {factor:.4g} so that water is near 1.",)


def write_volume(volume: Volume, path: str | Path, overwrite: bool = False) -> list[Path]:
    """Write a volume in its file's unit, with a sidecar if there is something to tell; the paths written.

    FileExistsError unless `overwrite`; a failed write leaves the old files.
    """
    path = Path(path)
    stem, _ = split_extension(path)
    sidecar = dict(volume.sidecar)
    if volume.unit is not None:
        sidecar["Units"] = volume.file_unit or volume.unit
    json_path = path.with_name(f"{stem}.json")
    check_free([path, json_path] if sidecar else [path], overwrite)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first.")
    content = NiftiContent(
        data=_in_file_unit(volume), affine=volume.grid.affine, header=volume.header, notices=()
    )
    notice = sidecar.get("Notice")
    written = write_nifti(content, path, description=str(notice) if notice else None)
    return (
        [*written, write_text(json.dumps(sidecar, indent=2, default=str) + "\n", json_path)]
        if sidecar
        else written
    )


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """FileExistsError if one of the paths exists and must not be replaced."""
    existing = [path.name for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{', '.join(existing)} already in {paths[0].parent}: choose another name or ask to overwrite."
        )


def _in_file_unit(volume: Volume) -> FloatArray:
    factor = _factor(volume.file_unit)
    return volume.data if factor == 1 else volume.data / np.asarray(factor, dtype=volume.data.dtype)


def _quantity_values(volume: Volume) -> FloatArray:
    """Values of a map in the unit of its quantity, NaN where there is none."""
    values = volume.data
    if volume.unit == "1/s":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / values
    elif volume.unit == "arbitrary":
        values = values * np.asarray(pd_factor(volume)[0], dtype=values.dtype)
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32, copy=False)


def _check_same_grid(volume: Volume, first: Volume) -> None:
    if volume.data.ndim != 3:
        raise ValueError(
            f"{volume.name!r} has the shape {volume.data.shape}, but a map has three axes: "
            "save one volume of it."
        )
    if not volume.grid.is_aligned_with(first.grid):
        raise ValueError(
            f"{volume.name!r} ({volume.grid.shape} voxels) and {first.name!r} ({first.grid.shape} voxels) do "
            "not have the same voxels: resample one map to the grid of the other first."
        )


def _is_image(path: Path, folder: Path) -> bool:
    if any(part.startswith(".") for part in path.relative_to(folder).parts) or not path.is_file():
        return False
    name = path.name.lower()
    if name.endswith(".hdr"):
        return path.with_suffix(".img").exists() or path.with_suffix(".img.gz").exists()
    return name.endswith((".nii", ".nii.gz"))


def _place(path: Path | None, folder: Path | None) -> str:
    """Folder of a file for a person: below `folder` if given, else its own name."""
    if path is None:
        return ""
    if folder is not None and path.is_relative_to(folder):
        return "/".join(path.relative_to(folder).parts[:-1]) or folder.name
    return path.parent.name


def _display_order(volume: Volume) -> tuple[int, int, str]:
    """Maps in the order PD, T1, T2, then weighted images, then masks."""
    suffix = volume.suffix or ""
    order = list(_QUANTITY_OF_SUFFIX)
    group = 0 if suffix in order else 2 if suffix in LABELS else 1
    return group, order.index(suffix) if suffix in order else 0, volume.name
