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
from napari_swig_qmri.super_resolution.map_evidence import LR_MAPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid
    from napari_swig_qmri.super_resolution.results import SuperResolution

WIDTH = 420  # pixels
UPPER = 0.98  # quantile of a map that has the brightest colour
BRIGHTEST = 3.0  # times the median: at most that, for fluid has many times the T2 of tissue
ERROR_COLOURS, RESIDUAL_COLOURS, EVIDENCE_COLOURS = "viridis", "vik", "cividis"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture with what it shows."""

    title: str
    text: str  # for readers who do not see it
    data: str  # data URL
    kind: str  # "lr", "sr", "error", "residual" or "evidence"


def head_of(result: SuperResolution) -> BoolArray:
    """Voxels of the head, ``(X, Y, Z)`` bool: bright ones of PD, else of the first guide, else of the first map."""
    maps = result.maps
    if "PD" not in maps.names and result.guides:
        return bright_voxels(result.guides[0].data)
    return bright_voxels(maps["PD" if "PD" in maps.names else maps.names[0]])


def slice_pictures(result: SuperResolution, name: str) -> tuple[Picture, ...]:
    """Pictures of a map in the axial slice with the most tissue; those that exist.

    The measured map, the SR map, its standard error, the LR residual, and the share of the LR maps.
    """
    return tuple(_pictures(result, name))


@dataclass(frozen=True, eq=False)
class _AxialSlice:
    """A slice of the grid of a result, with the front up."""

    grid: VoxelGrid
    number: int

    def png(self, volume: FloatArray, limits: tuple[float, float], colours: str) -> str:
        """Data URL of the slice of a volume ``(X, Y, Z)``, whose colours lie between the limits."""
        low, high = limits
        plane = np.nan_to_num(_upright(volume, self.grid.affine)[..., self.number])
        scaled = np.clip((np.rot90(plane) - low) / max(high - low, 1e-12), 0, 1)
        rgb = (255 * np.asarray(Colormap(colours)(scaled))[..., :3]).astype(np.uint8)
        upright = nib.as_closest_canonical(nib.Nifti1Image(np.zeros((1, 1, 1)), self.grid.affine))
        edges = nib.affines.voxel_sizes(upright.affine)
        height = round(WIDTH * plane.shape[1] * edges[1] / (plane.shape[0] * edges[0]))
        picture = Image.fromarray(rgb).resize((WIDTH, max(1, height)), Image.Resampling.NEAREST)
        with io.BytesIO() as stream:
            picture.save(stream, format="PNG", optimize=True)
            return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"

    def on_it(self, volume: FloatArray, grid: VoxelGrid) -> FloatArray:
        """Volume of another grid on the grid of the slice, each voxel as it is."""
        between = np.linalg.inv(grid.affine) @ self.grid.affine
        shape = self.grid.shape
        near: FloatArray = affine_transform(
            np.nan_to_num(volume), between[:3, :3], between[:3, 3], output_shape=shape, order=0, mode="nearest"
        )
        return near


def _pictures(result: SuperResolution, name: str) -> Iterator[Picture]:
    grid, values, head = result.maps.grid, result.maps[name], head_of(result)
    place = _AxialSlice(grid, _fullest(_upright(head.astype(np.float32), grid.affine)))
    seen = values[head]
    top = min(float(np.quantile(seen, UPPER)), BRIGHTEST * float(np.median(seen)))
    factor, unit = (1000, " ms") if name != "PD" else (1, "")
    colours, span = QUANTITIES[name].colormap, f"0 to {factor * top:.3g}{unit}"
    is_measured = name in result.lr_maps.names
    if is_measured:
        data = place.png(place.on_it(result.lr_maps[name], result.lr_maps.grid), (0, top), colours)
        yield _picture(f"{name} measured", f"Measured {name} map", span, data, "lr")
    yield _picture(
        f"{name} super-resolved", f"Super-resolved {name} map", span, place.png(values, (0, top), colours), "sr"
    )
    errors, evidence = result.standard_errors, result.evidence
    if errors is not None and name in errors.names:
        highest = float(np.quantile(errors[name][head], UPPER))
        told = f"0 to {factor * highest:.3g}{unit}"
        data = place.png(errors[name], (0, highest), ERROR_COLOURS)
        yield _picture(f"{name} standard error, {told}", f"Standard error of {name}", told, data, "error")
    if is_measured:
        residual = place.on_it(result.lr_residual[name], result.lr_maps.grid)
        highest = float(np.quantile(np.abs(residual[head]), UPPER))
        told = f"-{factor * highest:.3g} to {factor * highest:.3g}{unit}"
        data = place.png(residual, (-highest, highest), RESIDUAL_COLOURS)
        yield _picture(
            f"{name} measured minus result, {told}",
            f"LR residual of {name}, measured minus result",
            told,
            data,
            "residual",
        )
    if evidence is not None and name in evidence.maps:
        shares = evidence.information[evidence.maps.index(name), evidence.sources.index(LR_MAPS)]
        data = place.png(shares.astype(np.float32), (0, 100), EVIDENCE_COLOURS)
        yield _picture(
            f"{name}: share of the {LR_MAPS}, 0 to 100 %",
            f"Share of the {LR_MAPS} in {name}",
            "0 to 100 %",
            data,
            "evidence",
        )


def _picture(title: str, shows: str, span: str, data: str, kind: str) -> Picture:
    return Picture(
        title=title,
        text=f"{shows}, an axial slice, the right of the patient on the right, {span}.",
        data=data,
        kind=kind,
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
