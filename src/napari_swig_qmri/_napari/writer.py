"""Writers of layers as NIfTI files for npe2. Load neither torch nor a viewer."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_swig_qmri._napari.control_names import notification
from napari_swig_qmri._napari.layers import LayerData, from_layer
from napari_swig_qmri.data.provenance import is_result
from napari_swig_qmri.data.recognition.suffixes import ERROR_DESCRIPTION, ERROR_UNITS
from napari_swig_qmri.data.storage.files import write_volume, write_volumes
from napari_swig_qmri.data.storage.image_files import EXTENSIONS, files_of, split_extension
from napari_swig_qmri.data.storage.output import check_free
from napari_swig_qmri.data.volumes import Volume

DEFAULT_EXTENSION = ".nii.gz"
_SUBJECT = ("sub-", "ses-")
_OF_MAP = r"(?:PD|T1|T2\*?) (?:SR|SR standard error|LR residual|evidence: LR maps \(%\))"
_RUN_NAME = re.compile(rf"(?:{_OF_MAP}|Conflict)(?: run (?P<number>\d+))?")


def write_layer(path: str | Path, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one layer as a NIfTI file with its JSON sidecar.

    Parameters
    ----------
    path
        File to write; ``.nii.gz`` is appended to a path without an extension. An existing file with exactly this path
        is replaced together with its sidecar, with a warning: file dialogs have asked for it.
    data, attributes
        First two entries of ``layer.as_layer_data_tuple()``.

    Returns
    -------
    list of str
        Paths written.

    Raises
    ------
    FileExistsError
        If another file would be replaced: the path with the appended extension, the other half of a pair of header and
        image, or a sidecar without its image.
    """
    path = Path(path)
    target = path if _has_extension(path) else path.with_name(path.name + DEFAULT_EXTENSION)
    volume = from_layer(data, attributes)
    may_replace = target == path and path.exists()
    replaced = [file.name for file in _files_of(target) if file.exists()]
    check_free(_files_of(target), overwrite=may_replace)
    written = write_volume(_with_sources(volume, target.parent), target, overwrite=may_replace)
    if replaced:
        warnings.warn(notification(f"Replaced {', '.join(replaced)} in {target.parent}."), stacklevel=2)
    _warn_about([volume])
    return [str(file) for file in written]


def write_layers(path: str | Path, layers: Sequence[LayerData]) -> list[str]:
    """Write several layers, one NIfTI file with sidecar each.

    Parameters
    ----------
    path
        Folder, created if needed. With an extension, as in ``out.nii.gz``, the files become ``out_NAME.nii.gz``, or
        ``sub-01_desc-out_T1map.nii.gz`` if the subject is known.
    layers
        Tuples as of ``layer.as_layer_data_tuple()``.

    Returns
    -------
    list of str
        Paths written.

    Raises
    ------
    FileExistsError
        If a file or a sidecar would be replaced. Nothing is written then.
    ValueError
        If there is no layer.
    """
    path = Path(path)
    if not layers:
        raise ValueError("no layer was given to write: select one or more image layers.")
    volumes = [from_layer(data, attributes) for data, attributes, _ in layers]
    if _has_extension(path):
        stem, extension = split_extension(path, to_write=True)
        folder = path.parent
    else:
        folder, stem, extension = path, "", DEFAULT_EXTENSION
    targets = [folder / f"{name}{extension}" for name in _file_names(volumes, stem)]
    check_free([file for target in targets for file in _files_of(target)], overwrite=False)
    folder.mkdir(parents=True, exist_ok=True)
    written = write_volumes(zip([_with_sources(each, folder) for each in volumes], targets, strict=True))
    _warn_about(volumes)
    return [str(file) for file in written]


def _files_of(target: Path) -> list[Path]:
    """Files that an image is written to, with its sidecar last."""
    return [*files_of(target, to_write=True), target.with_name(f"{split_extension(target, to_write=True)[0]}.json")]


def _has_extension(path: Path) -> bool:
    """Whether a path has an extension of NIfTI; ValueError if it has another one."""
    if path.name.lower().endswith(EXTENSIONS):
        return True
    if re.fullmatch(r"\.[a-zA-Z]\w{0,4}", path.suffix):
        split_extension(path, to_write=True)
    return False


def _file_names(volumes: Sequence[Volume], stem: str) -> list[str]:
    """Unique file names of volumes without extension, all with `stem`."""
    names: list[str] = []
    for volume in volumes:
        base = _with_stem(_file_name(volume), stem, _ending(volume))
        numbered = (_with_label(base, str(n), _ending(volume)) for n in range(2, len(volumes) + 1))
        names.append(next(name for name in (base, *numbered) if name not in names))
    return names


def _file_name(volume: Volume) -> str:
    """File name of a volume in the style of BIDS, without extension.

    "sub-01 T1map (lr)" becomes ``sub-01_desc-lr_T1map``, and the T1 map of a run ``sub-01_desc-swig_T1map``.
    """
    if volume.sidecar.get("Measured") is False:
        return "_".join([*_subject_of(volume), "desc-swigestimated", volume.suffix or "image"])
    run = _RUN_NAME.fullmatch(volume.name)
    made = ERROR_DESCRIPTION if volume.suffix in ERROR_UNITS else "swig"
    if run and is_result(volume):
        return "_".join([*_subject_of(volume), f"desc-{made}{run['number'] or ''}", _ending(volume) or "image"])
    parts = re.sub(r" \(([^)]+)\)", r" desc-\1", volume.name).split()
    kept = [part for part in parts if part != volume.suffix] + [volume.suffix or ""]
    return re.sub(r"[^\w+-]+", "-", "_".join(kept)).strip("_-") or "image"


def _ending(volume: Volume) -> str | None:
    """Last part of the file name of a volume: its suffix, or that of the map that it is the standard error of."""
    return volume.suffix.replace("error", "map") if volume.suffix in ERROR_UNITS else volume.suffix


def _subject_of(volume: Volume) -> list[str]:
    """BIDS entities of subject and session from the file of a volume or the first of its sources that has them."""
    files = [volume.path] if volume.path is not None else []
    for file in (*files, *map(Path, volume.sidecar.get("Sources", ()))):
        subject = [part for part in file.name.split("_") if part.startswith(_SUBJECT)]
        if subject:
            return subject
    return []


def _with_stem(name: str, stem: str, suffix: str | None) -> str:
    """File name with a typed stem: as its subject, as its label after the subject, or as its first part."""
    if stem.startswith(_SUBJECT):
        return "_".join([stem, *(part for part in name.split("_") if not part.startswith(_SUBJECT))])
    if name.startswith(_SUBJECT) and stem:
        return _with_label(name, re.sub(r"[^A-Za-z0-9]", "", stem), suffix)
    return f"{stem}_{name}" if stem else name


def _with_label(name: str, label: str, suffix: str | None) -> str:
    """File name with a label appended to its ``desc-`` entity, which comes before the suffix."""
    if suffix is None:
        return f"{name}-{label}"
    before = name.removesuffix(suffix).strip("_")
    described = re.search(r"(?:^|_)desc-[^_]+$", before)
    return f"{before}{label}_{suffix}" if described else f"{before}_desc-{label}_{suffix}".lstrip("_")


def _with_sources(volume: Volume, folder: Path) -> Volume:
    """The same volume with the sources in its sidecar relative to a folder."""
    sources = volume.sidecar.get("Sources")
    if not isinstance(sources, list):
        return volume
    origin = Path() if volume.path is None else volume.path.parent
    seen = [
        source if source.startswith("bids:") else Path(os.path.relpath(origin / source, folder)).as_posix()
        for source in sources
    ]
    return replace(volume, sidecar={**volume.sidecar, "Sources": seen})


def _warn_about(volumes: Sequence[Volume]) -> None:
    """Warn about volumes whose layers were placed by their own transform."""
    notices = [volume.notices[-1] for volume in volumes if volume.path is None and volume.notices]
    if notices:
        warnings.warn(notification("\n".join(notices)), stacklevel=3)
