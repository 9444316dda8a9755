"""Acquisition sidecars to signal models and back.

Every setting that had to be assumed, and every unusual reading, comes back as one sentence.

The angle of refocusing pulses has no key in BIDS and no attribute of its own in DICOM. It is kept under
RefocusingFlipAngle, in degrees. FlipAngle of a spin echo is not read as it: that is the angle of the excitation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_swig_qmri.data.sidecar_values import SidecarFacts, named_sequence, read_facts
from napari_swig_qmri.physics.sequence import ms
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    Mp2rageUni,
    SignalModel,
    Stir,
    T2Flair,
    nulling_inversion_time,
)
from napari_swig_qmri.physics.user_equation import UserEquation, mentioned_settings

if TYPE_CHECKING:
    from napari_swig_qmri.physics.sequence import Contrast

REMEDY = "give sequence, TR and TE (and TI) in the image's sidecar (JSON)"
SHORTEST_SPACING = 1e-3  # s, of the echoes of a train
_LONGEST_STIR = 0.4  # s; inversion times between those that null fat and those that null fluid
_LONGEST_READOUT = 0.1  # s; longer repetition times are not those of a spoiled train

_SUFFIXES = {
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
_KEYS = {  # field of a sequence: where a sidecar keeps it, best first
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
IDEAL = (
    "centre_fraction",
    "inversion_efficiency",
    "refocused_recovery",
    "refocusing_angle",
)  # needs no word if missing
_NULLED = {T2Flair: 4.163, Stir: 0.37}  # s; T1 of fluid and of fat


def from_sidecar(sidecar: Mapping[str, Any], suffix: str | None) -> tuple[SignalModel | None, tuple[str, ...]]:
    """Signal model of the image a sidecar describes, and what was missing or assumed.

    Parameters
    ----------
    sidecar
        Metadata by BIDS key, DICOM keyword or DICOM tag; numbers may be text ("90 ms") or lists.
    suffix
        BIDS suffix of the image (T1w, T2w, FLAIR, ...), if known.

    Returns
    -------
    The model, None where not even the kind of sequence can be told or the settings exclude each other;
    and one sentence for each thing that was assumed, converted or wrong.
    """
    facts = read_facts(sidecar, suffix)
    if "SignalEquation" in sidecar:
        return None, (*facts.notices, f"{facts.label} was computed with an equation that a user typed: {REMEDY}.")
    name, notice = _choose(facts, (suffix or "").lower())
    notices = (*facts.notices, *notice)
    if name is None:
        return None, notices
    settings = _settings(facts, name)
    assumed = _assumptions(SEQUENCES[name], settings)
    if assumed:
        notices = (*notices, _assumption_sentence(assumed, facts.label))
    try:
        return SEQUENCES[name](**settings, **assumed), notices
    except ValueError as error:
        return None, (*notices, f"The settings of {facts.label} exclude each other: {error}")


def to_sidecar(model: Contrast) -> dict[str, Any]:
    """BIDS metadata of a sequence (s, degrees), from which `from_sidecar` makes an equal model.

    Those of a user equation hold its text as ``SignalEquation`` and the settings that it mentions.
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


def _choose(facts: SidecarFacts, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """Name in SEQUENCES, from the sequence's own name, then its DICOM codes, then suffix and times."""
    for name, sequence in SEQUENCES.items():
        if sequence.title.lower() in facts.titles or name in facts.titles:
            return name, ()
    named = named_sequence(facts.names)
    has_inversion = "IR" in facts.codes or "InversionTime" in facts.numbers
    if named == "mp2rage-uni" or suffix == "mp2rage":
        return _uniform_image(facts, suffix)
    if named == "spgr" or (named is None and "GR" in facts.codes):
        return "mprage" if has_inversion else "spgr", ()
    if named is None and facts.codes & {"SE", "IR"}:
        named = "spin-echo"
    if named is None:
        return _by_suffix(facts, suffix)
    return (_refined(facts, named, suffix) if named in ("spin-echo", "tse", "ir-se", "t2-flair") else named), ()


def _uniform_image(facts: SidecarFacts, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """MP2RAGE has a model for its uniform image, not for the image of one inversion."""
    if suffix != "mp2rage" or "unit1" in facts.names or len(facts.numbers.get("InversionTime", ())) == 2:
        return "mp2rage-uni", ()
    return None, (
        f"{facts.label} is the image of one MP2RAGE inversion, for which there is no signal model: "
        "use the uniform image (UNIT1) instead.",
    )


def _refined(facts: SidecarFacts, named: str, suffix: str) -> str:
    """Spin-echo sequence with or without inversion and echo train."""
    inversion_time = facts.first("InversionTime")
    is_inverted = named in ("ir-se", "t2-flair") or suffix == "flair" or "IR" in facts.codes or inversion_time
    has_train = named in ("tse", "t2-flair") or suffix == "flair" or (facts.first("EchoTrainLength") or 1) > 1
    if not is_inverted:
        return "tse" if has_train else "spin-echo"
    if not has_train:
        return "ir-se"
    is_short = inversion_time is not None and inversion_time < _LONGEST_STIR
    return "stir" if is_short and suffix != "flair" else "t2-flair"


def _by_suffix(facts: SidecarFacts, suffix: str) -> tuple[str | None, tuple[str, ...]]:
    """Usual sequence of a suffix where nothing names it."""
    repetition_time, inversion_time = facts.first("RepetitionTime"), facts.first("InversionTime")
    preparation = facts.first("RepetitionTimePreparation")
    known = repetition_time or preparation or facts.first("RepetitionTimeExcitation")
    if suffix in _SUFFIXES:
        name = _SUFFIXES[suffix]
        name = _refined(facts, name, suffix) if inversion_time and name in ("tse", "spin-echo") else name
    elif suffix not in ("t1w", "inplanet1") and not (known and facts.first("EchoTime")):
        return None, (
            f"What made {facts.label} is unknown, for its sidecar names neither the sequence nor TR and TE: {REMEDY}.",
        )
    elif inversion_time or preparation:
        name = "mprage" if suffix in ("t1w", "inplanet1") else _refined(facts, "ir-se", suffix)
    elif known and known < _LONGEST_READOUT:
        name = "spgr"
    else:
        name = "mprage" if known and known >= 1.5 and suffix == "t1w" else "spin-echo"
    if name in ("t2-flair", "mp2rage-uni"):
        return name, ()
    title = SEQUENCES[name].title
    return name, (f"The sequence of {facts.label} is not named: {title} was assumed; if wrong, {REMEDY}.",)


def _settings(facts: SidecarFacts, name: str) -> dict[str, Any]:
    """Fields of the sequence that the sidecar gives."""
    numbers = _spread(facts.numbers, name)
    settings: dict[str, Any] = {}
    for field in fields(SEQUENCES[name]):
        found = next((numbers[key] for key in _KEYS.get(field.name, ()) if key in numbers), None)
        if found is not None:
            value = math.radians(found[0]) if field.metadata["unit"] == "rad" else found[0]
            settings[field.name] = round(value) if field.type == "int" else value
    if "n_partitions" in settings:
        _split_shots(numbers["NumberShots"], settings)
    if "refocused_recovery" in settings:
        settings["refocused_recovery"] = bool(settings["refocused_recovery"])
    return settings


def _spread(given: Mapping[str, tuple[float, ...]], name: str) -> dict[str, tuple[float, ...]]:
    """Numbers under the keys that `_KEYS` reads: pairs taken apart, read-out spacing told from TR."""
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
    """BIDS NumberShots: all read-outs of a block, or those before and after the centre of k-space."""
    if len(shots) != 2:
        return
    before, n = round(shots[0]), round(sum(shots))
    settings["n_partitions"] = n
    settings["centre_fraction"] = 0.5 if before == n // 2 else before / n


def _assumptions(sequence: type[SignalModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Usual values of the fields that are missing, adapted so that they fit those that are there."""
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
    """The fields among `assumed` that let an echo train reach TE; long trains have short spacings."""
    echo_time, n, spacing = (settings[name] for name in ("echo_time", "echo_train_length", "echo_spacing"))
    if "echo_train_length" in assumed:
        return {"echo_train_length": max(n, math.ceil(echo_time / max(spacing, SHORTEST_SPACING) - 1e-9))}
    if "echo_spacing" in assumed:
        return {"echo_spacing": max(spacing if n < 64 else 0.004, echo_time / max(n, 1))}
    return {}


def _nulling(t1: float, known: Mapping[str, Any]) -> float:
    """Inversion time that nulls `t1`, to the millisecond."""
    train = known["echo_train_length"] * known["echo_spacing"]
    return round(nulling_inversion_time(t1, repetition_time=known["repetition_time"], train_duration=train), 3)


def _fitting_block(sequence: type[SignalModel], known: Mapping[str, Any]) -> int:
    """The usual number of read-outs, or the even number that fits between inversion, blocks and TR."""
    last = known["inversion_time"]
    room = [2 * known["inversion_time"]]
    if sequence is Mp2rageUni:
        last = known["second_inversion_time"]
        room.append(last - known["inversion_time"])
    room.append(2 * (known["repetition_time"] - last))
    fitting = int(min(room) / known["echo_spacing"] + 1e-9) // 2 * 2
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
    listed = ", ".join(shown)
    return f"{listed} {are} missing from {label} and {were} assumed; if wrong, {REMEDY}."


def field_strength_of(*sidecars: Mapping[str, Any]) -> float | None:
    """Field strength in T on which all sidecars agree that have one; None without any or where they differ."""
    found = set()
    for sidecar in sidecars:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found.add(float(sidecar["MagneticFieldStrength"]))
    return found.pop() if len(found) == 1 else None
