"""Planes of napari-orthogonal-views beside the main one: they follow sliders and labels, and show the same sides."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget
from widget_cases import HR, MEDIANS, add, make_map

from napari_swig_qmri._napari.parts.orthogonal import PLUGIN, follow_orientation
from napari_swig_qmri._napari.parts.view import choose_neurological, choose_radiological, follow_view
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.synthesis.lazy_contrast import synthesise


class FakePlane(QWidget):
    """A plane as the other plugin has it: its widget knows the viewer and holds a model of its own."""

    def __init__(self, viewer: Any, order: tuple[int, ...]) -> None:
        super().__init__()
        model = ViewerModel()
        model.add_image(np.zeros((4, 5, 6)))
        model.dims.order = order
        self.viewer, self.vm_container = viewer, SimpleNamespace(viewer_model=model)


@pytest.fixture
def planes(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> tuple[ViewerModel, list[FakePlane]]:
    """A viewer, two planes beside it and one beside another viewer."""
    monkeypatch.setitem(sys.modules, PLUGIN, SimpleNamespace(OrthoViewWidget=FakePlane))
    viewer = ViewerModel()
    viewer.add_image(np.zeros((4, 5, 6)))
    follow_orientation(viewer)
    proxy = SimpleNamespace(__wrapped__=viewer)
    widgets = [FakePlane(viewer, (2, 1, 0)), FakePlane(proxy, (1, 0, 2)), FakePlane(ViewerModel(), (1, 0, 2))]
    for widget in widgets:
        qtbot.addWidget(widget)
    return viewer, widgets


def orientations(widgets: Sequence[Any]) -> list[tuple[str, str]]:
    models = (widget.vm_container.viewer_model for widget in widgets)
    return [(str(v), str(h)) for v, h in (model.scene.camera.orientation2d for model in models)]


def test_planes_show_the_sides_of_the_main_one(planes: tuple[Any, list[FakePlane]]) -> None:
    viewer, widgets = planes
    choose_radiological(viewer)
    assert orientations(widgets) == [("up", "right"), ("up", "left"), ("down", "right")]
    choose_neurological(viewer)
    assert orientations(widgets) == [("up", "right"), ("up", "right"), ("down", "right")]


def test_planes_that_are_opened_later_are_turned_once_they_are_there(
    planes: tuple[Any, list[FakePlane]], qtbot: QtBot
) -> None:
    viewer, widgets = planes
    viewer.scene.camera.events.orientation.block()
    viewer.scene.camera.orientation2d = ("up", "left")
    viewer.canvas.overlays.axes.visible = True  # as the other plugin does before it makes a plane
    qtbot.waitUntil(lambda: orientations(widgets)[1] == ("up", "left"))
    assert str(viewer.canvas.overlays.axes.position) == "bottom_left"


def test_without_the_other_plugin_nothing_happens() -> None:
    assert PLUGIN not in sys.modules or hasattr(sys.modules[PLUGIN], "OrthoViewWidget")
    viewer = ViewerModel()
    position = viewer.canvas.overlays.axes.position
    follow_orientation(viewer)
    choose_radiological(viewer)  # type: ignore[arg-type]
    assert viewer.canvas.overlays.axes.position == position


@pytest.mark.gui
def test_planes_follow_sliders_marks_and_labels(make_napari_viewer: Callable[..., Any], qtbot: QtBot) -> None:
    manager_of = pytest.importorskip("napari_orthogonal_views.ortho_view_manager", reason="the extra views")
    viewer = make_napari_viewer()
    dock = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(dock)
    add(viewer, *[make_map(suffix, HR) for suffix in MEDIANS])
    dock.editor.set_value(T2Flair.from_typical())
    dock.add_contrast()
    (live,) = dock.live.layers
    pins = viewer.add_labels(np.zeros(live.data.shape, np.uint8), name="pins", scale=live.scale, units=live.units)
    manager_of.show_orthogonal_views(viewer)
    manager = manager_of._get_manager(viewer)
    qtbot.waitUntil(manager.is_shown)
    widgets = (manager.right_widget, manager.bottom_widget)
    models = [widget.vm_container.viewer_model for widget in widgets]
    qtbot.waitUntil(lambda: orientations(widgets) == [("up", "right"), ("up", "left")])
    dock.editor.parameter_boxes()["inversion_time"].value = 1200
    qtbot.waitUntil(lambda: live.data.sequence.inversion_time == pytest.approx(1.2))
    shown = synthesise(live.data.sequence, live.data.pd, live.data.t1, live.data.t2)
    for model in models:
        copy = model.layers[live.name]
        assert copy.data is live.data
        assert copy.contrast_limits == live.contrast_limits
        index = tuple(
            slice(None) if axis in model.dims.displayed else model.dims.current_step[axis] for axis in range(3)
        )
        plane = shown[index] if list(model.dims.displayed) == sorted(model.dims.displayed) else shown[index].T
        np.testing.assert_allclose(np.asarray(copy._slice.image.view), plane, rtol=1e-5)
    dock.rendering.mark.value = True
    (marks,) = dock.live.marks.values()
    pins.paint(tuple(pins.world_to_data(viewer.dims.point).astype(int)), 3)
    for model in models:
        assert model.layers[marks.name].data is marks.data
        assert 3 in np.asarray(model.layers["pins"]._slice.image.view)
    choose_neurological(viewer)
    assert orientations(widgets) == [("up", "right"), ("up", "right")]
    manager.cleanup()


def test_further_docks_add_nothing_to_what_follows_the_orientation(qtbot: QtBot) -> None:
    viewer = ViewerModel()

    def n_followers() -> list[int]:
        changes = viewer.scene.camera.events.orientation, viewer.dims.events.order, viewer.layers.events.inserted
        shown = viewer.canvas.overlays.axes.events.visible
        return [len(getattr(event, "callbacks", event)) for event in (*changes, shown)]

    follow_view(viewer)
    before = n_followers()
    follow_view(viewer)
    follow_view(PublicOnlyProxy(viewer))  # type: ignore[arg-type]  # as napari hands it to plugins
    assert n_followers() == before
