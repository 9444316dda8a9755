"""The two settings of a contrast that a drag changes: which ones, their ranges, and the limits of the sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_swig_qmri._napari.parts.setting_boxes import SCREEN_UNITS, on_screen
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.sequence import in_si_units, settings_of, short_label


@dataclass(frozen=True)
class Knob:
    """A setting with the range and the step of its slider, in the unit on screen."""

    name: str
    value: float
    low: float
    high: float
    step: float

    def moved(self, value: float, share: float) -> float:
        """`value` moved by a fraction of the slider's range, limited to the range."""
        return min(max(value + share * (self.high - self.low), self.low), self.high)

    def rounded(self, value: float, grid: float) -> float:
        """Nearest multiple of `grid` in the range, or the current setting if that is as near."""
        if abs(value - self.value) < grid / 2:
            return self.value
        return min(max(round(round(value / grid) * grid, 9), self.low), self.high)


def moved_names(shown: Collection[str], locked: Collection[str] = ()) -> tuple[str | None, str | None]:
    """Names of the settings that are changed sideways and up and down; None where there is no such setting.

    Sideways: TI of a sequence with an inversion; the flip angle of a steady-state sequence without one, whose TR is
    kept short and whose contrast comes from the angle; TR of all others. Up and down: TE.

    Parameters
    ----------
    shown
        Names of the settings of a sequence, or of those that an equation contains.
    locked
        Names of the settings that cannot be moved, such as a TI that follows a nulled tissue. The next setting in
        the order above is changed instead.
    """
    wanted = ("inversion_time", "repetition_time") if "inversion_time" in shown else ("flip_angle", "repetition_time")
    free = [name for name in wanted if name in shown and name not in locked]
    return (free[0] if free else None), ("echo_time" if "echo_time" in shown else None)


def nearest_possible(
    start: Mapping[str, float],
    target: Mapping[str, float],
    grid: Mapping[str, float],
    is_possible: Callable[[Mapping[str, float]], bool],
) -> dict[str, float]:
    """Last possible settings on the way from `start` to `target`.

    Each setting goes as far as the others allow, in steps of its `grid` counted back from its target. Assumes that
    possible and impossible values are separated by one limit.
    """
    if is_possible(target):
        return dict(target)
    reached = dict(start)
    for name in (*target, *target):  # twice, because the second setting may make room for the first
        reached[name] = _furthest(reached, name, target[name], grid[name], is_possible)
    return reached


def _furthest(
    start: Mapping[str, float],
    name: str,
    target: float,
    grid: float,
    is_possible: Callable[[Mapping[str, float]], bool],
) -> float:
    """Last possible value of one setting on the way to `target`, by bisection in steps of `grid`."""
    way = target - start[name]
    back = -math.copysign(grid, way)
    possible, impossible = math.ceil(abs(way) / grid), -1  # steps back from the target; `possible` reaches the start
    while possible - impossible > 1:
        middle = (possible + impossible) // 2
        can = is_possible({**start, name: target + middle * back})
        possible, impossible = (middle, impossible) if can else (possible, middle)
    value = round(target + possible * back, 9)
    return value if (value - start[name]) * way > 0 else start[name]


def knobs_of(panel: SequencePanel) -> list[Knob | None]:
    """Knobs that are changed sideways and up and down in the current sequence; None where there is no such setting."""
    boxes: Mapping[str, Any] = panel.editor.parameter_boxes()
    shown, names = _values_on_screen(panel, boxes), moved_names(boxes, panel.locked_settings())
    return [
        None if name is None else Knob(name, shown[name], boxes[name].min, boxes[name].max, boxes[name].step)
        for name in names
    ]


def settings_text(panel: SequencePanel, names: Sequence[str]) -> str:
    """Title of the current contrast with some of its settings, such as ``T2w TSE: TR 5000 ms, TE 90 ms``."""
    kind, settings = panel.editor.kind(), panel.editor.settings()
    known = {} if kind is None else {item.name: item for item in settings_of(kind)}
    parts = []
    for name in names:
        unit = SCREEN_UNITS.get(known[name].metadata["unit"], (1.0, ""))[1]
        gap = " " if unit.isalpha() else ""
        parts.append(f"{short_label(known[name])} {on_screen(known[name], settings[name]):.5g}{gap}{unit}")
    return ": ".join(text for text in (panel.title(), ", ".join(parts)) if text)


def set_knobs(panel: SequencePanel, wanted: Mapping[str, float], grid: Mapping[str, float]) -> dict[str, float]:
    """Set settings, by name and in the unit on screen, as near to `wanted` as the sequence allows; returns them."""
    kind = panel.editor.kind()
    if kind is None:
        return {}
    start = _values_on_screen(panel, wanted)
    reached = nearest_possible(start, wanted, grid, lambda shown: panel.can_show(in_si_units(kind, shown)))
    for name, value in reached.items():
        if value != start[name]:
            panel.editor.show_setting(name, in_si_units(kind, {name: value})[name])
    return reached


def _values_on_screen(panel: SequencePanel, names: Collection[str]) -> dict[str, float]:
    """Current settings by name, in the unit on screen."""
    kind, settings = panel.editor.kind(), panel.editor.settings()
    known = () if kind is None else settings_of(kind)
    return {each.name: on_screen(each, settings[each.name]) for each in known if each.name in names}
