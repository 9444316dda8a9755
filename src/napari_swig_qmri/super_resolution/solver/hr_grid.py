"""The HR grid of a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage


def choose_hr_grid(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    voxel_size: float | Sequence[float] | None,
    reference: int | None,
) -> VoxelGrid:
    """Grid of the reference guide, or of the LR maps without a guide.

    With a `voxel_size` in mm, one number or three, it keeps its field of view and gets these voxels. ValueError if
    that is not positive, or if there is no such guide.
    """
    grid = guides[reference_index(guides, reference)].grid if guides else maps.grid
    if voxel_size is None:
        return grid
    sizes = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(grid.field_of_view, sizes, strict=True))
    return grid.with_shape((x, y, z))


def reference_index(guides: Sequence[WeightedImage], reference: int | None) -> int:
    """Index of the reference guide: `reference`, or that of the guide with the smallest voxels if it is None."""
    if reference is None:
        return int(np.argmin([np.prod(guide.grid.voxel_size) for guide in guides]))
    if reference not in range(len(guides)):
        raise ValueError(f"the reference must be a guide from 0 to {len(guides) - 1}, but it is {reference}.")
    return int(reference)
