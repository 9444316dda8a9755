"""Viewers, docks and panels that the tests of the Synthesize dock share."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from widget_cases import MEDIANS, add, lr_sr_and_a_guide, make_map

from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.signal_models import T2Flair


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer with LR maps, SR maps and a T1w image."""
    return lr_sr_and_a_guide()


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    """The dock on `viewer`, with a T2-FLAIR."""
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def lr_widget(qtbot: QtBot) -> SynthesizeWidget:
    """The dock on a viewer with LR maps only."""
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's presets."""
    folder = tmp_path / "presets"
    monkeypatch.setattr("napari_swig_qmri.synthesis.presets.user_folder", lambda: folder)
    return folder


@pytest.fixture
def panel(qtbot: QtBot, folder: Path) -> SequencePanel:
    """Panel of a T2-FLAIR."""
    panel = SequencePanel()
    qtbot.addWidget(panel)
    panel.editor.set_value(T2Flair.from_typical())
    return panel
