"""The objective: how improbable HR maps are, given the LR maps, the guides and the prior.

    sum_k |f_k(Q) - W_k|^2 / sigma_k^2  +  |D Q - Q_lr|^2 / sigma_lr^2  +  (log Q - mean)^T C^-1 (log Q - mean)

f_k are the signal models of the guides W_k, D the truncation of k-space. Maps are optimised as logarithms,
inside the bounds of their quantity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.solver.voxel_matrices import multiply_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator, Slices
    from napari_swig_qmri.physics.signal_models import SignalModel

ALL = (slice(None), slice(None), slice(None))
N_QUANTITIES = len(QUANTITIES)
HIGHEST = tuple(quantity.bounds[1] for quantity in QUANTITIES.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class NegativeLogPosterior:
    """Guide term, LR term and prior of log maps ``(3, X, Y, Z)``: PD relative to water, T1 and T2 in s.

    Called with log maps it returns twice the negative log posterior, up to a constant.
    """

    sequences: tuple[SignalModel, ...]
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_precision: Tensor  # (guide, 1, 1, 1) or (guide, X, Y, Z), 1 / noise variance; 0 = not used
    lr_maps: Tensor  # (3, x, y, z)
    lr_variance: Tensor  # (3, x, y, z); large where there is no measurement
    truncate: SeparableOperator
    prior_mean: Tensor  # (3, X, Y, Z), log maps
    prior_precision: Tensor  # (3, 3), inverse covariance of log maps
    upper_limits: tuple[float, ...] = HIGHEST  # that the solution may reach, per quantity

    def __call__(self, log_maps: Tensor) -> Tensor:
        """Sum of the three terms, a scalar."""
        maps = log_maps.exp()
        guides = torch.stack([sequence(*maps) for sequence in self.sequences]) if self.sequences else self.guides
        departure = log_maps - self.prior_mean
        return (
            (self.guide_precision * (guides - self.guides).square()).sum()
            + ((self.truncate(maps) - self.lr_maps).square() / self.lr_variance).sum()
            + (departure * multiply_voxelwise(self._prior_field(), departure)).sum()
        )

    def lr_residual(self, log_maps: Tensor) -> Tensor:
        """Measured minus truncated maps, ``(3, x, y, z)``."""
        return self.lr_maps - self.truncate(log_maps.exp())

    def part(self, hr: Slices, lr: Slices = ALL, device: torch.device | str = "cpu") -> NegativeLogPosterior:
        """The objective of the maps inside a block of HR voxels and what they add to a block of LR voxels."""
        block, lr_block = (slice(None), *hr), (slice(None), *lr)
        whole = self.guide_precision.shape[1:] != (1, 1, 1)
        return replace(
            self,
            guides=self.guides[block].to(device),
            guide_precision=(self.guide_precision[block] if whole else self.guide_precision).to(device),
            lr_maps=self.lr_maps[lr_block].to(device),
            lr_variance=self.lr_variance[lr_block].to(device),
            truncate=self.truncate.restricted(hr, lr, device),
            prior_mean=self.prior_mean[block].to(device),
            prior_precision=self.prior_precision.to(device),
        )

    def restricted(
        self, hr: Slices, lr: Slices, log_maps: Tensor, lr_residual: Tensor, device: torch.device | str
    ) -> NegativeLogPosterior:
        """The same objective for the maps inside a block, everything outside it held at `log_maps`."""
        part = self.part(hr, lr, device)
        inside = part.truncate(log_maps[(slice(None), *hr)].to(device).exp())
        return replace(part, lr_maps=lr_residual[(slice(None), *lr)].to(device) + inside)

    def curvature_and_descent(self, log_maps: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Newton Hessian ``(3, 3, ...)`` and descent direction ``(3, ...)`` of the guide term and the prior."""
        prior = self._prior_field()
        descent = multiply_voxelwise(prior, self.prior_mean - log_maps)
        hessian = prior.expand(N_QUANTITIES, N_QUANTITIES, *maps.shape[1:]).clone()
        for sequence, image, precision in zip(self.sequences, self.guides, self.guide_precision, strict=True):
            signal, slope = signal_and_slope(sequence, maps)
            weighted = precision * slope
            descent = descent + weighted * (image - signal)
            hessian += weighted[:, None] * slope[None]
        return hessian, descent

    def _prior_field(self) -> Tensor:
        return self.prior_precision.view(N_QUANTITIES, N_QUANTITIES, 1, 1, 1)


def signal_and_slope(sequence: SignalModel, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Signal ``(X, Y, Z)`` of maps ``(3, X, Y, Z)`` and its derivative ``(3, X, Y, Z)`` by their logarithms."""
    with torch.enable_grad():
        variables = maps.detach().requires_grad_()
        signal = sequence(*variables)
        (slope,) = torch.autograd.grad(signal.sum(), variables)
    return signal.detach(), slope * maps


def clamp_to_bounds(log_maps: Tensor, upper_limits: Sequence[float] = HIGHEST) -> Tensor:
    """Log maps ``(3, ...)`` inside the bounds of their quantities and below what is `highest`, in place."""
    for log_map, quantity, most in zip(log_maps, QUANTITIES.values(), upper_limits, strict=True):
        low, high = quantity.bounds
        log_map.clamp_(math.log(low), math.log(min(high, most)))
    return log_maps
