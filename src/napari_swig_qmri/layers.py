"""Volumes and results to and from viewer layers, as plain tuples ``(data, attributes, type)``.

The only place that reorders axes: a layer has the axes ``(..., S, A, R)``, each rising towards superior,
anterior and right, in mm. Viewers slice along the axes of an array, so a layer's transform is only a scale
and a translation. A tilted volume is therefore shown in a display frame: the scanner's frame rotated about
its origin until the volume's axes are straight. Volumes of one tilt share that frame exactly; a volume of another
tilt, or a sheared one, is interpolated for display, and its own voxels stay in the metadata for solving and
saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from nibabel.spaces import vox2out_vox
from scipy.ndimage import affine_transform

from napari_swig_qmri.bids import LABELS
from napari_swig_qmri.display import (
    colormap,
    contrast_limits,
    display_unit,
    diverging_colormap,
    symmetric_limits,
)
from napari_swig_qmri.quantities import QUANTITIES
from napari_swig_qmri.results import RESEARCH_NOTICE
from napari_swig_qmri.volumes import Volume, VoxelGrid

if TYPE_CHECKING:
    from napari_swig_qmri.results import SuperResolution
    from napari_swig_qmri.volumes import FloatArray, QuantitativeMaps

METADATA_KEY = "napari-swig-qmri"
LayerData = tuple[Any, dict[str, Any], str]
SPACE_AXES = ("S", "A", "R")
STRAIGHT = np.sin(np.deg2rad(0.1))  # an axis tilted by less counts as straight
_RAS = np.array([[0, 1], [1, 1], [2, 1]])
_KEPT = ("suffix", "unit", "file_unit", "sidecar", "header", "path", "notices")
_MM = {
    "millimeter": 1.0,
    "mm": 1.0,
    "micrometer": 1e-3,
    "um": 1e-3,
    "centimeter": 10.0,
    "meter": 1e3,
}


class Placed(NamedTuple):
    """An array with axes ``(..., S, A, R)`` and where its first voxel and voxel steps lie in a frame."""

    data: FloatArray
    scale: FloatArray  # (3,) mm
    translate: FloatArray  # (3,) mm
    is_resampled: bool


def display_frame(grid: VoxelGrid) -> FloatArray:
    """Rotation (4, 4) about the scanner's origin after which the axes of a grid are straight.

    The identity for a grid that is straight already and for a sheared one, which no rotation can straighten.
    """
    directions = grid.affine[:3, :3] / np.asarray(grid.voxel_size)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    frame = np.eye(4)
    if _is_straight(grid.affine) or np.abs(directions - rotation).max() > STRAIGHT:
        return frame
    rounded = np.eye(4)
    rounded[:3, :3] = np.round(rotation, 3)
    axes = io_orientation(rounded)
    target = np.zeros((3, 3))
    target[axes[:, 0].astype(int), [0, 1, 2]] = axes[:, 1]
    frame[:3, :3] = target @ rotation.T
    return frame


def shared_frame(grids: Sequence[VoxelGrid]) -> FloatArray:
    """The display frame that most grids have; of frames that equally many have, the finest grid's."""
    frames = [display_frame(grid) for grid in grids]
    fineness = [-float(np.prod(grid.voxel_size)) for grid in grids]
    votes = [
        (sum(same_frame(one, other) for other in frames), fine)
        for one, fine in zip(frames, fineness, strict=True)
    ]
    return frames[votes.index(max(votes))]


def same_frame(one: FloatArray, other: FloatArray) -> bool:
    """Whether two frames differ by less than the tilt that counts as straight."""
    return bool(np.abs(one - other).max() < STRAIGHT)


def to_layer_data(volume: Volume, frame: FloatArray | None = None) -> LayerData:
    """A volume as a layer in a display frame (default: its own); relaxation times become ms."""
    frame = display_frame(volume.grid) if frame is None else frame
    is_label = volume.suffix in LABELS
    placed = place(volume, frame, order=0 if is_label else 1)
    unit, factor = display_unit(volume)
    data = placed.data if factor == 1 else placed.data * np.asarray(factor, dtype=placed.data.dtype)
    if is_label:
        data = np.nan_to_num(data).astype(np.int32)
    attributes = _transform(volume, placed)
    attributes["name"] = f"{volume.name} (ms)" if unit == "ms" else volume.name
    attributes["metadata"] = {METADATA_KEY: _record(volume, placed, data, frame, attributes)}
    if is_label:
        return data, attributes, "labels"
    limits = contrast_limits(volume)
    attributes |= {"contrast_limits": limits, "colormap": colormap(volume, limits)}
    return data, attributes, "image"


def to_layers(volumes: Sequence[Volume]) -> list[LayerData]:
    """Volumes opened together as layers in one display frame."""
    frame = shared_frame([volume.grid for volume in volumes])
    return [to_layer_data(volume, frame) for volume in volumes]


def place(volume: Volume, frame: FloatArray, order: int = 1) -> Placed:
    """A volume along the axes of a frame: a view of its data, or interpolated where it is tilted there."""
    affine = frame @ volume.grid.affine
    if _is_straight(affine):
        axes = io_orientation(affine)
        data = _to_display_axes(apply_orientation(volume.data, axes))
        straight = affine @ inv_ornt_aff(axes, volume.grid.shape)
        scale = np.linalg.norm(straight[:3, :3], axis=0)
        centre = (np.asarray(data.shape[:-4:-1]) - 1) / 2
        translate = (straight @ [*centre, 1])[:3] - scale * centre
        return Placed(data, scale[::-1], translate[::-1], False)
    shape, target = vox2out_vox((volume.grid.shape, affine), volume.grid.voxel_size)
    data = _interpolate(volume.data, np.linalg.inv(affine) @ target, shape, order)
    return Placed(_to_display_axes(data), np.diag(target)[2::-1], target[2::-1, 3], True)


def from_layer(data: Any, attributes: Mapping[str, Any]) -> Volume:
    """The volume that a layer shows, on its own voxels and in its own unit.

    A layer that this plugin did not make, or that was moved or cropped since, is placed by its own transform,
    and a notice says so.
    """
    record = attributes.get("metadata", {}).get(METADATA_KEY)
    values = np.asarray(data[0] if attributes.get("multiscale") else data)
    if attributes.get("rgb"):
        values = values[..., :3].mean(axis=-1, dtype=np.float32)
    if record is None or not _is_unmoved(values, attributes, record):
        return _from_transform(values, attributes, record or {})
    if record["original"] is not None:
        if values is not record["shown"]:
            return _from_transform(values, attributes, record)
        return _from_record(record["original"], attributes, record)
    straight = _to_volume_axes(values)
    axes = io_orientation(record["frame"] @ record["affine"])
    stored = apply_orientation(straight, ornt_transform(_RAS, axes))
    return _from_record(_in_own_unit(stored, record), attributes, record)


def in_frame(layer: LayerData, frame: FloatArray) -> LayerData:
    """A layer shown in another display frame."""
    data, attributes, _ = layer
    return to_layer_data(from_layer(data, attributes), frame)


def frame_of(attributes: Mapping[str, Any]) -> FloatArray:
    """Display frame of a layer; the identity for a layer that came from elsewhere."""
    record = attributes.get("metadata", {}).get(METADATA_KEY)
    return np.eye(4) if record is None else record["frame"]  # type: ignore[no-any-return]


def display_notices(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything that was assumed to read and place a layer, one sentence each."""
    record = attributes.get("metadata", {}).get(METADATA_KEY, {})
    return (*record.get("notices", ()), *record.get("display_notices", ()))


def _is_straight(affine: FloatArray) -> bool:
    """Whether every voxel axis runs along a world axis, each along another."""
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    off_axis = np.sqrt(np.clip((directions**2).sum(axis=0) - directions.max(axis=0) ** 2, 0, None))
    return bool((off_axis < STRAIGHT).all() and len(set(directions.argmax(axis=0))) == 3)


def _to_display_axes(data: FloatArray) -> FloatArray:
    """``(R, A, S, extras...)`` to ``(extras..., S, A, R)``."""
    extras = range(3, data.ndim)
    return data.transpose(*extras, 2, 1, 0)


def _to_volume_axes(data: FloatArray) -> FloatArray:
    """``(extras..., S, A, R)`` to ``(R, A, S, extras...)``; an image gets one slice."""
    padded = data if data.ndim > 2 else data.reshape((1,) * (3 - data.ndim) + data.shape)
    n = padded.ndim
    return padded.transpose(n - 1, n - 2, n - 3, *range(n - 3))


def _interpolate(data: FloatArray, matrix: FloatArray, shape: tuple[int, ...], order: int) -> FloatArray:
    """Values at the voxels of a new grid; `matrix` leads from its voxels to those of `data`."""
    flat = data.reshape(*data.shape[:3], -1)
    moved = [
        affine_transform(
            flat[..., i],
            matrix[:3, :3],
            matrix[:3, 3],
            output_shape=shape,
            order=order,
            cval=0.0,
        )
        for i in range(flat.shape[3])
    ]
    return np.stack(moved, axis=-1).reshape(*shape, *data.shape[3:])


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
) -> dict[str, Any]:
    """What `from_layer` needs to find the volume again."""
    return {
        "name": volume.name,
        "suffix": volume.suffix,
        "unit": volume.unit,
        "file_unit": volume.file_unit,
        "affine": volume.grid.affine,
        "shape": volume.grid.shape,
        "sidecar": dict(volume.sidecar),
        "header": volume.header,
        "path": volume.path,
        "notices": volume.notices,
        "display_notices": _placement_notices(volume, placed, frame),
        "frame": frame,
        "shown_name": attributes["name"],
        "shown_shape": shown.shape,
        "shown_matrix": layer_matrix(attributes, shown.ndim),
        "original": volume.data if placed.is_resampled else None,
        "shown": shown if placed.is_resampled else None,
    }


def _placement_notices(volume: Volume, placed: Placed, frame: FloatArray) -> tuple[str, ...]:
    """What a person must know to trust the place where a volume is shown."""
    angle = np.degrees(np.arccos(np.clip((np.trace(frame[:3, :3]) - 1) / 2, -1, 1)))
    notices = []
    if angle > 0.1:
        notices.append(
            f"Shown in a frame turned by {angle:.1f} degrees about the scanner's origin, so "
            "that its tilted slices are straight. Images of another tilt match it only if opened together."
        )
    if placed.is_resampled:
        notices.append(
            "Its axes are tilted or sheared here, so it is interpolated for display. "
            "Computing and saving use its own voxels."
        )
    return tuple(notices)


def layer_matrix(attributes: Mapping[str, Any], ndim: int) -> FloatArray:
    """Transform (ndim + 1, ndim + 1) from the voxels of a layer to its world, all its parts composed."""
    matrix = np.eye(ndim + 1)
    rotate = attributes.get("rotate")
    shear = np.asarray(attributes.get("shear", ()), dtype=float)
    skew = np.eye(ndim)
    if shear.ndim == 2:
        skew = shear
    elif shear.size:
        skew[np.triu_indices(ndim, 1)] = shear
    turn = np.eye(ndim) if rotate is None else np.asarray(rotate, dtype=float)
    scale = attributes.get("scale")
    matrix[:ndim, :ndim] = turn @ skew @ np.diag(np.ones(ndim) if scale is None else scale)
    translate = attributes.get("translate")
    matrix[:ndim, ndim] = 0 if translate is None else translate
    affine = attributes.get("affine")
    return matrix if affine is None else np.asarray(affine, dtype=float) @ matrix


def _is_unmoved(values: FloatArray, attributes: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    if values.shape != record["shown_shape"]:
        return False
    return np.allclose(layer_matrix(attributes, values.ndim), record["shown_matrix"], atol=1e-4)


def _in_own_unit(values: FloatArray, record: Mapping[str, Any]) -> FloatArray:
    """Shown values in the unit of the volume; only relaxation times are shown in another."""
    floating = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    return floating / np.asarray(1e3, dtype=floating.dtype) if record.get("unit") == "s" else floating


def _from_record(values: FloatArray, attributes: Mapping[str, Any], record: Mapping[str, Any]) -> Volume:
    """Volume on its recorded grid."""
    name = attributes.get("name", record["shown_name"])
    return Volume(
        data=values,
        grid=VoxelGrid(record["shape"], record["affine"]),
        name=record["name"] if name == record["shown_name"] else name,
        **{key: record[key] for key in _KEPT},
    )


def _from_transform(values: FloatArray, attributes: Mapping[str, Any], record: Mapping[str, Any]) -> Volume:
    """Volume placed by the transform of its layer, in the frame that it was shown in."""
    if values.ndim < 2:
        raise ValueError(
            f"the layer {attributes.get('name')!r} has {values.ndim} axis: images have two or more."
        )
    name = str(attributes.get("name", "image"))
    matrix, sizes, has_units = _space_matrix(attributes, values.ndim)
    affine = np.linalg.inv(record.get("frame", np.eye(4))) @ matrix
    data = _to_volume_axes(_in_own_unit(values, record))
    notice = (
        f"{name}: moved, cropped or edited since it was opened, so it is placed by its layer's transform."
        if record
        else f"{name}: not opened by this plugin, so its axes are taken as superior, anterior, right"
        f"{'' if has_units else f' and its voxels as {sizes} mm'}."
    )
    kept = {key: record[key] for key in _KEPT if key in record}
    kept["header"] = _header_for(values, record)
    kept["notices"] = (*record.get("notices", ()), notice)
    return Volume(
        data=data,
        grid=VoxelGrid(data.shape[:3], affine),
        name=record.get("name", name),
        **kept,
    )


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
    steps = " x ".join(f"{step:.3g}" for step in np.linalg.norm(matrix[:3, :3], axis=0))
    return matrix, steps, bool(units) and all(unit in _MM for unit in units)


def _header_for(values: FloatArray, record: Mapping[str, Any]) -> Any:
    """The recorded header, else one that keeps whole numbers whole."""
    if record.get("header") is not None or values.dtype.kind not in "iub":
        return record.get("header")
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8 if values.dtype.kind == "b" else np.promote_types(values.dtype, np.uint8))
    if header.get_data_dtype().itemsize > 4:
        header.set_data_dtype(np.int32)
    return header


def result_layers(result: SuperResolution, frame: FloatArray | None = None) -> list[LayerData]:
    """Layers of a run in one display frame (default: that of the HR grid), the maps last and on top.

    SR maps share their limits with the measured maps. Residuals and the conflict are there but hidden.
    """
    frame = display_frame(result.maps.grid) if frame is None else frame
    layers = [_residual_layer(volume, frame) for volume in residual_volumes(result)]
    if result.conflict is not None:
        layers.append(_conflict_layer(result, frame))
    lr_maps = {volume.suffix: volume for volume in map_volumes(result.lr_maps, "LR")}
    for volume in map_volumes(result.maps, "SR", provenance(result)):
        data, attributes, kind = to_layer_data(volume, frame)
        limits = contrast_limits(lr_maps[volume.suffix])
        attributes |= {"contrast_limits": limits, "colormap": colormap(volume, limits)}
        layers.append((data, attributes, kind))
    return layers


def map_volumes(maps: QuantitativeMaps, label: str, sidecar: Mapping[str, Any] | None = None) -> list[Volume]:
    """One volume per map, named "T1 SR" and the like."""
    return [
        Volume(
            data=maps[name],
            grid=maps.grid,
            name=f"{name} {label}",
            suffix=QUANTITIES[name].suffix,
            unit=QUANTITIES[name].unit,
            sidecar=sidecar or {},
        )
        for name in maps.names
    ]


def residual_volumes(result: SuperResolution) -> list[Volume]:
    """Acquired minus synthesised guides, then measured minus truncated SR maps."""
    sidecar = provenance(result)
    guides = [
        Volume(data=data, grid=guide.grid, name=f"{guide.name} residual", sidecar=sidecar)
        for guide, data in zip(result.guides, result.guide_residuals, strict=True)
    ]
    maps = map_volumes(result.lr_residual, "LR residual", sidecar)
    return [*guides, *(replace(volume, suffix=None) for volume in maps)]


def provenance(result: SuperResolution) -> dict[str, Any]:
    """What a super-resolved layer or file says about itself."""
    return {
        "Notice": RESEARCH_NOTICE,
        "Parameters": dict(result.parameters),
        "Assumed": list(result.notices),
    }


def _residual_layer(volume: Volume, frame: FloatArray) -> LayerData:
    data, attributes, kind = to_layer_data(volume, frame)
    limits = symmetric_limits(volume.data, display_unit(volume)[1])
    attributes |= {
        "contrast_limits": limits,
        "colormap": diverging_colormap(),
        "visible": False,
    }
    return data, attributes, kind


def _conflict_layer(result: SuperResolution, frame: FloatArray) -> LayerData:
    if result.conflict is None:
        raise ValueError("the run found no conflict map: there is nothing to show.")
    volume = Volume(
        data=result.conflict,
        grid=result.maps.grid,
        name="Conflict of guides and LR maps",
        sidecar=provenance(result),
    )
    data, attributes, kind = to_layer_data(volume, frame)
    extra = {
        "contrast_limits": (0.0, 1.0),
        "colormap": "magenta",
        "blending": "additive",
        "visible": False,
    }
    return data, attributes | extra, kind
