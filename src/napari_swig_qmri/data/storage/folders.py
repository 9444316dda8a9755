"""Images in folders: found and ordered by their names, before any of them is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.suffixes import LABELS, MAP_UNITS, WEIGHTED
from napari_swig_qmri.data.storage.image_files import READABLE, split_extension

_OTHER_MODALITIES = {"func", "dwi", "perf", "pet", "meg", "eeg", "sourcedata", "code"}
_MAX_DEPTH = 6  # levels of subfolders: derivatives/pipeline/sub/ses/anat and one more
_MAX_FILES = 100_000  # that are looked at; more are no folder of one subject
_MAX_IMAGES = 40  # of one folder; more belong to several subjects and would fill the memory


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Images of a folder and its subfolders ordered by name, and one sentence on each group of files left out.

    If there are too many, maps come before weighted images, and these before others, as far as the names tell.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: check the name.")
    files = list(islice(iterate_files(folder), _MAX_FILES))
    paths = _images_among(files)
    anatomical = [path for path in paths if not _OTHER_MODALITIES & set(path.relative_to(folder).parts)]
    n_others, n_too_many = len(paths) - len(anatomical), len(anatomical) - _MAX_IMAGES
    problems = [f"{n_others} images that are not anatomical."] if n_others else []
    if n_too_many > 0:
        problems.append(f"{n_too_many} of {len(anatomical)} images: open the folder of one subject to see the others.")
        anatomical = sorted(sorted(anatomical, key=_rank)[:_MAX_IMAGES])
    if len(files) == _MAX_FILES:
        problems.append(f"All but the first {_MAX_FILES:,} files: open a subfolder to see the others.")
    return anatomical, problems


def image_paths(folder: Path) -> list[Path]:
    """All images of a folder and its subfolders, ordered by name."""
    return _images_among(list(islice(iterate_files(folder), _MAX_FILES)))


def _images_among(files: list[Path]) -> list[Path]:
    names = {str(file).lower() for file in files}
    return sorted(file for file in files if _is_image(file, names))


def has_images(folder: Path) -> bool:
    """Whether there is an image in a folder or its subfolders."""
    return any(file.name.lower().endswith(READABLE) for file in islice(iterate_files(folder), _MAX_FILES))


def has_dicom(folder: Path) -> bool:
    """Whether there is a DICOM file in a folder or its subfolders, by the names."""
    files = islice(iterate_files(folder), _MAX_FILES)
    return any(file.suffix.lower() in (".dcm", ".ima") or file.name == "DICOMDIR" for file in files)


def iterate_files(folder: Path) -> Iterator[Path]:
    """Files of a folder and `_MAX_DEPTH` levels of subfolders; hidden ones are skipped.

    Every folder is visited once, wherever links lead, and those that hold `folder` are not. Folders that cannot be
    opened are skipped.
    """
    seen = {_identity(str(parent)) for parent in folder.resolve().parents}

    def inside(place: str, levels: int) -> Iterator[Path]:
        try:
            identity = _identity(place)
            if identity in seen:
                return
            seen.add(identity)
            with os.scandir(place) as opened:
                entries = sorted((entry for entry in opened if not entry.name.startswith(".")), key=_links_last)
        except OSError:
            return
        for entry in entries:
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # noqa: PTH112
                yield from inside(entry.path, levels - 1) if levels else ()
            elif entry.is_symlink() or entry.is_file():  # a link may lead nowhere, which is told when it is read
                yield Path(entry.path)

    yield from inside(str(folder), _MAX_DEPTH)


def _identity(folder: str) -> tuple[int, int]:
    state = os.stat(folder)  # noqa: PTH116, a str is several times faster
    return state.st_dev, state.st_ino


def _links_last(entry: os.DirEntry[str]) -> tuple[bool, str]:
    return entry.is_symlink(), entry.name


def _is_image(path: Path, names: set[str]) -> bool:
    """Whether a file is an image by its name; a header needs its image among the `names` of files in lower case."""
    name = str(path).lower()
    if name.endswith(".hdr"):
        return not names.isdisjoint({f"{name[:-4]}.img", f"{name[:-4]}.img.gz"})
    return name.endswith(READABLE) and not name.endswith((".img", ".img.gz", ".hdr.gz"))


def _rank(path: Path) -> int:
    """Order of the images of which only some can be read: maps, weighted images, unknown ones, others."""
    suffix = find_suffix(Evidence(stem=split_extension(path)[0]))[0]
    kinds = (MAP_UNITS, WEIGHTED, (None,))
    rank = next((number for number, kind in enumerate(kinds) if suffix in kind), len(kinds))
    return rank + (suffix in LABELS)
