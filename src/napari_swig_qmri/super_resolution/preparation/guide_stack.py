"""Guides on the HR grid: their gaps filled, moved and warped to it where they must be."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.gaps import filled, gaps_of, has_value
from napari_swig_qmri.data.interpretation import uniform_image
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.physics.signal_models import Mp2rageUni

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid, WeightedImage
    from napari_swig_qmri.data.warping import Warp


def stack_guides(
    guides: Sequence[WeightedImage],
    warps: Sequence[Warp | None],
    grid: VoxelGrid,
    dtype: torch.dtype,
    notices: list[str],
) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """Guides on the HR grid ``(guide, X, Y, Z)``, and which of their voxels were measured; yields between them.

    Sentences on what was done to them are added to `notices`.
    """
    images = torch.zeros((len(guides), *grid.shape), dtype=dtype)
    valid = torch.zeros(images.shape, dtype=torch.bool)
    for index, (guide, warp) in enumerate(zip(guides, warps, strict=True)):
        yield
        data, seen = yield from _on_grid(guide, warp, grid, notices)
        images[index], valid[index] = torch.as_tensor(data), torch.as_tensor(seen)
    return images, valid


def _on_grid(
    guide: WeightedImage, warp: Warp | None, grid: VoxelGrid, notices: list[str]
) -> Generator[None, None, tuple[FloatArray, BoolArray]]:
    """A guide on the HR grid with its gaps filled where it can be, else 0, and which voxels were measured."""
    data = np.asarray(guide.data, np.float32)
    seen = has_value(data)
    gaps = gaps_of(data, seen)
    n_bad = int((gaps | ~np.isfinite(data)).sum())
    if n_bad:
        notices.append(f"{n_bad} voxels of {guide.name} have no value and are not used.")
    data = np.where(seen, data, 0)
    if isinstance(guide.sequence, Mp2rageUni):
        data = uniform_image(data, seen, guide.name, notices)
    data = filled(data, gaps, seen, guide.grid.voxel_size)
    if warp is None and guide.grid.is_aligned_with(grid):
        return data, seen
    if warp is None:
        if guide.grid.has_voxels_of(grid):
            how = "was put into the order and field of view of the high-resolution grid; its values are unchanged."
        else:
            how = "lies on another grid and was resampled to the high-resolution grid."
        notices.append(f"{guide.name} {how}")
    return (yield from resampled(data, seen, guide.grid, grid, with_ends=True, warp=warp))
