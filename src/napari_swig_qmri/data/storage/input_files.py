"""Input files of a result, as its sidecars name them: by path from the result and by checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.storage.image_files import READABLE, files_of, split_extension


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file or folder that a run has read.

    Attributes
    ----------
    role
        ``"map"``, ``"PD"``, ``"T1"`` or ``"T2"`` (a map that the user named so), ``"guide"``, ``"mask"``, ``"b1"`` or
        ``"weights"``.
    file
        Path from the folder of the result, with ``/``.
    sha256
        Checksum of the content, for a folder of all its files.
    sidecar_sha256
        Checksum of the JSON file of the same name beside it, if there is one.
    sequence
        Text of the sequence that a guide was given, or ``"auto"``.
    """

    role: str
    file: str
    sha256: str
    sidecar_sha256: str | None = None
    sequence: str = "auto"

    @classmethod
    def of(cls, path: Path, role: str, folder: Path, sequence: str = "auto") -> InputFile:
        """Record of a file for a result in `folder`."""
        sha256, sidecar_sha256 = checksums(path)
        return cls(
            role=role,
            file=Path(os.path.relpath(path, folder)).as_posix(),
            sha256=sha256,
            sidecar_sha256=sidecar_sha256,
            sequence=sequence,
        )

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> InputFile:
        """Record from an entry of a sidecar; ValueError if it is none."""
        try:
            return cls(**entry)
        except TypeError:
            raise ValueError(f"{dict(entry)} is no record of an input file: choose another result.") from None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.file.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """Where a recorded file is now, and whether it is still the same."""

    record: InputFile
    path: Path
    has_changed: bool


def checksums(path: Path) -> tuple[str, str | None]:
    """SHA-256 of a file, or of all files in a folder with their names, and of the JSON file beside it."""
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(path.rglob("*")):
            if each.is_file():
                digest.update(each.relative_to(path).as_posix().encode())
                digest.update(each.read_bytes())
        return digest.hexdigest(), None
    is_image = path.name.lower().endswith(READABLE)
    for each in files_of(path) if is_image else [path]:
        digest.update(each.read_bytes())
    beside = path.with_name((split_extension(path)[0] if is_image else path.stem) + ".json")
    return digest.hexdigest(), hashlib.sha256(beside.read_bytes()).hexdigest() if beside.is_file() else None


def find_again(record: InputFile, folder: Path, others: Sequence[Path] = ()) -> FoundFile:
    """Find a recorded file: at its path from `folder`, or anywhere in `others`, with its checksum if there is one.

    Raises
    ------
    FileNotFoundError
        If no file of its name is there.
    ValueError
        If there are several of its name, and none has its checksum.
    """
    places = _distinct(path for path in _places(record, folder, others) if path.exists())
    for path in places:
        if checksums(path) == (record.sha256, record.sidecar_sha256):
            return FoundFile(record=record, path=path, has_changed=False)
    if not places:
        raise FileNotFoundError(
            f"{record.name}, of which the result was made, is not where it was: name the folder that holds it with "
            "`inputs`."
        )
    if len(places) > 1:
        listed = ", ".join(map(str, places))
        raise ValueError(
            f"{record.name} has changed since the run, and there are several: {listed}. Name one folder with `inputs`."
        )
    return FoundFile(record=record, path=places[0], has_changed=True)


def _places(record: InputFile, folder: Path, others: Sequence[Path]) -> Iterable[Path]:
    yield Path(os.path.normpath(folder / record.file))
    for other in others:
        yield from sorted(other.rglob(record.name))


def _distinct(paths: Iterable[Path]) -> list[Path]:
    return list({path.resolve(): path for path in paths}.values())
