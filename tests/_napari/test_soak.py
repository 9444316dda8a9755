"""Nothing piles up: what exists after each of several runs and live contrasts whose layers are removed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication
from widget_cases import FakeEngine, add_case

from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.super_resolve.result_panel import FinishedRun
from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.super_resolution.results import SuperResolution
from napari_swig_qmri.synthesis.lazy_array import LazyArray

KINDS = (Layer, FinishedRun, SuperResolution, Snapshot, LazyArray)
N_TIMES, FIRST = 6, 2  # repetitions; those at the beginning, which load and create


def remove_after_a_run(viewer: ViewerModel) -> Callable[[], None]:
    engine = FakeEngine()
    dock = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]

    def repeat() -> None:
        for layer in dock.run():
            viewer.layers.remove(layer)

    return repeat


def remove_a_live_contrast(viewer: ViewerModel) -> Callable[[], None]:
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]

    def repeat() -> None:
        for layer in dock.run():
            viewer.layers.remove(layer)

    return repeat


def state() -> tuple[int, ...]:
    """Numbers of threads, widgets and objects of each kind, once Python's garbage is collected."""
    gc.collect()
    classes = [type(each) for each in gc.get_objects()]
    counts = [sum(issubclass(each, kind) for each in classes) for kind in KINDS]
    return threading.active_count(), len(QApplication.allWidgets()), *counts


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [remove_after_a_run, remove_a_live_contrast])
def test_nothing_piles_up(
    viewer: ViewerModel, qtbot: QtBot, prepare: Callable[[ViewerModel], Callable[[], None]]
) -> None:
    add_case(viewer)
    repeat, states = prepare(viewer), []
    for _ in range(N_TIMES):
        repeat()
        qtbot.wait(50)  # widgets are deleted by the event loop
        states.append(state())
    assert len(set(states[FIRST:])) == 1, states
