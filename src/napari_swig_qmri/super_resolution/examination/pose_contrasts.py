"""Images on the LR grid whose weighted sum is the contrast of a guide, computed from the LR maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.super_resolution.observations.coarse_guides import edges_along
from napari_swig_qmri.super_resolution.preparation.problem import log_with_floor
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import VoxelGrid
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

NEIGHBOURHOOD = 1.0  # standard deviation in LR voxels of the average that tells mixed voxels from uniform ones
THICK = 1.25  # ratio of voxel edges above which a guide is an average over its voxels


def explaining_images(problem: Problem, sequence: SignalModel, grid: VoxelGrid) -> Tensor:
    """Images ``(n, x, y, z)`` on the LR grid, the synthesised contrast of a guide on `grid` first.

    The others are products of powers of the maps, which allow for errors of the sequence and for maps with errors, and
    differences from their neighbourhood, which allow for voxels that hold two tissues: their signal is not that of
    their mean maps. All have the resolution of the LR maps, or that of thicker voxels of `grid`.
    """
    log_maps = log_with_floor(problem.lr_maps)
    centre = log_maps[:, problem.tissue].median(-1).values.view(-1, 1, 1, 1)
    contrast = sequence(*log_maps.exp())
    contrast = contrast / contrast[problem.tissue].abs().median().clamp(min=1e-12)
    _, t1, t2 = log_maps - centre
    pd = (log_maps - centre)[0].exp()
    sum_of = [contrast * contrast, torch.ones_like(pd), pd, contrast * t1, contrast * t2]
    sum_of += [pd * t1, pd * t2, pd * t1 * t2, pd * t1 * t1, pd * t2 * t2]
    around = gaussian_average(torch.stack([contrast, contrast * t1, contrast * t2, t1, t2]), NEIGHBOURHOOD)
    mixed = [around[0], around[1] - contrast * around[3], around[2] - contrast * around[4]]
    images = torch.stack([contrast, *sum_of, *mixed])
    return gaussian_average(images, _blur_of(grid, problem))


def _blur_of(grid: VoxelGrid, problem: Problem) -> list[float]:
    """Standard deviation in LR voxels of the average over thick voxels of a guide, along each axis of the LR grid."""
    edges, hr_edges = (edges_along(each, problem.lr_grid) for each in (grid, problem.hr_grid))
    lr_edges = np.asarray(problem.lr_grid.voxel_size)
    excess = np.where(edges > THICK * hr_edges, edges**2 - hr_edges**2, 0)
    sigmas = np.sqrt(excess / 12) / lr_edges  # a box has the variance edge^2 / 12
    return [float(sigma) for sigma in np.maximum(sigmas, 1e-3)]
