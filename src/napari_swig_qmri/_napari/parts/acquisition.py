"""Edit the sequence of a weighted image and its parameters, in ms and degrees."""

from __future__ import annotations

from dataclasses import Field
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, TextEdit
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import Form, column, native_of
from napari_swig_qmri._napari.parts.setting_boxes import SettingBoxes
from napari_swig_qmri.physics.sequence import Contrast, settings_of
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel
from napari_swig_qmri.physics.user_equation import EQUATION, FUNCTIONS, UserEquation, mentioned_settings
from napari_swig_qmri.synthesis.sequence_tables import sequence_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magicgui.widgets.bases import ValueWidget


UNKNOWN = "unknown"
FIRST_EQUATION = "PD * (1 - exp(-TR/T1)) * exp(-TE/T2)"  # shown at first
GRAMMAR = (
    f"PD, T1, T2, T2s, TE, TR, TI in s, FA in radians; + - * / ** and {', '.join(FUNCTIONS)}. "
    "T2s is the T2* map, or T2 without one."
)


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
        names = [(sequence.title, name) for name, sequence in SEQUENCES.items()]
        names += [(UserEquation.title, EQUATION)] if equations else []
        self.sequence_box = ComboBox(
            label=LABELS["sequence"],
            choices=[("choose the sequence", UNKNOWN), *names] if optional else names,
            tooltip="Sequence of the image. Its signal equation relates the image to PD, T1 and T2.",
        )
        self._form = Form(*([] if sliders else [self.sequence_box]))
        if sliders:  # as wide as the dock, for long names; the heading above says what it is
            self._form.addRow(native_of(self.sequence_box))
        self._boxes = SettingBoxes(self._form, self._update, sliders=sliders)
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
        return {} if kind is None else self._boxes.settings(settings_of(kind))

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
        kind = self.kind()
        if kind is not None and self.settings()[name] != value:
            parameter = next(item for item in settings_of(kind) if item.name == name)
            self._boxes.show(parameter, value)
            self._update()

    def parameter_boxes(self) -> dict[str, ValueWidget[Any]]:
        """Boxes or sliders of the shown sequence by parameter name."""
        return self._boxes.by_name()

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

    def _show_sequence(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        kept = {} if self._sliders else self.settings()  # parameters that both sequences have
        self._boxes.clear()
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
        if mentioned is not None and [item.name for item in mentioned] != list(self._boxes.by_name()):
            self._show_sequence(EQUATION, self.settings())
        else:
            self._update()

    def _add_boxes(self, starting: Mapping[str, Any], parameters: tuple[Field[Any], ...]) -> None:
        kind = self.kind()
        usual = {} if kind is None else starting_values(kind)
        for parameter in parameters:
            self._boxes.add(parameter, starting[parameter.name], usual[parameter.name])

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
