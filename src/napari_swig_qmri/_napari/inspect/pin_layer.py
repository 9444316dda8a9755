"""Markers of pinned voxels in the picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.plots import PALETTE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from weakref import ref

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_swig_qmri.data.volumes import FloatArray

NAME = "Pins"
SIZE = 2.5  # voxels
OPACITY = 0.9
STILL = 4  # pixels that the mouse may move during a click
LEAST_DISTANCE = 0.35  # of two colours (RGB in 0 to 1) that are not mistaken for each other
TEXT = {"string": "{name}", "anchor": "upper_left", "size": 10}


class PinLayer:
    """A points layer of a viewer with one named marker per pin; it exists only while there are pins."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Points | None = None
        self._is_changing = False  # while the viewer, which calls back, adds or removes the layer

    @property
    def was_removed(self) -> bool:
        """Whether the user removed the layer."""
        return self.layer is not None and self.layer not in self._viewer.layers

    def show(self, pins: Sequence[tuple[str, FloatArray, str]], maps: Image | None) -> None:
        """Show pins as triples of name, position (S, A, R) in mm and colour, on the voxels of the layer `maps`."""
        if self._is_changing:
            return
        if not pins or maps is None:
            self.remove()
            return
        names, positions, colours = zip(*pins, strict=True)
        layer = self.layer
        if layer is None or self.was_removed or not np.allclose(layer.scale, maps.scale[-3:]):
            layer = self._replace(_new_layer(maps))
        layer.translate = maps.translate[-3:]
        layer.data = np.round([maps.world_to_data(position) for position in positions])
        layer.features = {"name": list(names)}
        layer.text = TEXT | {"color": list(colours)}  # of the rings: white cannot be read on fluid
        layer.border_color = list(colours)

    def _replace(self, layer: Points) -> Points:
        """Show another layer in place of the present one, and return it."""
        layers = self._viewer.layers
        active, old, self.layer = layers.selection.active, self.layer, layer
        self._is_changing = True
        self._viewer.add_layer(layer)
        if old is not None and old in layers:
            layers.remove(old)
        self._is_changing = False
        if active is not old and active in layers:
            layers.selection.active = active  # so that the layer controls do not change
        return layer

    def remove(self) -> None:
        """Remove the markers from the picture."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def pin_colours(taken: Sequence[FloatArray]) -> tuple[str, ...]:
    """Colours for pins that differ from those taken by labels ``(3,)`` in 0 to 1; all colours if none is left."""
    rgb = {each: np.array([int(each[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for each in PALETTE}
    free = [
        each
        for each, colour in rgb.items()
        if all(np.linalg.norm(colour - np.asarray(other)[:3]) >= LEAST_DISTANCE for other in taken)
    ]
    return tuple(free) or PALETTE


def _new_layer(maps: Image) -> Points:
    """Empty layer of rings on the voxels of a map."""
    layer = Points(
        ndim=3,
        name=NAME,
        scale=maps.scale[-3:],
        units=maps.units[-3:],
        axis_labels=maps.axis_labels[-3:],
        size=SIZE,
        face_color="transparent",
        border_width=0.25,
        opacity=OPACITY,
    )
    layer.editable = False
    return layer


def pinning(dock: ref[Any]) -> Callable[..., Generator[None, None, None]]:
    """Mouse callback that pins the voxel of a Shift-click while the dock exists."""

    def pin_on_click(_viewer: Any, event: Any) -> Generator[None, None, None]:
        if "Shift" not in event.modifiers:
            return
        start = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        inspector = dock()
        if inspector is not None and exists(inspector) and math.dist(start, event.pos) <= STILL:
            inspector.pin(event.position)

    return pin_on_click
