"""Where a result comes from: the shares of LR maps, guides and prior in its maps, voxel by voxel.

The information of all sources adds up to the inverse covariance, S^-1 = sum_k J_k, so that S = sum_k S J_k S: each
source has a share of the variance of a map, which is that of its data in the estimate. It is told for two scales. The
local mean, over an LR voxel, is known from all sources. Detail is what truncation takes: of it the LR maps know
nothing. The prior is the local regression of LR maps on guides.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.physics.signals import signal_and_slope
from napari_swig_qmri.super_resolution.solver.head_box import Box, insert_box
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import (
    inner_product,
    invert_voxelwise,
    multiply_voxelwise,
)
from napari_swig_qmri.super_resolution.solver.posterior import N_QUANTITIES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.solver.observation import Observation
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

WHOLE = 100  # of the shares, which are stored as percentages


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Percentages ``(3, source, X, Y, Z)``, uint8, of the sources of each map: LR maps, guides in order, prior."""

    information: Tensor  # of the mean over an LR voxel
    detail: Tensor  # of what is finer

    def inside(self, box: Box, shape: tuple[int, int, int]) -> Evidence:
        """The same on a grid of which these are the voxels in a box; 0 outside."""
        information, detail = (
            insert_box(shares, box, shares.new_zeros((*shares.shape[:2], *shape)))
            for shares in (self.information, self.detail)
        )
        return Evidence(information=information, detail=detail)


def evidence_at(
    posterior: NegativeLogPosterior, log_maps: Tensor, *, n_planes: int, device: torch.device | str = "cpu"
) -> Generator[float, None, Evidence]:
    """Evidence of a posterior at log maps ``(3, X, Y, Z)``, by `n_planes` HR planes; yields the fraction done."""
    n, n_sources = log_maps.shape[1], len(posterior.sequences) + 2
    shape = (N_QUANTITIES, n_sources, *log_maps.shape[1:])
    information, detail = (torch.empty(shape, dtype=torch.uint8, device=log_maps.device) for _ in range(2))
    for first in range(0, n, n_planes):
        planes = slice(first, min(first + n_planes, n))
        hr = (planes, *EVERYWHERE[1:])
        part, maps = posterior.part(hr, device=device), log_maps[:, planes].to(device).exp()
        sources = list(_sources(part, maps))
        information[:, :, planes] = _percentages(sources)
        of_guides = [torch.zeros_like(sources[0]), *sources[1:]]
        detail[:, :, planes] = _percentages(of_guides)
        yield planes.stop / n
    return Evidence(information=information, detail=detail)


def _sources(part: NegativeLogPosterior, maps: Tensor) -> Iterator[Tensor]:
    """Information ``(3, 3, X, Y, Z)`` about log maps of the LR maps, each guide and the prior."""
    yield _of_observation(part.lr, maps)
    coarse = dict(zip(part.coarse_guides, part.coarse, strict=True))
    for number, (model, _, precision) in enumerate(part.guide_terms()):
        _, slope = signal_and_slope(model, maps)
        own = _outer(slope, precision.expand(maps.shape[1:]))
        yield own + _of_observation(coarse[number], maps) if number in coarse else own
    yield part.prior_precision_per_voxel().expand(N_QUANTITIES, N_QUANTITIES, *maps.shape[1:])


def _of_observation(observation: Observation, maps: Tensor) -> Tensor:
    """Information of an image on another grid about changes that its voxels share."""
    weights = observation.operator.adjoint(observation.whole_variance().reciprocal()).clamp(min=0)
    _, slope = observation.linearised(maps)
    if slope.ndim == maps.ndim:  # the volumes are the maps themselves
        return torch.diag_embed((weights * slope.square()).movedim(0, -1)).movedim((-2, -1), (0, 1))
    return torch.stack([_outer(each, weight) for each, weight in zip(slope, weights, strict=True)]).sum(0)


def _outer(slope: Tensor, weight: Tensor) -> Tensor:
    """Weight ``(X, Y, Z)`` times the outer product of a slope ``(3, X, Y, Z)`` with itself."""
    return weight * slope[:, None] * slope[None]


def _percentages(sources: list[Tensor]) -> Tensor:
    """Share of each source in the variance of each map, ``(3, source, X, Y, Z)``, in percent."""
    covariance = invert_voxelwise(torch.stack(sources).sum(0))
    shares = []
    for row in covariance:
        of_row = [inner_product(row, multiply_voxelwise(source, row)) for source in sources]
        shares.append(torch.stack(of_row))
    of_maps = torch.stack(shares)
    return (WHOLE * of_maps / of_maps.sum(1, keepdim=True)).round().clamp(0, WHOLE).to(torch.uint8)
