"""Units of maps: detection of the unit of a file, and conversion to and from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_swig_qmri.data.recognition.evidence import Confidence, Evidence
from napari_swig_qmri.data.recognition.suffixes import ERROR_UNITS, MAP_UNITS, RESIDUAL_UNITS
from napari_swig_qmri.data.recognition.tissue import median, tissue_values
from napari_swig_qmri.data.recognition.words import prepared
from napari_swig_qmri.data.volumes import FloatArray, Volume

UNITS = MAP_UNITS | RESIDUAL_UNITS | ERROR_UNITS
LIKELY_FIELDS = (0.3, 1.8)  # range of the median B1+ in a head, as a fraction of the nominal one
UNIT_FACTORS = {  # unit in a file -> (unit after reading, factor)
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "0.1 ms": ("s", 1e-4),
    "us": ("s", 1e-6),
    "1/s": ("1/s", 1.0),
    "mHz": ("1/s", 1e-3),
    "1/ms": ("1/s", 1e3),
    "arbitrary": ("arbitrary", 1.0),
    "percent": ("arbitrary", 0.01),
}
_SPELLINGS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "0.1 ms": ("0.1 ms", "0.1ms"),
    "us": ("us", "µs", "microsecond", "microseconds"),
    "1/s": ("1/s", "s^-1", "s-1", "hz", "1/sec", "per second"),
    "mHz": ("mhz", "1/1000 s", "1/ks"),
    "1/ms": ("1/ms", "ms^-1", "ms-1", "khz", "1/msec", "per millisecond"),
    "arbitrary": ("arbitrary", "a.u.", "au", "arb", "arb.", "arbitrary units"),
    "percent": ("percent", "%", "pu", "p.u.", "percent units"),
}
_UNIT_IN_TEXT = (  # matched only if no number precedes: "20 ms" is a setting of the scan
    ("1/ms", r"1/ms(?:ec)?\b|ms\^?-1"),
    ("1/s", r"1/s(?:ec)?\b|\bs\^?-1|\bhz\b"),
    ("ms", r"\bms(?:ecs?)?\b|\bmilliseconds?\b"),
    ("s", r"\bsec(?:onds?|s)?\b|[\[(]s[\])]|\bunits?\s*[:=]?\s*s\b"),
)
_SPREAD = r"sd|std(?:ev|dev|err)?|sem|err(?:ors?)?|cov|var(?:iance)?|rmse|uncertainty"  # of a map
_UNITS_OF_MEDIANS = {  # (lower limit of the median, unit); the last entry with a limit below the median applies
    "T1map": ((0, "s"), (20, "ms"), (5e3, "0.1 ms"), (1e5, "us")),
    "T2map": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "T2starmap": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "R1map": ((0, "1/ms"), (0.05, "1/s"), (50, "mHz")),
    "R2map": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "R2starmap": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "TB1map": ((0, "arbitrary"), (70, "percent"), (130, "arbitrary")),  # above 130 possibly degrees
}
_LONG_T2 = 0.4  # s; longer than the T2 of tissue, so that a median above it suggests tenths of a ms
_CUT_OFF = (0.002, 0.5)  # range of the fraction of voxels with the largest value in a map that was clipped there
_COARSE = 10  # median of whole numbers below which a step of 1 is coarse
_CUT_ABOVE = 2  # lowest value of clipping in medians; only fluid is clipped


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Unit of the numbers in a file, a key of `UNIT_FACTORS` or None, and why."""

    name: str | None = None
    confidence: Confidence = "sure"
    reason: str = ""
    notices: tuple[str, ...] = ()


def find_unit(suffix: str | None, evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """Unit of the numbers in a file, a key of `UNIT_FACTORS`, and one sentence per assumption; see `judge_unit`."""
    unit = judge_unit(suffix, evidence)
    return unit.name, unit.notices


def judge_unit(suffix: str | None, evidence: Evidence) -> Unit:
    """Unit of the numbers in a file, with a confidence and the reason.

    Uses, in this order, a unit given by the user, the sidecar, the header text and the values of tissue. The unit
    is None if images with this BIDS suffix have none.
    """
    base = UNITS.get(suffix or "")
    if base is None or suffix is None:
        return Unit()
    if evidence.time_unit and base != "arbitrary":
        return Unit(name=_of_time(evidence.time_unit, base), reason=f"You gave the unit {evidence.time_unit}.")
    declared = parse_unit(evidence.sidecar.get("Units"))
    guessed = _unit_of_values(suffix, evidence.values)
    if suffix == "TB1map" and (declared in (None, "arbitrary") or is_in_degrees(evidence.sidecar)):
        return _transmit_unit(guessed, evidence)
    if declared and _measures(declared, base):
        return _told(declared, guessed, "sidecar", f"Its sidecar says Units {evidence.sidecar['Units']!r}.", ())
    ignored = f"The sidecar's Units {evidence.sidecar['Units']!r} do not fit a {suffix}." if declared else ""
    return _without_sidecar(suffix, base, guessed, evidence, ignored)


def _without_sidecar(suffix: str, base: str, guessed: str | None, evidence: Evidence, ignored: str) -> Unit:
    """Unit by the header, the user's default, or the values; `ignored` is a sentence on a unit that does not fit."""
    start = f"{ignored} ".lstrip()
    in_text = unit_in(evidence.header_text, base)
    if in_text:
        notice = f"{start}Unit {in_text} taken from the header text {evidence.header_text!r}."
        return _told(in_text, guessed, "header", f"Its header says {evidence.header_text!r}.", (notice,))
    if base == "arbitrary":
        return Unit(name=base, notices=(ignored,) if ignored else ())
    if evidence.default_unit:
        return Unit(name=_of_time(evidence.default_unit, base), reason=f"You gave the unit {evidence.default_unit}.")
    if guessed is None:
        notice = f"{start}No unit given: {base} assumed, the BIDS unit of a {suffix}."
        return Unit(name=base, confidence="likely", reason=notice, notices=(notice,))
    notice = f"{start}No unit given: {guessed} assumed from the size of the values. Change it if wrong."
    reason = f"The median over tissue is {median(evidence.values):.3g}, which is {suffix} in {guessed}."
    return Unit(
        name=guessed,
        confidence="likely",
        reason=reason,
        notices=(notice, *_long_t2(suffix, guessed, evidence.values)),
    )


def _transmit_unit(guessed: str | None, evidence: Evidence) -> Unit:
    """Unit of a B1+ map whose sidecar says nothing, arbitrary (as BIDS calls fractions and percent) or degrees."""
    if is_in_degrees(evidence.sidecar):
        notice = "The sidecar says degrees: divide them by the nominal flip angle before using it as B1+."
        return Unit(name="arbitrary", confidence="ask", reason=notice, notices=(notice,))
    if guessed is None:
        return Unit(name="arbitrary")
    notices = _transmit_notice(guessed, median(evidence.values))
    return Unit(name=guessed, confidence="likely", reason=notices[0], notices=notices)


def _told(unit: str, guessed: str | None, source: str, reason: str, notices: tuple[str, ...]) -> Unit:
    """Unit told by sidecar or header, doubted if the values of tissue have the size of another."""
    if guessed is None or guessed == unit:
        return Unit(name=unit, reason=reason, notices=notices)
    doubt = f"The {source} says {unit}, but the values look like {guessed}. Change it if wrong."
    return Unit(name=unit, confidence="ask", reason=f"{reason} {doubt}", notices=(*notices, doubt))


def _of_time(unit: str, base: str) -> str:
    return unit if base == "s" else f"1/{unit}"


def cut_off(suffix: str | None, values: FloatArray, unit: str | None) -> tuple[str, ...]:
    """Notice on a map that was clipped: many voxels share its largest value; empty for other maps.

    `values` are numbers of any shape in the file's `unit`.
    """
    sample = values.ravel()[:: max(1, values.size // 1_000_000)]
    sample = sample[np.isfinite(sample) & (sample > 0)]
    if not sample.size or MAP_UNITS.get(suffix or "") != "s":
        return ()
    top, (low, high) = sample.max(), _CUT_OFF
    fraction = float(np.mean(sample == top))
    if not low < fraction < high or top < _CUT_ABOVE * (median(values) or 0):
        return ()
    return (f"Cut off at {top:g} {unit}: {100 * fraction:.1f} % of its voxels have exactly this value, the largest.",)


def rounded(suffix: str | None, values: FloatArray, unit: str | None) -> tuple[str, ...]:
    """Notice on a map of times or rates that was stored in coarse whole numbers; empty for other maps.

    `values` are numbers of any shape in the file's `unit`.
    """
    if MAP_UNITS.get(suffix or "") not in ("s", "1/s"):
        return ()
    tissue = tissue_values(values)
    if not tissue.size or np.median(tissue) > _COARSE or np.ptp(tissue) == 0 or np.any(tissue % 1):
        return ()
    told = f"Its values in tissue are whole numbers around {np.median(tissue):g} {unit}, as if rounded when stored"
    return (f"{told}: save it with decimals, or in a smaller unit.",)


def parse_unit(text: object) -> str | None:
    """Key of `UNIT_FACTORS` for a unit as spelled in a sidecar; None if unknown."""
    wanted = str(text).strip().lower()
    return next((unit for unit, spellings in _SPELLINGS.items() if wanted in spellings), None)


def is_in_degrees(sidecar: Mapping[str, Any]) -> bool:
    """Whether the unit in a sidecar is degrees."""
    return re.search("deg|°", str(sidecar.get("Units", "")).lower()) is not None


def is_spread(suffix: str, text: str) -> bool:
    """Whether a text about a map with this suffix describes its uncertainty (SD, error, ...) instead of the map."""
    words = prepared(text)
    return suffix in MAP_UNITS and re.search(rf"(?<![a-z0-9])(?:{_SPREAD})(?![a-z0-9])", words) is not None


def _measures(unit: str, base: str) -> bool:
    return UNIT_FACTORS[unit][0] == base


def unit_in(text: str, base: str) -> str | None:
    """Unit in a text that measures the same quantity as `base` (s, 1/s or arbitrary); None if there is none."""
    named = (unit for unit, pattern in _UNIT_IN_TEXT if re.search(rf"(?<!\d)(?<!\d )(?:{pattern})", text.lower()))
    return next((unit for unit in named if _measures(unit, base)), None)


def _unit_of_values(suffix: str, values: FloatArray | None) -> str | None:
    """Unit in which the median over tissue is plausible for a map with this suffix; None if unknown."""
    middle = median(values) if suffix in _UNITS_OF_MEDIANS else None
    if middle is None:
        return None
    return next(unit for lowest, unit in reversed(_UNITS_OF_MEDIANS[suffix]) if middle > lowest)


def _long_t2(suffix: str, unit: str, values: FloatArray | None) -> tuple[str, ...]:
    """Notice on a T2 map in ms with values that suggest tenths of a ms."""
    middle = median(values)
    if suffix not in ("T2map", "T2starmap") or unit != "ms" or middle is None or middle < 1e3 * _LONG_T2:
        return ()
    return (
        f"Its median of {middle:.3g} ms is longer than that of tissue: if the file holds tenths of a ms, put "
        '"Units": "0.1 ms" into its sidecar.',
    )


def _transmit_notice(unit: str, middle: float | None) -> tuple[str, ...]:
    """Notice on how a B1+ map without a unit was read, given the size of its values."""
    if unit == "percent":
        return ("Read as percent of the nominal flip angle, by the size of the values; degrees would look the same.",)
    if middle and LIKELY_FIELDS[0] < middle < LIKELY_FIELDS[1]:
        return ("Read as a fraction of the nominal flip angle, by the size of the values.",)
    return (f"Left unchanged: its median of {middle or 0:.3g} fits neither fraction nor percent of the flip angle.",)


def with_kind(volume: Volume, suffix: str | None, file_unit: str | None = None) -> Volume:
    """Return a volume with the same stored numbers, interpreted as an image with another BIDS suffix or unit.

    `file_unit` is that of the stored numbers, a key of `UNIT_FACTORS`; by default the BIDS unit of the suffix.
    Raises ValueError if an image with this suffix cannot have the unit.
    """
    unit = UNITS.get(suffix or "")
    file_unit = file_unit or unit
    if unit is not None and (file_unit not in UNIT_FACTORS or UNIT_FACTORS[file_unit][0] != unit):
        fitting = ", ".join(name for name, (base, _) in UNIT_FACTORS.items() if base == unit)
        raise ValueError(f"a {suffix} cannot be in {file_unit!r}: choose one of {fitting}.")
    if unit is None:
        file_unit = None
    factor = _factor(file_unit) / _factor(volume.file_unit)
    data = volume.data if factor == 1 else volume.data * np.asarray(factor, dtype=volume.data.dtype)
    return replace(volume, data=data, suffix=suffix, unit=unit, file_unit=file_unit)


def in_file_unit(volume: Volume) -> FloatArray:
    """Data of a volume in the unit of its file."""
    factor = _factor(volume.file_unit)
    return volume.data if factor == 1 else volume.data / np.asarray(factor, dtype=volume.data.dtype)


def _factor(file_unit: str | None) -> float:
    """Factor that converts numbers in a file to the unit after reading."""
    return UNIT_FACTORS[file_unit][1] if file_unit else 1.0


def display_unit(volume: Volume) -> tuple[str | None, float]:
    """Unit in which a volume is displayed, and the factor from the unit of the volume."""
    return ("ms", 1e3) if volume.unit == "s" else (volume.unit, 1.0)
