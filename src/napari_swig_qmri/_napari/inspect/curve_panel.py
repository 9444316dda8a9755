"""Values of voxels and regions in a table, and a plot of their signals over one setting of a sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field
from itertools import compress
from typing import Any

import numpy as np
from pyqtgraph import mkBrush
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_swig_qmri._napari.inspect.value_table import Row, ValueTable
from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.appearance import Foldable, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery, is_torch_loaded, load_torch
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, Form, button, column, row
from napari_swig_qmri._napari.parts.plots import (
    Plot,
    colour_upright,
    curve_item,
    dots_item,
    name_axes,
    new_pen,
    upright,
)
from napari_swig_qmri._napari.parts.setting_boxes import SCREEN_UNITS, on_screen
from napari_swig_qmri.physics.sequence import Contrast, short_label, summary
from napari_swig_qmri.synthesis.curves import (
    Sweep,
    TissueValues,
    movable_settings,
    setting_values,
    signal_error,
    signals,
    sweep,
    with_settings,
)

OWN_SETTINGS = "the settings below"
CURSOR_WIDTH = 2.5  # pixels, of the curve of the cursor


@dataclass(frozen=True)
class Entry:
    """Values of a voxel or region, shown as a row of the table and a curve of the plot."""

    tissue: TissueValues
    colour: str
    is_region: bool = False
    errors: Mapping[str, float] = field(default_factory=dict)  # standard errors by quantity, unit of the maps


class CurvePanel(QWidget):
    """Table of PD, T1, T2 and signal, and a plot of the signals of a sequence.

    Curves of pins and regions are computed when these or the sequence change; a move of the cursor computes one curve.
    """

    sequence_changed = Signal()
    unpin_wanted = Signal()

    def __init__(self, sequence: Contrast) -> None:
        super().__init__()
        self._fixed: list[Entry] = []  # pins and regions
        self._cursor: Entry | None = None
        self._is_loading = not is_torch_loaded()  # torch, which computes signals
        self._sweep: Sweep | None = None  # of the shown sequence over the chosen setting
        self._fixed_rows: list[Row] = []
        self._cursor_rows: list[Row] = []
        self._followed: Contrast | None = None  # sequence of the followed layer
        self._shown: Contrast | None = None  # last possible sequence, which the curves show
        self.follow = ChoiceBox(
            label="Sequence of",
            none=OWN_SETTINGS,
            tooltip="Use the settings below, or follow a contrast layer while its sliders move.",
        )
        self.editor = AcquisitionEditor(sliders=True, optional=False, equations=True)
        self.editor.set_value(sequence)
        self.editor_fold = Foldable("", self.editor)
        self.setting = ChoiceBox(
            tooltip="Setting on the horizontal axis. Drag the vertical line in the plot to change its value."
        )
        self.hint = wrapped_label(role="note")
        self.table = ValueTable()
        self.plot = Plot()
        self._line = upright()
        self._dots, self._cursor_dot = dots_item(), dots_item()
        self._cursor_item = curve_item(self.plot.text_colour)
        self._fixed_items: list[Any] = []
        self.unpin_button = button("Remove pins", "Remove all pinned voxels.", self.unpin_wanted.emit)
        self._lay_out()
        self.unpin_button.native.setVisible(False)
        self.set_followable([])
        self.editor.changed.connect(self._follow_edit)
        self.follow.changed.connect(self.refresh_followed)
        self.setting.changed.connect(self._redraw)
        self._line.sigPositionChangeFinished.connect(self._follow_line)
        self.plot.recoloured.connect(self._recolour)
        self._recolour()
        self._take_sequence()
        self._loading = BackgroundQuery(self, pause=0)
        self._loading.answered.connect(self._start_drawing)
        if self._is_loading:
            self._loading.ask(load_torch)

    @property
    def is_ready(self) -> bool:
        """Whether the signal models are loaded."""
        return not self._is_loading

    def sequence(self) -> Contrast | None:
        """Sequence whose signals are shown; None if its settings are impossible."""
        return self._followed or self.editor.value()

    def set_sequence(self, sequence: Contrast) -> None:
        """Show the signals of a sequence, and follow no layer."""
        self.follow.choose(None)
        self.editor.set_value(sequence)

    def set_followable(self, layers: Sequence[tuple[str, Any]]) -> None:
        """Offer contrast layers, as pairs of name and layer, whose sequence can be followed."""
        self.follow.set_choices(layers)
        self.follow.enabled = len(layers) > 0

    def refresh_followed(self) -> None:
        """Show the present sequence of the followed layer."""
        layer = self.follow.value
        self._followed = None if layer is None else layer.data.sequence
        if self._followed is not None and self._followed != self.editor.value():
            self.editor.blockSignals(True)
            self.editor.set_value(self._followed)
            self.editor.blockSignals(False)
        self._take_sequence()

    def show_cursor(self, entry: Entry | None, hint: str = "") -> None:
        """Show the voxel under the cursor, and a hint, such as why there is no voxel."""
        self._cursor = entry
        set_text(self.hint, hint)
        self._draw_cursor()
        self._fill_table()

    def show_fixed(self, entries: Sequence[Entry]) -> None:
        """Show pinned voxels and regions."""
        self._fixed = list(entries)
        self.unpin_button.native.setVisible(any(not entry.is_region for entry in entries))
        self._draw_fixed()
        self._fill_table()

    def _lay_out(self) -> None:
        for item in (self._line, self._cursor_item, self._dots, self._cursor_dot):
            self.plot.addItem(item)
        axis = row(QLabel("Signal against"), self.setting, stretch=(0, 1))
        self.setLayout(
            column(self.hint, self.table, self.unpin_button, Form(self.follow), self.editor_fold, axis, self.plot)
        )

    def _recolour(self) -> None:
        """Give the line and the curve of the cursor the colour of text in the theme."""
        colour_upright(self._line, self.plot.text_colour)
        self._cursor_item.setPen(new_pen(self.plot.text_colour, width=CURSOR_WIDTH))

    def _start_drawing(self) -> None:
        """Draw the curves, once torch is loaded."""
        self._is_loading = False
        self._redraw()

    def _follow_edit(self) -> None:
        if self._followed is not None and self.editor.value() != self._followed:
            self._followed = None
            self.follow.choose(None)
        self._take_sequence()

    def _take_sequence(self) -> None:
        sequence = self.sequence()
        if sequence is None:
            self.editor_fold.set_title("These settings are impossible")
            self.editor_fold.set_unfolded(True)
        elif sequence != self._shown:
            self._shown = sequence
            self.editor_fold.set_title(summary(sequence))
            movable = movable_settings(sequence)
            self.setting.set_choices([(str(each.metadata["label"]), name) for name, each in movable.items()])
            self._redraw()
        self.sequence_changed.emit()

    def _redraw(self) -> None:
        sequence, setting = self._shown, self.setting.value
        if sequence is None or setting is None or self._is_loading:
            return
        parameter = self._parameter(sequence)
        values = setting_values(sequence, setting)
        self._sweep = sweep(sequence, setting, values)
        unit = SCREEN_UNITS[parameter.metadata["unit"]][1]
        signal = "Signal (unit of PD)" if sequence.is_scaled_by_pd else "Signal"
        name_axes(self.plot, f"{short_label(parameter)} ({unit})", signal)
        self.plot.setXRange(*(on_screen(parameter, end) for end in values[[0, -1]]), padding=0.02)
        self._place_line(sequence)
        self._draw_fixed()
        self._draw_cursor()
        self._fill_table()

    def _parameter(self, sequence: Contrast) -> Field[Any]:
        """Setting on the horizontal axis."""
        return movable_settings(sequence)[self.setting.value]

    def _place_line(self, sequence: Contrast) -> None:
        parameter = self._parameter(sequence)
        self._line.blockSignals(True)
        self._line.setValue(on_screen(parameter, getattr(sequence, parameter.name)))
        self._line.blockSignals(False)

    def _follow_line(self) -> None:
        """Take the setting from the dragged line, or move the line back if that setting is impossible."""
        sequence = self._shown
        if sequence is None:
            return
        parameter = self._parameter(sequence)
        value = float(self._line.value()) / on_screen(parameter, 1.0)
        changed = with_settings(sequence, **{parameter.name: value})
        if changed is None:
            self._place_line(sequence)
        else:
            self.set_sequence(changed)

    def _draw_fixed(self) -> None:
        for item in self._fixed_items:
            self.plot.removeItem(item)
        self._fixed_items = [curve_item(entry.colour, dashes=entry.is_region) for entry in self._fixed]
        for item in self._fixed_items:
            self.plot.addItem(item)
        self._fixed_rows = self._draw(self._fixed, self._fixed_items, self._dots)

    def _draw_cursor(self) -> None:
        entries = [] if self._cursor is None else [self._cursor]
        if not entries:
            self._cursor_item.setData([], [])
        self._cursor_rows = self._draw(entries, [self._cursor_item], self._cursor_dot)

    def _draw(self, entries: Sequence[Entry], items: Sequence[Any], dots: Any) -> list[Row]:
        """Draw the curve of each entry and a dot at the present setting; returns their rows of the table."""
        sequence = self._shown
        if sequence is None or self._sweep is None or not entries:
            dots.clear()
            return []
        tissues = [entry.tissue for entry in entries]
        heights = signals(sequence, tissues)
        x = self._sweep.values * on_screen(self._parameter(sequence), 1.0)
        for item, curve in zip(items, self._sweep(tissues), strict=True):
            item.setData(x, curve)
        is_finite = np.isfinite(heights)
        at = np.full(int(is_finite.sum()), self._line.value())
        dots.setData(at, heights[is_finite], brush=[mkBrush(entry.colour) for entry in compress(entries, is_finite)])
        return [
            _entry_row(entry, float(height), signal_error(sequence, entry.tissue, entry.errors))
            for entry, height in zip(entries, heights, strict=True)
        ]

    def _fill_table(self) -> None:
        self.table.show_rows([*self._cursor_rows, *self._fixed_rows])


def _entry_row(entry: Entry, signal: float, signal_error: float | None) -> Row:
    tissue = entry.tissue
    errors = {name: error if name == "PD" else 1e3 * error for name, error in entry.errors.items()}
    texts = (
        tissue.name,
        _value_text(tissue.pd, errors.get("PD"), 3),
        _value_text(1e3 * tissue.t1, errors.get("T1"), 0),
        _value_text(1e3 * tissue.t2, errors.get("T2"), 0 if tissue.t2 >= 0.1 else 1),
        _value_text(signal, signal_error, 3),
    )
    return Row(texts, entry.colour, entry.is_region)


def _value_text(value: float, error: float | None, digits: int) -> str:
    """A value, and its standard error on a second line; a dash if the value is not finite."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}" + ("" if error is None else f"\n± {error:.{digits}f}")
