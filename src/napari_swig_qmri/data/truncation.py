"""The linear map from high-resolution to low-resolution maps: truncation of k-space."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid

MAX_ANGLE = 0.5  # degrees between the axes of two grids that still count as parallel


Slices = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class SeparableOperator:
    """One real matrix ``(m, n)`` along each of the last three axes, ``(..., X, Y, Z)`` to ``(..., x, y, z)``."""

    matrices: tuple[Tensor, Tensor, Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the operator."""
        return contract(x, self.matrices)

    def adjoint(self, y: Tensor) -> Tensor:
        """Adjoint, ``(..., x, y, z)`` to ``(..., X, Y, Z)``."""
        a, b, c = self.matrices
        return contract(y, (a.T, b.T, c.T))

    def squared(self) -> SeparableOperator:
        """The operator of squared entries: it maps the diagonal of a covariance to the diagonal of its image."""
        a, b, c = self.matrices
        return SeparableOperator((a.square(), b.square(), c.square()))

    def restricted(self, columns: Slices, rows: Slices, device: torch.device | str = "cpu") -> SeparableOperator:
        """The part that maps the input voxels `columns` to the output voxels `rows`."""
        a, b, c = (
            matrix[row, column].to(device) for matrix, column, row in zip(self.matrices, columns, rows, strict=True)
        )
        return SeparableOperator((a, b, c))


def truncation_matrix(n_hr: int, n_lr: int, spacing: float | None = None, first: float | None = None) -> FloatArray:
    """Real matrix ``(n_lr, n_hr)`` that keeps the low spatial frequencies of `n_hr` samples along one axis.

    Parameters
    ----------
    n_hr, n_lr
        Number of HR and LR voxels along the axis.
    spacing
        LR voxel edge in HR voxels; `n_hr` / `n_lr` (equal fields of view) if None.
    first
        Position of the first LR voxel centre in HR voxel indices; the one that aligns both
        fields of view if None.

    Notes
    -----
    Row j is the periodic low-pass kernel centred on LR voxel j, so that a constant stays itself and
    content stays where it is in the world. With equal fields of view this is the centred crop of
    k-space (DC at ``n // 2``) with the sub-voxel phase that aligns the outer voxel edges, real part taken.
    """
    spacing = n_hr / n_lr if spacing is None else spacing
    first = (spacing - 1) / 2 if first is None else first
    n_kept = round(n_hr / spacing, 3)  # as many frequencies as LR voxels fit into the HR field of view
    frequencies = np.arange(-(n_hr // 2), n_hr - n_hr // 2)
    kept = frequencies[(frequencies >= -n_kept / 2) & (frequencies < n_kept / 2)]
    distance = (first + spacing * np.arange(n_lr))[:, None] - np.arange(n_hr)
    # e^{ikx} summed over the kept k, real part: frequencies come in pairs but for a lone Nyquist term
    matrix: FloatArray = np.cos(2 * np.pi / n_hr * distance[..., None] * kept).sum(-1) / n_hr
    return matrix


def relative_axes(hr_grid: VoxelGrid, lr_grid: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """LR voxel edges and first LR voxel centre, both ``(3,)`` in HR voxels.

    Raises
    ------
    ValueError
        If the axes of the grids are not parallel and of the same order and direction.
    """
    between = np.linalg.inv(hr_grid.affine) @ lr_grid.affine
    spacing = np.diag(between[:3, :3])
    cosine = spacing * hr_grid.voxel_size / np.asarray(lr_grid.voxel_size)
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())
    if angle > MAX_ANGLE:
        raise ValueError(
            f"k-space truncation needs grids with parallel axes of the same order, but those of the low-resolution "
            f"maps are turned by {angle:.1f} degrees: resample the maps to the axes of the guide first."
        )
    return spacing, apply_affine(between, np.zeros(3))


class KSpaceTruncation(SeparableOperator):
    """Truncation of HR maps to the k-space extent and the voxels of an LR grid.

    ``KSpaceTruncation(hr_grid, lr_grid)(x)`` maps ``(..., X, Y, Z)`` on `hr_grid` to ``(..., x, y, z)`` on
    `lr_grid`; constants stay constant and content keeps its world position for every parity, non-integer
    ratios, thick slices and fields of view that are shifted or of another size. HR content is taken as
    periodic in its field of view. Raises ValueError if the axes of the grids are not parallel.
    """

    def __init__(
        self,
        hr_grid: VoxelGrid,
        lr_grid: VoxelGrid,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        spacing, first = relative_axes(hr_grid, lr_grid)
        a, b, c = (
            torch.as_tensor(truncation_matrix(*axis), device=device, dtype=dtype)
            for axis in zip(hr_grid.shape, lr_grid.shape, spacing, first, strict=True)
        )
        super().__init__((a, b, c))
        object.__setattr__(self, "n_hr_per_lr", float(np.prod(spacing)))

    n_hr_per_lr: float  # volume of an LR voxel in HR voxels

    def restricted(self, columns: Slices, rows: Slices, device: torch.device | str = "cpu") -> KSpaceTruncation:
        """The part that maps the HR voxels `columns` to the LR voxels `rows`."""
        part = copy(self)
        object.__setattr__(part, "matrices", super().restricted(columns, rows, device).matrices)
        return part

    def zero_filled(self, y: Tensor) -> Tensor:
        """Band-limited interpolation of LR maps onto the HR grid: the adjoint, scaled to keep constants."""
        return self.adjoint(y) * self.n_hr_per_lr


def linear_interpolation(
    hr_grid: VoxelGrid, lr_grid: VoxelGrid, dtype: torch.dtype = torch.float32
) -> SeparableOperator:
    """Trilinear interpolation from the voxels of `lr_grid` to those of `hr_grid`, constant beyond the edges."""
    spacing, first = relative_axes(hr_grid, lr_grid)
    a, b, c = (
        torch.as_tensor(_interpolation_matrix(*axis), dtype=dtype)
        for axis in zip(hr_grid.shape, lr_grid.shape, spacing, first, strict=True)
    )
    return SeparableOperator((a, b, c))


def _interpolation_matrix(n_hr: int, n_lr: int, spacing: float, first: float) -> FloatArray:
    position = np.clip((np.arange(n_hr) - first) / spacing, 0, n_lr - 1)
    matrix: FloatArray = np.maximum(1 - np.abs(position[:, None] - np.arange(n_lr)), 0)
    return matrix


def contract(x: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Apply one matrix ``(m, n)`` along each of the last three axes, the most reducing first."""
    for axis in sorted(range(3), key=lambda i: matrices[i].shape[0] / max(1, matrices[i].shape[1])):
        x = contract_axis(x, matrices[axis], axis)
    return x


def contract_axis(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Apply `matrix` ``(m, n)`` along spatial axis 0, 1 or 2 of ``(..., X, Y, Z)`` without moving axes in memory."""
    matrix = matrix.to(x.dtype)
    if axis == 2:
        return x @ matrix.T
    if axis == 1:
        return matrix @ x
    *batch, n, y, z = x.shape
    return (matrix @ x.reshape(*batch, n, y * z)).reshape(*batch, matrix.shape[0], y, z)
