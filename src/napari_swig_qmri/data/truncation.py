"""Linear map from high-resolution (HR) to low-resolution (LR) images: truncation of k-space.

Operators are separable: one real matrix per axis, so that an image of n^3 voxels costs 3 n^4 operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid

if TYPE_CHECKING:
    from torch import Tensor

REACH = 20  # LR voxels beyond an open end from which the kernel spreads something
MAX_ANGLE = 0.5  # degrees between the axes of two grids that still count as parallel

Slices = tuple[slice, slice, slice]
EVERYWHERE: Slices = (slice(None), slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class SeparableOperator:
    """Linear operator on the last three axes, ``(..., X, Y, Z)`` to ``(..., x, y, z)``, one matrix per axis."""

    matrices: tuple[Tensor, Tensor, Tensor]  # (x, X), (y, Y) and (z, Z)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the operator to ``(..., X, Y, Z)``."""
        return contract(x, self.matrices)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint, ``(..., x, y, z)`` to ``(..., X, Y, Z)``."""
        a, b, c = self.matrices
        return contract(y, (a.T, b.T, c.T))

    def squared(self) -> SeparableOperator:
        """Operator with squared entries; it maps variances of independent voxels to variances of the result."""
        a, b, c = self.matrices
        return SeparableOperator((a.square(), b.square(), c.square()))

    def restricted(self, columns: Slices, rows: Slices, device: torch.device | str = "cpu") -> SeparableOperator:
        """Part of the operator from the input voxels `columns` to the output voxels `rows`."""
        a, b, c = (
            matrix[row, column].to(device) for matrix, column, row in zip(self.matrices, columns, rows, strict=True)
        )
        return SeparableOperator((a, b, c))


@dataclass(frozen=True, eq=False)
class TruncationOperator(SeparableOperator):
    """Truncation of k-space given by its matrices."""

    n_hr_per_lr: float  # volume of an LR voxel in HR voxels

    def restricted(self, columns: Slices, rows: Slices, device: torch.device | str = "cpu") -> TruncationOperator:
        """Part of the operator from the HR voxels `columns` to the LR voxels `rows`."""
        return TruncationOperator(super().restricted(columns, rows, device).matrices, self.n_hr_per_lr)

    def zero_filled(self, y: Tensor) -> Tensor:
        """Zero-filled LR images ``(..., x, y, z)`` on the HR grid: the adjoint, scaled to keep constants."""
        return self.adjoint(y) * self.n_hr_per_lr


class KSpaceTruncation(TruncationOperator):
    """Truncation of HR images to the k-space extent and the voxels of an LR grid.

    Constants stay constant and content keeps its world position, for even and odd sizes, ratios of voxel sizes that are
    not whole numbers, thick slices, and fields of view that are shifted or of different size. HR images are taken as
    periodic in their field of view, unless their ends along some axes are open.

    Parameters
    ----------
    hr_grid, lr_grid
        Grids of the images ``(..., X, Y, Z)`` before and ``(..., x, y, z)`` after truncation.
    device, dtype
        Device and dtype of the matrices.
    open_axes
        Axes along which the field of view ends in tissue: there HR images continue with their end values.

    Raises
    ------
    ValueError
        If the axes of the grids are not parallel, or differ in order or direction.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from napari_swig_qmri import KSpaceTruncation, VoxelGrid
    >>> hr_grid = VoxelGrid((8, 8, 4), np.eye(4))
    >>> truncate = KSpaceTruncation(hr_grid, hr_grid.with_shape((4, 4, 4)))
    >>> truncate(torch.ones(3, 8, 8, 4)).shape
    torch.Size([3, 4, 4, 4])
    """

    def __init__(
        self,
        hr_grid: VoxelGrid,
        lr_grid: VoxelGrid,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        open_axes: Collection[int] = (),
    ) -> None:
        spacing, _ = relative_axes(hr_grid, lr_grid)
        of_axes = [open_matrix if axis in open_axes else truncation_matrix for axis in range(3)]
        super().__init__(_matrices(of_axes, hr_grid, lr_grid, dtype, device), float(np.prod(spacing)))


def linear_interpolation(
    hr_grid: VoxelGrid, lr_grid: VoxelGrid, dtype: torch.dtype = torch.float32
) -> SeparableOperator:
    """Trilinear interpolation from the voxels of `lr_grid` to those of `hr_grid`, constant beyond the edges.

    Raises ValueError if the axes of the grids are not parallel.
    """
    return SeparableOperator(_matrices([_interpolation_matrix] * 3, hr_grid, lr_grid, dtype))


def truncation_matrix(n_hr: int, n_lr: int, spacing: float | None = None, first: float | None = None) -> FloatArray:
    """Real matrix ``(n_lr, n_hr)`` that keeps the low spatial frequencies of `n_hr` samples along one axis.

    Parameters
    ----------
    n_hr, n_lr
        Number of HR and LR voxels along the axis.
    spacing
        LR voxel edge in HR voxels; `n_hr` / `n_lr` (equal fields of view) if None.
    first
        Position of the first LR voxel centre in HR voxel indices; if None, that of equal fields of view with
        common centre.

    Notes
    -----
    Row j is the periodic low-pass kernel centred on LR voxel j, so that constants stay constant and content keeps its
    world position. With equal fields of view this is the centred crop of k-space (DC at ``n // 2``) with the sub-voxel
    phase that aligns the outer voxel edges, real part taken.
    """
    spacing = n_hr / n_lr if spacing is None else spacing
    first = (spacing - 1) / 2 if first is None else first
    return _truncation_matrix(n_hr, n_lr, float(spacing), float(first)).copy()


@lru_cache(maxsize=32)
def _truncation_matrix(n_hr: int, n_lr: int, spacing: float, first: float) -> FloatArray:
    waves, _ = truncation_waves(n_hr, n_lr, spacing, first)
    matrix: FloatArray = waves.sum(-1) / n_hr
    return matrix


def open_matrix(n_hr: int, n_lr: int, spacing: float, first: float) -> FloatArray:
    """Matrix ``(n_lr, n_hr)`` like `truncation_matrix` for HR images that continue with their end values.

    Constants stay constant.
    """
    before, inside, beyond = open_kernel(n_hr, n_lr, spacing, first)
    inside[:, 0] += before.sum(axis=1)
    inside[:, -1] += beyond.sum(axis=1)
    matrix: FloatArray = inside / inside.sum(axis=1, keepdims=True)
    return matrix


def open_kernel(n_hr: int, n_lr: int, spacing: float, first: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sinc kernel of each LR voxel along an axis at the HR voxels before the field of view, inside and beyond it."""
    n_beyond = math.ceil(REACH * spacing)
    distance = (first + spacing * np.arange(n_lr))[:, None] - np.arange(-n_beyond, n_hr + n_beyond)
    before, inside, beyond = np.split(np.sinc(distance / spacing) / spacing, [n_beyond, n_beyond + n_hr], axis=1)
    return before, inside, beyond


def truncation_waves(n_hr: int, n_lr: int, spacing: float, first: float) -> tuple[FloatArray, FloatArray]:
    """Waves ``(n_lr, n_hr, kept)`` whose sum over `n_hr` is the truncation matrix, and their frequencies ``(kept,)``.

    Frequencies are relative to the highest one. Weighted sums are truncation with a window of k-space.
    """
    n_kept = round(n_hr / spacing, 3)  # number of LR voxels in the HR field of view
    frequencies = np.arange(-(n_hr // 2), n_hr - n_hr // 2)
    kept = frequencies[(frequencies >= -n_kept / 2) & (frequencies < n_kept / 2)]
    distance = (first + spacing * np.arange(n_lr))[:, None] - np.arange(n_hr)
    # real part of e^{ikx} of the kept k: all frequencies come in pairs, except a single Nyquist term
    return np.cos(2 * np.pi / n_hr * distance[..., None] * kept), np.abs(kept) / (n_kept / 2)


def relative_axes(hr_grid: VoxelGrid, lr_grid: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """LR voxel edges and position of the first LR voxel centre, both ``(3,)`` in HR voxels.

    Raises ValueError if the axes of the grids are not parallel, or differ in order or direction.
    """
    between = np.linalg.inv(hr_grid.affine) @ lr_grid.affine
    spacing = np.diag(between[:3, :3])
    cosine = spacing * hr_grid.voxel_size / np.asarray(lr_grid.voxel_size)
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).max())
    if angle > MAX_ANGLE:
        raise ValueError(
            f"k-space truncation needs grids with parallel axes of the same order, but those of the low-resolution "
            f"maps are rotated by {angle:.1f} degrees: resample the maps to the axes of the guide first."
        )
    return spacing, apply_affine(between, np.zeros(3))


def _matrices(
    of_axes: Sequence[Callable[[int, int, float, float], FloatArray]],
    hr_grid: VoxelGrid,
    lr_grid: VoxelGrid,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, Tensor]:
    axes = zip(of_axes, hr_grid.shape, lr_grid.shape, *relative_axes(hr_grid, lr_grid), strict=True)
    a, b, c = (torch.as_tensor(matrix_of(*axis), device=device, dtype=dtype) for matrix_of, *axis in axes)
    return a, b, c


def _interpolation_matrix(n_hr: int, n_lr: int, spacing: float, first: float) -> FloatArray:
    position = np.clip((np.arange(n_hr) - first) / spacing, 0, n_lr - 1)
    matrix: FloatArray = np.maximum(1 - np.abs(position[:, None] - np.arange(n_lr)), 0)
    return matrix


def contract(x: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Apply one matrix ``(m, n)`` along each of the last three axes, in the order that takes fewest operations.

    Axis i, then axis j takes in proportion to m_i + m_i m_j / n_i, so that the one with the larger 1/m - 1/n comes
    first. Of equal ones it is the last axis, whose lines lie together in memory.
    """
    for axis in sorted((2, 1, 0), key=lambda i: 1 / max(1, matrices[i].shape[1]) - 1 / max(1, matrices[i].shape[0])):
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
