"""The two settings of a contrast that one movement changes: which they are, how far they go, where they are held."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_swig_qmri._napari.parts.acquisition import SCREEN_UNITS, on_screen
from napari_swig_qmri.physics.sequence import in_si_units, settings_of, short_label

if TYPE_CHECKING:
    from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel


@dataclass(frozen=True)
class Knob:
    """A setting with the range and the step of its slider, in the unit on screen."""

    name: str
    value: float
    low: float
    high: float
    step: float

    def moved(self, value: float, share: float) -> float:
        """Where a value gets when it moves by a share of the slider."""
        return min(max(value + share * (self.high - self.low), self.low), self.high)

    def rounded(self, value: float, grid: float) -> float:
        """The nearest multiple of `grid` in the range; the setting as it is, where that is as near."""
        if abs(value - self.value) < grid / 2:
            return self.value
        return min(max(round(round(value / grid) * grid, 9), self.low), self.high)


def moved_names(shown: Collection[str], resting: Collection[str] = ()) -> tuple[str | None, str | None]:
    """Settings that are moved sideways and upwards.

    Sideways it is TI of a sequence with an inversion, the flip angle of a steady state without one, where TR
    is as short as it can be and the angle makes the contrast, and TR of the others; upwards it is TE.

    Parameters
    ----------
    shown
        Names of the settings of a sequence, or of those that an equation mentions.
    resting
        Names of those that follow something else, as TI follows a nulled tissue: the next one takes their place.
    """
    wanted = ("inversion_time", "repetition_time") if "inversion_time" in shown else ("flip_angle", "repetition_time")
    free = [name for name in wanted if name in shown and name not in resting]
    return (free[0] if free else None), ("echo_time" if "echo_time" in shown else None)


def held(
    start: Mapping[str, float],
    target: Mapping[str, float],
    grid: Mapping[str, float],
    can_be: Callable[[Mapping[str, float]], bool],
) -> dict[str, float]:
    """The settings on the way from `start` to `target` that are the last ones possible.

    Each setting goes as far as the others let it, to a multiple of its `grid` away from its target. Between what is
    possible and what is not, there is taken to be one border.
    """
    if can_be(target):
        return dict(target)
    reached = dict(start)
    for name in (*target, *target):  # once more: the second may have made room for the first
        reached[name] = _furthest(reached, name, target[name], grid[name], can_be)
    return reached


def _furthest(
    start: Mapping[str, float], name: str, target: float, grid: float, can_be: Callable[[Mapping[str, float]], bool]
) -> float:
    """The last possible value of one setting on the way to a target, in steps of `grid` back from there."""
    way = target - start[name]
    back = -math.copysign(grid, way)
    possible, impossible = math.ceil(abs(way) / grid), -1  # steps back; so many reach the start, or pass it
    while possible - impossible > 1:
        middle = (possible + impossible) // 2
        can = can_be({**start, name: target + middle * back})
        possible, impossible = (middle, impossible) if can else (possible, middle)
    found = round(target + possible * back, 9)
    return found if (found - start[name]) * way > 0 else start[name]


def knobs_of(panel: SequencePanel) -> list[Knob | None]:
    """What is moved sideways and upwards in the sequence on show; None where there is nothing."""
    boxes: Mapping[str, Any] = panel.editor.parameter_boxes()
    shown, names = _shown(panel, boxes), moved_names(boxes, panel.resting())
    return [
        None if name is None else Knob(name, shown[name], boxes[name].min, boxes[name].max, boxes[name].step)
        for name in names
    ]


def described(panel: SequencePanel, names: Sequence[str]) -> str:
    """The contrast on show with some of its settings, such as ``T2w TSE: TR 5000 ms, TE 90 ms``."""
    kind, settings = panel.editor.kind(), panel.editor.settings()
    known = {} if kind is None else {item.name: item for item in settings_of(kind)}
    parts = []
    for name in names:
        unit = SCREEN_UNITS.get(known[name].metadata["unit"], (1.0, ""))[1]
        gap = " " if unit.isalpha() else ""
        parts.append(f"{short_label(known[name])} {on_screen(known[name], settings[name]):.5g}{gap}{unit}")
    return ": ".join(text for text in (panel.title(), ", ".join(parts)) if text)


def turn(panel: SequencePanel, wanted: Mapping[str, float], grid: Mapping[str, float]) -> dict[str, float]:
    """Bring settings, by name and in the unit on screen, to what is wanted or as near as can be played out."""
    kind = panel.editor.kind()
    if kind is None:
        return {}
    start = _shown(panel, wanted)
    reached = held(start, wanted, grid, lambda shown: panel.can_show(in_si_units(kind, shown)))
    for name, value in reached.items():
        if value != start[name]:
            panel.editor.show_setting(name, in_si_units(kind, {name: value})[name])
    return reached


def _shown(panel: SequencePanel, names: Collection[str]) -> dict[str, float]:
    """Settings on show by name, in the unit on screen."""
    kind, settings = panel.editor.kind(), panel.editor.settings()
    known = () if kind is None else settings_of(kind)
    return {each.name: on_screen(each, settings[each.name]) for each in known if each.name in names}
