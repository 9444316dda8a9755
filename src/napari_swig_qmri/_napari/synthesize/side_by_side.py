"""Layers of a viewer in a grid of linked views, with all other layers hidden."""

from __future__ import annotations

from collections.abc import Sequence

from napari.components import ViewerModel
from napari.layers import Layer

from napari_swig_qmri._napari.parts.viewer_layers import show

PAIR_STRIDE = -2  # grid stride for two layers per cell, counted from the last layer


class SideBySide:
    """Shows layers side by side, and restores the other layers afterwards."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._hidden: list[Layer] = []
        self._shown: list[Layer] = []

    @property
    def is_empty(self) -> bool:
        """Whether all layers that were shown side by side have been removed."""
        return bool(self._shown) and not any(layer in self._viewer.layers for layer in self._shown)

    def show(self, layers: Sequence[Layer], pairs: Sequence[tuple[Layer, Layer]] = ()) -> None:
        """Show only these layers, in a grid; without layers, leave the grid and show the hidden layers again.

        Parameters
        ----------
        layers
            Layers to show.
        pairs
            Pairs among them that share a cell, the upper layer second.
        """
        self._shown = list(layers)
        grid = self._viewer.canvas.grid
        grid.enabled = False  # otherwise each change of a layer lays the grid out anew
        for layer in self._hidden:
            show(layer, layer.visible or not layers or layer in layers)
        others = [each for each in self._viewer.layers if each.visible and each not in layers] if layers else []
        for layer in others:
            layer.visible = False
        self._hidden = [*(each for each in self._hidden if not each.visible), *others] if layers else []
        if layers and (pairs or grid.stride == PAIR_STRIDE):
            grid.stride = PAIR_STRIDE if pairs else 1
            self._raise([each for pair in reversed(pairs) for each in pair] or layers)
        grid.enabled = bool(layers)

    def is_in(self, cell: tuple[int, int] | None, layer: Layer) -> bool:
        """Whether a layer is in a grid cell (row, column); always True without a grid."""
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        return not grid.enabled or grid.position(layers.index(layer), layers) == cell

    def _raise(self, layers: Sequence[Layer]) -> None:
        """Move layers above all others, the last one on top."""
        for layer in layers:
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))
