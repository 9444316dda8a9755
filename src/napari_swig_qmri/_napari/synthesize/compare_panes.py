"""Layers of the acquired image and of the difference in a comparison of contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_swig_qmri._napari.display import difference_colormap
from napari_swig_qmri._napari.layers import from_layer, to_layer_data
from napari_swig_qmri._napari.placement import place, same_frame
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
from napari_swig_qmri.data.interpretation import as_signal
from napari_swig_qmri.data.provenance import made_here
from napari_swig_qmri.data.volumes import FloatArray, Volume
from napari_swig_qmri.evaluation.comparison import ACQUIRED, ComparisonData
from napari_swig_qmri.synthesis.brightness import rounded_up
from napari_swig_qmri.synthesis.composites import Difference, OnGrid, Scaled
from napari_swig_qmri.synthesis.lazy_array import LazyArray

BAR_SIZE = (10, 70)  # pixels
DIFFERENCE_SHARE = 0.25  # the difference is shown between plus and minus this fraction of the contrasts' upper limit


class ComparePanes:
    """Adds, updates and removes the layers "acquired" and "difference", and labels all compared layers."""

    def __init__(self, viewer: ViewerModel, volumes: VolumeRendering) -> None:
        self._viewer = viewer
        self._volumes = volumes
        self._contrasts: list[Image] = []
        self._acquired: FloatArray | None = None  # acquired image on its own grid, with the axes of the viewer
        self._on_finest: FloatArray | None = None  # acquired image on the grid of the finest contrast
        self.layers: dict[str, Image] = {}  # "acquired" and "difference", as far as they exist
        self.is_changing = False  # True while this object adds or removes layers of the viewer

    def add(self, contrasts: Sequence[Image], acquired: Image | None, data: ComparisonData) -> None:
        """Add the panes in the display frame of the finest contrast; `update` fills them.

        Parameters
        ----------
        contrasts
            Layers of the compared contrasts.
        acquired
            Layer of the acquired image; without one, the finest contrast is compared with another contrast.
        data
            Maps and acquired image on the grid of the finest maps.
        """
        self._viewer.canvas.grid.enabled = False  # otherwise the grid is laid out anew for each layer
        self._contrasts = list(contrasts)
        frame = LayerRecord.of(self._finest).frame
        blank = Volume(data=data.maps[data.finest]["T1"], grid=data.grid, name="", sidecar=made_here())
        if acquired is not None and data.acquired is not None:
            signal, _ = as_signal(from_layer(*acquired.as_layer_data_tuple()[:2]))
            values, attributes, _ = to_layer_data(replace(signal, name=f"Acquired: {signal.name}"), frame)
            self._acquired = values
            self._on_finest = place(replace(blank, data=data.acquired), frame).data
            self._add("acquired", Scaled(values), {**attributes, "colormap": "gray"})
        difference = self._difference(1.0)
        if difference is not None:
            name = f"{data.finest} − {ACQUIRED if data.acquired is not None else data.compared[0]}"
            _, attributes, _ = to_layer_data(replace(blank, name=name, suffix="residual"), frame)
            self._add("difference", difference, {**attributes, "colormap": difference_colormap()})

    def update(self, gain: float) -> None:
        """Show the present contrasts, the acquired image divided by `gain`, on the scale of the finest contrast."""
        low, high = self._finest.contrast_limits
        top = rounded_up(DIFFERENCE_SHARE * max(abs(low), abs(high)), is_signed=True)
        limits = {self.layers.get("acquired"): (low, high), self.layers.get("difference"): (-top, top)}
        arrays: dict[Layer, LazyArray] = {}
        if "acquired" in self.layers and self._acquired is not None:
            arrays[self.layers["acquired"]] = Scaled(self._acquired, gain)
        difference = self._difference(gain) if "difference" in self.layers else None
        if difference is not None:
            arrays[self.layers["difference"]] = difference
        self._volumes.change("panes", arrays, partial(_assign, arrays, limits))

    def remove(self) -> None:
        """Remove the panes from the viewer."""
        layers, self.layers = list(self.layers.values()), {}
        self._acquired = self._on_finest = None
        self.is_changing = True
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.is_changing = False

    def forget_removed(self) -> None:
        """Forget panes that the user removed."""
        self.layers = {name: layer for name, layer in self.layers.items() if layer in self._viewer.layers}

    def decorate(self, contrasts: Sequence[Image], wanted: bool) -> None:
        """Name the contrasts, and show or hide the scale bar. Grey values have no unit, and so no colour bar."""
        for layer in contrasts:
            layer.name_overlay.visible = True
        bar = self._viewer.canvas.overlays.scale_bar
        bar.visible = bar.gridded = wanted

    @property
    def _finest(self) -> Image:
        """Contrast with the smallest voxels."""
        return min(self._contrasts, key=lambda layer: float(np.prod(layer.scale)))

    def _add(self, key: str, data: Any, attributes: Mapping[str, Any]) -> None:
        layer = Image(data, **{**attributes, "contrast_limits": (0.0, 1.0)}, multiscale=False)
        self.layers[key] = layer
        self.is_changing = True
        self._volumes.add([layer])
        self.is_changing = False
        layer.name_overlay.visible = True
        if key == "difference":
            _show_colours(layer)

    def _difference(self, gain: float) -> Difference | None:
        """Finest contrast minus the acquired image or, without one, minus another contrast.

        None if the two contrasts are tilted against each other.
        """
        finest = self._finest
        if self._on_finest is not None:
            return Difference(finest.data, Scaled(self._on_finest, gain))
        other = next(layer for layer in self._contrasts if layer is not finest)
        if not same_frame(LayerRecord.of(finest).frame, LayerRecord.of(other).frame):
            return None
        step = np.asarray(finest.scale) / np.asarray(other.scale)
        offset = (np.asarray(finest.translate) - np.asarray(other.translate)) / np.asarray(other.scale)
        resampled = OnGrid(data=other.data, grid_shape=tuple(finest.data.shape), step=step, offset=offset)
        return Difference(finest.data, resampled)


def _show_colours(layer: Image) -> None:
    """Show a colour bar that is small enough for the air beside the head, and legible on every theme."""
    bar = layer.colorbar
    bar.size, bar.font_size, bar.tick_length = BAR_SIZE, 8, 3
    bar.color, bar.box_color = "white", (0.0, 0.0, 0.0, 0.6)
    bar.visible = True


def _assign(arrays: Mapping[Layer, LazyArray], limits: Mapping[Layer | None, tuple[float, float]]) -> None:
    """Give layers their arrays and contrast limits."""
    for layer, array in arrays.items():
        layer.data = array
        layer.contrast_limits_range = limits[layer]
        layer.contrast_limits = limits[layer]
