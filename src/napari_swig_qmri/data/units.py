"""Units of maps and images: which a file uses, and what its numbers are multiplied by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.evidence import without_labels
from napari_swig_qmri.data.volumes import Volume

if TYPE_CHECKING:
    from napari_swig_qmri.data.evidence import Evidence
    from napari_swig_qmri.data.volumes import FloatArray

MAP_UNITS = {  # suffix of a map -> unit of its numbers once read
    "T1map": "s",
    "T2map": "s",
    "T2starmap": "s",
    "R1map": "1/s",
    "R2map": "1/s",
    "R2starmap": "1/s",
    "PDmap": "arbitrary",
    "S0map": "arbitrary",
    "M0map": "arbitrary",
    "TB1map": "arbitrary",  # of the nominal flip angle
}
RESIDUAL_UNITS = {"PDresidual": "arbitrary", "T1residual": "s", "T2residual": "s"}
UNITS = MAP_UNITS | RESIDUAL_UNITS
LIKELY_FIELDS = (0.3, 1.8)  # median of B1+ in a head, as a fraction of the nominal one
UNIT_FACTORS = {  # unit in a file -> (unit once read, factor)
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
    "percent": ("percent", "%", "pu"),
}
_UNIT_IN_TEXT = (  # not after a number, which is a setting of the scan
    ("1/ms", r"1/ms(?:ec)?\b|ms\^?-1"),
    ("1/s", r"1/s(?:ec)?\b|\bs\^?-1|\bhz\b"),
    ("ms", r"\bms(?:ecs?)?\b|\bmilliseconds?\b"),
    ("s", r"\bsec(?:onds?|s)?\b|[\[(]s[\])]|\bunits?\s*[:=]?\s*s\b"),
)
_SPREAD = r"sd|std(?:ev|dev|err)?|sem|err(?:ors?)?|cov|var(?:iance)?|rmse|uncertainty"  # of a map, not the map
_UNITS_OF_MEDIANS = {  # unit of a map by its median: that of the last number that lies below it
    "T1map": ((0, "s"), (20, "ms"), (5e3, "0.1 ms"), (1e5, "us")),
    "T2map": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "T2starmap": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "R1map": ((0, "1/ms"), (0.05, "1/s"), (50, "mHz")),
    "R2map": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "R2starmap": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "TB1map": ((0, "arbitrary"), (70, "percent"), (130, "arbitrary")),  # else it may be degrees
}
_LONG_T2 = 0.4  # s; tissue is below it, and above it in ms is what is stored in tenths of a ms
_CUT_OFF = (0.002, 0.5)  # share of voxels with the largest value from which, and to which, a map was cut off there
_CUT_ABOVE = 2  # medians; what is cut off is fluid


def find_unit(suffix: str | None, evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """Unit of the numbers in a file (a key of `UNIT_FACTORS`; None if it has none) and what was assumed."""
    base = UNITS.get(suffix or "")
    if base is None:
        return None, ()
    if evidence.time_unit and base != "arbitrary":
        return evidence.time_unit if base == "s" else f"1/{evidence.time_unit}", ()
    declared = parse_unit(evidence.sidecar.get("Units"))
    guessed = _unit_of_values(suffix or "", evidence.values)
    if suffix == "TB1map" and is_in_degrees(evidence.sidecar):
        return base, ("The sidecar says degrees: divide them by the nominal flip angle before using it as B1+.",)
    if suffix == "TB1map" and declared in (None, "arbitrary") and guessed:  # BIDS calls fractions and percent arbitrary
        return guessed, _told_of_transmit(guessed, _median(evidence.values))
    if declared and _measures(declared, base):
        return declared, _doubt("sidecar", declared, guessed)
    ignored = f"The sidecar's Units {evidence.sidecar['Units']!r} do not fit a {suffix}. " if declared else ""
    in_text = unit_in(evidence.header_text, base)
    if in_text:
        told = f"{ignored}Unit {in_text} taken from the header text {evidence.header_text!r}."
        return in_text, (told, *_doubt("header", in_text, guessed))
    if base == "arbitrary":
        return base, (ignored.strip(),) if ignored else ()
    if evidence.default_unit:
        return evidence.default_unit if base == "s" else f"1/{evidence.default_unit}", ()
    if guessed is None:
        return base, (f"{ignored}No unit given: {base} assumed, as BIDS asks of a {suffix}.",)
    told = f"{ignored}No unit given: {guessed} assumed from the size of the values. Change it if wrong."
    return guessed, (told, *_long_t2(suffix or "", guessed, evidence.values))


def cut_off(suffix: str | None, values: FloatArray, unit: str | None) -> tuple[str, ...]:
    """A sentence where many voxels of a map share its largest value, to which longer times were cut."""
    sample = _positive_sample(values)
    if not sample.size or MAP_UNITS.get(suffix or "") != "s":
        return ()
    top, (low, high) = sample.max(), _CUT_OFF
    share = float(np.mean(sample == top))
    if not low < share < high or top < _CUT_ABOVE * np.median(sample):
        return ()
    return (f"Cut off at {top:g} {unit}: {100 * share:.1f} % of its voxels have just this value, the largest.",)


def parse_unit(text: object) -> str | None:
    """Key of `UNIT_FACTORS` that a unit in a sidecar means, None if unknown."""
    wanted = str(text).strip().lower()
    return next((unit for unit, spellings in _SPELLINGS.items() if wanted in spellings), None)


def is_in_degrees(sidecar: Mapping[str, Any]) -> bool:
    """Whether a sidecar says that the numbers are angles in degrees."""
    return re.search("deg|°", str(sidecar.get("Units", "")).lower()) is not None


def is_spread(suffix: str, text: str) -> bool:
    """Whether a text that tells of a map says that its numbers are the map's spread or error."""
    words = without_labels(text.lower())
    return suffix in MAP_UNITS and re.search(rf"(?<![a-z0-9])(?:{_SPREAD})(?![a-z0-9])", words) is not None


def _measures(unit: str, base: str) -> bool:
    return UNIT_FACTORS[unit][0] == base


def unit_in(text: str, base: str) -> str | None:
    """Unit of the kind `base` that a text names, None if it names none."""
    found = (unit for unit, pattern in _UNIT_IN_TEXT if re.search(rf"(?<!\d)(?<!\d )(?:{pattern})", text.lower()))
    return next((unit for unit in found if _measures(unit, base)), None)


def _unit_of_values(suffix: str, values: FloatArray | None) -> str | None:
    """Unit that makes the median of the positive values a possible relaxation time, rate or transmit field."""
    median = _median(values) if suffix in _UNITS_OF_MEDIANS else None
    if median is None:
        return None
    return next(unit for lowest, unit in reversed(_UNITS_OF_MEDIANS[suffix]) if median > lowest)


def _median(values: FloatArray | None) -> float | None:
    """Median of the positive values, None where there are none."""
    sample = _positive_sample(values) if values is not None else np.empty(0)
    return float(np.median(sample)) if sample.size else None


def _positive_sample(values: FloatArray) -> FloatArray:
    sample = values.ravel()[:: max(1, values.size // 1_000_000)]
    positive: FloatArray = sample[np.isfinite(sample) & (sample > 0)]
    return positive


def _long_t2(suffix: str, unit: str, values: FloatArray | None) -> tuple[str, ...]:
    """Doubt about a T2 in ms that no tissue has, but in tenths of a ms would."""
    median = _median(values)
    if suffix not in ("T2map", "T2starmap") or unit != "ms" or median is None or median < 1e3 * _LONG_T2:
        return ()
    median_told = f"Its median of {median:.3g} ms is longer than that of tissue"
    return (f'{median_told}: if the file holds tenths of a ms, put "Units": "0.1 ms" into its sidecar.',)


def _told_of_transmit(unit: str, median: float | None) -> tuple[str, ...]:
    """What a map of B1+ without a unit was taken as, by the size of its values."""
    if unit == "percent":
        return ("Read as percent of the nominal flip angle, by the size of the values; degrees would look alike.",)
    if median and LIKELY_FIELDS[0] < median < LIKELY_FIELDS[1]:
        return ("Read as a fraction of the nominal flip angle, by the size of the values.",)
    return (f"Left as it is: its median of {median or 0:.3g} tells no fraction or percent of the nominal flip angle.",)


def _doubt(source: str, declared: str, guessed: str | None) -> tuple[str, ...]:
    if guessed is None or guessed == declared:
        return ()
    return (f"The {source} says {declared}, but the values look like {guessed}. Change it if wrong.",)


def with_kind(volume: Volume, suffix: str | None, file_unit: str | None = None) -> Volume:
    """The same stored numbers read as another kind of image, given in `file_unit` (None: the BIDS unit)."""
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
    """The numbers of a volume as its file has them."""
    factor = _factor(volume.file_unit)
    return volume.data if factor == 1 else volume.data / np.asarray(factor, dtype=volume.data.dtype)


def _factor(file_unit: str | None) -> float:
    """What a number in a file is multiplied by when it is read."""
    return UNIT_FACTORS[file_unit][1] if file_unit else 1.0


def display_unit(volume: Volume) -> tuple[str | None, float]:
    """Unit in which a volume is shown, and the factor from the volume's own unit."""
    return ("ms", 1e3) if volume.unit == "s" else (volume.unit, 1.0)
