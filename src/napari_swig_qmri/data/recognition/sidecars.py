"""Conversion of acquisition sidecars to signal models and back.

Every assumption about a setting is reported in one sentence. The angle of refocusing pulses has no key in BIDS and no
attribute in DICOM; it is stored in degrees under RefocusingFlipAngle. FlipAngle of a spin echo is the angle of the
excitation and is not used for it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from napari_swig_qmri.data.recognition.sidecar_values import SidecarValues, named_sequence, parse_sidecar
from napari_swig_qmri.physics.sequence import Contrast, ms
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    Mp2rageUni,
    SignalModel,
    Stir,
    T2Flair,
    nulling_inversion_time,
)
from napari_swig_qmri.physics.user_equation import UserEquation, mentioned_settings

REMEDY = "give sequence, TR and TE (and TI) in the image's sidecar (JSON)"
SHORTEST_SPACING = 1e-3  # s, of the echoes of a train
_LONGEST_STIR = 0.4  # s; TI between those that null fat and those that null fluid
_LONGEST_READOUT = 0.1  # s; longest TR of a spoiled train of read-outs

_SUFFIXES = {  # BIDS suffix in lower case -> usual sequence
    "flair": "t2-flair",
    "unit1": "mp2rage-uni",
    "mp2rage": "mp2rage-uni",
    "t2w": "tse",
    "pdw": "tse",
    "pdt2": "tse",
    "inplanet2": "tse",
    "t2starw": "spgr",
    "vfa": "spgr",
    "megre": "spgr",
    "mese": "spin-echo",
    "irt1": "ir-se",
}
_KEYS = {  # field of a sequence: its BIDS keys, the preferred one first
    "echo_time": ("EchoTime",),
    "repetition_time": ("RepetitionTimePreparation", "RepetitionTime", "RepetitionTimeExcitation"),
    "inversion_time": ("InversionTime",),
    "second_inversion_time": ("SecondInversionTime",),
    "flip_angle": ("FlipAngle",),
    "second_flip_angle": ("SecondFlipAngle",),
    "echo_train_length": ("EchoTrainLength",),
    "echo_spacing": ("EchoSpacing",),
    "refocusing_angle": ("RefocusingFlipAngle",),
    "n_partitions": ("NumberShots",),
    "inversion_efficiency": ("InversionEfficiency",),
    "refocused_recovery": ("RefocusedRecovery",),
}
IDEAL = (  # settings whose defaults are assumed without a notice
    "centre_fraction",
    "inversion_efficiency",
    "refocused_recovery",
    "refocusing_angle",
)
_NULLED = {T2Flair: 4.163, Stir: 0.37}  # T1 in s of the tissue that a sequence nulls: fluid and fat


def from_sidecar(sidecar: Mapping[str, Any], suffix: str | None) -> tuple[SignalModel | None, tuple[str, ...]]:
    """Return the signal model described by a sidecar, and the assumptions made.

    Parameters
    ----------
    sidecar
        Metadata by BIDS key, DICOM keyword or DICOM tag; numbers may be text ("90 ms") or lists.
    suffix
        BIDS suffix of the image (T1w, T2w, FLAIR, ...), if known.

    Returns
    -------
    model
        Signal model; None if the kind of sequence is unknown or its settings exclude each other.
    notices
        One sentence on each assumption, conversion or error.
    """
    parsed = parse_sidecar(sidecar, suffix)
    if "SignalEquation" in sidecar:
        return None, (*parsed.notices, f"{parsed.label} was computed with a user equation: {REMEDY}.")
    name, notice = _choose(parsed, (suffix or "").lower())
    notices = (*parsed.notices, *notice)
    if name is None:
        return None, notices
    settings = _settings(parsed, name)
    assumed = _assumptions(SEQUENCES[name], settings)
    if assumed:
        notices = (*notices, _assumption_sentence(assumed, parsed.label))
    try:
        return SEQUENCES[name](**settings, **assumed), notices
    except ValueError as error:
        return None, (*notices, f"The settings of {parsed.label} exclude each other: {error}")


def completed(kind: type[SignalModel], settings: Mapping[str, Any]) -> tuple[SignalModel, dict[str, Any]]:
    """Return a sequence with `settings` (s, rad) and usual values of those that are missing, and the latter by name.

    ValueError if the settings exclude each other.
    """
    assumed = _assumptions(kind, settings)
    return kind(**settings, **assumed), assumed


def to_sidecar(model: Contrast) -> dict[str, Any]:
    """Return the BIDS metadata of a sequence (s, degrees), from which `from_sidecar` creates an equal model.

    The sidecar of a user equation holds its text as ``SignalEquation`` and the settings that it mentions.
    """
    if isinstance(model, UserEquation):
        return _equation_to_sidecar(model)
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    sidecar: dict[str, Any] = {"PulseSequenceType": model.title, "ScanningSequence": _codes_of(model)}
    for name, value in values.items():
        if name in _KEYS and name not in IDEAL and not name.startswith("second_"):
            sidecar[_KEYS[name][0]] = round(math.degrees(value), 9) if name == "flip_angle" else value
    sidecar["RepetitionTime"] = sidecar.pop("RepetitionTimePreparation")
    for name, key in (("second_inversion_time", "InversionTime"), ("second_flip_angle", "FlipAngle")):
        if name in values:
            second = values[name] if key == "InversionTime" else round(math.degrees(values[name]), 9)
            sidecar[key] = [sidecar[key], second]
    if "n_partitions" in values:
        sidecar["RepetitionTimePreparation"] = sidecar["RepetitionTime"]
        sidecar["RepetitionTimeExcitation"] = sidecar.pop("EchoSpacing")
        before = int(values["n_partitions"] * values["centre_fraction"] + 1e-9)
        sidecar["NumberShots"] = [before, values["n_partitions"] - before]
    if values.get("inversion_efficiency", 1.0) != 1.0:
        sidecar["InversionEfficiency"] = values["inversion_efficiency"]
    if values.get("refocusing_angle", math.pi) != math.pi:
        sidecar["RefocusingFlipAngle"] = round(math.degrees(values["refocusing_angle"]), 9)
    if values.get("refocused_recovery"):
        sidecar["RefocusedRecovery"] = True
    return sidecar


def _equation_to_sidecar(equation: UserEquation) -> dict[str, Any]:
    sidecar: dict[str, Any] = {"PulseSequenceType": equation.title, "SignalEquation": equation.text}
    for field in mentioned_settings(equation.text):
        value = getattr(equation, field.name)
        key = "RepetitionTime" if field.name == "repetition_time" else _KEYS[field.name][0]
        sidecar[key] = round(math.degrees(value), 9) if field.name == "flip_angle" else value
    return sidecar


def _codes_of(model: Contrast) -> str | list[str]:
    echo = "GR" if hasattr(model, "flip_angle") else "SE"
    return [echo, "IR"] if hasattr(model, "inversion_time") else echo


def _choose(parsed: SidecarValues, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """Key in `SEQUENCES` from the name of the sequence, else its DICOM codes, else suffix and times; and notices."""
    for name, sequence in SEQUENCES.items():
        if sequence.title.lower() in parsed.titles or name in parsed.titles:
            return name, ()
    named = named_sequence(parsed.names)
    has_inversion = "IR" in parsed.codes or "InversionTime" in parsed.numbers
    if named == "mp2rage-uni" or suffix == "mp2rage":
        return _uniform_image(parsed, suffix)
    if named == "spgr" or (named is None and "GR" in parsed.codes):
        return "mprage" if has_inversion else "spgr", ()
    if named is None and parsed.codes & {"SE", "IR"}:
        named = "spin-echo"
    if named is None:
        return _by_suffix(parsed, suffix)
    return (_refined(parsed, named, suffix) if named in ("spin-echo", "tse", "ir-se", "t2-flair") else named), ()


def _uniform_image(parsed: SidecarValues, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """Key of MP2RAGE UNI; None with a notice if the image is that of one inversion, which has no signal model."""
    if suffix != "mp2rage" or "unit1" in parsed.names or len(parsed.numbers.get("InversionTime", ())) == 2:
        return "mp2rage-uni", ()
    return None, (
        f"{parsed.label} is the image of one MP2RAGE inversion, for which there is no signal model: "
        "use the uniform image (UNIT1) instead.",
    )


def _refined(parsed: SidecarValues, named: str, suffix: str) -> str:
    """Key of a spin-echo sequence, given whether it has an inversion and an echo train."""
    inversion_time = parsed.first("InversionTime")
    is_inverted = named in ("ir-se", "t2-flair") or suffix == "flair" or "IR" in parsed.codes or inversion_time
    has_train = named in ("tse", "t2-flair") or suffix == "flair" or (parsed.first("EchoTrainLength") or 1) > 1
    if not is_inverted:
        return "tse" if has_train else "spin-echo"
    if not has_train:
        return "ir-se"
    is_short = inversion_time is not None and inversion_time < _LONGEST_STIR
    return "stir" if is_short and suffix != "flair" else "t2-flair"


def _by_suffix(parsed: SidecarValues, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """Key of the usual sequence for a suffix and the known times, with a notice."""
    repetition_time, inversion_time = parsed.first("RepetitionTime"), parsed.first("InversionTime")
    preparation = parsed.first("RepetitionTimePreparation")
    known = repetition_time or preparation or parsed.first("RepetitionTimeExcitation")
    if suffix in _SUFFIXES:
        name = _SUFFIXES[suffix]
        name = _refined(parsed, name, suffix) if inversion_time and name in ("tse", "spin-echo") else name
    elif suffix not in ("t1w", "inplanet1") and not (known and parsed.first("EchoTime")):
        return None, (
            f"The sequence of {parsed.label} is unknown, because its sidecar has neither its name nor TR and TE: "
            f"{REMEDY}.",
        )
    elif inversion_time or preparation:
        name = "mprage" if suffix in ("t1w", "inplanet1") else _refined(parsed, "ir-se", suffix)
    elif known and known < _LONGEST_READOUT:
        name = "spgr"
    else:
        name = "mprage" if known and known >= 1.5 and suffix == "t1w" else "spin-echo"
    if name in ("t2-flair", "mp2rage-uni"):
        return name, ()
    title = SEQUENCES[name].title
    return name, (f"The sequence of {parsed.label} is not named: {title} was assumed; if wrong, {REMEDY}.",)


def _settings(parsed: SidecarValues, name: str) -> dict[str, Any]:
    """Settings of a sequence in the sidecar, by field name, in s and rad."""
    numbers = _spread(parsed.numbers, name)
    settings: dict[str, Any] = {}
    for field in fields(SEQUENCES[name]):
        given = next((numbers[key] for key in _KEYS.get(field.name, ()) if key in numbers), None)
        if given is not None:
            value = math.radians(given[0]) if field.metadata["unit"] == "rad" else given[0]
            settings[field.name] = round(value) if field.type == "int" else value
    if "n_partitions" in settings:
        _split_shots(numbers["NumberShots"], settings)
    if "refocused_recovery" in settings:
        settings["refocused_recovery"] = bool(settings["refocused_recovery"])
    return settings


def _spread(given: Mapping[str, tuple[float, ...]], name: str) -> dict[str, tuple[float, ...]]:
    """Numbers under the keys in `_KEYS`: pairs are split, and a short TR of a read-out train becomes its spacing."""
    numbers = dict(given)
    for key in ("InversionTime", "FlipAngle"):
        if len(numbers.get(key, ())) > 1:
            numbers[f"Second{key}"] = numbers[key][1:]
    if name in ("mprage", "mp2rage-uni"):
        spacing = numbers.pop("RepetitionTimeExcitation", None)
        if numbers.get("RepetitionTime", (math.inf,))[0] < _LONGEST_READOUT:
            spacing = numbers.pop("RepetitionTime") if spacing is None else spacing
            numbers.pop("RepetitionTime", None)
        if spacing is not None:
            numbers["EchoSpacing"] = spacing
    elif name in ("spgr", "bssfp") and "RepetitionTimeExcitation" in numbers:
        numbers["RepetitionTimePreparation"] = numbers["RepetitionTimeExcitation"]
    return numbers


def _split_shots(shots: Sequence[float], settings: dict[str, Any]) -> None:
    """Set number and centre of read-outs from a BIDS NumberShots of two values, those before and after the centre."""
    if len(shots) != 2:
        return
    before, n = round(shots[0]), round(sum(shots))
    settings["n_partitions"] = n
    settings["centre_fraction"] = 0.5 if before == n // 2 else before / n


def _assumptions(sequence: type[SignalModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Usual values of the missing settings, adapted to fit the known ones."""
    assumed: dict[str, Any] = {}
    for field in fields(sequence):
        if field.name not in settings and field.name not in IDEAL:
            assumed[field.name] = sequence.typical.get(field.name, field.default)
    known = {**assumed, **settings}
    if "echo_train_length" in known:
        assumed |= fitted_train(known, assumed)
    if "inversion_time" in assumed and sequence in _NULLED:
        assumed["inversion_time"] = _nulling(_NULLED[sequence], {**known, **assumed})
    if "n_partitions" in assumed:
        assumed["n_partitions"] = _fitting_block(sequence, known)
    return assumed


def fitted_train(settings: Mapping[str, Any], assumed: Collection[str]) -> dict[str, Any]:
    """Values of settings among `assumed` with which the echo train reaches TE; long trains get short spacings.

    `settings` holds echo_time and echo_spacing in s, and echo_train_length.
    """
    echo_time, n, spacing = (settings[name] for name in ("echo_time", "echo_train_length", "echo_spacing"))
    if "echo_train_length" in assumed:
        return {"echo_train_length": max(n, math.ceil(echo_time / max(spacing, SHORTEST_SPACING) - 1e-9))}
    if "echo_spacing" in assumed:
        return {"echo_spacing": max(spacing if n < 64 else 0.004, echo_time / max(n, 1))}
    return {}


def _nulling(t1: float, known: Mapping[str, Any]) -> float:
    """Inversion time in s that nulls `t1` (s), rounded to ms."""
    train = known["echo_train_length"] * known["echo_spacing"]
    return round(nulling_inversion_time(t1, repetition_time=known["repetition_time"], train_duration=train), 3)


def _fitting_block(sequence: type[SignalModel], known: Mapping[str, Any]) -> int:
    """Usual number of read-outs, or the largest even number that fits between inversion, blocks and TR."""
    last = known["inversion_time"]
    durations = [2 * known["inversion_time"]]
    if sequence is Mp2rageUni:
        last = known["second_inversion_time"]
        durations.append(last - known["inversion_time"])
    durations.append(2 * (known["repetition_time"] - last))
    fitting = int(min(durations) / known["echo_spacing"] + 1e-9) // 2 * 2
    return max(2, min(int(known["n_partitions"]), fitting))


def _assumption_sentence(assumed: Mapping[str, Any], label: str) -> str:
    shown = []
    for name, value in assumed.items():
        key = "RepetitionTime" if name == "repetition_time" else _KEYS[name][0]
        if name.endswith("flip_angle"):
            shown.append(f"{key} ({math.degrees(value):g} degrees)")
        else:
            shown.append(f"{key} ({value if isinstance(value, int) else ms(value)})")
    are, were = ("are", "were") if len(shown) > 1 else ("is", "was")
    return f"{', '.join(shown)} {are} missing from {label} and {were} assumed; if wrong, {REMEDY}."


def field_strength_of(*sidecars: Mapping[str, Any]) -> float | None:
    """Field strength in T; None if no sidecar has one or they differ."""
    strengths = set()
    for sidecar in sidecars:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            strengths.add(float(sidecar["MagneticFieldStrength"]))
    return strengths.pop() if len(strengths) == 1 else None
