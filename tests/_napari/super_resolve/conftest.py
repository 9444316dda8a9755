"""The Super-resolve dock with a stand-in for the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from widget_cases import FakeEngine

from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget


@pytest.fixture
def engine() -> FakeEngine:
    """The engine of `widget`."""
    return FakeEngine()


@pytest.fixture
def make(viewer: ViewerModel, qtbot: QtBot) -> Callable[[FakeEngine], SuperResolveWidget]:
    """Build the dock of `viewer` with another engine."""

    def build(engine: FakeEngine) -> SuperResolveWidget:
        widget = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
        qtbot.addWidget(widget)
        return widget

    return build


@pytest.fixture
def widget(make: Callable[[FakeEngine], SuperResolveWidget], engine: FakeEngine) -> SuperResolveWidget:
    """The dock of `viewer`."""
    return make(engine)
