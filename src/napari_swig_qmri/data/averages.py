"""Averages of high-resolution (HR) voxels over larger voxels, as images of thick slices are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import SeparableOperator, relative_axes, truncation_matrix

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid

THICK = 1.25  # HR voxels: a larger edge is averaged over, a smaller one is sampled by band-limited interpolation
LEAST_SEEN = 0.99  # share of a voxel that lies in the HR field of view


def voxel_averages(
    hr_grid: VoxelGrid, grid: VoxelGrid, dtype: torch.dtype = torch.float32, truncated_axes: Collection[int] = ()
) -> tuple[SeparableOperator, torch.Tensor]:
    """Operator from images on an HR grid to their averages over the voxels of a coarser grid with parallel axes.

    Along `truncated_axes` the voxels are those of a truncated k-space instead. Constants stay constant and content
    keeps its world position.

    Returns
    -------
    operator
        From ``(..., X, Y, Z)`` to ``(..., x, y, z)``.
    seen
        ``(x, y, z)``, boolean: voxels that lie in the field of view of the HR grid.

    Raises
    ------
    ValueError
        If the axes of the grids are not parallel.
    """
    axes = list(zip(hr_grid.shape, grid.shape, *relative_axes(hr_grid, grid), strict=True))
    of_axes = [truncation_matrix if axis in truncated_axes else averaging_matrix for axis in range(3)]
    matrices = [matrix_of(*axis) for matrix_of, axis in zip(of_axes, axes, strict=True)]
    x, y, z = (torch.as_tensor(matrix, dtype=dtype) for matrix in matrices)
    along_x, along_y, along_z = (torch.as_tensor(_seen(*axis)) for axis in axes)
    return SeparableOperator((x, y, z)), along_x[:, None, None] & along_y[:, None] & along_z


def averaging_matrix(n_hr: int, n: int, spacing: float, first: float) -> FloatArray:
    """Matrix ``(n, n_hr)`` of averages over `spacing` HR voxels, the first of them centred on position `first`.

    Up to 1.25 HR voxels nothing is averaged.
    """
    if spacing < THICK:
        return truncation_matrix(n_hr, n, spacing, first)
    overlap = _overlap(n_hr, n, spacing, first)
    matrix: FloatArray = overlap / np.maximum(overlap.sum(axis=1, keepdims=True), 1e-6)
    return matrix


def _overlap(n_hr: int, n: int, spacing: float, first: float) -> FloatArray:
    """Lengths ``(n, n_hr)`` in HR voxels of what voxels have in common with HR voxels."""
    centres, hr_centres = (first + spacing * np.arange(n))[:, None], np.arange(n_hr)
    low = np.maximum(centres - spacing / 2, hr_centres - 0.5)
    overlap: FloatArray = np.maximum(np.minimum(centres + spacing / 2, hr_centres + 0.5) - low, 0)
    return overlap


def _seen(n_hr: int, n: int, spacing: float, first: float) -> FloatArray:
    """Voxels ``(n,)`` of which nearly all lies in the HR field of view."""
    seen: FloatArray = _overlap(n_hr, n, spacing, first).sum(axis=1) >= LEAST_SEEN * spacing
    return seen
