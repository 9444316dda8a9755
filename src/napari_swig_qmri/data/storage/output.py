"""The one way in which files are written: the place is tried first, and a file is whole at every moment.

Everything is written to a hidden file in the folder of its target, flushed to the disk, and renamed. Files that belong
together are renamed after all of them were written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_swig_qmri.data.recognition.bids import DESCRIPTION

Part = Callable[[Path], Path]  # target -> file to write in its place

_REMEDY = "choose another folder or use --overwrite"
_TRIED = bytes(1 << 16)  # written to a folder to try it


@contextmanager
def replacing() -> Iterator[Part]:
    """Write files that replace their targets together when the block ends, or not at all if it fails.

    Yields a function that returns the file to write in place of a target. It lies in the same folder and keeps the
    extension; the files of one block share the beginning of their names, as the halves of an image must. Folders are
    not made.
    """
    mark, parts = f".{uuid4().hex[:8]}.part", dict[Path, Path]()

    def part(target: Path) -> Path:
        return parts.setdefault(target, target.with_name(f"{mark}{target.name}"))

    try:
        yield part
        for each in parts.values():
            _flush(each)
        for target, each in parts.items():
            each.replace(target)
    finally:
        for each in parts.values():
            each.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> Path:
    """Write a text file in UTF-8, as it is; the path."""
    with replacing() as part:
        part(path).write_text(text, encoding="utf-8", newline="")
    return path


def append_text(text: str, path: Path) -> Path:
    """Append to a text file, or make it; a last line without an end gets one. Returns the path."""
    old = path.read_bytes() if path.exists() else b""
    with replacing() as part:
        part(path).write_bytes(old + b"\n" * (old[-1:] not in (b"", b"\n")) + text.encode())
    return path


def check_output(
    folder: Path, files: Iterable[str | Path] = (), *, overwrite: bool = False, remedy: str = _REMEDY
) -> None:
    """Try whether files can be written to a folder, before the time to compute them is spent.

    Parameters
    ----------
    folder
        Folder for the results. It is not made, but the nearest folder above it that exists is tried.
    files
        Paths of the results, relative to `folder`, that must not exist. ``*`` at the end of a name stands for any
        ending of a file there or in a subfolder; all other characters stand for themselves.
    overwrite
        Accept files that exist.
    remedy
        End of the message about a file that exists.

    Raises
    ------
    FileExistsError
        If `folder` is a file, or one of the files exists.
    OSError
        If nothing can be written to the folder.
    """
    check_folder(folder)
    if not overwrite and folder.is_dir():
        _check_free_in(folder, list(map(str, files)), remedy)
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    tried = place / f".{uuid4().hex[:8]}.part"
    try:
        tried.write_bytes(_TRIED)
    except OSError as error:
        raise type(error)(
            f"nothing can be written to {place} ({error.strerror or error}): choose another folder for the results."
        ) from None
    finally:
        with suppress(OSError):  # the folder may not be searchable
            tried.unlink(missing_ok=True)


def _check_free_in(folder: Path, files: Sequence[str], remedy: str) -> None:
    beginnings = tuple(file[:-1] for file in files if file.endswith("*"))
    existing = [folder / file for file in files if not file.endswith("*") and (folder / file).exists()]
    for place, folders, names in os.walk(folder) if beginnings else ():
        folders[:] = [each for each in folders if not Path(place, each, DESCRIPTION).exists()]  # datasets of their own
        existing += [Path(place, name) for name in names if name.startswith(beginnings)]
    if existing:
        found = min(existing)
        raise FileExistsError(f"{found.name} already in {found.parent}: {remedy}.")


def check_free(paths: Sequence[Path], overwrite: bool, remedy: str = "remove it first") -> None:
    """Raise FileExistsError if one of the paths exists and `overwrite` is not set; `remedy` is part of the message."""
    existing = [path.name for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{', '.join(existing)} already in {paths[0].parent}: choose another name or {remedy}.")


def check_folder(folder: Path) -> None:
    """Raise FileExistsError if `folder` is a file."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, but the results go into a folder: choose another name.")


def _flush(path: Path) -> None:
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
