"""Sequences and typed equations as they are written in TOML files: a key, and settings in ms and degrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

from napari_swig_qmri.physics.sequence import Contrast, in_shown_units, in_si_units, settings_of
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.physics.user_equation import EQUATION, UserEquation, mentioned_settings

KINDS: Mapping[str, type[Contrast]] = {**SEQUENCES, EQUATION: UserEquation}


def sequence_key(contrast: Contrast) -> str:
    """Key of a sequence on the command line and in files, such as ``"t2-flair"``; ``"equation"`` for a typed one."""
    return next(key for key, kind in KINDS.items() if kind is type(contrast))


def shown_settings(contrast: Contrast) -> dict[str, Any]:
    """Settings in ms and degrees by field name; of an equation, those that it mentions."""
    shown = in_shown_units(contrast)
    if isinstance(contrast, UserEquation):
        return {each.name: shown[each.name] for each in mentioned_settings(contrast.text)}
    return shown


def contrast_from_table(key: object, settings: Mapping[str, Any], equation: object = None) -> Contrast:
    """Sequence with a key and settings in ms and degrees, or the typed equation.

    ValueError in one sentence if the key or a setting is unknown, missing, of the wrong type or out of its range.
    """
    if not isinstance(key, str) or key not in KINDS:
        problem = "sequence is missing" if key is None else f"sequence {key!r} is unknown"
        raise ValueError(f"{problem}: choose one of {', '.join(KINDS)}.")
    if (key == EQUATION) != (equation is not None):
        problem = "the text of the equation is missing" if key == EQUATION else f"{key} takes no equation"
        raise ValueError(f'{problem}: an equation and sequence = "{EQUATION}" go together.')
    if not isinstance(equation, str | None):
        raise ValueError(f"equation must be text, but it is {equation!r}.")
    kind = KINDS[key]
    fields = {field.name: field for field in settings_of(kind)}
    for name, value in settings.items():
        if name not in fields:
            raise ValueError(f"{kind.title} has no setting {name!r}: choose one of {', '.join(fields)}.")
        is_boolean = fields[name].type == "bool"
        if isinstance(value, bool) != is_boolean or not isinstance(value, int | float):
            wanted = "true or false" if is_boolean else "a number"
            raise ValueError(f"{name} must be {wanted}, but it is {value!r}.")
    missing = [name for name, field in fields.items() if name not in settings and field.default is MISSING]
    if missing:
        raise ValueError(f"{kind.title} needs {', '.join(missing)} among its settings: add it in ms or degrees.")
    text: dict[str, Any] = {} if equation is None else {"text": equation}
    return kind(**text, **in_si_units(kind, settings))
