"""What is understood of an image: kind, unit and sequence, with a confidence and the reasons in words."""

from __future__ import annotations

from dataclasses import dataclass

from napari_swig_qmri.data.recognition.acquisition import is_enhanced
from napari_swig_qmri.data.recognition.evidence import Confidence, Evidence, Kind
from napari_swig_qmri.data.recognition.kinds import find_kind
from napari_swig_qmri.data.recognition.sidecars import sequence_in
from napari_swig_qmri.data.recognition.suffixes import MAP_UNITS, SUFFIX_KEY, USED, WEIGHTED
from napari_swig_qmri.data.recognition.units import Unit, judge_unit

_OTHER_UNITS = {"s": "ms", "ms": "s", "1/s": "1/ms", "1/ms": "1/s", "arbitrary": "percent"}
_ORDER: tuple[Confidence, ...] = ("ask", "likely", "sure")


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Kind, unit and sequence of an image.

    The confidence is that of kind and unit; an open sequence is None, and a reason says so.
    """

    kind: str | None  # BIDS suffix; None if the image is neither a map nor a guide, mask or labels
    unit: str | None  # of the numbers in the file; None if it has none
    sequence: str | None  # key of `SEQUENCES`; None if open or if the image is not weighted
    confidence: Confidence
    reasons: tuple[str, ...]  # one sentence each
    how_to_correct: str  # clause


def recognise(evidence: Evidence) -> Recognition:
    """Kind, unit and sequence of an image from all that is known of it."""
    kind = find_kind(evidence)
    used = kind.suffix if kind.suffix in USED else None
    unit = judge_unit(used, evidence)
    sequence, about_sequence = _sequence(used, evidence)
    agent = is_enhanced(evidence.stem, evidence) and used in WEIGHTED
    reasons = (
        *kind.reasons,
        *([unit.reason] if unit.reason else []),
        *about_sequence,
        *(["Acquired after a contrast agent: a guide only if you give it by name."] if agent else []),
        *evidence.notices,
    )
    return Recognition(
        kind=used,
        unit=unit.name,
        sequence=sequence,
        confidence=min(kind.confidence, unit.confidence, key=_ORDER.index),
        reasons=reasons,
        how_to_correct=_how_to_correct(kind, unit, used, sequence),
    )


def _sequence(suffix: str | None, evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    if suffix not in WEIGHTED:
        return None, ()
    return sequence_in(evidence.sidecar, suffix, evidence.stem, evidence.header_text)


def _how_to_correct(kind: Kind, unit: Unit, used: str | None, sequence: str | None) -> str:
    """What to write into the sidecar, or which option to give, if the answer is wrong."""
    if used in MAP_UNITS and kind.confidence != "ask":
        other = _OTHER_UNITS.get(unit.name or "", "arbitrary")
        option = f"`units` {other}, or " if unit.name in ("s", "ms") else ""
        return f'{option}"Units": "{other}" or "{SUFFIX_KEY}": "T1w" in its sidecar'
    if used in WEIGHTED and sequence is None:
        return '"PulseSequenceType": "MPRAGE" (or another) with EchoTime and RepetitionTime in its sidecar'
    return f'"{SUFFIX_KEY}": "T1map" (or T1w, mask, ...) in its sidecar'
