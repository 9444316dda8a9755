"""Gains of the guides: scanner units per unit of PD, found from the solution itself.

A closed-form ratio in flat tissue starts them. A wrong gain shows as a bias of the solution's LR residual, so
where the residual asks for more than it can be wrong itself, the gains are moved until no map has a bias: a small
least-squares problem whose derivatives are measured by solving again with each gain changed a little, on a few
blocks with the most tissue.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.noise import local_variance, subsample
from napari_swig_qmri.super_resolution.solver.prediction import make_posterior
from napari_swig_qmri.super_resolution.solver.regression import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior
    from napari_swig_qmri.super_resolution.solver.prediction import Prediction
    from napari_swig_qmri.super_resolution.solver.problem import Problem

    Part = tuple[NegativeLogPosterior, Tensor]  # a block, and which of its LR voxels are tissue

ROUNDS = 3
PROBE = 0.02  # relative change of a gain that its effect is measured with
TRUSTED = 0.03  # relative correction up to which the start was closer in every case measured
DAMPING = 0.3  # of the steps: combinations of gains with less effect on the bias than this stay where they start
MAX_STEP = 0.3
EDGE = 72  # HR voxels along the edge of a block that gains are found in
N_PLANES = 32  # of a block that are linearised at a time
N_BLOCKS = 6
N_STEPS = 3  # Gauss-Newton steps of the first solution; later ones start from it
LOOSENED = 9.0  # factor on the LR variance, so that the residual shows what the guides say
FLAT = 0.03  # share of tissue voxels, those with the least change around them, for the starting ratio
MIN_FLAT = 200  # LR voxels
WINDOW = 0.7  # standard deviation in LR voxels of the average that is taken there


def start_gains(problem: Problem) -> Tensor:
    """Ratio of each guide to its contrast of the LR maps, in the flattest tissue; ``(guide,)``.

    Elsewhere the ratio is off, for the contrast of truncated maps is not the truncated contrast.
    """
    if not problem.sequences:
        return torch.zeros(0)
    lr_guides = gaussian_average(problem.lr_guides, WINDOW)
    lr_maps = gaussian_average(problem.lr_maps, WINDOW)
    flat = _flat_tissue(problem)
    ratios = [
        (image[flat] / sequence(*lr_maps[:, flat])).median()
        for sequence, image in zip(problem.sequences, lr_guides, strict=True)
    ]
    return torch.stack(
        [
            ratio if sequence.is_scaled_by_pd else torch.ones(())
            for sequence, ratio in zip(problem.sequences, ratios, strict=True)
        ]
    )


def _flat_tissue(problem: Problem) -> Tensor:
    """Tissue with the least change around it; boolean ``(x, y, z)``."""
    images = torch.cat([problem.lr_maps[:2], problem.lr_guides])
    levels = images[:, problem.tissue].abs().median(-1).values.clamp(min=1e-12)
    variance = local_variance(images / levels.view(-1, 1, 1, 1))
    found = variance[problem.tissue]
    share = max(FLAT, min(1.0, MIN_FLAT / len(found)))
    return problem.tissue & (variance <= subsample(found).quantile(share))


def find_gains(problem: Problem, prediction: Prediction, device: torch.device | str) -> Generator[None, None, Tensor]:
    """Gains ``(guide,)`` in scanner units per unit of PD relative to water; yields between solutions."""
    gains = start_gains(problem)
    scaled = [k for k, sequence in enumerate(problem.sequences) if sequence.is_scaled_by_pd]
    if not scaled:
        return gains
    posterior = make_posterior(problem, prediction, gains)
    start = posterior.prior_mean
    residual = posterior.lr_residual(start)
    parts, solved = [], []
    for hr, lr in richest_blocks(problem):
        part = posterior.restricted(hr, lr, start, residual, device)
        parts.append((replace(part, lr_variance=LOOSENED * part.lr_variance), problem.tissue[lr].to(device)))
        solved.append(Iterate.at(start[(slice(None), *hr)].to(device), part))
    log_ratio = torch.zeros_like(gains)
    solved = yield from _solved(parts, log_ratio, solved, N_STEPS)
    measured = torch.tensor(problem.measured)
    bias = _bias(parts, solved, measured)
    slopes = torch.zeros(len(bias), len(gains), dtype=bias.dtype)
    for k in scaled:
        probe = log_ratio.clone()
        probe[k] = PROBE
        slopes[:, k] = (_bias(parts, (yield from _solved(parts, probe, solved, 1)), measured) - bias) / PROBE
    normal = slopes.T @ slopes + DAMPING**2 * torch.eye(len(gains), dtype=bias.dtype)
    for _ in range(ROUNDS):
        step = torch.linalg.solve(normal, -slopes.T @ bias).clamp(-MAX_STEP, MAX_STEP)
        if step.abs().max() < TRUSTED:
            break
        log_ratio = log_ratio + step
        solved = yield from _solved(parts, log_ratio, solved, 1)
        bias = _bias(parts, solved, measured)
    return gains * log_ratio.exp()


def richest_blocks(problem: Problem) -> list[tuple[Slices, Slices]]:
    """HR voxels of the blocks with the most voxels of tissue, and the LR voxels centred in each."""
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    axes = []
    for n, n_lr, step, start in zip(problem.hr_grid.shape, problem.lr_grid.shape, spacing, first, strict=True):
        cuts = np.linspace(0, n, -(-n // EDGE) + 1).round().astype(int)
        rows = np.searchsorted(start + step * np.arange(n_lr), cuts - 0.5)
        axes.append([(slice(*hr), slice(*lr)) for hr, lr in zip(pairwise(cuts), pairwise(rows), strict=True)])
    blocks = [((x[0], y[0], z[0]), (x[1], y[1], z[1])) for x, y, z in product(*axes)]
    counted = [(int(problem.tissue[block[1]].sum()), block) for block in blocks]
    counted.sort(key=lambda pair: pair[0], reverse=True)
    return [block for n_tissue, block in counted[:N_BLOCKS] if n_tissue]


def _solved(
    parts: Sequence[Part], log_ratio: Tensor, starts: Sequence[Iterate], n_steps: int
) -> Generator[None, None, list[Iterate]]:
    """Solutions of the blocks with gains changed by a factor exp(`log_ratio`) ``(guide,)``."""
    solutions = []
    for (part, _), start in zip(parts, starts, strict=True):
        ratio = log_ratio.exp().view(-1, 1, 1, 1).to(part.guides)
        changed = replace(part, guides=part.guides / ratio, guide_precision=part.guide_precision * ratio.square())
        solving = refine(changed, start, n_steps=n_steps, n_planes=N_PLANES, device=part.guides.device)
        solutions.append((yield from mapped(solving, lambda _: None)))
    return solutions


def _bias(parts: Sequence[Part], solved: Sequence[Iterate], measured: Tensor) -> Tensor:
    """Median relative LR residual of each measured map over tissue."""
    relative = [
        (part.lr_residual(iterate.log_maps) / part.lr_maps)[measured][:, tissue]
        for (part, tissue), iterate in zip(parts, solved, strict=True)
    ]
    return torch.cat(relative, dim=1).median(-1).values.cpu()
