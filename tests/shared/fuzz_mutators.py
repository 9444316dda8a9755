"""Damage to bytes and texts, drawn from a generator: the same generator does the same damage."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

Mutator: TypeAlias = Callable[[bytes, np.random.Generator], bytes]

INTEGERS = (0, 1, -1, 2, 7, 127, 255, 348, 540, 3001, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**62, -(2**62))
FLOATS = (0.0, -0.0, 1.0, -1.0, 352.0, 1e-38, 3e38, 1e300, float("inf"), float("-inf"), float("nan"))
FORMATS = ("<h", ">h", "<i", ">i", "<q", ">q")
NUMBERS = ("0", "-1", "1e999", "-1e999", "1e-400", "NaN", "inf", "9" * 400, "9" * 5000, "0x1F", "1_0", "1,5", ".", "٣")
PIECES = ("[" * 2000, "{" * 500, "(" * 60, '"', "'", "\\", "\\u0000", "\\ud800", "\x00", "\ufeff", "é", "\u202e", "=")
PIECES += ("#", ",", ":", "}", "]", ")", "\n", "\r", " " * 5000, "true", "null", "[[preset]]", "**", "^", "exp(", "T2s")


def any_of(options: Sequence[str] | Sequence[Mutator], generator: np.random.Generator) -> object:
    """One of some options."""
    return options[int(generator.integers(len(options)))]


def _place(content: bytes, generator: np.random.Generator) -> int:
    """Position in a file; every other one is in its header."""
    end = len(content) if generator.random() < 0.5 else min(len(content), 360)
    return int(generator.integers(max(1, end)))


def flip(content: bytes, generator: np.random.Generator) -> bytes:
    """Change up to eight bytes."""
    changed = bytearray(content or b"\0")
    for _ in range(int(generator.integers(1, 9))):
        changed[_place(bytes(changed), generator)] = int(generator.integers(256))
    return bytes(changed)


def cut(content: bytes, generator: np.random.Generator) -> bytes:
    """Keep the beginning."""
    return content[: _place(content, generator)]


def repeat(content: bytes, generator: np.random.Generator) -> bytes:
    """Insert a copy of a piece elsewhere."""
    start, place = _place(content, generator), _place(content, generator)
    return content[:place] + content[start : start + int(generator.integers(1, 64))] + content[place:]


def drop(content: bytes, generator: np.random.Generator) -> bytes:
    """Leave out a piece."""
    start = _place(content, generator)
    return content[:start] + content[start + int(generator.integers(1, 64)) :]


def integer(content: bytes, generator: np.random.Generator) -> bytes:
    """Write an extreme integer."""
    form, number = str(any_of(FORMATS, generator)), INTEGERS[int(generator.integers(len(INTEGERS)))]
    size = struct.calcsize(form)
    piece = (number % 256**size).to_bytes(size, "little" if form[0] == "<" else "big")
    place = _place(content, generator) // 2 * 2
    return content[:place] + piece + content[place + size :]


def dimensions(content: bytes, generator: np.random.Generator) -> bytes:
    """Write extreme numbers of voxels into a NIfTI-1 header."""
    numbers = generator.choice((0, 1, 2, 3, 5, 7, 9, 100, 2000, 32767, -1), 8)
    return content[:40] + struct.pack("<8h", *map(int, numbers)) + content[56:]


def number(content: bytes, generator: np.random.Generator) -> bytes:
    """Write an extreme floating-point number."""
    value, form = FLOATS[int(generator.integers(len(FLOATS)))], "<f" if generator.random() < 0.8 else "<d"
    piece = struct.pack(form, np.float32(value)) if form == "<f" else struct.pack(form, value)
    place = _place(content, generator) // 4 * 4
    return content[:place] + piece + content[place + len(piece) :]


def typed(content: bytes, generator: np.random.Generator) -> bytes:
    """Replace a number in a text."""
    found = list(re.finditer(rb"-?\d+\.?\d*", content))
    if not found:
        return content
    match = found[int(generator.integers(len(found)))]
    return content[: match.start()] + str(any_of(NUMBERS, generator)).encode() + content[match.end() :]


def inserted(content: bytes, generator: np.random.Generator) -> bytes:
    """Insert a piece of text."""
    place = int(generator.integers(len(content) + 1))
    return content[:place] + str(any_of(PIECES, generator)).encode() + content[place:]


def line(content: bytes, generator: np.random.Generator) -> bytes:
    """Repeat, leave out or move a line."""
    lines = content.split(b"\n")
    taken = lines.pop(int(generator.integers(len(lines))))
    for _ in range(int(generator.integers(3))):
        lines.insert(int(generator.integers(len(lines) + 1)), taken)
    return b"\n".join(lines)


BINARY: tuple[Mutator, ...] = (flip, flip, cut, repeat, drop, integer, integer, dimensions, number, number)
TEXT: tuple[Mutator, ...] = (flip, cut, repeat, drop, typed, typed, inserted, inserted, line)


def damaged(seeds: Sequence[bytes], mutators: Sequence[Mutator], generator: np.random.Generator) -> bytes:
    """One of some valid contents with one to four kinds of damage."""
    content = seeds[int(generator.integers(len(seeds)))]
    for _ in range(int(generator.integers(1, 5))):
        content = mutators[int(generator.integers(len(mutators)))](content, generator)
    return content
