"""What a network sees of a solution: where it stands, what guides and LR maps still ask for, how sure they are.

All of it lives in map space and in units of the uncertainty there: the physics translates whatever sequences there
are, and one set of weights serves them all.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.prediction import MISSING_VARIANCE
from napari_swig_qmri.super_resolution.solver.regression import gaussian_average
from napari_swig_qmri.super_resolution.solver.voxel_matrices import invert_voxelwise, multiply_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import TruncationOperator
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

N_FEATURES = 21  # volumes
N_LEVELS = 6  # numbers
TYPICAL = (-0.2, 0.2, -2.5)  # log maps of brain tissue
PLANES = 16  # HR planes that are linearised at a time
NEARBY = 1.5  # standard deviation in HR voxels of what detail stands out from
OFF_DIAGONAL = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Features:
    """Input of the network and the unit of its output."""

    volumes: Tensor  # (N_FEATURES, X, Y, Z)
    levels: Tensor  # (N_LEVELS,), logarithms of the standard deviations of the prior and of the LR noise
    unit: Tensor  # (3, X, Y, Z), standard deviation of the log maps given guides and prior


def compute_features(
    posterior: NegativeLogPosterior, truncate: TruncationOperator, log_maps: Tensor, noise: Tensor, lr_noise: Tensor
) -> Generator[float, None, Features]:
    """Features of log maps ``(3, X, Y, Z)`` under a posterior whose operator is `truncate`.

    `noise` ``(3, X, Y, Z)`` is what was taken out of the log maps, and `lr_noise` ``(3,)`` is relative to the value.

    Per quantity: the log map; the step that guides and prior ask for; its standard deviation, as a logarithm, and the
    three correlations; the LR residual brought to the HR grid; the detail of the log map; and what was taken out of
    it, all but the first in units of that standard deviation. Yields the finished fraction.
    """
    prior_variance = torch.linalg.inv(posterior.prior_precision).diagonal()
    measured = posterior.lr_variance < MISSING_VARIANCE
    residual = truncate.zero_filled(posterior.lr_residual(log_maps) * measured)
    volumes = log_maps.new_empty(N_FEATURES, *log_maps.shape[1:])
    unit = torch.empty_like(log_maps)
    for first in range(0, log_maps.shape[1], PLANES):
        planes = slice(first, first + PLANES)
        part = posterior.part((planes, slice(None), slice(None)))
        here, out, deviation = log_maps[:, planes], volumes[:, planes], unit[:, planes]
        maps = here.exp()
        precision, descent = part.curvature_and_descent(here, maps)
        covariance = invert_voxelwise(precision)
        torch.sqrt(torch.stack([covariance[i, i] for i in range(3)]), out=deviation)
        out[0:3] = here - here.new_tensor(TYPICAL).view(-1, 1, 1, 1)
        out[3:6] = (multiply_voxelwise(covariance, descent) / deviation).asinh()
        out[6:9] = deviation.log() + 3.5
        for row, (i, j) in enumerate(OFF_DIAGONAL, start=9):
            out[row] = covariance[i, j] / (deviation[i] * deviation[j])
        out[12:15] = (residual[:, planes] / maps / deviation).asinh()
        yield 0.7 * (first + PLANES) / (log_maps.shape[1] + PLANES)
    for row, (log_map, deviation) in enumerate(zip(log_maps, unit, strict=True), start=15):
        volumes[row] = ((log_map - gaussian_average(log_map, NEARBY)) / deviation).asinh()
        yield 0.7 + 0.1 * (row - 14)
    volumes[18:21] = (noise / unit).asinh()
    levels = torch.cat([prior_variance.log() / 2 + 3, lr_noise.log() + 4])
    return Features(volumes=volumes, levels=levels, unit=unit)
