"""Kind of an image from BIDS names, sidecars, header texts and values; inheritance of BIDS sidecars.

Functions that make an assumption also return a sentence on it for the user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from napari_swig_qmri.data.recognition.evidence import Evidence, without_labels
from napari_swig_qmri.data.recognition.units import MAP_UNITS, RESIDUAL_UNITS, is_spread, parse_unit, unit_in
from napari_swig_qmri.data.volumes import FloatArray

DESCRIPTION = "dataset_description.json"  # in the root folder of every BIDS dataset
RESULTS = (*RESIDUAL_UNITS, "residual", "conflict")  # written by a super-resolution run in addition to its maps
CONTRASTS = (
    *("T1w", "T2w", "PDw", "T2starw", "FLAIR", "STIR", "UNIT1", "PDT2", "inplaneT1", "inplaneT2"),
    *("angio", "bold", "dwi"),
)
METHODS = (
    "MP2RAGE",
    "IRT1",
    "MESE",
    "MEGRE",
    "VFA",
    "MPM",
)  # in names of maps, too
WEIGHTED = (*CONTRASTS, *METHODS)
LABELS = ("mask", "dseg")
OTHER_MAPS = ("RB1map", "MTRmap", "MTsat", "MTVmap", "MWFmap", "Chimap", "probseg")
SUFFIX_KEY = "Suffix"  # sidecar key for the BIDS suffix if the file name does not contain it
SUFFIXES = (*MAP_UNITS, *WEIGHTED, *LABELS, *OTHER_MAPS, *RESULTS)

_NAMES = (  # suffix, regular expression for its spellings in file names and series descriptions
    *((suffix, suffix.lower()) for suffix in SUFFIXES if suffix not in METHODS),
    ("TB1map", r"t?b1(?:\+|plus)?[-_ ]?map(?:ping)?"),
    ("MP2RAGE", r"inv[-_]?[12](?:[-_ ](?:part-)?(?:mag|phase?))?"),  # an image of one inversion
    ("UNIT1", r"uni[-_ ]?(?:images?|den)|mp2rage[-_ ](?:[a-z0-9=.]+[-_ ])*uni"),
    ("R2starmap", r"r2(?:star|\*|s)(?:[-_ ]?(?:map|ols|wls\d?))?"),
    ("T2starmap", r"t2(?:star|\*|s)[-_ ]?map"),
    ("R1map", r"r1[-_ ]?map"),
    ("R2map", r"r2[-_ ]?map"),
    ("T1map", r"q?t1[-_ ]?map(?:ping)?|qt1|t1[-_ ]?images?"),
    ("T2map", r"q?t2[-_ ]?map(?:ping)?|qt2"),
    ("PDmap", r"q?pd[-_ ]?map|qpd|proton[-_ ]?density[-_ ]?map"),
    ("M0map", r"m0[-_ ]?map"),
    ("S0map", r"s0[-_ ]?map"),
    ("FLAIR", r"(?:t2[-_ ]?)?flair"),
    ("T2starw", r"t2(?:star|\*|s)w"),
    ("T1w", r"t1[-_ ]?w(?:eighted|i)?|mp[-_ ]?rage"),
    ("T2w", r"t2[-_ ]?w(?:eighted|i)?"),
    ("PDw", r"pd[-_ ]?w(?:eighted|i)?"),
    ("mask", r"(?:brain|head)?mask"),
    ("dseg", r"seg|aseg|labels?"),
)
_LOOSE_NAMES = (("T2starw", r"t2(?:star|\*|s)"), ("PDw", r"proton[-_ ]?density"))  # also in names of maps
_BARE = (("T1", "t1"), ("T2", "t2"), ("PD", "pd"))
_ONLY_MAPS = (("M0", "m0"), ("S0", "s0"))
_MADE_BY = r"(?<![a-z0-9])(?:q(?:uant)?maps?|symaps?|symri|qalas|mrf|fingerprint(?:ing|s)?|mpm|hmri|qmri)(?![a-z0-9])"
_OF_IMAGE_TYPE = r"/(t1|t2|pd|r1|r2|b1)(?:[ _]?map)?(?=/)"  # in the DICOM image type of derived images


def find_suffix(evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """Return the BIDS suffix of an image, None if unknown, and one sentence per assumption.

    Uses, in this order: the end of the file name, the key ``Suffix`` of the sidecar, the DICOM image type, spellings in
    file name, sidecar and header, and whether the values are binary.
    """
    last = re.split(r"[_\s]", evidence.stem)[-1]
    exact = next((suffix for suffix in SUFFIXES if suffix.lower() == last.lower()), None)
    if exact and not is_spread(exact, evidence.stem):
        return exact, ()
    in_sidecar = str(evidence.sidecar.get(SUFFIX_KEY))
    if in_sidecar in SUFFIXES:
        return in_sidecar, ()
    in_image_type = _suffix_of_image_type(evidence.image_type)
    if in_image_type and _last_of(_NAMES, without_labels(evidence.stem)) not in CONTRASTS:
        return in_image_type, (f"Taken as {in_image_type} because of its DICOM image type, {evidence.image_type!r}.",)
    sources = (
        ("its name", evidence.stem),
        ("its sidecar", evidence.series),
        ("its header", evidence.header_text),
    )
    for source, text in sources:
        suffix = _suffix_in(text, evidence)
        if suffix and is_spread(suffix, text):
            return None, (f"Not taken as {suffix}: {source}, {text!r}, describes its standard deviation or error.",)
        if suffix:
            return suffix, (f"Taken as {suffix} because of {source}, {text!r}.",)
    if evidence.values is not None and _is_binary(evidence.values):
        return "mask", ("Taken as a mask because its values are 0 and 1.",)
    return None, ("The kind of this image is unknown: choose it before using the image as a map or guide.",)


def quantities_of_stack(evidence: Evidence, n: int) -> tuple[str, ...]:
    """Suffixes of the `n` maps in one file in their order, if DICOM image type or file name list them; else empty."""
    in_type = re.search(r"multi_qmap/((?:(?:t1|t2|pd)/){2,})", f"{evidence.image_type.lower()}/")
    stem = evidence.stem.lower()
    in_name = re.search(r"(?<![a-z0-9])(?:(?:t1|t2|pd)[-_ ]?){2,}(?![a-z0-9])", stem)
    listed = in_type or (in_name if re.search(f"{_MADE_BY}|(?<![a-z0-9])maps?(?![a-z0-9])", stem) else None)
    order = re.findall("t1|t2|pd", listed[0]) if listed else []
    return tuple(f"{each.upper()}map" for each in order) if len(set(order)) == len(order) == n else ()


def short_name(stem: str) -> str:
    """Name for display: the entities of a BIDS name separated by blanks, without space and res."""
    parts = [part for part in stem.split("_") if part and not part.startswith(("space-", "res-"))]
    return " ".join(parts) or stem


def read_sidecar(image: Path, stem: str, root: Path | None = None) -> dict[str, Any]:
    """Sidecar of the file `image` named `stem`, with entries inherited from folders up to `root`, if given.

    Raises ValueError if a sidecar cannot be read; ignoring it would replace its settings by assumed ones.
    """
    merged: dict[str, Any] = {}
    for path in _sidecar_paths(image, stem, root):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError("it holds no JSON object")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path.name}, the sidecar of {image.name}, could not be read: {error}. Repair or remove it."
            ) from error
        merged |= content
    return merged


def dataset_root(path: Path) -> Path | None:
    """Root folder of the BIDS dataset of a file; None outside a dataset."""
    return next((folder for folder in path.parents if (folder / DESCRIPTION).is_file()), None)


def _sidecar_paths(image: Path, stem: str, root: Path | None) -> list[Path]:
    """JSON files that apply to an image, the most general first (BIDS inheritance principle)."""
    of_image = image.parent / f"{stem}.json"
    paths = [of_image] if of_image.is_file() else []
    if root is None:
        return paths
    *entities, suffix = stem.split("_")
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        names = sorted(folder.glob(f"*{escape(suffix)}.json"), key=lambda path: -path.stem.count("_"))
        paths += [p for p in names if p != of_image and _applies(p.stem.split("_"), entities, suffix)]
    return paths[::-1]


def _applies(parts: Sequence[str], entities: Sequence[str], suffix: str) -> bool:
    return parts[-1] == suffix and set(parts[:-1]) <= set(entities)


def _suffix_in(text: str, evidence: Evidence) -> str | None:
    """Suffix in a text: a known spelling, else a plain "T1", "T2" or "PD", a rate "R1" or "R2", or a method."""
    words = without_labels(text)
    spelled = _last_of((*_NAMES, *_LOOSE_NAMES), words)
    bare = _last_of(_BARE, words)
    rates = re.findall(r"(?<![A-Za-z0-9])R[12](?![A-Za-z0-9])", words)  # lower case numbers runs and raters
    if spelled or bare:
        return spelled or (f"{bare}map" if _is_map_of(words, evidence) else f"{bare}w")
    size = _last_of(_ONLY_MAPS, words)
    if size and _is_map_of(words, evidence):
        return f"{size}map"
    return f"{rates[-1]}map" if rates else _last_of([(method, method.lower()) for method in METHODS], words)


def _last_of(names: Iterable[tuple[str, str]], text: str) -> str | None:
    """Suffix of the spelling that ends last in a text, the longest of several; None if there is none."""
    matches = [
        (match.end(), -match.start(), suffix)
        for suffix, pattern in names
        for match in re.finditer(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", text.lower())
    ]
    return max(matches)[2] if matches else None


def _is_map_of(words: str, evidence: Evidence) -> bool:
    """Whether a plain "T1", "T2" or "PD" in `words` is a map: it has a unit, or sidecar, header or software say so."""
    about = f"{evidence.series} {evidence.header_text}".lower()
    named_unit = re.search(r"(?:[Tt][12])[-_ (\[]+(?:ms|msec|sec)(?![A-Za-z0-9])", words)  # "MS" is the disease
    return bool(
        parse_unit(evidence.sidecar.get("Units"))
        or re.search(r"\bmap\b", about)
        or re.search(_MADE_BY, words.lower())
        or unit_in(about, "s")
        or named_unit
    )


def _suffix_of_image_type(image_type: str) -> str | None:
    """Suffix of the map or synthetic contrast in the DICOM image type of a derived image (SyMRI, scanners)."""
    tokens = f"{image_type.lower()}/"
    if "derived" not in tokens or re.search("myc|multi_qmap", tokens):
        return None
    star = re.search(r"/t2[_ ]?(?:star|\*)[ _]?map/", tokens)
    quantity = re.search(_OF_IMAGE_TYPE, tokens)
    if "synthetic" in tokens:
        contrast = re.search(r"/(?:(flair|stir)|(t1|t2|pd)w?)[/_]", tokens)
        return contrast and (contrast[1].upper() if contrast[1] else f"{contrast[2].upper()}w")
    if star:
        return "T2starmap"
    return quantity and {"b1": "TB1map"}.get(quantity[1], f"{quantity[1].upper()}map")


def _is_binary(values: FloatArray) -> bool:
    sample = values.ravel()[:: max(1, values.size // 100_000)]
    return bool(np.isin(sample, (0, 1)).all() and np.any(sample == 1) and np.isin(values, (0, 1)).all())
