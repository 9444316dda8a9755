"""Contrasts from the options of the command line, whose settings are in ms and degrees."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.recognition.assumptions import IDEAL, fitted_train
from napari_swig_qmri.physics.sequence import (
    SHOWN_PER_UNIT,
    Contrast,
    in_shown_units,
    in_si_units,
    settings_of,
    short_label,
)
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.physics.user_equation import UserEquation, mentioned_settings
from napari_swig_qmri.synthesis.presets import all_presets, find_preset, read_presets

OPTION_OF_FIELD = {  # settings that have an option, in ms and degrees
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
ENDINGS = {"s": " ms", "rad": "°", "1": ""}  # of settings by unit


def setting_text(setting: Field[Any], value: float) -> str:
    """A setting with its value (s or rad) in ms or degrees, such as ``TE 12 ms``."""
    unit = setting.metadata["unit"]
    return f"{short_label(setting)} {value * SHOWN_PER_UNIT[unit]:.6g}{ENDINGS[unit]}"


def settings_text(contrast: Contrast) -> str:
    """A contrast with its settings, except those that have their ideal value: ``Spin echo: TE 12 ms, TR 600 ms``."""
    told = [
        each
        for each in contrast.settings_in_use
        if each.name not in IDEAL or getattr(contrast, each.name) != each.default
    ]
    shown = (setting_text(each, getattr(contrast, each.name)) for each in told)
    return f"{contrast.title}: {', '.join(shown)}"


def preset_with(
    name: str, field_strength: float, path: Path | None, given: Mapping[str, float]
) -> tuple[Contrast, tuple[str, ...]]:
    """Contrast of a preset, and notices about preset files that could not be read.

    The settings `given` (ms and degrees, by field name) replace those of the preset. With `path`, the preset is one
    of that file. ValueError if there is no such preset, or a setting does not belong to it.
    """
    presets, notices = (read_presets(path), ()) if path is not None else all_presets()
    contrast = find_preset(presets, name, field_strength).contrast
    if isinstance(contrast, UserEquation):
        _check_options("this equation", given, [each.name for each in mentioned_settings(contrast.text)])
    else:
        _check_options(contrast.title, given, [each.name for each in settings_of(contrast)])
    return replace(contrast, **in_si_units(type(contrast), given)), notices


def equation_with(text: str, given: Mapping[str, float]) -> UserEquation:
    """Equation with settings in ms and degrees; ValueError unless these are the settings that it mentions."""
    mentioned = [each.name for each in mentioned_settings(text)]
    _check_options("this equation", given, mentioned)
    _check_complete("this equation", UserEquation, given, mentioned)
    return UserEquation(text=text, **in_si_units(UserEquation, given))


def sequence_with(kind: type[SignalModel], given: Mapping[str, float]) -> SignalModel:
    """Sequence with settings in ms and degrees by field name; ValueError where they do not fit the sequence.

    An echo train whose length or spacing is not given is long enough for TE.
    """
    defaults = {field.name: field.default for field in fields(kind)}
    _check_options(kind.title, given, defaults)
    _check_complete(kind.title, kind, given, [name for name, default in defaults.items() if default is MISSING])
    values = in_si_units(kind, given)
    if "echo_train_length" in defaults:
        usual_train = {name: defaults[name] for name in ("echo_train_length", "echo_spacing")}
        values |= fitted_train(usual_train | values, usual_train.keys() - values.keys())
    return kind(**values)


def defaults_of(model: SignalModel, given: Mapping[str, float]) -> tuple[str, ...]:
    """Notice about the settings that were not given, except those whose default is the ideal; none without any."""
    values = in_shown_units(model)
    assumed = [f"{OPTION_OF_FIELD[name]} {values[name]:g}" for name in values if name not in (*given, *IDEAL)]
    return (f"Not given, so the usual settings are assumed: {' '.join(assumed)}.",) if assumed else ()


def _check_options(title: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise a ValueError if settings are given that a contrast does not have."""
    foreign = [OPTION_OF_FIELD[name] for name in given if name not in known]
    if foreign:
        raise ValueError(f"{title} has no {' and no '.join(foreign)}: leave it out.")


def _check_complete(title: str, kind: type[Contrast], given: Collection[str], required: Collection[str]) -> None:
    """Raise a ValueError with typical values if settings of a contrast are missing."""
    units = {each.name: each.metadata["unit"] for each in settings_of(kind)}
    missing = {name: kind.typical[name] * SHOWN_PER_UNIT[units[name]] for name in required if name not in given}
    if missing:
        options = ", ".join(OPTION_OF_FIELD[name] for name in missing)
        example = " ".join(f"{OPTION_OF_FIELD[name]} {value:g}" for name, value in missing.items())
        raise ValueError(f"{title} needs {options}: for example {example}.")
