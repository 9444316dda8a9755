"""The option ``--maps-from``: the protocol that LR maps were fitted to, with its settings."""

from __future__ import annotations

from dataclasses import Field
from functools import partial
from typing import Any

import typer

from napari_swig_qmri.cli.guide_sequences import KEYS, names_among
from napari_swig_qmri.cli.settings_text import in_si, read_settings, split_name
from napari_swig_qmri.physics.mapping import MappingProtocol
from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.physics.sequence import settings_of, short_label
from napari_swig_qmri.super_resolution.options import AUTO, MAPS_FROM

OPTION = "--maps-from"


def parse_maps_from(text: str) -> str | MappingProtocol:
    """Value of `Options.maps_from` in a text such as ``averaged``, ``qalas`` or ``qalas,TR=4500ms,FA=4deg``.

    Times without a unit are in ms, angles in degrees.

    Raises
    ------
    typer.BadParameter
        If there is no such protocol or setting, or it is no number.
    ValueError
        If a setting is impossible.
    """
    name, parts = split_name(text.lower())
    name = name or AUTO
    if name not in MAPS_FROM:
        raise _wrong(text, f"the name must be one of {', '.join(MAPS_FROM)}")
    if not parts:
        return name
    if name not in PROTOCOLS:
        raise _wrong(text, f"{name} has no settings")
    kind = PROTOCOLS[name]
    names = {key_of(each): each.name for each in settings_of(kind)}
    numbers = read_settings(parts, names, partial(_wrong, text))
    return kind(**in_si(kind, {names[key.upper()]: number for key, number in numbers.items()}, key_of))


def key_of(setting: Field[Any]) -> str:
    """Key of a setting: that of sequences, the abbreviation in its label (TD), else its name in Python."""
    by_field = {name: key for key, name in KEYS.items()}
    if setting.name in by_field:
        return by_field[setting.name].upper()
    has_short = str(setting.metadata["label"]).endswith(")")
    return (short_label(setting) if has_short else setting.name).upper()


def protocol_names(incomplete: str) -> list[str]:
    """Values of the option that begin with a text, for the completion by the shell."""
    return names_among(MAPS_FROM)(incomplete)


def _wrong(text: str, reason: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r}: {reason}.", param_hint=f"'{OPTION}'")
