"""Map sets among the layers of a viewer, and layers of the contrasts made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGraphicsOpacityEffect, QVBoxLayout, QWidget

from napari_swig_qmri._napari.display import central_signals, signal_limits
from napari_swig_qmri._napari.layers import METADATA_KEY, frame_of, origin_of, to_layer_data
from napari_swig_qmri._napari.parts.appearance import native_of, set_text, wrapped_label
from napari_swig_qmri._napari.parts.layer_choice import MAP_SUFFIXES, T2STAR, find_map_sets, stray_maps
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of, transmit_field_of
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, file_name, volume_of
from napari_swig_qmri._napari.placement import place
from napari_swig_qmri.data.interpretation import generated_by
from napari_swig_qmri.data.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.super_resolution.results import RESEARCH_NOTICE
from napari_swig_qmri.synthesis.contrast_maps import check_maps, missing_maps
from napari_swig_qmri.synthesis.lazy_contrast import PLAIN, LazyContrast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.protocol import NamedContrast
    from napari_swig_qmri.synthesis.rendering import Rendering

PIXELS = 96  # along each axis of a slice, that say well enough how bright it is
FADED = 0.7  # opacity of a row that is off


@dataclass(frozen=True, eq=False)
class Source:
    """Layers of T1 and any of PD, T2 and T2* on one grid, under the name they have in this widget."""

    label: str
    layers: dict[str, Image] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether PD, T1 and T2 are there."""
        return self.layers.keys() >= MAP_SUFFIXES.keys()

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for sources of the same layers."""
        return tuple(id(layer) for layer in self.layers.values())

    @property
    def key_of_row(self) -> tuple[int, bool]:
        """Equal for sources of the same T1 that are complete, or are not: a T2* map may come and go."""
        return id(self.layers["T1"]), self.is_complete


def sources_among(layers: Sequence[Image]) -> tuple[list[Source], str]:
    """The map sets among layers, and a sentence on maps that belong to none."""
    facts = [facts_of(layer) for layer in layers]
    found = find_map_sets(facts)
    sources = [Source(each.label, {name: layers[index] for name, index in each.layers.items()}) for each in found]
    return sources, stray_maps(facts, found)


class SourceList(QWidget):
    """The map sets among the layers of a viewer, each with a box to tick; off where a sequence needs more maps."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Source, CheckBox]] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._texts: list[str] = []  # of the rows, before what they lack
        self._beside = ""  # about maps that belong to no source
        self._hint = wrapped_label(role="note")
        self._layout.addWidget(self._hint)

    def value(self) -> tuple[Source, ...]:
        """The ticked sources that have the maps of the sequence."""
        return tuple(source for source, box in self.rows if box.value and box.enabled)

    def grids(self) -> list[VoxelGrid]:
        """Grids of all sources, ticked or not."""
        return [volume_of(source.layers["T1"]).grid for source, _ in self.rows]

    def set_value(self, labels: Sequence[str]) -> None:
        """Tick the sources with these labels and no others."""
        for source, box in self.rows:
            box.value = source.label in labels

    def show_sequence(self, sequence: Contrast | None) -> None:
        """Say which sources lack a map that a sequence needs, and leave these out."""
        for (source, box), text in zip(self.rows, self._texts, strict=True):
            missing = () if sequence is None else missing_maps(sequence, source.layers.keys())
            told = f"{text}\n(no {' and '.join(missing)})" if missing else text
            if box.text != told:  # as it mostly is while sliders move
                box.enabled, box.text = not missing, told
                box.native.graphicsEffect().setEnabled(bool(missing))
        set_text(self._hint, self._hint_on(sequence))

    def show_sources(self, sources: Sequence[Source], hint: str = "") -> None:
        """List these sources, and a hint on maps beside them; known ones keep their state.

        New ones are ticked; of complete and partial ones that are new together, the complete ones.
        """
        known = {source.key_of_row: box.value for source, box in self.rows}
        some_complete = any(source.is_complete for source in sources)
        for _, box in self.rows:
            self._layout.removeWidget(box.native)
            box.native.deleteLater()
        self.rows, self._texts = [], [_describe(source) for source in sources]
        for source, text in zip(sources, self._texts, strict=True):
            names = ", ".join(layer.name for layer in source.layers.values())
            box = CheckBox(
                text=text,
                value=known.get(source.key_of_row, source.is_complete or not some_complete),
                tooltip=names,
            )
            box.changed.connect(self.changed.emit)
            self._layout.addWidget(native_of(box))
            faded = QGraphicsOpacityEffect(box.native)  # the theme fades the text of a row that is off, not its tick
            faded.setOpacity(FADED)
            faded.setEnabled(False)
            box.native.setGraphicsEffect(faded)
            self.rows.append((source, box))
        self._beside = hint
        set_text(self._hint, self._hint_on(None))
        self.changed.emit()

    def _hint_on(self, sequence: Contrast | None) -> str:
        """What keeps a person from a contrast: no maps, none that a sequence can do with, or maps that do not fit."""
        if self._beside or not self.rows:
            return self._beside or "Open PD, T1 and T2 maps that lie on one grid."
        try:
            if sequence is not None and not any(box.enabled for _, box in self.rows):
                check_maps(sequence, self.rows[0][0].layers.keys())
        except ValueError as error:
            return str(error)
        return ""


def contrast_layer(
    source: Source,
    sequence: Contrast,
    rendering: Rendering = PLAIN,
    *,
    title: str | None = None,
    transmit_map: Image | None = None,
) -> tuple[LazyContrast, dict[str, Any], str]:
    """Layer of a contrast from the maps of a source, in their frame, under the title of its sequence or another."""
    given = contrast_maps_of(source.layers)
    frame = frame_of(source.layers["T1"].as_layer_data_tuple()[1])
    name = f"{shown_title(title or sequence.title)} ({source.label})"
    blank = Volume(data=given.maps["T1"], grid=given.grid, name=name)
    arrays = {each: place(replace(blank, data=values), frame).data for each, values in given.arrays.items()}
    lazy = LazyContrast(
        sequence=sequence,
        pd=arrays.get("PD"),
        t1=arrays["T1"],
        t2=arrays.get("T2"),
        t2star=arrays.get(T2STAR),
        transmit_field=_placed_field(transmit_map, given.grid, frame),
        field_sources=_files_of(transmit_map),
        rendering=rendering.with_map(file_name(transmit_map)),
    )
    origin = origin_of([layer.as_layer_data_tuple()[1] for layer in source.layers.values()])
    _, attributes, kind = to_layer_data(replace(blank, sidecar=contrast_sidecar(lazy, origin)), frame)
    shown = {"contrast_limits": common_limits([lazy]), "colormap": "gray", "multiscale": False}
    return lazy, {**attributes, **shown}, kind


def sheet_layer(
    source: Source, contrast: NamedContrast, transmit_map: Image | None
) -> tuple[LazyContrast, dict[str, Any], str]:
    """Layer of one contrast of a sheet, in a map of B1+ where it has pulses."""
    chosen = transmit_map if isinstance(contrast.sequence, SignalModel) else None
    return contrast_layer(source, contrast.sequence, contrast.rendering, title=contrast.name, transmit_map=chosen)


def lack_of(layers: Sequence[Image], sequence: Contrast) -> str:
    """Which map the first of some contrast layers that lacks one for a sequence lacks; empty if none does."""
    for layer in layers:
        try:
            check_maps(sequence, layer.data.names)
        except ValueError as error:
            return f"{layer.name} stays as it is: {error}"
    return ""


def with_transmit_map(layer: Image, contrast: LazyContrast, transmit_map: Image | None) -> LazyContrast:
    """A contrast on the voxels of its layer with another map of B1+, or none."""
    record = layer.metadata[METADATA_KEY]
    grid = VoxelGrid(record["shape"], record["affine"])
    field = _placed_field(transmit_map, grid, record["frame"])
    return contrast.with_transmit_field(field, file_name(transmit_map), _files_of(transmit_map))


def _placed_field(transmit_map: Image | None, grid: VoxelGrid, frame: FloatArray) -> FloatArray | None:
    """B1+ of a layer on a grid, with the axes of its display frame."""
    field = transmit_field_of(transmit_map, grid)
    return None if field is None else place(Volume(data=field, grid=grid, name="B1+"), frame).data


def _files_of(transmit_map: Image | None) -> tuple[str, ...]:
    """Files behind a layer of B1+."""
    attributes = [] if transmit_map is None else [transmit_map.as_layer_data_tuple()[1]]
    return tuple(origin_of([], attributes).get("Sources", ()))


def common_limits(contrasts: Sequence[LazyContrast]) -> tuple[float, float]:
    """Limits from the middle slices: 0, or the lowest value of signed signals, to the 99.5th percentile.

    They are those of a sheet: from the middle of each slice, for the fat of the scalp would leave the brain dark.
    """
    return signal_limits(np.concatenate([central_signals(contrast[_middle(contrast.shape)]) for contrast in contrasts]))


def _middle(shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Index of the middle slice, of large ones every other or third pixel along each axis."""
    return (shape[0] // 2, *(slice(None, None, max(1, length // PIXELS)) for length in shape[1:]))


def shown_title(title: str) -> str:
    """Start of the name of a layer of a contrast with this title."""
    return f"{title} synthetic"


def contrast_sidecar(contrast: LazyContrast, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a contrast and of its rendering, the origin of its maps, and the notice that it is synthetic."""
    sources = [*origin.get("Sources", ()), *contrast.field_sources]
    made = {"Notice": RESEARCH_NOTICE, "GeneratedBy": [generated_by()], **origin}
    settings = to_sidecar(contrast.sequence) | contrast.rendering.to_sidecar()
    return settings | made | ({"Sources": sources} if sources else {})


def record_of(layer: Image, contrast: LazyContrast) -> dict[str, Any]:
    """Metadata of a layer of one contrast once it shows another one of the same maps."""
    record, before = layer.metadata[METADATA_KEY], layer.data
    origin = origin_of([{"metadata": layer.metadata}])
    of_maps = [source for source in origin.pop("Sources", ()) if source not in before.field_sources]
    sidecar = contrast_sidecar(contrast, origin | ({"Sources": of_maps} if of_maps else {}))
    return {**layer.metadata, METADATA_KEY: record | {"sidecar": sidecar}}


def _describe(source: Source) -> str:
    sizes = " × ".join(f"{size:.3g}" for size in volume_of(source.layers["T1"]).grid.voxel_size)
    return f"{source.label}: {sizes} mm{', with T2*' if source.is_complete and T2STAR in source.layers else ''}"
