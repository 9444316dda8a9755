"""How much of the head maps and guides share, as sentences; too little is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.super_resolution.preparation.tissue import head_brightness, is_bright

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid, WeightedImage

LEAST_COVERED = 0.5  # of the tissue by all guides together, and of the head by the maps
LEAST_OF_A_GUIDE = 0.1  # of the tissue
WHOLE = 0.9  # shares above this are not told
SAMPLES = 5_000  # voxels of tissue that are looked up in the fields of view
INSIDE = (-0.375, -0.125, 0.125, 0.375)  # places in a voxel that are looked up, in voxels from its centre
TAPERED = 0.25  # of the largest cross-section, below which an object ends by itself rather than being cut off
DIRECTIONS = ("left to right", "back to front", "foot to head")


def tissue_notices(
    tissue: Tensor, lr_grid: VoxelGrid, hr_grid: VoxelGrid, guides: Sequence[WeightedImage]
) -> Iterator[str]:
    """Sentences on the share of the tissue ``(x, y, z)`` of the LR maps that lies in the fields of view of the guides.

    ValueError if all guides together cover less than half of it in the HR grid, or one guide less than 10 %.
    """
    if not guides:
        return
    places = _places(tissue.numpy(), lr_grid)
    inside = [_in_field_of_view(places, guide.grid) for guide in guides]
    together = float((_in_field_of_view(places, hr_grid) & np.any(inside, axis=0)).mean())
    if together < LEAST_COVERED:
        raise ValueError(
            f"{_covering(guides)} {_percent(together)} of the tissue of the low-resolution maps, but at least "
            f"{LEAST_COVERED:.0%} are needed: choose images of the same head in the same place, crop the maps to their "
            "field of view, or give a mask of this part."
        )
    if together < WHOLE:
        yield (
            f"{_covering(guides)} {_percent(together)} of the tissue of the low-resolution maps; the rest gets no "
            "detail, or lies outside the result."
        )
    for guide, where in zip(guides, inside, strict=True):
        share = float(where.mean())
        if share < LEAST_OF_A_GUIDE:
            raise ValueError(
                f"{_covering([guide])} {_percent(share)} of the tissue of the low-resolution maps, but at least "
                f"{LEAST_OF_A_GUIDE:.0%} are needed: choose an image of the same head in the same place, or leave it "
                "out."
            )
        if len(guides) > 1 and share < min(WHOLE, together):
            yield (
                f"{_covering([guide])} {_percent(share)} of the tissue of the low-resolution maps; elsewhere the other "
                "guides add the detail."
            )


def head_notices(
    seen: Tensor, lr_grid: VoxelGrid, hr_grid: VoxelGrid, images: Tensor, valid: Tensor, names: Sequence[str]
) -> Iterator[str]:
    """Sentence on the share of the head in the guides that the LR maps reach over, along the axis where it is least.

    ValueError if that is less than half: the result would be 0 elsewhere. Where maps become narrow towards their last
    planes, as a brain without skull does, they do not count as cut off.

    Parameters
    ----------
    seen
        Measured LR voxels ``(x, y, z)``.
    lr_grid, hr_grid
        Grids with parallel axes.
    images, valid
        Guides on the HR grid ``(guide, X, Y, Z)``, and their voxels that count.
    names
        Names of the guides.
    """
    if not len(images):
        return
    anywhere = valid.any(0)
    head = anywhere & is_bright(head_brightness(None, images), anywhere) if anywhere.any() else anywhere
    spacing, first = relative_axes(hr_grid, lr_grid)
    shares = []
    for axis, n in enumerate(hr_grid.shape):
        counts = head.movedim(axis, 0).flatten(1).sum(1).numpy()
        low, high = first[axis] + spacing[axis] * np.array(_reach(seen.movedim(axis, 0).flatten(1).sum(1).numpy()))
        reached = counts[(np.arange(n) >= low) & (np.arange(n) <= high)].sum()
        shares.append(float(reached / counts.sum()) if counts.any() else 1.0)
    axis = int(np.argmin(shares))
    along = DIRECTIONS[int(np.abs(hr_grid.affine[:3, axis]).argmax())]
    share = f"the low-resolution maps cover {_percent(shares[axis])} of the head in {joined(names)} from {along}"
    if shares[axis] < LEAST_COVERED:
        raise ValueError(
            f"{share}, but at least {LEAST_COVERED:.0%} are needed, since the result is 0 elsewhere: crop the guides "
            "to the field of view of the maps, or give a mask of this part."
        )
    if shares[axis] < WHOLE:
        yield f"{share[0].upper()}{share[1:]}; the result is 0 elsewhere."


def _places(tissue: BoolArray, grid: VoxelGrid) -> FloatArray:
    """World positions ``(sample, 3)`` evenly spread in the voxels of tissue."""
    voxels = np.argwhere(tissue)
    voxels = voxels[:: max(1, len(voxels) // SAMPLES)]
    offsets = np.stack(np.meshgrid(*[INSIDE] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    return grid.world((voxels + offsets).reshape(-1, 3))


def _in_field_of_view(places: FloatArray, grid: VoxelGrid) -> BoolArray:
    """Whether world positions ``(sample, 3)`` lie in the field of view of a grid, ``(sample,)``."""
    voxels = apply_affine(np.linalg.inv(grid.affine), places)
    return np.asarray(((voxels >= -0.5) & (voxels <= np.array(grid.shape) - 0.5)).all(axis=-1))


def _reach(areas: FloatArray) -> tuple[float, float]:
    """Ends in voxels of an object with cross-sections `areas` ``(plane,)``; infinite where it is not cut off."""
    planes = np.flatnonzero(areas)
    start, end = planes[[0, -1]]
    is_cut = areas[[start, end]] > TAPERED * areas.max()
    return (start - 0.5 if is_cut[0] else -np.inf), (end + 0.5 if is_cut[1] else np.inf)


def _covering(guides: Sequence[WeightedImage]) -> str:
    return f"{joined([guide.name for guide in guides])} cover{'s' if len(guides) == 1 else ''} only"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < LEAST_COVERED else f"{share:.0%}"
