"""Values of the voxel under the cursor, of pinned voxels and regions, and their signals over one setting."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from pyqtgraph import mkBrush
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.inspect.value_table import Row, ValueTable
from napari_swig_qmri._napari.parts.acquisition import SCREEN_UNITS, AcquisitionEditor, on_screen
from napari_swig_qmri._napari.parts.appearance import Foldable, form, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri._napari.parts.plots import curve_item, dots_item, name_axes, new_plot, text_colour, upright
from napari_swig_qmri.physics.sequence import short_label, summary
from napari_swig_qmri.synthesis.curves import movable_settings, setting_values, signals, sweep, with_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from dataclasses import Field

    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.curves import Sweep, TissueValues

OWN = "the settings below"


@dataclass(frozen=True)
class Entry:
    """One row of the table and one curve."""

    tissue: TissueValues
    colour: str
    is_region: bool = False
    errors: Mapping[str, float] = field(default_factory=dict)  # standard errors, unit of the maps


class CurvePanel(QWidget):
    """Table of PD, T1 and T2, and a plot of the signals of a sequence; emits `sequence_changed`.

    What stays (pins, regions) is computed when it or the sequence changes; the cursor costs one curve.
    """

    sequence_changed = Signal()
    unpin_wanted = Signal()

    def __init__(self, sequence: Contrast) -> None:
        super().__init__()
        self._fixed: list[Entry] = []
        self._cursor: Entry | None = None
        self._sweep: Sweep | None = None  # of the sequence on show
        self._rows: tuple[list[Row], list[Row]] = ([], [])  # of the table: the cursor, what stays
        self._followed: Contrast | None = None
        self._shown: Contrast | None = None  # sequence of the curves on show
        self.follow = ChoiceBox(
            none=OWN, tooltip="Use the settings below, or those of a contrast layer while its sliders move"
        )
        self.editor = AcquisitionEditor(sliders=True, optional=False, equations=True)
        self.editor.set_value(sequence)
        self.editor_fold = Foldable("", self.editor)
        self.setting = ChoiceBox(tooltip="The setting along the horizontal axis; drag the upright line to change it")
        self.hint = wrapped_label(role="note")
        self.table = ValueTable()
        self.plot = new_plot("", "")
        self._line = upright(text_colour())
        self._dots, self._cursor_dot = dots_item(), dots_item()
        self._cursor_item = curve_item(text_colour(), width=2.5)
        self._fixed_items: list[Any] = []
        self.unpin_button = QPushButton("Remove pins")
        self.unpin_button.setToolTip("Forget the pinned voxels")
        self._lay_out()
        self.unpin_button.setVisible(False)
        self.set_followable([])
        self.editor.changed.connect(self._edited)
        self.follow.changed.connect(self._follow)
        self.setting.changed.connect(self._redraw)
        self.unpin_button.clicked.connect(self.unpin_wanted)
        self._line.sigPositionChangeFinished.connect(self._dragged)
        self._take_sequence()

    def sequence(self) -> Contrast | None:
        """The sequence whose signals are shown; None while its settings are impossible."""
        return self._followed or self.editor.value()

    def set_sequence(self, sequence: Contrast) -> None:
        """Show the signals of another sequence, by the panel's own settings."""
        self.follow.choose(None)
        self.editor.set_value(sequence)

    def set_followable(self, layers: Sequence[tuple[str, Any]]) -> None:
        """Offer contrast layers, by name, whose sequence may be followed."""
        self.follow.set_choices(layers)
        self.follow.enabled = len(layers) > 0

    def refresh_followed(self) -> None:
        """Take the sequence of the followed layer as it is now."""
        self._follow()

    def show_cursor(self, entry: Entry | None, hint: str = "") -> None:
        """Show the voxel under the cursor, or say why there is none."""
        self._cursor = entry
        set_text(self.hint, hint)
        self._draw_cursor()
        self._fill_table()

    def show_fixed(self, entries: Sequence[Entry]) -> None:
        """Show pinned voxels and regions."""
        self._fixed = list(entries)
        self.unpin_button.setVisible(any(not entry.is_region for entry in entries))
        self._draw_fixed()
        self._fill_table()

    def _lay_out(self) -> None:
        for item in (self._line, self._cursor_item, self._dots, self._cursor_dot):
            self.plot.addItem(item)
        rows = form()
        rows.addRow("Sequence of", self.follow.native)
        beside = QHBoxLayout()
        beside.addWidget(QLabel("Signal against"))
        beside.addWidget(self.setting.native, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.hint)
        column.addWidget(self.table)
        column.addWidget(self.unpin_button)
        column.addLayout(rows)
        column.addWidget(self.editor_fold)
        column.addLayout(beside)
        column.addWidget(self.plot)

    def _follow(self) -> None:
        layer = self.follow.value
        self._followed = None if layer is None else layer.data.sequence
        if self._followed is not None and self._followed != self.editor.value():
            self.editor.blockSignals(True)
            self.editor.set_value(self._followed)
            self.editor.blockSignals(False)
        self._take_sequence()

    def _edited(self) -> None:
        if self._followed is not None and self.editor.value() != self._followed:
            self._followed = None
            self.follow.choose(None)
        self._take_sequence()

    def _take_sequence(self) -> None:
        sequence = self.sequence()
        if sequence is None:
            self.editor_fold.set_title("These settings cannot be played out")
            self.editor_fold.set_unfolded(True)
        elif sequence != self._shown:
            self._shown = sequence
            self.editor_fold.set_title(summary(sequence))
            found = movable_settings(sequence)
            self.setting.set_choices([(str(each.metadata["label"]), name) for name, each in found.items()])
            self._redraw()
        self.sequence_changed.emit()

    def _redraw(self) -> None:
        sequence, setting = self._shown, self.setting.value
        if sequence is None or setting is None:
            return
        parameter = self._parameter()
        values = setting_values(sequence, setting)
        self._sweep = sweep(sequence, setting, values)
        unit = SCREEN_UNITS[parameter.metadata["unit"]][1]
        has_unit = sequence.is_scaled_by_pd
        name_axes(self.plot, f"{short_label(parameter)} ({unit})", "Signal (unit of PD)" if has_unit else "Signal")
        self.plot.setXRange(*(on_screen(parameter, end) for end in values[[0, -1]]), padding=0.02)
        self._place_line()
        self._draw_fixed()
        self._draw_cursor()
        self._fill_table()

    def _parameter(self) -> Field[Any]:
        if self._shown is None:
            raise RuntimeError("a setting was asked for before there was a sequence: show one first.")
        return movable_settings(self._shown)[self.setting.value]

    def _place_line(self) -> None:
        parameter = self._parameter()
        self._line.blockSignals(True)
        self._line.setValue(on_screen(parameter, getattr(self._shown, parameter.name)))
        self._line.blockSignals(False)

    def _dragged(self) -> None:
        """Take the setting that the upright line was dragged to, or put it back where that is impossible."""
        parameter, sequence = self._parameter(), self._shown
        value = float(self._line.value()) / on_screen(parameter, 1.0)
        changed = None if sequence is None else with_settings(sequence, **{parameter.name: value})
        if changed is None:
            self._place_line()
        else:
            self.set_sequence(changed)

    def _draw_fixed(self) -> None:
        for item in self._fixed_items:
            self.plot.removeItem(item)
        self._fixed_items = [curve_item(entry.colour, dashes=entry.is_region) for entry in self._fixed]
        for item in self._fixed_items:
            self.plot.addItem(item)
        self._rows[1][:] = self._draw(self._fixed, self._fixed_items, self._dots)

    def _draw_cursor(self) -> None:
        shown = [] if self._cursor is None else [self._cursor]
        if not shown:
            self._cursor_item.setData([], [])
        self._rows[0][:] = self._draw(shown, [self._cursor_item], self._cursor_dot)

    def _draw(self, entries: Sequence[Entry], items: Sequence[Any], dots: Any) -> list[Row]:
        """Draw the curve of each entry and its dot at the present setting; returns their rows of the table."""
        if self._shown is None or self._sweep is None or not entries:
            dots.clear()
            return []
        tissues = [entry.tissue for entry in entries]
        heights = signals(self._shown, tissues)
        x = self._sweep.values * on_screen(self._parameter(), 1.0)
        for item, curve in zip(items, self._sweep(tissues), strict=True):
            item.setData(x, curve)
        there = np.isfinite(heights)
        at = np.full(int(there.sum()), self._line.value())
        dots.setData(at, heights[there], brush=[mkBrush(entry.colour) for entry in compress(entries, there)])
        return [_row(entry, float(height)) for entry, height in zip(entries, heights, strict=True)]

    def _fill_table(self) -> None:
        self.table.show_rows([*self._rows[0], *self._rows[1]])


def _row(entry: Entry, signal: float) -> Row:
    tissue, errors = entry.tissue, entry.errors
    texts = (
        tissue.name,
        _number(tissue.pd, errors.get("PD"), 3),
        _number(1e3 * tissue.t1, _times(1e3, errors.get("T1")), 0),
        _number(1e3 * tissue.t2, _times(1e3, errors.get("T2")), 0 if tissue.t2 >= 0.1 else 1),
        _number(signal, None, 3),
    )
    return Row(texts, entry.colour, entry.is_region)


def _number(value: float, error: float | None, digits: int) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" + ("" if error is None else f"\n± {error:.{digits}f}")


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value
