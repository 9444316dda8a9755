"""Input of the network: volumes that describe a solution and what guides and LR maps say about it.

All volumes are in map space, in units of the uncertainty there. Signal models translate any set of sequences to that
space, so that one set of weights serves all of them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.lr_term import MISSING_VARIANCE
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import TruncationOperator
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

N_FEATURES = 21  # volumes
N_LEVELS = 6  # numbers
TYPICAL_LOG_MAPS = (-0.2, 0.2, -2.5)  # log maps of brain tissue
FEATURE_PLANES = 16  # HR planes that are linearised at a time
DETAIL_WINDOW = 1.5  # standard deviation in HR voxels of the average that detail is the difference to
OFF_DIAGONAL = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkInput:
    """A solution as the network sees it, and the unit of the correction; PD relative to water."""

    log_maps: Tensor  # (3, X, Y, Z)
    volumes: Tensor  # (N_FEATURES, X, Y, Z), float16 in examples
    levels: Tensor  # (N_LEVELS,), logarithms of the standard deviations of the prior and of the LR noise
    unit: Tensor  # (3, X, Y, Z), standard deviation of the log maps given guides and prior, float16 in examples


def make_network_input(
    posterior: NegativeLogPosterior, truncate: TruncationOperator, log_maps: Tensor, noise: Tensor, lr_noise: Tensor
) -> Generator[float, None, NetworkInput]:
    """Input of the network for log maps, with their features; yields the finished fraction.

    Volumes hold three of each: the log maps; the step from them to the minimum of guide term and prior; the logarithm
    of its standard deviation; its correlations; the LR residual brought to the HR grid; the detail of the log maps;
    and the noise removed from them. Steps, residuals, detail and noise are in units of that standard deviation.

    Parameters
    ----------
    log_maps
        ``(3, X, Y, Z)``, the minimum of the posterior, whose operator is `truncate`.
    noise
        ``(3, X, Y, Z)``, removed from the log maps, or () if none was.
    lr_noise
        ``(3,)``, standard deviation relative to the value.
    """
    volumes = log_maps.new_empty(N_FEATURES, *log_maps.shape[1:])
    unit = torch.empty_like(log_maps)
    measured = (posterior.lr.variance < MISSING_VARIANCE).all(0)
    residual = truncate.zero_filled(posterior.lr_residual(log_maps) * measured)
    for first in range(0, log_maps.shape[1], FEATURE_PLANES):
        planes = slice(first, first + FEATURE_PLANES)
        _fill_linearised(volumes[:, planes], unit[:, planes], posterior, planes, log_maps[:, planes])
        volumes[12:15, planes] = (residual[:, planes] / log_maps[:, planes].exp() / unit[:, planes]).asinh()
        yield 0.7 * (first + FEATURE_PLANES) / (log_maps.shape[1] + FEATURE_PLANES)
    for row, (log_map, deviation) in enumerate(zip(log_maps, unit, strict=True), start=15):
        volumes[row] = ((log_map - gaussian_average(log_map, DETAIL_WINDOW)) / deviation).asinh()
        yield 0.7 + 0.1 * (row - 14)
    volumes[18:21] = (noise / unit).asinh()
    prior_variance = torch.linalg.inv(posterior.prior_precision).diagonal()
    levels = torch.cat([prior_variance.log() / 2 + 3, lr_noise.log() + 4])
    return NetworkInput(log_maps=log_maps, volumes=volumes, levels=levels, unit=unit)


def _fill_linearised(
    volumes: Tensor, deviation: Tensor, posterior: NegativeLogPosterior, planes: slice, log_maps: Tensor
) -> None:
    """Fill in features 0 to 11 ``(N_FEATURES, n, Y, Z)`` and the standard deviation ``(3, n, Y, Z)`` of a slab."""
    _, covariance, step = posterior.part((planes, slice(None), slice(None))).linearised(log_maps)
    torch.sqrt(torch.stack([covariance[i, i] for i in range(3)]), out=deviation)
    volumes[0:3] = log_maps - log_maps.new_tensor(TYPICAL_LOG_MAPS).view(-1, 1, 1, 1)
    volumes[3:6] = (step / deviation).asinh()
    volumes[6:9] = deviation.log() + 3.5
    for row, (i, j) in enumerate(OFF_DIAGONAL, start=9):
        volumes[row] = covariance[i, j] / (deviation[i] * deviation[j])
