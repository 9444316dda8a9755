"""Layers of a viewer as volumes and maps, and results as new layers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_swig_qmri._napari.layers import from_layer, to_layer_data
from napari_swig_qmri._napari.parts.layer_choice import (
    MAP_SUFFIXES,
    LayerFacts,
    choose_guides,
    choose_maps,
    is_transmit_map,
    is_transmit_measurement,
)
from napari_swig_qmri._napari.placement import same_frame
from napari_swig_qmri._napari.reader import tell
from napari_swig_qmri._napari.records import LayerRecord, frame_of, record_frame, with_record
from napari_swig_qmri.data.interpretation import as_maps, sequence_of_volume
from napari_swig_qmri.data.provenance import is_computed
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.suffixes import MAP_UNITS
from napari_swig_qmri.data.recognition.units import UNIT_FACTORS, find_unit, with_kind
from napari_swig_qmri.data.storage.sidecar_file import add_to_sidecar
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.partial_volume import LazyPartialVolume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, Volume
    from napari_swig_qmri.physics.signal_models import SignalModel


def image_layers(viewer: ViewerModel) -> list[Image]:
    """Layers that can be maps or guides: grey images with at least three axes that are not computed on demand."""
    return [layer for layer in viewer.layers if _is_volume(layer)]


def transmit_layers(layers: Sequence[Image]) -> list[Image]:
    """Layers that are maps of B1+, according to `is_transmit_map`."""
    return [layer for layer in layers if is_transmit_map(facts_of(layer))]


def transmit_measurements(layers: Sequence[Image]) -> list[str]:
    """Names of layers with measurements of B1+, such as flip angles, that are no maps of it."""
    return [layer.name for layer in layers if is_transmit_measurement(facts_of(layer))]


def mask_layers(viewer: ViewerModel) -> list[Layer]:
    """Layers that can be masks: labels and images with three axes."""
    return [layer for layer in viewer.layers if layer.ndim == 3 and (_is_labels(layer) or _is_volume(layer))]


def proposed_maps(viewer: ViewerModel) -> dict[str, Image]:
    """Layers to propose as LR maps, by quantity."""
    layers = image_layers(viewer)
    return {name: layers[index] for name, index in choose_maps([facts_of(layer) for layer in layers]).items()}


def proposed_guides(viewer: ViewerModel) -> list[Image]:
    """Layers to propose as guides."""
    layers = image_layers(viewer)
    return [layers[index] for index in choose_guides([facts_of(layer) for layer in layers])]


def follow_layers(viewer: ViewerModel, callback: Callable[..., None]) -> None:
    """Call a function whenever layers are added, removed or renamed; the viewer holds the function's object weakly."""
    events = viewer.layers.events
    for event in (events.inserted, events.removed, events.renamed):
        event.connect(callback)


def follow_frame(viewer: ViewerModel) -> None:
    """Keep all layers of a viewer in one display frame, and record it in painted ones, now and when one is added."""

    def join(_event: object = None) -> None:
        layers = list(viewer.layers)
        frame = frame_of(layers)
        if frame is not None:
            for layer in layers:
                _show_in(layer, frame)
        record_frame(layers)

    viewer.layers.events.inserted.connect(join)
    join()


def _show_in(layer: Layer, frame: FloatArray) -> None:
    """Show a layer of this plugin in another display frame; computed and moved layers stay as they are."""
    record = LayerRecord.of(layer)
    if record.is_empty or same_frame(record.frame, frame) or isinstance(layer.data, LazyArray):
        return
    if not np.allclose(matrix_of(layer), record.shown_matrix, atol=1e-4):
        return
    data, attributes, _ = to_layer_data(volume_of(layer), frame)
    layer.data, layer.scale, layer.translate = data, attributes["scale"], attributes["translate"]
    kept = {"shown_name": record.shown_name, "run": record.run, "model": record.model}
    layer.metadata = {**layer.metadata, **with_record(attributes["metadata"], **kept)}
    for notice in LayerRecord.of(layer).placement_notices:
        tell(f"{layer.name}: {notice}")


def volume_of(layer: Image | Labels) -> Volume:
    """Volume that a layer shows, on its own grid and in its own unit."""
    data, attributes, _ = layer.as_layer_data_tuple()
    return from_layer(data, attributes)


def matrix_of(layer: Layer) -> FloatArray:
    """Transform ``(ndim + 1, ndim + 1)`` from voxels to world; much quicker than through rotation and shear."""
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = layer.data_to_world(np.zeros(layer.ndim))
    for index, axis in enumerate(np.eye(layer.ndim)):
        matrix[:-1, index] = layer.data_to_world(axis) - matrix[:-1, -1]
    return matrix


def show(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; napari draws a layer anew even if it is told what it knows already."""
    if layer.visible != visible:
        layer.visible = visible


def facts_of(layer: Image) -> LayerFacts:
    """Properties of a layer that the choice of layers depends on; reads no voxels."""
    record = LayerRecord.of(layer)
    matrix = matrix_of(layer)
    return LayerFacts(
        name=layer.name,
        suffix=record.volume.suffix,
        shape=tuple(layer.data.shape),
        voxel_volume=float(abs(np.linalg.det(matrix[-4:-1, -4:-1]))),
        position=tuple(np.round([*matrix.ravel(), *record.frame.ravel()], 2).tolist()),
        is_synthetic=is_computed(record.volume.sidecar, record.volume.suffix),
        run=record.run or 1,
    )


def units_of(quantity: str) -> list[str]:
    """Units that a map of a quantity may have, those of its rate included."""
    bases = {MAP_UNITS[suffix] for suffix in MAP_SUFFIXES[quantity]}
    return [unit for unit, (base, _) in UNIT_FACTORS.items() if base in bases and unit != "us"]


def unit_of(volume: Volume, quantity: str) -> tuple[str, tuple[str, ...]]:
    """Assumed unit of a map, and notices on that beyond those of the volume."""
    if volume.suffix in MAP_SUFFIXES[quantity]:
        return volume.file_unit or MAP_UNITS[volume.suffix], ()
    suffix = QUANTITIES[quantity].suffix
    unit, notices = find_unit(suffix, Evidence(stem=volume.name, values=volume.data))
    return unit or MAP_UNITS[suffix], notices


def sequence_of(layer: Image) -> tuple[SignalModel | None, tuple[str, ...]]:
    """Sequence of a weighted image from its sidecar (None if unknown), and what was assumed about the image."""
    volume = volume_of(layer)
    kind = volume.suffix or find_suffix(Evidence(stem=layer.name))[0]
    sequence, notices = sequence_of_volume(replace(volume, suffix=kind))
    return sequence, (*volume.notices, *notices)


def as_map(volume: Volume, quantity: str, unit: str) -> Volume:
    """The same stored numbers as a map of a quantity in another unit."""
    base = UNIT_FACTORS[unit][0]
    fitting = [suffix for suffix in MAP_SUFFIXES[quantity] if MAP_UNITS[suffix] == base]
    return with_kind(volume, volume.suffix if volume.suffix in fitting else fitting[0], unit)


def maps_of(layers: Mapping[str, Image]) -> QuantitativeMaps:
    """Maps of the layers of PD, T1 and T2, times in s; layers of other quantities are left out."""
    volumes = {name: volume_of(layer) for name, layer in layers.items() if name in MAP_SUFFIXES}
    return as_maps([as_map(volume, name, unit_of(volume, name)[0]) for name, volume in volumes.items()])


def file_name(layer: Image | None) -> str:
    """Name of the file of a layer; without a file, name of the layer; empty without a layer."""
    if layer is None:
        return ""
    path = LayerRecord.of(layer).volume.path
    return path.name if path else str(layer.name)


def correct_unit(layer: Image, quantity: str, unit: str) -> None:
    """Correct the unit of a layer of this plugin, and with it values, limits, colours and an unchanged name."""
    record = LayerRecord.of(layer)
    if record.is_empty:
        return
    before = volume_of(layer)
    corrected = as_map(before, quantity, unit)
    if before.suffix and corrected.suffix:
        corrected = replace(corrected, name=before.name.replace(before.suffix, corrected.suffix))
    data, attributes, _ = to_layer_data(corrected, record.frame)
    layer.data = data
    layer.metadata = {**layer.metadata, **with_record(attributes["metadata"], run=record.run, model=record.model)}
    layer.contrast_limits_range = layer.contrast_limits = attributes["contrast_limits"]
    layer.colormap = attributes["colormap"]
    if layer.name == record.shown_name:
        layer.name = attributes["name"]  # last, because docks react to the new name


def accept(layer: Image, fields: Mapping[str, Any]) -> None:
    """Record in a layer of this plugin that its user knows these fields of its sidecar; nothing is assumed any more."""
    record = LayerRecord.of(layer)
    if not record.is_empty:
        volume = replace(record.volume, sidecar={**record.volume.sidecar, **fields}, notices=())
        layer.metadata = with_record(layer.metadata, volume=volume)


def saver(layer: Image, fields: Mapping[str, Any]) -> Callable[[], Path] | None:
    """Function that adds fields to the sidecar of a layer's file and returns its path; None without a file."""
    path = LayerRecord.of(layer).volume.path
    return None if path is None else partial(add_to_sidecar, path, fields)


def add_results(viewer: ViewerModel, results: Sequence[tuple[Any, dict[str, Any], str]]) -> list[Layer]:
    """Add the layers of one run on top of the others; their names have a number from the second run on."""
    adding = ResultsToAdd(viewer, results)
    for piece in adding.pieces():
        piece()
    return adding.layers()


class ResultsToAdd:
    """Adds the layers of one run on top of the others, the uppermost ones first, in pieces of one layer each.

    Layers are added hidden and shown in a piece of its own, because inserting and first drawing take equally long.
    """

    def __init__(self, viewer: ViewerModel, results: Sequence[tuple[Any, dict[str, Any], str]]) -> None:
        self._viewer = viewer
        self._results = list(results)
        self._run = next_run(viewer)
        self._added: dict[int, Layer] = {}  # by place in the results

    def pieces(self) -> Iterator[Callable[[], None]]:
        """Functions that add or show one layer each, and at the end one that selects the uppermost."""
        is_shown = [attributes.get("visible", True) for _, attributes, _ in self._results]
        for place in sorted(range(len(is_shown)), key=is_shown.__getitem__, reverse=True):
            yield partial(self._add, place)
            if is_shown[place]:
                yield partial(self._show, place)
        yield self._select

    def layers(self) -> list[Layer]:
        """Layers that were added so far, from the bottom to the top."""
        return [layer for _, layer in sorted(self._added.items())]

    def _add(self, place: int) -> None:
        data, attributes, kind = self._results[place]
        layer = Layer.create(data, {**_of_run(attributes, self._run), "visible": False}, kind)
        layers = self._viewer.layers
        above = [each for other, each in sorted(self._added.items()) if other > place and each in layers]
        layers.insert(layers.index(above[0]) if above else len(layers), layer)
        self._added[place] = layer

    def _show(self, place: int) -> None:
        show(self._added[place], True)

    def _select(self) -> None:
        top = self._added[max(self._added)]
        if top in self._viewer.layers:
            self._viewer.layers.selection.active = top


def _of_run(attributes: dict[str, Any], run: int) -> dict[str, Any]:
    """Attributes of a result layer of a numbered run; from the second run on the name has it: ``T1 SR run 2 (ms)``."""
    record = LayerRecord.of(attributes)
    name = record.volume.name if run == 1 else f"{record.volume.name} run {run}"
    shown = attributes["name"].replace(record.volume.name, name, 1)
    volume = replace(record.volume, name=name)
    metadata = with_record(attributes["metadata"], volume=volume, shown_name=shown, run=run)
    return {**attributes, "name": shown, "metadata": metadata}


def next_run(viewer: ViewerModel) -> int:
    """Number of the next run: one more than the highest among the layers."""
    return 1 + max((LayerRecord.of(layer).run for layer in viewer.layers), default=0)


def _is_labels(layer: Layer) -> bool:
    return isinstance(layer, Labels) and not isinstance(layer.data, LazyPartialVolume)


def _is_volume(layer: Layer) -> bool:
    return (
        isinstance(layer, Image)
        and not layer.multiscale
        and not layer.rgb
        and layer.ndim >= 3
        and not isinstance(layer.data, LazyArray)
    )
