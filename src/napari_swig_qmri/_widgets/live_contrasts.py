"""Contrast layers that follow the sliders, and the marks of partial volume over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_swig_qmri._widgets.contrast_sources import common_limits, contrast_sidecar, shown_title
from napari_swig_qmri._widgets.inquiry import Inquiry
from napari_swig_qmri._widgets.rendering_options import can_be_marked, mark_layer, marks_of
from napari_swig_qmri._widgets.volume_rendering import VolumeRendering
from napari_swig_qmri.layers import METADATA_KEY, origin_of
from napari_swig_qmri.lazy_array import all_rendered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri.lazy import LazyContrast
    from napari_swig_qmri.lazy_array import LazyArray
    from napari_swig_qmri.rendering import Rendering
    from napari_swig_qmri.sequence import Contrast

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
        self.volumes = VolumeRendering(viewer, self)
        self.layers: list[Image] = []
        self.marks: dict[Image, Labels] = {}  # of the layers, while they are wanted
        self._wanted: dict[Image, LazyContrast] = {}  # what the layers are to show, in 3D while it is rendered
        self._is_to_be_baked = False  # when that is shown
        self._baked_layers: list[Image] = []  # while they are
        self._baking = Inquiry(self, pause=0)
        self._baking.progressed.connect(lambda share: self.said.emit(f"Baking… {100 * share:.0f} %"))
        self._baking.answered.connect(self._take_baked)
        self.volumes.said.connect(self.said)
        self.volumes.failed.connect(self.failed)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._tell)

    def add(self, contrasts: Sequence[tuple[LazyContrast, dict[str, Any], str]], title: str) -> None:
        """Add layers that follow from now on; those before, and their marks, stay as they are."""
        self._title = title
        self.layers, self.marks = [], {}
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
        bases = {layer: self._wanted.get(layer, layer.data) for layer in self.layers}
        how = setting.sequence, setting.rendering
        if setting.title != self._title or any((base.sequence, base.rendering) != how for base in bases.values()):
            self.change({layer: base.with_sequence(*how) for layer, base in bases.items()}, setting.title)

    def change(self, contrasts: Mapping[Image, LazyContrast], title: str | None = None) -> None:
        """Give the layers other contrasts, under another title if there is one."""
        self._wanted = dict(contrasts)
        arrays: dict[Layer, LazyArray] = {**contrasts}
        arrays |= {self.marks[layer]: marks_of(each) for layer, each in contrasts.items() if layer in self.marks}
        self._stop_baking()
        self.volumes.change("live", arrays, partial(self._show, title or self._title, arrays))

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

    def _show(self, title: str, arrays: Mapping[Layer, LazyArray]) -> None:
        self._wanted = {}
        for layer in self.layers:
            if layer in arrays:
                with layer.events.data.blocker():  # which lets the viewer look anew at the extent of all layers
                    layer.data = arrays[layer]
                self._record(layer, title)
            if self.marks.get(layer) in arrays:
                self.marks[layer].data = arrays[self.marks[layer]]
                self.marks[layer].name = f"Partial volume in {layer.name}"
        self._title = title
        self._rest.start()
        self.moved.emit()
        if self._is_to_be_baked:
            self.bake()

    def _record(self, layer: Image, title: str) -> None:
        """Name and sidecar of what a layer shows."""
        contrast: LazyContrast = layer.data
        sidecar = contrast_sidecar(contrast.sequence, contrast.rendering) | origin_of([{"metadata": layer.metadata}])
        layer.metadata = {**layer.metadata, METADATA_KEY: layer.metadata[METADATA_KEY] | {"sidecar": sidecar}}
        layer.name = layer.name.replace(shown_title(self._title), shown_title(title), 1)

    def _tell(self) -> None:
        """Tell whoever follows a layer, once it has come to rest."""
        for layer in self.layers:
            layer.events.data(value=layer.data)

    def _take_baked(self, volumes: list[Any] | str) -> None:
        layers, self._baked_layers = self._baked_layers, []
        self.said.emit("")
        if isinstance(volumes, str):
            self.failed.emit(volumes)
            return
        for layer, values in zip(layers, volumes, strict=True):
            if layer in self._viewer.layers:
                layer.data = values
        self.mark(wanted=False)
        self.layers = []
        self.baked.emit()
