"""Receive field of the guides: the smooth shading by the coils, which is no contrast of tissue.

Each guide is compared with its contrast as the LR maps and a solved part of the head tell it. The PD map keeps its own
field: what all guides and the PD map share needs no correction. A field that noise and mixed voxels may explain is left
alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine
from numpy.polynomial.legendre import legvander3d

from napari_swig_qmri.super_resolution.examination.guide_contrast import compared, robust_fit
from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart, solved_parts
from napari_swig_qmri.super_resolution.examination.pose_fit import blocks_of

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid, WeightedImage
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

ORDER = 2  # highest degree of the polynomials
DEGREES = np.indices((ORDER + 1,) * 3).reshape(3, -1).sum(axis=0)
LEAST_FIELD, LEAST_ERRORS = 0.022, 5.0  # RMS over tissue, and standard errors of it, of a field that is corrected
LEAST_LOOK, LOOK_ERRORS = 0.008, 2.5  # the same in the middle of the head, for a field that is looked for
LEAST_VOXELS = 500  # LR voxels
BEYOND = 1.1  # times the extent of tissue around its middle, where a field stays as it is at that distance
EXTREMES = (2, 98)  # percentiles over tissue that tell the strength of a field


@dataclass(frozen=True, eq=False)
class ReceiveField:
    """Factor of a guide that varies smoothly in space; 1 on average over tissue, in the logarithm."""

    to_unit: FloatArray  # (4, 4), from mm to -1 ... 1 over tissue
    coefficients: FloatArray  # (n,), of the polynomials in the logarithm; 0 if the guide was left alone
    strength: float = 0.0  # half the range over tissue, relative

    @property
    def is_corrected(self) -> bool:
        """Whether the guide is divided by it."""
        return bool(self.coefficients.any())

    def on(self, grid: VoxelGrid) -> FloatArray:
        """Factor ``(x, y, z)`` on a grid."""
        plane = np.stack(np.meshgrid([0], *map(np.arange, grid.shape[1:]), indexing="ij"), -1)[0]
        affine, factor = self.to_unit @ grid.affine, np.empty(grid.shape, np.float32)
        for x in range(grid.shape[0]):
            factor[x] = np.exp(polynomials(apply_affine(affine, plane + np.array([x, 0, 0]))) @ self.coefficients)
        return factor


@dataclass(frozen=True, eq=False)
class _Found:
    """Field of a guide as fitted to some LR voxels, and how well it is known."""

    coefficients: FloatArray  # (n,)
    rms: float
    error: float  # standard error of the field, RMS


def polynomials(points: FloatArray) -> FloatArray:
    """Products of Legendre polynomials ``(..., n)`` of points ``(..., 3)``, the constant first."""
    x, y, z = np.moveaxis(np.clip(points, -BEYOND, BEYOND), -1, 0)
    products: FloatArray = legvander3d(x, y, z, [ORDER] * 3)[..., DEGREES <= ORDER]
    return products


def no_fields(problem: Problem) -> tuple[ReceiveField, ...]:
    """Fields of 1 for all guides."""
    nothing = ReceiveField(coordinates_of_tissue(problem), np.zeros(int((DEGREES <= ORDER).sum())))
    return (nothing,) * len(problem.sequences)


def has_fields(problem: Problem, part: SolvedPart) -> bool:
    """Whether some guide looks shaded in the middle of the head, so that it is worth looking at all of it."""
    found = [_fitted(problem, part, guide, coordinates_of_tissue(problem)) for guide in range(len(problem.sequences))]
    return any(each is not None and each.rms > max(LEAST_LOOK, LOOK_ERRORS * each.error) for each in found)


def more_fields(
    problem: Problem, fields: Sequence[ReceiveField]
) -> Generator[None, None, tuple[tuple[ReceiveField, ...], float]]:
    """Fields of the guides as they came, with what was found in a problem whose guides were divided by `fields`.

    Also returns the largest change, RMS over tissue. Yields between the steps.
    """
    part = yield from solved_parts(problem)
    changed, largest = [], 0.0
    for guide, field in enumerate(fields):
        yield
        found = _fitted(problem, part, guide, field.to_unit)
        if found is None or not (field.is_corrected or found.rms > max(LEAST_FIELD, LEAST_ERRORS * found.error)):
            changed.append(field)
            continue
        largest = max(largest, found.rms)
        changed.append(_with_strength(replace(field, coefficients=field.coefficients + found.coefficients), problem))
    return tuple(changed), largest


def without_fields(guides: Sequence[WeightedImage], fields: Sequence[ReceiveField]) -> tuple[WeightedImage, ...]:
    """Guides divided by their fields."""
    return tuple(
        replace(guide, data=(guide.data / field.on(guide.grid)).astype(np.float32)) if field.is_corrected else guide
        for guide, field in zip(guides, fields, strict=True)
    )


def coordinates_of_tissue(problem: Problem) -> FloatArray:
    """Affine from mm to coordinates that reach from -1 to 1 over tissue, along the axes of the LR grid."""
    voxels = np.argwhere(problem.tissue.numpy())
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    half = np.maximum(high - low, 1) / 2
    scale = np.diag([*(1 / half), 1.0])
    scale[:3, 3] = -(low + high) / 2 / half
    affine: FloatArray = scale @ np.linalg.inv(problem.lr_grid.affine)
    return affine


def _fitted(problem: Problem, part: SolvedPart, guide: int, to_unit: FloatArray) -> _Found | None:
    """Field of a guide; None if there is none by physics, or too few voxels are compared."""
    sequence = problem.sequences[guide]
    if not sequence.is_scaled_by_pd:
        return None
    found = compared(problem, part, guide, sequence)
    if len(found.voxels) < LEAST_VOXELS:
        return None
    columns = polynomials(apply_affine(to_unit @ problem.lr_grid.affine, found.voxels))
    fit = robust_fit(columns, found.log_ratio, found.reliability)
    shading = columns[:, 1:] - columns[:, 1:].mean(axis=0)
    covariance = fit.covariance(columns, blocks_of(found.voxels))[1:, 1:]
    error = np.sqrt(np.einsum("ij,jk,ik->i", shading, covariance, shading).mean())
    rms = float(np.std(shading @ fit.solution[1:]))
    return _Found(_centred(fit.solution, problem, to_unit), rms, float(error))


def _tissue(problem: Problem, to_unit: FloatArray) -> FloatArray:
    """Polynomials ``(voxel, n)`` in the tissue."""
    return polynomials(apply_affine(to_unit @ problem.lr_grid.affine, np.argwhere(problem.tissue.numpy())))


def _centred(coefficients: FloatArray, problem: Problem, to_unit: FloatArray) -> FloatArray:
    """Coefficients of the same field with the mean 0 over tissue, so that the gain is that of the middle."""
    centred = coefficients.copy()
    centred[0] = -float((_tissue(problem, to_unit)[:, 1:] @ coefficients[1:]).mean())
    return centred


def _with_strength(field: ReceiveField, problem: Problem) -> ReceiveField:
    low, high = np.exp(np.percentile(_tissue(problem, field.to_unit) @ field.coefficients, EXTREMES))
    return replace(field, strength=float(high - low) / 2)
