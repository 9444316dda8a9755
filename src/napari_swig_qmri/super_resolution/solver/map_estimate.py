"""Most probable maps of a problem: minimum of the posterior, conflicts of guides and LR maps, noise removed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.progress import Progress, staged
from napari_swig_qmri.super_resolution.solver.conflicts import find_conflict, follow_lr_maps, restart
from napari_swig_qmri.super_resolution.solver.denoising import denoise
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import flattest, noise_level
from napari_swig_qmri.super_resolution.solver.prediction import Noise, lr_structure, pure_tissue

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

DENOISED_PLANES = 16  # most planes that are denoised at a time
FIRST_STEPS, LAST_STEPS = 2, 2  # Gauss-Newton steps before and after conflicts are sought
MATCHING = "matching guides and maps"


@dataclass(frozen=True, eq=False, kw_only=True)
class MapEstimate:
    """Most probable log maps without their noise, and the posterior that they minimise."""

    log_maps: Tensor  # (3, X, Y, Z)
    noise: Tensor  # (3, X, Y, Z), removed from the log maps, or () if none was
    posterior: NegativeLogPosterior
    conflict: Tensor  # (X, Y, Z), 0 = guides used, 1 = only the LR maps


def estimate_maps(
    problem: Problem,
    posterior: NegativeLogPosterior,
    noise: Noise,
    *,
    device: torch.device,
    n_planes: int,
    keep_noise: bool = False,
) -> Generator[Progress, None, MapEstimate]:
    """Minimise the posterior, follow the LR maps alone where guides contradict them, and remove noise.

    `n_planes` HR planes are linearised at a time on `device`. With `keep_noise` noise is not removed.
    """
    first = refine(
        posterior.loosened(),
        Iterate.at(posterior.prior_mean, posterior),
        n_steps=FIRST_STEPS,
        n_planes=n_planes,
        device=device,
    )
    iterate = yield from staged(first, 0.0, 0.45, MATCHING)
    conflict = find_conflict(problem, posterior, noise, iterate.log_maps)
    posterior = follow_lr_maps(posterior, problem, conflict, iterate.log_maps)
    start = restart(iterate, posterior, conflict)
    last = refine(posterior, start, n_steps=LAST_STEPS, n_planes=n_planes, device=device)
    del iterate, start  # releases their volumes
    log_maps = (yield from staged(last, 0.45, 0.9, MATCHING)).log_maps
    if keep_noise:
        return MapEstimate(log_maps=log_maps, noise=log_maps.new_zeros(()), posterior=posterior, conflict=conflict)
    smooth = yield from staged(_denoise(problem, noise, log_maps, n_planes), 0.9, 1.0, "removing noise")
    return MapEstimate(log_maps=smooth, noise=log_maps.sub_(smooth), posterior=posterior, conflict=conflict)


def _denoise(problem: Problem, noise: Noise, log_maps: Tensor, n_planes: int) -> Generator[float, None, Tensor]:
    """Log maps ``(3, X, Y, Z)`` without the white noise that flat tissue has."""
    flat, levels = measure_noise_of_maps(problem, log_maps)
    planes, edges = min(n_planes, DENOISED_PLANES), problem.hr_grid.voxel_size
    return (
        yield from denoise(log_maps, flat, levels, noise.lr_maps, edges, n_planes=planes, compared=problem.measured)
    )


def measure_noise_of_maps(problem: Problem, log_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Flat tissue of the HR grid, boolean ``(X, Y, Z)``, and the white noise of log maps there, ``(3,)``."""
    tissue, structure = pure_tissue(problem), problem.interpolate(lr_structure(problem))
    if not tissue.any():  # tissue of a few scattered voxels
        return tissue, torch.zeros(len(log_maps), dtype=log_maps.dtype)
    levels = [noise_level(log_map, tissue, structure) for log_map in log_maps]
    return flattest(tissue, structure), torch.tensor(levels, dtype=log_maps.dtype)
