"""Ask for something that takes a while, and be told once, of the last question only."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import create_worker

from napari_swig_qmri.progress import mapped

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE = 300  # ms without a change before the question is asked


class Inquiry(QObject):
    """Asks one question at a time in a thread; only the last one asked is answered.

    A question that is a generator tells its steps, and stops at the next one when nobody wants its answer any more.
    """

    answered = Signal(object)  # what the question gave, or the sentence that says why there is nothing
    progressed = Signal(object)  # a step of a question that is a generator

    def __init__(self, parent: QObject, pause: int = PAUSE) -> None:
        super().__init__(parent)
        self._question: Callable[[], Any] | None = None
        self._number = 0
        self._worker: Any = None  # of the question that is under way
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(pause)
        self._timer.timeout.connect(self._start)

    def ask(self, question: Callable[[], Any]) -> None:
        """Call `question` in a thread once there was a pause without another."""
        self.forget()
        self._question = question
        self._timer.start()

    def forget(self) -> None:
        """Want no answer any more."""
        self._timer.stop()
        self._number += 1
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _start(self) -> None:
        worker: Any = create_worker(_steps, self._number, self._question, _start_thread=False)
        worker.yielded.connect(self._tell)
        worker.returned.connect(self._take)
        worker.errored.connect(partial(self._take_error, self._number))
        self._worker = worker
        worker.start()

    def _tell(self, numbered: tuple[int, Any]) -> None:
        number, step = numbered
        if number == self._number:
            self.progressed.emit(step)

    def _take(self, numbered: tuple[int, Any]) -> None:
        number, answer = numbered
        if number == self._number:
            self._worker = None
            self.answered.emit(answer)

    def _take_error(self, number: int, error: Exception) -> None:
        self._take((number, f"This should not have happened, please report it: {error!r}."))


def _steps(number: int, question: Callable[[], Any]) -> Generator[tuple[int, Any], None, tuple[int, Any]]:
    """Steps and answer of `question`, or the sentence why there is none, each under the number of the question."""
    try:
        answer = question()
        if isinstance(answer, Generator):
            answer = yield from mapped(answer, lambda step: (number, step))
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        return number, str(error) or "there is not enough memory for this."
    return number, answer
