"""Texts of the docks: colours, labels that wrap, and parts that fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.control_names import for_window
from napari_swig_qmri.data.wording import for_qt

_COLOURS = {  # role -> colour on dark and on light themes, with a contrast of at least 4.5 to 1
    "note": ("#9aa5b1", "#59626c"),
    "assumption": ("#dcae55", "#7d5200"),
    "problem": ("#f08a75", "#a5341f"),
}


def is_light(theme: str) -> bool:
    """Whether a theme of napari has a light background."""
    return bool(sum(get_theme(theme).background.as_rgb_tuple()[:3]) > 3 * 128)


def style_sheet(theme: str) -> str:
    """Style sheet with the colours of the roles of texts: "note" (explanations), "assumption" (guesses), "problem"."""
    return "".join(
        f'QWidget[role="{role}"] {{ color: {colours[is_light(theme)]}; }}' for role, colours in _COLOURS.items()
    )


def set_role(widget: QWidget, role: str) -> None:
    """Give the text of a widget the colour of a role, in every theme; "text" is the colour of other text."""
    if widget.property("role") != role:
        widget.setProperty("role", role)
        if (style := widget.style()) is not None:  # Qt reads the property only when the widget is polished
            style.unpolish(widget)
            style.polish(widget)


def wrapped_label(text: str = "", role: str = "text") -> QLabel:
    """Label that wraps its text instead of widening the dock. The text can be copied."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)  # names and sidecars are no HTML
    label.setWordWrap(True)
    set_role(label, role)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setVisible(bool(text))
    return label


def set_text(label: QLabel, text: str) -> None:
    """Show a text, or hide the label if the text is empty."""
    label.setText(for_window(text))
    label.setVisible(bool(text))


def show_note(label: QLabel, text: str, *, problem: bool = False) -> None:
    """Show a sentence as a note or as a problem, or hide the label if the text is empty."""
    set_role(label, "problem" if problem else "note")
    set_text(label, sentence(text))


def unwrapped(thing: Any) -> Any:
    """Viewer or layer without the proxy in which napari passes it to plugins."""
    return getattr(thing, "__wrapped__", thing)


def sentence(text: str) -> str:
    """Message as the window shows it: with a capital first letter, and with the labels of the controls it names."""
    text = for_window(text)
    return text[:1].upper() + text[1:]


def shortened(name: str, names: Iterable[str], elide: Callable[[str], str]) -> str:
    """Name as `elide` shortens it; where that looks like another of `names`, it begins where the two first differ."""
    short = elide(name)
    alike = [other for other in names if other != name and elide(other) == short]
    if short == name or not alike:
        return short
    first = min(_n_shared(name, other) for other in alike)
    word = 1 + max(name.rfind(" ", 0, first), name.rfind("_", 0, first))
    candidates = [elide(f"…{name[start:]}") for start in (word, first)]
    taken = {elide(f"…{other[word:]}") for other in alike}
    return candidates[candidates[0] in taken]


def _n_shared(one: str, other: str) -> int:
    """Number of characters with which both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def heading(text: str) -> QLabel:
    """Title of a section."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setStyleSheet("font-weight: bold; padding-top: 6px;")
    return label


def exists(widget: QObject) -> bool:
    """Whether the Qt object still exists; the Python object may outlive it after a dock was closed."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


class Foldable(QFrame):
    """Title with an arrow that shows or hides a widget below it, and other widgets beside the title."""

    def __init__(self, title: str, content: QWidget, *, unfolded: bool = False, beside: Sequence[QWidget] = ()) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet("QToolButton { border: none; text-align: left; padding: 2px; }")
        self._content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        top = QHBoxLayout()
        for each in (self.button, *beside):
            top.addWidget(each)
        layout.addLayout(top)
        layout.addWidget(content)
        self.button.toggled.connect(self._show)
        self.set_title(title)
        self.button.setChecked(unfolded)
        self._show(unfolded)

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.button.setText(title)
        self.button.setToolTip(for_qt(title))

    def set_unfolded(self, unfolded: bool) -> None:
        """Show or hide the content."""
        self.button.setChecked(unfolded)

    def _show(self, unfolded: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._content.setVisible(unfolded)
