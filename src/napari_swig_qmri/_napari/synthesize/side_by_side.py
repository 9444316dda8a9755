"""Layers of a viewer in a grid of linked views, with all other layers hidden."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from math import ceil, sqrt

from napari.components import ViewerModel
from napari.layers import Layer

from napari_swig_qmri._napari.parts.view import plates_of_letters
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
        grid = self._viewer.canvas.grid
        if layers and not pairs and grid.enabled and grid.stride == 1 and self._is_shown(layers):
            return
        self._shown = list(layers)
        grid.enabled = False  # otherwise each change of a layer lays the grid out anew
        for layer in self._hidden:
            show(layer, layer.visible or not layers or layer in layers)
        others = self._others(layers) if layers else []
        for layer in others:
            layer.visible = False
        self._hidden = [*(each for each in self._hidden if not each.visible), *others] if layers else []
        if layers and (pairs or grid.stride == PAIR_STRIDE):
            grid.stride = PAIR_STRIDE if pairs else 1
            self._raise([each for pair in reversed(pairs) for each in pair] or layers)
        grid.enabled = bool(layers)

    def in_turn(self, layers: Sequence[Layer]) -> Generator[Callable[[], object], None, None]:
        """Functions that show layers with their names, like `show`, each a small part of it; the last one is on top.

        All cells at once would block the window for a second: their first paint builds a shader program for every
        image, name, letter and plate.
        """
        grid = self._viewer.canvas.grid
        grid.enabled = False
        self._shown = list(layers)
        for layer in self._others(layers):
            self._hidden.append(layer)
            yield partial(show, layer, False)
        _call(plates_of_letters(self._viewer, False))
        n_columns = ceil(sqrt(len(layers)))
        grid.stride, grid.shape = 1, (ceil(len(layers) / n_columns), n_columns)  # of the whole grid already
        grid.enabled = True
        try:
            for layer in layers:
                yield partial(show, layer, True)
            for layer in layers:
                yield partial(setattr, layer.name_overlay, "visible", True)
            yield partial(setattr, grid, "shape", (-1, -1))
            yield from plates_of_letters(self._viewer, True)
        finally:
            grid.shape = (-1, -1)
            _call(plates_of_letters(self._viewer, True))

    def _is_shown(self, layers: Sequence[Layer]) -> bool:
        """Whether these layers are shown, and no others."""
        return self._shown == list(layers) and all(each.visible for each in layers) and not self._others(layers)

    def _others(self, layers: Sequence[Layer]) -> list[Layer]:
        """Visible layers that are not among these."""
        return [each for each in self._viewer.layers if each.visible and each not in layers]

    def is_in(self, cell: tuple[int, int] | None, layer: Layer) -> bool:
        """Whether a layer is in a grid cell (row, column); always True without a grid."""
        grid, layers = self._viewer.canvas.grid, self._viewer.layers
        return not grid.enabled or grid.position(layers.index(layer), layers) == cell

    def _raise(self, layers: Sequence[Layer]) -> None:
        """Move layers above all others, the last one on top."""
        for layer in layers:
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))


def _call(pieces: Iterable[Callable[[], object]]) -> None:
    for piece in pieces:
        piece()
