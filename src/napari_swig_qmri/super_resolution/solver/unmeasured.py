"""The prior of quantities that were not measured: unknowns of the problem like the others, with a wide prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.preparation.problem import log_with_floor
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

CURVATURE_LEFT = 0.3  # of the change of a signal that is not linear: best mean SSIM of 0, 0.3 and 1 in nine cases
NEARBY = 1.0  # standard deviation in HR voxels of the window over which tissues may be taken for each other


def with_usual_maps(maps: Tensor, problem: Problem) -> tuple[Tensor, Tensor | None]:
    """Maps ``(3, X, Y, Z)`` with usual values of what was not measured, and the variance ``(n, X, Y, Z)`` of its logs.

    The values are those of the tissues that the measured maps show. The variance is that over a voxel and its
    neighbours: at a border the tissue is uncertain. None if everything was measured.
    """
    if problem.prior is None:
        return maps, None
    unknown = torch.tensor(problem.measured).logical_not()
    means, variances = problem.prior.moments(log_with_floor(maps), problem.measured)
    mean, variance = means[unknown], variances[unknown]
    maps[unknown] = mean.exp().to(maps.dtype)
    average = gaussian_average(mean, NEARBY)
    return maps, gaussian_average(variance + mean.square(), NEARBY) - average.square()


def nonlinearity(
    sequences: Sequence[SignalModel], maps: Tensor, unmeasured: Tensor, measured: Sequence[bool]
) -> Tensor:
    """Variance ``(guide, X, Y, Z)`` of signals, in units of PD, that steps of the solver leave wrong.

    A signal that is curved within the spread of a quantity that was not measured, such as FLAIR over the T1 that fluid
    may have, says less than its slope.

    Parameters
    ----------
    maps
        ``(3, X, Y, Z)``, with usual values of what was not measured.
    unmeasured
        ``(n, X, Y, Z)``, variance of the logarithms of the n quantities that were not measured.
    """
    variance = maps.new_zeros(len(sequences), *maps.shape[1:])
    unknown = [i for i, known in enumerate(measured) if not known]
    for i, spread in zip(unknown, unmeasured, strict=True):
        if i == list(QUANTITIES).index("PD"):  # a factor of the signal, which two steps find
            continue
        factor = torch.ones_like(maps)
        factor[i] = spread.sqrt().exp()
        for each, sequence in zip(variance, sequences, strict=True):
            curvature = (sequence(*(maps * factor)) + sequence(*(maps / factor))) / 2 - sequence(*maps)
            each += (CURVATURE_LEFT * curvature).square()
    return variance


def inverse_of_known(covariance: Tensor, measured: Sequence[bool]) -> Tensor:
    """Inverse ``(3, 3)`` of the covariance of the measured quantities; 0 for the others."""
    missing = torch.tensor([0.0 if known else 1.0 for known in measured], dtype=covariance.dtype).diag()
    inverse: Tensor = torch.linalg.inv(covariance + missing)
    return inverse - missing
