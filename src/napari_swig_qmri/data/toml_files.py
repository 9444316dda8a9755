"""TOML files as dictionaries; every failure is a ValueError, whose message is the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LARGEST = 300_000  # bytes; the parser needs seconds beyond it
_MOST_DOTS = 10_000_000  # sum of squares over lines; time and memory of the parser are quadratic in the dots of a key


def read_toml(path: Path) -> dict[str, Any]:
    """Content of a TOML file.

    Raises
    ------
    ValueError
        If it is no TOML in UTF-8, too large or nested too deeply.
    OSError
        If it cannot be opened.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes, but up to {LARGEST:,} are read")
    return parse_toml(path.read_text(encoding="utf-8"))


def parse_toml(text: str) -> dict[str, Any]:
    """Content of a TOML text; ValueError as of `read_toml`."""
    if sum(line.count(".") ** 2 for line in text.splitlines()) > _MOST_DOTS:
        raise ValueError("a line has too many dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
