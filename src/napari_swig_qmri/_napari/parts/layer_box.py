"""A box to choose a layer of the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ComboBox
from napari.layers import Layer

from napari_swig_qmri._napari.parts.appearance import MiddleElided, native_of

Layers = Callable[[], Sequence[Layer]]


class LayerBox(ComboBox):
    """Choice of one of the layers that a function lists, or none."""

    null_string = "none"

    def __init__(self, layers: Layers, **options: Any) -> None:
        super().__init__(choices=lambda _: [(each.name, each) for each in layers()], nullable=True, **options)
        native_of(self)
        self.elided = MiddleElided(self.native)

    def refresh(self) -> None:
        """List the layers anew and keep the chosen one, also under a new name."""
        chosen = self.value
        with self.changed.blocked():
            self.reset_choices()
            self.value = chosen if chosen in self.choices else None
        if self.value is not chosen:
            self.changed.emit(self.value)
