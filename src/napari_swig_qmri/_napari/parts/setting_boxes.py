"""Boxes for the settings of sequences and mapping protocols, in ms and degrees."""

from __future__ import annotations

import math
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, FloatSlider, FloatSpinBox, Slider, SpinBox
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox

from napari_swig_qmri._napari.parts.appearance import sentence
from napari_swig_qmri._napari.parts.boxes import Form
from napari_swig_qmri.physics.sequence import short_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from magicgui.widgets.bases import ValueWidget


SCREEN_UNITS = {
    "s": (1e3, "ms"),
    "rad": (180 / math.pi, "°"),
}  # unit of the parameter -> factor to the unit on screen, and its name
LARGEST = 1e6  # of a spin box; the sequence itself refuses impossible values
LONGEST_LABEL = 21  # characters of a label beside a box; longer labels stand above it
SLIDER_SPAN = 3.0  # end of a slider relative to the value of a usual protocol
WIDEST = "00000.0"  # value beside a slider


def on_screen(parameter: Field[Any], value: float) -> float:
    """Value of a sequence parameter in the unit on screen: ms, degrees or a plain number."""
    return value * SCREEN_UNITS.get(parameter.metadata["unit"], (1.0, ""))[0]


class SettingBoxes:
    """Boxes or sliders at the end of a form; a value that was set is kept to its last digit until it is changed.

    `changed` is called whenever a box changes.
    """

    def __init__(self, form: Form, changed: Callable[[], object], *, sliders: bool = False) -> None:
        self._form, self._changed, self._sliders = form, changed, sliders
        self._boxes: dict[str, ValueWidget[Any]] = {}
        self._n_rows = 0  # of the form without boxes
        self._exact: dict[str, tuple[Any, Any]] = {}  # (shown, exact) value, because boxes round what they show

    def by_name(self) -> dict[str, ValueWidget[Any]]:
        """Boxes by the name of their setting."""
        return dict(self._boxes)

    def settings(self, parameters: Iterable[Field[Any]]) -> dict[str, Any]:
        """Values by name in s and rad of those parameters that have a box."""
        return {each.name: self._inside(each) for each in parameters if each.name in self._boxes}

    def add(self, parameter: Field[Any], value: Any, usual: Any) -> None:
        """Append a box for a value in s or rad; a slider reaches to three times the usual value."""
        if not self._boxes:
            self._n_rows = self._form.rowCount()
        box = _box(parameter, value, usual, sliders=self._sliders)
        if not isinstance(box, CheckBox):
            low, high = (on_screen(parameter, bound) for bound in parameter.metadata["range"])
            box.tooltip = f"{_label(parameter)}: {low:g} to {high:g} {_unit(parameter)}"
        self._boxes[parameter.name] = box
        self._exact[parameter.name] = (box.value, value)
        self._form.add(box, label_above=len(box.label) > LONGEST_LABEL)
        box.changed.connect(self._changed)

    def show(self, parameter: Field[Any], value: float) -> None:
        """Show another value, in s or rad, without a call of `changed`."""
        box, shown = self._boxes[parameter.name], on_screen(parameter, value)
        with box.changed.blocked():
            if isinstance(box, FloatSlider):
                shown = round(shown, 4)
                box.max = max(box.max, shown)
            box.value = shown
        self._exact[parameter.name] = (box.value, value)

    def clear(self) -> None:
        """Delete all boxes at once, in this thread."""
        while self._boxes and self._form.rowCount() > self._n_rows:
            self._form.removeRow(self._n_rows)
        self._boxes, self._exact = {}, {}

    def _inside(self, parameter: Field[Any]) -> Any:
        shown = self._boxes[parameter.name].value
        before, exact = self._exact[parameter.name]
        if shown == before:
            return exact
        return shown / on_screen(parameter, 1.0) if _kind(parameter) == "float" else shown


def _box(parameter: Field[Any], value: Any, usual: Any, *, sliders: bool) -> ValueWidget[Any]:
    if _kind(parameter) == "bool":
        return CheckBox(text=_label(parameter), value=value)
    return _slider(parameter, value, usual) if sliders else _spin_box(parameter, value)


def _slider(parameter: Field[Any], value: Any, usual: Any) -> ValueWidget[Any]:
    whole, unit = _kind(parameter) == "int", _unit(parameter)
    shown = value if whole else round(on_screen(parameter, value), 4)
    low, high = (on_screen(parameter, bound) for bound in parameter.metadata["range"])
    high = max(min(high, SLIDER_SPAN * on_screen(parameter, usual)), shown)
    short = sentence(short_label(parameter))
    slider = (Slider if whole else FloatSlider)(
        label=f"{short}, {unit}" if unit else short, tooltip=_label(parameter), max=int(high) if whole else high
    )
    slider.min = min(int(low) if whole else low, shown)  # set after the maximum, which in magicgui 0.10 rescales both
    slider.step = 1 if whole else _step(high)
    slider.value = shown
    if not whole:
        readout: Any = slider.native.findChild(QDoubleSpinBox)
        readout.setDecimals(min(2, max(0, 4 - math.ceil(math.log10(high)))))  # 888 and not 888.46 ms
    spin_box: Any = slider.native.findChild(QAbstractSpinBox)
    spin_box.setStyleSheet("background: transparent; border: 0; min-width: 0; padding: 0;")
    spin_box.setFixedWidth(spin_box.fontMetrics().horizontalAdvance(WIDEST) + 6)  # the rest is for the slider
    return slider


def _spin_box(parameter: Field[Any], value: Any) -> ValueWidget[Any]:
    whole, unit = _kind(parameter) == "int", _unit(parameter)
    largest = int(LARGEST) if whole else LARGEST
    box = (SpinBox if whole else FloatSpinBox)(label=_label(parameter), min=0, max=largest, step=1)
    if not whole:
        box.native.setDecimals(2 if unit else 3)
        box.native.setSingleStep(_step(on_screen(parameter, max(value, 0.01))))
        box.native.setSuffix(f" {unit}" if unit else "")
    box.value = value if whole else on_screen(parameter, value)
    return box


def _unit(parameter: Field[Any]) -> str:
    return SCREEN_UNITS.get(parameter.metadata["unit"], (1.0, ""))[1]


def _step(high: float) -> float:
    return 10.0 ** math.floor(math.log10(high / 20))


def _label(parameter: Field[Any]) -> str:
    return str(parameter.metadata["label"])


def _kind(parameter: Field[Any]) -> str:
    return parameter.type if isinstance(parameter.type, str) else parameter.type.__name__
