"""Map sets among the layers of a viewer, and layers of the contrasts made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_swig_qmri._widgets.appearance import native_of, wrapped_label
from napari_swig_qmri._widgets.viewer_layers import maps_of, volume_of
from napari_swig_qmri.conversion import generated_by
from napari_swig_qmri.display import signal_limits
from napari_swig_qmri.layers import frame_of, origin_of, to_layer_data
from napari_swig_qmri.lazy import PLAIN, LazyContrast
from napari_swig_qmri.placement import place
from napari_swig_qmri.results import RESEARCH_NOTICE
from napari_swig_qmri.sidecars import to_sidecar
from napari_swig_qmri.volumes import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.rendering import Rendering
    from napari_swig_qmri.sequence import Contrast

PIXELS = 96  # along each axis of a slice, that say well enough how bright it is


@dataclass(frozen=True, eq=False)
class Source:
    """Layers of PD, T1 and T2 on one grid, under the name they have in this widget."""

    label: str
    layers: dict[str, Image] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for sources of the same layers."""
        return tuple(id(layer) for layer in self.layers.values())


class SourceList(QWidget):
    """The map sets among the layers of a viewer, each with a box to tick."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Source, CheckBox]] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._hint = wrapped_label("Open PD, T1 and T2 maps that lie on one grid.", role="note")
        self._layout.addWidget(self._hint)

    def value(self) -> tuple[Source, ...]:
        """The ticked sources."""
        return tuple(source for source, box in self.rows if box.value)

    def set_value(self, labels: Sequence[str]) -> None:
        """Tick the sources with these labels and no others."""
        for source, box in self.rows:
            box.value = source.label in labels

    def show_sources(self, sources: Sequence[Source]) -> None:
        """List these sources; new ones are ticked, known ones keep their state."""
        known = {source.key: box.value for source, box in self.rows}
        for _, box in self.rows:
            self._layout.removeWidget(box.native)
            box.native.deleteLater()
        self.rows = []
        for source in sources:
            names = ", ".join(layer.name for layer in source.layers.values())
            box = CheckBox(text=_describe(source), value=known.get(source.key, True), tooltip=names)
            box.changed.connect(self.changed.emit)
            self._layout.addWidget(native_of(box))
            self.rows.append((source, box))
        self._hint.setVisible(not sources)
        self.changed.emit()


def contrast_layer(
    source: Source, sequence: Contrast, rendering: Rendering = PLAIN, *, title: str | None = None
) -> tuple[LazyContrast, dict[str, Any], str]:
    """Layer of a contrast from the maps of a source, in their frame, under the title of its sequence or another."""
    maps = maps_of(source.layers)
    frame = frame_of(source.layers["T1"].as_layer_data_tuple()[1])
    name = f"{shown_title(title or sequence.title)} ({source.label})"
    blank = Volume(data=maps["T1"], grid=maps.grid, name=name)
    arrays = {each: place(replace(blank, data=maps[each]), frame).data for each in maps.names}
    origin = origin_of([layer.as_layer_data_tuple()[1] for layer in source.layers.values()])
    _, attributes, kind = to_layer_data(replace(blank, sidecar=contrast_sidecar(sequence, rendering) | origin), frame)
    lazy = LazyContrast(sequence=sequence, pd=arrays["PD"], t1=arrays["T1"], t2=arrays["T2"], rendering=rendering)
    shown = {"contrast_limits": common_limits([lazy]), "colormap": "gray", "multiscale": False}
    return lazy, {**attributes, **shown}, kind


def common_limits(contrasts: Sequence[LazyContrast]) -> tuple[float, float]:
    """Limits from the middle slices: 0, or the lowest value of signed signals, to the 99.5th percentile."""
    values = np.concatenate([contrast[_middle(contrast.shape)].ravel() for contrast in contrasts])
    return signal_limits(values[values != 0])


def _middle(shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Index of the middle slice, of large ones every other or third pixel along each axis."""
    return (shape[0] // 2, *(slice(None, None, max(1, length // PIXELS)) for length in shape[1:]))


def shown_title(title: str) -> str:
    """Start of the name of a layer of a contrast with this title."""
    return f"{title} synthetic"


def contrast_sidecar(sequence: Contrast, rendering: Rendering) -> dict[str, Any]:
    """Settings of a contrast and of its rendering, with the notice that it is synthetic."""
    return to_sidecar(sequence) | rendering.to_sidecar() | {"Notice": RESEARCH_NOTICE, "GeneratedBy": [generated_by()]}


def _describe(source: Source) -> str:
    sizes = " × ".join(f"{size:.3g}" for size in volume_of(source.layers["T1"]).grid.voxel_size)
    return f"{source.label}: {sizes} mm"
