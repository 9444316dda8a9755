"""The docks in a real window, opened as a user opens them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari import settings as napari_settings
from napari.components import ViewerModel
from napari.settings import get_plugin_settings, get_settings
from npe2 import PluginManager, PluginManifest
from paths import DOCS
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from skimage.io import imread
from widget_cases import HR, MEDIANS, FakeEngine, add, add_case, make_guide, make_map

from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.preferences import (
    APPEARANCE,
    CONFIGURATION,
    PLUGIN,
    VIEWS,
    make_default_reader,
    preferred_view,
    read_preferences,
)
from napari_swig_qmri._napari.parts.view import show_neurologically, show_radiologically, start_as_preferred
from napari_swig_qmri._napari.super_resolve import dock as super_resolve
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.files import write_volume
from napari_swig_qmri.physics.signal_models import TurboSpinEcho
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS
from napari_swig_qmri.synthesis.composites import LINE

RADIOLOGICAL, NEUROLOGICAL = ("up", "left"), ("up", "right")


@pytest.fixture
def plugin(plugin_settings: None, npe2pm: PluginManager) -> None:
    """This plugin alone, with settings of its own."""
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))


@pytest.mark.gui
def test_super_resolve_in_a_window(
    plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(super_resolve, "_solve", engine.super_resolve)
    monkeypatch.setattr(super_resolve, "_inspect", engine.preflight)
    viewer = make_napari_viewer_proxy()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("super_resolve"))
    assert isinstance(dock, SuperResolveWidget)
    layers = add_case(viewer)
    qtbot.waitUntil(lambda: dock.run_panel.run_button.enabled)
    with qtbot.waitSignal(dock.run_panel.ended):
        dock.run_panel.run_button.native.click()
    assert len(viewer.layers) > len(layers)


@pytest.mark.gui
def test_closing_the_dock_while_it_runs(
    plugin: None, make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(n_steps=10_000, pause=0.01)
    monkeypatch.setattr(super_resolve, "_solve", engine.super_resolve)
    monkeypatch.setattr(super_resolve, "_inspect", engine.preflight)
    viewer = make_napari_viewer_proxy()
    outer, dock = viewer.window.add_plugin_dock_widget(PLUGIN, dock_name("super_resolve"))
    layers = add_case(viewer)
    qtbot.waitUntil(lambda: dock.run_panel.run_button.enabled)
    dock.run_panel.run_button.native.click()
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


def test_docks_show_the_radiological_view_once(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    dock = SynthesizeWidget(viewer)
    qtbot.addWidget(dock)
    assert viewer.scene.camera.orientation2d != RADIOLOGICAL
    add_case(viewer)
    assert viewer.scene.camera.orientation2d == RADIOLOGICAL
    viewer.scene.camera.orientation2d = ("down", "right")
    add_case(viewer)
    assert viewer.scene.camera.orientation2d == ("down", "right")


def test_a_view_that_was_turned_or_shows_other_images_stays() -> None:
    turned, mixed = ViewerModel(), ViewerModel()
    turned.scene.camera.orientation2d = ("down", "left")
    mixed.add_image(np.zeros((3, 4, 5)))
    for viewer in (turned, mixed):
        start_as_preferred(viewer)
        add_case(viewer)
    assert turned.scene.camera.orientation2d == ("down", "left")
    assert mixed.scene.camera.orientation2d == ("down", "right")


def test_the_view_is_kept_for_the_next_start(plugin: None, qtbot: QtBot) -> None:
    first = ViewerModel()
    dock = SynthesizeWidget(first)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    add_case(first)
    assert (first.scene.camera.orientation2d, dock.compare.view_box.value) == (RADIOLOGICAL, "radiological")
    dock.compare.view_box.value = "neurological"
    assert first.scene.camera.orientation2d == NEUROLOGICAL
    kept = get_plugin_settings(PLUGIN).config_path
    assert "view: neurological" in kept.read_text()
    napari_settings._clear_plugin_settings_cache()  # as a new process has it
    assert preferred_view() == "neurological"
    show_radiologically(first)  # type: ignore[arg-type]
    assert dock.compare.view_box.value == "radiological"
    show_neurologically(first)  # type: ignore[arg-type]
    second = ViewerModel()
    dock = SynthesizeWidget(second)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    add_case(second)
    assert (second.scene.camera.orientation2d, dock.compare.view_box.value) == (NEUROLOGICAL, "neurological")


def test_the_view_of_the_menu_is_kept_and_turning_by_hand_is_not(plugin: None) -> None:
    viewer = ViewerModel()
    viewer.scene.camera.orientation2d = NEUROLOGICAL
    assert preferred_view() == "radiological"
    show_neurologically(viewer)  # type: ignore[arg-type]
    assert preferred_view() == "neurological"
    get_plugin_settings(PLUGIN).appearance.view = "radiological"  # on the preferences page
    assert preferred_view() == "radiological"


def test_without_the_plugin_the_view_is_radiological_and_can_be_turned(plugin_settings: None) -> None:
    viewer = ViewerModel()
    show_neurologically(viewer)  # type: ignore[arg-type]
    assert viewer.scene.camera.orientation2d == NEUROLOGICAL
    assert preferred_view() == "radiological"


def dock_name(command: str) -> str:
    """Display name of a dock in the manifest."""
    manifest = PluginManifest.from_distribution(PLUGIN)
    docks = manifest.contributions.widgets or []
    return next(str(dock.display_name) for dock in docks if dock.command == f"{PLUGIN}.{command}")


def test_preferences_are_read(plugin: None) -> None:
    assert read_preferences() == Options()
    page = get_plugin_settings(PLUGIN).computation
    page.method, page.weights, page.device, page.memory_limit = "network", "supervised", "cpu", 2.5
    assert read_preferences() == Options(
        method="network", weights="supervised", device="cpu", memory_limit=2_500_000_000
    )


def test_the_preferences_offer_what_there_is() -> None:
    page = (PluginManifest.from_distribution(PLUGIN).contributions.configurations or {})[CONFIGURATION]
    assert set(page.properties["method"].enum) == set(METHODS)
    assert page.properties["method"].default == DEFAULT_METHOD
    assert set(page.properties["weights"].enum) == set(WEIGHTS)
    assert page.properties["weights"].default == DEFAULT_WEIGHTS
    looks = (PluginManifest.from_distribution(PLUGIN).contributions.configurations or {})[APPEARANCE]
    assert tuple(looks.properties["view"].enum) == VIEWS
    assert looks.properties["view"].default == VIEWS[0]


def test_without_the_plugin_there_are_defaults(plugin_settings: None) -> None:
    assert read_preferences() == Options()


def test_nifti_files_open_with_this_plugin_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari_swig_qmri._napari.parts.preferences.show_info", told.append)
    settings = get_settings().plugins
    monkeypatch.setattr(settings, "extension2reader", {"*.tif": "other"})
    make_default_reader()
    assert settings.extension2reader == {"*.tif": "other", "*.nii": PLUGIN, "*.nii.gz": PLUGIN}
    assert "Preferences" in told[0]


@pytest.mark.slow
@pytest.mark.gui
@pytest.mark.parametrize(("tour", "n_pictures"), [("widget_tour", 20), ("inspect_tour", 11), ("compare_tour", 4)])
def test_a_tour_shows_every_state(tour: str, n_pictures: int, tmp_path: Path) -> None:
    script = DOCS / "examples" / f"{tour}.py"
    words = [sys.executable, str(script), str(tmp_path), "--voxel-size", "3"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pictures = {path.name: imread(path) for path in tmp_path.glob("*.png")}
    assert len(pictures) == n_pictures + (tour == "compare_tour" and find_spec("napari_orthogonal_views") is not None)
    assert all(picture[..., :3].std() > 10 for picture in pictures.values())
