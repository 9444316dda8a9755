r"""Sequences of guides on the command line: a sequence with settings, a preset, or what the sidecar says.

The first ``--sequence`` belongs to the first ``--guide`` and so on, so that no file name has to be taken apart: a
path may hold any character, ``C:\data\my guide=1,2.nii.gz`` as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from napari_swig_qmri.cli.contrast_options import DEFAULT_FIELD, setting_text
from napari_swig_qmri.cli.settings_text import Number, in_si, read_settings, split_name
from napari_swig_qmri.data.recognition.sidecars import bids_key, completed
from napari_swig_qmri.physics.sequence import settings_of
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel
from napari_swig_qmri.synthesis.presets import Preset, all_presets, find_preset

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import WeightedImage

AUTO = "auto"
FIELD = "field"  # key of the field strength of a preset
KEYS = {  # of a setting on the command line, in lower case: its field of a sequence
    "tr": "repetition_time",
    "te": "echo_time",
    "ti": "inversion_time",
    "ti2": "second_inversion_time",
    "fa": "flip_angle",
    "fa2": "second_flip_angle",
    "etl": "echo_train_length",
    "esp": "echo_spacing",
    "refocusing": "refocusing_angle",
    "partitions": "n_partitions",
    "efficiency": "inversion_efficiency",
}
FORM = "NAME,KEY=VALUE,... such as spin-echo,TR=500ms,TE=15ms, the name of a preset, or auto"


@dataclass(frozen=True, kw_only=True)
class GuideSequence:
    """What ``--sequence`` says about a guide."""

    name: str = AUTO  # `AUTO`, a key of `SEQUENCES`, or the name of a preset
    settings: Mapping[str, Number] = field(default_factory=dict)  # number and unit by field name
    field_strength: float | None = None  # T, of the preset

    @property
    def is_auto(self) -> bool:
        """Whether the sequence of the sidecar is used as it is."""
        return self.name == AUTO and not self.settings

    def on(self, guide: WeightedImage, tesla: float | None) -> WeightedImage:
        """Guide with this sequence; `tesla` is the field strength in its sidecar.

        Raises
        ------
        ValueError
            If there is no such preset, if a setting does not belong to the sequence or is impossible, or if the sidecar
            does not name the sequence whose settings are given.
        """
        if self.is_auto:
            return guide
        if self.name == AUTO:
            if guide.sequence is None:
                raise ValueError(f"its sequence is unknown: name it, as in --sequence spin-echo,{self._settings_text}.")
            changed = replace(guide.sequence, **self._values(type(guide.sequence)))
            return replace(guide, sequence=changed, notices=(*guide.notices, f"{guide.name}: {self._told}"))
        if self.name in SEQUENCES:
            kind = SEQUENCES[self.name]
            sequence, assumed = completed(kind, self._values(kind))
            return replace(guide, sequence=sequence, notices=_assumption(guide.name, kind, assumed))
        preset = self._preset(tesla)
        if not isinstance(preset.contrast, SignalModel):
            raise ValueError(f"the preset {preset.name} is an equation, but a guide needs a sequence: choose another.")
        sequence = replace(preset.contrast, **self._values(type(preset.contrast)))
        said = f"{guide.name}: settings of the preset {preset.name} at {preset.field_strength:g} T."
        return replace(guide, sequence=sequence, notices=(said,))

    @property
    def in_sidecar(self) -> dict[str, float | str]:
        """Settings of a sequence that is not named, as in a sidecar: the others are assumed to fit them."""
        if self.name != AUTO:
            return {}
        units = {field.name: field.metadata["unit"] for kind in SEQUENCES.values() for field in settings_of(kind)}
        told = {}
        for name, (number, unit) in self.settings.items():
            shown = math.degrees(number) if unit == "rad" else number
            told[bids_key(name)] = f"{shown} {unit or 'ms'}" if units[name] == "s" else shown
        return told

    @property
    def _settings_text(self) -> str:
        keys = {name: key for key, name in KEYS.items()}
        return ",".join(f"{keys[name].upper()}={number:g}{unit}" for name, (number, unit) in self.settings.items())

    @property
    def _told(self) -> str:
        return f"{self._settings_text} as given with --sequence."

    def _preset(self, tesla: float | None) -> Preset:
        presets, _ = all_presets()
        strength = self.field_strength
        if strength is None:  # the presets closest to the scanner
            known = {preset.field_strength for preset in presets}
            strength = DEFAULT_FIELD if tesla is None else min(known, key=lambda each: abs(each - tesla))
        try:
            return find_preset(presets, self.name, strength)
        except ValueError as error:
            raise ValueError(f"{error} Sequences are {', '.join(SEQUENCES)}.") from None

    def _values(self, kind: type[SignalModel]) -> dict[str, Any]:
        """Settings in s and rad; ValueError if the sequence does not have one, or a unit does not fit."""
        known = [each.name for each in settings_of(kind)]
        if unknown := [name for name in self.settings if name not in known]:
            keys = ", ".join(key.upper() for key, field_name in KEYS.items() if field_name in known)
            raise ValueError(f"{kind.title} has no {_key(unknown[0])}: its settings are {keys}.")
        return in_si(kind, self.settings, lambda setting: _key(setting.name))


def _key(name: str) -> str:
    """Key of a setting by the name of its field."""
    return next(key for key, field_name in KEYS.items() if field_name == name).upper()


def parse_sequence(text: str) -> GuideSequence:
    """Sequence of a guide in a text such as ``spin-echo,TR=500ms,TE=15ms`` or ``T2w TSE,field=1.5T``.

    Without a name, ``TE=15ms``, the sequence is that of the sidecar. Times without a unit are in ms, angles in degrees.

    Raises
    ------
    typer.BadParameter
        If a setting is unknown or no number.
    """
    if not text.strip():
        raise _wrong(text, f"it must have the form {FORM}")
    name, parts = split_name(text)
    name = name or AUTO
    numbers = read_settings(parts, (*(key.upper() for key in KEYS), FIELD), partial(_wrong, text))
    settings = {KEYS[key]: number for key, number in numbers.items() if key != FIELD}
    strength = numbers[FIELD][0] if FIELD in numbers else None
    lowered = name.lower()
    name = lowered if lowered in (AUTO, *SEQUENCES) else name
    if strength is not None and name in (AUTO, *SEQUENCES):
        raise _wrong(text, f"{FIELD} goes with a preset only")
    return GuideSequence(name=name, settings=settings, field_strength=strength)


def names_among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completion by the shell: a function that returns the names that begin with a text."""
    return lambda incomplete: [name for name in names if name.lower().startswith(incomplete.lower())]


def preset_names(incomplete: str) -> list[str]:
    """Names of presets that begin with a text, for the completion by the shell."""
    return names_among(dict.fromkeys(preset.name for preset in all_presets()[0]))(incomplete)


def sequence_names(incomplete: str) -> list[str]:
    """Sequences and presets that begin with a text, for the completion by the shell."""
    return [*names_among((AUTO, *SEQUENCES))(incomplete), *preset_names(incomplete)]


def _assumption(guide: str, kind: type[SignalModel], assumed: Mapping[str, Any]) -> tuple[str, ...]:
    """Notice about settings that were neither given nor ideal; none without any."""
    shown = [setting_text(each, assumed[each.name]) for each in settings_of(kind) if each.name in assumed]
    if not shown:
        return ()
    return (f"{guide}: not given with --sequence, so the usual settings are assumed: {', '.join(shown)}.",)


def _wrong(text: str, reason: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r}: {reason}.", param_hint="'--sequence'")
