"""Line at the bottom of a dock for progress and problems."""

from __future__ import annotations

from napari_swig_qmri._napari.parts.appearance import show_note, wrapped_label


class StatusLine:
    """Label with a note or a problem. A problem hides the note until it is settled."""

    def __init__(self, tooltip: str = "") -> None:
        self.label = wrapped_label(role="note")
        self.label.setToolTip(tooltip)
        self._note, self._problem = "", ""

    def say(self, text: str) -> None:
        """Set the note."""
        self._note = text
        self._show()

    def refuse(self, problem: str) -> None:
        """Set the problem."""
        self._problem = problem
        self._show()

    def settle(self) -> None:
        """Clear the problem, after something has succeeded."""
        self._problem = ""
        self._show()

    def text(self) -> str:
        """Shown text."""
        return self._problem or self._note

    def _show(self) -> None:
        show_note(self.label, self.text(), problem=bool(self._problem))
