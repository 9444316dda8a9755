"""The line at the foot of a dock: what is going on, or what went wrong until something succeeds."""

from __future__ import annotations

from napari_swig_qmri._napari.parts.appearance import set_text, style, wrapped_label


class StatusLine:
    """Says one thing in a label; a problem goes before whatever else is said, until it is settled."""

    def __init__(self, tooltip: str = "") -> None:
        self.label = wrapped_label(role="note")
        self.label.setToolTip(tooltip)
        self._note, self._problem = "", ""

    def say(self, text: str) -> None:
        """Say what is going on, once no problem stands."""
        self._note = text
        self._show()

    def refuse(self, problem: str) -> None:
        """Say what went wrong."""
        self._problem = problem
        self._show()

    def settle(self) -> None:
        """Say no longer what was wrong before something succeeded."""
        self._problem = ""
        self._show()

    def text(self) -> str:
        """What is said."""
        return self._problem or self._note

    def _show(self) -> None:
        self.label.setStyleSheet(style("problem" if self._problem else "note"))
        set_text(self.label, self.text())
