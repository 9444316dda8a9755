"""Variance of the most probable maps: the inverse curvature of the posterior, voxel by voxel.

With the notation of `gauss_newton`, the covariance of all log maps is C - C B^T (R + B C B^T)^-1 B C. The inner matrix
is nearly diagonal from one voxel of an image to another, because A A^T is nearly the identity, so that its diagonal
blocks, by which conjugate gradients are preconditioned, stand for it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.gauss_newton import linearise
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import multiply_voxelwise, symmetric_rows

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.super_resolution.solver.gauss_newton import LinearisedSlab
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

LEAST_SHARE = 1e-3  # of the variance without the LR maps, that is always left: rounding may exceed it


@dataclass(frozen=True, eq=False, kw_only=True)
class Curvature:
    """Second-order model of a posterior around log maps; all ``(3, X, Y, Z)``."""

    variance: Tensor  # of the log maps
    without_images: Tensor  # variance by guides on the HR grid and prior alone, without LR maps and coarse guides
    pull: Tensor  # step from the log maps to the minimum of those, which the LR maps hold them from


def curvature_at(
    posterior: NegativeLogPosterior, log_maps: Tensor, *, n_planes: int, device: torch.device | str = "cpu"
) -> Generator[None, None, Curvature]:
    """Curvature of a posterior at log maps ``(3, X, Y, Z)``, `n_planes` HR planes at a time; yields after each slab."""
    n = log_maps.shape[1]
    cuts = [slice(first, min(first + n_planes, n)) for first in range(0, n, n_planes)]
    system = yield from linearise(posterior, log_maps, cuts, device, log_maps.device)
    weights = system.preconditioner()
    variance, alone, pull = (torch.empty_like(log_maps) for _ in range(3))
    for kept in system.slabs:
        slab = kept.to(device)
        rows = symmetric_rows(slab.covariance)
        for i, row in enumerate(rows):
            known = _explained(slab, torch.stack(row), weights)
            alone[i, kept.planes] = row[i].to(log_maps.device)
            left = torch.maximum(row[i] - known, LEAST_SHARE * row[i])
            variance[i, kept.planes] = left.to(log_maps.device)
        pull[:, kept.planes] = kept.step
        yield
    return Curvature(variance=variance, without_images=alone, pull=pull)


def _explained(slab: LinearisedSlab, row: Tensor, weights: list[Tensor]) -> Tensor:
    """Part ``(n, Y, Z)`` of a variance that observations explain; `row` ``(3, n, Y, Z)`` is that of the covariance."""
    explained = torch.zeros_like(row[0])
    for operator, slope, weight in zip(slab.operators, slab.slopes, weights, strict=True):
        seen = slope * row if slope.ndim == row.ndim else multiply_voxelwise(slope, row)
        explained += _quadratic_form(operator.squared(), weight, seen)
    return explained


def _quadratic_form(squared: SeparableOperator, weight: Tensor, volumes: Tensor) -> Tensor:
    """Sum of weights ``(k, k, x, y, z)``, spread to HR voxels by `squared`, times products of volumes ``(k, ...)``."""
    total = torch.zeros_like(volumes[0])
    for i in range(len(volumes)):
        for j in range(i, len(volumes)):
            times = 1 if i == j else 2
            total += times * squared.adjoint(weight[i, j]) * volumes[i] * volumes[j]
    return total
