"""Presets, named settings of sequences and equations: those of the package, and the user's own as TOML files.

In a file, times are in ms, angles in degrees and field strengths in T:

    [[preset]]
    name = "T2w long"
    field_strength = 3.0
    sequence = "tse"  # a key of SEQUENCES, or "equation"; then `equation` holds its text
    source = "our protocol of 2024"  # optional
    settings = { repetition_time = 6000.0, echo_time = 120.0, echo_train_length = 16, echo_spacing = 10.0 }
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import platformdirs
import tomli_w

from napari_swig_qmri.data.storage.output import check_free, write_text
from napari_swig_qmri.data.toml_files import parse_toml, read_toml
from napari_swig_qmri.data.wording import shortened
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.sequence_tables import contrast_from_table, sequence_key, shown_settings

PRESETS_HEADER = "# Presets of napari-swig-qmri: times in ms, angles in degrees, field strengths in T.\n\n"
LONGEST_NAME = 60  # characters
HIGHEST_FIELD = 30.0  # T
_PRESET_KEYS = {"name": str, "field_strength": float, "sequence": str, "source": str, "equation": str, "settings": dict}
_OPTIONAL = ("source", "equation")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A contrast with a name and a field strength.

    ValueError if the name is empty, too long or not printable, or if the field strength is out of range.
    """

    name: str
    field_strength: float  # T
    contrast: Contrast
    source: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise ValueError(f"a preset needs a name of 1 to {LONGEST_NAME} characters, but it is {self.name[:80]!r}.")
        if not 0 < self.field_strength <= HIGHEST_FIELD:
            raise ValueError(
                f"field_strength of {self.name!r} must be above 0 and up to {HIGHEST_FIELD:g} T, "
                f"but it is {self.field_strength:g}."
            )

    @property
    def key(self) -> tuple[str, float]:
        """Name and field strength, which identify a preset."""
        return self.name, self.field_strength

    @property
    def file_name(self) -> str:
        """Name of a TOML file that holds only this preset."""
        return f"{re.sub(r'[^A-Za-z0-9.+-]+', '-', self.name).strip('-.') or 'preset'}_{self.field_strength:g}T.toml"


def built_in_presets() -> tuple[Preset, ...]:
    """Presets of the package, at 1.5, 3 and 7 T."""
    resource = files("napari_swig_qmri.synthesis") / "presets.toml"
    return parse_presets(resource.read_text(encoding="utf-8"), resource.name)


def user_folder() -> Path:
    """Folder of the user's presets; it may not exist."""
    return platformdirs.user_config_path("napari-swig-qmri", appauthor=False) / "presets"


def all_presets(extra: Iterable[Path] = ()) -> tuple[tuple[Preset, ...], tuple[str, ...]]:
    """Presets of the package, of the user's folder and of the `extra` files, and a sentence about each unreadable file.

    A later preset replaces an earlier one with the same name and field strength.
    """
    presets = {preset.key: preset for preset in built_in_presets()}
    problems = []
    for path in [*sorted(user_folder().glob("*.toml")), *extra]:
        try:
            presets |= {preset.key: preset for preset in read_presets(path)}
        except (OSError, ValueError) as error:
            problems.append(str(error))
    return tuple(presets.values()), tuple(problems)


def find_preset(presets: Sequence[Preset], name: str, field_strength: float) -> Preset:
    """The preset with a name, ignoring case, and a field strength in T.

    ValueError if there is none; the message lists the choices.
    """
    at_field = [preset for preset in presets if preset.field_strength == field_strength]
    if not at_field:
        known = ", ".join(f"{field:g}" for field in sorted({preset.field_strength for preset in presets}))
        raise ValueError(f"there are no presets at {field_strength:g} T: choose a field strength among {known} T.")
    named = [preset for preset in at_field if preset.name.casefold() == name.strip().casefold()]
    if not named:
        names = ", ".join(preset.name for preset in at_field)
        raise ValueError(f"no preset at {field_strength:g} T is called {name!r}: choose among {names}.")
    return named[-1]


def read_presets(path: Path) -> tuple[Preset, ...]:
    """Presets of a TOML file.

    OSError if it cannot be read, ValueError if it is not a preset file; the messages name the file.
    """
    try:
        content = read_toml(path)
    except UnicodeDecodeError:
        raise ValueError(f"preset file {path.name} is not text in UTF-8: choose another file.") from None
    except ValueError as error:
        raise ValueError(f"preset file {path.name} is not TOML: {shortened(error).rstrip('.')}.") from None
    except OSError as error:
        raise OSError(f"preset file {path.name} could not be read: {error.strerror or error}.") from None
    return _presets_in(content, path.name)


def parse_presets(text: str, label: str) -> tuple[Preset, ...]:
    """Presets of a TOML text; ValueError if it is not one, with `label` as the name of the file."""
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise ValueError(f"preset file {label} is not TOML: {shortened(error).rstrip('.')}.") from None
    return _presets_in(content, label)


def _presets_in(content: Mapping[str, Any], label: str) -> tuple[Preset, ...]:
    entries = content.get("preset")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"preset file {label} holds no presets: begin each with a line [[preset]].")
    presets = []
    for number, entry in enumerate(entries, 1):
        try:
            presets.append(_preset(entry))
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ValueError(f"preset {number} of {label}: {shortened(error)}") from None
    return tuple(presets)


def write_presets(path: Path, presets: Sequence[Preset], *, overwrite: bool = False) -> None:
    """Write presets to a TOML file; FileExistsError if it exists and `overwrite` is False."""
    text = PRESETS_HEADER + tomli_w.dumps({"preset": [_entry(preset) for preset in presets]})
    path.parent.mkdir(parents=True, exist_ok=True)
    check_free([path], overwrite)
    write_text(text, path)


def _entry(preset: Preset) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": preset.name,
        "field_strength": preset.field_strength,
        "sequence": sequence_key(preset.contrast),
    }
    if isinstance(preset.contrast, UserEquation):
        entry["equation"] = preset.contrast.text
    if preset.source:
        entry["source"] = preset.source
    return entry | {"settings": shown_settings(preset.contrast)}


def _preset(entry: Mapping[str, Any]) -> Preset:
    """Preset of a TOML table; TypeError or ValueError says what is wrong with it."""
    unknown = [key for key in entry if key not in _PRESET_KEYS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is unknown: a preset has only {', '.join(_PRESET_KEYS)}.")
    for key, kind in _PRESET_KEYS.items():
        if key not in entry and key not in _OPTIONAL:
            raise ValueError(f"{key} is missing: add it.")
        accepted = (int, float) if kind is float else kind
        if key in entry and (not isinstance(entry[key], accepted) or isinstance(entry[key], bool)):
            wanted = {str: "text", float: "a number", dict: "a table"}[kind]
            raise ValueError(f"{key} must be {wanted}, but it is {entry[key]!r}.")
    return Preset(
        name=entry["name"],
        field_strength=float(entry["field_strength"]),
        contrast=contrast_from_table(entry["sequence"], entry["settings"], entry.get("equation")),
        source=entry.get("source", ""),
    )
