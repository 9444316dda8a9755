"""Say before a run what it will do and what is wrong, asked anew whenever the inputs change."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.run_panel import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_swig_qmri.super_resolution.preflight import Preflight

CHECKING = "Checking…"


def bullets(texts: Iterable[str]) -> str:
    """Sentences as HTML paragraphs that begin with a bullet."""
    style = "margin-top: 0px; margin-bottom: 4px; margin-left: 10px; text-indent: -10px;"
    return "".join(f'<p style="{style}">•&nbsp;{escape(sentence(text))}</p>' for text in texts)


def cost(seconds: float, memory: int) -> str:
    """What a run will take, for a person."""
    return f"Takes about {duration(seconds)} and {memory / 1e9:.1f} GB of memory."


class PreflightPanel(QWidget):
    """Shows what a question function answers; `checked` carries whether the run may start."""

    checked = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._query = BackgroundQuery(self)
        self._query.answered.connect(self._take)
        self._query.failed.connect(lambda problem: self._show((), (problem,), ""))
        self.problems = wrapped_label(role="problem")
        self.statements = wrapped_label()
        self.cost = wrapped_label(role="note")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for label in (self.problems, self.statements, self.cost):
            label.setTextFormat(Qt.TextFormat.RichText)
            layout.addWidget(label)

    def ask(self, question: Callable[[], Preflight]) -> None:
        """Call `question` in a thread once the inputs have rested, and show the answer."""
        set_text(self.problems, "")
        set_text(self.cost, CHECKING)
        self._query.ask(question)

    def show_problems(self, problems: Iterable[str]) -> None:
        """Say what is wrong without asking anything; questions under way are forgotten."""
        self._query.forget()
        self._show((), tuple(problems), "")

    def _take(self, answer: Preflight) -> None:
        self._show(answer.statements, answer.problems, cost(answer.seconds, answer.memory))

    def _show(self, statements: tuple[str, ...], problems: tuple[str, ...], costs: str) -> None:
        set_text(self.problems, bullets(problems))
        set_text(self.statements, bullets(statements))
        set_text(self.cost, "" if problems else costs)
        self.checked.emit(not problems)
