"""Contrasts from settings in ms and degrees, under the names of the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.sidecars import IDEAL, fitted_train
from napari_swig_qmri.physics.sequence import SHOWN_PER_UNIT, Contrast, in_si_units, settings_of
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.physics.user_equation import UserEquation, mentioned_settings
from napari_swig_qmri.synthesis.presets import all_presets, find_preset, read_presets

OPTION_OF_FIELD = {  # settings of a sequence that can be given, in ms and degrees
    "repetition_time": "--tr",
    "echo_time": "--te",
    "inversion_time": "--ti",
    "second_inversion_time": "--ti2",
    "flip_angle": "--flip-angle",
    "second_flip_angle": "--flip-angle-2",
    "echo_train_length": "--echo-train-length",
    "echo_spacing": "--echo-spacing",
    "refocusing_angle": "--refocusing-angle",
    "n_partitions": "--n-partitions",
    "inversion_efficiency": "--inversion-efficiency",
}

DEFAULT_FIELD = 3.0  # T, of presets


def preset_of(
    name: str, field_strength: float, path: Path | None, shown: dict[str, float]
) -> tuple[Contrast, tuple[str, ...]]:
    """Contrast of a preset with the settings in `shown` (ms, degrees) changed, and what is wrong with other files."""
    presets, problems = (read_presets(path), ()) if path is not None else all_presets()
    contrast = find_preset(presets, name, field_strength).contrast
    if isinstance(contrast, UserEquation):
        _refuse_foreign("this equation", shown, mentioned_settings(contrast.text))
    else:
        _refuse_foreign(contrast.title, shown, settings_of(contrast))
    return replace(contrast, **in_si_units(type(contrast), shown)), problems


def equation_of(text: str, shown: dict[str, float]) -> UserEquation:
    """User equation with settings in ms and degrees; ValueError where they are not those that it mentions."""
    mentioned = mentioned_settings(text)
    _refuse_foreign("this equation", shown, mentioned)
    absent = [each.name for each in mentioned if each.name not in shown]
    if absent:
        usual = " ".join(f"{OPTION_OF_FIELD[name]} {shown_value(UserEquation, name)}" for name in absent)
        raise ValueError(f"this equation needs {', '.join(OPTION_OF_FIELD[n] for n in absent)}: for example {usual}.")
    return UserEquation(text=text, **in_si_units(UserEquation, shown))


def _refuse_foreign(title: str, shown: Mapping[str, float], known: Sequence[Field[Any]]) -> None:
    names = {each.name for each in known}
    foreign = [OPTION_OF_FIELD[name] for name in shown if name not in names]
    if foreign:
        raise ValueError(f"{title} has no {' and no '.join(foreign)}: leave it out.")


def sequence_of(kind: type[SignalModel], shown: dict[str, float]) -> SignalModel:
    """Sequence from settings in ms and degrees by field name; ValueError where they do not fit it."""
    known = {field.name: field for field in fields(kind)}
    _refuse_foreign(kind.title, shown, fields(kind))
    absent = [name for name, field in known.items() if field.default is MISSING and name not in shown]
    if absent:
        usual = " ".join(f"{OPTION_OF_FIELD[name]} {shown_value(kind, name)}" for name in absent)
        raise ValueError(f"{kind.title} needs {', '.join(OPTION_OF_FIELD[n] for n in absent)}: for example {usual}.")
    values = in_si_units(kind, shown)
    if "echo_train_length" in known:
        usual_train = {name: known[name].default for name in ("echo_train_length", "echo_spacing")}
        values |= fitted_train(usual_train | values, usual_train.keys() - values.keys())
    return kind(**values)


def defaults_of(model: SignalModel, shown: Mapping[str, float]) -> tuple[str, ...]:
    """A sentence on the settings of a sequence that were not given and are no ideal."""
    unsaid = [field for field in fields(model) if field.name not in shown and field.name not in IDEAL]
    if not unsaid:
        return ()
    told = " ".join(
        f"{OPTION_OF_FIELD[field.name]} {getattr(model, field.name) * SHOWN_PER_UNIT[field.metadata['unit']]:g}"
        for field in unsaid
    )
    return (f"Not given, so taken as usual: {told}.",)


def shown_value(kind: type[Contrast], name: str) -> str:
    """Usual setting of a sequence in ms or degrees."""
    unit = next(field.metadata["unit"] for field in settings_of(kind) if field.name == name)
    return f"{kind.typical[name] * SHOWN_PER_UNIT[unit]:g}"
