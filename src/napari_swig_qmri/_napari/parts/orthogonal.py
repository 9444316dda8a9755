"""Orientation of the planes of the plugin napari-orthogonal-views, the same as in the main view."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_swig_qmri._napari.parts.appearance import unwrapped

if TYPE_CHECKING:
    from napari.components import ViewerModel

PLUGIN = "napari_orthogonal_views"
CORNER = "bottom_left"  # for the axes of the main view, away from the names of layers


def follow_orientation(viewer: ViewerModel) -> None:
    """Give the planes of a viewer the orientation of its main view, whenever they are opened.

    Otherwise they show the brain upside down, and the patient's left on the other side than a radiological view.
    """
    align = partial(_align, viewer)
    axes = viewer.canvas.overlays.axes
    axes.events.visible.connect(lambda _: QTimer.singleShot(0, align))  # emitted just before the planes are made
    for event in (viewer.scene.camera.events.orientation, viewer.dims.events.order):
        event.connect(lambda _: align())


def _align(viewer: ViewerModel) -> None:
    """Give every plane the vertical orientation of the main view, and the horizontal one if the axis is the same."""
    vertical, horizontal = viewer.scene.camera.orientation2d
    for plane in _planes(viewer):
        shares_axis = plane.dims.order[-1] == viewer.dims.order[-1]
        plane.scene.camera.orientation2d = (vertical, horizontal if shares_axis else "right")
        viewer.canvas.overlays.axes.position = CORNER


def _planes(viewer: ViewerModel) -> Iterator[Any]:
    """Viewer models of the planes of a viewer."""
    kind = getattr(sys.modules.get(PLUGIN), "OrthoViewWidget", None)
    if kind is None:
        return
    for widget in QApplication.allWidgets():
        if isinstance(widget, kind) and unwrapped(widget.viewer) is unwrapped(viewer):
            yield widget.vm_container.viewer_model
