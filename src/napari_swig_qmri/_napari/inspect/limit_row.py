"""Limits of one setting in a search."""

from __future__ import annotations

import math
from dataclasses import Field
from typing import Any

from magicgui.widgets import CheckBox, FloatSpinBox
from qtpy.QtWidgets import QAbstractSpinBox

from napari_swig_qmri._napari.parts.boxes import native_of
from napari_swig_qmri._napari.parts.setting_boxes import on_screen
from napari_swig_qmri.physics.sequence import short_label

LARGEST = 1e6  # ms or degrees


class LimitRow:
    """Boxes that say whether a setting is searched, and between which limits in ms or degrees."""

    def __init__(self, parameter: Field[Any], limits: tuple[float, float], *, is_on: bool) -> None:
        self.parameter = parameter
        self.box = CheckBox(
            text=short_label(parameter).removesuffix(" angle"),
            value=is_on,
            tooltip=f"{parameter.metadata['label']}: search between these limits",
        )
        self.ends = tuple(_limit_box(on_screen(parameter, end)) for end in limits)
        # Limits that are not edited stay exact, although the boxes round them.
        self._exact = tuple((end.value, exact) for end, exact in zip(self.ends, limits, strict=True))
        self.box.changed.connect(self._enable)
        self._enable(is_on)

    def value(self) -> tuple[float, float]:
        """Lower and upper limit in s or rad."""
        low, high = (
            exact if end.value == shown else end.value / on_screen(self.parameter, 1.0)
            for end, (shown, exact) in zip(self.ends, self._exact, strict=True)
        )
        return low, high

    def _enable(self, is_on: bool) -> None:
        for end in self.ends:
            end.enabled = is_on


def _limit_box(value: float) -> FloatSpinBox:
    box = FloatSpinBox(min=0, max=LARGEST, step=1)
    native: Any = native_of(box)
    native.setDecimals(max(0, 2 - math.floor(math.log10(max(value, 0.1)))))
    native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)  # they would cover the numbers in a narrow dock
    native.setMinimumWidth(0)
    native.setStyleSheet("QDoubleSpinBox { min-width: 36px; padding: 1px 4px; }")
    box.value = value
    return box
