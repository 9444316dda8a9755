"""Say before a run what it will do and what is wrong, asked anew whenever the inputs change."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt.utils import create_worker

from napari_swig_qmri._widgets.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._widgets.run_panel import time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_swig_qmri.outlook import Preflight

PAUSE = 300  # ms without a change before the question is asked
CHECKING = "Checking…"


def bullets(texts: Iterable[str]) -> str:
    """Sentences as HTML paragraphs that begin with a bullet."""
    style = "margin-top: 0px; margin-bottom: 4px; margin-left: 10px; text-indent: -10px;"
    return "".join(f'<p style="{style}">•&nbsp;{escape(sentence(text))}</p>' for text in texts)


def cost(seconds: float, memory: int) -> str:
    """What a run will take, for a person."""
    return f"Takes about {time_left(seconds)} and {memory / 1e9:.1f} GB of memory."


class Inquiry(QObject):
    """Asks one question at a time in a thread; only the last one asked is answered."""

    answered = Signal(object)  # what the question gave, or the sentence that says why there is nothing

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._question: Callable[[], Any] | None = None
        self._number = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._start)

    def ask(self, question: Callable[[], Any]) -> None:
        """Call `question` in a thread once there was a pause without another."""
        self._question = question
        self._number += 1
        self._timer.start()

    def forget(self) -> None:
        """Want no answer any more."""
        self._timer.stop()
        self._number += 1

    def _start(self) -> None:
        worker: Any = create_worker(_answer, self._number, self._question, _start_thread=False)
        worker.returned.connect(self._take)
        worker.errored.connect(self._take_error)
        worker.start()

    def _take(self, numbered: tuple[int, Any]) -> None:
        number, answer = numbered
        if number == self._number:
            self.answered.emit(answer)

    def _take_error(self, error: Exception) -> None:
        self.answered.emit(f"This should not have happened, please report it: {error!r}.")


class PreflightPanel(QWidget):
    """Shows what a question function answers; `checked` carries whether the run may start."""

    checked = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._inquiry = Inquiry(self)
        self._inquiry.answered.connect(self._take)
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
        self._inquiry.ask(question)

    def show_problems(self, problems: Iterable[str]) -> None:
        """Say what is wrong without asking anything; questions under way are forgotten."""
        self._inquiry.forget()
        self._show((), tuple(problems), "")

    def _take(self, answer: Preflight | str) -> None:
        if isinstance(answer, str):
            self._show((), (answer,), "")
        else:
            self._show(answer.statements, answer.problems, cost(answer.seconds, answer.memory))

    def _show(self, statements: tuple[str, ...], problems: tuple[str, ...], costs: str) -> None:
        set_text(self.problems, bullets(problems))
        set_text(self.statements, bullets(statements))
        set_text(self.cost, "" if problems else costs)
        self.checked.emit(not problems)


def _answer(number: int, question: Callable[[], Any]) -> tuple[int, Any]:
    """Answer of `question`, or the sentence that says why there is none, under the number of the question."""
    try:
        return number, question()
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return number, str(error)
