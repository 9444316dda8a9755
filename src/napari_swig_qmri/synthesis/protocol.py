"""Protocols: several contrasts under one title, stored as TOML with times in ms and angles in degrees.

A file has a title and one table ``[[contrasts]]`` per contrast, with a name, the key of the sequence on the command
line and its settings. If the sequence is "equation", ``equation`` holds its text. A table ``[contrasts.rendering]``
holds the rendering options that differ from their defaults: transmit_field, snr, noise_reference, seed and sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from napari_swig_qmri.data.storage.output import write_text
from napari_swig_qmri.data.toml_files import read_toml
from napari_swig_qmri.data.wording import shortened
from napari_swig_qmri.physics.sequence import Contrast, summary
from napari_swig_qmri.physics.signal_models import DoubleInversionRecovery, Mprage, SignalModel, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import EQUATION, UserEquation
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering
from napari_swig_qmri.synthesis.sequence_tables import contrast_from_table, sequence_key, shown_settings

PROTOCOL_HEADER = "# Contrasts to synthesise from PD, T1 and T2 maps. Times in ms, angles in degrees.\n"
RENDERING_OPTIONS: Mapping[str, Any] = {  # with the types of their values
    **{"transmit_field": int | float, "snr": int | float},
    **{"noise_reference": str, "seed": int, "sign": str},
}
_OTHER_KEYS = ("name", "sequence", "rendering", EQUATION)  # of a table of the file, beside the settings


@dataclass(frozen=True, kw_only=True)
class NamedContrast:
    """A contrast of a protocol: a name, a sequence and its rendering."""

    name: str
    sequence: Contrast
    rendering: Rendering = PLAIN  # without a B1+ map, which belongs to a subject and not to a protocol


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Contrasts to compute from the maps of each subject.

    ValueError if there is none, or if a name is empty or used twice.
    """

    contrasts: tuple[NamedContrast, ...]
    title: str = "Protocol"

    def __post_init__(self) -> None:
        names = [contrast.name for contrast in self.contrasts]
        twice = next((name for name in names if names.count(name) > 1), None)
        if not names:
            raise ValueError(f"the protocol {self.title!r} has no contrast: add at least one.")
        if twice is not None:
            raise ValueError(f"two contrasts of the protocol {self.title!r} are called {twice!r}: rename one of them.")
        if not all(name.strip() for name in names):
            raise ValueError(f"a contrast of the protocol {self.title!r} has no name: give it one.")

    @classmethod
    def usual(cls) -> Protocol:
        """T1w, T2w, FLAIR and DIR with typical settings (our choice)."""
        kinds: dict[str, type[SignalModel]] = {"T1w": Mprage, "T2w": TurboSpinEcho, "FLAIR": T2Flair}
        kinds["DIR"] = DoubleInversionRecovery
        contrasts = [NamedContrast(name=name, sequence=kind.from_typical()) for name, kind in kinds.items()]
        return cls(contrasts=tuple(contrasts), title="Brain")


def read_protocol(path: str | Path) -> Protocol:
    """Protocol of a TOML file; FileNotFoundError or ValueError if there is none in it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    try:
        content = read_toml(path)
    except ValueError as error:
        raise ValueError(f"{path.name} is not TOML ({shortened(error)}): correct that line.") from error
    try:
        return from_content(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {shortened(error)}") from error


def write_protocol(protocol: Protocol, path: str | Path) -> Path:
    """Write a protocol with all its settings as TOML; returns the path."""
    return write_text(PROTOCOL_HEADER + tomli_w.dumps(to_content(protocol)), Path(path))


def to_content(protocol: Protocol) -> dict[str, Any]:
    """Content of the TOML file of a protocol, times in ms and angles in degrees."""
    tables = [
        {
            "name": contrast.name,
            "sequence": sequence_key(contrast.sequence),
            **({EQUATION: contrast.sequence.text} if isinstance(contrast.sequence, UserEquation) else {}),
            **shown_settings(contrast.sequence),
            **_options(contrast.rendering),
        }
        for contrast in protocol.contrasts
    ]
    return {"title": protocol.title, "contrasts": tables}


def from_content(content: Mapping[str, Any]) -> Protocol:
    """Protocol of the content of a TOML file; ValueError with one sentence if it is not one."""
    unknown = content.keys() - {"title", "contrasts"}
    if unknown:
        raise ValueError(f"a protocol has only a title and contrasts, but not {sorted(unknown)[0]!r}: remove it.")
    tables = content.get("contrasts", [])
    if not (isinstance(tables, list) and all(isinstance(table, Mapping) for table in tables)):
        raise ValueError("contrasts must be tables that begin with [[contrasts]]: correct that.")
    contrasts = [_named_contrast(table, number) for number, table in enumerate(tables, start=1)]
    return Protocol(contrasts=tuple(contrasts), title=str(content.get("title", "Protocol")))


def described(contrast: NamedContrast) -> str:
    """One line of text: the sequence with its settings, and the rendering options that differ from the defaults."""
    return ", ".join([summary(contrast.sequence), *contrast.rendering.words()])


def _options(rendering: Rendering) -> dict[str, Any]:
    """Table with the rendering options that differ from the defaults; empty if none does."""
    values = {name: getattr(rendering, name) for name in RENDERING_OPTIONS}
    changed = {name: value for name, value in values.items() if value != getattr(PLAIN, name)}
    return {"rendering": changed} if changed else {}


def _rendering(table: Any, label: str) -> Rendering:
    """Rendering of a TOML table; ValueError with one sentence if it is not one."""
    if not isinstance(table, Mapping):
        raise ValueError(f"contrast {label}: rendering must be a table, but it is {table!r}.")
    unknown = sorted(table.keys() - RENDERING_OPTIONS.keys())
    if unknown:
        raise ValueError(f"contrast {label}: a rendering has no {unknown[0]}; it has {', '.join(RENDERING_OPTIONS)}.")
    for key, value in table.items():
        wanted = RENDERING_OPTIONS[key]
        if isinstance(value, bool) or not isinstance(value, wanted):
            kind = "text" if wanted is str else "a whole number" if wanted is int else "a number"
            raise ValueError(f"contrast {label}: {key} must be {kind}, but it is {value!r}.")
    try:
        return Rendering(**table)
    except (ValueError, ArithmeticError) as error:
        raise ValueError(f"contrast {label}: {error}") from error


def _named_contrast(table: Mapping[str, Any], number: int) -> NamedContrast:
    name = str(table.get("name", "")).strip()
    label = repr(name) if name else f"number {number}"
    rendering = _rendering(table.get("rendering", {}), label)
    settings = {key: value for key, value in table.items() if key not in _OTHER_KEYS}
    try:
        sequence = contrast_from_table(table.get("sequence"), settings, table.get(EQUATION))
        rendering.check(sequence)
        return NamedContrast(name=name or sequence.title, sequence=sequence, rendering=rendering)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"contrast {label}: {error}") from error
