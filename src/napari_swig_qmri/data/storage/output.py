"""The one way in which files are written: the place is tried first, and a file is whole at every moment.

Everything is written to a hidden file in the folder of its target, flushed to the disk, and renamed. Files that belong
together are renamed after all of them were written.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4
from zlib import crc32

from napari_swig_qmri.data.recognition.bids import DESCRIPTION

Part = Callable[[Path], Path]  # target -> file to write in its place

_REMEDY = "choose another folder or use `overwrite`"
_TRIED = bytes(1 << 16)  # written to a folder to try it
_STALE = 24 * 3600.0  # s after which a file of an unknown process is no longer being written
_MACHINE = f"{crc32(platform.node().encode()):08x}"
_PROCESS = uuid4().hex[:8]  # tells processes apart that have the same number, as in containers; forked ones share it
_MARK = re.compile(r"\.[0-9a-f]{8}(?:\.([0-9a-f]{8})-([0-9a-f]{8})-(\d+))?\.part")


@contextmanager
def replacing() -> Iterator[Part]:
    """Write files that replace their targets together when the block ends, or not at all if it fails.

    Yields a function that returns the file to write in place of a target. It lies in the same folder and keeps the
    extension; the files of one block share the beginning of their names, as the halves of an image must. Folders are
    not made. What a killed process left of an earlier attempt at a target is removed.
    """
    mark, parts = _new_mark(), dict[Path, Path]()

    def part(target: Path) -> Path:
        if target not in parts:
            _remove_stale(target.parent, target.name)
            parts[target] = target.with_name(f"{mark}{target.name}")
        return parts[target]

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
    _remove_stale(place)
    tried = place / _new_mark()
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


def _new_mark() -> str:
    """Begin of the names of unfinished files, which names their process."""
    return f".{uuid4().hex[:8]}.{_MACHINE}-{_PROCESS}-{os.getpid()}.part"


def _remove_stale(folder: Path, name: str = "") -> None:
    """Remove what killed processes left of a file of that name, or of trying the folder."""
    with suppress(OSError):  # there is no such folder, or it may not be read or changed
        for path in folder.iterdir():
            mark = _MARK.match(path.name) if path.name.startswith(".") else None
            if mark is not None and path.name == f"{mark[0]}{name}" and not _is_written(path, *mark.groups()):
                path.unlink(missing_ok=True)


def _is_written(path: Path, machine: str | None, process: str | None, number: str | None) -> bool:
    """Whether a process may still write an unfinished file: one that runs here, or an unknown one within a day."""
    if machine != _MACHINE or number is None or os.name != "posix":  # elsewhere, asking for a process may end it
        return time.time() - path.stat().st_mtime < _STALE
    if int(number) == os.getpid():
        return process == _PROCESS
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def _flush(path: Path) -> None:
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
