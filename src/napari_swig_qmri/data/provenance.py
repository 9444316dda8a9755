"""Provenance of computed images: sidecar entries for maker and sources, and checks of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.recognition.suffixes import MAP_UNITS
from napari_swig_qmri.data.volumes import Volume

RESEARCH_NOTICE = "synthetic: research use"

SOFTWARE = ("napari-swig-qmri", "torch", "numpy", "scipy", "nibabel")


def made_here(**entries: Any) -> dict[str, Any]:
    """Sidecar of an image computed by this software: research notice, name and version, then `entries`."""
    return {"Notice": RESEARCH_NOTICE, "GeneratedBy": [generated_by()], **entries}


def generated_by() -> dict[str, str]:
    """Name and version of this software, an item of BIDS ``GeneratedBy``."""
    return {"Name": "napari-swig-qmri", "Version": version_of("napari-swig-qmri")}


@cache
def version_of(package: str) -> str:
    """Version of a package, or ``"not installed"``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def relative_sources(sources: Iterable[str | Path], folder: Path) -> dict[str, list[str]]:
    """Sidecar entry ``Sources`` of a file in `folder`, with paths relative to it; empty without sources."""
    paths = [Path(os.path.relpath(source, folder)).as_posix() for source in sources]
    return {"Sources": paths} if paths else {}


def is_result(volume: Volume) -> bool:
    """Whether a volume is the output of a super-resolution run."""
    return _is_made_here(volume.sidecar) and "Parameters" in volume.sidecar


def is_computed(sidecar: Mapping[str, Any], suffix: str | None) -> bool:
    """Whether an image was super-resolved or synthesised by this software, according to its sidecar.

    Simulated maps and guides count as measured, and so do copied maps.
    """
    if not _is_made_here(sidecar) or "Simulation" in sidecar:
        return False
    return "Parameters" in sidecar or suffix not in MAP_UNITS


def _is_made_here(sidecar: Mapping[str, Any]) -> bool:
    makers = sidecar.get("GeneratedBy")
    makers = makers if isinstance(makers, list) else [makers]
    return any(isinstance(maker, Mapping) and maker.get("Name") == generated_by()["Name"] for maker in makers)
