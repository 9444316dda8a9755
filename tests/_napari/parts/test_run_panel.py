"""The panel of a long job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer

from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri.progress import Progress


@pytest.fixture
def panel(qtbot: QtBot) -> RunPanel:
    panel = RunPanel("Go", "", unchanged="Nothing was changed.")
    qtbot.addWidget(panel)
    return panel


def job(error: Exception | None = None, n_steps: int = 2) -> Iterator[Progress]:
    for step in range(n_steps):
        yield Progress(step / n_steps, "counting", 150.0)
    if error is not None:
        raise error
    return "result"


def test_progress_is_shown_and_wait_returns_the_result(panel: RunPanel, qtbot: QtBot) -> None:
    gate = threading.Event()

    def gated() -> Iterator[Progress]:
        yield Progress(0.5, "counting", 150.0)
        gate.wait(5)
        return "result"

    panel.requested.connect(lambda: panel.start(gated))
    panel.run_button.native.click()
    qtbot.waitUntil(lambda: panel.stage.text() == "Counting: about 2 min left")
    assert panel.bar.value == 500
    assert not panel.run_button.enabled
    gate.set()
    assert panel.wait() == "result"
    assert panel.run_button.enabled
    assert panel.bar.native.isHidden()


def test_a_failure_is_shown_and_raised(panel: RunPanel) -> None:
    panel.start(partial(job, ValueError("no signal.")))
    with pytest.raises(RuntimeError, match=r"^No signal\.$"):
        panel.wait()
    assert panel.message.text() == "No signal."
    assert panel.run_button.enabled


def test_cancel_says_what_was_left_unchanged(panel: RunPanel) -> None:
    panel.start(partial(job, n_steps=10**9))
    QTimer.singleShot(20, panel.cancel)
    with pytest.raises(RuntimeError, match="Cancelled"):
        panel.wait()
    assert panel.message.text() == "Cancelled. Nothing was changed."


def test_a_second_job_waits_for_the_user(panel: RunPanel) -> None:
    starts: list[int] = []

    def counted(number: int) -> Iterator[Progress]:
        starts.append(number)
        yield from ()

    panel.start(partial(counted, 1))
    panel.start(partial(counted, 2))
    assert panel.wait() is None
    assert starts == [1]
    panel.set_ready(False)
    assert not panel.run_button.enabled


def test_a_result_is_shown_in_pieces_before_the_job_has_succeeded(
    panel: RunPanel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_manager, "receive_error", lambda *_: None)
    done: list[object] = []
    panel.succeeded.connect(done.append)
    panel.start(job, lambda result: [partial(done.append, each) for each in (1, 2, result)])
    assert panel.wait() == "result"
    assert done == [1, 2, "result", "result"]

    def fail(_result: object) -> Iterator[Callable[[], None]]:
        yield lambda: done.append(3)
        raise ValueError("no place.")

    panel.start(job, fail)
    with pytest.raises(RuntimeError, match=r"could not be added to the viewer: no place"):
        panel.wait()
    assert done[-1] == 3
    assert panel.run_button.enabled


def test_an_estimate_that_grows_is_explained_and_cancel_stays(panel: RunPanel, qtbot: QtBot) -> None:
    def slower() -> Iterator[Progress]:
        yield Progress(0.1, "counting", 50.0)
        yield Progress(0.2, "counting", 300.0)
        gate.wait(5)

    gate = threading.Event()
    panel.start(slower)
    qtbot.waitUntil(lambda: panel.stage.text() == "Counting: slower than expected, about 5 min left")
    height = panel.sizeHint().height()
    panel.stage.setText("a stage with a name that is much longer than the width of any dock, and the time left")
    assert panel.sizeHint().height() == height
    gate.set()
    panel.wait()
