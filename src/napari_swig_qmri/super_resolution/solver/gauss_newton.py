"""Minimising the negative log posterior by Gauss-Newton steps over the whole volume, computed slab by slab.

In each step the signal models are linearised in the log maps. Guides and prior alone then give a 3 x 3 system per
voxel with inverse C and a step d of their own. Images on grids of their own, the LR maps and guides with thick slices,
add multipliers v, one per value, with

    (R + B C B^T) v = y - A(s + J d),    B = A J,

R the variances, s the volumes that the values y are averages of, and J their derivatives by the log maps. It is solved
by conjugate gradients with the diagonal blocks of the voxels as preconditioner: an eighth of the unknowns of the HR
problem at a factor of two, and a few iterations, for A A^T is nearly the identity. The step is d + C B^T v. Only A
couples voxels, and it is a sum over slabs of HR planes. Results do not depend on the thickness of the slabs; memory
does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.numerics.conjugate_gradients import conjugate_gradients
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import (
    PAIRS,
    inner_product,
    invert_voxelwise,
    multiply_voxelwise,
    symmetric_rows,
)
from napari_swig_qmri.super_resolution.solver.observation import change_of_volumes, change_of_volumes_adjoint
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior, clamp_to_bounds

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.super_resolution.solver.observation import Observation

N_ITERATIONS = {False: 5, True: 10}  # of conjugate gradients in one Gauss-Newton step, without and with coarse guides
MAX_STEP = 1.0  # largest change of a log map in one Gauss-Newton step


@dataclass(frozen=True, eq=False)
class Iterate:
    """Current log maps, and the multipliers of every observation that the next step starts from."""

    log_maps: Tensor  # (3, X, Y, Z)
    multipliers: tuple[Tensor, ...]  # like the values of the observations

    @classmethod
    def at(cls, log_maps: Tensor, posterior: NegativeLogPosterior) -> Iterate:
        """First iterate, with multipliers of zero."""
        return cls(log_maps, tuple(torch.zeros_like(each.values) for each in posterior.observations))


@dataclass(frozen=True, eq=False)
class LinearisedSlab:
    """Quadratic model of guide term and prior in a slab of HR planes, and the observations of these planes."""

    planes: slice
    operators: tuple[SeparableOperator, ...]  # from these planes to the grids of the observations
    slopes: tuple[Tensor, ...]  # of their volumes, by the log maps
    step: Tensor  # (3, n, Y, Z), of the log maps
    covariance: Tensor  # (6, n, Y, Z), of the log maps; entries at `PAIRS`

    def response(self, multipliers: Sequence[Tensor]) -> Tensor:
        """Change of the log maps ``(3, n, Y, Z)`` caused by multipliers: C B^T v."""
        force = torch.zeros_like(self.step)
        for operator, slope, each in zip(self.operators, self.slopes, multipliers, strict=True):
            force += change_of_volumes_adjoint(slope, operator.adjoint(each))
        return multiply_voxelwise(symmetric_rows(self.covariance), force)

    def observed(self, change: Tensor) -> list[Tensor]:
        """Change of the values of every observation caused by one of the log maps ``(3, n, Y, Z)``."""
        return [
            operator(change_of_volumes(slope, change))
            for operator, slope in zip(self.operators, self.slopes, strict=True)
        ]

    def to(self, device: torch.device | str) -> LinearisedSlab:
        """Return the slab with its volumes on a device."""
        return replace(
            self,
            slopes=tuple(slope.to(device) for slope in self.slopes),
            step=self.step.to(device),
            covariance=self.covariance.to(device),
        )


@dataclass(frozen=True, eq=False)
class DualSystem:
    """Linear system of the multipliers of all observations, (R + B C B^T) v = target.

    Multipliers and targets are one vector. `blocks` are the diagonal blocks of B C B^T.
    """

    slabs: Sequence[LinearisedSlab]
    observations: Sequence[Observation]  # on the device that computes
    blocks: Sequence[Tensor]  # (n, n, x, y, z) of each
    target: Tensor

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Parts ``(n, x, y, z)`` of a vector, one of each observation."""
        sizes = [each.values.numel() for each in self.observations]
        parts = zip(torch.split(vector, sizes), self.observations, strict=True)
        return [part.view_as(each.values) for part, each in parts]

    def apply(self, vector: Tensor) -> Generator[None, None, Tensor]:
        """Left-hand side for multipliers; yields after every slab."""
        multipliers = self.parts(vector)
        parts = zip(self.observations, multipliers, strict=True)
        image = joined([each.covariance_times(part) for each, part in parts])
        for kept in self.slabs:
            slab = kept.to(vector.device)
            for part, observed in zip(self.parts(image), slab.observed(slab.response(multipliers)), strict=True):
                part += observed
            yield
        return image

    def preconditioner(self) -> list[Tensor]:
        """Inverse of the diagonal blocks of the left-hand side, ``(n, n, x, y, z)`` of each observation."""
        whole = [block.clone() for block in self.blocks]
        for block, each in zip(whole, self.observations, strict=True):
            block.diagonal(dim1=0, dim2=1).add_(each.whole_variance().movedim(0, -1))
        return [invert_voxelwise(block) for block in whole]

    def preconditioned(self, preconditioner: Sequence[Tensor], vector: Tensor) -> Tensor:
        """Preconditioner times a vector."""
        parts = zip(preconditioner, self.parts(vector), strict=True)
        return joined([multiply_voxelwise(block, part) for block, part in parts])


def joined(parts: Sequence[Tensor]) -> Tensor:
    """One vector of the entries of several tensors."""
    return torch.cat([part.reshape(-1) for part in parts])


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
    n_iterations: int | None = None,
) -> Generator[float, None, Iterate]:
    """Minimise the quadratic model of the posterior around `start`; yields the finished fraction.

    Slabs of `n_planes` HR planes are computed on `device` one after another, and kept on `store` in between. The
    multipliers are found by `n_iterations` of conjugate gradients; by default 5, or 10 with coarse guides.
    """
    n_iterations = n_iterations or N_ITERATIONS[bool(posterior.coarse)]
    n = start.log_maps.shape[1]
    cuts = [slice(first, min(first + n_planes, n)) for first in range(0, n, n_planes)]
    passes, n_passes = count(1), len(cuts) * (n_iterations + 3)

    def steps() -> Generator[None, None, Iterate]:
        system = yield from linearise(posterior, start.log_maps, cuts, device, store)
        multipliers = yield from _solve_multipliers(system, start.multipliers, n_iterations)
        updated = yield from _update(start.log_maps, system.slabs, multipliers, posterior.upper_limits)
        return Iterate(updated, tuple(each.to(updated.device) for each in multipliers))

    return (yield from mapped(steps(), lambda _: next(passes) / n_passes))


def linearise(
    posterior: NegativeLogPosterior,
    log_maps: Tensor,
    cuts: Sequence[slice],
    device: torch.device | str,
    store: torch.device | str,
) -> Generator[None, None, DualSystem]:
    """Linearise all terms slab by slab, and set up the system of the multipliers; yields after every slab.

    Slabs of the HR planes `cuts` are computed on `device`, and kept on `store`.
    """
    slabs, entries = [], [_empty_entries(each.values, device) for each in posterior.observations]
    targets = [each.values.to(device, copy=True) for each in posterior.observations]
    for planes in cuts:
        slab, volumes = _linearise_slab(posterior, log_maps, planes, device)
        for target, entry, operator, slope, volume in zip(
            targets, entries, slab.operators, slab.slopes, volumes, strict=True
        ):
            target -= operator(volume + change_of_volumes(slope, slab.step))
            entry += _diagonal_blocks(slope, slab.covariance, operator)
        slabs.append(slab.to(store))
        yield
    observations = [each.part(EVERYWHERE, EVERYWHERE, device) for each in posterior.observations]
    blocks = [_symmetric(entry, len(each.values)) for entry, each in zip(entries, observations, strict=True)]
    return DualSystem(slabs, observations, blocks, joined(targets))


def _upper(n: int) -> list[tuple[int, int]]:
    """Places of the upper triangle of an n x n matrix, row by row; those of 3 are `PAIRS`."""
    return [(i, j) for i in range(n) for j in range(i, n)]


def _empty_entries(values: Tensor, device: torch.device | str) -> Tensor:
    return values.new_zeros((len(_upper(len(values))), *values.shape[1:]), device=device)


def _symmetric(entries: Tensor, n: int) -> Tensor:
    """Symmetric matrices ``(n, n, ...)`` from the entries of their upper triangle."""
    whole = entries.new_empty((n, n, *entries.shape[1:]))
    for entry, (i, j) in zip(entries, _upper(n), strict=True):
        whole[i, j] = whole[j, i] = entry
    return whole


def _diagonal_blocks(slope: Tensor, covariance: Tensor, operator: SeparableOperator) -> Tensor:
    """Upper triangles of the diagonal blocks of B C B^T for the covariance ``(6, n, Y, Z)`` of a slab."""
    rows = symmetric_rows(covariance)
    if slope.ndim == covariance.ndim:
        return operator.squared()(torch.stack([slope[i] * rows[i][j] * slope[j] for i, j in PAIRS]))
    by_volume = [multiply_voxelwise(rows, row) for row in slope]
    squared = operator.squared()
    return torch.stack([squared(inner_product(slope[i], by_volume[j])) for i, j in _upper(len(slope))])


def _linearise_slab(
    posterior: NegativeLogPosterior, log_maps: Tensor, planes: slice, device: torch.device | str
) -> tuple[LinearisedSlab, list[Tensor]]:
    """Linearise all terms in a slab; returns the volumes ``(n, n, Y, Z)`` of its observations too."""
    part = posterior.part((planes, slice(None), slice(None)), device=device)
    maps, covariance, step = part.linearised(log_maps[:, planes].to(device))
    entries = torch.stack([covariance[i, j] for i, j in PAIRS])
    volumes, slopes = zip(*(each.linearised(maps) for each in part.observations), strict=True)
    operators = tuple(each.operator for each in part.observations)
    return LinearisedSlab(planes, operators, slopes, step, entries), list(volumes)


def _solve_multipliers(
    system: DualSystem, start: Sequence[Tensor], n_iterations: int
) -> Generator[None, None, list[Tensor]]:
    """Solve for the multipliers of every observation by preconditioned conjugate gradients; yields after every slab."""
    preconditioner = system.preconditioner()
    solving = conjugate_gradients(
        system.apply,
        partial(system.preconditioned, preconditioner),
        system.target,
        n_iterations,
        joined(start).to(system.target.device),
    )
    solution = yield from solving
    return system.parts(solution)


def _update(
    log_maps: Tensor, slabs: Sequence[LinearisedSlab], multipliers: Sequence[Tensor], upper_limits: Sequence[float]
) -> Generator[None, None, Tensor]:
    """Log maps after the step of every slab; yields after each."""
    updated, device = torch.empty_like(log_maps), multipliers[0].device
    for kept in slabs:
        slab = kept.to(device)
        step = slab.step + slab.response(multipliers)
        before = log_maps[:, slab.planes].to(device)
        after = clamp_to_bounds(before + step.clamp(-MAX_STEP, MAX_STEP), upper_limits)
        updated[:, slab.planes] = after.to(log_maps.device)
        yield
    return updated
