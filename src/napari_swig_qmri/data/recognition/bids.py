"""Sidecars of images: which files apply, and what can be read of them; names for display."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.wording import shortened

DESCRIPTION = "dataset_description.json"  # in the root folder of every BIDS dataset
_LARGEST = 4_000_000  # bytes; no sidecar is that large
_LONGEST_MENDED = 100_000  # characters of a damaged sidecar in which entries are searched
_MOST_ENTITIES = 8  # of a name, whose subsets are looked up
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_ENTRY = re.compile(rf'("(?:[^"\\\n]|\\.){{1,200}}")\s*:\s*({_STRING}|{_NUMBER}|true|false|\[[^\[\]{{}}"]{{0,500}}\])')
_OF_INVERSIONS = ("InversionTime", "FlipAngle")  # keys that differ between the two images of MP2RAGE
_UNIFORM = re.compile(r"(?<![a-z0-9])uni(?:t1|[-_ ]?images?|[-_ ]?den)?(?![a-z0-9])", re.IGNORECASE)


def short_name(stem: str) -> str:
    """Name for display: the entities of a BIDS name separated by blanks, without space and res."""
    parts = [part for part in stem.split("_") if part and not part.startswith(("space-", "res-"))]
    return " ".join(parts) or stem


def dataset_root(path: Path) -> Path | None:
    """Root folder of the BIDS dataset of a file; None outside a dataset."""
    return next((folder for folder in path.parents if (folder / DESCRIPTION).is_file()), None)


def read_sidecar(image: Path, stem: str, root: Path | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Sidecar of a file, and one sentence on each part of it that could not be read.

    Entries are inherited from folders up to `root`, and for a uniform image of MP2RAGE from the sidecars of both
    inversions. A damaged sidecar gives the entries that can still be read.

    Parameters
    ----------
    image
        File of the image.
    stem
        Its name without extension.
    root
        Root folder of its BIDS dataset, if it is in one.
    """
    merged, notices = _merged(_sidecar_paths(image, stem, root), image)
    if _UNIFORM.search(stem) and not _is_pair(merged.get("InversionTime")):
        of_blocks, told = _of_inversions(image, stem, root)
        merged, notices = {**of_blocks, **merged, **_pairs(of_blocks)}, (*notices, *told)
    return merged, notices


def _merged(paths: Sequence[Path], image: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    merged: dict[str, Any] = {}
    notices = []
    for path in paths:
        content, problem = _read_json(path)
        merged |= content
        if problem:
            notices.append(f"{path.name}, a sidecar of {image.name}, {problem}.")
    return merged, tuple(notices)


def _read_json(path: Path) -> tuple[dict[str, Any], str]:
    """Entries of a JSON file, and a clause on what could not be read."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}, "is too large for a sidecar and was not read"
        text, doubt = _decoded(path.read_bytes())
    except OSError as error:
        return {}, f"could not be read: {error.strerror or error}"
    if not text.strip():
        return {}, "is empty: its settings are assumed"
    content, damage = _parsed(text)
    if not isinstance(content, dict):
        return {}, "holds no JSON object and was not used: repair or remove it"
    return content, " and ".join(each for each in (doubt, damage) if each)


def _decoded(raw: bytes) -> tuple[str, str]:
    """Text of a file, and a clause if it is not UTF-8."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace"), ""
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "is not UTF-8 and was read as Latin-1"


def _parsed(text: str) -> tuple[Any, str]:
    """Content of a JSON text without comments and trailing commas, else its single entries; and a clause on that."""
    try:
        return json.loads(text, strict=False), ""
    except (ValueError, RecursionError):
        pass
    cleaned = _TRAILING_COMMA.sub(r"\1", _COMMENT.sub(r"\1", text[:_LONGEST_MENDED]))
    try:
        return json.loads(cleaned, strict=False), "is not valid JSON (comments or a trailing comma), which was mended"
    except (ValueError, RecursionError):
        pass
    entries: dict[str, Any] = {}
    for key, value in _ENTRY.findall(cleaned):
        try:
            entries.setdefault(json.loads(key), json.loads(value, strict=False))
        except ValueError:
            continue
    return entries, f"is damaged: only {shortened(', '.join(entries)) or 'nothing'} could be read; repair it"


def _sidecar_paths(image: Path, stem: str, root: Path | None) -> list[Path]:
    """JSON files that apply to an image, the most general first (BIDS inheritance principle)."""
    of_image = image.parent / f"{stem}.json"
    paths = [of_image] if of_image.is_file() else []
    if root is None:
        return paths
    *entities, suffix = stem.split("_")
    subsets = (
        combination
        for n in range(min(len(entities), _MOST_ENTITIES), -1, -1)
        for combination in combinations(entities[:_MOST_ENTITIES], n)
    )
    names = ["_".join((*subset, suffix)) + ".json" for subset in subsets]  # looked up, as folders may be large
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        paths += [folder / name for name in names if (folder / name).is_file() and folder / name != of_image]
    return paths[::-1]


def _json_names(folder: Path) -> list[str]:
    """Names of the JSON files of a folder in their order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".json"))
    except OSError:
        return []


def _of_inversions(image: Path, stem: str, root: Path | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Entries of the sidecars of the two inversions beside a uniform image; empty unless both are there."""
    found = _UNIFORM.search(stem)
    base = re.sub(r"^\d+[-_]|_(?:rec|desc|acq|space|part)-[a-zA-Z0-9]+", "", stem[: found.start()] if found else stem)
    blocks: list[dict[str, Any]] = []
    notices: list[str] = []
    for number in (1, 2):
        spelled = re.compile(rf"(?<![a-z0-9])inv[-_]?{number}(?![0-9])", re.IGNORECASE)
        stems = (name.removesuffix(".json") for name in _json_names(image.parent))
        block = next((each for each in stems if spelled.search(each) and _is_of(each, base)), None)
        if block is None:
            return {}, ()
        content, told = _merged(_sidecar_paths(image.with_name(f"{block}.nii"), block, root), image)
        blocks.append(content)
        notices += told
    merged: dict[str, Any] = {**blocks[1], **blocks[0]}
    for key in _OF_INVERSIONS:
        if all(key in block for block in blocks):
            merged[key] = [_first(block[key]) for block in blocks]
    for key in ("ImageType", "SeriesDescription", "ProtocolName", "Units", "Suffix"):
        merged.pop(key, None)  # of the inversions, not of the uniform image
    return merged, (*notices, f"Settings taken from the sidecars of the inversions beside {image.name}.")


def _is_of(stem: str, base: str) -> bool:
    return re.sub(r"^\d+[-_]|_(?:rec|desc|acq|space|part)-[a-zA-Z0-9]+", "", stem).startswith(base.rstrip("_- "))


def _pairs(merged: Mapping[str, Any]) -> dict[str, Any]:
    return {key: merged[key] for key in _OF_INVERSIONS if _is_pair(merged.get(key))}


def _is_pair(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 1


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else value
