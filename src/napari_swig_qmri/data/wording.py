"""Lists, sizes, durations and costs as text, and text of others (names, sidecars) made harmless where it is shown."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = (*"=+-@\t\r\n", "＝", "＋", "－", "＠")  # first characters of formulas in spreadsheets


def joined(words: Iterable[str], last: str = "and") -> str:
    """Words as a list in a sentence, ``a, b and c``; `last` is the word before the last one."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def size_text(edges: Iterable[float]) -> str:
    """Edge lengths to three digits, ``0.5 × 0.5 × 2``."""
    return " × ".join(f"{edge:.3g}" for edge in edges)


def shortened(text: object, length: int = 300) -> str:
    """Text in one line of at most `length` characters; of a longer one, the middle is left out."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else f"{line[: length - length // 3 - 5]} ... {line[-(length // 3) :]}"


def with_names(text: str, names: Mapping[str, str]) -> str:
    """Message whose options have the `names` under which the reader knows them.

    Messages name an option as in Python, in backquotes: ``choose a smaller `voxel_size` ``. Others stay as they are.
    """
    return re.sub(r"`(\w+)`", lambda quoted: names.get(quoted[1], quoted[0]), text)


def for_terminal(text: str) -> str:
    r"""Text whose control characters are visible, ``\x1b``: a terminal would obey them. Keeps tabs and line feeds."""
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)


def for_qt(text: str) -> str:
    """Text that Qt shows as it is in a tool tip, a message or a plot, in place of reading ``<...>`` as HTML.

    Labels need it only if they show rich text on purpose; `QLabel.setTextFormat` makes the others plain.
    """
    shown = for_terminal(text)
    if not set("<&") & set(shown):
        return shown
    return f'<span style="white-space: pre-wrap">{html.escape(shown)}</span>'


def for_notification(text: str) -> str:
    """Text with ‹ › in place of angle brackets: napari cuts notifications to fit, and shows tags in them as HTML."""
    return for_terminal(text).replace("<", "‹").replace(">", "›")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as comma-separated values; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    is_formula = value.lstrip(" ").startswith(_FORMULA)
    return ("'" if is_formula else "") + for_terminal(value)


def duration_text(seconds: float) -> str:
    """Rounded duration, so that a display does not flicker: ``12 s``, ``3 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def cost_text(seconds: float, memory: int) -> str:
    """Sentence with the duration (s) and the memory (bytes) of a run."""
    size = f"{memory / 1e9:.1f} GB" if memory >= 1e8 else "less than 0.1 GB"
    return f"Takes about {duration_text(seconds)} and {size} of memory."
