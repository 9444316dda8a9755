"""Names with settings on the command line, such as ``spin-echo,TR=500ms,TE=15ms``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field
from typing import Any

import typer

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.sequence import SHOWN_PER_UNIT, PulseSequence, settings_of

PER_UNIT = {"s": {"ms": 1e-3, "s": 1.0}, "rad": {"deg": math.pi / 180, "°": math.pi / 180, "rad": 1.0}, "1": {}}
UNITS = {"s": "ms or s", "rad": "deg", "1": "no unit"}  # of settings, in words
Number = tuple[float, str]  # and its unit, empty if not given
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(ms|s|deg|°|rad|t|)")


def split_name(text: str) -> tuple[str, list[str]]:
    """Name in a text, which may hold commas, and its settings as texts such as ``TR=500ms``."""
    words = [part.strip() for part in text.strip().rstrip(",").split(",")]
    n_words = next((i for i, part in enumerate(words) if "=" in part), len(words))
    return ", ".join(words[:n_words]), words[n_words:]


def read_settings(
    parts: Iterable[str], keys: Iterable[str], refuse: Callable[[str], typer.BadParameter]
) -> dict[str, Number]:
    """Numbers by key in lower case of texts such as ``TR=500ms``; `refuse` makes the error from a reason."""
    settings: dict[str, Number] = {}
    known = {key.lower(): key for key in keys}
    for part in parts:
        key, _, value = (each.strip() for each in part.partition("="))
        number = _NUMBER.fullmatch(value.lower())
        if key.lower() not in known:
            raise refuse(f"{key or part!r} is no setting; they are {joined(known.values())}")
        if number is None:
            raise refuse(f"{value!r} is no number with a unit such as 15ms, 2.3s or 9deg")
        if key.lower() in settings:
            raise refuse(f"{key} is given twice")
        settings[key.lower()] = (float(number[1]), number[2])
    return settings


def in_si(
    kind: type[PulseSequence], settings: Mapping[str, Number], key_of: Callable[[Field[Any]], str]
) -> dict[str, Any]:
    """Settings in s and rad by field name; times without a unit are in ms, angles in degrees.

    `key_of` gives the key of a setting for messages. Raises ValueError if `kind` lacks a setting, or a unit is wrong.
    """
    known = {each.name: each for each in settings_of(kind)}
    values: dict[str, Any] = {}
    for name, (number, unit) in settings.items():
        key, quantity = key_of(known[name]), known[name].metadata["unit"]
        if unit and unit not in PER_UNIT[quantity]:
            raise ValueError(f"{key} has the unit {unit!r}, but {UNITS[quantity]} is needed.")
        values[name] = number * (PER_UNIT[quantity][unit] if unit else 1 / SHOWN_PER_UNIT[quantity])
        if str(known[name].type) == "int" and number.is_integer():
            values[name] = int(number)
    return values
