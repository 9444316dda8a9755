"""The objective: how improbable HR maps are, given the LR maps, the guides and the prior.

    sum_k |f_k(Q) - W_k|^2 / sigma_k^2  +  |D Q - Q_lr|^2 / sigma_lr^2  +  (log Q - mean)^T C^-1 (log Q - mean)

f_k are the signal models of the guides W_k, D the truncation of k-space. Maps are optimised as logarithms,
inside the bounds of their quantity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri import fields
from napari_swig_qmri.quantities import QUANTITIES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.operators import SeparableOperator, Slices
    from napari_swig_qmri.signal_models import SignalModel

MAX_STEP = 1.0  # largest change of a log map in one Gauss-Newton step
N_QUANTITIES = len(QUANTITIES)


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

    def __call__(self, log_maps: Tensor) -> Tensor:
        """Sum of the three terms, a scalar."""
        maps = log_maps.exp()
        guides = torch.stack([sequence(*maps) for sequence in self.sequences]) if self.sequences else self.guides
        departure = log_maps - self.prior_mean
        return (
            (self.guide_precision * (guides - self.guides).square()).sum()
            + ((self.truncate(maps) - self.lr_maps).square() / self.lr_variance).sum()
            + (departure * fields.apply(self._prior_field(), departure)).sum()
        )

    def lr_residual(self, log_maps: Tensor) -> Tensor:
        """Measured minus truncated maps, ``(3, x, y, z)``."""
        return self.lr_maps - self.truncate(log_maps.exp())

    def restricted(
        self, hr: Slices, lr: Slices, log_maps: Tensor, lr_residual: Tensor, device: torch.device | str
    ) -> NegativeLogPosterior:
        """The same objective for the maps inside a block, everything outside it held at `log_maps`."""
        block = (slice(None), *hr)
        truncate = self.truncate.restricted(hr, lr, device)
        inside = truncate(log_maps[block].to(device).exp())
        whole = self.guide_precision.shape[1:] != (1, 1, 1)
        return replace(
            self,
            guides=self.guides[block].to(device),
            guide_precision=(self.guide_precision[block] if whole else self.guide_precision).to(device),
            lr_maps=lr_residual[(slice(None), *lr)].to(device) + inside,
            lr_variance=self.lr_variance[(slice(None), *lr)].to(device),
            truncate=truncate,
            prior_mean=self.prior_mean[block].to(device),
            prior_precision=self.prior_precision.to(device),
        )

    def gauss_newton_step(self, log_maps: Tensor, n_iterations: int = 8) -> Tensor:
        """Minimise the quadratic model around `log_maps`, solved in the space of the LR maps.

        Guides and prior alone give a 3 x 3 system per voxel with inverse C. The LR term then asks for
        multipliers v, one per LR value, with (sigma_lr^2 + D Q C Q D^T) v = Q_lr - D(Q + Q d), solved by conjugate
        gradients with the 3 x 3 diagonal blocks as preconditioner: an eighth of the unknowns of the HR
        problem at a factor of two, and a few iterations, for D D^T is nearly the identity.
        """
        maps = log_maps.exp()
        precision, descent = self._local_terms(log_maps, maps)
        covariance = fields.inverse(precision)
        step = fields.apply(covariance, descent)
        scaled = maps[:, None] * covariance * maps[None]
        target = self.lr_maps - self.truncate(maps * (1 + step))
        multipliers = self._multipliers(scaled, target, n_iterations)
        step = step + fields.apply(covariance, maps * self.truncate.adjoint(multipliers))
        return bounded(log_maps + step.clamp(-MAX_STEP, MAX_STEP))

    def _local_terms(self, log_maps: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Hessian ``(3, 3, ...)`` and descent direction ``(3, ...)`` of the guide term and the prior."""
        prior = self._prior_field()
        descent = fields.apply(prior, self.prior_mean - log_maps)
        hessian = prior.expand(N_QUANTITIES, N_QUANTITIES, *maps.shape[1:]).clone()
        for sequence, image, precision in zip(self.sequences, self.guides, self.guide_precision, strict=True):
            signal, slope = signal_and_slope(sequence, maps)
            weighted = precision * slope
            descent = descent + weighted * (image - signal)
            hessian += weighted[:, None] * slope[None]
        return hessian, descent

    def _multipliers(self, scaled: Tensor, target: Tensor, n_iterations: int) -> Tensor:
        """Solve (sigma_lr^2 + D `scaled` D^T) v = `target` by preconditioned conjugate gradients."""
        diagonal = self.truncate.squared()(scaled)
        diagonal.diagonal(dim1=0, dim2=1).add_(self.lr_variance.movedim(0, -1))
        preconditioner = fields.inverse(diagonal)
        solution = torch.zeros_like(target)
        residual = target.clone()
        direction = preconditioned = fields.apply(preconditioner, residual)
        size = (residual * preconditioned).sum()
        for _ in range(n_iterations):
            image = self.lr_variance * direction
            image += self.truncate(fields.apply(scaled, self.truncate.adjoint(direction)))
            length = size / (direction * image).sum().clamp(min=torch.finfo(size.dtype).tiny)
            solution += length * direction
            residual -= length * image
            preconditioned = fields.apply(preconditioner, residual)
            previous, size = size, (residual * preconditioned).sum()
            direction = preconditioned + size / previous.clamp(min=torch.finfo(size.dtype).tiny) * direction
        return solution

    def _prior_field(self) -> Tensor:
        return self.prior_precision.view(N_QUANTITIES, N_QUANTITIES, 1, 1, 1)


def signal_and_slope(sequence: SignalModel, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Signal ``(X, Y, Z)`` of maps ``(3, X, Y, Z)`` and its derivative ``(3, X, Y, Z)`` by their logarithms."""
    with torch.enable_grad():
        variables = maps.detach().requires_grad_()
        signal = sequence(*variables)
        (slope,) = torch.autograd.grad(signal.sum(), variables)
    return signal.detach(), slope * maps


def bounded(log_maps: Tensor) -> Tensor:
    """Log maps ``(3, ...)`` inside the bounds of their quantities."""
    for log_map, quantity in zip(log_maps, QUANTITIES.values(), strict=True):
        low, high = torch.tensor(quantity.bounds, dtype=torch.float64).log().tolist()
        log_map.clamp_(low, high)
    return log_maps
