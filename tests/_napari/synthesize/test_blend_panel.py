"""Two layers in one image: swipe, flicker and checkerboard."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.synthesize.blend_panel import BlendPanel
from napari_swig_qmri.synthesis.composites import LINE

SHAPE = (20, 28, 24)


@pytest.fixture
def viewer() -> ViewerModel:
    """Two images on one grid in the radiological view, and a grid of views."""
    viewer = ViewerModel()
    viewer.scene.camera.orientation2d = ("up", "left")
    for seed, name in enumerate(("first", "second")):
        viewer.add_image(np.random.default_rng(seed).uniform(0.2, 1, SHAPE), name=name, contrast_limits=(0, 1))
    viewer.canvas.grid.enabled = True
    return viewer


@pytest.fixture
def panel(viewer: ViewerModel, qtbot: QtBot) -> BlendPanel:
    panel = BlendPanel(viewer)
    qtbot.addWidget(panel)
    for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
        event.connect(panel.refresh_layers)  # as the dock does
    panel.first_box.value, panel.second_box.value = viewer.layers
    return panel


def test_the_uppermost_visible_images_are_proposed(viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_image(np.ones(SHAPE), name="hidden", visible=False)
    panel = BlendPanel(viewer)
    qtbot.addWidget(panel)
    panel.mode_box.value = "swipe"
    assert panel.layer is not None
    assert panel.layer.name == "second | first"
    assert panel.message.isHidden()


def picture(panel: BlendPanel) -> np.ndarray:
    """Middle slice of the combined image."""
    data: Any = panel.layer.data if panel.layer is not None else None
    return np.asarray(data[data.shape[0] // 2])


def test_swipe_shows_the_first_image_on_the_left_or_above(panel: BlendPanel, viewer: ViewerModel) -> None:
    panel.mode_box.value = "swipe"
    assert [layer.name for layer in viewer.layers if layer.visible] == ["first | second"]
    assert not viewer.canvas.grid.enabled
    panel.position.value = 100
    only_first = picture(panel)
    panel.position.value = 0
    only_second = picture(panel)
    panel.position.value = 50
    both = picture(panel)
    np.testing.assert_array_equal(both[:, 14:], only_first[:, 14:])  # voxels run from right to left in this view
    np.testing.assert_array_equal(both[:, :10], only_second[:, :10])
    assert (both[:, 10:14] == LINE).all(axis=-1).any()
    viewer.scene.camera.orientation2d = ("up", "right")
    np.testing.assert_array_equal(picture(panel)[:, 1:10], only_first[:, 1:10])
    panel.is_horizontal.value = True
    np.testing.assert_array_equal(picture(panel)[16:, 1:], only_first[16:, 1:])  # voxels run upwards


def test_the_line_follows_the_mouse_with_shift(panel: BlendPanel, viewer: ViewerModel) -> None:
    panel.mode_box.value = "swipe"
    for modifiers, expected in (((), 50.0), (("Shift",), 25.0)):
        event = SimpleNamespace(modifiers=modifiers, position=(10.0, 14.0, 0.75 * (SHAPE[2] - 1)))
        for callback in viewer.mouse_move_callbacks:
            callback(viewer, event)
        assert panel.position.value == pytest.approx(expected, abs=0.1)


@pytest.mark.slow
def test_flicker_alternates_between_the_two(panel: BlendPanel, viewer: ViewerModel, qtbot: QtBot) -> None:
    panel.rate.value = 5
    panel.mode_box.value = "flicker"
    names: set[str] = set()

    def has_both() -> bool:
        names.add(viewer.canvas.overlays.text.text)
        return len(names) == 2

    qtbot.waitUntil(has_both, timeout=2_000)
    assert names == {"first", "second"}


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("T2w synthetic (LR)", "T2w synthetic (SR)"), "T2w synthetic:  (LR)  |  (SR)"),
        (("T1w", "T2w SR"), "T1w  |  T2w SR"),
        (("T1w", "T1w SR"), "T1w  |  T1w SR"),
    ],
)
def test_the_title_says_shared_words_once(
    panel: BlendPanel, viewer: ViewerModel, names: tuple[str, str], title: str
) -> None:
    panel.first_box.value.name, panel.second_box.value.name = names
    panel.mode_box.value = "swipe"
    assert viewer.canvas.overlays.text.text == title


def test_the_checkerboard_follows_values_and_limits_until_a_layer_is_removed(
    panel: BlendPanel, viewer: ViewerModel
) -> None:
    panel.mode_box.value = "checkerboard"
    first = viewer.layers["first"]
    before = picture(panel)
    first.contrast_limits = (0, 0.5)
    assert (picture(panel) != before).any()
    before = picture(panel)
    first.data = first.data / 2
    assert (picture(panel) != before).any()
    viewer.layers.remove(first)
    assert panel.mode_box.value == "off"
    assert panel.layer is None


def test_switching_off_restores_the_view(panel: BlendPanel, viewer: ViewerModel) -> None:
    panel.mode_box.value = "swipe"
    assert viewer.canvas.overlays.text.visible
    panel.mode_box.value = "off"
    assert [layer.name for layer in viewer.layers if layer.visible] == ["first", "second"]
    assert viewer.canvas.grid.enabled
    assert not viewer.canvas.overlays.text.visible
    assert panel.layer is None


def test_layers_that_cannot_be_combined_are_refused(panel: BlendPanel, viewer: ViewerModel) -> None:
    panel.second_box.value = panel.first_box.value
    panel.mode_box.value = "swipe"
    assert "two different" in panel.message.text()
    turned = viewer.add_image(np.zeros((5, 6, 7)), rotate=20, name="turned")
    panel.second_box.value = turned
    assert "turned is rotated" in panel.message.text()
    viewer.dims.ndisplay = 3
    panel.second_box.value = viewer.layers["second"]
    assert "leave the 3D view" in panel.message.text()
    assert panel.layer is None


@pytest.mark.slow
def test_long_names_of_layers_are_shortened_in_the_middle(panel: BlendPanel, viewer: ViewerModel) -> None:
    long = "a contrast with a name that is much too long for the dock (LR)"
    viewer.layers["first"].name = long
    panel.refresh_layers()
    box = panel.first_box
    box.native.resize(160, 24)
    text = box.elided.text()
    assert (text.startswith("a con"), text.endswith("(LR)"), len(text) < len(long)) == (True, True, True)
    box.native.resize(900, 24)
    assert box.elided.text() == long
    assert not box.native.grab().isNull()
