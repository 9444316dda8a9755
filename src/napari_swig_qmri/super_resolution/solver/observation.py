"""Images that HR maps are compared with on grids of their own: LR maps, and guides with thick slices.

    values = A s(Q) + noise

s(Q) are the volumes that a voxel of the image is an average of: the maps Q themselves, the signals that LR maps were
fitted to, or the contrast of a guide. A is a separable operator from HR voxels to those of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import inner_product

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.open_ends import UnseenCovariance
    from napari_swig_qmri.data.truncation import SeparableOperator, Slices
    from napari_swig_qmri.physics.signals import Signals


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation:
    """Measured volumes on their own grid, their noise, and what they are averages of."""

    values: Tensor  # (n, x, y, z)
    variance: Tensor  # (n, x, y, z); large without a measurement
    operator: SeparableOperator  # from HR voxels to those of the values
    signals: Signals | None = None  # None: the maps themselves
    unseen: UnseenCovariance | None = None  # of what the values hold from beyond the HR voxels

    def expected(self, maps: Tensor) -> Tensor:
        """Values ``(n, x, y, z)`` of HR maps ``(3, X, Y, Z)``."""
        return self.operator(maps if self.signals is None else self.signals(maps))

    def residual(self, maps: Tensor) -> Tensor:
        """Measured minus expected values, ``(n, x, y, z)``."""
        return self.values - self.expected(maps)

    def misfit(self, maps: Tensor) -> Tensor:
        """Sum of squared residuals in units of their noise, a scalar."""
        residual = self.residual(maps)
        if self.unseen is None:
            return (residual.square() / self.variance).sum()
        return (residual * self.unseen.weighted(residual, self.variance)).sum()

    def covariance_times(self, multipliers: Tensor) -> Tensor:
        """Covariance of the values times multipliers ``(n, x, y, z)``."""
        image = self.variance * multipliers
        return image if self.unseen is None else image + self.unseen(multipliers)

    def whole_variance(self) -> Tensor:
        """Variance of each value with what it holds from beyond the HR voxels, ``(n, x, y, z)``."""
        return self.variance if self.unseen is None else self.variance + self.unseen.diagonal()

    def linearised(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Volumes ``(n, X, Y, Z)`` of HR maps, and their slope: derivatives by the log maps.

        The slope is ``(n, 3, X, Y, Z)``, or its diagonal ``(3, X, Y, Z)`` if the volumes are the maps themselves.
        """
        return (maps, maps) if self.signals is None else self.signals.linearised(maps)

    def part(self, hr: Slices, rows: Slices, device: torch.device | str = "cpu") -> Observation:
        """Observation of a block of HR voxels by the voxels `rows`."""
        block = (slice(None), *rows)
        return replace(
            self,
            values=self.values[block].to(device),
            variance=self.variance[block].to(device),
            operator=self.operator.restricted(hr, rows, device),
            unseen=None if self.unseen is None else self.unseen.restricted(rows, device),
        )


def rows_in(operator: SeparableOperator, hr: Slices) -> Slices:
    """Rows of an operator, per axis, whose largest weight lies in a block of HR voxels."""
    x, y, z = (_range_in(matrix.abs().argmax(1), within) for matrix, within in zip(operator.matrices, hr, strict=True))
    return x, y, z


def _range_in(positions: Tensor, within: slice) -> slice:
    """Range of the rows whose positions, in rising order, lie in a slice."""
    rows = ((positions >= within.start) & (positions < within.stop)).nonzero().flatten().tolist()
    return slice(rows[0], rows[-1] + 1) if rows else slice(0, 0)


def change_of_volumes(slope: Tensor, change: Tensor) -> Tensor:
    """Change of volumes ``(n, ...)`` with a slope, as `Observation.linearised` returns it, for one of log maps."""
    if slope.ndim == change.ndim:
        return slope * change
    return torch.stack([inner_product(row, change) for row in slope])


def change_of_volumes_adjoint(slope: Tensor, volumes: Tensor) -> Tensor:
    """Adjoint of `change_of_volumes`, ``(n, ...)`` to ``(3, ...)``."""
    if slope.ndim == volumes.ndim:
        return slope * volumes
    return torch.stack([inner_product(column, volumes) for column in slope.movedim(1, 0)])
