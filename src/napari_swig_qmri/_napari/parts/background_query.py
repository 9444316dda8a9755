"""Run one job at a time in a thread and report its result to the window."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import ref

from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QObject, QTimer, Signal

from napari_swig_qmri._napari.control_names import notification
from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri.progress import is_out_of_memory

PAUSE = 300  # ms without a new job before the last one starts
NO_MEMORY = "There is not enough memory: close other layers. Super-resolve has a memory limit under Options."
STOPPED = "The computation stopped with {error}."
UNEXPECTED = (
    "Unexpected error ({error}). Nothing was changed. "
    "The details are in the notification of napari: please report them."
)


@dataclass(frozen=True, eq=False)
class Failure:
    """Reason why a job has no result, in one sentence, and the error itself if it was unexpected."""

    sentence: str
    error: Exception | None = None


class Reporter(QObject):
    """Carries the steps and the answer of a job from its thread to the main thread."""

    stepped = Signal(object)
    finished = Signal(object)


@dataclass(eq=False)
class Job:
    """A function to call in a thread, and whether its result is still wanted, and reported to someone."""

    function: Callable[[], Any]
    is_wanted: bool = True
    is_followed: bool = True
    reporter: Reporter = field(default_factory=Reporter)


class BackgroundQuery(QObject):
    """Calls functions in a thread, one at a time; a new one replaces the one before.

    A function may be a generator function. It then reports its progress, and stops at its next step once its
    result is no longer wanted or this object is deleted.

    The functions of a lasting query, which write files, start at once. Only `stop` ends them: they outlast a closed
    dock, window and program. A failure is then a notification of napari, which also prints it.
    """

    progressed = Signal(object)  # step of a generator
    answered = Signal(object)  # result
    failed = Signal(str)  # one sentence why there is no result
    ended = Signal()  # a job has ended with a result, without one, or because of `stop`

    def __init__(self, parent: QObject, pause: int = PAUSE, *, lasting: bool = False) -> None:
        super().__init__(parent)
        self._is_lasting = lasting
        self._job: Job | None = None  # pending or running
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(pause)
        self._timer.timeout.connect(self._start)

    @property
    def is_running(self) -> bool:
        """Whether a job runs or is about to start."""
        return self._job is not None

    def ask(self, function: Callable[[], Any]) -> None:
        """Call a function in a thread after a pause, unless another follows in the meantime."""
        self.forget()
        self._job = Job(function)
        if self._is_lasting:
            self._start()
        else:
            self._timer.start()

    def forget(self) -> None:
        """Stop the current job at its next step, unless it is a lasting one, and report nothing more about it."""
        self._timer.stop()
        if self._job is not None:
            self._job.is_wanted = self._is_lasting
            self._job.is_followed = False
            self._job = None

    def stop(self) -> None:
        """Stop the current job at its next step; `ended` follows."""
        if self._job is None:
            return
        self._job.is_wanted = False
        if self._timer.isActive():
            self._timer.stop()
            self._take((self._job, None))

    def _start(self) -> None:
        """Start the job in a thread that Python waits for when it ends; a thread that Qt ends by force would crash."""
        job = self._job
        if job is None:
            return
        job.reporter.stepped.connect(self._report)
        job.reporter.finished.connect(self._take)
        is_here = partial(_exists, ref(self))
        threading.Thread(target=_finish, args=(job, is_here, self._is_lasting)).start()

    def _report(self, step: tuple[Job, Any]) -> None:
        job, progress = step
        if job is self._job and job.is_wanted:
            self.progressed.emit(progress)

    def _take(self, answer: tuple[Job, Any]) -> None:
        job, result = answer
        if job is not self._job:
            return
        self._job = None
        if isinstance(result, Failure) and result.error is not None:
            notification_manager.receive_error(type(result.error), result.error, result.error.__traceback__)
        if job.is_wanted and isinstance(result, Failure):
            self.failed.emit(result.sentence)
        elif job.is_wanted:
            self.answered.emit(result)
        self.ended.emit()


def _finish(job: Job, is_here: Callable[[], bool], is_lasting: bool) -> None:
    """Carry out a job, report its steps and its answer, and say why a lasting one failed if nobody else can."""
    answer = _answer(job, (lambda: True) if is_lasting else (lambda: is_here() and threading.main_thread().is_alive()))
    if is_lasting and isinstance(answer, Failure) and not (job.is_followed and is_here()):
        show_error(notification(answer.sentence))
    job.reporter.finished.emit((job, answer))


def _answer(job: Job, is_needed: Callable[[], bool]) -> Any:
    """Result of a job, or a `Failure`."""
    try:
        return _result(job, is_needed)
    except (ValueError, TypeError, RuntimeError, OSError, MemoryError) as error:
        reason = str(error) or STOPPED.format(error=type(error).__name__)
        return Failure(NO_MEMORY if is_out_of_memory(error) else reason)
    except Exception as error:  # otherwise the window would wait for ever
        return Failure(UNEXPECTED.format(error=f"{type(error).__name__}: {error}"), error)
    except BaseException as error:  # SystemExit ends the job, not the program
        return Failure(STOPPED.format(error=type(error).__name__))


def _result(job: Job, is_needed: Callable[[], bool]) -> Any:
    """Result of a function, or of a generator function whose steps are reported as long as it is needed."""
    result = job.function()
    if not isinstance(result, Generator):
        return result
    try:
        while job.is_wanted and is_needed():
            job.reporter.stepped.emit((job, next(result)))
    except StopIteration as end:
        return end.value
    finally:
        result.close()
    return None


def _exists(reference: ref[QObject]) -> bool:
    target = reference()
    return target is not None and exists(target)


def is_torch_loaded() -> bool:
    """Whether torch is imported completely; while another thread imports it, importing it would wait."""
    module = sys.modules.get("torch")
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def load_torch() -> None:
    """Import torch and the signals that need it; for a thread, since it would block a window for seconds."""
    importlib.import_module("torch")
    importlib.import_module("napari_swig_qmri.physics.epg")
