"""A protocol sheet: several contrasts under one title, kept as TOML in ms and degrees.

A file has a title and, for each contrast, a table ``[[contrasts]]`` with a name, the sequence as the command line names
it, and the settings of that sequence. The sequence may be "equation"; then ``equation`` holds its text. A table
``[contrasts.rendering]`` holds the options that are not the usual ones: transmit_field (1 is the nominal one), snr,
noise_reference, seed and sign.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from napari_swig_qmri.data.nifti import write_text
from napari_swig_qmri.physics.sequence import SHOWN_PER_UNIT, Contrast, in_shown_units, settings_of, summary
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    DoubleInversionRecovery,
    Mprage,
    SignalModel,
    T2Flair,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.user_equation import EQUATION, UserEquation, mentioned_settings
from napari_swig_qmri.synthesis.presets import sequence_key
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering

HEADER = "# Contrasts to synthesise from PD, T1 and T2 maps. Times in ms, angles in degrees.\n"
KINDS: Mapping[str, type[Contrast]] = {**SEQUENCES, EQUATION: UserEquation}
OPTIONS: Mapping[str, Any] = {  # of a rendering, with the kinds of their values
    **{"transmit_field": int | float, "snr": int | float},
    **{"noise_reference": str, "seed": int, "sign": str},
}

_WORDS = ("name", "sequence", "rendering")


@dataclass(frozen=True, kw_only=True)
class NamedContrast:
    """One picture of a sheet."""

    name: str
    sequence: Contrast
    rendering: Rendering = PLAIN  # without a map of the transmit field, which belongs to a subject


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Contrasts that are made together of every subject's maps; their names differ."""

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
        """T1w, T2w, FLAIR and DIR with the settings of usual protocols (our choice)."""
        kinds: dict[str, type[SignalModel]] = {"T1w": Mprage, "T2w": TurboSpinEcho, "FLAIR": T2Flair}
        kinds["DIR"] = DoubleInversionRecovery
        contrasts = [NamedContrast(name=name, sequence=kind.from_typical()) for name, kind in kinds.items()]
        return cls(contrasts=tuple(contrasts), title="Brain")


def read_protocol(path: str | Path) -> Protocol:
    """Protocol of a TOML file; ValueError with one sentence where the file is not one."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not TOML ({error}): correct that line.") from error
    try:
        return from_content(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def write_protocol(protocol: Protocol, path: str | Path) -> Path:
    """Write a protocol as TOML, every setting spelled out; the path written."""
    return write_text(HEADER + tomli_w.dumps(to_content(protocol)), Path(path))


def to_content(protocol: Protocol) -> dict[str, Any]:
    """What a TOML file of the protocol holds: times in ms, angles in degrees."""
    tables = [
        {
            "name": contrast.name,
            "sequence": sequence_key(contrast.sequence),
            **_shown(contrast.sequence),
            **_options(contrast.rendering),
        }
        for contrast in protocol.contrasts
    ]
    return {"title": protocol.title, "contrasts": tables}


def from_content(content: Mapping[str, Any]) -> Protocol:
    """The protocol that `to_content` describes; ValueError with one sentence for anything else."""
    unknown = content.keys() - {"title", "contrasts"}
    if unknown:
        raise ValueError(f"a protocol has a title and contrasts, but no {sorted(unknown)[0]!r}: remove it.")
    tables = content.get("contrasts", [])
    if not (isinstance(tables, list) and all(isinstance(table, Mapping) for table in tables)):
        raise ValueError("contrasts must be tables that begin with [[contrasts]]: correct that.")
    contrasts = [_contrast(table, number) for number, table in enumerate(tables, start=1)]
    return Protocol(contrasts=tuple(contrasts), title=str(content.get("title", "Protocol")))


def described(contrast: NamedContrast) -> str:
    """One line for a person: the sequence with its settings, and the options of its rendering."""
    return ", ".join([summary(contrast.sequence), *contrast.rendering.words()])


def _options(rendering: Rendering) -> dict[str, Any]:
    """The options that differ from the usual ones, as a table of its own; empty without one."""
    changed = {name: getattr(rendering, name) for name in OPTIONS if getattr(rendering, name) != getattr(PLAIN, name)}
    return {"rendering": changed} if changed else {}


def _rendering(table: Any, called: str) -> Rendering:
    """Rendering of a table in a file; ValueError with one sentence where it is none."""
    if not isinstance(table, Mapping):
        raise ValueError(f"contrast {called}: rendering must be a table, but it is {table!r}.")
    foreign = sorted(table.keys() - OPTIONS.keys())
    if foreign:
        raise ValueError(f"contrast {called}: a rendering has no {foreign[0]}; it has {', '.join(OPTIONS)}.")
    for key, value in table.items():
        wanted = OPTIONS[key]
        if isinstance(value, bool) or not isinstance(value, wanted):
            kind = "a text" if wanted is str else "a whole number" if wanted is int else "a number"
            raise ValueError(f"contrast {called}: {key} must be {kind}, but it is {value!r}.")
    try:
        return Rendering(**table)
    except ValueError as error:
        raise ValueError(f"contrast {called}: {error}") from error


def _shown(sequence: Contrast) -> dict[str, Any]:
    """Settings as a person reads them, and the text of an equation."""
    shown = in_shown_units(sequence)
    if isinstance(sequence, UserEquation):
        mentioned = mentioned_settings(sequence.text)
        return {EQUATION: sequence.text, **{each.name: shown[each.name] for each in mentioned}}
    return shown


def _contrast(table: Mapping[str, Any], number: int) -> NamedContrast:
    name = str(table.get("name", "")).strip()
    called = repr(name) if name else f"number {number}"
    kind = KINDS.get(str(table.get("sequence")))
    if kind is None:
        given = f"{table['sequence']!r}" if "sequence" in table else "missing"
        raise ValueError(f"the sequence of contrast {called} is {given}: choose one of {', '.join(KINDS)}.")
    text: dict[str, Any] = {"text": str(table.get(EQUATION, ""))} if kind is UserEquation else {}
    known = {field.name: field for field in settings_of(kind)}
    words = (*_WORDS, EQUATION) if text else _WORDS
    rendering = _rendering(table.get("rendering", {}), called)
    settings = {key: value for key, value in table.items() if key not in words}
    foreign = sorted(settings.keys() - known.keys())
    if foreign:
        raise ValueError(f"contrast {called}: {kind.title} has no {foreign[0]}; it has {', '.join(known)}.")
    absent = [key for key, field in known.items() if field.default is MISSING and key not in settings]
    if absent:
        raise ValueError(f"contrast {called}: {kind.title} needs {', '.join(absent)}: add them in ms or degrees.")
    values = {key: _inside(value, known[key].metadata["unit"], called, key) for key, value in settings.items()}
    try:
        sequence = kind(**text, **values)
        rendering.check(sequence)
        return NamedContrast(name=name or kind.title, sequence=sequence, rendering=rendering)
    except (ValueError, TypeError) as error:
        raise ValueError(f"contrast {called}: {error}") from error


def _inside(value: Any, unit: str, called: str, key: str) -> Any:
    """A setting in s or rad; numbers without unit as they are."""
    if not isinstance(value, int | float):
        raise ValueError(f"contrast {called}: {key} must be a number, but it is {value!r}.")
    return value if SHOWN_PER_UNIT[unit] == 1 else value / SHOWN_PER_UNIT[unit]
