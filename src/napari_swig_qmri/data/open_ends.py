"""Fields of view that end in tissue, along one axis or several: truncation there, and what lies beyond unseen.

A scanner truncates the k-space of the whole head. Where images of a part of it end in tissue, the truncated ones also
hold what its kernel spreads from beyond the ends. Its sign changes from voxel to voxel, and it reaches far, since the
kernel falls only with the distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import contract_axis, open_kernel

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.data.volumes import FloatArray

N_ITERATIONS = 40  # of conjugate gradients


@dataclass(frozen=True, eq=False)
class UnseenCovariance:
    """Covariance of what images on an LR grid hold from beyond the ends of the HR field of view.

    It is a sum over axes, and lines along an axis are independent of each other.
    """

    along: tuple[Tensor, Tensor, Tensor]  # (x, x), (y, y) and (z, z), of a variance of 1
    variances: Tensor  # (3, n), for each axis and volume

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes with an open end."""
        return tuple(axis for axis, matrix in enumerate(self.along) if matrix.any())

    def __call__(self, volumes: Tensor) -> Tensor:
        """Covariance times volumes ``(n, x, y, z)``."""
        total = torch.zeros_like(volumes)
        for axis in self.axes:
            total += self.variances[axis].view(-1, 1, 1, 1) * contract_axis(volumes, self.along[axis], axis)
        return total

    def diagonal(self) -> Tensor:
        """Variance of each voxel, ``(n, x, y, z)``."""
        x, y, z = (scale[:, None] * matrix.diagonal() for matrix, scale in zip(self.along, self.variances, strict=True))
        total: Tensor = x[:, :, None, None] + y[:, None, :, None] + z[:, None, None]
        return total

    def estimate(self, residual: Tensor, variance: Tensor) -> Tensor:
        """Most probable share ``(n, x, y, z)`` of a residual; the rest has the given variance, voxel by voxel."""
        return self(self.weighted(residual, variance))

    def weighted(self, residual: Tensor, variance: Tensor) -> Tensor:
        """Residual over this covariance plus a variance of each voxel, all ``(n, x, y, z)``."""
        total = variance + self.diagonal()
        tiny = torch.finfo(residual.dtype).tiny
        solution, left = torch.zeros_like(residual), residual
        direction = scaled = left / total
        size = _products(left, scaled)
        for _ in range(N_ITERATIONS):
            image = variance * direction + self(direction)
            length = size / _products(direction, image).clamp(min=tiny)
            solution, left = solution + length * direction, left - length * image
            scaled = left / total
            previous, size = size, _products(left, scaled)
            direction = scaled + size / previous.clamp(min=tiny) * direction
        return solution

    def scaled(self, factor: float) -> UnseenCovariance:
        """Covariance times a factor."""
        return replace(self, variances=factor * self.variances)

    def restricted(self, rows: Slices, device: torch.device | str = "cpu") -> UnseenCovariance:
        """Covariance of the voxels `rows`."""
        x, y, z = (matrix[each, each].to(device) for matrix, each in zip(self.along, rows, strict=True))
        return replace(self, along=(x, y, z), variances=self.variances.to(device))


def _products(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def unseen_covariance(n_hr: int, n_lr: int, spacing: float, first: float, ends: Sequence[bool]) -> FloatArray:
    """Covariance ``(n_lr, n_lr)`` of what truncation brings in from beyond the `ends`, first and last, that are open.

    HR images are taken to depart from their end values like a random walk with a variance of 1 per HR voxel. Other
    arguments are those of `truncation_matrix`.
    """
    before, _, beyond = open_kernel(n_hr, n_lr, spacing, first)
    steps = [np.cumsum(before, axis=1), np.cumsum(beyond[:, ::-1], axis=1)]  # voxels of a step and all beyond it
    covariance: FloatArray = sum(
        (step @ step.T for step, is_open in zip(steps, ends, strict=True) if is_open), np.zeros((n_lr, n_lr))
    )
    return covariance
