"""Mapping protocol that a map was fitted to, by the words in its name and sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from napari_swig_qmri.data.recognition.evidence import LONGEST_TEXT, Evidence

_KEYS = (  # of the sidecar, whose texts name protocols; the last two list files, such as those of BIDS
    "SeriesDescription",
    "ProtocolName",
    "PulseSequenceType",
    "PulseSequenceDetails",
    "SequenceName",
    "EstimationAlgorithm",
    "EstimationReference",
    "EstimationSoftwareName",
    "Description",
    "BasedOn",
    "Sources",
)
_WORDS = (  # key of `PROTOCOLS` and regular expression; the first match counts; < and > exclude a letter there
    ("mupa-zte", r"<mupa"),
    ("qalas", r"qalas"),
    ("mdme", r"symri|<magic>|mdme|qrap.?master|multi.?dynamic.?multi.?echo"),
    ("ir-mese", r"<ir.?mese>"),
    ("mp2rage", r"mp2rage"),
    ("mpm", r"<mpm>|<hmri"),
    ("vfa", r"<vfa>|despot.?1|variable.?flip|dual.?flip"),
    ("mese", r"<mese>|<msme>|multi.?echo.?spin.?echo|multi.?spin.?echo"),
    ("ir", r"<ir.?t1>|<ir.?mapping>|inversion.?recovery.?(?:series|mapping)"),
)
_SUBJECT = re.compile(r"(?:sub|ses)-[a-zA-Z0-9]+")


def protocol_of(evidence: Evidence) -> str | None:
    """Key in `PROTOCOLS` of the protocol that a map was fitted to; None if nothing names it.

    The sidecar counts before the name of the file, and that before its folder.
    """
    described = " ".join(_text(evidence.sidecar[key]) for key in _KEYS if key in evidence.sidecar)
    texts = (described, _SUBJECT.sub("", evidence.stem), evidence.folder)
    return next((name for text in texts if (name := _named(text[:LONGEST_TEXT]))), None)


def common_protocol(names: Iterable[str | None]) -> str | None:
    """Protocol of all maps of a set; None if none is named, or several are."""
    named = {name for name in names if name is not None}
    return named.pop() if len(named) == 1 else None


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _named(text: str) -> str | None:
    return next((name for name, pattern in _patterns() if pattern.search(text.lower())), None)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    bounded = ((name, pattern.replace("<", "(?<![a-z])").replace(">", "(?![a-z])")) for name, pattern in _WORDS)
    return tuple((name, re.compile(pattern)) for name, pattern in bounded)
