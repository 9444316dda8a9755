"""Negative log posterior of HR maps, given LR maps, guides and the prior. The solver minimises it.

    sum_k |f_k(Q) - W_k|^2 / sigma_k^2  +  |D Q - Q_lr|^2 / sigma_lr^2  +  (log Q - mean)^T C^-1 (log Q - mean)

f_k are the signal models of the guides W_k, D the truncation of k-space. The unknowns are the logarithms of the maps,
inside the bounds of their quantities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.solver.voxel_matrices import invert_voxelwise, multiply_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator, Slices
    from napari_swig_qmri.physics.signal_models import SignalModel

EVERYWHERE = (slice(None), slice(None), slice(None))
N_QUANTITIES = len(QUANTITIES)
UPPER_BOUNDS = tuple(quantity.bounds[1] for quantity in QUANTITIES.values())
LOOSENING = 9.0  # factor on the LR variance while gains and conflicts are sought in the LR residual


@dataclass(frozen=True, eq=False, kw_only=True)
class NegativeLogPosterior:
    """Guide term, LR term and prior of log maps ``(3, X, Y, Z)``: PD relative to water, T1 and T2 in s.

    Calling it with log maps returns twice the negative log posterior, up to a constant.
    """

    sequences: tuple[SignalModel, ...]
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_precision: Tensor  # (guide, 1, 1, 1) or (guide, X, Y, Z), 1 / noise variance; 0 = not used
    lr_maps: Tensor  # (3, x, y, z)
    lr_variance: Tensor  # (3, x, y, z); large without a measurement
    truncate: SeparableOperator
    prior_mean: Tensor  # (3, X, Y, Z), log maps
    prior_precision: Tensor  # (3, 3), inverse covariance of log maps
    upper_limits: tuple[float, ...] = UPPER_BOUNDS  # of the solution, per quantity

    def __call__(self, log_maps: Tensor) -> Tensor:
        """Sum of the three terms, a scalar."""
        maps, departure = log_maps.exp(), log_maps - self.prior_mean
        lr_term = ((self.truncate(maps) - self.lr_maps).square() / self.lr_variance).sum()
        prior = (departure * multiply_voxelwise(self._prior_precision_per_voxel(), departure)).sum()
        return lr_term + prior + self.guide_term(maps)

    def guide_terms(self) -> Iterator[tuple[SignalModel, Tensor, Tensor]]:
        """Iterate over the terms of the guides: signal model, image ``(X, Y, Z)`` and precision of each."""
        return zip(self.sequences, self.guides, self.guide_precision, strict=True)

    def guide_term(self, maps: Tensor) -> Tensor:
        """Sum of squared guide residuals of maps ``(3, X, Y, Z)``, each in units of its noise."""
        misfits = [
            (precision * (model(*maps) - image).square()).sum() for model, image, precision in self.guide_terms()
        ]
        return sum(misfits, maps.new_zeros(()))

    def lr_residual(self, log_maps: Tensor) -> Tensor:
        """Measured minus truncated maps, ``(3, x, y, z)``."""
        return self.lr_maps - self.truncate(log_maps.exp())

    def loosened(self) -> NegativeLogPosterior:
        """Posterior with a larger LR variance, so that disagreement with the guides stays in the LR residual."""
        return replace(self, lr_variance=LOOSENING * self.lr_variance)

    def rescaled(self, gain_factors: Tensor) -> NegativeLogPosterior:
        """Posterior after the gains are multiplied by `gain_factors` ``(guide,)``."""
        factors = gain_factors.view(-1, 1, 1, 1).to(self.guides)
        return replace(self, guides=self.guides / factors, guide_precision=self.guide_precision * factors.square())

    def part(self, hr: Slices, lr: Slices = EVERYWHERE, device: torch.device | str = "cpu") -> NegativeLogPosterior:
        """Posterior of the maps in a block of HR voxels and of their contribution to a block of LR voxels."""
        block, lr_block = (slice(None), *hr), (slice(None), *lr)
        varies = self.guide_precision.shape[1:] != (1, 1, 1)
        return replace(
            self,
            guides=self.guides[block].to(device),
            guide_precision=(self.guide_precision[block] if varies else self.guide_precision).to(device),
            lr_maps=self.lr_maps[lr_block].to(device),
            lr_variance=self.lr_variance[lr_block].to(device),
            truncate=self.truncate.restricted(hr, lr, device),
            prior_mean=self.prior_mean[block].to(device),
            prior_precision=self.prior_precision.to(device),
        )

    def restricted(
        self, hr: Slices, lr: Slices, log_maps: Tensor, lr_residual: Tensor, device: torch.device | str
    ) -> NegativeLogPosterior:
        """Posterior of the maps in a block, with the maps outside it held at `log_maps` ``(3, X, Y, Z)``.

        `hr` are the voxels of the block, `lr` those that are compared with it, and `lr_residual` ``(3, x, y, z)`` is
        that of `log_maps`.
        """
        part = self.part(hr, lr, device)
        inside = part.truncate(log_maps[(slice(None), *hr)].to(device).exp())
        return replace(part, lr_maps=lr_residual[(slice(None), *lr)].to(device) + inside)

    def linearised(self, log_maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gauss-Newton model of guide term and prior alone, around log maps ``(3, X, Y, Z)``.

        Returns
        -------
        maps
            ``(3, X, Y, Z)``, the exponential of `log_maps`.
        covariance
            ``(3, 3, X, Y, Z)`` of the log maps.
        step
            ``(3, X, Y, Z)``, from `log_maps` to the minimum of the model.
        """
        maps = log_maps.exp()
        precision, descent = self._curvature_and_descent(log_maps, maps)
        covariance = invert_voxelwise(precision)
        return maps, covariance, multiply_voxelwise(covariance, descent)

    def _curvature_and_descent(self, log_maps: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Newton Hessian ``(3, 3, X, Y, Z)`` and descent direction ``(3, X, Y, Z)`` of guide term and prior."""
        prior = self._prior_precision_per_voxel()
        descent = multiply_voxelwise(prior, self.prior_mean - log_maps)
        hessian = prior.expand(N_QUANTITIES, N_QUANTITIES, *maps.shape[1:]).clone()
        for model, image, precision in self.guide_terms():
            signal, slope = signal_and_slope(model, maps)
            weighted = precision * slope
            descent = descent + weighted * (image - signal)
            hessian += weighted[:, None] * slope[None]
        return hessian, descent

    def _prior_precision_per_voxel(self) -> Tensor:
        return self.prior_precision.view(N_QUANTITIES, N_QUANTITIES, 1, 1, 1)


def signal_and_slope(sequence: SignalModel, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Signal ``(X, Y, Z)`` of maps ``(3, X, Y, Z)``, and its derivatives by their logarithms ``(3, X, Y, Z)``."""
    with torch.enable_grad():
        variables = maps.detach().requires_grad_()
        signal = sequence(*variables)
        (slope,) = torch.autograd.grad(signal.sum(), variables)
    return signal.detach(), slope * maps


def clamp_to_bounds(log_maps: Tensor, upper_limits: Sequence[float] = UPPER_BOUNDS) -> Tensor:
    """Clamp log maps ``(3, ...)`` in place to the bounds of their quantities and to `upper_limits`; returns them."""
    for log_map, quantity, limit in zip(log_maps, QUANTITIES.values(), upper_limits, strict=True):
        low, high = quantity.bounds
        log_map.clamp_(math.log(low), math.log(min(high, limit)))
    return log_maps
