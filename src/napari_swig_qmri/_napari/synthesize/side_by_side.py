"""Some layers of a viewer in a linked grid, and all others hidden meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

PAIRS = -2  # stride of a grid in which two layers share a cell, counted from the last layer


class SideBySide:
    """Puts layers side by side, and remembers what it hid for that."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._hidden: list[Layer] = []
        self._shown: list[Layer] = []

    @property
    def is_deserted(self) -> bool:
        """Whether layers were put side by side, and none of them is left."""
        return bool(self._shown) and not any(layer in self._viewer.layers for layer in self._shown)

    def show(self, layers: Sequence[Layer], pairs: Sequence[tuple[Layer, Layer]] = ()) -> None:
        """Show only these layers in a grid, those of a pair in one cell; with none of them, undo that."""
        self._shown = list(layers)
        grid = self._viewer.canvas.grid
        grid.enabled = False  # else each layer that comes or goes lays it out anew
        for layer in self._hidden:
            layer.visible = layer.visible or not layers or layer in layers
        others = [each for each in self._viewer.layers if each.visible and each not in layers] if layers else []
        for layer in others:
            layer.visible = False
        self._hidden = [*(each for each in self._hidden if not each.visible), *others] if layers else []
        if layers and (pairs or grid.stride == PAIRS):
            grid.stride = PAIRS if pairs else 1
            self._raise([each for pair in reversed(pairs) for each in pair] or layers)
        grid.enabled = bool(layers)

    def is_in(self, cell: tuple[int, int] | None, layer: Layer) -> bool:
        """Whether a layer is in a cell of the grid, as a row and a column; without a grid each is everywhere."""
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        return not grid.enabled or grid.position(layers.index(layer), layers) == cell

    def _raise(self, layers: Sequence[Layer]) -> None:
        """Put layers on top of all others, in this order."""
        for layer in layers:
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))
