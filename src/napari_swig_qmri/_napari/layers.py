"""Conversion of volumes to viewer layers, as tuples ``(data, attributes, type)``, and back.

Layers show relaxation times in ms and lie along the axes of a display frame. Their metadata hold a `LayerRecord`, so
that computing and saving use the stored voxels, grid and unit.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np

from napari_swig_qmri._napari.display import appearance, contrast_limits
from napari_swig_qmri._napari.placement import (
    SPACE_AXES,
    Placed,
    display_frame,
    layer_matrix,
    place,
    placement_notices,
    shared_frame,
    to_stored_axes,
    to_volume_axes,
)
from napari_swig_qmri._napari.records import METADATA_KEY, NO_VOXELS, LayerRecord, has_frame, record_all_frames
from napari_swig_qmri.data.provenance import is_result
from napari_swig_qmri.data.recognition.suffixes import LABELS, MAP_UNITS, RESULTS
from napari_swig_qmri.data.recognition.units import display_unit
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid
from napari_swig_qmri.data.wording import size_text

LayerData = tuple[Any, dict[str, Any], str]
_RESIDUAL, _IMAGE, _MAP, _MASK = range(4)  # levels of layers, from the bottom to the top
_MM = {
    "millimeter": 1.0,
    "mm": 1.0,
    "micrometer": 1e-3,
    "um": 1e-3,
    "centimeter": 10.0,
    "meter": 1e3,
}


def to_layer_data(volume: Volume, frame: FloatArray | None = None) -> LayerData:
    """Return a volume as layer data, with axes ``(S, A, R)``; relaxation times are shown in ms.

    Parameters
    ----------
    volume
        Volume on any grid.
    frame
        Display frame ``(4, 4)``, as of `shared_frame`. By default that of the volume. A volume that is tilted against
        the frame is interpolated.

    Returns
    -------
    tuple
        Data, attributes and type of the layer, for ``Layer.create`` of napari.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid, to_layer_data
    >>> grid = VoxelGrid((4, 5, 6), np.eye(4))
    >>> t1 = Volume(data=np.full((4, 5, 6), 0.9, np.float32), grid=grid, name="T1", suffix="T1map", unit="s")
    >>> data, attributes, kind = to_layer_data(t1)
    >>> data.shape, attributes["name"], kind
    ((6, 5, 4), 'T1 (ms)', 'image')
    """
    frame = display_frame(volume.grid) if frame is None else frame
    is_label = volume.suffix in LABELS
    placed = place(volume, frame, order=0 if is_label else 1)
    unit, factor = display_unit(volume)
    data = placed.data if factor == 1 else placed.data * np.asarray(factor, dtype=placed.data.dtype)
    if is_label:
        data = np.rint(np.nan_to_num(data)).astype(np.int32)
    attributes = _transform(volume, placed)
    attributes["name"] = f"{volume.name} (ms)" if unit == "ms" else volume.name
    attributes["metadata"] = {METADATA_KEY: _record(volume, placed, data, frame, attributes)}
    if is_label:
        return data, attributes, "labels"
    return data, attributes | appearance(volume, contrast_limits(volume)), "image"


def to_layers(volumes: Sequence[Volume]) -> list[LayerData]:
    """Layers of volumes that are opened together, in one display frame.

    From the bottom to the top: residuals, conflicts and synthesised guides of a run, images, maps, masks. The first
    and the last group are hidden if there are images or maps.
    """
    frame = shared_frame([volume.grid for volume in volumes])
    ordered = sorted(volumes, key=_level)
    has_images = any(_level(volume) in (_IMAGE, _MAP) for volume in volumes)
    layers = [to_layer_data(volume, frame) for volume in ordered]
    return [
        hidden(layer) if has_images and _level(volume) in (_RESIDUAL, _MASK) else layer
        for volume, layer in zip(ordered, layers, strict=True)
    ]


def _level(volume: Volume) -> int:
    """Level of the layer of a volume among those opened together."""
    if volume.suffix in LABELS:
        return _MASK
    if volume.suffix in MAP_UNITS:
        return _MAP
    return _RESIDUAL if volume.suffix in RESULTS or is_result(volume) else _IMAGE


def from_layer(data: Any, attributes: Mapping[str, Any]) -> Volume:
    """Return the volume that a layer shows, on its stored grid and in its own unit.

    A layer that this plugin did not make, or that was moved, cropped or resampled, is placed by the transform of the
    layer in the display frame of its viewer, and a notice says so.

    Parameters
    ----------
    data
        Voxels of the layer, or its list of levels if it is multiscale.
    attributes
        Attributes of the layer, as in the second entry of ``layer.as_layer_data_tuple()``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid, from_layer, to_layer_data
    >>> grid = VoxelGrid((4, 5, 6), np.eye(4))
    >>> t1 = Volume(data=np.full((4, 5, 6), 0.9, np.float32), grid=grid, name="T1", suffix="T1map", unit="s")
    >>> data, attributes, _ = to_layer_data(t1)
    >>> volume = from_layer(data, attributes)
    >>> volume.data.shape, volume.unit
    ((4, 5, 6), 's')
    """
    if not has_frame(attributes):
        record_all_frames()  # among them, in the same metadata, that of the viewer that shows this layer
    record = LayerRecord.of(attributes)
    values = np.asarray(data[0] if attributes.get("multiscale") else data)
    if attributes.get("rgb"):
        values = values[..., :3].mean(axis=-1, dtype=np.float32)
    if values.dtype.kind in "iub" and record.volume.unit == "s":  # labels with the metadata of a map, which shows ms
        record = LayerRecord(frame=record.frame)
    if record.is_empty or not _is_unmoved(values, attributes, record):
        return _from_transform(values, attributes, record)
    if record.shown_checksum is None:
        stored = to_stored_axes(values, record.frame @ record.volume.grid.affine)
        return _named(replace(record.volume, data=_in_own_unit(stored, record)), attributes, record)
    if _checksum(values) != record.shown_checksum:
        return _from_transform(values, attributes, record)
    return _named(record.volume, attributes, record)


def _transform(volume: Volume, placed: Placed) -> dict[str, Any]:
    """Scale, translation, units and labels of all axes of a layer."""
    n_extra = placed.data.ndim - 3
    return {
        "scale": (*(1.0,) * n_extra, *placed.scale.tolist()),
        "translate": (*(0.0,) * n_extra, *placed.translate.tolist()),
        "units": (*("pixel",) * n_extra, *("mm",) * 3),
        "axis_labels": (*(f"axis {4 + i}" for i in range(n_extra)), *SPACE_AXES),
    }


def _record(
    volume: Volume,
    placed: Placed,
    shown: FloatArray,
    frame: FloatArray,
    attributes: Mapping[str, Any],
) -> LayerRecord:
    """Record of a volume and of the layer that shows it."""
    data = volume.data if placed.is_resampled else NO_VOXELS
    return LayerRecord(
        volume=replace(volume, data=data, sidecar=dict(volume.sidecar)),
        frame=frame,
        placement_notices=placement_notices(placed),
        shown_name=attributes["name"],
        shown_shape=shown.shape,
        shown_matrix=layer_matrix(attributes, shown.ndim),
        shown_checksum=_checksum(shown) if placed.is_resampled else None,
    )


def _checksum(values: FloatArray) -> int:
    """Checksum of the values; viewers paint into the array that they were given, so its identity proves nothing."""
    return zlib.crc32(np.ascontiguousarray(values).data)


def _is_unmoved(values: FloatArray, attributes: Mapping[str, Any], record: LayerRecord) -> bool:
    """Whether a layer still has the shape and the transform that it was made with."""
    if values.shape != record.shown_shape:
        return False
    return np.allclose(layer_matrix(attributes, values.ndim), record.shown_matrix, atol=1e-4)


def _in_own_unit(values: FloatArray, record: LayerRecord) -> FloatArray:
    """Shown values in the unit of the volume; only times in s are shown in another unit, ms."""
    floating = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    return floating / np.asarray(1e3, dtype=floating.dtype) if record.volume.unit == "s" else floating


def _named(volume: Volume, attributes: Mapping[str, Any], record: LayerRecord) -> Volume:
    """Volume under its own name, or under the name of its layer if the layer was renamed."""
    name = attributes.get("name", record.shown_name)
    return volume if name == record.shown_name else replace(volume, name=name)


def _from_transform(values: FloatArray, attributes: Mapping[str, Any], record: LayerRecord) -> Volume:
    """Volume placed by the transform of its layer in the display frame of its record."""
    if values.ndim < 2:
        raise ValueError(f"the layer {attributes.get('name')!r} has {values.ndim} axis: images have two or more.")
    name = str(attributes.get("name", "image"))
    matrix, _, _ = _space_matrix(attributes, values.ndim)
    affine = np.linalg.inv(record.frame) @ matrix
    data = to_volume_axes(_in_own_unit(values, record))
    return replace(
        record.volume,
        data=data,
        grid=VoxelGrid(data.shape[:3], affine),
        name=record.volume.name or name,
        header=_header_for(values, record.volume.header),
        notices=(*record.volume.notices, *_transform_notices(values, attributes, record)),
    )


def _transform_notices(values: FloatArray, attributes: Mapping[str, Any], record: LayerRecord) -> tuple[str, ...]:
    """Notice on a layer that is placed by its transform; none on labels drawn over images of this plugin."""
    name = attributes.get("name", "image")
    if not record.is_empty:
        return (f"{name}: moved, cropped or edited since it was opened, so it is placed by its layer's transform.",)
    if has_frame(attributes):
        is_drawn = values.dtype.kind in "iub"
        return () if is_drawn else (f"{name}: not opened by this plugin, so it is placed where its viewer shows it.",)
    _, sizes, has_units = _space_matrix(attributes, values.ndim)
    size = "" if has_units else f" and its voxels as {sizes} mm"
    return (f"{name}: not opened by this plugin, so its axes are taken as superior, anterior, right{size}.",)


def _space_matrix(attributes: Mapping[str, Any], ndim: int) -> tuple[FloatArray, str, bool]:
    """Affine (4, 4) from ``(x, y, z)`` voxels to mm, its steps, and whether the layer's unit is known."""
    n_space = min(ndim, 3)
    keep = np.arange(ndim - n_space, ndim)
    full = layer_matrix(attributes, ndim)
    matrix = np.eye(4)
    linear, offset = full[np.ix_(keep, keep)][::-1, ::-1], full[keep, ndim][::-1]
    units = [str(unit) for unit in (attributes.get("units") or ())][-n_space:][::-1]
    to_mm = np.array([_MM.get(unit, 1.0) for unit in units] or [1.0] * n_space)
    matrix[:n_space, :n_space] = to_mm[:, None] * linear
    matrix[:n_space, 3] = to_mm * offset
    steps = size_text(np.linalg.norm(matrix[:3, :3], axis=0))
    return matrix, steps, bool(units) and all(unit in _MM for unit in units)


def _header_for(values: FloatArray, header: Any) -> Any:
    """The recorded header; without one, a header that keeps whole numbers whole."""
    if header is not None or values.dtype.kind not in "iub":
        return header
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8 if values.dtype.kind == "b" else np.promote_types(values.dtype, np.uint8))
    if header.get_data_dtype().itemsize > 4:
        header.set_data_dtype(np.int32)
    return header


def hidden(layer: LayerData) -> LayerData:
    """The same layer, not visible."""
    data, attributes, kind = layer
    return data, {**attributes, "visible": False}, kind
