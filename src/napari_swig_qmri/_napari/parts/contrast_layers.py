"""Layers of contrasts that are computed from maps in a viewer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_swig_qmri._napari.layers import to_layer_data
from napari_swig_qmri._napari.parts.layer_choice import T2STAR
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of, transmit_field_of
from napari_swig_qmri._napari.parts.viewer_layers import file_name
from napari_swig_qmri._napari.placement import place
from napari_swig_qmri._napari.records import LayerRecord, with_record
from napari_swig_qmri._napari.result_layers import origin_of
from napari_swig_qmri.data.provenance import made_here
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.synthesis.brightness import central_signals, signal_limits
from napari_swig_qmri.synthesis.contrast_maps import require_maps
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_swig_qmri._napari.parts.map_sets import Source
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.protocol import NamedContrast

PIXELS = 96  # along each axis of a slice, enough to find its brightness


def contrast_layer(
    source: Source,
    sequence: Contrast,
    rendering: Rendering = PLAIN,
    *,
    title: str | None = None,
    transmit_map: Image | None = None,
) -> tuple[LazyContrast, dict[str, Any], str]:
    """Layer of a contrast from the maps of a source, in their display frame.

    `title` names the layer; by default it is the title of the sequence.
    """
    maps = contrast_maps_of(source.layers)
    frame = LayerRecord.of(source.layers["T1"]).frame
    name = f"{shown_title(title or sequence.title)} ({source.label})"
    volume = Volume(data=maps.maps["T1"], grid=maps.grid, name=name)
    arrays = {each: place(replace(volume, data=values), frame).data for each, values in maps.arrays.items()}
    lazy = LazyContrast(
        sequence=sequence,
        pd=arrays.get("PD"),
        t1=arrays["T1"],
        t2=arrays.get("T2"),
        t2star=arrays.get(T2STAR),
        transmit_field=_placed_field(transmit_map, maps.grid, frame),
        field_sources=_files_of(transmit_map),
        rendering=rendering.with_map(file_name(transmit_map)),
    )
    origin = origin_of(source.layers.values())
    _, attributes, kind = to_layer_data(replace(volume, sidecar=contrast_sidecar(lazy, origin)), frame)
    shown = {"contrast_limits": common_limits([lazy]), "colormap": "gray", "multiscale": False}
    return lazy, {**attributes, **shown}, kind


def sheet_layer(
    source: Source, contrast: NamedContrast, transmit_map: Image | None
) -> tuple[LazyContrast, dict[str, Any], str]:
    """Layer of one contrast of a sheet; only sequences with pulses use the map of B1+."""
    chosen = transmit_map if isinstance(contrast.sequence, SignalModel) else None
    return contrast_layer(source, contrast.sequence, contrast.rendering, title=contrast.name, transmit_map=chosen)


def missing_map_notice(layers: Sequence[Image], sequence: Contrast) -> str:
    """Sentence on the first contrast layer that lacks a map for a sequence; empty if all have their maps."""
    for layer in layers:
        try:
            require_maps(sequence, layer.data.names)
        except ValueError as error:
            return f"{layer.name} stays as it is: {error}"
    return ""


def with_transmit_map(layer: Image, contrast: LazyContrast, transmit_map: Image | None) -> LazyContrast:
    """The contrast of a layer with another map of B1+, or with none."""
    record = LayerRecord.of(layer)
    field = _placed_field(transmit_map, record.volume.grid, record.frame)
    return contrast.with_transmit_field(field, file_name(transmit_map), _files_of(transmit_map))


def _placed_field(transmit_map: Image | None, grid: VoxelGrid, frame: FloatArray) -> FloatArray | None:
    """B1+ of a layer on a grid, with the axes of a display frame; None without a layer."""
    field = transmit_field_of(transmit_map, grid)
    return None if field is None else place(Volume(data=field, grid=grid, name="B1+"), frame).data


def _files_of(transmit_map: Image | None) -> tuple[str, ...]:
    """Files that a map of B1+ comes from."""
    return tuple(origin_of([], [] if transmit_map is None else [transmit_map]).get("Sources", ()))


def common_limits(contrasts: Sequence[LazyContrast]) -> tuple[float, float]:
    """Contrast limits from the middle slices: 0, or the lowest value of signed signals, to the 99.5th percentile.

    As for sheets, only the centre of each slice counts, because the bright fat of the scalp would leave the brain dark.
    """
    return signal_limits(np.concatenate([central_signals(contrast[_middle(contrast.shape)]) for contrast in contrasts]))


def _middle(shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Index of the middle slice, thinned to about `PIXELS` pixels along each axis."""
    return (shape[0] // 2, *(slice(None, None, max(1, length // PIXELS)) for length in shape[1:]))


def shown_title(title: str) -> str:
    """Beginning of the name of the layer of a contrast."""
    return f"{title} synthetic"


def contrast_sidecar(contrast: LazyContrast, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Sidecar of a contrast: sequence, rendering, origin of the maps, and the notice that it is synthetic."""
    sources = [*origin.get("Sources", ()), *contrast.field_sources]
    settings = to_sidecar(contrast.sequence) | contrast.rendering.to_sidecar()
    return settings | made_here(**origin) | ({"Sources": sources} if sources else {})


def contrast_metadata(layer: Image, contrast: LazyContrast) -> dict[str, Any]:
    """Metadata of a layer of one contrast once the layer shows another contrast of the same maps."""
    volume, field_sources = LayerRecord.of(layer).volume, layer.data.field_sources
    origin = origin_of([layer])
    map_sources = [source for source in origin.pop("Sources", ()) if source not in field_sources]
    sidecar = contrast_sidecar(contrast, origin | ({"Sources": map_sources} if map_sources else {}))
    return with_record(layer.metadata, volume=replace(volume, sidecar=sidecar))
