"""Guides on the LR grid beside their contrast as the LR maps tell it.

A voxel that holds several tissues has not the signal of its mean maps. The difference is taken from a solved part of
the head, and voxels where it is large count less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.super_resolution.preparation.problem import seen_share, with_floor

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

LEAST_SIGNAL = 0.1  # of its median over tissue, below which noise makes the logarithm of a signal useless
LEAST_SEEN = 0.95  # share of an LR voxel that a guide has measured
MOST_T2 = 0.4  # s; LR voxels with more hold CSF
MIXED = 0.05  # difference between signal and signal of the mean maps, as a logarithm, at which a voxel counts half
CAUCHY = 1.5  # standard deviations of the residual at which a voxel has half its weight
N_REWEIGHTINGS = 12


@dataclass(frozen=True, eq=False)
class Comparison:
    """Tissue voxels in which a guide is compared with its contrast."""

    voxels: npt.NDArray[np.intp]  # (voxel, 3), of the LR grid
    log_ratio: FloatArray  # (voxel,), of the guide to its contrast
    reliability: FloatArray  # (voxel,), 1 for uniform and less for mixed voxels


@dataclass(frozen=True, eq=False)
class RobustFit:
    """Weighted least squares with Cauchy weights."""

    solution: FloatArray  # (column,)
    residual: FloatArray  # (voxel,)
    weight: FloatArray  # (voxel,)
    level: float  # robust standard deviation of the residual
    normal: FloatArray  # (column, column)

    def covariance(self, columns: FloatArray, blocks: npt.NDArray[np.intp]) -> FloatArray:
        """Covariance ``(column, column)`` of the solution for columns ``(voxel, column)``, a sandwich estimate.

        It follows from how much blocks of voxels disagree, whose numbers ``(voxel,)`` are given.
        """
        pull = (self.weight * self.residual)[:, None] * columns
        pulls = np.stack([np.bincount(blocks, each) for each in pull.T], axis=1)
        inverse = np.linalg.inv(self.normal)
        covariance: FloatArray = inverse @ pulls.T @ pulls @ inverse
        return covariance


def compared(problem: Problem, part: SolvedPart, guide: int, sequence: SignalModel) -> Comparison:
    """Compare a guide of a problem, by its number, with the contrast of a sequence."""
    rows = part.rows
    truncate, lr = problem.truncate.restricted(EVERYWHERE, rows), problem.lr_maps[(slice(None), *rows)]
    of_means, means_of = sequence(*with_floor(truncate(part.maps))), truncate(sequence(*with_floor(part.maps)))
    expected, measured = sequence(*with_floor(lr)) + means_of - of_means, problem.lr_guides[(guide, *rows)]
    seen = seen_share(problem, problem.guide_valid[guide], rows) > LEAST_SEEN
    where = part.inner[rows] & problem.tissue[rows] & seen & (lr[2] < MOST_T2)
    for image in (expected, measured):
        where = where & (image.abs() > LEAST_SIGNAL * image[where].abs().median() if where.any() else where)
    where &= (measured * expected > 0) & (means_of * of_means > 0)
    mixed = (means_of / of_means)[where].log()
    return Comparison(
        voxels=np.argwhere(where.numpy()) + [each.start for each in rows],
        log_ratio=(measured / expected)[where].log().numpy().astype(float),
        reliability=(1 / (1 + (mixed / MIXED) ** 2)).numpy().astype(float),
    )


def robust_fit(columns: FloatArray, values: FloatArray, reliability: FloatArray) -> RobustFit:
    """Fit values ``(voxel,)`` by columns ``(voxel, column)``."""
    residual: FloatArray = values - np.median(values)
    for _ in range(N_REWEIGHTINGS):
        level = 1.4826 * _weighted_median(np.abs(residual), reliability) + 1e-9
        weight = reliability / (1 + (residual / (CAUCHY * level)) ** 2)
        normal = columns.T @ (weight[:, None] * columns)
        normal[np.diag_indices(len(normal))] *= 1 + 1e-6
        solution = np.linalg.solve(normal, columns.T @ (weight * values))
        residual = values - columns @ solution
    return RobustFit(solution, residual, weight, level, normal)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
