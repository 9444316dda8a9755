"""Run one long job at a time beside the window: start it, watch it, cancel it, hear how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.appearance import exists, sentence, set_text, style, wrapped_label
from napari_swig_qmri.progress import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari_swig_qmri.progress import Progress

STEPS = 1000  # of the progress bar


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a result, in one sentence."""

    sentence: str


def outcome(
    job: Callable[[], Generator[Progress, None, Any]], is_wanted: Callable[[], bool]
) -> Generator[Progress, None, Any]:
    """Yield what the job yields while it is wanted; return its result, or a `Failure` a user can act on.

    A worker of napari takes a RuntimeError, which is what torch raises when memory runs out, for its own
    deletion and never reports that it finished; returned as a value it ends like any other job.
    """
    steps = job()
    try:
        while is_wanted():
            yield next(steps)
        return Failure("The window of this run was closed.")
    except StopIteration as end:
        return end.value
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        if is_out_of_memory(error):
            return Failure("There is not enough memory: close other layers, or set a memory limit under Options.")
        return Failure(str(error) or f"The computation stopped with {type(error).__name__}.")
    finally:
        steps.close()


def _exists(reference: ref[QWidget]) -> bool:
    widget = reference()
    return widget is not None and exists(widget)


def time_left(seconds: float) -> str:
    """Rounded so that it does not jump about: ``12 s``, ``3 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


class RunPanel(QWidget):
    """Run and Cancel buttons, a progress bar with stage and time left, and how the last run ended.

    `without` says in a sentence how things are after a run that was cancelled.
    """

    requested = Signal()  # the Run button was pressed
    succeeded = Signal(object)  # the result of the job
    ended = Signal()  # in whatever way

    def __init__(self, action: str, tooltip: str, *, without: str = "No layers were added.") -> None:
        super().__init__()
        self._ready = True
        self._without = without
        self._worker: Any = None
        self._failure: str | None = None
        self._started = 0.0
        self.run_button = QPushButton(action)
        self.run_button.setToolTip(tooltip)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop the run; what there is stays as it is.")
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.stage = wrapped_label(role="note")
        self.message = wrapped_label()
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(buttons)
        for widget in (self.bar, self.stage, self.message):
            layout.addWidget(widget)
        self.run_button.clicked.connect(self.requested)
        self.cancel_button.clicked.connect(self.cancel)
        self._show_running(False)

    @property
    def is_running(self) -> bool:
        """Whether a job runs now."""
        return self._worker is not None

    def set_action(self, action: str) -> None:
        """Say what the Run button does."""
        self.run_button.setText(action)

    def set_ready(self, ready: bool) -> None:
        """Say whether Run may be pressed."""
        self._ready = ready
        self.run_button.setEnabled(ready and not self.is_running)

    def start(self, job: Callable[[], Generator[Progress, None, Any]]) -> None:
        """Run the generator function `job` in a thread; `succeeded` carries what it returns."""
        if self.is_running:
            return
        self._failure = None
        self._started = time.monotonic()
        self.show_message("")
        self.bar.setValue(0)
        self._show_stage("Starting…")
        # The worker asks whether the panel is still there: a slot on `destroyed` may itself be gone by then.
        is_wanted = partial(_exists, ref(self))
        worker: Any = create_worker(outcome, job, is_wanted, _start_thread=False, _ignore_errors=True)
        worker.yielded.connect(self._show_progress)
        worker.returned.connect(self._take)
        worker.errored.connect(self._take_error)
        worker.finished.connect(self._end)
        self._worker = worker
        self._show_running(True)
        worker.start()

    def cancel(self) -> None:
        """Ask the job to stop at its next step."""
        if self.is_running:
            self._failure = f"Cancelled. {self._without}"
            self._worker.quit()
            self.cancel_button.setEnabled(False)
            self._show_stage("Stopping…")

    def show_message(self, text: str, *, problem: bool = False) -> None:
        """Say how things stand, below the buttons."""
        self.message.setStyleSheet(style("problem" if problem else "text"))
        set_text(self.message, text)

    def seconds_since_start(self) -> float:
        """How long the current or last job has taken, in s."""
        return time.monotonic() - self._started

    def _show_progress(self, progress: Progress) -> None:
        if not self.cancel_button.isEnabled():
            return
        self.bar.setValue(round(STEPS * progress.fraction))
        left = progress.seconds_left
        if left is None and progress.fraction > 0.05:
            left = self.seconds_since_start() * (1 / progress.fraction - 1)
        self._show_stage(f"{progress.stage}…" if left is None else f"{progress.stage}: about {time_left(left)} left")

    def _show_stage(self, text: str) -> None:
        set_text(self.stage, sentence(text))

    def _take(self, result: Any) -> None:
        if isinstance(result, Failure):
            self._failure = result.sentence
        else:
            self.succeeded.emit(result)

    def _take_error(self, error: Exception) -> None:
        self._failure = (
            f"This should not have happened ({type(error).__name__}: {error}). "
            "Nothing was changed; the details are in napari's notification, please report them."
        )
        notification_manager.receive_error(type(error), error, error.__traceback__)

    def _end(self) -> None:
        cancelled = self._worker.abort_requested
        self._worker = None
        self._show_running(False)
        if self._failure is not None:
            self.show_message(sentence(self._failure), problem=not cancelled)
        self.ended.emit()

    def _show_running(self, running: bool) -> None:
        self.run_button.setEnabled(self._ready and not running)
        self.cancel_button.setEnabled(running)
        self.cancel_button.setVisible(running)
        self.bar.setVisible(running)
        self.stage.setVisible(running)
