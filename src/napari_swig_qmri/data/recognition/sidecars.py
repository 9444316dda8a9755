"""Conversion of acquisition sidecars to signal models and back.

Every assumption about a setting is reported in one sentence. The angle of refocusing pulses has no key in BIDS and no
attribute in DICOM; it is stored in degrees under RefocusingFlipAngle. FlipAngle of a spin echo is the angle of the
excitation and is not used for it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from napari_swig_qmri.data.recognition.assumptions import IDEAL, assumptions, fitting
from napari_swig_qmri.data.recognition.sidecar_values import SidecarValues, parse_sidecar
from napari_swig_qmri.data.recognition.words import named_sequence
from napari_swig_qmri.physics.sequence import Contrast, ms
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    SignalModel,
)
from napari_swig_qmri.physics.user_equation import UserEquation, mentioned_settings

REMEDY = "give its `sequence`, or sequence, TR and TE (and TI) in the image's sidecar (JSON)"
_LONGEST_STIR = 0.4  # s; TI between those that null fat and those that null fluid
_SHORTEST_SPIN_ECHO = 0.006  # s; shorter TE are those of gradient echoes
_LONGEST_READOUT = 0.1  # s; longest TR of a spoiled train of read-outs

_SUFFIXES = {  # BIDS suffix in lower case -> usual sequence
    "flair": "t2-flair",
    "stir": "stir",
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


def from_sidecar(
    sidecar: Mapping[str, Any], suffix: str | None, name: str = "", header: str = "", *, is_3d: bool = False
) -> tuple[SignalModel | None, tuple[str, ...]]:
    """Return the signal model described by a sidecar, and the assumptions made.

    Parameters
    ----------
    sidecar
        Metadata by BIDS key, DICOM keyword or DICOM tag; numbers may be text ("90 ms") or lists.
    suffix
        BIDS suffix of the image (T1w, T2w, FLAIR, ...), if known.
    name, header
        File name and text of the header, which count where the sidecar says nothing.
    is_3d
        Whether the voxels are nearly cubes, as those of 3D acquisitions.

    Returns
    -------
    model
        Signal model; None if the kind of sequence is unknown or its settings exclude each other.
    notices
        One sentence on each assumption, conversion or error.
    """
    parsed = parse_sidecar(sidecar, suffix, name, header)
    if "SignalEquation" in sidecar:
        return None, (*parsed.notices, f"{parsed.label} was computed with a user equation: {REMEDY}.")
    choice = _choose(parsed, (suffix or "").lower(), is_3d)
    notices = (*parsed.notices, *choice.notices)
    if choice.name is None:
        return None, notices
    settings = _settings(parsed, choice.name)
    assumed = assumptions(SEQUENCES[choice.name], settings)
    try:
        model, assumed = fitting(SEQUENCES[choice.name], settings, assumed)
    except ValueError as error:
        said = (_assumption_sentence(assumed, parsed),) if assumed else ()
        return None, (*notices, *said, f"The settings of {parsed.label} exclude each other: {error}")
    return model, (*notices, _assumption_sentence(assumed, parsed)) if assumed else notices


def sequence_in(
    sidecar: Mapping[str, Any], suffix: str | None, name: str = "", header: str = ""
) -> tuple[str | None, tuple[str, ...]]:
    """Key in `SEQUENCES` of the sequence of an image, and one sentence on how it was found.

    None if it is open: an image without a word on its sequence. Arguments as of `from_sidecar`.
    """
    parsed = parse_sidecar(sidecar, suffix, name, header)
    choice = _choose(parsed, (suffix or "").lower(), is_3d=False)
    if "SignalEquation" in sidecar or choice.name is None:
        return None, choice.notices
    if choice.is_open:
        return None, (f"Its sequence is open: nothing names it. {_capital(REMEDY)}.",)
    return choice.name, (f"{SEQUENCES[choice.name].title}, by {choice.source}.",)


def completed(kind: type[SignalModel], settings: Mapping[str, Any]) -> tuple[SignalModel, dict[str, Any]]:
    """Return a sequence with `settings` (s, rad) and fitting usual values of the missing ones, and the latter by name.

    ValueError if the settings exclude each other.
    """
    return fitting(kind, settings, assumptions(kind, settings))


def bids_key(setting: str) -> str:
    """Return the key in a sidecar of a setting, a field of a sequence."""
    return "RepetitionTime" if setting == "repetition_time" else _KEYS[setting][0]


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
        key = bids_key(field.name)
        sidecar[key] = round(math.degrees(value), 9) if field.name == "flip_angle" else value
    return sidecar


def _codes_of(model: Contrast) -> str | list[str]:
    echo = "GR" if hasattr(model, "flip_angle") else "SE"
    return [echo, "IR"] if hasattr(model, "inversion_time") else echo


@dataclass(frozen=True, kw_only=True)
class _Choice:
    name: str | None  # key in `SEQUENCES`
    source: str = "the sidecar"  # what named it
    notices: tuple[str, ...] = ()
    is_open: bool = False  # whether another sequence is as probable


def _choose(parsed: SidecarValues, suffix: str, is_3d: bool) -> _Choice:
    """Sequence from its name, else its DICOM codes, else the file name, else suffix and times."""
    for name, sequence in SEQUENCES.items():
        if sequence.title.lower() in parsed.titles or name in parsed.titles:
            return _Choice(name=name)
    named = named_sequence(parsed.names)
    source = "the sidecar"
    if named is None and not parsed.codes & {"GR", "SE", "IR"}:
        named, source = named_sequence(parsed.other_names), "the file name or header"
    is_prepared = "MP" in parsed.codes and suffix in ("t1w", "inplanet1", "")
    has_inversion = is_prepared or "IR" in parsed.codes or "InversionTime" in parsed.numbers
    if suffix == "unit1" or named == "mp2rage-uni" or suffix == "mp2rage":
        uniform, notices = _uniform_image(parsed, suffix)
        return _Choice(name=uniform, source=source, notices=notices)
    if named == "spgr" or (named is None and "GR" in parsed.codes):
        return _Choice(name="mprage" if has_inversion and suffix != "t2starw" else "spgr", source=source)
    if named is None and parsed.codes & {"SE", "IR"}:
        named = "spin-echo"
    if named is None or (suffix == "stir" and named not in ("stir", "tse", "ir-se", "t2-flair")):
        return _by_suffix(parsed, suffix, is_3d)
    is_refined = named in ("spin-echo", "tse", "ir-se", "t2-flair")
    return _Choice(name=_refined(parsed, named, suffix) if is_refined else named, source=source)


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
    is_inverted = (
        named in ("ir-se", "t2-flair") or suffix in ("flair", "stir") or "IR" in parsed.codes or inversion_time
    )
    has_train = (
        named in ("tse", "t2-flair") or suffix in ("flair", "stir") or (parsed.first("EchoTrainLength") or 1) > 1
    )
    if not is_inverted:
        return "tse" if has_train else "spin-echo"
    if not has_train:
        return "ir-se"
    is_short = suffix == "stir" or (inversion_time is not None and inversion_time < _LONGEST_STIR)
    return "stir" if is_short and suffix != "flair" else "t2-flair"


def _by_suffix(parsed: SidecarValues, suffix: str, is_3d: bool) -> _Choice:
    """Usual sequence for a suffix and the known times, with a notice."""
    repetition_time, inversion_time = parsed.first("RepetitionTime"), parsed.first("InversionTime")
    preparation, echo_time = parsed.first("RepetitionTimePreparation"), parsed.first("EchoTime")
    known = repetition_time or preparation or parsed.first("RepetitionTimeExcitation")
    is_t1w = suffix in ("t1w", "inplanet1")
    is_open = False
    if suffix in _SUFFIXES:
        name = _SUFFIXES[suffix]
        name = _refined(parsed, name, suffix) if inversion_time and name in ("tse", "spin-echo") else name
    elif not is_t1w and not (known and echo_time):
        remedy = f"because its sidecar has neither its name nor TR and TE: {REMEDY}."
        return _Choice(name=None, notices=(f"The sequence of {parsed.label} is unknown, {remedy}",))
    elif inversion_time or preparation:
        name = "mprage" if is_t1w else _refined(parsed, "ir-se", suffix)
    elif known and known < _LONGEST_READOUT:
        name = "spgr"
    elif known:
        name = "mprage" if known >= 1.5 and suffix == "t1w" else "spin-echo"
    else:
        name = "mprage" if is_3d or (echo_time and echo_time < _SHORTEST_SPIN_ECHO) else "spin-echo"
        is_open = True
    title = SEQUENCES[name].title
    sentence = f"The sequence of {parsed.label} is not named: {title} was assumed; if wrong, {REMEDY}."
    if is_open:
        reason = ", because its voxels are nearly cubes" if is_3d else ""
        others = "MPRAGE, spoiled gradient echo and spin echo differ by several percent in T1"
        sentence = (
            f"Please check: nothing names the sequence of {parsed.label}, and {others}. {title} was assumed{reason}; "
            f"if wrong, {REMEDY}."
        )
    notices = () if name in ("t2-flair", "mp2rage-uni", "stir") else (sentence,)
    return _Choice(name=name, source="its kind and times", notices=notices, is_open=is_open)


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


def _assumption_sentence(assumed: Mapping[str, Any], parsed: SidecarValues) -> str:
    shown, label = [], parsed.label
    for name, value in assumed.items():
        key = bids_key(name)
        if name == "repetition_time" and key in parsed.numbers:  # which is that of the read-outs
            key = "RepetitionTimePreparation"
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


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
