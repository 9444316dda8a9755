"""A problem one scale up: the LR maps take the place of the HR maps, so that the solution can be compared with them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import zoom

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.preparation.problem import Problem, log_with_floor, prepare, with_floor
from napari_swig_qmri.super_resolution.preparation.tissue import NoTissueError
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.prediction import (
    ONE_SCALE_DOWN,
    grid_one_scale_up,
    make_posterior,
    predict,
)

if TYPE_CHECKING:
    from torch import Tensor

N_STEPS = 2  # of Gauss-Newton: more change the errors by a hundredth
MIXED_WINDOW = 0.5  # standard deviation in LR voxels of the average of squares of what mixed voxels change
LARGEST_SHARE = 1 / 8  # of the HR voxels that the problem one scale up has; a larger LR grid is cropped


@dataclass(frozen=True, eq=False, kw_only=True)
class Rehearsal:
    """Median errors of log maps over tissue, where the LR maps are what is looked for; each ``(3,)``."""

    solved: Tensor  # by super-resolution with the guides
    interpolated: Tensor  # by cubic splines


@dataclass(frozen=True)
class Unrehearsed:
    """Why a run could not be rehearsed: a clause such as ``the maps hold too little tissue``."""

    reason: str


def prepare_like(
    problem: Problem, lr_maps: Tensor, lr_grid: VoxelGrid, guides: Tensor, hr_grid: VoxelGrid
) -> Generator[None, None, Problem]:
    """Problem with the sequences and the quantities of another one, and with other volumes and grids."""
    names = tuple(name for name, measured in zip(QUANTITIES, problem.measured, strict=True) if measured)
    data = lr_maps[torch.tensor(problem.measured)].float().numpy()
    images = [
        WeightedImage(data=guide.float().numpy(), grid=hr_grid, name=f"guide {number}", sequence=sequence)
        for number, (guide, sequence) in enumerate(zip(guides, problem.sequences, strict=True), start=1)
    ]
    return (yield from prepare(QuantitativeMaps(data=data, grid=lr_grid, names=names), images, hr_grid))


def rehearse(
    problem: Problem, gains: Tensor, covariance: Tensor, maps: Tensor | None
) -> Generator[None, None, Rehearsal | Unrehearsed]:
    """Solve a problem one scale up and compare the solution, and cubic interpolation, with the LR maps.

    Yields between the longer steps. `Unrehearsed` if there is no guide, or if the LR maps cannot be truncated further
    or do not fit the guides there.

    Parameters
    ----------
    gains
        ``(guide,)``, scanner units per unit of PD of the problem.
    covariance
        ``(3, 3)``, of the errors of log maps that the regression makes at the scale of the LR maps, as the run measured
        it. Another scale up, where much of the head is on the edge of something, it can be many times larger.
    maps
        Solved HR maps ``(3, X, Y, Z)`` if the run refined the regression with the signal models, None if not.
    """
    if not problem.sequences:
        return Unrehearsed("there is no guide")
    mixed = None if maps is None else mixed_variance(problem, maps)
    problem, mixed = _cropped(problem, mixed)
    grid = grid_one_scale_up(problem)
    is_larger = any(n > n_lr for n, n_lr in zip(grid.shape, problem.lr_grid.shape, strict=True))
    if is_larger or grid.shape == problem.lr_grid.shape:
        return Unrehearsed("the maps hold no detail that could be left out")
    coarse = KSpaceTruncation(problem.lr_grid, grid)(problem.lr_maps.float())
    try:
        above = yield from prepare_like(problem, coarse, grid, problem.lr_guides, problem.lr_grid)
    except NoTissueError:
        return Unrehearsed("the maps hold too little tissue")
    except ValueError as refusal:
        return Unrehearsed(f"with half the detail, {str(refusal).rstrip('.')}")
    log_maps = yield from _solved(above, gains.float() * above.gain_units, covariance, mixed)
    log_maps[0] += float(np.log(above.pd_unit))
    factors = np.divide(problem.lr_grid.shape, grid.shape)
    cubic = [zoom(volume.numpy(), factors, order=3, mode="nearest", grid_mode=True) for volume in coarse]
    where, target = problem.tissue & problem.lr_valid, log_with_floor(problem.lr_maps)
    return Rehearsal(
        solved=_median_error(log_maps, target, where),
        interpolated=_median_error(log_with_floor(torch.as_tensor(np.stack(cubic))), target, where),
    )


def mixed_variance(problem: Problem, maps: Tensor) -> Tensor:
    """Variance ``(guide, x, y, z)`` of LR guides around the signals of LR maps, in units of PD, for HR maps.

    The signal of several tissues in one LR voxel is not that of its LR maps, even if HR guides follow the models.
    """
    lr_maps = with_floor(problem.lr_maps - lr_residual(problem, maps))
    differences = [problem.truncate(each(*maps)) - each(*lr_maps) for each in problem.sequences]
    return torch.stack([gaussian_average(each.square(), MIXED_WINDOW) for each in differences])


def _solved(problem: Problem, gains: Tensor, covariance: Tensor, mixed: Tensor | None) -> Generator[None, None, Tensor]:
    """Log maps ``(3, X, Y, Z)`` of a problem with known gains and a known covariance of its regression errors.

    They are those of the regression alone if the variance `mixed` ``(guide, X, Y, Z)`` of the guides is None.
    """
    prediction = yield from predict(problem)
    prediction = replace(prediction, covariance=covariance.to(prediction.covariance.dtype) / ONE_SCALE_DOWN)
    if mixed is None:
        return log_with_floor(prediction.maps)
    posterior = make_posterior(problem, prediction, gains)
    precision, error = posterior.guide_precision, mixed / problem.gain_units.square().view(-1, 1, 1, 1)
    posterior = replace(posterior, guide_precision=precision / (1 + precision * error))
    start = Iterate.at(posterior.prior_mean, posterior)
    n_planes = planes_of_a_slab(problem.hr_grid.shape, torch.device("cpu"), None)
    refining = refine(posterior, start, n_steps=N_STEPS, n_planes=n_planes, device="cpu")
    return (yield from mapped(refining, lambda _: None)).log_maps


def _median_error(log_maps: Tensor, target: Tensor, where: Tensor) -> Tensor:
    return (log_maps - target)[:, where].abs().median(-1).values


def _cropped(problem: Problem, volumes: Tensor | None) -> tuple[Problem, Tensor | None]:
    """Planes with the most tissue along the least truncated axis, if the LR grid has too many voxels.

    Crops a problem and LR volumes ``(n, x, y, z)`` alike.
    """
    n_hr, n_lr = np.asarray(problem.hr_grid.shape), np.asarray(problem.lr_grid.shape)
    axis = int(np.argmin(n_hr / n_lr))
    kept = max(2, int(n_lr[axis] * LARGEST_SHARE * n_hr.prod() / n_lr.prod()))
    if kept >= n_lr[axis]:
        return problem, volumes
    tissue = problem.tissue.movedim(axis, 0).flatten(1).sum(1).float()
    first = int(tissue.unfold(0, kept, 1).sum(1).argmax())
    x, y, z = (slice(first, first + kept) if each == axis else slice(0, int(n)) for each, n in enumerate(n_lr))
    nx, ny, nz = (round(n * kept / n_lr[axis]) if each == axis else n for each, n in enumerate(problem.hr_grid.shape))
    shape = (x.stop - x.start, y.stop - y.start, z.stop - z.start)
    part = replace(
        problem,
        hr_grid=problem.hr_grid.with_shape((nx, ny, nz)),  # only its shape is used
        lr_grid=problem.lr_grid.box((x.start, y.start, z.start), shape),
        lr_maps=problem.lr_maps[:, x, y, z],
        lr_guides=problem.lr_guides[:, x, y, z],
        lr_valid=problem.lr_valid[x, y, z],
        tissue=problem.tissue[x, y, z],
        coarse=(),
        lr_signals=None,
    )
    return part, None if volumes is None else volumes[:, x, y, z]
