"""Minimising the negative log posterior by Gauss-Newton steps over the whole volume, computed slab by slab.

In each step the signal models are linearised in the log maps. Guides and prior alone then give a 3 x 3 system per
voxel with inverse C and a step d of their own. The LR term adds multipliers v, one per LR value, with

    (sigma_lr^2 + D Q C Q D^T) v = Q_lr - D(Q + Q d),

solved by conjugate gradients with 3 x 3 diagonal blocks as preconditioner: an eighth of the unknowns of the HR problem
at a factor of two, and a few iterations, for D D^T is nearly the identity. The step is d + C Q D^T v. Only D couples
voxels, and it is a sum over slabs of HR planes. Results do not depend on the thickness of the slabs; memory does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior, clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.voxel_matrices import (
    PAIRS,
    invert_voxelwise,
    multiply_voxelwise,
    symmetric_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator

N_ITERATIONS = 5  # of conjugate gradients in one Gauss-Newton step
MAX_STEP = 1.0  # largest change of a log map in one Gauss-Newton step


@dataclass(frozen=True, eq=False)
class Iterate:
    """Current log maps, and the LR multipliers that the next step starts from."""

    log_maps: Tensor  # (3, X, Y, Z)
    multipliers: Tensor  # (3, x, y, z)

    @classmethod
    def at(cls, log_maps: Tensor, posterior: NegativeLogPosterior) -> Iterate:
        """First iterate, with multipliers of zero."""
        return cls(log_maps, torch.zeros_like(posterior.lr_maps))


@dataclass(frozen=True, eq=False)
class LinearisedSlab:
    """Quadratic model of guide term and prior in a slab of HR planes."""

    planes: slice
    truncate: SeparableOperator  # from these planes to the LR grid
    step: Tensor  # (3, n, Y, Z), of the log maps
    covariance: Tensor  # (6, n, Y, Z), of the maps; entries at `PAIRS`

    def response(self, multipliers: Tensor) -> Tensor:
        """Change of the maps ``(3, n, Y, Z)`` caused by LR multipliers ``(3, x, y, z)``."""
        return multiply_voxelwise(symmetric_rows(self.covariance), self.truncate.adjoint(multipliers))

    def to(self, device: torch.device | str) -> LinearisedSlab:
        """Return the slab with its volumes on a device."""
        return replace(self, step=self.step.to(device), covariance=self.covariance.to(device))


@dataclass(frozen=True, eq=False)
class LrSystem:
    """Linear system of the LR multipliers, (sigma_lr^2 + D Q C Q D^T) v = target."""

    slabs: Sequence[LinearisedSlab]
    lr_variance: Tensor  # (3, x, y, z)
    diagonal: Tensor  # (6, x, y, z), 3 x 3 diagonal blocks of D Q C Q D^T; entries at `PAIRS`
    target: Tensor  # (3, x, y, z)

    def apply(self, multipliers: Tensor) -> Generator[None, None, Tensor]:
        """Left-hand side for multipliers ``(3, x, y, z)``; yields after every slab."""
        image = self.lr_variance * multipliers
        for kept in self.slabs:
            slab = kept.to(multipliers.device)
            image += slab.truncate(slab.response(multipliers))
            yield
        return image

    def preconditioner(self) -> Tensor:
        """Inverse of the diagonal blocks, ``(3, 3, x, y, z)``."""
        blocks = torch.stack([torch.stack(row) for row in symmetric_rows(self.diagonal)])
        blocks.diagonal(dim1=0, dim2=1).add_(self.lr_variance.movedim(0, -1))
        return invert_voxelwise(blocks)


def refine(
    posterior: NegativeLogPosterior,
    start: Iterate,
    *,
    n_steps: int,
    n_planes: int,
    device: torch.device | str = "cpu",
) -> Generator[float, None, Iterate]:
    """Take Gauss-Newton steps and return the last iterate; yields the finished fraction.

    Parameters
    ----------
    posterior, start
        On any device. Volumes stay there, and slabs of them are moved to `device`.
    n_planes
        HR planes per slab, halved whenever the device runs out of memory.
    device
        Device that computes. It also holds the linearised slabs while they fit.

    Raises
    ------
    torch.OutOfMemoryError
        If not even a single plane fits.
    """
    current, store = start, torch.device(device)
    del start  # releases its volumes after the first step
    n_done = 0

    def overall(fraction: float) -> float:
        return (n_done + fraction) / n_steps

    while n_done < n_steps:
        step = gauss_newton_step(posterior, current, n_planes=n_planes, device=device, store=store)
        try:
            current = yield from mapped(step, overall)
            n_done += 1
            continue
        except torch.OutOfMemoryError:
            if n_planes == 1:
                raise
        torch.cuda.empty_cache()  # outside the handler, where the slabs of the failed step are released
        n_planes, store = (n_planes + 1) // 2, current.log_maps.device
    return current


def gauss_newton_step(
    posterior: NegativeLogPosterior,
    start: Iterate,
    *,
    n_planes: int,
    device: torch.device | str = "cpu",
    store: torch.device | str = "cpu",
    n_iterations: int = N_ITERATIONS,
) -> Generator[float, None, Iterate]:
    """Minimise the quadratic model of the posterior around `start`; yields the finished fraction.

    Slabs of `n_planes` HR planes are computed on `device` one after another, and kept on `store` in between. The LR
    multipliers are found by `n_iterations` of conjugate gradients.
    """
    n = start.log_maps.shape[1]
    cuts = [slice(first, min(first + n_planes, n)) for first in range(0, n, n_planes)]
    passes, n_passes = count(1), len(cuts) * (n_iterations + 3)

    def steps() -> Generator[None, None, Iterate]:
        system = yield from _linearise(posterior, start.log_maps, cuts, device, store)
        multipliers = yield from _solve_multipliers(system, start.multipliers, n_iterations)
        updated = yield from _update(start.log_maps, system.slabs, multipliers, posterior.upper_limits)
        return Iterate(updated, multipliers.to(updated.device))

    return (yield from mapped(steps(), lambda _: next(passes) / n_passes))


def _linearise(
    posterior: NegativeLogPosterior,
    log_maps: Tensor,
    cuts: Sequence[slice],
    device: torch.device | str,
    store: torch.device | str,
) -> Generator[None, None, LrSystem]:
    """Linearise guide term and prior slab by slab, and set up the system of the LR multipliers."""
    slabs = []
    target = posterior.lr_maps.to(device, copy=True)
    diagonal = target.new_zeros(len(PAIRS), *target.shape[1:])
    for planes in cuts:
        slab, maps = _linearise_slab(posterior, log_maps, planes, device)
        target -= slab.truncate(maps * (1 + slab.step))
        diagonal += slab.truncate.squared()(slab.covariance)
        slabs.append(slab.to(store))
        yield
    return LrSystem(slabs, posterior.lr_variance.to(device), diagonal, target)


def _linearise_slab(
    posterior: NegativeLogPosterior, log_maps: Tensor, planes: slice, device: torch.device | str
) -> tuple[LinearisedSlab, Tensor]:
    """Linearise guide term and prior in a slab; returns its maps ``(3, n, Y, Z)`` too."""
    part = posterior.part((planes, slice(None), slice(None)), device=device)
    maps, covariance, step = part.linearised(log_maps[:, planes].to(device))
    of_maps = torch.stack([maps[i] * covariance[i, j] * maps[j] for i, j in PAIRS])
    return LinearisedSlab(planes, part.truncate, step, of_maps), maps


def _solve_multipliers(system: LrSystem, start: Tensor, n_iterations: int) -> Generator[None, None, Tensor]:
    """Solve for the LR multipliers ``(3, x, y, z)`` by preconditioned conjugate gradients; yields after every slab."""
    preconditioner = system.preconditioner()
    tiny = torch.finfo(start.dtype).tiny
    solution = start.to(system.target.device)
    residual = system.target - (yield from system.apply(solution))
    direction = preconditioned = multiply_voxelwise(preconditioner, residual)
    size = (residual * preconditioned).sum()
    for _ in range(n_iterations):
        image = yield from system.apply(direction)
        length = size / (direction * image).sum().clamp(min=tiny)
        solution = solution + length * direction
        residual = residual - length * image
        preconditioned = multiply_voxelwise(preconditioner, residual)
        previous, size = size, (residual * preconditioned).sum()
        direction = preconditioned + size / previous.clamp(min=tiny) * direction
    return solution


def _update(
    log_maps: Tensor, slabs: Sequence[LinearisedSlab], multipliers: Tensor, upper_limits: Sequence[float]
) -> Generator[None, None, Tensor]:
    """Log maps after the step of every slab; yields after each."""
    updated = torch.empty_like(log_maps)
    for kept in slabs:
        slab, before = kept.to(multipliers.device), log_maps[:, kept.planes].to(multipliers.device)
        step = slab.step + slab.response(multipliers) / before.exp()
        after = clamp_to_bounds(before + step.clamp(-MAX_STEP, MAX_STEP), upper_limits)
        updated[:, slab.planes] = after.to(log_maps.device)
        yield
    return updated
