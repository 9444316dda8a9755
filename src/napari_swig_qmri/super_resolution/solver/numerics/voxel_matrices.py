"""Linear algebra of small matrices, one per voxel: tensors ``(n, n, ...)``, matrix axes first.

Written out entry by entry, which is many times faster on whole volumes than batched LAPACK calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # entries of a symmetric 3 x 3 matrix, in stored order


def symmetric_rows(entries: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    """Rows of symmetric 3 x 3 matrices from their entries at `PAIRS`, ``(6, ...)``, without a copy."""
    a, b, c, d, e, f = entries
    return (a, b, c), (b, d, e), (c, e, f)


def multiply_voxelwise(matrix: Tensor | Sequence[Sequence[Tensor]], vector: Tensor) -> Tensor:
    """Matrix times vector, ``(m, n, ...)`` and ``(n, ...)`` to ``(m, ...)``."""
    return torch.stack([inner_product(row, vector) for row in matrix])


def inner_product(a: Tensor | Sequence[Tensor], b: Tensor) -> Tensor:
    """Sum of products over the first axis."""
    total = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        total = torch.addcmul(total, x, y)
    return total


def solve_voxelwise(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Solve positive definite systems: ``(n, n, ...)`` and ``(n, ...)`` or ``(n, k, ...)`` to the latter shape."""
    factor = _cholesky(matrix)
    n = len(factor)
    solution: list[Tensor] = []
    for i in range(n):
        entry = vectors[i]
        for k in range(i):
            entry = entry - factor[i][k] * solution[k]
        solution.append(entry * factor[i][i])
    for i in reversed(range(n)):
        entry = solution[i]
        for k in range(i + 1, n):
            entry = entry - factor[k][i] * solution[k]
        solution[i] = entry * factor[i][i]
    return torch.stack(solution)


def _cholesky(matrix: Tensor) -> list[list[Tensor]]:
    """Lower triangular factor of positive definite matrices, as rows of entries, with a reciprocal diagonal."""
    factor: list[list[Tensor]] = []
    for i in range(len(matrix)):
        row: list[Tensor] = []
        for j in range(i + 1):
            entry = matrix[i, j]
            for k in range(j):
                entry = entry - row[k] * (factor[j][k] if j < i else row[k])
            row.append(entry * factor[j][j] if j < i else entry.rsqrt())
        factor.append(row)
    return factor


def invert_voxelwise(matrix: Tensor) -> Tensor:
    """Inverse of positive definite matrices, ``(n, n, ...)``."""
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return solve_voxelwise(matrix, identity.view(*identity.shape, *[1] * (matrix.ndim - 2)))
