"""Radiological and neurological view, upright in every direction, and letters on the sides of the patient."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari import Viewer, current_viewer
from napari.components.overlays import TextOverlay

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.orthogonal import follow_orientation
from napari_swig_qmri._napari.parts.preferences import prefer_view, preferred_view
from napari_swig_qmri._napari.parts.viewer_layers import follow_frame
from napari_swig_qmri._napari.placement import SPACE_AXES
from napari_swig_qmri._napari.records import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import Dims, ViewerModel

_MARKS = {"swig_left_side": "middle_left", "swig_right_side": "middle_right"}  # overlays with letters -> place
_PLATE = {"color": "white", "box": True, "box_color": (0.0, 0.0, 0.0, 0.6)}  # legible on every image and theme
_OPPOSITE = {"R": "L", "A": "P", "S": "I"}
_DEFAULT = ("down", "right")  # orientation of a new viewer, which shows the brain upside down
_ORIENTATIONS = {  # depth, vertical and horizontal direction; the depth keeps the head unmirrored in 3D
    "radiological": ("away", "up", "left"),
    "neurological": ("towards", "up", "right"),
}


def show_radiologically(viewer: ViewerModel) -> None:
    """Show anterior and superior up and the patient's left on the right, with letters at the sides.

    Slices of all directions stay upright when they are rolled. Docks and the reader do this by themselves; scripts
    that add layers need the call. The preference of the user stays.

    Examples
    --------
    >>> from napari.components import ViewerModel
    >>> from napari_swig_qmri import show_radiologically
    >>> viewer = ViewerModel()
    >>> show_radiologically(viewer)
    >>> [str(direction) for direction in viewer.scene.camera.orientation2d]
    ['up', 'left']
    """
    follow_view(viewer)
    _show(viewer, "radiological")


def choose_radiological(viewer: Viewer) -> None:
    """Show the radiological view, and keep it as a preference."""
    choose_view(viewer, "radiological")


def choose_neurological(viewer: Viewer) -> None:
    """Show anterior and superior up and the patient's left on the left, and keep that as a preference."""
    choose_view(viewer, "neurological")


def choose_view(viewer: ViewerModel, view: str) -> None:
    """Show one of `VIEWS` and keep it as the preference for windows that open later."""
    prefer_view(view)
    follow_view(viewer)
    _show(viewer, view)


def view_of(viewer: ViewerModel) -> str:
    """View that a viewer shows, one of `VIEWS`."""
    return "radiological" if str(viewer.scene.camera.orientation2d[1]) == "left" else "neurological"


def _show(viewer: ViewerModel, view: str) -> None:
    viewer.scene.camera.orientation = _ORIENTATIONS[view]
    viewer.reset_view()


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


def follow_view(viewer: ViewerModel) -> None:
    """Keep the slices of a viewer upright, with letters at their sides, while it shows images of this plugin.

    Layers that are added record the display frame of the viewer. When the viewer first has layers, and all of them
    are from this plugin, the preferred view is shown. A view that the user has turned stays. Further calls for the
    same viewer do nothing.
    """
    overlays = viewer.canvas.overlays
    if any(key in overlays for key in _MARKS):
        return
    follow_frame(unwrapped(viewer))
    for key, position in _MARKS.items():
        overlays[key] = TextOverlay(position=position, gridded=True, font_size=14, **_PLATE)
    follower = _Follower(viewer)
    for event in (viewer.dims.events.order, viewer.dims.events.ndisplay):
        event.connect(partial(_Follower.turn_upright, follower))  # a partial keeps the follower alive
    inserted, removed = viewer.layers.events.inserted, viewer.layers.events.removed
    for event in (viewer.dims.events.order, viewer.dims.events.ndisplay, inserted, removed):
        event.connect(partial(_letter, viewer))
    viewer.scene.camera.events.orientation.connect(partial(_letter, viewer))
    inserted.connect(partial(_Follower.start, follower))
    follow_orientation(viewer)
    follower.start()
    _letter(viewer)


class _Follower:
    """Orientation of the slices of one viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._has_started = False
        self._rolled = self._shown = tuple(viewer.dims.order)  # order of the axes as rolled, and made upright

    def start(self, _event: object = None) -> None:
        """Show the preferred view once, if all layers are from this plugin and the user has not turned the view."""
        viewer = self._viewer
        if self._has_started or not viewer.layers or any(LayerRecord.of(each).is_empty for each in viewer.layers):
            return
        self._has_started = True
        if tuple(map(str, viewer.scene.camera.orientation2d)) == _DEFAULT:
            _show(viewer, preferred_view())

    def turn_upright(self, _event: object = None) -> None:
        """Swap the displayed axes if superior points sideways, as in coronal slices after rolling."""
        dims = self._viewer.dims
        order = tuple(dims.order)
        if dims.ndisplay != 2 or dims.ndim < 3 or order == self._shown or not _has_own_layers(self._viewer):
            return
        was_rolled = len(order) == len(self._shown) and order == _roll(dims, self._shown)
        self._rolled = _roll(dims, self._rolled) if was_rolled else order
        is_sideways = self._rolled[-1] == dims.ndim - len(SPACE_AXES)
        *others, vertical, horizontal = self._rolled
        self._shown = (*others, horizontal, vertical) if is_sideways else self._rolled
        dims.order = self._shown


def _roll(dims: Dims, order: tuple[int, ...]) -> tuple[int, ...]:
    """Order of the axes after the button "roll" of napari, which leaves out axes with a single step."""
    axes = np.array(order)
    can_roll = (np.array(dims.nsteps) > 1)[axes]
    axes[can_roll] = np.roll(axes[can_roll], 1)
    return tuple(axes.tolist())


def _has_own_layers(viewer: ViewerModel) -> bool:
    return any(not LayerRecord.of(layer).is_empty for layer in viewer.layers)


def _letter(viewer: ViewerModel, _event: object = None) -> None:
    """Write the letters of the sides, and show them while the viewer has images of this plugin."""
    is_shown = _has_own_layers(viewer)
    for letter, text in zip(_letters(viewer), sides_of(viewer), strict=True):
        letter.text = text
        letter.visible = is_shown and bool(text)


def plates_of_letters(viewer: ViewerModel, shown: bool) -> Iterator[Callable[[], object]]:
    """Functions that show or hide the plates of the letters, one side of all cells of a grid at a time."""
    for letter in _letters(viewer):
        yield partial(setattr, letter, "box", shown)


def _letters(viewer: ViewerModel) -> list[TextOverlay]:
    return [viewer.canvas.overlays[key] for key in _MARKS if key in viewer.canvas.overlays]


def follow_current_view() -> None:
    """Call `follow_view` for the current viewer, if there is one: readers are given no viewer."""
    viewer = current_viewer()
    if viewer is not None:
        follow_view(viewer)
