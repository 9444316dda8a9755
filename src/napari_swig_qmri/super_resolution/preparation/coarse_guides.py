"""Guides with thick slices as they were measured: their voxels are averages of the HR voxels inside them.

Those of guides that were zero-filled are the HR voxels with k-space truncated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.orientations import apply_orientation, io_orientation

from napari_swig_qmri.data.averages import voxel_averages
from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.super_resolution.preparation.alignment import is_parallel, reordered

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage


@dataclass(frozen=True, eq=False, kw_only=True)
class CoarseGuide:
    """A guide on its own grid, in the order of the axes of the HR grid."""

    guide: int  # its position among the guides
    image: Tensor  # (x, y, z), in scanner units
    valid: Tensor  # (x, y, z), boolean
    average: SeparableOperator  # from the HR grid
    outside: Tensor  # (x, y, z), contribution of voxels outside the HR grid, per unit of gain


def coarse_guide(number: int, guide: WeightedImage, hr_grid: VoxelGrid, dtype: torch.dtype) -> CoarseGuide | None:
    """The guide with its operator; None if its axes are not parallel to those of the HR grid."""
    if not is_parallel(guide.grid, hr_grid):
        return None
    orientation = io_orientation(np.linalg.inv(hr_grid.affine) @ guide.grid.affine)
    data = apply_orientation(guide.data, orientation)
    truncated_axes = [int(orientation[axis, 0]) for axis in guide.truncated_axes]
    average, seen = voxel_averages(hr_grid, reordered(guide.grid, hr_grid), dtype, truncated_axes)
    valid = has_value(data)
    image = torch.as_tensor(np.where(valid, data, 0), dtype=dtype)
    return CoarseGuide(
        guide=number,
        image=image,
        valid=torch.as_tensor(valid) & seen,
        average=average,
        outside=torch.zeros_like(image),
    )
