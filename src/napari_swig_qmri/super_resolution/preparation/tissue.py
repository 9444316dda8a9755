"""Brain tissue on the LR grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

TISSUE_T1 = (0.2, 2.5)  # s, brain tissue without CSF
TISSUE_T2 = (0.02, 0.15)  # s
TISSUE_PD = 0.35  # of the 99th percentile
MIN_TISSUE = 100  # LR voxels
AIR = 0.15  # of the 99th percentile of the guides, below which a voxel is no part of the head


class NoTissueError(ValueError):
    """Maps without a voxel that may be tissue."""


def head_brightness(pd: Tensor | None, lr_guides: Tensor) -> Tensor:
    """Image ``(x, y, z)`` that is bright in the head: the PD map, else the mean of the guides, else 1 everywhere."""
    if pd is not None:
        return pd
    if not len(lr_guides):
        return torch.ones(lr_guides.shape[1:])
    sizes = lr_guides.abs()
    return torch.stack([size / _brightest(size.flatten()).clamp(min=1e-12) for size in sizes]).mean(0)


def is_bright(brightness: Tensor, valid: Tensor, share: float = TISSUE_PD) -> Tensor:
    """Voxels above a `share` of the 99th percentile over `valid`; boolean ``(x, y, z)``, like both images."""
    return brightness > share * _brightest(brightness[valid])


def _brightest(values: Tensor) -> Tensor:
    """99th percentile of about 100 000 of the values."""
    return values[:: max(1, len(values) // 100_000)].quantile(0.99)


def find_tissue(lr_maps: Tensor, brightness: Tensor, valid: Tensor) -> Tensor:
    """Voxels of brain tissue without CSF, boolean ``(x, y, z)``.

    Falls back to all bright voxels where T1 and T2 leave fewer than 100, and to all valid ones where none is bright.
    NoTissueError if no voxel is valid.

    Parameters
    ----------
    lr_maps
        ``(3, x, y, z)``.
    brightness, valid
        ``(x, y, z)``, see `head_brightness`, and boolean, voxels that may be tissue.
    """
    if not valid.any():
        raise NoTissueError("the mask covers no voxel of the low-resolution maps that has a value: choose another one.")
    bright = valid & is_bright(brightness, valid)
    tissue = bright
    for volume, (low, high) in ((lr_maps[1], TISSUE_T1), (lr_maps[2], TISSUE_T2)):
        tissue = tissue & (volume > low) & (volume < high)
    if int(tissue.sum()) >= MIN_TISSUE:
        return tissue
    return bright if bright.any() else valid
