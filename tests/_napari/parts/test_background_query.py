"""Jobs in a thread: one at a time, the last one counts, and every end is reported once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject

from napari_swig_qmri._napari.parts.background_query import NO_MEMORY, BackgroundQuery


class Reports:
    """Everything that a query reports."""

    def __init__(self, query: BackgroundQuery) -> None:
        self.steps: list[Any] = []
        self.ends: list[Any] = []
        query.progressed.connect(self.steps.append)
        query.answered.connect(self.ends.append)
        query.failed.connect(self.ends.append)
        query.ended.connect(lambda: self.ends.append("ended"))


@pytest.fixture
def query(qtbot: QtBot) -> Iterator[BackgroundQuery]:
    parent = QObject()
    yield BackgroundQuery(parent, pause=0)
    del parent


@pytest.fixture
def reports(query: BackgroundQuery) -> Reports:
    return Reports(query)


def test_steps_and_result_of_a_generator_are_reported(query: BackgroundQuery, reports: Reports, qtbot: QtBot) -> None:
    def count() -> Iterator[int]:
        yield 1
        yield 2
        return "done"

    query.ask(count)
    assert query.is_running
    qtbot.waitUntil(lambda: not query.is_running)
    assert (reports.steps, reports.ends) == ([1, 2], ["done", "ended"])


def test_only_the_last_of_several_jobs_is_answered(query: BackgroundQuery, reports: Reports, qtbot: QtBot) -> None:
    gate, done = threading.Event(), threading.Event()

    def slow() -> str:
        gate.wait(5)
        done.set()
        return "slow"

    query.ask(slow)
    qtbot.wait(20)  # the first job has started
    query.ask(lambda: "late")
    query.ask(lambda: "last")
    qtbot.waitUntil(lambda: not query.is_running)
    gate.set()
    qtbot.waitUntil(done.is_set)
    qtbot.wait(20)
    assert reports.ends == ["last", "ended"]


@pytest.mark.parametrize("is_dropped", [True, False])
def test_a_stopped_job_is_closed_at_its_next_step(
    query: BackgroundQuery, reports: Reports, qtbot: QtBot, is_dropped: bool
) -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                threading.Event().wait(0.005)
                yield 0
        finally:
            closed.set()

    query.ask(endless)
    qtbot.waitUntil(lambda: bool(reports.steps))
    (query.forget if is_dropped else query.stop)()
    qtbot.waitUntil(closed.is_set)
    qtbot.waitUntil(lambda: not query.is_running)
    assert reports.ends == ([] if is_dropped else ["ended"])


def test_a_job_that_has_not_started_can_be_stopped(query: BackgroundQuery, reports: Reports) -> None:
    query.ask(lambda: "never")
    query.stop()
    query.stop()
    assert reports.ends == ["ended"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("The guide has no signal."), "The guide has no signal."),
        (OSError(), "The computation stopped with OSError."),
        (MemoryError(), NO_MEMORY),
        (RuntimeError("CUDA out of memory"), NO_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), NO_MEMORY),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), NO_MEMORY),
    ],
)
def test_errors_become_sentences(
    query: BackgroundQuery, reports: Reports, qtbot: QtBot, error: Exception, sentence: str
) -> None:
    def fail() -> Iterator[int]:
        yield 0
        raise error

    query.ask(fail)
    qtbot.waitUntil(lambda: not query.is_running)
    assert reports.ends == [sentence, "ended"]


def test_unexpected_errors_are_reported_to_napari(
    query: BackgroundQuery, reports: Reports, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Any] = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *error: received.append(error))
    query.ask(lambda: {}["gains"])
    qtbot.waitUntil(lambda: not query.is_running)
    assert "KeyError: 'gains'" in reports.ends[0]
    assert reports.ends[1] == "ended"
    assert received[0][0] is KeyError


@pytest.mark.parametrize("end", ["forgotten", "deleted"])
def test_a_lasting_job_is_finished_after_its_window_was_closed_and_tells_its_failure(qtbot: QtBot, end: str) -> None:
    parent, written = QObject(), list[int]()
    query = BackgroundQuery(parent, lasting=True)

    def write() -> Iterator[int]:
        for count in range(3):
            threading.Event().wait(0.01)
            written.append(count)
            yield count
        raise OSError("The disk is full.")

    query.ask(write)
    if end == "forgotten":
        query.forget()
    else:
        parent.deleteLater()
    qtbot.waitUntil(lambda: any(each.message == "The disk is full." for each in notification_manager.records))
    notification_manager.records.clear()
    assert written == [0, 1, 2]
