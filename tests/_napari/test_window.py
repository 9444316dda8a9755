"""The docks in a real window, opened as a user opens them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from widget_cases import HR, MEDIANS, FakeEngine, add, add_case, make_guide, make_map

from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.preferences import PLUGIN
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.storage.files import write_volume
from napari_swig_qmri.physics.signal_models import TurboSpinEcho
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.synthesis.composites import LINE

RADIOLOGICAL, NEUROLOGICAL = ("up", "left"), ("up", "right")


@pytest.mark.gui
def test_super_resolve_in_a_window(plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("super_resolve"))
    assert isinstance(dock, SuperResolveWidget)
    layers = add_case(viewer)
    dock.options.set_value(Options(method="regression"))
    added = dock.run()
    assert list(viewer.layers) == [*layers, *added]
    assert [layer.name for layer in added if layer.visible] == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]


@pytest.mark.gui
def test_closing_the_dock_while_it_runs(make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    engine = FakeEngine(n_steps=10_000, pause=0.01)
    viewer = make_napari_viewer_proxy()
    dock = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
    outer = viewer.window.add_dock_widget(dock)
    layers = add_case(viewer)
    dock.start()
    qtbot.waitUntil(lambda: len(engine.runs) == 1)
    outer.destroyOnClose()
    qtbot.waitUntil(engine.closed.is_set)
    assert len(viewer.layers) == len(layers)
    viewer.layers.pop()


@pytest.mark.gui
def test_synthesize_in_a_window(plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy()
    add_case(viewer)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("synthesize"))
    assert isinstance(dock, SynthesizeWidget)
    (layer,) = dock.add_contrast()
    before = viewer.screenshot(flash=False)
    dock.editor.parameter_boxes()["inversion_time"].value = 400
    qtbot.waitUntil(lambda: layer.data.sequence.inversion_time == pytest.approx(0.4))
    assert (viewer.screenshot(flash=False) != before).any()


@pytest.mark.slow
@pytest.mark.gui
def test_panes_curtain_and_sheet_in_a_window(
    plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)  # a hidden canvas does not leave the grid
    add(viewer, *[make_map(suffix, HR) for suffix in MEDIANS], make_guide("T2w"))
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("synthesize"))
    dock.editor.set_value(TurboSpinEcho.from_typical())
    dock.compare.button.native.click()
    qtbot.waitUntil(lambda: bool(dock.compare.table.text()), timeout=20_000)
    assert len(dock.compare.panes.layers) == 2
    panes = viewer.screenshot(flash=False)
    dock.blend.first_box.value, dock.blend.second_box.value = dock.live.layers[0], viewer.layers["sub-01 T2w"]
    dock.blend.mode_box.value = "swipe"
    qtbot.wait(300)
    curtain = viewer.screenshot(flash=False)
    assert (np.abs(curtain[..., :3].astype(int) - LINE) < 8).all(axis=-1).sum() > 50  # colours are rounded
    dock.blend.mode_box.value = "off"
    dock.sheet.show_button.native.click()
    qtbot.waitUntil(lambda: len(dock.sheet.layers) == 4, timeout=60_000)
    sheet = viewer.screenshot(flash=False)
    assert (panes != curtain).any()
    assert (sheet != panes).any()


@pytest.mark.gui
def test_inspect_in_a_window(plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy()
    layers = add_case(viewer)
    outer, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("inspect"))
    assert isinstance(dock, InspectWidget)
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.mouseMove(canvas, middle)
    qtbot.waitUntil(lambda: dock.curves.hint.text().startswith("Voxel "))
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, middle)
    assert "Pin 1" in dock.curves.table.text()
    labels = viewer.add_labels(np.zeros(layers[0].data.shape, int), scale=layers[0].scale, units=layers[0].units)
    labels.paint((2, 3, 2), 4)
    qtbot.waitUntil(lambda: "Label 4" in dock.curves.table.text())
    outer.destroyOnClose()
    qtbot.waitUntil(lambda: not exists(dock))
    QTest.mouseMove(canvas, middle + QPoint(9, 9))  # nobody listens, nobody falls
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier, middle)
    viewer.layers.pop()


@pytest.mark.gui
def test_inspect_follows_synthesize_in_a_window(
    plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer_proxy()
    add_case(viewer)
    _, inspect = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("inspect"))
    _, synthesize = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("synthesize"))
    synthesize.add_contrast()
    inspect.curves.follow.value = inspect.curves.follow.choices[1]
    synthesize.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: inspect.curves.sequence().echo_time == pytest.approx(0.08))


@pytest.mark.gui
def test_a_window_that_only_reads_shows_the_radiological_view(
    plugin: None, make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path
) -> None:
    write_volume(make_map("T1map"), tmp_path / "sub-01_T1map.nii.gz")
    viewer = make_napari_viewer_proxy()
    viewer.open(tmp_path / "sub-01_T1map.nii.gz", plugin=PLUGIN)
    assert viewer.scene.camera.orientation2d == RADIOLOGICAL


def dock_name(command: str) -> str:
    """Display name of a dock in the manifest."""
    manifest = PluginManifest.from_distribution(PLUGIN)
    docks = manifest.contributions.widgets or []
    return next(str(dock.display_name) for dock in docks if dock.command == f"{PLUGIN}.{command}")
