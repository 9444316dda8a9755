"""What is understood of image files, with as little reading as it takes: names first, then headers, then values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_swig_qmri.data.recognition.bids import dataset_root, read_sidecar
from napari_swig_qmri.data.recognition.engine import Recognition, recognise
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_kind, quantities_of_stack
from napari_swig_qmri.data.recognition.suffixes import MAP_UNITS
from napari_swig_qmri.data.storage.folders import image_paths
from napari_swig_qmri.data.storage.image_files import one_sentence, open_image, split_extension
from napari_swig_qmri.data.storage.nifti import header_text, read_nifti


def images_in(paths: Sequence[Path]) -> list[Path]:
    """Image files among files and in folders and their subfolders, ordered by path, each once.

    Raises FileNotFoundError if a path does not exist, ValueError if there is no image.
    """
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist: check the name.")
        found.update(image_paths(path) if path.is_dir() else [path])
    if not found:
        listed = ", ".join(map(str, paths))
        raise ValueError(f"no image in {listed}: choose a folder with files that end in .nii, .nii.gz, .hdr or .mgz.")
    return sorted(found, key=str)


def understand(path: Path) -> Recognition:
    """Kind, unit and sequence of an image file.

    Reads sidecar and header, and values only where they decide. A file that cannot be read is judged by name and
    sidecar, and a reason says what is wrong with it.
    """
    stem = split_extension(path)[0]
    sidecar, told = read_sidecar(path, stem, dataset_root(path))
    evidence = Evidence(stem=stem, path=path, sidecar=sidecar, notices=told)
    try:
        evidence, stored_bytes, shape = _with_header(evidence, path)
        if _needs_values(evidence, stored_bytes):
            evidence = replace(evidence, values=read_nifti(path).data)
    except (ValueError, OSError) as error:
        recognised = recognise(evidence)
        problem = f"The file cannot be read: {error}"
        return replace(recognised, confidence="ask", reasons=(problem, *recognised.reasons))
    recognised = recognise(evidence)
    stack = quantities_of_stack(evidence, shape[3]) if len(shape) > 3 else ()
    if stack:
        recognised = replace(recognised, confidence="likely", reasons=(f"Holds {', '.join(stack)}, one per volume.",))
    return recognised


def _with_header(evidence: Evidence, path: Path) -> tuple[Evidence, int, tuple[int, ...]]:
    """Evidence with the text of the header, bytes per stored value, and the shape."""
    with one_sentence(path), open_image(path) as (image, _):
        text = header_text(image.header) if hasattr(image.header, "keys") else ""
        return replace(evidence, header_text=text), image.get_data_dtype().itemsize, image.shape


def _needs_values(evidence: Evidence, stored_bytes: int) -> bool:
    """Whether the values decide about kind or unit; images of unknown kind may be masks if they are stored in bytes."""
    kind = find_kind(evidence)
    if kind.suffix is None:
        return kind.confidence == "ask" and stored_bytes == 1
    has_unit = MAP_UNITS.get(kind.suffix, "arbitrary") != "arbitrary" or kind.suffix == "TB1map"
    return kind.needs_values or has_unit or "brainmask" in evidence.stem.lower()
