"""Acquisition parameters in a sidecar: numbers in s and degrees, and names of the sequence.

Sidecars follow BIDS (s, degrees), repeat DICOM attributes (ms), or were typed by hand. If one time is impossible in s,
all times without a unit are taken as ms.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_swig_qmri.data.recognition.words import named_sequence, prepared
from napari_swig_qmri.data.wording import shortened

_NUMBERS = {  # BIDS key: other spellings in lower case without punctuation, DICOM tags last
    "EchoTime": ("te", "effectiveechotime", "00180081", "00189082"),
    "RepetitionTime": ("tr", "00180080"),
    "RepetitionTimeExcitation": (),
    "RepetitionTimePreparation": ("repetitiontimeinversion",),
    "InversionTime": ("ti", "inversiontimes", "00180082"),
    "SecondInversionTime": ("ti2", "inversiontime2"),
    "FlipAngle": ("fa", "flipangles", "00181314"),
    "EchoTrainLength": ("etl", "turbofactor", "00180091"),
    "EchoSpacing": ("esp",),
    "RefocusingFlipAngle": ("refocusingangle",),
    "NumberShots": ("partitions", "npartitions", "numberofpartitions"),
    "InversionEfficiency": (),
    "RefocusedRecovery": (),
}
_SWITCH = "RefocusedRecovery"  # the only setting that is true or false
_TEXTS = {
    "PulseSequenceType": (),
    "SequenceName": ("00180024",),
    "PulseSequenceName": ("00189005",),
    "InternalPulseSequenceName": (),
    "PulseSequenceDetails": (),
    "ProtocolName": ("00181030",),
    "SeriesDescription": ("0008103e",),
    "ScanningSequence": ("00180020",),
    "ImageType": ("00080008",),
}
_POSSIBLE = {  # s; range that scanners can play out
    "EchoTime": (5e-4, 2.0),
    "RepetitionTime": (2e-3, 60.0),
    "RepetitionTimeExcitation": (2e-3, 60.0),
    "RepetitionTimePreparation": (0.1, 60.0),
    "InversionTime": (0.01, 20.0),
    "SecondInversionTime": (0.01, 20.0),
    "EchoSpacing": (2e-3, 0.2),
}
_LONGEST_GRADIENT_ECHO = 0.2  # s

LONGEST_TEXT, LONGEST_NUMBER, LONGEST_LIST = 1000, 100, 1000  # characters and values that are looked at
_PAIRS = ("InversionTime", "FlipAngle", "NumberShots")  # keys that may have two values
_SHOTS = "NumberShots"  # before and after the centre of k-space; 0 before it is a centric order
_IN_HEADER = re.compile(r"(?<![A-Za-z])(TE|TR|TI|FA)\s*=\s*(\d+(?:\.\d+)?)\s*(ms|s|deg)?(?![A-Za-z])")
_CODES_IN_HEADER = re.compile(r"(?<![A-Za-z])(SE|GR|EP)((?:\\|/|_)IR)?(?![A-Za-z])")
_GRADIENT_ECHOES = ("mp2rage-uni", "mprage", "bssfp", "spgr")


@dataclass(frozen=True)
class _Number:
    value: float
    unit: str | None  # s, ms, or None if not stated


@dataclass(frozen=True, kw_only=True)
class SidecarValues:
    """Acquisition parameters of a sidecar."""

    numbers: Mapping[str, tuple[float, ...]]  # by BIDS key, in s and degrees
    names: str  # all texts that may name the sequence, lower case
    other_names: str  # file name and header text, lower case; they count after `names`
    codes: frozenset[str]  # DICOM scanning sequence: SE, IR, GR, EP; MP if prepared
    titles: frozenset[str]  # texts as written, lower case
    label: str  # name of the image in messages
    notices: tuple[str, ...]  # assumptions and ignored values, one sentence each

    def first(self, key: str) -> float | None:
        """First number under a BIDS key; None if there is none."""
        return self.numbers[key][0] if key in self.numbers else None


def parse_sidecar(sidecar: Mapping[str, Any], suffix: str | None, name: str = "", header: str = "") -> SidecarValues:
    """Extract acquisition parameters from a sidecar by BIDS key, DICOM keyword or DICOM tag.

    Case and punctuation of the keys are ignored. `suffix` is the BIDS suffix of the image, used in messages.
    The settings in the text of the `header` (``TE=3.3;TI=900``, in ms) fill gaps of the sidecar; it may also name the
    sequence, as may the `name` of the file.
    """
    in_header = settings_in(header[:LONGEST_TEXT])
    sidecar = {**{key: value for key, value in in_header.items() if not _has(sidecar, key)}, **sidecar}
    plain = {re.sub(r"[^a-z0-9]", "", str(key).lower()): value for key, value in sidecar.items()}
    texts = {key: text for key, names in _TEXTS.items() if (text := _text(plain, (key.lower(), *names)))}
    codes = frozenset(re.findall("SE|IR|GR|EP", texts.pop("ScanningSequence", "").upper()))
    if "MP" in re.findall("[A-Z]+", _text(plain, ("sequencevariant", "00180021")).upper()):
        codes |= {"MP"}
    is_uniform = "uni" in re.findall("[a-z]+", texts.pop("ImageType", ""))
    names = " ".join((*texts.values(), "unit1" if is_uniform else ""))
    names = re.sub(r"k.?space", "", names)  # SPACE is a turbo spin echo
    written = {key: _numbers(plain, key, others) for key, others in _NUMBERS.items()}
    gradient = "GR" in codes or named_sequence(names) in _GRADIENT_ECHOES
    numbers, notices = _in_seconds({key: values for key, values in written.items() if values}, gradient)
    from_header = [f"{key} {sidecar[key]}" for key in in_header if sidecar[key] == in_header[key]]
    unread = [key for key in written if plain.get(key.lower()) and not written[key]]
    several = [key for key in written if key not in _PAIRS and len(written[key]) > 1]
    return SidecarValues(
        numbers=numbers,
        names=names,
        other_names=prepared(f"{name} {header}"[:LONGEST_TEXT], with_acquisition=True),
        codes=codes,
        titles=frozenset(texts.values()),
        label=suffix or "this image",
        notices=(
            *notices,
            *([f"{', '.join(from_header)} taken from the header's text."] if from_header else []),
            *(f"{key} has {len(written[key])} values, of which the first was used." for key in several),
            *(
                f"{key} {shortened(repr(plain[key.lower()]), 80)} is not a positive number and was ignored."
                for key in unread
            ),
        ),
    )


def settings_in(text: str) -> dict[str, Any]:
    """Settings in the text of a header, such as ``TE=3.3;TI=900`` or ``GR_IR TR=2300ms``, by BIDS key, with units."""
    keys = {"TE": "EchoTime", "TR": "RepetitionTime", "TI": "InversionTime", "FA": "FlipAngle"}
    found: dict[str, Any] = {}
    for name, number, unit in _IN_HEADER.findall(text):
        if float(number) > 0:
            found.setdefault(keys[name], float(number) if name == "FA" else f"{number} {unit or 'ms'}")
    codes = _CODES_IN_HEADER.search(text) if found else None
    if codes:
        found["ScanningSequence"] = [codes[1], "IR"] if codes[2] else codes[1]
    return found


def _has(sidecar: Mapping[str, Any], key: str) -> bool:
    spellings = {key.lower(), *_NUMBERS.get(key, ()), *_TEXTS.get(key, ())}
    spellings |= {f"{each}ms" for each in spellings}
    return any(re.sub(r"[^a-z0-9]", "", str(each).lower()) in spellings for each in sidecar)


def _text(plain: Mapping[str, Any], names: Sequence[str]) -> str:
    """First text under one of `names` in lower case; items of a list are joined by blanks."""
    for name in names:
        value = plain.get(name)
        value = value.get("Value") if isinstance(value, Mapping) else value
        if value:
            items = value if isinstance(value, (list, tuple)) else (value,)
            return " ".join(map(str, items)).lower()[:LONGEST_TEXT]
    return ""


def _numbers(plain: Mapping[str, Any], key: str, others: Sequence[str]) -> tuple[_Number, ...]:
    """Positive numbers under any spelling of a key; DICOM tags and keys that end in ms are in ms."""
    for name in (key.lower(), *others):
        for spelling, unit in ((name, "ms" if name[0].isdigit() else None), (f"{name}ms", "ms")):
            value = plain.get(spelling)
            value = 1 if value is True and key == _SWITCH else value
            parsed = _parse(value, unit)
            is_pair = key == _SHOTS and len(parsed) == 2
            positive = tuple(each for each in parsed if 0 < each.value < math.inf or (is_pair and each.value == 0))
            if any(each.value for each in positive):
                return positive
    return ()


def _shown(value: Any) -> str:
    return shortened(repr(value), LONGEST_NUMBER)


def _parse(value: Any, unit: str | None) -> tuple[_Number, ...]:
    """Numbers in a JSON value: a number, a text with or without a unit, or a list of these."""
    value = value.get("Value") if isinstance(value, Mapping) else value
    if isinstance(value, (list, tuple)):
        plain = (item for item in value[:LONGEST_LIST] if not isinstance(item, (list, tuple, Mapping)))
        return tuple(number for item in plain for number in _parse(item, unit))
    if isinstance(value, str):
        text = re.sub(r"^(\d+),(\d+)(?=\s*[a-z]*$)", r"\1.\2", value.strip().lower()[:LONGEST_NUMBER])
        written = re.search(r"(?<![a-z])(ms|s)(?:ec)?(?:onds)?\b", re.sub(r"milliseconds?", "ms", text))
        unit = written.group(1) if written else unit
        return tuple(_Number(float(each), unit) for each in re.findall(r"-?\d*\.?\d+(?:e[-+]?\d+)?", text))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return (_Number(float(value), unit),)
    return ()


def _in_seconds(
    written: Mapping[str, tuple[_Number, ...]], gradient: bool
) -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
    """Numbers with times in s; if a time without unit is impossible in s, times without unit are taken as ms."""
    limits = dict(_POSSIBLE)
    if gradient:
        limits["EchoTime"] = (limits["EchoTime"][0], _LONGEST_GRADIENT_ECHO)
    in_ms = any(n.unit is None and n.value > limits[key][1] for key in limits for n in written.get(key, ()))
    numbers: dict[str, tuple[float, ...]] = {}
    converted = []
    for key, entries in written.items():
        values = [each.value for each in entries]
        if key in limits:
            low, high = limits[key]
            if key.startswith("RepetitionTime"):
                low = max(low, *numbers.get("EchoTime", (0.0,)))
            guessed = [n.unit is None and in_ms and low <= n.value / 1000 <= high for n in entries]
            converted += [f"{key} {n.value:g}" for n, guess in zip(entries, guessed, strict=True) if guess]
            values = [
                n.value / 1000 if guess or n.unit == "ms" else n.value
                for n, guess in zip(entries, guessed, strict=True)
            ]
        numbers[key] = tuple(values)
    if not converted:
        return numbers, ()
    return numbers, (f"{', '.join(converted)}: read as ms, because no scanner can play them out in s.",)
