"""Masks and label images on the voxels of another image, by their affines, and refusals of those from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import find_objects

from napari_swig_qmri.data.recognition.tissue import median
from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.volumes import BRIGHT, BoolArray, FloatArray, QuantitativeMaps, Volume, VoxelGrid

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.integer[Any]]

LEAST_SHARED = 0.5  # of the shorter extent along each axis; less is another place
LEAST_COVERED = 0.25  # of the mask, or of the tissue if that is smaller; less is another place
WHOLLY_COVERED = 0.9  # less is told
SAMPLES = 20_000  # voxels of a mask that are compared with those of the maps


def labels_on(labels: Volume, grid: VoxelGrid) -> IntArray:
    """Label ``(x, y, z)`` nearest to each voxel of a grid in world coordinates, 0 beyond the field of view.

    Raises ValueError if `labels` does not have three axes.
    """
    whole = np.rint(np.nan_to_num(labels.data)).astype(np.int32)
    if whole.ndim != 3:
        raise ValueError(f"{labels.name!r} has the shape {whole.shape}, but labels have three axes: choose another.")
    if labels.grid.is_aligned_with(grid):
        return whole
    result = np.zeros(grid.shape, np.int32)
    box = _labelled_box(whole, labels.grid, grid)  # the rest of the grid takes no time
    if box is not None:
        x, y, z = box
        part = grid.box((x.start, y.start, z.start), (x.stop - x.start, y.stop - y.start, z.stop - z.start))
        result[box] = on_grid(whole, labels.grid, part, order=0, decimals=9, mode="grid-constant", cval=0)
    return result


def mask_on(mask: Volume, grid: VoxelGrid, owner: str) -> tuple[BoolArray, tuple[str, ...]]:
    """Mask ``(x, y, z)`` of the voxels of a volume above 0.5 on a grid, and notices on its place.

    Raises ValueError if the mask is empty, or if mask and grid share less than half of their extent, with the distance
    of their centres; the message calls the image of that grid `owner`.
    """
    title = _title(mask)
    titled = f"{title[0].upper()}{title[1:]}"
    notices = tuple(f"{titled}: {notice}" for notice in mask.notices)
    inside = np.asarray(mask.data > 0.5)
    if inside.ndim != 3:
        raise ValueError(f"{title} has the shape {inside.shape}, but a mask has three axes: save one volume of it.")
    if not inside.any():
        raise ValueError(f"{title} is empty, because no value is above 0.5: choose one that covers the brain, or none.")
    if mask.grid.is_aligned_with(grid):
        return inside, notices
    check_place(title, mask.grid, grid, owner, inside=inside, least=LEAST_SHARED)
    moved = labels_on(Volume(data=inside.astype(np.float32), grid=mask.grid, name=title), grid) > 0
    if not moved.any():
        raise ValueError(f"{title} is so small that no voxel of {owner} has its centre in it: choose a larger one.")
    return moved, (*notices, f"{titled} was brought to the voxels of {owner} by its affine.")


def coverage_notices(mask: BoolArray, grid: VoxelGrid, maps: QuantitativeMaps) -> tuple[str, ...]:
    """Notice on a mask ``(x, y, z)`` if less than 90 % of it, or of the tissue if that is smaller, is common to both.

    Raises ValueError if less than a quarter is, with the distance of their centres.
    """
    measured = np.isfinite(maps.data).all(axis=0) & (maps.data != 0).any(axis=0)
    if "PD" in maps.names:
        measured &= np.nan_to_num(maps["PD"]) > BRIGHT * (median(maps["PD"]) or 0)  # without the noise of air
    inside = np.argwhere(mask)
    if not len(inside) or not measured.any():
        return ()
    voxels = np.rint(apply_affine(np.linalg.inv(maps.grid.affine) @ grid.affine, inside[:: 1 + len(inside) // SAMPLES]))
    in_grid = ((voxels >= 0) & (voxels < maps.grid.shape)).all(axis=1)
    covered = measured[tuple(voxels[in_grid].astype(int).T)].sum() / len(voxels)
    sizes = [len(inside) * np.prod(grid.voxel_size), measured.sum() * np.prod(maps.grid.voxel_size)]
    share = covered * sizes[0] / min(sizes)
    if share >= WHOLLY_COVERED:
        return ()
    centres = grid.world(inside.mean(axis=0)), maps.grid.world(np.argwhere(measured).mean(axis=0))
    covers = f"only {share:.0%} of the mask lies on" if sizes[0] < sizes[1] else f"the mask covers only {share:.0%} of"
    distance = np.linalg.norm(centres[0] - centres[1])
    text = f"{covers} the tissue of the maps; their centres are {distance:.0f} mm apart"
    if share < LEAST_COVERED:
        raise ValueError(f"{text}: choose a mask of the same head in the same place, or correct its header.")
    return (f"{text[0].upper()}{text[1:]}.",)


def check_place(
    what: str,
    source: VoxelGrid,
    target: VoxelGrid,
    owner: str,
    *,
    inside: npt.NDArray[Any] | None = None,
    least: float = 0.0,
) -> None:
    """Raise ValueError if two images do not overlap, with the distance of their centres.

    Parameters
    ----------
    what, owner
        Names of the images on `source` and `target` in the message.
    source, target
        Grids of the images.
    inside
        Voxels ``(x, y, z)`` of `source` that count, where it is not 0; all by default.
    least
        Share of the shorter extent along each axis of `target` that has to be common.
    """
    part = (None if inside is None else _box(inside)) or tuple(slice(0, n) for n in source.shape)
    low, high = _extent(part, source, target)
    n_voxels = np.asarray(target.shape)
    common = np.minimum(high, n_voxels - 0.5) - np.maximum(low, -0.5)
    share = float((np.clip(common, 0, None) / np.minimum(high - low, n_voxels)).min())
    if share > 0 and share >= least:
        return
    middle = source.world(np.array([(each.start + each.stop - 1) / 2 for each in part]))
    distance = np.linalg.norm(middle - target.centre)
    raise ValueError(
        f"{what} and {owner} {'hardly' if share > 0 else 'do not'} overlap: their centres lie {distance:.0f} mm apart. "
        "Choose images of the same head in the same place, or correct the header."
    )


def offset_text(one: VoxelGrid, other: VoxelGrid) -> str:
    """How two grids differ, in words: their shapes, or the distance of their corners in mm."""
    if one.shape != other.shape:
        return f"it has {one.shape} voxels, they have {other.shape}"
    return f"its corners lie up to {one.distance_to(other):.2g} mm away"


def _title(mask: Volume) -> str:
    """Mask with its name in words; one without a name of its own is "the mask"."""
    name = mask.path.name if mask.path else mask.name
    return "the mask" if name in ("", "mask") else f"the mask {name}"


def _box(inside: npt.NDArray[Any]) -> tuple[slice, ...] | None:
    """Box around the voxels that are not 0; None if there is none."""
    (box,) = find_objects((inside != 0).astype(np.uint8)) or (None,)
    return box


def _extent(box: tuple[slice, ...], source: VoxelGrid, target: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest target voxel coordinate of the edges of a box of the source grid, ``(3,)`` each."""
    ends = [(part.start - 0.5, part.stop - 0.5) for part in box]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = apply_affine(np.linalg.inv(target.affine) @ source.affine, corners)
    return corners.min(axis=0), corners.max(axis=0)


def _labelled_box(labels: IntArray, source: VoxelGrid, target: VoxelGrid) -> tuple[slice, slice, slice] | None:
    """Box of the target grid around the labelled voxels of the source grid; None if it is empty."""
    box = _box(labels)
    if box is None:
        return None
    low, high = _extent(box, source, target)
    first, stop = np.floor(low).astype(int), np.ceil(high).astype(int) + 1
    spans = [(max(0, int(a)), min(n, int(b))) for a, b, n in zip(first, stop, target.shape, strict=True)]
    if any(begin >= end for begin, end in spans):
        return None
    x, y, z = (slice(begin, end) for begin, end in spans)
    return x, y, z
