"""Choosers, buttons and forms of magicgui boxes that fit a narrow dock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from magicgui.widgets import ComboBox, PushButton
from magicgui.widgets.bases import ButtonWidget, Widget
from napari.layers import Layer
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLayout,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.appearance import shortened, wrapped_label

Choices = Iterable[tuple[str, Any]]
Layers = Callable[[], Sequence[Layer]]
Part = Widget | QWidget | QLayout
CHOOSE_FILE = "Choose a file…"
MARGIN = 6  # pixels between the text of a box and its edges


def native_of(box: Widget) -> QWidget:
    """Qt widget of a magicgui box, owned by Qt alone and able to shrink with the dock.

    magicgui leaves the event filter of a box to Python's garbage collector. The collector may run in a worker thread
    after the dock was closed, and destroying a Qt object there crashes. As a child the filter goes with its box.
    """
    native: QWidget = box.native
    event_filter = getattr(box._widget, "_event_filter", None)
    if event_filter is not None:
        event_filter.setParent(native)
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        native.setMinimumContentsLength(6)
    native.setMinimumWidth(60)
    native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return native


class ChoiceBox(ComboBox):
    """Chooser of one of several values that come and go.

    Choices are pairs of a text and a value, or a function that returns them. With `none` the value None is offered
    first, under that text. `changed` carries every new value, whether the user or the program chose it.
    """

    def __init__(
        self, choices: Choices | Callable[[], Choices] = (), *, none: str | None = None, **options: Any
    ) -> None:
        self.null_string = none or ""
        self._offered = choices
        super().__init__(choices=self._list, nullable=none is not None, **options)
        native_of(self)
        self.elided = MiddleElided(self.native)

    def set_choices(self, choices: Choices) -> None:
        """Offer other choices. The value stays if it is still offered; otherwise the first choice is taken."""
        self._offered = list(choices)
        self.reset_choices()

    def reset_choices(self, *_: Any) -> None:
        """List the choices anew. The value stays if it is still offered, also under another text."""
        before = self.value
        with self.changed.blocked():
            self.native.clear()  # magicgui appends new choices to those that are listed already
            super().reset_choices()
            self.choose(before)
        if not self._nullable:
            self.enabled = len(self) > 0
        if self.value is not before and self.value != before:
            self.changed.emit(self.value)

    def choose(self, value: Any) -> None:
        """Choose a value if it is offered."""
        if value in self.choices:
            self.value = value

    def _list(self, _: object) -> list[tuple[str, Any]]:
        return list(self._offered() if callable(self._offered) else self._offered)


def layer_box(layers: Layers, **options: Any) -> ChoiceBox:
    """Chooser of one of the layers that a function returns, or of none; `reset_choices` follows the viewer."""
    return ChoiceBox(lambda: [(layer.name, layer) for layer in layers()], none="none", **options)


def button(text: str, tooltip: str = "", action: Callable[..., Any] | None = None) -> PushButton:
    """Push button that calls a function when it is pressed."""
    made = PushButton(text=text, tooltip=tooltip)
    native_of(made)
    if action is not None:
        made.changed.connect(action)
    return made


class Form(QFormLayout):
    """Boxes below each other with their labels at the left, and notes as wide as the form between them.

    The forms of magicgui cannot hold such notes.
    """

    def __init__(self, *boxes: Widget) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        self.setSpacing(4)
        for box in boxes:
            self.add(box)

    def add(self, box: Widget, *, note: str = "", label_above: bool = False) -> None:
        """Append a box with its label beside or above it, and a note below."""
        has_label = not isinstance(box, ButtonWidget)  # buttons have their label inside
        if has_label and not label_above:
            self.addRow(box.label, native_of(box))
        else:
            if has_label:
                self.addRow(wrapped_label(box.label))
            self.addRow(native_of(box))
        if note:
            self.addRow(wrapped_label(note, role="note"))

    def set_visible(self, box: Widget, visible: bool) -> None:
        """Show or hide a box with its label."""
        self.setRowVisible(box.native, visible)


def column(*parts: Part, spacing: int = 4) -> QVBoxLayout:
    """Layout of parts below each other, without margins."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        add_part(layout, part)
    return layout


def row(*parts: Part, stretch: Sequence[int] = ()) -> QHBoxLayout:
    """Layout of parts beside each other, without margins; `stretch` is their share of the width."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        add_part(layout, part)
    for index, share in enumerate(stretch):
        layout.setStretch(index, share)
    return layout


def add_part(layout: QVBoxLayout | QHBoxLayout, part: Part) -> None:
    """Append a layout, a Qt widget or a magicgui box to a layout."""
    if isinstance(part, QLayout):
        layout.addLayout(part)
    else:
        layout.addWidget(part if isinstance(part, QWidget) else native_of(part))


class MiddleElided(QObject):
    """Shortens the text of a combo box in its middle, because names of layers differ at their ends.

    It has no attributes: Python may have cleared them when the last events of a closed dock arrive.
    """

    def __init__(self, box: QComboBox) -> None:
        super().__init__(box)
        box.installEventFilter(self)

    def text(self) -> str:
        """Text of the current choice, shortened to the width of the box."""
        box, option = self.parent(), QStyleOptionComboBox()
        assert isinstance(box, QComboBox)
        box.initStyleOption(option)
        return _fit(box, option)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Paint the box with the shortened text."""
        if not isinstance(watched, QComboBox) or event is None or event.type() != QEvent.Type.Paint:
            return False
        option, painter = QStyleOptionComboBox(), QStylePainter(watched)
        watched.initStyleOption(option)
        option.currentText = _fit(watched, option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True


def _fit(box: QComboBox, option: QStyleOptionComboBox) -> str:
    """Text of an option, shortened to the width of its box."""
    style, field = box.style(), QStyle.SubControl.SC_ComboBoxEditField
    width = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, box).width() if style else 0
    names = [box.itemText(index) for index in range(box.count())]
    return shortened(option.currentText or "", names, partial(elided, box, width=width - MARGIN))


def elided(widget: QWidget, text: str, *, width: int) -> str:
    """Text shortened in its middle to a width in pixels, in the font of a widget."""
    return widget.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, width)
