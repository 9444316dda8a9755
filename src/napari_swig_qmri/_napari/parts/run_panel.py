"""Run and Cancel buttons with a progress bar, for one long job at a time."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ProgressBar
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEventLoop, Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import Foldable, exists, sentence, set_role, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import button, column, row
from napari_swig_qmri._napari.parts.one_by_one import OneByOne
from napari_swig_qmri.data.wording import duration_text
from napari_swig_qmri.progress import Progress, with_time_left

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence


STEPS = 1000  # of the progress bar
STAGE_LINES = 3
SLOWER, SLACK = 1.5, 10.0  # a run is called slow if it takes this factor, and these seconds, more than estimated


class RunPanel(QWidget):
    """Run and Cancel buttons, a progress bar with stage and time left, and how the last run ended.

    `unchanged` is the sentence shown after a cancelled run about what was left as it was. A `lasting` job, which
    writes files, ends as it should even if the window is closed.
    """

    requested = Signal()  # the Run button was pressed
    succeeded = Signal(object)  # the result of the job
    ended = Signal()  # the job succeeded, failed or was cancelled

    def __init__(
        self, action: str, tooltip: str, *, unchanged: str = "No layers were added.", lasting: bool = False
    ) -> None:
        super().__init__()
        self._ready = True
        self._is_cancelled = False
        self._unchanged = unchanged
        self._started = 0.0
        self._expected = math.inf  # s from the start to the end, the shortest estimate of the current job
        self._query = BackgroundQuery(self, pause=0, lasting=lasting)
        self.run_button = button(action, tooltip, self.requested.emit)
        self.cancel_button = button("Cancel", "Stop the run. Layers and files stay as they are.", self.cancel)
        self.bar = ProgressBar(max=STEPS)
        self.stage = wrapped_label(role="note")
        self.stage.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.message = wrapped_label()
        self.details = wrapped_label(role="note")
        self._fold = Foldable("", self.details)
        buttons = row(self.run_button, self.cancel_button, stretch=(2, 1))
        layout = column(buttons, self.bar, self.stage, self.message, self._fold)
        layout.setContentsMargins(0, 4, 0, 0)
        self.setLayout(layout)
        self._query.progressed.connect(self._show_progress)
        self._finishing = OneByOne(self)
        self._finish: Callable[[Any], Iterable[Callable[[], object]]] | None = None  # of the current job
        self._result: Any = None
        self._query.answered.connect(self._take)
        self._finishing.done.connect(self._succeed)
        self._finishing.failed.connect(self._fail)
        self._query.failed.connect(partial(self.show_message, problem=True))
        self._query.ended.connect(self._end)
        self._show_running(False)

    @property
    def is_running(self) -> bool:
        """Whether a job runs now."""
        return self._query.is_running or self._finishing.is_running

    def set_action(self, action: str) -> None:
        """Change the text of the Run button."""
        self.run_button.text = action

    def set_ready(self, ready: bool) -> None:
        """Enable or disable the Run button."""
        self._ready = ready
        self.run_button.enabled = ready and not self.is_running

    def start(
        self,
        job: Callable[[], Generator[Progress, None, Any]],
        finish: Callable[[Any], Iterable[Callable[[], object]]] | None = None,
    ) -> None:
        """Run a generator function in a thread; `succeeded` carries what it returns. Ignored while a job runs.

        `finish` is given the result, and returns functions to call in the main thread before the job has succeeded.
        They are called one by one, so that the window responds in the meantime.
        """
        if self.is_running:
            return
        self._finish = finish
        self._is_cancelled = False
        self._started, self._expected = time.monotonic(), math.inf
        self.show_message("")
        self.bar.value = 0
        self._reserve_lines()
        self._show_stage("Starting…")
        self._query.ask(lambda: with_time_left(job()))
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the job at its next step."""
        if self._query.is_running:
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

    def show_message(self, text: str, *, problem: bool = False, notes: Sequence[str] = ()) -> None:
        """Show a text below the buttons, and the number of notes, which unfold."""
        self._fold.set_title("1 note" if len(notes) == 1 else f"{len(notes)} notes")
        self._fold.set_unfolded(False)
        self._fold.setVisible(bool(notes))
        self.details.setText("\n".join(map(sentence, notes)))
        set_role(self.message, "problem" if problem else "text")
        set_text(self.message, sentence(text))

    def seconds_since_start(self) -> float:
        """Duration of the current or last job, in s."""
        return time.monotonic() - self._started

    def _take(self, result: Any) -> None:
        self._result = result
        if self._finish is None:
            self.succeeded.emit(result)
            return
        self.cancel_button.enabled = False
        self._show_stage("Showing the result…")
        self._finishing.start(self._finish(result))

    def _succeed(self) -> None:
        self.succeeded.emit(self._result)
        self._end()

    def _fail(self, error: Exception) -> None:
        self.show_message(f"The result could not be added to the viewer: {error}", problem=True)
        notification_manager.receive_error(type(error), error, error.__traceback__)
        self._end()

    def _show_progress(self, progress: Progress) -> None:
        left, now = progress.seconds_left, self.seconds_since_start()
        self.bar.value = round(STEPS * progress.fraction)
        slower = ""
        if left is not None:
            self._expected = min(self._expected, now + left)
            slower = "slower than expected, " if now + left > SLOWER * self._expected + SLACK else ""
        self._show_stage(
            f"{progress.stage}…" if left is None else f"{progress.stage}: {slower}about {duration_text(left)} left"
        )

    def _reserve_lines(self) -> None:
        """Give the stage the height of its lines in the font of the theme; otherwise Cancel would move."""
        self.stage.ensurePolished()
        self.stage.setText("\n".join("x" * STAGE_LINES))
        self.stage.setFixedHeight(self.stage.sizeHint().height())

    def _show_stage(self, text: str) -> None:
        set_text(self.stage, sentence(text))

    def _end(self) -> None:
        if self._finishing.is_running:
            return
        self._result = None
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
