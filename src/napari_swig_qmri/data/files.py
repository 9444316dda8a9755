"""Volumes and results from and to files; every conversion of units happens here."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_swig_qmri.data.bids import (
    DESCRIPTION,
    LABELS,
    SUFFIX_KEY,
    dataset_root,
    find_suffix,
    quantities_of_stack,
    read_sidecar,
    short_name,
)
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.interpretation import QUANTITY_OF_SUFFIX
from napari_swig_qmri.data.nifti import (
    NiftiContent,
    files_of,
    header_text,
    read_nifti,
    split_extension,
    write_nifti,
    write_text,
)
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, generated_by
from napari_swig_qmri.data.units import cut_off, find_unit, in_file_unit, with_kind
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

if TYPE_CHECKING:
    pass

UNKNOWN = "weighted"  # end of the names of images whose kind BIDS has no suffix for
_OTHER_MODALITIES = {"func", "dwi", "perf", "pet", "meg", "eeg", "sourcedata", "code"}
_DEEPEST = 6  # levels of subfolders: derivatives/pipeline/sub/ses/anat and one more
_MOST_IMAGES = 40  # of one folder; more belong to several subjects and fill the memory


def read_volume(path: str | Path, time_unit: str | None = None) -> Volume:
    """Read one NIfTI file with its sidecar; relaxation times come out in s, rates in 1/s.

    `time_unit`, s or ms, is that of T1 and T2 in the file; by default sidecar, header text or values tell it.
    What had to be assumed about kind, unit and position stands in the volume's notices.
    """
    content, evidence = read_content(Path(path), time_unit)
    return volume_of(content, evidence, Path(path), find_suffix(evidence))


def read_volumes(path: str | Path, time_unit: str | None = None) -> list[Volume]:
    """Like `read_volume`, but several maps in one file, such as T1, T2 and PD of one series, come one by one."""
    content, evidence = read_content(Path(path), time_unit)
    n = content.data.shape[3] if content.data.ndim == 4 else 0
    suffixes = quantities_of_stack(evidence, n)
    if not suffixes:
        return [volume_of(content, evidence, Path(path), find_suffix(evidence))]
    told = f"One of the {n} maps in {Path(path).name}, which are taken as {', '.join(suffixes)} in this order."
    volumes = []
    for index, suffix in enumerate(suffixes):
        data = content.data[..., index]
        one = replace(content, data=data), replace(evidence, values=data)
        volume = volume_of(*one, Path(path), (suffix, (told,)))
        volumes.append(replace(volume, name=f"{volume.name} {suffix}"))
    return volumes


def read_content(
    path: Path, time_unit: str | None = None, default_unit: str | None = None
) -> tuple[NiftiContent, Evidence]:
    """Content of a NIfTI file, and everything that says what it holds; units as in `Evidence`."""
    stem, _ = split_extension(path)
    content = read_nifti(path)
    evidence = Evidence(
        stem=stem,
        sidecar=read_sidecar(path, stem, dataset_root(path)),
        header_text=header_text(content.header),
        values=content.data,
        time_unit=time_unit,
        default_unit=default_unit,
    )
    return content, evidence


def volume_of(
    content: NiftiContent, evidence: Evidence, path: Path | None, kind: tuple[str | None, tuple[str, ...]]
) -> Volume:
    """Volume of the content of a file; `kind` is its BIDS suffix and the notices on how that was found."""
    (suffix, about_kind), (file_unit, about_unit) = kind, find_unit(kind[0], evidence)
    about_values = cut_off(suffix, content.data, file_unit)
    volume = Volume(
        data=content.data,
        grid=VoxelGrid(content.data.shape[:3], content.affine),
        name=short_name(evidence.stem),
        sidecar=evidence.sidecar,
        header=content.header,
        path=path,
        notices=(*content.notices, *about_kind, *about_unit, *about_values),
    )
    return with_kind(volume, suffix, file_unit)


def read_folder(path: str | Path, time_unit: str | None = None, *, strict: bool = False) -> list[Volume]:
    """Read every image of a folder and its subfolders, maps first, each under a name of its own.

    `time_unit` as for `read_volume`.
    A file that cannot be read is left out and named in one warning, or refused if `strict`; ValueError if
    nothing remains.
    """
    folder = Path(path)
    files, problems = find_images(folder)
    volumes = []
    for file in files:
        try:
            volumes += read_volumes(file, time_unit)
        except (ValueError, OSError) as error:
            if strict:
                raise
            problems.append(str(error))
    if not volumes:
        reasons = " ".join(problems) or _no_nifti(folder)
        raise ValueError(f"no image could be read from {folder}. {reasons} Choose a folder with NIfTI files.")
    if problems:
        warnings.warn(f"Left out of {folder.name}: {' '.join(problems)}", stacklevel=2)
    return sorted(with_distinct_names(volumes, folder), key=_display_order)


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """NIfTI files of a folder and its subfolders in order of name, and sentences on those left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: check the name.")
    found = list(iterate_images(folder))
    other = [p for p in found if _OTHER_MODALITIES & set(p.relative_to(folder).parts)]
    wanted = [p for p in found if p not in set(other)]
    problems = [f"{len(other)} images that are not anatomical."] if other else []
    if len(wanted) > _MOST_IMAGES:
        left = len(wanted) - _MOST_IMAGES
        problems.append(f"{left} of {len(wanted)} images: open the folder of one subject to see the others.")
    return wanted[:_MOST_IMAGES], problems


def iterate_images(folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """NIfTI files of a folder and `depth` levels of subfolders by name, without hidden ones."""
    try:
        entries = sorted(folder.iterdir())
    except PermissionError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from iterate_images(entry, depth - 1) if depth else ()
        elif _is_image(entry):
            yield entry


def with_distinct_names(volumes: Sequence[Volume], folder: Path | None = None) -> list[Volume]:
    """The same volumes; where names repeat, the folder of the file below `folder` is added."""
    names = [volume.name for volume in volumes]
    return [
        replace(volume, name=f"{volume.name} ({_place(volume.path, folder)})")
        if names.count(volume.name) > 1 and volume.path is not None
        else volume
        for volume in volumes
    ]


def write_volume(volume: Volume, path: str | Path, overwrite: bool = False) -> list[Path]:
    """Write a volume in its file's unit, with a sidecar if there is something to tell; the paths written.

    Where the name of the file does not end in the kind of the image, the sidecar tells it.
    FileExistsError unless `overwrite`; a failed or killed write leaves the old image.
    """
    path = Path(path)
    stem = split_extension(path)[0]
    images, json_path = files_of(path), path.with_name(f"{stem}.json")
    sidecar = {key: value for key, value in volume.sidecar.items() if key != SUFFIX_KEY}
    if volume.suffix is not None and find_suffix(Evidence(stem=stem)) != (volume.suffix, ()):
        sidecar[SUFFIX_KEY] = volume.suffix
    if volume.unit is not None:
        sidecar["Units"] = volume.file_unit or volume.unit
    check_free([*images, json_path], overwrite, "pass overwrite=True")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first.")
    content = NiftiContent(data=in_file_unit(volume), affine=volume.grid.affine, header=volume.header)
    notice = sidecar.get("Notice")
    written = write_nifti(content, path, description=str(notice) if notice else None)
    if sidecar or json_path.exists():  # the sidecar of a replaced image does not fit the new one
        written.append(_write_json(sidecar, json_path))
    return written


def describe_dataset(folder: Path, name: str) -> list[Path]:
    """Make a folder a BIDS derivative dataset of this name unless it is a dataset already."""
    path = folder / DESCRIPTION
    if path.exists():
        return []
    content = {
        "Name": f"{name} ({RESEARCH_NOTICE})",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [generated_by()],
    }
    return [_write_json(content, path)]


def ignore_in_dataset(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Let validators pass over files that BIDS has no names for, if the folder is a dataset.

    Patterns that are missing are appended to its ``.bidsignore``; what a person wrote there stays.
    """
    path = folder / ".bidsignore"
    present = path.read_bytes() if path.exists() else b""
    known = {line.strip() for line in present.splitlines()}
    missing = [each.encode() for each in dict.fromkeys(patterns) if each.encode() not in known]
    if not missing or not (folder / DESCRIPTION).exists():
        return []
    with path.open("ab") as file:
        file.write(b"\n" * (present[-1:] not in (b"", b"\n")) + b"\n".join(missing) + b"\n")
    return [path]


def _write_json(content: dict[str, Any], path: Path) -> Path:
    return write_text(json.dumps(content, indent=2, default=str) + "\n", path)


def check_free(paths: Sequence[Path], overwrite: bool, remedy: str = "remove it first") -> None:
    """FileExistsError if one of the paths exists and must not be replaced; `remedy` tells what else can be done."""
    existing = [path.name for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{', '.join(existing)} already in {paths[0].parent}: choose another name or {remedy}.")


def check_folder(folder: Path) -> None:
    """FileExistsError if results cannot go into a folder because a file has its name."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, but the results go into a folder: choose another name.")


def _no_nifti(folder: Path) -> str:
    """What is wrong with a folder without NIfTI files."""
    if any(path.suffix.lower() in (".dcm", ".ima") or path.name == "DICOMDIR" for path in folder.rglob("*")):
        return "It holds DICOM files: convert them first, for example with dcm2niix."
    return "It holds no file that ends in .nii, .nii.gz or .hdr."


def _is_image(path: Path) -> bool:
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
    order = list(QUANTITY_OF_SUFFIX)
    group = 0 if suffix in order else 2 if suffix in LABELS else 1
    return group, order.index(suffix) if suffix in order else 0, volume.name
