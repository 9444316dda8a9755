"""Lists and sizes as text."""

from __future__ import annotations

from collections.abc import Iterable


def joined(words: Iterable[str], last: str = "and") -> str:
    """Words as a list in a sentence, ``a, b and c``; `last` is the word before the last one."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def size_text(edges: Iterable[float]) -> str:
    """Edge lengths to three digits, ``0.5 × 0.5 × 2``."""
    return " × ".join(f"{edge:.3g}" for edge in edges)
