"""Reader of NIfTI files and folders for npe2. Loads neither torch nor a viewer."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_swig_qmri._napari.control_names import notification
from napari_swig_qmri._napari.layers import LayerData, to_layers
from napari_swig_qmri._napari.placement import tilt_notice
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri.data.interpretation import is_map, quantity_of
from napari_swig_qmri.data.provenance import is_result
from napari_swig_qmri.data.recognition.suffixes import ERROR_UNITS, EVIDENCE, RESIDUAL_UNITS
from napari_swig_qmri.data.storage.files import read_volumes, volumes_in, with_distinct_names
from napari_swig_qmri.data.storage.folders import has_images
from napari_swig_qmri.data.storage.image_files import READABLE
from napari_swig_qmri.data.volumes import Volume

PLUGIN = "napari-swig-qmri"
Paths = str | Path | Sequence[str | Path]
_SHOWN: dict[Any, Any] = {}  # registry of Python's warnings, which shows every notice once


class Notice(UserWarning):
    """Warning about assumptions made when images were opened. Nothing has gone wrong."""


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Reader of a path or a list of paths; None if one of them is no NIfTI file and no folder with one."""
    return read if all(_is_readable(one) for one in _as_paths(path)) else None


def read(path: Paths) -> list[LayerData]:
    """Layers of NIfTI files and folders in one display frame; warns with a `Notice` about assumptions.

    Files that cannot be read are left out with a notice; ValueError if there is no other.
    """
    paths = _as_paths(path)
    volumes, problems = _read_each(paths)
    layers = to_layers(with_distinct_names(named_like_a_run(volumes)))
    tilt = tilt_notice(LayerRecord.of(layers[0][1]).frame)
    for notice in (*problems, tilt, _combined_notice(layers)):
        if notice:
            tell(notice)
    return layers


def tell(notice: str) -> None:
    """Warn with a `Notice` from the plugin, not from a line of code, once for each text."""
    warnings.warn_explicit(notification(notice), Notice, PLUGIN, 1, registry=_SHOWN)


def named_like_a_run(volumes: Sequence[Volume]) -> list[Volume]:
    """The same volumes, with saved results named as after a run if these names are unique."""
    names = [_run_name(volume) for volume in volumes]
    return [
        replace(volume, name=name) if names.count(name) == 1 else volume
        for volume, name in zip(volumes, names, strict=True)
    ]


def _run_name(volume: Volume) -> str:
    """Name that a saved result had as a layer of its run; for other volumes, their own name."""
    if not is_result(volume):
        return volume.name
    if is_map(volume):
        return f"{quantity_of(volume)} SR"
    if volume.suffix in RESIDUAL_UNITS:
        return f"{volume.suffix.removesuffix('residual')} LR residual"
    if volume.suffix in ERROR_UNITS:
        return f"{volume.suffix.removesuffix('error')} SR standard error"
    if volume.suffix in EVIDENCE:
        return f"{volume.suffix.removesuffix('evidence')} evidence: LR maps (%)"
    if volume.suffix == "conflict":
        return "Conflict"
    return f"{re.sub(r' desc-[^ ]+', '', volume.name)} synthesised"


def _as_paths(path: Paths) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        return has_images(path)
    return path.name.lower().endswith(READABLE)


def _read_each(paths: Sequence[Path]) -> tuple[list[Volume], list[str]]:
    """Volumes of files and folders, and one sentence on each that cannot be read; ValueError if none can."""
    volumes: list[Volume] = []
    problems: list[str] = []
    for path in paths:
        try:
            found, left_out = volumes_in(path) if path.is_dir() else (read_volumes(path), ())
        except (ValueError, OSError) as error:
            problems.append(str(error))
        else:
            volumes += found
            problems += left_out
    if not volumes:
        raise ValueError(notification(" ".join(problems)) or "no file was given: choose one or more.")
    return volumes, problems


def _combined_notice(layers: Sequence[LayerData]) -> str:
    """Notices of all layers, each sentence once with the names of its layers."""
    names: dict[str, list[str]] = {}
    for _, attributes, _ in layers:
        record = LayerRecord.of(attributes)
        for sentence in (*record.volume.notices, *record.placement_notices):
            names.setdefault(sentence, []).append(attributes["name"])
    return "\n".join(f"{sentence} ({_listed(about, len(layers))})" for sentence, about in names.items())


def _listed(names: Sequence[str], n_layers: int) -> str:
    return f"all {n_layers} images" if len(names) == n_layers > 1 else ", ".join(names)
