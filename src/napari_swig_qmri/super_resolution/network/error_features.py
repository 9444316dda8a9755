"""What a run can tell about the errors of its maps, voxel by voxel: the input of the error model.

All volumes are logarithms of errors of log maps: standard deviations that follow from noise and prior, and magnitudes
of what does not fit. They are relative, so that one model serves all sequences, resolutions and noise levels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.super_resolution.preparation.problem import log_with_floor, with_floor
from napari_swig_qmri.super_resolution.solver.conflicts import fluid_share
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.covariance import Curvature
    from napari_swig_qmri.super_resolution.solver.map_estimate import MapEstimate

N_PER_MAP = 11  # volumes of each map
N_ERROR_FEATURES = 3 * N_PER_MAP + 3  # and three for all maps
AROUND = 1.0  # standard deviation in voxels of local averages
HALO = 4  # planes that the features of a voxel reach to
LEAST, LARGEST = 1e-9, 10.0  # of squared errors of log maps
LEAST_MISFIT, LARGEST_MISFIT = 1e-3, 1e3  # of squared misfits in units of the noise


@dataclass(frozen=True, eq=False, kw_only=True)
class ErrorEvidence:
    """A solved problem, with what its errors are read from."""

    problem: Problem
    estimate: MapEstimate
    curvature: Curvature
    lr_misfit: Tensor  # (3, x, y, z), squared relative LR residual
    fluid: Tensor  # (x, y, z), share of CSF

    @classmethod
    def of(cls, problem: Problem, estimate: MapEstimate, curvature: Curvature) -> ErrorEvidence:
        """Evidence of a solved problem and the curvature of its posterior."""
        measured = torch.tensor(problem.measured).view(-1, 1, 1, 1) & problem.lr_valid
        residual = estimate.posterior.lr_residual(estimate.log_maps) / with_floor(problem.lr_maps)
        misfit = torch.where(measured, residual.square(), 0.0)
        return cls(
            problem=problem, estimate=estimate, curvature=curvature, lr_misfit=misfit, fluid=fluid_share(problem)
        )

    def features(self, planes: slice) -> Tensor:
        """Features ``(N_ERROR_FEATURES, n, Y, Z)`` of some HR planes."""
        n = self.estimate.log_maps.shape[1]
        wide = slice(max(0, planes.start - HALO), min(n, planes.stop + HALO))
        inner = slice(planes.start - wide.start, planes.stop - wide.start)
        return torch.cat([each[:, inner] for each in self._volumes(wide)])

    def _volumes(self, planes: slice) -> Iterator[Tensor]:
        """Features of some HR planes, three or one at a time; the planes at the ends lack their surroundings."""
        block = (slice(None), planes)
        log_maps, posterior = self.estimate.log_maps[block], self.estimate.posterior
        interpolate = self.problem.interpolate.restricted(EVERYWHERE, (planes, slice(None), slice(None)))
        yield _log_root(self.curvature.variance[block])
        yield _log_root(self.curvature.without_images[block])
        yield from _with_surroundings(self.curvature.pull[block].square())
        yield _log_root(interpolate(self.lr_misfit))
        yield _log_root(interpolate(gaussian_average(self.lr_misfit, AROUND)))
        yield from _with_surroundings((log_maps - log_with_floor(interpolate(self.problem.lr_maps))).square())
        yield from _with_surroundings((log_maps - posterior.prior_mean[block]).square())
        removed = self.estimate.noise
        yield _log_root(removed[block].square() if removed.ndim else torch.zeros_like(log_maps))
        misfit = gaussian_average(self._guide_misfit(planes), AROUND)
        yield misfit.clamp(LEAST_MISFIT, LARGEST_MISFIT).log()[None] / 2
        yield 2 * interpolate(self.fluid)[None]
        yield 2 * self.estimate.conflict[planes][None]

    def _guide_misfit(self, planes: slice) -> Tensor:
        """Mean squared residual of the guides ``(n, Y, Z)`` in units of their noise."""
        part = self.estimate.posterior.part((planes, slice(None), slice(None)))
        maps = self.estimate.log_maps[:, planes].exp()
        residuals = [precision * (model(*maps) - image).square() for model, image, precision in part.guide_terms()]
        return torch.stack(residuals).mean(0)


def _log_root(squares: Tensor) -> Tensor:
    """Logarithm of the square root of squared errors."""
    return squares.clamp(LEAST, LARGEST).log() / 2


def _with_surroundings(squares: Tensor) -> Iterator[Tensor]:
    """Logarithms of errors ``(3, n, Y, Z)``, in the voxel itself and around it."""
    yield _log_root(squares)
    yield _log_root(gaussian_average(squares, AROUND))
