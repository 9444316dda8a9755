"""Contrast layers that follow the sliders, and the partial-volume marks over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
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
from napari_swig_qmri.physics.sequence import Contrast, SignalModel
from napari_swig_qmri.synthesis.lazy_array import LazyArray, all_rendered
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast
from napari_swig_qmri.synthesis.rendering import Rendering

REST = 200  # ms without a change before others are notified of new layer data


@dataclass(frozen=True)
class Setting:
    """Sequence, rendering and title that the live layers show."""

    sequence: Contrast
    rendering: Rendering
    title: str


class LiveContrasts(QObject):
    """The layers that the sliders change: at once in 2D, after rendering their volumes in 3D."""

    moved = Signal()  # the layers show another setting
    frozen = Signal()  # the layers were converted to ordinary arrays
    said = Signal(str)  # progress; empty at the end
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._title = ""  # of the present contrast
        self._next_title = ""  # of the contrast that is being rendered
        self.volumes = VolumeRendering(viewer, self)
        self.layers: list[Image] = []
        self.marks: dict[Image, Labels] = {}  # partial-volume marks by contrast layer
        self._pending: dict[Image, LazyContrast] = {}  # contrasts that are still being rendered, in 3D
        self._freezes_next = False  # whether to freeze as soon as the pending contrasts are shown
        self._freezing_layers: list[Image] = []  # layers that are being frozen
        self._freezing = BackgroundQuery(self, pause=0)
        self._freezing.progressed.connect(lambda share: self.said.emit(f"Freezing… {100 * share:.0f} %"))
        self._freezing.answered.connect(self._take_frozen)
        self._freezing.failed.connect(self._fail_freezing)
        self.volumes.said.connect(self.said)
        self.volumes.failed.connect(self.failed)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST)
        self._rest.timeout.connect(self._notify)

    def add(self, contrasts: Sequence[tuple[LazyContrast, dict[str, Any], str]], title: str) -> None:
        """Add layers that follow from now on, in place of the present ones, which stay as they are."""
        self._title = self._next_title = title
        self.layers, self.marks = [], {}
        self._pending, self._freezes_next = {}, False
        layers = [Image(data, **attributes) for data, attributes, _ in contrasts]
        self.volumes.add(layers)
        for layer in layers:
            layer.name_overlay.visible = True
        self.layers = layers

    def forget_removed(self) -> None:
        """Forget layers that were removed from the viewer, and remove their marks."""
        self.layers = [layer for layer in self.layers if layer in self._viewer.layers]
        self._keep_marks(self.layers)

    def move(self, setting: Setting) -> None:
        """Show a setting; in 3D a later one replaces it if it comes before the rendering ends."""
        self._change({layer: _moved(contrast, setting) for layer, contrast in self._upcoming().items()}, setting.title)

    def take_map(self, transmit_map: Image | None) -> None:
        """Use another B1+ map, or none; ValueError if it is not a B1+ map or does not cover the layers."""
        upcoming = self._upcoming()
        if transmit_map is not None or any(contrast.transmit_field is not None for contrast in upcoming.values()):
            self._change({layer: with_transmit_map(layer, each, transmit_map) for layer, each in upcoming.items()})

    def freeze(self) -> None:
        """Convert the layers to ordinary arrays that no longer follow; pending contrasts are shown first."""
        self._freezes_next = bool(self._pending)
        if not self._pending:
            self._freezing_layers = list(self.layers)
            self._freezing.ask(partial(all_rendered, [layer.data for layer in self.layers]))

    def adjust(self) -> None:
        """Set contrast limits that suit all layers together."""
        if self.layers:
            limits = common_limits([layer.data for layer in self.layers])
            for layer in self.layers:
                low, high = layer.contrast_limits_range
                if not low <= limits[0] < limits[1] <= high <= 2 * limits[1]:
                    layer.contrast_limits_range = limits
                layer.contrast_limits = limits

    def lacks_maps_for_marks(self) -> bool:
        """Whether there are layers but none with the maps that partial-volume marks need."""
        return bool(self.layers) and not any(can_be_marked(layer.data) for layer in self.layers)

    def mark(self, wanted: bool) -> None:
        """Add or remove the partial-volume marks of the layers."""
        self._keep_marks(self.layers if wanted else [])
        marked = [layer for layer in self.layers if can_be_marked(layer.data)] if wanted else []
        missing = [layer for layer in marked if layer not in self.marks]
        for layer in missing:
            marks = mark_layer(layer)
            self.volumes.add([marks])
            self.marks[layer] = marks
            self._viewer.layers.selection.active = layer  # marks are computed: painting on them has no effect

    def _upcoming(self) -> dict[Image, LazyContrast]:
        """Contrast of each layer, the pending one if there is one."""
        return {layer: self._pending.get(layer, layer.data) for layer in self.layers}

    def _change(self, contrasts: Mapping[Image, LazyContrast], title: str | None = None) -> None:
        """Give the layers other contrasts, and another title unless None."""
        self._pending = dict(contrasts)
        self._next_title = title or self._next_title
        arrays: dict[Layer, LazyArray] = {**contrasts}
        arrays |= {self.marks[layer]: marks_of(each) for layer, each in contrasts.items() if layer in self.marks}
        self._stop_freezing()
        self.volumes.change("live", arrays, partial(self._show, arrays))

    def _stop_freezing(self) -> None:
        if self._freezing_layers:
            self._freezing.forget()
            self._freezing_layers = []
            self.failed.emit("Freezing was stopped because the settings changed. Press Freeze again.")

    def _keep_marks(self, layers: Sequence[Image]) -> None:
        """Remove the marks of all other layers, and forget marks that the user removed."""
        present = {layer: marks for layer, marks in self.marks.items() if marks in self._viewer.layers}
        self.marks = {layer: marks for layer, marks in present.items() if layer in layers}
        for layer in present.keys() - self.marks.keys():
            self._viewer.layers.remove(present[layer])

    def _show(self, arrays: Mapping[Layer, Any]) -> None:
        self._pending = {}
        layers = [layer for layer in self.layers if layer in arrays]
        for layer in layers:
            layer.metadata = contrast_metadata(layer, arrays[layer])
            with layer.events.data.blocker():  # each event makes the viewer compute the extent of all layers anew
                layer.data = arrays[layer]
            if self.marks.get(layer) in arrays:
                self.marks[layer].data = arrays[self.marks[layer]]
        self._rename(layers)
        self._rest.start()
        self.moved.emit()
        if self._freezes_next:
            self.freeze()

    def _rename(self, layers: Sequence[Image]) -> None:
        """Replace the title in the names of layers and marks."""
        old, self._title = shown_title(self._title), self._next_title
        for layer in layers:
            layer.name = layer.name.replace(old, shown_title(self._title), 1)
            if layer in self.marks:
                self.marks[layer].name = f"Partial volume in {layer.name}"

    def _notify(self) -> None:
        """Emit the data events that were blocked while the layers changed."""
        for layer in self.layers:
            layer.events.data(value=layer.data)

    def _fail_freezing(self, problem: str) -> None:
        self._freezing_layers = []
        self.said.emit("")
        self.failed.emit(problem)

    def _take_frozen(self, volumes: list[Any]) -> None:
        layers, self._freezing_layers = self._freezing_layers, []
        self.said.emit("")
        for layer, values in zip(layers, volumes, strict=True):
            if layer in self._viewer.layers:
                layer.data = values
        self.layers = [layer for layer in self.layers if layer not in layers]
        self._keep_marks(self.layers)
        self.frozen.emit()


def _moved(contrast: LazyContrast, setting: Setting) -> LazyContrast:
    """Contrast with another setting and its present B1+ map, whose name is left out for a sequence without pulses."""
    name = contrast.rendering.transmit_map
    if not isinstance(setting.sequence, SignalModel):
        name = ""
    elif contrast.transmit_field is not None:
        name = name or setting.rendering.transmit_map
    return contrast.with_sequence(setting.sequence, setting.rendering.with_map(name))
