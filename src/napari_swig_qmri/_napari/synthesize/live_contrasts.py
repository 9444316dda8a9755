"""Contrast layers that follow the sliders, and the marks of partial volume over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.contrast_layers import (
    common_limits,
    contrast_metadata,
    shown_title,
    with_transmit_map,
)
from napari_swig_qmri._napari.synthesize.rendering_options import can_be_marked, mark_layer, marks_of
from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
from napari_swig_qmri.physics.sequence import SignalModel
from napari_swig_qmri.synthesis.lazy_array import all_rendered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.lazy_array import LazyArray
    from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast
    from napari_swig_qmri.synthesis.rendering import Rendering

REST = 200  # ms without a movement before followers of a layer's data are told


@dataclass(frozen=True)
class Setting:
    """What live layers are to show."""

    sequence: Contrast
    rendering: Rendering
    title: str


class LiveContrasts(QObject):
    """The layers that the sliders move: at once in 2D, in 3D when their volumes are rendered."""

    moved = Signal()  # the layers show another setting
    baked = Signal()  # the layers are ordinary arrays now
    said = Signal(str)  # how far whole volumes are; empty when there is nothing to wait for
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._title = ""  # of the contrast that the layers show
        self._next_title = ""  # of the contrast that they are to show
        self.volumes = VolumeRendering(viewer, self)
        self.layers: list[Image] = []
        self.marks: dict[Image, Labels] = {}  # of the layers, while they are wanted
        self._wanted: dict[Image, LazyContrast] = {}  # what the layers are to show, in 3D while it is rendered
        self._is_to_be_baked = False  # when that is shown
        self._baked_layers: list[Image] = []  # while they are
        self._baking = BackgroundQuery(self, pause=0)
        self._baking.progressed.connect(lambda share: self.said.emit(f"Baking… {100 * share:.0f} %"))
        self._baking.answered.connect(self._take_baked)
        self._baking.failed.connect(self._fail_baking)
        self.volumes.said.connect(self.said)
        self.volumes.failed.connect(self.failed)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._tell)

    def add(self, contrasts: Sequence[tuple[LazyContrast, dict[str, Any], str]], title: str) -> None:
        """Add layers that follow from now on; those before, and their marks, stay as they are."""
        self._title = self._next_title = title
        self.layers, self.marks = [], {}
        self._wanted, self._is_to_be_baked = {}, False
        layers = [Image(data, **attributes) for data, attributes, _ in contrasts]
        self.volumes.add(layers)
        for layer in layers:
            layer.name_overlay.visible = True
        self.layers = layers

    def forget_removed(self) -> None:
        """Follow only with layers that are still in the viewer."""
        self.layers = [layer for layer in self.layers if layer in self._viewer.layers]
        self._keep_marks(self.layers)

    def move(self, setting: Setting) -> None:
        """Bring the layers to a setting, unless another comes before it can be shown."""
        self._change({layer: _moved(contrast, setting) for layer, contrast in self._coming().items()}, setting.title)

    def take_map(self, transmit_map: Image | None) -> None:
        """Give the layers another map of B1+, or none; ValueError with one sentence where it cannot be theirs."""
        coming = self._coming()
        if transmit_map is not None or any(contrast.transmit_field is not None for contrast in coming.values()):
            self._change({layer: with_transmit_map(layer, each, transmit_map) for layer, each in coming.items()})

    def _coming(self) -> dict[Image, LazyContrast]:
        """What the layers show as soon as it is rendered."""
        return {layer: self._wanted.get(layer, layer.data) for layer in self.layers}

    def _change(self, contrasts: Mapping[Image, LazyContrast], title: str | None = None) -> None:
        """Give the layers other contrasts, under another title if there is one."""
        self._wanted = dict(contrasts)
        self._next_title = title or self._next_title
        arrays: dict[Layer, LazyArray] = {**contrasts}
        arrays |= {self.marks[layer]: marks_of(each) for layer, each in contrasts.items() if layer in self.marks}
        self._stop_baking()
        self.volumes.change("live", arrays, partial(self._show, arrays))

    def bake(self) -> None:
        """Turn the layers into ordinary arrays, which no longer follow; what is still to be shown is shown first."""
        self._is_to_be_baked = bool(self._wanted)
        if not self._wanted:
            self._baked_layers = list(self.layers)
            self._baking.ask(partial(all_rendered, [layer.data for layer in self.layers]))

    def _stop_baking(self) -> None:
        if self._baked_layers:
            self._baking.forget()
            self._baked_layers = []
            self.failed.emit("Baking was stopped, for the settings changed: press Bake again.")

    def adjust(self) -> None:
        """Show all layers between limits that suit them together."""
        if self.layers:
            limits = common_limits([layer.data for layer in self.layers])
            for layer in self.layers:
                low, high = layer.contrast_limits_range
                if not low <= limits[0] < limits[1] <= high <= 2 * limits[1]:
                    layer.contrast_limits_range = limits
                layer.contrast_limits = limits

    def lacks_maps_for_marks(self) -> bool:
        """Whether there are layers, and none of them has the maps that partial volume is marked by."""
        return bool(self.layers) and not any(can_be_marked(layer.data) for layer in self.layers)

    def mark(self, wanted: bool) -> None:
        """Lay marks of partial volume over the layers, or take them away."""
        self._keep_marks(self.layers if wanted else [])
        marked = [layer for layer in self.layers if can_be_marked(layer.data)] if wanted else []
        missing = [layer for layer in marked if layer not in self.marks]
        for layer in missing:
            marks = mark_layer(layer)
            self.volumes.add([marks])
            self.marks[layer] = marks
            self._viewer.layers.selection.active = layer  # brushes have nothing to do here

    def _keep_marks(self, layers: Sequence[Image]) -> None:
        """Take away the marks of all other layers, and forget those that are gone."""
        present = {layer: marks for layer, marks in self.marks.items() if marks in self._viewer.layers}
        self.marks = {layer: marks for layer, marks in present.items() if layer in layers}
        for layer in present.keys() - self.marks.keys():
            self._viewer.layers.remove(present[layer])

    def _show(self, arrays: Mapping[Layer, Any]) -> None:
        self._wanted = {}
        layers = [layer for layer in self.layers if layer in arrays]
        for layer in layers:
            layer.metadata = contrast_metadata(layer, arrays[layer])
            with layer.events.data.blocker():  # which lets the viewer look anew at the extent of all layers
                layer.data = arrays[layer]
            if self.marks.get(layer) in arrays:
                self.marks[layer].data = arrays[self.marks[layer]]
        self._name(layers)
        self._rest.start()
        self.moved.emit()
        if self._is_to_be_baked:
            self.bake()

    def _name(self, layers: Sequence[Image]) -> None:
        """Name the layers by what they show."""
        old, self._title = shown_title(self._title), self._next_title
        for layer in layers:
            layer.name = layer.name.replace(old, shown_title(self._title), 1)
            if layer in self.marks:
                self.marks[layer].name = f"Partial volume in {layer.name}"

    def _tell(self) -> None:
        """Tell whoever follows a layer, once it has come to rest."""
        for layer in self.layers:
            layer.events.data(value=layer.data)

    def _fail_baking(self, problem: str) -> None:
        self._baked_layers = []
        self.said.emit("")
        self.failed.emit(problem)

    def _take_baked(self, volumes: list[Any]) -> None:
        layers, self._baked_layers = self._baked_layers, []
        self.said.emit("")
        for layer, values in zip(layers, volumes, strict=True):
            if layer in self._viewer.layers:
                layer.data = values
        self.layers = [layer for layer in self.layers if layer not in layers]
        self._keep_marks(self.layers)
        self.baked.emit()


def _moved(contrast: LazyContrast, setting: Setting) -> LazyContrast:
    """A contrast of a setting, in the map of B1+ that it has; a contrast without pulses does not name it."""
    name = contrast.rendering.transmit_map
    if not isinstance(setting.sequence, SignalModel):
        name = ""
    elif contrast.transmit_field is not None:
        name = name or setting.rendering.transmit_map
    return contrast.with_sequence(setting.sequence, setting.rendering.with_map(name))
