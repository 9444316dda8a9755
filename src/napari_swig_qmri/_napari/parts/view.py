"""Radiological and neurological view, and marks of the sides of the patient."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari import Viewer, current_viewer
from napari.components.overlays import TextOverlay

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.orthogonal import follow_orientation
from napari_swig_qmri._napari.parts.preferences import prefer_view, preferred_view
from napari_swig_qmri._napari.parts.viewer_layers import follow_frame
from napari_swig_qmri._napari.placement import SPACE_AXES
from napari_swig_qmri._napari.records import LayerRecord

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from npe2 import PluginContext

_MARKS = ("swig_left_side", "swig_right_side")  # names of the overlays with the letters of the sides
_STARTED: WeakSet[Any] = WeakSet()  # viewers that `start_as_preferred` was called for
_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_DEFAULT = ("down", "right")  # orientation of a new viewer, which shows the brain upside down
_ORIENTATIONS = {"radiological": ("up", "left"), "neurological": ("up", "right")}


def show_radiologically(viewer: Viewer) -> None:
    """Show anterior and superior up and the patient's left on the right, and keep that as a preference."""
    choose_view(viewer, "radiological")


def show_neurologically(viewer: Viewer) -> None:
    """Show anterior and superior up and the patient's left on the left, and keep that as a preference."""
    choose_view(viewer, "neurological")


def choose_view(viewer: ViewerModel, view: str) -> None:
    """Show one of `VIEWS` and keep it as the preference for windows that open later."""
    prefer_view(view)
    _show(viewer, view)


def view_of(viewer: ViewerModel) -> str:
    """View that a viewer shows, one of `VIEWS`."""
    return "radiological" if str(viewer.scene.camera.orientation2d[1]) == "left" else "neurological"


def _show(viewer: ViewerModel, view: str) -> None:
    viewer.scene.camera.orientation2d = _ORIENTATIONS[view]
    viewer.reset_view()


def show_marks(viewer: ViewerModel) -> None:
    """Mark the sides of every picture with R and L or A and P; the marks follow the orientation."""
    overlays = viewer.canvas.overlays
    if _MARKS[0] not in overlays:
        for key, position in zip(_MARKS, ("middle_left", "middle_right"), strict=True):
            overlays[key] = TextOverlay(position=position, gridded=True, box=False, font_size=12)
        for event in (viewer.dims.events.order, viewer.dims.events.ndisplay, viewer.scene.camera.events.orientation):
            event.connect(partial(_letter_marks, viewer))
    _letter_marks(viewer)
    for key in _MARKS:
        overlays[key].visible = True


def hide_marks(viewer: ViewerModel) -> None:
    """Hide the marks of the sides."""
    for key in _MARKS:
        if key in viewer.canvas.overlays:
            viewer.canvas.overlays[key].visible = False


def sides_of(viewer: ViewerModel) -> tuple[str, str]:
    """Letters of the left and the right side of the picture; empty in 3D."""
    if viewer.dims.ndisplay != 2 or viewer.dims.ndim < 3:
        return "", ""
    axis = viewer.dims.displayed[-1] - (viewer.dims.ndim - 3)
    if axis < 0:
        return "", ""
    towards = SPACE_AXES[axis]
    sides = (_OPPOSITE[towards], towards)
    return sides if str(viewer.scene.camera.orientation2d[1]) == "right" else sides[::-1]


def _letter_marks(viewer: ViewerModel, _event: object = None) -> None:
    for key, letter in zip(_MARKS, sides_of(viewer), strict=True):
        viewer.canvas.overlays[key].text = letter


def start_as_preferred(viewer: ViewerModel) -> None:
    """Show the preferred view when the viewer first has layers, and all of them are from this plugin.

    From now on, layers that are added to the viewer record its display frame.
    A view that the user has turned stays. Further calls for the same viewer do nothing.
    """
    if unwrapped(viewer) in _STARTED:
        return
    _STARTED.add(unwrapped(viewer))
    follow_frame(unwrapped(viewer))

    def show_preferred_view(_event: object = None) -> None:
        if not viewer.layers or any(LayerRecord.of(layer).is_empty for layer in viewer.layers):
            return
        viewer.layers.events.inserted.disconnect(show_preferred_view)
        if tuple(map(str, viewer.scene.camera.orientation2d)) == _DEFAULT:
            _show(viewer, preferred_view())

    viewer.layers.events.inserted.connect(show_preferred_view)
    follow_orientation(viewer)
    show_preferred_view()


def on_activate(_context: PluginContext) -> None:
    """Call `start_as_preferred` for the current viewer; readers need this, because they are given no viewer."""
    viewer = current_viewer()
    if viewer is not None:
        start_as_preferred(viewer)
