"""Gains of the guides: scanner units per unit of PD, found from the LR residual of the solution.

The start is the ratio of each guide to its synthesised contrast in flat tissue. A wrong gain biases the LR residual of
the solution. If a correction by more than `TRUSTED` is needed, gains are corrected by damped least squares in up to
`ROUNDS` rounds. The derivatives are measured by solving again with each gain changed a little, on a few blocks with
the most tissue.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import Slices, relative_axes
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import flattest, local_variance
from napari_swig_qmri.super_resolution.solver.prediction import Prediction, make_posterior

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

    Block = tuple[NegativeLogPosterior, Tensor, Tensor]  # posterior of a block, its LR maps, and where they are tissue

ROUNDS = 3
GAIN_PROBE = 0.02  # relative change of a gain by which its effect is measured
TRUSTED = 0.03  # smaller relative corrections are not applied: the start was closer in every case measured
GAIN_DAMPING = 0.3  # combinations of gains that change the bias by less than this stay near their start
MAX_CHANGE = 0.3  # of the logarithm of a gain in a round
BLOCK_EDGE = 72  # HR voxels along the edge of a block
BLOCK_PLANES = 32  # of a block that are linearised at a time
N_BLOCKS = 6
N_STEPS = 3  # Gauss-Newton steps of the first solution; later ones start from it and take one
RATIO_SHARE = 0.03  # share of the tissue voxels, those with the lowest local variance, for the starting ratio
MIN_RATIO_VOXELS = 200  # LR voxels
RATIO_WINDOW = 0.7  # standard deviation in LR voxels of the average for the starting ratio


def start_gains(problem: Problem) -> Tensor:
    """Ratio ``(guide,)`` of each guide to its contrast synthesised from the LR maps, in the flattest tissue.

    Scanner units per unit of PD relative to water; 1 for contrasts that PD does not scale. Elsewhere the ratio is
    biased: truncating maps and then computing the contrast differs from truncating the contrast.
    """
    if not problem.sequences:
        return torch.zeros(0)
    lr_guides = gaussian_average(problem.lr_guides, RATIO_WINDOW)
    lr_maps = gaussian_average(problem.lr_maps, RATIO_WINDOW)
    flat = _flat_tissue(problem)
    ratios = [
        (image[flat] / sequence(*lr_maps[:, flat])).median() if sequence.is_scaled_by_pd else torch.ones(())
        for sequence, image in zip(problem.sequences, lr_guides, strict=True)
    ]
    return torch.stack(ratios)


def _flat_tissue(problem: Problem) -> Tensor:
    """Tissue with the lowest local variance in PD, T1 and the guides; boolean ``(x, y, z)``."""
    images = torch.cat([problem.lr_maps[:2], problem.lr_guides])
    levels = images[:, problem.tissue].abs().median(-1).values.clamp(min=1e-12)
    variance = local_variance(images / levels.view(-1, 1, 1, 1))
    share = max(RATIO_SHARE, min(1.0, MIN_RATIO_VOXELS / int(problem.tissue.sum())))
    return flattest(problem.tissue, variance, share)


def find_gains(
    problem: Problem, prediction: Prediction, device: torch.device | str, *, trusted: float = TRUSTED
) -> Generator[None, None, Tensor]:
    """Gains ``(guide,)`` in scanner units per unit of PD relative to water; yields between solutions.

    Corrections of the starting gains by less than a share of `trusted` are not applied.
    """
    gains = start_gains(problem)
    scaled = [k for k, sequence in enumerate(problem.sequences) if sequence.is_scaled_by_pd]
    if not scaled:
        return gains
    measured, change = torch.tensor(problem.measured), torch.zeros_like(gains)
    blocks, starts = _blocks_and_starts(problem, make_posterior(problem, prediction, gains), device)
    solved = yield from _solve_blocks(blocks, change, starts, N_STEPS)
    bias = _bias(blocks, solved, measured)
    slopes = yield from _slopes_of_bias(blocks, solved, scaled, bias, measured)
    normal = slopes.T @ slopes + GAIN_DAMPING**2 * torch.eye(len(gains), dtype=bias.dtype)
    for _ in range(ROUNDS):
        step = torch.linalg.solve(normal, -slopes.T @ bias).clamp(-MAX_CHANGE, MAX_CHANGE)
        if step.abs().max() < trusted:
            break
        change = change + step
        solved = yield from _solve_blocks(blocks, change, solved, 1)
        bias = _bias(blocks, solved, measured)
    return gains * change.exp()


def _blocks_and_starts(
    problem: Problem, posterior: NegativeLogPosterior, device: torch.device | str
) -> tuple[list[Block], list[Iterate]]:
    """Loosened posteriors of the blocks with the most tissue, and the prior mean inside each."""
    log_maps = posterior.prior_mean
    maps = log_maps.exp()
    residuals = [each.residual(maps) for each in posterior.observations]
    del maps
    blocks, starts = [], []
    for hr, lr in richest_blocks(problem):
        part = posterior.restricted(hr, lr, log_maps, residuals, device)
        lr_maps = problem.lr_maps[(slice(None), *lr)].to(device)
        blocks.append((part.loosened(), lr_maps, problem.tissue[lr].to(device)))
        starts.append(Iterate.at(log_maps[(slice(None), *hr)].to(device), part))
    return blocks, starts


def richest_blocks(problem: Problem, edge: int = BLOCK_EDGE, n_blocks: int = N_BLOCKS) -> list[tuple[Slices, Slices]]:
    """Blocks of at most `edge` HR voxels with the most tissue: HR voxels, and the LR voxels centred in them.

    At most `n_blocks`, in falling order of tissue. Blocks without tissue are left out.
    """
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    axes = []
    for n, n_lr, step, start in zip(problem.hr_grid.shape, problem.lr_grid.shape, spacing, first, strict=True):
        cuts = np.linspace(0, n, -(-n // edge) + 1).round().astype(int)
        rows = np.searchsorted(start + step * np.arange(n_lr), cuts - 0.5)
        axes.append([(slice(*hr), slice(*lr)) for hr, lr in zip(pairwise(cuts), pairwise(rows), strict=True)])
    blocks = [((x[0], y[0], z[0]), (x[1], y[1], z[1])) for x, y, z in product(*axes)]
    counted = [(int(problem.tissue[lr].sum()), (hr, lr)) for hr, lr in blocks]
    counted.sort(key=lambda pair: pair[0], reverse=True)
    return [block for n_tissue, block in counted[:n_blocks] if n_tissue]


def _solve_blocks(
    blocks: Sequence[Block], change: Tensor, starts: Sequence[Iterate], n_steps: int
) -> Generator[None, None, list[Iterate]]:
    """Solutions of the blocks with the logarithms of the gains changed by `change` ``(guide,)``."""
    solved = []
    for (posterior, *_), start in zip(blocks, starts, strict=True):
        rescaled = posterior.rescaled(change.exp())
        steps = refine(rescaled, start, n_steps=n_steps, n_planes=BLOCK_PLANES, device=rescaled.guides.device)
        solved.append((yield from mapped(steps, lambda _: None)))
    return solved


def _bias(blocks: Sequence[Block], solved: Sequence[Iterate], measured: Tensor) -> Tensor:
    """Median relative LR residual over tissue, of each measured map."""
    relative = [
        (posterior.lr_residual(iterate.log_maps) / lr_maps)[measured][:, tissue]
        for (posterior, lr_maps, tissue), iterate in zip(blocks, solved, strict=True)
    ]
    return torch.cat(relative, dim=1).median(-1).values.cpu()


def _slopes_of_bias(
    blocks: Sequence[Block], solved: Sequence[Iterate], scaled: Sequence[int], bias: Tensor, measured: Tensor
) -> Generator[None, None, Tensor]:
    """Derivatives ``(map, guide)`` of the bias by the logarithms of the gains, measured by solving again."""
    n_guides = len(blocks[0][0].guides)
    slopes = torch.zeros(len(bias), n_guides, dtype=bias.dtype)
    for k in scaled:
        probe = torch.zeros(n_guides, dtype=bias.dtype)
        probe[k] = GAIN_PROBE
        changed = yield from _solve_blocks(blocks, probe, solved, 1)
        slopes[:, k] = (_bias(blocks, changed, measured) - bias) / GAIN_PROBE
    return slopes
