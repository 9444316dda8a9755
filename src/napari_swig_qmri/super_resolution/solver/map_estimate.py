"""The most probable maps of a problem: refinement, conflicts of guides and LR maps, and noise taken out."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_swig_qmri.progress import Progress, staged
from napari_swig_qmri.super_resolution.solver.conflicts import find_conflict, follow_lr_maps, restart
from napari_swig_qmri.super_resolution.solver.denoising import denoise
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.noise import FLAT_SHARE, noise_level, subsample
from napari_swig_qmri.super_resolution.solver.prediction import lr_structure, pure_tissue

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior
    from napari_swig_qmri.super_resolution.solver.prediction import Noise
    from napari_swig_qmri.super_resolution.solver.problem import Problem

T = TypeVar("T")

SMOOTHED_PLANES = 16  # planes that noise is taken out of at a time, on the CPU
FIRST_STEPS, LAST_STEPS = 2, 2  # Gauss-Newton steps before and after conflicts are looked for
LOOSENED = 9.0  # factor on the LR variance in the first steps, so that conflicts show in the LR residual


@dataclass(frozen=True, eq=False, kw_only=True)
class MapEstimate:
    """The most probable log maps with noise taken out, and the objective that they come from."""

    log_maps: Tensor  # (3, X, Y, Z)
    noise: Tensor  # (3, X, Y, Z), what was taken out, or () if nothing was
    posterior: NegativeLogPosterior
    conflict: Tensor  # (X, Y, Z)


def estimate_maps(
    problem: Problem,
    posterior: NegativeLogPosterior,
    noise: Noise,
    *,
    device: torch.device,
    n_planes: int,
    keep_noise: bool = False,
) -> Generator[Progress, None, MapEstimate]:
    """Maximum of the posterior, the LR maps alone followed where they and the guides disagree; noise is taken out."""
    loosened = replace(posterior, lr_variance=LOOSENED * posterior.lr_variance)
    steps = refine(
        loosened, Iterate.at(posterior.prior_mean, posterior), n_steps=FIRST_STEPS, n_planes=n_planes, device=device
    )
    iterate = yield from staged(steps, 0.0, 0.45, "matching guides and maps")
    conflict = find_conflict(problem, posterior, noise, iterate.log_maps)
    posterior = follow_lr_maps(posterior, problem, conflict)
    steps = refine(
        posterior, restart(iterate, posterior, conflict), n_steps=LAST_STEPS, n_planes=n_planes, device=device
    )
    del loosened, iterate
    log_maps = (yield from staged(steps, 0.45, 0.9, "matching guides and maps")).log_maps
    if keep_noise:
        return MapEstimate(log_maps=log_maps, noise=log_maps.new_zeros(()), posterior=posterior, conflict=conflict)
    flat, level = measure_noise_of_maps(problem, log_maps)
    planes = min(n_planes, SMOOTHED_PLANES)
    smoothing = denoise(log_maps, flat, level, problem.hr_grid.voxel_size, n_planes=planes)
    smooth = yield from staged(smoothing, 0.9, 1.0, "taking out noise")
    return MapEstimate(log_maps=smooth, noise=log_maps.sub_(smooth), posterior=posterior, conflict=conflict)


def measure_noise_of_maps(problem: Problem, log_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Flat tissue of the HR grid, boolean ``(X, Y, Z)``, and the white noise of log maps there, ``(3,)``."""
    tissue, structure = pure_tissue(problem), problem.interpolate(lr_structure(problem))
    if not tissue.any():  # none of a few scattered voxels is pure
        return tissue, torch.zeros(len(log_maps), dtype=log_maps.dtype)
    levels = [noise_level(log_map, tissue, structure) for log_map in log_maps]
    flat = tissue & (structure <= subsample(structure[tissue]).quantile(FLAT_SHARE))
    return flat, torch.tensor(levels, dtype=log_maps.dtype)
