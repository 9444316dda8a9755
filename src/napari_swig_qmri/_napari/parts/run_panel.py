"""Run and Cancel buttons with a progress bar, for one long job at a time."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ProgressBar
from qtpy.QtCore import QEventLoop, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import exists, sentence, set_role, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import button, column, row
from napari_swig_qmri.data.wording import duration_text
from napari_swig_qmri.progress import Progress, with_time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


STEPS = 1000  # of the progress bar


class RunPanel(QWidget):
    """Run and Cancel buttons, a progress bar with stage and time left, and how the last run ended.

    `unchanged` is the sentence shown after a cancelled run about what was left as it was.
    """

    requested = Signal()  # the Run button was pressed
    succeeded = Signal(object)  # the result of the job
    ended = Signal()  # the job succeeded, failed or was cancelled

    def __init__(self, action: str, tooltip: str, *, unchanged: str = "No layers were added.") -> None:
        super().__init__()
        self._ready = True
        self._is_cancelled = False
        self._unchanged = unchanged
        self._started = 0.0
        self._query = BackgroundQuery(self, pause=0)
        self.run_button = button(action, tooltip, self.requested.emit)
        self.cancel_button = button("Cancel", "Stop the run. Layers and files stay as they are.", self.cancel)
        self.bar = ProgressBar(max=STEPS)
        self.stage = wrapped_label(role="note")
        self.message = wrapped_label()
        layout = column(row(self.run_button, self.cancel_button, stretch=(2, 1)), self.bar, self.stage, self.message)
        layout.setContentsMargins(0, 4, 0, 0)
        self.setLayout(layout)
        self._query.progressed.connect(self._show_progress)
        self._query.answered.connect(self.succeeded)
        self._query.failed.connect(partial(self.show_message, problem=True))
        self._query.ended.connect(self._end)
        self._show_running(False)

    @property
    def is_running(self) -> bool:
        """Whether a job runs now."""
        return self._query.is_running

    def set_action(self, action: str) -> None:
        """Change the text of the Run button."""
        self.run_button.text = action

    def set_ready(self, ready: bool) -> None:
        """Enable or disable the Run button."""
        self._ready = ready
        self.run_button.enabled = ready and not self.is_running

    def start(self, job: Callable[[], Generator[Progress, None, Any]]) -> None:
        """Run a generator function in a thread; `succeeded` carries what it returns. Ignored while a job runs."""
        if self.is_running:
            return
        self._is_cancelled = False
        self._started = time.monotonic()
        self.show_message("")
        self.bar.value = 0
        self._show_stage("Starting…")
        self._query.ask(lambda: with_time_left(job()))
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the job at its next step."""
        if self.is_running:
            self._is_cancelled = True
            self.cancel_button.enabled = False
            self._show_stage("Stopping…")
            self._query.stop()

    def wait(self) -> Any:
        """Wait until the current job has ended, and return its result. The window stays responsive in the meantime.

        Raises RuntimeError with the message in the panel if the job fails or is cancelled.
        """
        loop, results = QEventLoop(), list[Any]()
        self.succeeded.connect(results.append)
        for over in (self.ended, self.destroyed):
            over.connect(loop.quit)
        if self.is_running:
            loop.exec()
        if not exists(self):
            raise RuntimeError("the window of the run was closed.")
        self.succeeded.disconnect(results.append)
        if not results:
            raise RuntimeError(self.message.text())
        return results[0]

    def show_message(self, text: str, *, problem: bool = False) -> None:
        """Show a text below the buttons."""
        set_role(self.message, "problem" if problem else "text")
        set_text(self.message, sentence(text))

    def seconds_since_start(self) -> float:
        """Duration of the current or last job, in s."""
        return time.monotonic() - self._started

    def _show_progress(self, progress: Progress) -> None:
        left = progress.seconds_left
        self.bar.value = round(STEPS * progress.fraction)
        self._show_stage(
            f"{progress.stage}…" if left is None else f"{progress.stage}: about {duration_text(left)} left"
        )

    def _show_stage(self, text: str) -> None:
        set_text(self.stage, sentence(text))

    def _end(self) -> None:
        if self._is_cancelled:
            self.show_message(f"Cancelled. {self._unchanged}")
        self._show_running(False)
        self.ended.emit()

    def _show_running(self, running: bool) -> None:
        self.run_button.enabled = self._ready and not running
        self.cancel_button.enabled = running
        self.cancel_button.visible = running
        self.bar.visible = running
        self.stage.setVisible(running)
