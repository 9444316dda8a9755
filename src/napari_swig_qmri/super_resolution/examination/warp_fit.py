"""Smooth warp of a guide against the LR maps, by Gauss-Newton on the LR grid.

The guide, warped and truncated to the LR grid, is compared with a weighted sum of images that explain its contrast, as
for its pose. The warp is a displacement by cubic B-splines. Their coefficients and the weights of the images are solved
for together, with Cauchy weights of the voxels, and a penalty on the bending of the warp.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy.sparse.linalg import LinearOperator, cg

from napari_swig_qmri.data.truncation import SeparableOperator, relative_axes
from napari_swig_qmri.data.warping import Warp, spline_basis
from napari_swig_qmri.super_resolution.examination.moving_image import MovingImage, lattice_step, mostly_valid
from napari_swig_qmri.super_resolution.examination.pose_fit import (
    CAUCHY,
    DAMPING,
    LARGEST_MOVE,
    LEAST_VOXELS,
    MOST_MISFIT,
    SMALL_STEP,
    regressors,
    rms,
    unexplained,
)
from napari_swig_qmri.super_resolution.examination.receive_field import coordinates_of_tissue, polynomials

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

SPACING = 10.0  # LR voxel edges between the knots of the warp
BENDING = 12.0  # penalty on squared second differences of the coefficients in LR voxel edges; noise of guides has 1
N_STEPS = 8  # of Gauss-Newton
N_REWEIGHTINGS = 2
N_ITERATIONS, TOLERANCE = 30, 1e-2  # of conjugate gradients
PROBED = 20_000  # LR voxels of a lattice that tells whether a guide in a large head is warped
LEAST_WARP = 0.07  # LR voxel edges, RMS over the head, of a warp that is corrected
MOST_LEFT = 0.86  # of the squared misfit, after a warp that is corrected
DECIMALS = 2  # of the numbers in the JSON
EXTREME = 98  # percentile over the head that counts as the largest displacement


@dataclass(frozen=True, eq=False, kw_only=True)
class WarpFit:
    """Warp of a guide, and how much it displaces the head."""

    warp: Warp
    rms: float  # mm, over the head
    largest: float  # mm

    def to_json(self) -> dict[str, float]:
        """Displacement of the head in mm: RMS and largest."""
        return {"rms_mm": round(self.rms, DECIMALS), "largest_mm": round(self.largest, DECIMALS)}


def fitted_warp(
    problem: Problem, image: Tensor, valid: Tensor, explaining: Tensor, head: BoolArray
) -> Generator[None, None, WarpFit | None]:
    """Warp of an image that is in its pose; None if it needs none. Yields between steps.

    Parameters are those of `fitted_pose`. In a large head a lattice of voxels is looked at first: fewer voxels are
    explained better, so that a warp which explains too little of them is none of the head.
    """
    where = head & mostly_valid(problem, valid)
    if where.sum() < LEAST_VOXELS:
        return None
    step = lattice_step(where, PROBED)
    if step > 1 and (yield from _refined(problem, image, where, explaining, step, n_steps=1)) is None:
        return None
    refined = yield from _refined(problem, image, where, explaining, 1, N_STEPS)
    if refined is None:
        return None
    splines, coefficients = refined
    edge = _edge_of(problem)
    displacement = splines.displacement(coefficients)
    if rms(displacement) < LEAST_WARP * edge or rms(displacement) > LARGEST_MOVE:
        return None
    largest = float(np.percentile(np.linalg.norm(displacement, axis=1), EXTREME))
    return WarpFit(warp=splines.warp(coefficients), rms=rms(displacement), largest=largest)


def _edge_of(problem: Problem) -> float:
    """Geometric mean of the edges of an LR voxel in mm."""
    return float(np.prod(problem.lr_grid.voxel_size) ** (1 / 3))


def _refined(
    problem: Problem, image: Tensor, where: BoolArray, explaining: Tensor, step: int, n_steps: int
) -> Generator[None, None, tuple[_Splines, FloatArray] | None]:
    """Splines and their coefficients after at most `n_steps`, by every `step`-th LR voxel along each axis.

    None if a warp explains too little.
    """
    lattice = (slice(None, None, step),) * 3
    moving = MovingImage.of(image, problem, where[lattice], step)
    known = _explaining(problem, moving, explaining[(slice(None), *lattice)])
    splines = _Splines.of(problem, where[lattice], step)
    coefficients, residual, placed = splines.zero, None, moving.image
    for number in range(n_steps):
        yield
        found = _Step.of(*moving.read(placed), known, splines, coefficients, residual)
        if number == 0 and (found.misfit > MOST_MISFIT or found.left > MOST_LEFT):
            return None
        coefficients, residual = coefficients + found.change, found.residual
        if number + 1 == n_steps or rms(splines.displacement(found.change)) < SMALL_STEP:
            break
        placed = moving.warped(splines.warp(coefficients).displacement())
    return splines, coefficients


def _explaining(problem: Problem, moving: MovingImage, explaining: Tensor) -> FloatArray:
    """Explaining images on the LR voxels, the first one also with smooth shadings, ``(voxel, n)``."""
    known = regressors(explaining, moving.where, moving.offsets)
    to_unit = coordinates_of_tissue(problem)
    return np.concatenate([known, known[:, :1] * polynomials(apply_affine(to_unit, moving.points))[:, 1:]], axis=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Splines:
    """B-splines of a warp on the HR grid and on LR voxels."""

    bases: tuple[FloatArray, FloatArray, FloatArray]  # on the HR grid
    on_lr: SeparableOperator  # from coefficients to every step-th voxel of the LR grid
    where: BoolArray  # (x, y, z), of these LR voxels, those that are compared
    bends: tuple[SeparableOperator, ...]  # second differences of coefficients, with their weight

    @classmethod
    def of(cls, problem: Problem, where: BoolArray, step: int) -> _Splines:
        edge = _edge_of(problem)
        spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
        bases, on_lr = [], []
        for n, n_lr, ratio, start, size in zip(
            problem.hr_grid.shape, problem.lr_grid.shape, spacing, first, problem.hr_grid.voxel_size, strict=True
        ):
            bases.append(spline_basis(np.arange(n, dtype=float), n, SPACING * edge / size))
            on_lr.append(spline_basis(start + ratio * np.arange(0, n_lr, step), n, SPACING * edge / size))
        return cls(
            bases=(bases[0], bases[1], bases[2]),
            on_lr=_operator(on_lr),
            where=where,
            bends=_bends([basis.shape[1] for basis in bases], (BENDING / step**3) ** 0.5 / edge),
        )

    @property
    def zero(self) -> FloatArray:
        """Coefficients ``(3, i, j, k)`` of no warp."""
        return np.zeros((3, *(basis.shape[1] for basis in self.bases)))

    def warp(self, coefficients: FloatArray) -> Warp:
        """Warp with these coefficients."""
        return Warp(coefficients, self.bases)

    def displacement(self, coefficients: FloatArray) -> FloatArray:
        """Displacement ``(voxel, 3)`` of the LR voxels in mm."""
        volumes: FloatArray = self.on_lr(torch.as_tensor(coefficients)).numpy()
        return volumes[:, self.where].T

    def adjoint(self, vectors: FloatArray) -> FloatArray:
        """Adjoint of `displacement`."""
        volumes = np.zeros((3, *self.where.shape))
        volumes[:, self.where] = vectors.T
        return np.asarray(self.on_lr.adjoint(torch.as_tensor(volumes)))

    def bending(self, coefficients: FloatArray) -> FloatArray:
        """Gradient of half the penalty on bending."""
        volumes = torch.as_tensor(coefficients)
        return np.asarray(sum(bend.adjoint(bend(volumes)) for bend in self.bends))


def _operator(matrices: Sequence[FloatArray]) -> SeparableOperator:
    x, y, z = (torch.as_tensor(matrix) for matrix in matrices)
    return SeparableOperator((x, y, z))


def _bends(shape: Sequence[int], weight: float) -> tuple[SeparableOperator, ...]:
    """Second differences of coefficients ``(..., i, j, k)`` along all pairs of axes, mixed ones counted twice."""
    operators = []
    for pair in combinations_with_replacement(range(3), 2):
        matrices = [np.eye(n) for n in shape]
        for axis in pair:
            matrices[axis] = np.diff(matrices[axis], axis=0)
        matrices[0] = matrices[0] * weight * len(set(pair)) ** 0.5
        operators.append(_operator(matrices))
    return tuple(operators)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Step:
    """One step of Gauss-Newton: change of the warp, and the misfit before and after it."""

    change: FloatArray  # (3, i, j, k), of the coefficients
    residual: FloatArray  # (voxel,), after the change
    left: float  # of the squared misfit
    misfit: float  # share of the standard deviation of the guide, before the change

    @classmethod
    def of(
        cls,
        values: FloatArray,
        gradient: FloatArray,
        known: FloatArray,
        splines: _Splines,
        coefficients: FloatArray,
        residual: FloatArray | None,
    ) -> _Step:
        if residual is None:
            residual = unexplained(values, known)
        change = splines.zero
        for _ in range(N_REWEIGHTINGS):
            level = 1.4826 * np.median(np.abs(residual)) + 1e-9
            weight = 1 / (1 + (residual / (CAUCHY * level)) ** 2) / level**2
            project = _Unexplained.by(known, weight)
            before = project(values)
            change = _solved(before, gradient, weight, project, splines, coefficients, change)
            residual = project(values + (gradient * splines.displacement(change)).sum(axis=1))
        spread = np.average((values - np.average(values, weights=weight)) ** 2, weights=weight)
        squares = [float(np.average(each**2, weights=weight)) for each in (before, residual)]
        return cls(
            change=change,
            residual=residual,
            left=squares[1] / max(squares[0], 1e-12),
            misfit=float(np.sqrt(squares[0] / max(spread, 1e-12))),
        )


@dataclass(frozen=True, eq=False)
class _Unexplained:
    """Part of values ``(voxel,)`` that no weighted sum of known images explains."""

    known: FloatArray  # (voxel, n)
    weights: FloatArray  # (n, voxel), from values to the weights of the images

    @classmethod
    def by(cls, known: FloatArray, weight: FloatArray) -> _Unexplained:
        weighted = known.T * weight
        normal = weighted @ known
        normal[np.diag_indices(len(normal))] += DAMPING * normal.diagonal().mean()
        return cls(known, np.linalg.solve(normal, weighted))

    def __call__(self, values: FloatArray) -> FloatArray:
        unexplained: FloatArray = values - self.known @ (self.weights @ values)
        return unexplained


def _solved(
    before: FloatArray,
    gradient: FloatArray,
    weight: FloatArray,
    project: _Unexplained,
    splines: _Splines,
    coefficients: FloatArray,
    start: FloatArray,
) -> FloatArray:
    """Change of the coefficients ``(3, i, j, k)`` that minimises the misfit and the bending of their sum."""
    shape = coefficients.shape

    def image(flat: FloatArray) -> FloatArray:
        change = flat.reshape(shape)
        moved = project((gradient * splines.displacement(change)).sum(axis=1))
        return (splines.adjoint(gradient * (weight * moved)[:, None]) + splines.bending(change)).ravel()

    target = -splines.adjoint(gradient * (weight * before)[:, None]) - splines.bending(coefficients)
    power = splines.adjoint(gradient**2 * weight[:, None]).ravel()
    scale = power + power.mean() + 1e-12
    precondition = LinearOperator((target.size,) * 2, matvec=lambda flat: flat / scale)
    operator = LinearOperator((target.size,) * 2, matvec=image)
    found, _ = cg(operator, target.ravel(), start.ravel(), rtol=TOLERANCE, maxiter=N_ITERATIONS, M=precondition)
    return np.asarray(found).reshape(shape)
