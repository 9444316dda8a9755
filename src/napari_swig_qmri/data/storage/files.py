"""Reading and writing of volumes: NIfTI files with BIDS sidecars, and folders of them.

Data are in s, 1/s or arbitrary units in memory, and in the unit of the file on disk.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, generated_by
from napari_swig_qmri.data.recognition.bids import DESCRIPTION, dataset_root, read_sidecar, short_name
from napari_swig_qmri.data.recognition.evidence import Evidence, Kind
from napari_swig_qmri.data.recognition.kinds import find_kind, find_suffix, quantities_of_stack
from napari_swig_qmri.data.recognition.suffixes import LABELS, QUANTITY_OF_SUFFIX, SUFFIX_KEY
from napari_swig_qmri.data.recognition.units import cut_off, find_unit, in_file_unit, rounded, with_kind
from napari_swig_qmri.data.storage.folders import find_images, has_dicom
from napari_swig_qmri.data.storage.image_files import files_of, one_sentence, split_extension
from napari_swig_qmri.data.storage.nifti import (
    NiftiContent,
    header_text,
    read_nifti,
    write_nifti,
)
from napari_swig_qmri.data.storage.output import Part, append_text, check_free, replacing, write_text
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

UNKNOWN = "weighted"  # in place of the BIDS suffix in names of images that have none


def read_volume(path: str | Path, time_unit: str | None = None) -> Volume:
    """Read a NIfTI file with its sidecar; relaxation times are converted to s, rates to 1/s.

    Parameters
    ----------
    path
        File that ends in .nii, .nii.gz, .hdr or .img.
    time_unit
        Unit of T1 and T2 in the file, s or ms. By default it is found in the sidecar or header text, or guessed from
        the values.

    Returns
    -------
    Volume ``(x, y, z, ...)``; its notices state assumptions about kind, unit and position.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file or its sidecar cannot be read.

    Examples
    --------
    >>> import tempfile, nibabel as nib, numpy as np
    >>> from napari_swig_qmri import read_volume
    >>> path = f"{tempfile.mkdtemp()}/sub-01_T1map.nii.gz"
    >>> nib.save(nib.Nifti1Image(np.full((4, 4, 2), 900, np.int16), np.eye(4)), path)
    >>> volume = read_volume(path)
    >>> round(float(volume.data.max()), 3), volume.unit, volume.file_unit
    (0.9, 's', 'ms')
    """
    path = Path(path)
    with one_sentence(path):
        content, evidence = read_content(path, time_unit)
        return volume_of(content, evidence, path, find_kind(evidence))


def read_volumes(path: str | Path, time_unit: str | None = None, *, default_unit: str | None = None) -> list[Volume]:
    """Read a NIfTI file as `read_volume` does, but split a file with several maps into one volume per map.

    A file is split if its name or DICOM image type names the map of each volume, such as T1, T2 and PD of one series.
    `default_unit` is the unit of relaxation times that neither sidecar nor header states.
    """
    path = Path(path)
    with one_sentence(path):
        return _volumes_of(*read_content(path, time_unit, default_unit), path)


def _volumes_of(content: NiftiContent, evidence: Evidence, path: Path) -> list[Volume]:
    n = content.data.shape[3] if content.data.ndim == 4 else 0
    suffixes = quantities_of_stack(evidence, n)
    if not suffixes:
        return [volume_of(content, evidence, path, find_kind(evidence))]
    notice = f"One of the {n} maps in {path.name}, which are taken as {', '.join(suffixes)} in this order."
    volumes = []
    for index, suffix in enumerate(suffixes):
        data = content.data[..., index]
        one = replace(content, data=data), replace(evidence, values=data)
        volume = volume_of(*one, path, Kind(suffix=suffix, confidence="likely", notices=(notice,)))
        volumes.append(replace(volume, name=f"{volume.name} {suffix}"))
    return volumes


def read_content(
    path: Path, time_unit: str | None = None, default_unit: str | None = None
) -> tuple[NiftiContent, Evidence]:
    """Content of a NIfTI file, and the information about its kind and unit; units as in `Evidence`."""
    stem, _ = split_extension(path)
    content = read_nifti(path)
    sidecar, told = read_sidecar(path, stem, dataset_root(path))
    evidence = Evidence(
        stem=stem,
        path=path,
        sidecar=sidecar,
        header_text=header_text(content.header),
        values=content.data,
        time_unit=time_unit,
        default_unit=default_unit,
        notices=told,
    )
    return content, evidence


def volume_of(content: NiftiContent, evidence: Evidence, path: Path | None, kind: Kind) -> Volume:
    """Volume of the content of a file; `kind` tells what it is and why."""
    file_unit, about_unit = find_unit(kind.suffix, evidence)
    about_values = (text for tell in (cut_off, rounded) for text in tell(kind.suffix, content.data, file_unit))
    volume = Volume(
        data=content.data,
        grid=VoxelGrid(content.data.shape[:3], content.affine),
        name=short_name(evidence.stem),
        sidecar=evidence.sidecar,
        header=content.header,
        path=path,
        notices=(*content.notices, *evidence.notices, *kind.notices, *about_unit, *about_values),
    )
    return with_kind(volume, kind.suffix, file_unit)


def read_folder(path: str | Path, time_unit: str | None = None, *, default_unit: str | None = None) -> list[Volume]:
    """Read all images of a folder and its subfolders; those that cannot be read are left out with a warning.

    Parameters
    ----------
    path
        The folder.
    time_unit
        Unit of T1 and T2 in the files, as in `read_volume`.
    default_unit
        Unit of T1 and T2 that neither sidecar nor header states.

    Returns
    -------
    Volumes with distinct names: maps, then weighted images, then masks and labels.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If no image can be read.

    Examples
    --------
    >>> import tempfile, nibabel as nib, numpy as np
    >>> from napari_swig_qmri import read_folder
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("T1w", "T1map"):
    ...     nib.save(nib.Nifti1Image(np.ones((4, 4, 2)), np.eye(4)), f"{folder}/sub-01_{name}.nii.gz")
    >>> [volume.name for volume in read_folder(folder)]
    ['sub-01 T1map', 'sub-01 T1w']
    """
    volumes, left_out = volumes_in(Path(path), time_unit, default_unit)
    for sentence in left_out:
        warnings.warn(sentence, stacklevel=2)
    return volumes


def volumes_in(
    folder: Path, time_unit: str | None = None, default_unit: str | None = None
) -> tuple[list[Volume], tuple[str, ...]]:
    """Volumes of a folder as of `read_folder`, and the sentence on the images that were left out, if there are any."""
    files, problems = find_images(folder)
    volumes: list[Volume] = []
    for file in files:
        try:
            volumes += read_volumes(file, time_unit, default_unit=default_unit)
        except (ValueError, OSError) as error:
            problems.append(str(error))
    if not volumes:
        reasons = " ".join(problems) or _no_nifti(folder)
        raise ValueError(f"no image could be read from {folder}. {reasons} Choose a folder with NIfTI files.")
    left_out = (f"Left out of {folder.name}: {' '.join(problems)}",) if problems else ()
    return sorted(with_distinct_names(volumes, folder), key=_display_order), left_out


def with_distinct_names(volumes: Sequence[Volume], folder: Path | None = None) -> list[Volume]:
    """Volumes with distinct names: repeated names get the subfolder of their file, relative to `folder`."""
    names = [volume.name for volume in volumes]
    return [
        replace(volume, name=f"{volume.name} ({_place(volume.path, folder)})")
        if names.count(volume.name) > 1 and volume.path is not None
        else volume
        for volume in volumes
    ]


def write_volume(volume: Volume, path: str | Path, overwrite: bool = False) -> list[Path]:
    """Write a volume as NIfTI in the unit of its file, with a JSON sidecar if it has metadata.

    The sidecar also states the BIDS suffix if the file name does not end in it. A failed or interrupted write keeps an
    existing file.

    Parameters
    ----------
    volume
        Volume to write.
    path
        File that ends in .nii, .nii.gz, .hdr or .img.
    overwrite
        Replace existing files.

    Returns
    -------
    Paths of the files written.

    Raises
    ------
    FileExistsError
        If a file exists and `overwrite` is not set.
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the name has another extension.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid, write_volume
    >>> grid = VoxelGrid((4, 4, 2), np.eye(4))
    >>> t1 = Volume(data=np.full((4, 4, 2), 0.9), grid=grid, name="T1", suffix="T1map", unit="s")
    >>> [path.name for path in write_volume(t1, f"{tempfile.mkdtemp()}/sub-01_T1map.nii.gz")]
    ['sub-01_T1map.nii.gz', 'sub-01_T1map.json']
    """
    return write_volumes([(volume, Path(path))], overwrite)


def write_volumes(volumes: Iterable[tuple[Volume, Path]], overwrite: bool = False) -> list[Path]:
    """Write volumes to their paths as `write_volume` does, all of them or, if one fails, none; the paths written."""
    with replacing() as part:
        return [file for volume, path in volumes for file in _store(volume, path, part, overwrite)]


def _store(volume: Volume, path: Path, part: Part, overwrite: bool) -> list[Path]:
    stem = split_extension(path, to_write=True)[0]
    images, json_path = files_of(path, to_write=True), path.with_name(f"{stem}.json")
    sidecar = {key: value for key, value in volume.sidecar.items() if key != SUFFIX_KEY}
    if volume.suffix is not None and find_suffix(Evidence(stem=stem)) != (volume.suffix, ()):
        sidecar[SUFFIX_KEY] = volume.suffix
    if volume.unit is not None:
        sidecar["Units"] = volume.file_unit or volume.unit
    check_free([*images, json_path], overwrite, "use `overwrite`")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist: make it first.")
    content = NiftiContent(data=in_file_unit(volume), affine=volume.grid.affine, header=volume.header)
    notice = sidecar.get("Notice")
    written = write_nifti(content, path, str(notice) if notice else None, part)
    if sidecar or json_path.exists():  # the sidecar of a replaced image does not describe the new one
        part(json_path).write_text(_json(sidecar), encoding="utf-8")
        written.append(json_path)
    return written


def describe_dataset(folder: Path, name: str) -> list[Path]:
    """Write the description of a BIDS derivative dataset into a folder, unless it has one; the paths written."""
    path = folder / DESCRIPTION
    if path.exists():
        return []
    content = {
        "Name": f"{name} ({RESEARCH_NOTICE})",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [generated_by()],
    }
    return [write_text(_json(content), path)]


def ignore_in_dataset(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Append `patterns` for files without BIDS names to the ``.bidsignore`` of a dataset; the paths written.

    Existing lines are kept. Does nothing if the folder is not a dataset.
    """
    path = folder / ".bidsignore"
    known = {line.strip() for line in path.read_bytes().splitlines()} if path.exists() else set()
    missing = [each for each in dict.fromkeys(patterns) if each.encode() not in known]
    if not missing or not (folder / DESCRIPTION).exists():
        return []
    return [append_text("".join(f"{each}\n" for each in missing), path)]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, default=str) + "\n"


def _no_nifti(folder: Path) -> str:
    """Sentence on a folder without NIfTI files."""
    if has_dicom(folder):
        return "It holds DICOM files: convert them first, for example with dcm2niix."
    return "It holds no file that ends in .nii, .nii.gz or .hdr."


def _place(path: Path | None, folder: Path | None) -> str:
    """Folder of a file for display: relative to `folder` if the file lies in it, else the name of the folder."""
    if path is None:
        return ""
    if folder is not None and path.is_relative_to(folder):
        return "/".join(path.relative_to(folder).parts[:-1]) or folder.name
    return path.parent.name


def _display_order(volume: Volume) -> tuple[int, int, str]:
    """Sorting key: maps in the order PD, T1, T2, then weighted images, then masks and labels."""
    suffix = volume.suffix or ""
    order = list(QUANTITY_OF_SUFFIX)
    group = 0 if suffix in order else 2 if suffix in LABELS else 1
    return group, order.index(suffix) if suffix in order else 0, volume.name
