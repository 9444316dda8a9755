"""Radiological and neurological view: shown by preference, kept for the next start, never against the user."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_plugin_settings
from pytestqt.qtbot import QtBot
from widget_cases import add, make_map

from napari_swig_qmri._napari.parts.preferences import PLUGIN, preferred_view
from napari_swig_qmri._napari.parts.view import (
    choose_view,
    hide_marks,
    show_marks,
    show_neurologically,
    show_radiologically,
    sides_of,
    start_as_preferred,
    view_of,
)
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget

RADIOLOGICAL, NEUROLOGICAL = ("up", "left"), ("up", "right")


def orientation(viewer: ViewerModel) -> tuple[str, str]:
    vertical, horizontal = viewer.scene.camera.orientation2d
    return str(vertical), str(horizontal)


def test_the_preferred_view_is_shown_once(viewer: ViewerModel) -> None:
    start_as_preferred(viewer)
    assert orientation(viewer) != RADIOLOGICAL
    add(viewer, make_map("T1map"))
    assert orientation(viewer) == RADIOLOGICAL
    viewer.scene.camera.orientation2d = ("down", "right")
    start_as_preferred(viewer)
    add(viewer, make_map("T2map"))
    assert orientation(viewer) == ("down", "right")


def test_a_view_that_was_turned_or_shows_other_images_stays() -> None:
    turned, mixed = ViewerModel(), ViewerModel()
    turned.scene.camera.orientation2d = ("down", "left")
    mixed.add_image(np.zeros((3, 4, 5)))
    for viewer in (turned, mixed):
        start_as_preferred(viewer)
        add(viewer, make_map("T1map"))
    assert orientation(turned) == ("down", "left")
    assert orientation(mixed) == ("down", "right")


def test_a_chosen_view_is_kept_for_the_next_start(plugin: None, viewer: ViewerModel) -> None:
    add(viewer, make_map("T1map"))
    choose_view(viewer, "neurological")
    assert (orientation(viewer), view_of(viewer)) == (NEUROLOGICAL, "neurological")
    assert "view: neurological" in get_plugin_settings(PLUGIN).config_path.read_text()
    assert preferred_view() == "neurological"
    second = ViewerModel()
    start_as_preferred(second)
    add(second, make_map("T1map"))
    assert orientation(second) == NEUROLOGICAL


def test_the_menu_keeps_the_view_and_turning_by_hand_does_not(plugin: None, viewer: ViewerModel) -> None:
    viewer.scene.camera.orientation2d = NEUROLOGICAL
    assert preferred_view() == "radiological"
    show_neurologically(viewer)  # type: ignore[arg-type]
    assert preferred_view() == "neurological"
    get_plugin_settings(PLUGIN).appearance.view = "radiological"  # on the preferences page
    assert preferred_view() == "radiological"


def test_without_the_plugin_the_view_is_not_kept(viewer: ViewerModel) -> None:
    show_neurologically(viewer)  # type: ignore[arg-type]
    assert orientation(viewer) == NEUROLOGICAL
    assert preferred_view() == "radiological"


def test_a_dock_shows_the_preferred_view_and_the_view_chosen_elsewhere(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    add(viewer, make_map("T1map"))
    assert (orientation(viewer), dock.compare.view_box.value) == (RADIOLOGICAL, "radiological")
    dock.compare.view_box.value = "neurological"
    assert orientation(viewer) == NEUROLOGICAL
    show_radiologically(viewer)  # type: ignore[arg-type]
    assert dock.compare.view_box.value == "radiological"


@pytest.mark.parametrize(
    ("order", "radiological"), [((0, 1, 2), ("R", "L")), ((1, 0, 2), ("R", "L")), ((2, 0, 1), ("A", "P"))]
)
def test_marks_name_the_sides_of_every_slice_direction(
    viewer: ViewerModel, order: tuple[int, ...], radiological: tuple[str, str]
) -> None:
    add(viewer, make_map("T1map"))
    show_marks(viewer)
    viewer.dims.order = order
    for show, sides in ((show_radiologically, radiological), (show_neurologically, radiological[::-1])):
        show(viewer)  # type: ignore[arg-type]
        assert sides_of(viewer) == sides
        texts = tuple(viewer.canvas.overlays[key].text for key in ("swig_left_side", "swig_right_side"))
        assert texts == sides
    viewer.dims.ndisplay = 3
    assert sides_of(viewer) == ("", "")
    hide_marks(viewer)
    assert not viewer.canvas.overlays["swig_left_side"].visible
