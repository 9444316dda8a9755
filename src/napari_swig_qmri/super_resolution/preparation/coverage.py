"""How much of the head maps and guides share; too little is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.super_resolution.preparation.tissue import AIR, MIN_TISSUE, is_bright

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid, WeightedImage

LEAST_OF_A_GUIDE = 0.1  # of the tissue, and by all guides together
WHOLE = 0.9  # shares above this are not told
SAMPLES = 5_000  # voxels of tissue that are looked up in the fields of view
LINE = 64  # voxels of a guide along an axis that are looked at to find the head
INSIDE = (-0.375, -0.125, 0.125, 0.375)  # places in a voxel that are looked up, in voxels from its centre
TAPERED = 0.25  # of the largest cross-section, below which an object ends by itself rather than being cut off
DIRECTIONS = ("left to right", "back to front", "foot to head")


def tissue_notices(
    tissue: Tensor, lr_grid: VoxelGrid, hr_grid: VoxelGrid, guides: Sequence[WeightedImage]
) -> Iterator[str]:
    """Sentences on the share of the tissue ``(x, y, z)`` of the LR maps that lies in the fields of view of the guides.

    ValueError if all guides together cover less than 10 % of it in the HR grid, or one guide does.
    """
    if not guides:
        return
    places = _places(tissue.numpy(), lr_grid)
    inside = [_in_field_of_view(places, guide.grid) for guide in guides]
    together = float((_in_field_of_view(places, hr_grid) & np.any(inside, axis=0)).mean())
    if together < LEAST_OF_A_GUIDE:
        apart = [guide for guide, where in zip(guides, inside, strict=True) if where.mean() < LEAST_OF_A_GUIDE]
        raise ValueError(
            f"{_covering(apart or guides)} {_percent(together)} of the tissue of the low-resolution maps, but at least "
            f"{LEAST_OF_A_GUIDE:.0%} are needed: choose images of the same head in the same place, crop the maps to "
            "their field of view, or give a mask of this part."
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


@dataclass(frozen=True)
class HeadShare:
    """Share of the head in a guide that LR maps reach over, along the axis where it is least."""

    share: float
    direction: str  # such as "foot to head"
    n_voxels: int  # number of LR voxels in the part of the head that is common to both

    @property
    def is_part(self) -> bool:
        """Whether the maps end inside the head."""
        return self.share < WHOLE

    @property
    def text(self) -> str:
        """The share in words, such as "40% of the head from foot to head"."""
        return f"{_percent(self.share)} of the head from {self.direction}"


def head_share(maps: QuantitativeMaps, guide: WeightedImage) -> HeadShare:
    """Share of the head in a guide that the LR maps reach over, see `reach_of`.

    ValueError if the maps end inside the head and share fewer than 100 voxels with it.
    """
    head, size = _head_of(guide)
    voxels = apply_affine(np.linalg.inv(maps.grid.affine), head)
    low, high = reach_of(maps).T
    inside = (voxels >= low) & (voxels <= high)
    shares = inside.mean(axis=0) if len(head) else np.ones(3)
    axis = int(np.argmin(shares))
    found = HeadShare(
        share=float(shares[axis]),
        direction=DIRECTIONS[int(np.abs(maps.grid.affine[:3, axis]).argmax())],
        n_voxels=round(inside.all(axis=1).sum() * size / np.prod(maps.grid.voxel_size)),
    )
    if found.is_part and 0 < found.n_voxels < MIN_TISSUE:  # images without anything in common are refused later
        raise ValueError(
            f"the low-resolution maps cover only {found.text} in {guide.name}, {found.n_voxels} voxels, but at least "
            f"{MIN_TISSUE} are needed: choose images of the same head in the same place, or larger maps."
        )
    return found


def reach_of(maps: QuantitativeMaps) -> FloatArray:
    """Ends ``(3, 2)`` in voxels of the measured part of LR maps; infinite where they are not cut off.

    Where maps become narrow towards their last planes, as a brain without skull does, they end by themselves.
    """
    seen = np.isfinite(maps.data).all(axis=0) & (maps.data != 0).any(axis=0)
    return np.array([_reach(np.moveaxis(seen, axis, 0).sum(axis=(1, 2))) for axis in range(3)])


def _head_of(guide: WeightedImage) -> tuple[FloatArray, float]:
    """World positions ``(sample, 3)`` evenly spread in the head, and the volume in mm³ of each of them."""
    step = np.array([max(1, n // LINE) for n in guide.grid.shape])
    x, y, z = step
    data = np.abs(guide.data[::x, ::y, ::z])
    valid = has_value(data)
    head = valid & is_bright(torch.as_tensor(data), torch.as_tensor(valid), AIR).numpy() if valid.any() else valid
    return guide.grid.world(np.argwhere(head) * np.array(step, float)), float(
        np.prod(step) * np.prod(guide.grid.voxel_size)
    )


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
    if not len(planes):
        return -np.inf, np.inf
    start, end = planes[[0, -1]]
    is_cut = areas[[start, end]] > TAPERED * areas.max()
    return (start - 0.5 if is_cut[0] else -np.inf), (end + 0.5 if is_cut[1] else np.inf)


def _covering(guides: Sequence[WeightedImage]) -> str:
    return f"{joined([guide.name for guide in guides])} cover{'s' if len(guides) == 1 else ''} only"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.5 else f"{share:.0%}"
