"""Edit the sequence of a weighted image and its parameters, in ms and degrees."""

from __future__ import annotations

import math
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, FloatSpinBox, Slider, SpinBox, TextEdit
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QWidget

from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import Form, column, native_of
from napari_swig_qmri.physics.sequence import Contrast, settings_of, short_label
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel
from napari_swig_qmri.physics.user_equation import EQUATION, FUNCTIONS, UserEquation, mentioned_settings
from napari_swig_qmri.synthesis.sequence_tables import sequence_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magicgui.widgets.bases import ValueWidget


SCREEN_UNITS = {
    "s": (1e3, "ms"),
    "rad": (180 / math.pi, "°"),
}  # unit of the parameter -> factor to the unit on screen, and its name
LARGEST = 1e6  # of a spin box; the sequence itself refuses impossible values
UNKNOWN = "unknown"
LONGEST_LABEL = 26  # characters of a label beside a box; longer labels stand above it
SLIDER_SPAN = 3.0  # end of a slider relative to the value of a usual protocol
FIRST_EQUATION = "PD * (1 - exp(-TR/T1)) * exp(-TE/T2)"  # shown at first
GRAMMAR = (
    f"PD, T1, T2, T2s, TE, TR, TI in s, FA in radians; + - * / ** and {', '.join(FUNCTIONS)}. "
    "T2s is the T2* map, or T2 without one."
)
WIDEST = "00000.0"  # value beside a slider
FIXED_ROWS = 3  # of the form: sequence, equation, and the names that it may use


def on_screen(parameter: Field[Any], value: float) -> float:
    """Value of a sequence parameter in the unit on screen: ms, degrees or a plain number."""
    return value * SCREEN_UNITS.get(parameter.metadata["unit"], (1.0, ""))[0]


def starting_values(sequence: type[Contrast]) -> dict[str, Any]:
    """Values of a usual protocol by parameter; defaults of the sequence where the protocol has none."""
    return {item.name: sequence.typical.get(item.name, item.default) for item in settings_of(sequence)}


class AcquisitionEditor(QWidget):
    """Boxes for a sequence and its parameters; emits `changed` whenever the value or its problem changes.

    Parameters
    ----------
    sliders
        Use sliders in place of boxes for numbers.
    optional
        Offer an unknown sequence, too.
    equations
        Offer a typed equation, too, with boxes for the parameters that it mentions.
    """

    changed = Signal()

    def __init__(
        self,
        *,
        sliders: bool = False,
        optional: bool = True,
        equations: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._sliders = sliders
        self._boxes: dict[str, ValueWidget[Any]] = {}
        self._exact: dict[str, tuple[Any, Any]] = {}  # (shown, exact) value, because boxes round what they show
        names = [(sequence.title, name) for name, sequence in SEQUENCES.items()]
        names += [(UserEquation.title, EQUATION)] if equations else []
        self.sequence_box = ComboBox(
            label="Sequence",
            choices=[("choose the sequence", UNKNOWN), *names] if optional else names,
            tooltip="Sequence of the image. Its signal equation relates the image to PD, T1 and T2.",
        )
        self._form = Form(self.sequence_box)
        self.equation_box = _equation_box()
        self._grammar = wrapped_label(GRAMMAR, role="note")
        self._form.addRow(self.equation_box.native)
        self._form.addRow(self._grammar)
        self.problem_label = wrapped_label(role="problem")
        self.setLayout(column(self._form, self.problem_label, spacing=2))
        self.sequence_box.changed.connect(self._show_sequence)
        self.equation_box.native.textChanged.connect(self._take_equation)  # magicgui 0.10 emits no `changed`
        self._show_sequence(self.sequence_box.value)

    def value(self) -> Contrast | None:
        """Sequence with its parameters in s and rad; None if unknown or impossible."""
        return self._read()[0]

    def sequence(self) -> SignalModel | None:
        """Value if it is the sequence of a scanner; None for an equation, which no guide can have."""
        value = self.value()
        return value if isinstance(value, SignalModel) else None

    def kind(self) -> type[Contrast] | None:
        """Class of the chosen sequence; None if unknown."""
        name = self.sequence_box.value
        return UserEquation if name == EQUATION else SEQUENCES.get(name)

    def settings(self) -> dict[str, Any]:
        """Shown parameters by name in s and rad, even if they are impossible together."""
        kind = self.kind()
        shown = [item for item in settings_of(kind) if item.name in self._boxes] if kind is not None else []
        return {item.name: self._inside(item, self._boxes[item.name].value) for item in shown}

    def problem(self) -> str | None:
        """Reason why the parameters are impossible, from the sequence; None if they are possible."""
        return self._read()[1]

    def set_value(self, model: Contrast | None) -> None:
        """Show a sequence and its parameters."""
        name = UNKNOWN if model is None else sequence_key(model)
        with self.sequence_box.changed.blocked():
            self.sequence_box.value = name
        if isinstance(model, UserEquation):
            with QSignalBlocker(self.equation_box.native):
                self.equation_box.value = model.text
        values = {} if model is None else {item.name: getattr(model, item.name) for item in settings_of(model)}
        self._show_sequence(name, values)

    def show_setting(self, name: str, value: float) -> None:
        """Show another value of one parameter, in s or rad, and keep the boxes of the others."""
        kind, box = self.kind(), self._boxes[name]
        if kind is None or self.settings()[name] == value:
            return
        parameter = next(item for item in settings_of(kind) if item.name == name)
        shown = on_screen(parameter, value)
        with box.changed.blocked():
            if isinstance(box, FloatSlider):
                shown = round(shown, 4)
                box.max = max(box.max, shown)
            box.value = shown
        self._exact[name] = (box.value, value)
        self._update()

    def parameter_boxes(self) -> dict[str, ValueWidget[Any]]:
        """Boxes or sliders of the shown sequence by parameter name."""
        return dict(self._boxes)

    def _read(self) -> tuple[Contrast | None, str | None]:
        kind = self.kind()
        if kind is None:
            return None, None
        values = self.settings() | ({"text": self._equation()} if kind is UserEquation else {})
        try:
            return kind(**values), None
        except ValueError as error:
            return None, str(error)

    def _equation(self) -> str:
        return str(self.equation_box.value).strip()

    def _inside(self, parameter: Field[Any], shown: Any) -> Any:
        before, exact = self._exact.get(parameter.name, (None, None))
        if shown == before:
            return exact
        if _kind(parameter) != "float":
            return shown
        return shown / on_screen(parameter, 1.0)

    def _show_sequence(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        kept = {} if self._sliders else self.settings()  # parameters that both sequences have
        while self._form.rowCount() > FIXED_ROWS:
            self._form.removeRow(FIXED_ROWS)  # deletes the boxes at once, in this thread
        self._boxes, self._exact = {}, {}
        for part in (self.equation_box.native, self._grammar):
            part.setVisible(name == EQUATION)
        if name == EQUATION:
            self._add_boxes(starting_values(UserEquation) | dict(values or {}), self._mentioned() or ())
        elif name != UNKNOWN:
            usual = starting_values(SEQUENCES[name])
            starting = {**usual, **values} if values is not None else _playable(SEQUENCES[name], usual, kept)
            self._add_boxes(starting, settings_of(SEQUENCES[name]))
        self._update()

    def _mentioned(self) -> tuple[Field[Any], ...] | None:
        """Parameters that the typed equation mentions; None while the equation cannot be read."""
        try:
            return mentioned_settings(self._equation())
        except ValueError:
            return None

    def _take_equation(self) -> None:
        """Update the boxes when the typed equation mentions other parameters."""
        mentioned = self._mentioned()
        if mentioned is not None and [item.name for item in mentioned] != list(self._boxes):
            self._show_sequence(EQUATION, self.settings())
        else:
            self._update()

    def _add_boxes(self, starting: Mapping[str, Any], parameters: tuple[Field[Any], ...]) -> None:
        kind = self.kind()
        usual = {} if kind is None else starting_values(kind)
        for parameter in parameters:
            self._add_box(parameter, starting[parameter.name], usual[parameter.name])

    def _add_box(self, parameter: Field[Any], value: Any, usual: Any) -> None:
        box = _box(parameter, value, usual, sliders=self._sliders)
        if not isinstance(box, CheckBox):
            low, high = (on_screen(parameter, bound) for bound in parameter.metadata["range"])
            box.tooltip = f"{_label(parameter)}: {low:g} to {high:g} {_unit(parameter)}"
        self._boxes[parameter.name] = box
        self._exact[parameter.name] = (box.value, value)
        self._form.add(box, label_above=len(box.label) > LONGEST_LABEL)
        box.changed.connect(self._update)

    def _update(self) -> None:
        set_text(self.problem_label, sentence(self.problem() or ""))
        self.changed.emit()


def _equation_box() -> TextEdit:
    """Box for an equation of a few lines. The Tab key moves on to the next box."""
    box = TextEdit(
        value=FIRST_EQUATION, tooltip="Signal as a formula. It is evaluated as a formula, never run as a program."
    )
    native: Any = native_of(box)
    native.setAcceptRichText(False)
    native.setTabChangesFocus(True)
    native.setFixedHeight(3 * native.fontMetrics().lineSpacing() + 12)
    native.setStyleSheet("QTextEdit { border: 1px solid #7a838c; border-radius: 2px; padding: 1px; }")
    return box


def _playable(sequence: type[SignalModel], usual: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Usual values, updated with those kept from another sequence if the sequence accepts the two together."""
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
    short = sentence(short_label(parameter))
    slider = (Slider if whole else FloatSlider)(
        label=f"{short}, {unit}" if unit else short, max=int(high) if whole else high
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
