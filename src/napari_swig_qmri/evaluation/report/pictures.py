"""Pictures of a slice of a result, as PNG inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from cmap import Colormap
from PIL import Image
from scipy.ndimage import affine_transform

from napari_swig_qmri.data.volumes import bright_voxels
from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.super_resolution.results import SuperResolution

WIDTH = 420  # pixels
UPPER = 0.98  # quantile of a map that has the brightest colour
BRIGHTEST = 3.0  # times the median: at most that, for fluid has many times the T2 of tissue
ERROR_COLOURS = "viridis"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture with what it shows."""

    title: str
    text: str  # for readers who do not see it
    data: str  # data URL
    kind: str  # "lr", "sr" or "error"


def head_of(result: SuperResolution) -> BoolArray:
    """Voxels of the head, ``(X, Y, Z)`` bool: bright ones of PD, else of the first guide, else of the first map."""
    maps = result.maps
    if "PD" not in maps.names and result.guides:
        return bright_voxels(result.guides[0].data)
    return bright_voxels(maps["PD" if "PD" in maps.names else maps.names[0]])


def slice_pictures(result: SuperResolution, name: str) -> tuple[Picture, ...]:
    """Measured map, SR map and its standard error in the axial slice with the most tissue; what exists of them."""
    return tuple(_pictures(result, name))


def _pictures(result: SuperResolution, name: str) -> Iterator[Picture]:
    affine, shape = result.maps.grid.affine, result.maps.grid.shape
    values = result.maps[name]
    number = _fullest(_upright(head_of(result).astype(np.float32), affine))
    seen = values[head_of(result)]
    top = min(float(np.quantile(seen, UPPER)), BRIGHTEST * float(np.median(seen)))
    colours, unit = QUANTITIES[name].colormap, 1000 if name != "PD" else 1
    span = f"0 to {unit * top:.3g}{' ms' if name != 'PD' else ''}"
    where = "an axial slice, the right of the patient on the right"
    if name in result.lr_maps.names:
        lr = result.lr_maps
        between = np.linalg.inv(lr.grid.affine) @ affine
        measured = affine_transform(
            np.nan_to_num(lr[name]), between[:3, :3], between[:3, 3], output_shape=shape, order=0, mode="nearest"
        )
        data = _png(_upright(measured, affine)[..., number], affine, top, colours)
        yield Picture(title=f"{name} measured", text=f"Measured {name} map, {where}, {span}.", data=data, kind="lr")
    data = _png(_upright(values, affine)[..., number], affine, top, colours)
    yield Picture(
        title=f"{name} super-resolved", text=f"Super-resolved {name} map, {where}, {span}.", data=data, kind="sr"
    )
    errors = result.standard_errors
    if errors is not None and name in errors.names:
        stated = errors[name]
        highest = float(np.quantile(stated[head_of(result)], UPPER))
        data = _png(_upright(stated, affine)[..., number], affine, highest, ERROR_COLOURS)
        told = f"0 to {unit * highest:.3g}{' ms' if name != 'PD' else ''}"
        yield Picture(
            title=f"{name} standard error, {told}",
            text=f"Standard error of {name}, {where}, {told}.",
            data=data,
            kind="error",
        )


def _upright(volume: FloatArray, affine: FloatArray) -> FloatArray:
    """Volume with its axes to the right, to the front and upwards."""
    image = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(volume, np.float32), affine))
    return np.asarray(image.dataobj)


def _fullest(volume: FloatArray) -> int:
    """Number of the slice with the most voxels above 0, the middle one of several."""
    counts = (volume > 0).sum(axis=(0, 1))
    best = np.flatnonzero(counts >= 0.98 * counts.max())
    return int(best[len(best) // 2])


def _png(plane: FloatArray, affine: FloatArray, top: float, colours: str) -> str:
    """Data URL of a plane ``(x, y)`` with values from 0 to `top`, the front up."""
    scaled = np.clip(np.rot90(np.nan_to_num(plane)) / max(top, 1e-12), 0, 1)
    rgb = (255 * np.asarray(Colormap(colours)(scaled))[..., :3]).astype(np.uint8)
    edges = nib.affines.voxel_sizes(nib.as_closest_canonical(nib.Nifti1Image(np.zeros((1, 1, 1)), affine)).affine)
    height = round(WIDTH * plane.shape[1] * edges[1] / (plane.shape[0] * edges[0]))
    picture = Image.fromarray(rgb).resize((WIDTH, max(1, height)), Image.Resampling.NEAREST)
    with io.BytesIO() as stream:
        picture.save(stream, format="PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
