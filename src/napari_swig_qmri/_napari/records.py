"""What a layer's metadata say about its place: the volume that it shows, and the display frame that it lies in."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_swig_qmri._napari.placement import same_frame
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid

METADATA_KEY = "napari-swig-qmri"
NO_VOXELS = np.empty((0, 0, 0), np.float32)
NO_VOLUME = Volume(data=NO_VOXELS, grid=VoxelGrid((0, 0, 0), np.eye(4)), name="")


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerRecord:
    """Volume that a layer of this plugin shows, and state of the layer when it was made.

    It is kept in the metadata of the layer under `METADATA_KEY`. Layers from elsewhere have an empty record, which
    holds the display frame of their viewer once images of this plugin are shown beside them.
    """

    volume: Volume = NO_VOLUME  # has its voxels only if the layer shows interpolated ones
    frame: FloatArray = field(default_factory=lambda: np.eye(4))  # display frame (4, 4)
    placement_notices: tuple[str, ...] = ()
    shown_name: str = ""
    shown_shape: tuple[int, ...] = ()
    shown_matrix: FloatArray = field(default_factory=lambda: np.eye(4))  # voxel -> world of the viewer
    shown_checksum: int | None = None  # of the voxels; None unless they are interpolated
    run: int = 0  # number of the super-resolution run that made the layer; 0 for other layers
    model: str = ""  # guides and method of that run

    @classmethod
    def of(cls, layer: Any) -> LayerRecord:
        """Record of a layer, or of the attributes of one; an empty record if it has none."""
        record: LayerRecord = _metadata(layer).get(METADATA_KEY) or cls()
        return record

    @property
    def is_empty(self) -> bool:
        """Whether the layer was not made by this plugin."""
        return not self.shown_shape


def with_record(metadata: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Metadata of a layer with some fields of its record changed."""
    return {**metadata, METADATA_KEY: replace(metadata[METADATA_KEY], **changes)}


def has_frame(layer: Any) -> bool:
    """Whether the display frame of a layer, or of the attributes of one, is known."""
    return METADATA_KEY in _metadata(layer)


def frame_of(layers: Iterable[Any]) -> FloatArray | None:
    """Display frame of a viewer with these layers: that of most layers, of the lowest if tied; None if none has one."""
    frames = [LayerRecord.of(layer).frame for layer in layers if has_frame(layer)]
    return max(frames, key=lambda one: sum(same_frame(one, other) for other in frames), default=None)


def record_frame(layers: Iterable[Any]) -> None:
    """Record the display frame of a viewer in those of its layers that came from elsewhere, such as painted labels.

    Writers and threads are given the metadata of a layer, but no viewer.
    """
    layers = list(layers)
    frame = frame_of(layers)
    if frame is None:
        return
    for layer in layers:
        if not has_frame(layer):
            layer.metadata[METADATA_KEY] = LayerRecord(frame=frame)


def record_all_frames() -> None:
    """Record the display frames of all viewers, also of those that no part of this plugin was told of."""
    for viewer in _viewers():
        record_frame(viewer.layers)


def _metadata(layer: Any) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = layer.get("metadata", {}) if isinstance(layer, Mapping) else layer.metadata
    return metadata


def _viewers() -> Iterator[Any]:
    """Viewers of this process, with and without a window; napari has no public list of them."""
    napari = sys.modules.get("napari.components")
    if napari is None:
        return
    kinds = {napari.ViewerModel, *napari.ViewerModel.__subclasses__()}
    yield from [each for each in gc.get_objects() if type(each) in kinds]
