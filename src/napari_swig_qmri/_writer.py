"""Writers of layers as NIfTI files for the plugin engine; load neither torch nor a viewer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_swig_qmri.files import check_free, write_volume
from napari_swig_qmri.layers import LayerData, from_layer
from napari_swig_qmri.nifti import EXTENSIONS, files_of, split_extension
from napari_swig_qmri.volumes import Volume

DEFAULT_EXTENSION = ".nii.gz"


def write_layer(path: str | Path, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one layer; the paths written.

    A path without extension gets ``.nii.gz`` and must be free. A path with extension was chosen as it is, so
    an existing file is replaced, and a warning says so.
    """
    path = Path(path)
    target = path if _has_extension(path) else path.with_name(path.name + DEFAULT_EXTENSION)
    volume = from_layer(data, attributes)
    before = {file for file in target.parent.iterdir() if file.is_file()} if target.parent.is_dir() else set()
    written = write_volume(volume, target, overwrite=target == path)
    replaced = [file.name for file in written if file in before]
    if replaced:
        warnings.warn(f"Replaced {', '.join(replaced)} in {target.parent}.", stacklevel=2)
    _warn_about([volume])
    return [str(file) for file in written]


def write_layers(path: str | Path, layers: Sequence[LayerData]) -> list[str]:
    """Write several layers, one file each: into a new or existing folder, or beside each other.

    A path without extension is the folder. With one, ``out.nii.gz`` becomes ``out_NAME.nii.gz`` for every
    layer. No file is replaced.
    """
    path = Path(path)
    if not layers:
        raise ValueError("no layer was given to write: select one or more image layers.")
    volumes = [from_layer(data, attributes) for data, attributes, _ in layers]
    if _has_extension(path):
        stem, extension = split_extension(path)
        folder, prefix = path.parent, f"{stem}_"
    else:
        folder, prefix, extension = path, "", DEFAULT_EXTENSION
    targets = [folder / f"{prefix}{name}{extension}" for name in _file_names(volumes)]
    check_free([file for target in targets for file in files_of(target)], overwrite=False)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(volumes, targets, strict=True)
    written = [file for volume, target in pairs for file in write_volume(volume, target)]
    _warn_about(volumes)
    return [str(file) for file in written]


def _has_extension(path: Path) -> bool:
    """Whether a path ends like a NIfTI file; ValueError if it ends like another one."""
    if path.name.lower().endswith(EXTENSIONS):
        return True
    if re.fullmatch(r"\.[a-zA-Z]\w{0,4}", path.suffix):
        split_extension(path)
    return False


def _file_names(volumes: Sequence[Volume]) -> list[str]:
    """One file name per volume without extension, all different."""
    names: list[str] = []
    for volume in volumes:
        base = _file_name(volume)
        number = next(n for n in range(1, len(volumes) + 1) if (base if n == 1 else f"{base}-{n}") not in names)
        names.append(base if number == 1 else f"{base}-{number}")
    return names


def _file_name(volume: Volume) -> str:
    """BIDS-like name that ends in the suffix: "sub-01 T1map (lr)" becomes ``sub-01_desc-lr_T1map``."""
    parts = re.sub(r" \(([^)]+)\)", r" desc-\1", volume.name).split()
    kept = [part for part in parts if part != volume.suffix] + [volume.suffix or ""]
    return re.sub(r"[^\w+-]+", "-", "_".join(kept)).strip("_-") or "image"


def _warn_about(volumes: Sequence[Volume]) -> None:
    """Show how layers were placed that this plugin did not open as they are."""
    notices = [volume.notices[-1] for volume in volumes if volume.path is None and volume.notices]
    if notices:
        warnings.warn("\n".join(notices), stacklevel=3)
