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
    choose_neurological,
    choose_radiological,
    choose_view,
    follow_view,
    show_radiologically,
    sides_of,
    view_of,
)
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget

RADIOLOGICAL, NEUROLOGICAL = ("up", "left"), ("up", "right")


def orientation(viewer: ViewerModel) -> tuple[str, str]:
    vertical, horizontal = viewer.scene.camera.orientation2d
    return str(vertical), str(horizontal)


def test_the_preferred_view_is_shown_once(viewer: ViewerModel) -> None:
    follow_view(viewer)
    assert orientation(viewer) != RADIOLOGICAL
    add(viewer, make_map("T1map"))
    assert orientation(viewer) == RADIOLOGICAL
    viewer.scene.camera.orientation2d = ("down", "right")
    follow_view(viewer)
    add(viewer, make_map("T2map"))
    assert orientation(viewer) == ("down", "right")


def test_a_view_that_was_turned_or_shows_other_images_stays() -> None:
    turned, mixed = ViewerModel(), ViewerModel()
    turned.scene.camera.orientation2d = ("down", "left")
    mixed.add_image(np.zeros((3, 4, 5)))
    for viewer in (turned, mixed):
        follow_view(viewer)
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
    follow_view(second)
    add(second, make_map("T1map"))
    assert orientation(second) == NEUROLOGICAL


def test_the_menu_keeps_the_view_and_turning_by_hand_does_not(plugin: None, viewer: ViewerModel) -> None:
    viewer.scene.camera.orientation2d = NEUROLOGICAL
    assert preferred_view() == "radiological"
    choose_neurological(viewer)  # type: ignore[arg-type]
    assert preferred_view() == "neurological"
    get_plugin_settings(PLUGIN).appearance.view = "radiological"  # on the preferences page
    assert preferred_view() == "radiological"


def test_without_the_plugin_the_view_is_not_kept(viewer: ViewerModel) -> None:
    choose_neurological(viewer)  # type: ignore[arg-type]
    assert orientation(viewer) == NEUROLOGICAL
    assert preferred_view() == "radiological"


def test_a_dock_shows_the_preferred_view_and_the_view_chosen_elsewhere(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    add(viewer, make_map("T1map"))
    assert (orientation(viewer), dock.compare.view_box.value) == (RADIOLOGICAL, "radiological")
    dock.compare.view_box.value = "neurological"
    assert orientation(viewer) == NEUROLOGICAL
    choose_radiological(viewer)  # type: ignore[arg-type]
    assert dock.compare.view_box.value == "radiological"


@pytest.mark.parametrize(
    ("order", "radiological"), [((0, 1, 2), ("R", "L")), ((1, 0, 2), ("R", "L")), ((2, 0, 1), ("A", "P"))]
)
def test_marks_name_the_sides_of_every_slice_direction(
    viewer: ViewerModel, order: tuple[int, ...], radiological: tuple[str, str]
) -> None:
    add(viewer, make_map("T1map"))
    viewer.dims.order = order
    for show, sides in ((choose_radiological, radiological), (choose_neurological, radiological[::-1])):
        show(viewer)  # type: ignore[arg-type]
        assert sides_of(viewer) == sides
        texts = tuple(viewer.canvas.overlays[key].text for key in ("swig_left_side", "swig_right_side"))
        assert texts == sides
    viewer.dims.ndisplay = 3
    assert sides_of(viewer) == ("", "")
    assert not viewer.canvas.overlays["swig_left_side"].visible


def letters(viewer: ViewerModel) -> tuple[str, ...]:
    """Visible letters at the left and the right side."""
    overlays = [viewer.canvas.overlays[key] for key in ("swig_left_side", "swig_right_side")]
    return tuple(overlay.text for overlay in overlays if overlay.visible)


def test_a_script_shows_lettered_upright_slices_with_one_call(viewer: ViewerModel) -> None:
    show_radiologically(viewer)
    assert (orientation(viewer), letters(viewer)) == (RADIOLOGICAL, ())
    viewer.add_image(np.zeros((3, 4, 5)))
    assert letters(viewer) == ()  # nobody knows the sides of an image from elsewhere
    (layer,) = add(viewer, make_map("T1map"))
    assert letters(viewer) == ("R", "L")
    viewer.layers.remove(layer)
    assert letters(viewer) == ()


def test_slices_stay_upright_when_they_are_rolled(viewer: ViewerModel) -> None:
    show_radiologically(viewer)
    add(viewer, make_map("T1map"))
    seen = []
    for _ in range(6):
        viewer.dims.roll()
        seen.append((tuple(viewer.dims.displayed), letters(viewer)))
    sagittal, coronal, axial = ((0, 1), ("A", "P")), ((0, 2), ("R", "L")), ((1, 2), ("R", "L"))
    assert seen == 2 * [sagittal, coronal, axial]  # S, A, R are axes 0, 1, 2; the first one points up


def test_the_head_is_not_mirrored_in_3d(viewer: ViewerModel) -> None:
    add(viewer, make_map("T1map"))
    for choose in (choose_radiological, choose_neurological):
        choose(viewer)  # type: ignore[arg-type]
        signs = [1 if str(way) in ("towards", "up", "right") else -1 for way in viewer.scene.camera.orientation]
        assert np.prod(signs) == 1  # depth, vertical, horizontal as S, A, R: a right-handed frame
