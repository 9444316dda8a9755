"""Minimising the posterior by Gauss-Newton steps over the whole volume, computed slab by slab.

In each step the signal models are linearised in the log maps. Guides and prior alone then give a 3 x 3 system per
voxel with inverse C and a step d of their own. The LR term asks for multipliers v, one per LR value, with

    (sigma_lr^2 + D Q C Q D^T) v = Q_lr - D(Q + Q d),

solved by conjugate gradients with 3 x 3 diagonal blocks as preconditioner: an eighth of the unknowns of the HR problem
at a factor of two, and a few iterations, for D D^T is nearly the identity. The step is d + C Q D^T v. Only D couples
voxels, and it is a sum over slabs of HR planes, so that slabs change memory and nothing else.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.voxel_matrices import (
    PAIRS,
    invert_voxelwise,
    multiply_voxelwise,
    symmetric_rows,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

N_ITERATIONS = 5  # of conjugate gradients in one Gauss-Newton step
MAX_STEP = 1.0  # largest change of a log map in one Gauss-Newton step


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where the optimiser stands."""

    log_maps: Tensor  # (3, X, Y, Z)
    multipliers: Tensor  # (3, x, y, z) of the LR maps, where the next step starts to look for its own

    @classmethod
    def at(cls, log_maps: Tensor, posterior: NegativeLogPosterior) -> Iterate:
        """Log maps that nothing is known of yet."""
        return cls(log_maps, torch.zeros_like(posterior.lr_maps))


@dataclass(frozen=True, eq=False)
class LinearisedSlab:
    """What guides and prior say about a slab of HR planes."""

    planes: slice
    truncate: SeparableOperator  # from these planes to the LR grid
    step: Tensor  # (3, n, Y, Z), of the log maps
    covariance: Tensor  # (6, n, Y, Z), of the maps; see `symmetric_rows`

    def response(self, multipliers: Tensor) -> Tensor:
        """Change of the maps ``(3, n, Y, Z)`` that multipliers ``(3, x, y, z)`` of the LR maps ask for."""
        return multiply_voxelwise(symmetric_rows(self.covariance), self.truncate.adjoint(multipliers))


def refine(
    posterior: NegativeLogPosterior,
    start: Iterate,
    *,
    n_steps: int,
    n_planes: int,
    device: torch.device | str = "cpu",
) -> Generator[float, None, Iterate]:
    """Gauss-Newton steps, yielding the finished fraction and returning where they end.

    Parameters
    ----------
    posterior, start
        On any device; volumes stay where they are and slabs of them are worked on.
    n_planes
        HR planes of a slab. Half as many are taken where the device runs out of memory.
    device
        That computes. It also holds the linearised slabs, as long as they fit.

    Raises
    ------
    torch.OutOfMemoryError
        If not even a single plane fits.
    """
    here, store = start, torch.device(device)
    del start  # or its volumes would stay until the end
    n_done = 0

    def overall(fraction: float) -> float:
        return (n_done + fraction) / n_steps

    while n_done < n_steps:
        step = gauss_newton_step(posterior, here, n_planes=n_planes, device=device, store=store)
        try:
            here = yield from mapped(step, overall)
            n_done += 1
            continue
        except torch.OutOfMemoryError:
            if n_planes == 1:
                raise
        torch.cuda.empty_cache()  # only here are the slabs of the failed step released
        n_planes, store = (n_planes + 1) // 2, here.log_maps.device
    return here


def gauss_newton_step(
    posterior: NegativeLogPosterior,
    start: Iterate,
    *,
    n_planes: int,
    device: torch.device | str = "cpu",
    store: torch.device | str = "cpu",
    n_iterations: int = N_ITERATIONS,
) -> Generator[float, None, Iterate]:
    """Minimise the quadratic model of the objective around `start`; yields the finished fraction.

    Slabs of `n_planes` are computed on `device` one after another and kept on `store` in between.
    """
    log_maps, n = start.log_maps, start.log_maps.shape[1]
    cuts = [slice(first, min(first + n_planes, n)) for first in range(0, n, n_planes)]
    n_passes = len(cuts) * (n_iterations + 3)
    slabs = []
    target = posterior.lr_maps.to(device, copy=True)
    diagonal = target.new_zeros(len(PAIRS), *target.shape[1:])
    for planes in cuts:
        slab, maps = _linearise(posterior, log_maps, planes, device)
        target -= slab.truncate(maps * (1 + slab.step))
        diagonal += slab.truncate.squared()(slab.covariance)
        slabs.append(_moved(slab, store))
        yield len(slabs) / n_passes
    lr_variance = posterior.lr_variance.to(device)
    solving = _multipliers(slabs, lr_variance, diagonal, target, start.multipliers, n_iterations)
    multipliers = yield from mapped(solving, lambda n: (len(cuts) + n) / n_passes)
    updated = torch.empty_like(log_maps)
    for i, kept in enumerate(slabs, start=1):
        slab, here = _moved(kept, device), log_maps[:, kept.planes].to(device)
        step = slab.step + slab.response(multipliers) / here.exp()
        moved = clamp_to_bounds(here + step.clamp(-MAX_STEP, MAX_STEP), posterior.upper_limits)
        updated[:, slab.planes] = moved.to(log_maps.device)
        yield (n_passes - len(cuts) + i) / n_passes
    return Iterate(updated, multipliers.to(updated.device))


def _linearise(
    posterior: NegativeLogPosterior, log_maps: Tensor, planes: slice, device: torch.device | str
) -> tuple[LinearisedSlab, Tensor]:
    """The guide term and the prior around the log maps of a slab, and its maps ``(3, n, Y, Z)``."""
    part = posterior.part((planes, slice(None), slice(None)), device=device)
    here = log_maps[:, planes].to(device)
    maps = here.exp()
    precision, descent = part.curvature_and_descent(here, maps)
    covariance = invert_voxelwise(precision)
    step = multiply_voxelwise(covariance, descent)
    of_maps = torch.stack([maps[i] * covariance[i, j] * maps[j] for i, j in PAIRS])
    return LinearisedSlab(planes, part.truncate, step, of_maps), maps


def _moved(slab: LinearisedSlab, device: torch.device | str) -> LinearisedSlab:
    return replace(slab, step=slab.step.to(device), covariance=slab.covariance.to(device))


def _multipliers(
    slabs: Sequence[LinearisedSlab],
    lr_variance: Tensor,
    diagonal: Tensor,
    target: Tensor,
    start: Tensor,
    n_iterations: int,
) -> Generator[int, None, Tensor]:
    """Solve (sigma_lr^2 + D Q C Q D^T) v = `target` ``(3, x, y, z)``; yields the number of slabs passed so far.

    `diagonal` ``(6, x, y, z)`` holds the 3 x 3 diagonal blocks of D Q C Q D^T.
    """
    blocks = torch.stack([torch.stack(row) for row in symmetric_rows(diagonal)])
    blocks.diagonal(dim1=0, dim2=1).add_(lr_variance.movedim(0, -1))
    preconditioner = invert_voxelwise(blocks)
    tiny = torch.finfo(target.dtype).tiny
    n_passed = 0

    def image_of(direction: Tensor) -> Generator[int, None, Tensor]:
        nonlocal n_passed
        image = lr_variance * direction
        for kept in slabs:
            slab = _moved(kept, direction.device)
            image += slab.truncate(slab.response(direction))
            n_passed += 1
            yield n_passed
        return image

    solution = start.to(target.device)
    residual = target - (yield from image_of(solution))
    direction = preconditioned = multiply_voxelwise(preconditioner, residual)
    size = (residual * preconditioned).sum()
    for _ in range(n_iterations):
        image = yield from image_of(direction)
        length = size / (direction * image).sum().clamp(min=tiny)
        solution = solution + length * direction
        residual = residual - length * image
        preconditioned = multiply_voxelwise(preconditioner, residual)
        previous, size = size, (residual * preconditioned).sum()
        direction = preconditioned + size / previous.clamp(min=tiny) * direction
    return solution
