"""Two settings that are changed on the canvas with mouse and keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from napari.utils.key_bindings import KeymapHandler
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication
from widget_cases import add, lr_sr_and_a_guide, make_map

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.view import follow_view
from napari_swig_qmri._napari.synthesize.canvas_drag import OVERLAY
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.null_panel import NullChoice
from napari_swig_qmri.physics.nulling import NULLED_TISSUES, nulled
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.presets import built_in_presets, find_preset

CANVAS = (600, 800)  # pixels, height and width
LEFT, NO_KEY, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


class Hand:
    """Sends keys and mouse events to the key maps and mouse callbacks of a viewer without a window."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._keys = KeymapHandler()
        self._keys.keymap_providers = [viewer]

    def press(self, key: str) -> bool:
        return self._keys.press_key(key)

    def release(self, key: str) -> None:
        self._keys.release_key(key)

    def mouse_down(self, x: float, y: float, *, button: int = 1) -> None:
        mouse_press_callbacks(self.viewer, self._event("mouse_press", x, y, (), button))

    def mouse_to(self, x: float, y: float, modifiers: Sequence[str] = ()) -> None:
        mouse_move_callbacks(self.viewer, self._event("mouse_move", x, y, modifiers, 1))

    def mouse_up(self, x: float, y: float) -> None:
        mouse_release_callbacks(self.viewer, self._event("mouse_release", x, y, (), 1))

    def drag(self, right: float, up: float, modifiers: Sequence[str] = (), button: int = 1) -> None:
        """Drag by fractions of the canvas, in two moves."""
        height, width = CANVAS
        self.mouse_down(100, 300, button=button)
        self.mouse_to(100 + right * width / 2, 300 - up * height / 2, modifiers)
        self.mouse_to(100 + right * width, 300 - up * height, modifiers)
        self.mouse_up(100 + right * width, 300 - up * height)

    def _event(self, kind: str, x: float, y: float, modifiers: Sequence[str], button: int) -> Any:
        return read_only_mouse_event(
            type=kind, is_dragging=kind == "mouse_move", button=button, modifiers=list(modifiers), pos=np.array([x, y])
        )


@pytest.fixture(scope="module")
def shared(qapp: QApplication) -> Iterator[SynthesizeWidget]:
    """A dock with two live layers that the tests share, because a viewer is slow to build."""
    viewer = lr_sr_and_a_guide()
    viewer.canvas.size = CANVAS
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    dock.run()
    yield dock
    dock.deleteLater()


@pytest.fixture
def dock(shared: SynthesizeWidget) -> SynthesizeWidget:
    """The shared dock with a T2-FLAIR and nothing nulled."""
    shared.panel.null.set_value(NullChoice())
    shared.editor.set_value(T2Flair.from_typical())
    return shared


@pytest.fixture
def hand(dock: SynthesizeWidget) -> Hand:
    """Mouse and keys on the shared viewer."""
    return Hand(dock._viewer)


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer of a test's own."""
    viewer = lr_sr_and_a_guide()
    viewer.canvas.size = CANVAS
    return viewer


def open_dock(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    return dock


def close(dock: SynthesizeWidget, qtbot: QtBot) -> None:
    dock.deleteLater()
    qtbot.waitUntil(lambda: not exists(dock))


def shown(dock: SynthesizeWidget) -> tuple[float, float]:
    """TI and TE on the sliders, in ms."""
    boxes = dock.editor.parameter_boxes()
    return boxes["inversion_time"].value, boxes["echo_time"].value


def test_a_drag_moves_sliders_and_all_live_layers(dock: SynthesizeWidget, hand: Hand, qtbot: QtBot) -> None:
    layers = dock.live.layers
    assert hand.press("Q")
    hand.drag(0.5, 0.1)
    assert shown(dock) == (6250, 156)  # plus half of 7500 and a tenth of 360
    overlay = hand.viewer.canvas.overlays[OVERLAY]
    assert (overlay.visible, overlay.text) == (True, "T2-FLAIR: TI 6250 ms, TE 156 ms")
    qtbot.waitUntil(lambda: all(layer.data.sequence == dock.editor.value() for layer in layers))
    assert len(layers) == 2
    hand.drag(-0.5, -0.1)
    assert shown(dock) == (2500, 120)
    hand.release("Q")
    assert not overlay.visible


def test_a_drag_that_ends_where_it_began_rounds_nothing(dock: SynthesizeWidget, hand: Hand) -> None:
    dock.panel.presets.preset_box.value = "T2-FLAIR 2D"
    hand.press("Q")
    hand.drag(0, 0)
    hand.release("Q")
    assert dock.editor.value() == find_preset(built_in_presets(), "T2-FLAIR 2D", 3.0).contrast


def test_with_shift_a_drag_is_finer(dock: SynthesizeWidget, hand: Hand) -> None:
    assert hand.press("Shift-Q")  # Shift may go down first
    hand.drag(0.1, 0.01, modifiers=["Shift"])
    assert shown(dock) == (2575, pytest.approx(120.4))
    hand.release("Shift-Q")


def test_impossible_settings_stop_the_drag_and_the_way_back_starts_at_once(dock: SynthesizeWidget, hand: Hand) -> None:
    hand.press("Q")
    hand.mouse_down(400, 300)
    hand.mouse_to(400, 100)  # TE 240 ms, but the train ends after 160 ms
    assert shown(dock) == (2500, 160)
    assert dock.editor.problem() is None
    hand.mouse_to(400, 110)
    assert shown(dock) == (2500, 154)
    hand.mouse_up(400, 110)
    hand.drag(3, 0)
    assert shown(dock) == (7500, 154)  # the end of the slider
    hand.release("Q")


@pytest.mark.slow
def test_nothing_changes_without_a_live_layer(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock, hand = open_dock(viewer, qtbot), Hand(viewer)
    before = dock.editor.value()
    hand.press("Q")
    assert viewer.scene.camera.mouse_pan
    assert not viewer.canvas.overlays[OVERLAY].visible
    hand.drag(0.5, 0.5)
    hand.release("Q")
    assert dock.editor.value() == before


def test_nothing_changes_without_the_key_or_with_another_button(dock: SynthesizeWidget, hand: Hand) -> None:
    before = dock.editor.value()
    hand.drag(0.5, 0.1)
    hand.press("Q")
    hand.drag(0.5, 0.1, button=2)
    hand.release("Q")
    hand.drag(0.5, 0.1)
    assert dock.editor.value() == before
    assert hand.viewer.scene.camera.mouse_pan


def test_releasing_the_key_ends_the_drag(dock: SynthesizeWidget, hand: Hand) -> None:
    camera = hand.viewer.scene.camera
    hand.press("Q")
    assert not camera.mouse_pan
    hand.mouse_down(100, 300)
    hand.mouse_to(180, 300)
    assert shown(dock) == (3250, 120)
    hand.release("Q")
    hand.mouse_to(400, 100)
    assert shown(dock) == (3250, 120)
    assert not camera.mouse_pan  # the view stays still until the button is released
    hand.mouse_up(400, 100)
    assert camera.mouse_pan


def test_another_window_ends_the_drag(dock: SynthesizeWidget, hand: Hand) -> None:
    hand.press("Q")
    QGuiApplication.instance().focusWindowChanged.emit(None)  # the other window gets the release of the key
    assert hand.viewer.scene.camera.mouse_pan
    before = dock.editor.value()
    hand.drag(0.5, 0.1)
    assert dock.editor.value() == before
    hand.press("Q")
    hand.drag(0.1, 0)
    assert dock.editor.value() != before
    hand.release("Q")


@pytest.mark.slow
def test_brushes_do_not_paint_while_the_key_is_held(dock: SynthesizeWidget, hand: Hand) -> None:
    labels = hand.viewer.add_labels(np.zeros((5, 7, 6), int))
    labels.mode = "paint"
    hand.press("Q")
    assert (str(labels.mode), hand.viewer.scene.camera.mouse_pan) == ("pan_zoom", False)
    hand.release("Q")
    assert (str(labels.mode), hand.viewer.scene.camera.mouse_pan) == ("paint", False)
    hand.press("Q")
    image = hand.viewer.add_image(np.zeros((5, 7, 6)))  # becomes the active layer
    hand.release("Q")
    assert (str(labels.mode), hand.viewer.scene.camera.mouse_pan) == ("paint", True)
    for layer in (labels, image):
        hand.viewer.layers.remove(layer)


def test_arrow_keys_step_and_are_restored(dock: SynthesizeWidget, hand: Hand) -> None:
    hand.press("Q")
    for key in ("Right", "Right", "Down"):
        assert hand.press(key)
    assert shown(dock) == (2700, 110)
    for key in ("Left", "Up", "Shift-Left", "Shift-Down"):
        hand.press(key)
    assert shown(dock) == (2590, 119)
    hand.release("Q")
    hand.press("Right")
    assert shown(dock) == (2590, 119)


def test_page_keys_step_through_presets(dock: SynthesizeWidget, hand: Hand, qtbot: QtBot) -> None:
    layers = dock.live.layers
    dock.panel.presets.preset_box.value = "bSSFP"  # the last one
    hand.press("Q")
    hand.press("PageDown")
    assert dock.panel.presets.value() == find_preset(built_in_presets(), "T1w SE", 3.0)
    assert hand.viewer.canvas.overlays[OVERLAY].text == "T1w SE: TR 600 ms, TE 12 ms"
    qtbot.waitUntil(lambda: [layer.name for layer in layers] == ["T1w SE synthetic (LR)", "T1w SE synthetic (SR)"])
    hand.press("PageUp")
    assert dock.panel.title() == "bSSFP"
    hand.drag(0.1, 0)
    assert dock.panel.editor.settings()["flip_angle"] == pytest.approx(np.radians(58.5))  # 0.1 to 135 degrees
    hand.release("Q")
    assert not hand.press("PageDown")


@pytest.mark.slow
def test_presets_that_need_missing_maps_are_skipped(viewer: ViewerModel, qtbot: QtBot) -> None:
    hand = Hand(viewer)
    viewer.layers.clear()
    add(viewer, make_map("PDmap"), make_map("T1map"))
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    dock.panel.presets.preset_box.value = "MP2RAGE UNI"
    (layer,) = dock.add_contrast()
    dock.panel.presets.preset_box.value = "bSSFP"
    hand.press("Q")
    assert "Balanced SSFP needs T2" in viewer.canvas.overlays[OVERLAY].text
    for page in ("PageDown", "PageDown", "PageUp"):
        hand.press(page)
        assert dock.panel.title() == "MP2RAGE UNI"
        assert viewer.canvas.overlays[OVERLAY].text.startswith("MP2RAGE UNI: ")
    assert layer.data.sequence == dock.editor.value()
    hand.release("Q")


def test_a_locked_tissue_stays_nulled_during_a_drag(dock: SynthesizeWidget, hand: Hand) -> None:
    dock.panel.null.tissue_box.value = "CSF"
    hand.press("Q")
    hand.drag(-0.1, 0)
    value: Any = dock.editor.value()
    assert value == nulled(T2Flair.from_typical(repetition_time=6.3), NULLED_TISSUES["CSF"].t1[3.0])
    ti = f"{1e3 * value.inversion_time:.5g}"
    assert hand.viewer.canvas.overlays[OVERLAY].text == f"T2-FLAIR: TR 6300 ms, TE 120 ms, TI {ti} ms"
    hand.release("Q")


def test_an_equation_without_settings_does_not_change(dock: SynthesizeWidget, hand: Hand) -> None:
    dock.editor.set_value(UserEquation(text="PD * T1"))
    hand.press("Q")
    hand.drag(0.5, 0.1)
    hand.press("Up")
    hand.release("Q")
    assert dock.editor.value() == UserEquation(text="PD * T1")


@pytest.mark.slow
def test_a_closed_dock_restores_keys_mouse_and_overlays(viewer: ViewerModel, qtbot: QtBot) -> None:
    hand = Hand(viewer)
    pressed: list[str] = []
    viewer.bind_key("Q", lambda _viewer: pressed.append("Q"))
    follow_view(viewer)  # the letters at the sides stay
    callbacks, overlays = list(viewer.mouse_drag_callbacks), list(viewer.canvas.overlays)
    dock = open_dock(viewer, qtbot)
    dock.add_contrast()
    hand.press("Q")
    assert not pressed
    close(dock, qtbot)  # with the key down
    assert viewer.scene.camera.mouse_pan
    assert viewer.mouse_drag_callbacks == callbacks
    assert list(viewer.canvas.overlays) == overlays
    assert [str(key) for key in viewer.keymap] == ["Q"]
    hand.press("Q")
    assert pressed == ["Q"]


@pytest.mark.slow
def test_of_two_docks_that_of_the_upper_visible_layers_changes(viewer: ViewerModel, qtbot: QtBot) -> None:
    hand = Hand(viewer)
    first, second = open_dock(viewer, qtbot), open_dock(viewer, qtbot)
    first.add_contrast()
    second.add_contrast()
    hand.press("Q")
    hand.drag(0.1, 0)
    hand.release("Q")
    assert (shown(first), shown(second)) == ((2500, 120), (3250, 120))
    for layer in viewer.layers:
        layer.visible = layer in first.live.layers
    hand.press("Q")
    hand.drag(0.1, 0)
    hand.release("Q")
    assert (shown(first), shown(second)) == ((3250, 120), (3250, 120))
    close(first, qtbot)
    hand.press("Q")
    hand.press("Right")
    hand.release("Q")
    assert shown(second) == (3350, 120)
    close(second, qtbot)
    assert not viewer.keymap
