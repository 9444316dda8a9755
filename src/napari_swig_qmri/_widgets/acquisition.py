"""Edit the sequence of a weighted image: which one it is, and its parameters in ms and degrees."""

from __future__ import annotations

import math
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, FloatSpinBox, Slider, SpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_swig_qmri._widgets.appearance import form, native_of, wrapped_label
from napari_swig_qmri.signal_models import SEQUENCES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magicgui.widgets.bases import ValueWidget

    from napari_swig_qmri.signal_models import SignalModel

SCREEN_UNITS = {
    "s": (1e3, "ms"),
    "rad": (180 / math.pi, "°"),
}  # unit inside -> factor to, and name of, that on screen
LARGEST = 1e6  # a spin box holds any number a person may type; the sequence says what is impossible
UNKNOWN = "unknown"
LONGEST_LABEL = 26  # characters beside a box; longer ones stand above it
SLIDER_SPAN = 3.0  # a slider reaches this many times the value of a usual protocol


def sequence_name(model: SignalModel) -> str:
    """Name on the command line of the sequence that `model` belongs to."""
    return next(name for name, sequence in SEQUENCES.items() if sequence is type(model))


def on_screen(parameter: Field[Any], value: float) -> float:
    """Value of a sequence parameter in the unit a person reads: ms, degrees or a plain number."""
    return value * SCREEN_UNITS.get(parameter.metadata["unit"], (1.0, ""))[0]


def starting_values(sequence: type[SignalModel]) -> dict[str, Any]:
    """Values an editor opens with: those of a usual protocol, else the defaults of the sequence."""
    return {item.name: sequence.typical.get(item.name, item.default) for item in fields(sequence)}


class AcquisitionEditor(QWidget):
    """A sequence and its parameters; emits `changed` whenever the value or its problem changes."""

    changed = Signal()

    def __init__(self, *, sliders: bool = False, optional: bool = True, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sliders = sliders
        self._boxes: dict[str, ValueWidget[Any]] = {}
        self._exact: dict[str, tuple[Any, Any]] = {}  # shown -> exact, so that showing a value does not round it
        names = [(sequence.title, name) for name, sequence in SEQUENCES.items()]
        self.sequence_box = ComboBox(
            label="Sequence",
            choices=[("choose the sequence", UNKNOWN), *names] if optional else names,
            tooltip="How the image was acquired: its equation ties the image to PD, T1 and T2.",
        )
        self._form = form()
        self._form.addRow("Sequence", native_of(self.sequence_box))
        self.problem_label = wrapped_label(role="problem")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._form)
        layout.addWidget(self.problem_label)
        self.sequence_box.changed.connect(self._show_sequence)
        self._show_sequence(self.sequence_box.value)

    def value(self) -> SignalModel | None:
        """The sequence with its parameters, in seconds and radians; None if unknown or impossible."""
        return self._read()[0]

    def problem(self) -> str | None:
        """Why the parameters are impossible, in the words of the sequence; None if they are fine."""
        return self._read()[1]

    def set_value(self, model: SignalModel | None) -> None:
        """Show a sequence and its parameters."""
        name = UNKNOWN if model is None else sequence_name(model)
        with self.sequence_box.changed.blocked():
            self.sequence_box.value = name
        values = {} if model is None else {item.name: getattr(model, item.name) for item in fields(model)}
        self._show_sequence(name, values)

    def parameter_boxes(self) -> dict[str, ValueWidget[Any]]:
        """The boxes or sliders of the shown sequence, by parameter name."""
        return dict(self._boxes)

    def _read(self) -> tuple[SignalModel | None, str | None]:
        name = self.sequence_box.value
        if name == UNKNOWN:
            return None, None
        values = {item.name: self._inside(item, self._boxes[item.name].value) for item in fields(SEQUENCES[name])}
        try:
            return SEQUENCES[name](**values), None
        except ValueError as error:
            return None, str(error)

    def _inside(self, parameter: Field[Any], shown: Any) -> Any:
        before, exact = self._exact.get(parameter.name, (None, None))
        if shown == before:
            return exact
        if _kind(parameter) != "float":
            return shown
        return shown / on_screen(parameter, 1.0)

    def _show_sequence(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        kept = {} if self._sliders else self._shared_values(name)
        while self._form.rowCount() > 1:  # deletes the boxes now and here, not when and where Python gets to it
            self._form.removeRow(1)
        self._boxes, self._exact = {}, {}
        if name != UNKNOWN:
            usual = starting_values(SEQUENCES[name])
            starting = {**usual, **values} if values is not None else _playable(SEQUENCES[name], usual, kept)
            for parameter in fields(SEQUENCES[name]):
                self._add_box(parameter, starting[parameter.name], usual[parameter.name])
        self._update()

    def _shared_values(self, name: str) -> dict[str, Any]:
        """Values on show that the next sequence understands too, such as the echo time."""
        if name == UNKNOWN or not self._boxes:
            return {}
        return {
            item.name: self._inside(item, self._boxes[item.name].value)
            for item in fields(SEQUENCES[name])
            if item.name in self._boxes
        }

    def _add_box(self, parameter: Field[Any], value: Any, usual: Any) -> None:
        box = _box(parameter, value, usual, sliders=self._sliders)
        if not isinstance(box, CheckBox):
            low, high = (on_screen(parameter, bound) for bound in parameter.metadata["range"])
            box.tooltip = f"{_label(parameter)}: {low:g} to {high:g} {_unit(parameter)}"
        self._boxes[parameter.name] = box
        self._exact[parameter.name] = (box.value, value)
        if isinstance(box, CheckBox):
            self._form.addRow(native_of(box))
        elif self._sliders or len(box.label) > LONGEST_LABEL:
            self._form.addRow(QLabel(box.label))
            self._form.addRow(native_of(box))
        else:
            self._form.addRow(QLabel(box.label), native_of(box))
        box.changed.connect(self._update)

    def _update(self) -> None:
        problem = self.problem()
        self.problem_label.setText(problem or "")
        self.problem_label.setVisible(problem is not None)
        self.changed.emit()


def _playable(sequence: type[SignalModel], usual: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The usual values with those kept from another sequence, unless the two exclude each other."""
    values = {**usual, **kept}
    try:
        sequence(**values)
    except ValueError:
        return usual
    return values


def _box(parameter: Field[Any], value: Any, usual: Any, *, sliders: bool) -> ValueWidget[Any]:
    if _kind(parameter) == "bool":
        return CheckBox(text=_label(parameter), value=value)
    return _slider(parameter, value, usual) if sliders else _spin_box(parameter, value)


def _slider(parameter: Field[Any], value: Any, usual: Any) -> ValueWidget[Any]:
    whole, unit = _kind(parameter) == "int", _unit(parameter)
    shown = value if whole else round(on_screen(parameter, value), 4)
    low, high = (on_screen(parameter, bound) for bound in parameter.metadata["range"])
    high = max(min(high, SLIDER_SPAN * on_screen(parameter, usual)), shown)
    slider = (Slider if whole else FloatSlider)(
        label=f"{_label(parameter)}, {unit}" if unit else _label(parameter),
        min=min(int(low) if whole else low, shown),
        max=int(high) if whole else high,
        step=1 if whole else _step(high),
    )
    slider.value = shown
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
