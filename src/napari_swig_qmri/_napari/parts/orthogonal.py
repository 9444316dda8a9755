"""Planes that another plugin, napari-orthogonal-views, shows beside the main one: the same sides in all of them."""

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
CORNER = "bottom_left"  # of the main plane's axes, away from the names of layers


def follow_orientation(viewer: ViewerModel) -> None:
    """Keep planes beside the main one turned as it is, however and whenever they are opened.

    Left to themselves they show the patient's left on the other side than a radiological view, and the brain upside
    down.
    """
    align = partial(_align, viewer)
    axes = viewer.canvas.overlays.axes
    axes.events.visible.connect(lambda _: QTimer.singleShot(0, align))  # shown with the planes, before they are there
    for event in (viewer.scene.camera.events.orientation, viewer.dims.events.order):
        event.connect(lambda _: align())


def _align(viewer: ViewerModel) -> None:
    """Turn every plane as the main one: down its side, and across it where both show the same axis there."""
    vertical, horizontal = viewer.scene.camera.orientation2d
    for plane in _planes(viewer):
        shares_axis = plane.dims.order[-1] == viewer.dims.order[-1]
        plane.scene.camera.orientation2d = (vertical, horizontal if shares_axis else "right")
        viewer.canvas.overlays.axes.position = CORNER


def _planes(viewer: ViewerModel) -> Iterator[Any]:
    """Models of the planes that are shown beside a viewer."""
    kind = getattr(sys.modules.get(PLUGIN), "OrthoViewWidget", None)
    if kind is None:
        return
    for widget in QApplication.allWidgets():
        if isinstance(widget, kind) and unwrapped(widget.viewer) is unwrapped(viewer):
            yield widget.vm_container.viewer_model
