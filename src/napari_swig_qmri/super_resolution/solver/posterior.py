"""Negative log posterior of HR maps, given LR maps, guides and the prior. The solver minimises it.

    sum_k |f_k(Q) - W_k|^2 / sigma_k^2 + sum_o |A_o s_o(Q) - y_o|^2 / sigma_o^2 + (log Q - mean)^T C^-1 (log Q - mean)

f_k are the signal models of the guides W_k on the HR grid, and y_o the images on grids of their own: the LR maps, for
which A is the truncation of k-space, and guides with thick slices. The unknowns are the logarithms of the maps, inside
the bounds of their quantities.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signals import signal_and_slope
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import invert_voxelwise, multiply_voxelwise
from napari_swig_qmri.super_resolution.solver.observation import Observation, rows_in

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.physics.signal_models import SignalModel

N_QUANTITIES = len(QUANTITIES)
UPPER_BOUNDS = tuple(quantity.bounds[1] for quantity in QUANTITIES.values())
LOOSENING = 9.0  # factor on the LR variance while gains and conflicts are sought in the LR residual


@dataclass(frozen=True, eq=False, kw_only=True)
class NegativeLogPosterior:
    """Guide term, observations and prior of log maps ``(3, X, Y, Z)``: PD relative to water, T1 and T2 in s.

    Calling it with log maps returns twice the negative log posterior, up to a constant.
    """

    sequences: tuple[SignalModel, ...]
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_precision: Tensor  # (guide, 1, 1, 1) or (guide, X, Y, Z), 1 / noise variance; 0 = not used
    lr: Observation  # the LR maps
    prior_mean: Tensor  # (3, X, Y, Z), log maps
    prior_precision: Tensor  # (3, 3), inverse covariance of log maps
    unmeasured_precision: Tensor | None = None  # (n, X, Y, Z), of the log maps that were not measured, added to it
    measured: tuple[bool, ...] = (True,) * N_QUANTITIES
    upper_limits: tuple[float, ...] = UPPER_BOUNDS  # of the solution, per quantity
    lr_reading: Tensor | None = None  # (3, n, x, y, z), from LR residuals to those of maps; None: they are maps
    coarse: tuple[Observation, ...] = ()  # guides with thick slices
    coarse_guides: tuple[int, ...] = ()  # their positions among the guides

    def __call__(self, log_maps: Tensor) -> Tensor:
        """Sum of all terms, a scalar."""
        maps, departure = log_maps.exp(), log_maps - self.prior_mean
        prior = (departure * multiply_voxelwise(self.prior_precision_per_voxel(), departure)).sum()
        return prior + self.guide_term(maps) + sum(each.misfit(maps) for each in self.observations)

    @property
    def observations(self) -> tuple[Observation, ...]:
        """LR maps and coarse guides."""
        return (self.lr, *self.coarse)

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
        """LR residual as one of the LR maps, ``(3, x, y, z)``: measured minus expected values."""
        residual = self.lr.residual(log_maps.exp())
        return residual if self.lr_reading is None else multiply_voxelwise(self.lr_reading, residual)

    def loosened(self) -> NegativeLogPosterior:
        """Posterior with a larger LR variance, so that disagreement with the guides stays in the LR residual."""
        return replace(self, lr=replace(self.lr, variance=LOOSENING * self.lr.variance))

    def rescaled(self, gain_factors: Tensor) -> NegativeLogPosterior:
        """Posterior after the gains are multiplied by `gain_factors` ``(guide,)``."""
        factors = gain_factors.view(-1, 1, 1, 1).to(self.guides)
        coarse = [
            replace(each, values=each.values / factor, variance=each.variance / factor.square())
            for each, factor in zip(self.coarse, factors[list(self.coarse_guides)], strict=True)
        ]
        return replace(
            self,
            guides=self.guides / factors,
            guide_precision=self.guide_precision * factors.square(),
            coarse=tuple(coarse),
        )

    def part(
        self, hr: Slices, rows: Sequence[Slices] | None = None, device: torch.device | str = "cpu"
    ) -> NegativeLogPosterior:
        """Posterior of the maps in a block of HR voxels.

        `rows` are the voxels of each observation that are compared with the block; all of them if None.
        """
        block = (slice(None), *hr)
        varies = self.guide_precision.shape[1:] != (1, 1, 1)
        kept = rows or [EVERYWHERE] * len(self.observations)
        lr, *coarse = (each.part(hr, voxels, device) for each, voxels in zip(self.observations, kept, strict=True))
        reading, unmeasured = self.lr_reading, self.unmeasured_precision
        return replace(
            self,
            guides=self.guides[block].to(device),
            guide_precision=(self.guide_precision[block] if varies else self.guide_precision).to(device),
            lr=lr,
            lr_reading=None if reading is None else reading[(slice(None), slice(None), *kept[0])].to(device),
            coarse=tuple(coarse),
            prior_mean=self.prior_mean[block].to(device),
            prior_precision=self.prior_precision.to(device),
            unmeasured_precision=None if unmeasured is None else unmeasured[block].to(device),
        )

    def restricted(
        self, hr: Slices, lr: Slices, log_maps: Tensor, residuals: Sequence[Tensor], device: torch.device | str
    ) -> NegativeLogPosterior:
        """Posterior of the maps in a block, with the maps outside it held at `log_maps` ``(3, X, Y, Z)``.

        `hr` are the voxels of the block, `lr` those of the LR maps that are compared with it, and `residuals` those of
        every observation for `log_maps`.
        """
        rows = [lr, *(rows_in(each.operator, hr) for each in self.coarse)]
        part = self.part(hr, rows, device)
        maps = log_maps[(slice(None), *hr)].to(device).exp()
        first, *others = (
            replace(each, values=residual[(slice(None), *voxels)].to(device) + each.expected(maps))
            for each, residual, voxels in zip(part.observations, residuals, rows, strict=True)
        )
        return replace(part, lr=first, coarse=tuple(others))

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
        prior = self.prior_precision_per_voxel()
        descent = multiply_voxelwise(prior, self.prior_mean - log_maps)
        hessian = prior.expand(N_QUANTITIES, N_QUANTITIES, *maps.shape[1:]).clone()
        for model, image, precision in self.guide_terms():
            signal, slope = signal_and_slope(model, maps)
            weighted = precision * slope
            descent = descent + weighted * (image - signal)
            hessian += weighted[:, None] * slope[None]
        return hessian, descent

    def prior_precision_per_voxel(self) -> Tensor:
        """Inverse covariance of log maps ``(3, 3, X, Y, Z)``, or ``(3, 3, 1, 1, 1)`` where everything was measured."""
        known = self.prior_precision.view(N_QUANTITIES, N_QUANTITIES, 1, 1, 1)
        if self.unmeasured_precision is None:
            return known
        whole = known.expand(-1, -1, *self.prior_mean.shape[1:]).clone()
        unknown = torch.tensor(self.measured).logical_not()
        whole[unknown, unknown] = self.unmeasured_precision
        return whole


def clamp_to_bounds(log_maps: Tensor, upper_limits: Sequence[float] = UPPER_BOUNDS) -> Tensor:
    """Clamp log maps ``(3, ...)`` in place to the bounds of their quantities and to `upper_limits`; returns them."""
    for log_map, quantity, limit in zip(log_maps, QUANTITIES.values(), upper_limits, strict=True):
        low, high = quantity.bounds
        log_map.clamp_(math.log(low), math.log(min(high, limit)))
    return log_maps
