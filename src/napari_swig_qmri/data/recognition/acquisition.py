"""How an image was acquired: whole or a part of a complex image, and before or after a contrast agent."""

from __future__ import annotations

import re

from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.words import NUMBERS_AT_END, found, named_sequence, prepared

_MAY_BE_PART = re.compile("ph|real|imag")  # quick to look for in thousands of names
_PARTS = {"phase": "phase", "phase map": "phase", "p": "phase", "imaginary": "imaginary part", "real": "real part"}
_SHORT_PARTS = {"i": "imaginary part", "r": "real part", "i_ffe": "imaginary part", "r_ffe": "real part"}


def part_of(stem: str, evidence: Evidence) -> str | None:
    """Phase, real or imaginary part, if an image is one by its name or DICOM image type; None for magnitudes."""
    if not evidence.image_type and not _MAY_BE_PART.search(stem.lower()):
        return None
    about = prepared(f"{stem} {evidence.series}", with_acquisition=True)
    if named_sequence(about) == "psir":
        return None  # the sign belongs to the signal
    words = prepared(stem)
    end = len(re.sub(NUMBERS_AT_END, "", words))
    hits = [hit for hit in found("part", words) if hit[0] >= end or re.match("part|phase|phs", words[-hit[1] : hit[0]])]
    if hits:
        return hits[-1][2].meaning
    tokens = [token.strip().lower() for token in evidence.image_type.split("/")]
    shown = next((_PARTS[token] for token in tokens if token in _PARTS), None)
    return shown or next((_SHORT_PARTS[token] for token in tokens[2:] if token in _SHORT_PARTS), None)


def is_enhanced(stem: str, sidecar: Evidence | None = None) -> bool:
    """Whether an image was acquired after a contrast agent, by its name (``ce-``, post, gad, t1c) or sidecar."""
    words = prepared(stem)
    if re.search(r"(?:^|_)ce-(?!none|no(?:_|$)|without)", words):
        return True
    if re.search(r"(?<![a-z0-9])(?:pre|without|no|non)[-_ ]?(?:contrast|gad\w*|gd|ce|c|km)(?![a-z0-9])", words):
        return False
    if found("agent", words):
        return True
    if sidecar is None:
        return False
    keys = ("ContrastBolusAgent", "ContrastBolusIngredient")
    told = " ".join(str(sidecar.sidecar.get(key, "")) for key in keys).strip().lower()
    if told:
        return told not in ("none", "no", "n/a", "no contrast", "none none")
    return bool(found("agent", prepared(sidecar.series))) and not re.search("pre[-_ ]contrast", sidecar.series.lower())
