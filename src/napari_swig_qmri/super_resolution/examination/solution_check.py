"""Guides compared with the solution: what is left of a move, of shading and of misfit once a run has corrected them.

The solution explains what mixed voxels do to a contrast, and the measured maps what it should be (`guide_contrast`): so
a guide that is still moved or shaded shows, although the solution followed it. A wrong equation shows in voxels that no
maps explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.super_resolution.examination.guide_contrast import compared, robust_fit
from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart, can_be_examined
from napari_swig_qmri.super_resolution.examination.pose_fit import blocks_of
from napari_swig_qmri.super_resolution.examination.receive_field import (
    LEAST_VOXELS,
    coordinates_of_tissue,
    polynomials,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.examination.guide_contrast import RobustFit
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

    IntArray = npt.NDArray[np.intp]

NORMAL = 1.4826  # standard deviation of normal noise over its median magnitude
INSIDE, WITHIN = 0.5, 0.99  # shares of an HR voxel, and of one of a coarse guide, that is tissue to be compared
FOLLOWED = 0.5  # conflict from which the LR maps were followed, so that the guide need not fit
MOST_RESIDUAL = 1.5  # times the noise; right equations leave .2 to 1.4, wrong ones 1.5 to 4
MOST_SHIFT = 0.12  # LR voxel edges; right guides leave .01 to .08
MOST_FIELD = 0.05  # relative, RMS over tissue; right guides leave .001 to .035
LEAST_ERRORS = 4.0  # standard errors that a shift or a field must exceed
DECIMALS = 4  # of the numbers in the JSON


@dataclass(frozen=True, kw_only=True)
class SolutionCheck:
    """What the solution leaves of a guide; None where it cannot be told."""

    residual: float | None = None  # robust standard deviation of what is not explained, over the noise
    shift: float | None = None  # mm, RMS over the head; larger moves than half an LR voxel are told too small
    field: float | None = None  # relative, RMS over tissue
    is_moved: bool = False
    is_shaded: bool = False

    @property
    def is_misfit(self) -> bool:
        """Whether more than noise is left in the voxels of the guide."""
        return self.residual is not None and self.residual > MOST_RESIDUAL

    @property
    def is_off(self) -> bool:
        """Whether anything is left that a reader should know."""
        return self.is_misfit or self.is_moved or self.is_shaded

    def words(self) -> str:
        """What is left, as a clause; empty if nothing could be told."""
        left = [
            *([f"{self.residual:.1f} times its noise"] if self.is_misfit else []),
            *([f"a move of {self.shift:.1f} mm or more"] if self.is_moved else []),
            *([f"a shading of about {100 * self.field:.0f} %"] if self.is_shaded and self.field else []),
        ]
        if left:
            return f"the solution leaves {joined(left)}"
        return "fits the solution" if self.residual is not None or self.shift is not None else ""

    def to_json(self) -> dict[str, float | bool | None]:
        """The numbers: residual over noise, length in mm, field as a fraction."""
        numbers = {"residual_over_noise": self.residual, "shift_left_mm": self.shift, "field_left": self.field}
        rounded = {name: value if value is None else round(value, DECIMALS) for name, value in numbers.items()}
        return {**rounded, "fits": not self.is_off}


def checked_with_solution(
    problem: Problem, maps: Tensor, gains: Tensor, noise: Tensor, conflict: Tensor | None
) -> tuple[SolutionCheck, ...]:
    """Compare each guide of a problem with solved maps.

    Parameters
    ----------
    maps
        ``(3, X, Y, Z)``, PD relative to water.
    gains, noise
        ``(guide,)``, image value per unit of PD, and standard deviation of the noise.
    conflict
        ``(X, Y, Z)``, 0 where the maps follow the guides; None after regression alone, of which nothing is told.
    """
    if conflict is None:
        return (SolutionCheck(),) * len(problem.sequences)
    where = (problem.interpolate(problem.tissue.to(conflict.dtype)) > INSIDE) & (conflict < FOLLOWED)
    checks = []
    for guide, (gain, level) in enumerate(zip(gains, noise.tolist(), strict=True)):
        residual = _residual(problem, guide, maps, gain, where)
        checks.append(_check(problem, maps, guide, residual / level if residual is not None and level > 0 else None))
    return tuple(checks)


def _residual(problem: Problem, guide: int, maps: Tensor, gain: Tensor, where: Tensor) -> float | None:
    """Spread of what the solution does not explain of a guide in voxels ``(X, Y, Z)``; None if it saw none of them.

    A guide with coarse voxels is compared on its own grid.
    """
    coarse = next((each for each in problem.coarse if each.guide == guide), None)
    sequence = problem.sequences[guide]
    if coarse is None:
        inside = where & problem.guide_valid[guide]
        left = problem.guides[guide][inside] - gain * sequence(*(volume[inside] for volume in maps))
    else:
        inside = (coarse.average(where.to(maps.dtype)) > WITHIN) & coarse.valid
        left = (coarse.image - gain * (coarse.average(sequence(*maps)) + coarse.outside))[inside]
    return NORMAL * float(left.abs().median()) if len(left) else None


def _check(problem: Problem, maps: Tensor, guide: int, residual: float | None) -> SolutionCheck:
    """Move and shading that are left of a guide, fitted together to the logarithm of its ratio to its contrast."""
    sequence = problem.sequences[guide]
    if not can_be_examined(problem) or not sequence.is_scaled_by_pd:
        return SolutionCheck(residual=residual)
    found = compared(problem, SolvedPart(maps, problem.lr_valid), guide, sequence)
    if len(found.voxels) < LEAST_VOXELS:
        return SolutionCheck(residual=residual)
    affine = problem.lr_grid.affine
    points, slopes = apply_affine(affine, found.voxels), _slopes(problem, guide, found.voxels)
    offsets = points - points.mean(axis=0)
    shading = polynomials(apply_affine(coordinates_of_tissue(problem) @ affine, found.voxels))
    columns = np.concatenate([shading, -slopes, -np.cross(offsets, slopes)], axis=1)
    fit = robust_fit(columns, found.log_ratio, found.reliability)
    covariance = fit.covariance(columns, blocks_of(found.voxels))
    fields, moves = slice(1, shading.shape[1]), slice(shading.shape[1], None)
    field, field_error = _size(shading[:, None, fields] - shading[:, fields].mean(axis=0), fit, covariance, fields)
    shift, shift_error = _size(_displacements(offsets), fit, covariance, moves)
    edge = float(np.prod(problem.lr_grid.voxel_size)) ** (1 / 3)
    return SolutionCheck(
        residual=residual,
        shift=shift,
        field=field,
        is_moved=shift > max(MOST_SHIFT * edge, LEAST_ERRORS * shift_error),
        is_shaded=field > max(MOST_FIELD, LEAST_ERRORS * field_error),
    )


def _slopes(problem: Problem, guide: int, voxels: IntArray) -> FloatArray:
    """Gradient of the logarithm of a guide on the LR grid, per mm along the scanner axes, ``(voxel, 3)``.

    Exact for a truncated image, whose steepest parts differences of neighbours would flatten.
    """
    image = problem.lr_guides[guide].numpy()
    slopes = [_derivative(image, axis)[tuple(voxels.T)] / image[tuple(voxels.T)] for axis in range(3)]
    gradient: FloatArray = np.stack(slopes, axis=1) @ np.linalg.inv(problem.lr_grid.affine[:3, :3])
    return gradient


def _derivative(image: FloatArray, axis: int) -> FloatArray:
    """Derivative of an image ``(x, y, z)`` by its voxel number along an axis."""
    n = image.shape[axis]
    frequencies = np.fft.rfftfreq(n) * (np.arange(n // 2 + 1) != n / 2)  # the highest one of an even number has none
    factors = np.expand_dims(2j * np.pi * frequencies, [other for other in range(3) if other != axis])
    derivative: FloatArray = np.fft.irfft(factors * np.fft.rfft(image, axis=axis), n, axis=axis)
    return derivative


def _displacements(offsets: FloatArray) -> FloatArray:
    """Displacements ``(voxel, 3, 6)`` of points ``(voxel, 3)`` in mm per mm of shift and per rad of rotation."""
    turned = -np.cross(offsets[:, None], np.eye(3))  # axis x offset, by axis
    return np.concatenate([np.broadcast_to(np.eye(3), turned.shape), turned.swapaxes(1, 2)], axis=2)


def _size(rows: FloatArray, fit: RobustFit, covariance: FloatArray, part: slice) -> tuple[float, float]:
    """RMS over voxels of what a part of the coefficients makes of rows ``(voxel, n, coefficient)``, and its error."""
    variance = np.einsum("vij,jk,vik->", rows, covariance[part, part], rows) / len(rows)
    size = ((rows @ fit.solution[part]) ** 2).sum() / len(rows)
    return float(np.sqrt(size)), float(np.sqrt(max(variance, 0.0)))
