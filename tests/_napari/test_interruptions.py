"""Docks that are closed, inputs that are removed and buttons that are pressed twice, at every stage of the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from widget_cases import FakeEngine, add_case

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.physics.signal_models import SpinEcho

N_SAVED = 8  # images: maps, residuals and synthesised guides


class Bench:
    """A viewer with maps and guides, two docks, and an engine that waits before it checks and after its first step."""

    def __init__(self, viewer: ViewerModel, qtbot: QtBot, folder: Path) -> None:
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder
        self.engine, self.gate = FakeEngine(n_steps=3), threading.Event()
        self.inputs = add_case(viewer)
        self.open_dock()
        self.synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
        self.repeat: Callable[[], object] = self.dock.start

    def open_dock(self) -> SuperResolveWidget:
        self.dock = SuperResolveWidget(self.viewer, self._solve, self._check)  # type: ignore[arg-type]
        return self.dock

    def close_window(self) -> None:
        """Close the window in the same turn of the event loop, with both docks in it."""
        self.viewer.close()  # type: ignore[attr-defined]

    def _check(self, *arguments: Any, **options: Any) -> Any:
        self.gate.wait(5)
        return self.engine.preflight(*arguments, **options)

    def _solve(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        steps = self.engine.super_resolve(*arguments, **options)
        yield next(steps)
        self.gate.wait(5)
        return (yield from steps)

    def before(self) -> None:
        """Nothing was started."""

    def checking(self) -> None:
        self.qtbot.waitUntil(lambda: bool(self.dock.preflight.cost.text()))

    def computing(self) -> None:
        self.dock.start()
        self.qtbot.waitUntil(lambda: len(self.engine.runs) == 1)

    def adding(self) -> None:
        self.computing()
        before = len(self.viewer.layers)
        self.gate.set()
        self.qtbot.waitUntil(lambda: len(self.viewer.layers) > before)

    def saving(self) -> None:
        self.gate.set()
        self.dock.run()
        self.repeat = lambda: self.dock.results.save(self.folder)
        self.repeat()

    def rendering(self) -> None:
        """A live contrast is computed for the 3D view."""
        self.viewer.dims.ndisplay = 3
        self.synthesize.editor.set_value(SpinEcho.from_typical())
        self.repeat = self.synthesize.run
        self.repeat()

    def freezing(self) -> None:
        self.synthesize.editor.set_value(SpinEcho.from_typical())
        self.synthesize.run()
        self.repeat = self.synthesize.freeze
        self.repeat()

    def close_docks(self) -> None:
        for dock in (self.dock, self.synthesize):
            if exists(dock):
                dock.deleteLater()
        self.qtbot.waitUntil(lambda: not exists(self.dock) and not exists(self.synthesize))

    def remove_inputs(self) -> None:
        for layer in self.inputs:
            self.viewer.layers.remove(layer)

    def remove_everything(self) -> None:
        self.viewer.layers.clear()

    def press_again(self) -> None:
        self.repeat()


STAGES = (Bench.before, Bench.checking, Bench.computing, Bench.adding, Bench.saving, Bench.rendering, Bench.freezing)
ACTIONS = (Bench.close_docks, Bench.remove_inputs, Bench.remove_everything, Bench.press_again)


@pytest.fixture
def bench(viewer: ViewerModel, qtbot: QtBot, tmp_path: Path) -> Iterator[Bench]:
    """The bench, whose docks are closed at the end."""
    bench = Bench(viewer, qtbot, tmp_path)
    yield bench
    bench.close_docks()


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Unexpected errors, which napari would show."""
    received: list[object] = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *error: received.append(error))
    return received


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_after_every_interruption_the_next_run_works(
    bench: Bench, errors: list[object], stage: Callable[[Bench], None], action: Callable[[Bench], None]
) -> None:
    stage(bench)
    action(bench)
    bench.gate.set()
    if stage is Bench.saving:
        bench.qtbot.waitUntil(lambda: len(list(bench.folder.rglob("*.nii.gz"))) == N_SAVED)
    if exists(bench.dock):
        bench.qtbot.waitUntil(lambda: not bench.dock.run_panel.is_running)
    assert len(bench.engine.runs) <= 1
    assert not errors
    bench.viewer.dims.ndisplay = 2
    bench.viewer.layers.clear()
    add_case(bench.viewer)
    dock = bench.dock if exists(bench.dock) else bench.open_dock()
    assert "T1 SR (ms)" in [layer.name for layer in dock.run()]
    assert not errors


@pytest.mark.slow
@pytest.mark.gui
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_window_closed_at_any_stage_loses_no_save(
    make_napari_viewer_proxy: Callable[..., Any],
    qtbot: QtBot,
    tmp_path: Path,
    errors: list[object],
    stage: Callable[[Bench], None],
) -> None:
    viewer = make_napari_viewer_proxy()
    bench = Bench(viewer, qtbot, tmp_path)
    for dock in (bench.dock, bench.synthesize):
        viewer.window.add_dock_widget(dock)
    stage(bench)
    bench.close_window()
    bench.gate.set()
    if stage is Bench.saving:
        qtbot.waitUntil(lambda: len(list(tmp_path.rglob("*.nii.gz"))) == N_SAVED)
    bench.close_docks()
    qtbot.wait(200)  # what threads answer now, nobody takes
    assert not errors
