"""Writers of layers as NIfTI files for the plugin engine; load neither torch nor a viewer."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_swig_qmri._napari.layers import LayerData, from_layer
from napari_swig_qmri.data.files import check_free, write_volume
from napari_swig_qmri.data.nifti import EXTENSIONS, files_of, split_extension
from napari_swig_qmri.data.provenance import is_result
from napari_swig_qmri.data.volumes import Volume

DEFAULT_EXTENSION = ".nii.gz"
_SUBJECT = ("sub-", "ses-")
_RUN_NAME = re.compile(r"(?:(?:PD|T1|T2) (?:SR|LR residual)|Conflict)(?: run (?P<number>\d+))?")


def write_layer(path: str | Path, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one layer; the paths written.

    An existing file is replaced, with its sidecar, only if it is `path` itself, for which dialogs ask, and a
    warning says so. FileExistsError for any other: with the extension ``.nii.gz`` that a path without one gets,
    the other half of a pair, or a sidecar that is there without its image.
    """
    path = Path(path)
    target = path if _has_extension(path) else path.with_name(path.name + DEFAULT_EXTENSION)
    volume = from_layer(data, attributes)
    is_asked = target == path and path.exists()
    replaced = [file.name for file in _files_of(target) if file.exists()]
    check_free(_files_of(target), overwrite=is_asked)
    written = write_volume(_with_sources(volume, target.parent), target, overwrite=is_asked)
    if replaced:
        warnings.warn(f"Replaced {', '.join(replaced)} in {target.parent}.", stacklevel=2)
    _warn_about([volume])
    return [str(file) for file in written]


def write_layers(path: str | Path, layers: Sequence[LayerData]) -> list[str]:
    """Write several layers, one file each: into a new or existing folder, or beside each other.

    A path without extension is the folder. With one, ``out.nii.gz`` becomes ``out_NAME.nii.gz`` for every
    layer, or ``sub-01_desc-out_T1map.nii.gz`` where the subject is known. No file is replaced, no sidecar either.
    """
    path = Path(path)
    if not layers:
        raise ValueError("no layer was given to write: select one or more image layers.")
    volumes = [from_layer(data, attributes) for data, attributes, _ in layers]
    if _has_extension(path):
        stem, extension = split_extension(path)
        folder = path.parent
    else:
        folder, stem, extension = path, "", DEFAULT_EXTENSION
    targets = [folder / f"{name}{extension}" for name in _file_names(volumes, stem)]
    check_free([file for target in targets for file in _files_of(target)], overwrite=False)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(volumes, targets, strict=True)
    written = [file for volume, target in pairs for file in write_volume(_with_sources(volume, folder), target)]
    _warn_about(volumes)
    return [str(file) for file in written]


def _files_of(target: Path) -> list[Path]:
    """Every file that an image may be written to, the sidecar last."""
    return [*files_of(target), target.with_name(f"{split_extension(target)[0]}.json")]


def _has_extension(path: Path) -> bool:
    """Whether a path ends like a NIfTI file; ValueError if it ends like another one."""
    if path.name.lower().endswith(EXTENSIONS):
        return True
    if re.fullmatch(r"\.[a-zA-Z]\w{0,4}", path.suffix):
        split_extension(path)
    return False


def _file_names(volumes: Sequence[Volume], stem: str) -> list[str]:
    """One file name per volume without extension, all different, with `stem` in each."""
    names: list[str] = []
    for volume in volumes:
        base = _with_stem(_file_name(volume), stem, volume.suffix)
        numbered = (_with_label(base, str(n), volume.suffix) for n in range(2, len(volumes) + 1))
        names.append(next(name for name in (base, *numbered) if name not in names))
    return names


def _file_name(volume: Volume) -> str:
    """BIDS-like name that ends in the suffix.

    "sub-01 T1map (lr)" becomes ``sub-01_desc-lr_T1map``, the map of a run ``sub-01_desc-swig_T1map``.
    """
    run = _RUN_NAME.fullmatch(volume.name)
    if run and is_result(volume):
        return "_".join([*_subject_of(volume), f"desc-swig{run['number'] or ''}", volume.suffix or "image"])
    parts = re.sub(r" \(([^)]+)\)", r" desc-\1", volume.name).split()
    kept = [part for part in parts if part != volume.suffix] + [volume.suffix or ""]
    return re.sub(r"[^\w+-]+", "-", "_".join(kept)).strip("_-") or "image"


def _subject_of(volume: Volume) -> list[str]:
    """Subject and session in the name of the volume's file, else of the first of its sources that has them."""
    files = [volume.path] if volume.path is not None else []
    for file in (*files, *map(Path, volume.sidecar.get("Sources", ()))):
        subject = [part for part in file.name.split("_") if part.startswith(_SUBJECT)]
        if subject:
            return subject
    return []


def _with_stem(name: str, stem: str, suffix: str | None) -> str:
    """A name with what a person typed: before it, in place of its subject, or after its subject as a label."""
    if stem.startswith(_SUBJECT):
        return "_".join([stem, *(part for part in name.split("_") if not part.startswith(_SUBJECT))])
    if name.startswith(_SUBJECT) and stem:
        return _with_label(name, re.sub(r"[^A-Za-z0-9]", "", stem), suffix)
    return f"{stem}_{name}" if stem else name


def _with_label(name: str, label: str, suffix: str | None) -> str:
    """A name with one more word in its description, ``desc-``, which comes before the suffix."""
    if suffix is None:
        return f"{name}-{label}"
    before = name.removesuffix(suffix).strip("_")
    described = re.search(r"(?:^|_)desc-[^_]+$", before)
    return f"{before}{label}_{suffix}" if described else f"{before}_desc-{label}_{suffix}".lstrip("_")


def _with_sources(volume: Volume, folder: Path) -> Volume:
    """A volume whose sidecar names its sources as they are seen from a folder."""
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
    """Show how layers were placed that this plugin did not open as they are."""
    notices = [volume.notices[-1] for volume in volumes if volume.path is None and volume.notices]
    if notices:
        warnings.warn("\n".join(notices), stacklevel=3)
