"""The training-free engine: regression, gains, refinement, and what to do where guides and maps disagree."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri import calibration as cal
from napari_swig_qmri.gains import find_gains, start_gains
from napari_swig_qmri.posterior import bounded
from napari_swig_qmri.prediction import posterior_of, predict
from napari_swig_qmri.preparation import FLOOR
from napari_swig_qmri.quantities import T1, T2
from napari_swig_qmri.refine import BYTES_PER_VOXEL, HALO, Block, Blocking, refine
from napari_swig_qmri.regression import WINDOW, gaussian_window
from napari_swig_qmri.results import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.posterior import NegativeLogPosterior
    from napari_swig_qmri.prediction import Noise, Prediction
    from napari_swig_qmri.preparation import Problem

T = TypeVar("T")

CPU_EDGE = 80  # HR voxels along the edge of a block: its working memory stays near the caches
GPU_EDGE = 256
AIR = 0.05  # PD relative to water
SMALLEST_EDGE = 16
FIRST_STEPS, LAST_STEPS = 2, 2  # Gauss-Newton steps before and after conflicts are looked for
LOOSENED = 9.0  # factor on the LR variance in the first steps, so that conflicts show in the LR residual
CONFLICT_NOISE = 0.01  # relative LR residual that is never a conflict
FLUID_T2 = 0.25  # s, above it a LR voxel holds CSF
CONFLICT_STARTS, CONFLICT_WHOLE = 9.0, 13.0  # mean square LR residual over that of 95 % of the tissue


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """What the engine found, PD relative to water."""

    maps: Tensor  # (3, X, Y, Z)
    gains: Tensor  # (guide,), scanner units per unit of PD
    conflict: Tensor | None  # (X, Y, Z), 0 = guides used, 1 = only the LR maps
    noise: Noise


def solve(
    problem: Problem,
    *,
    refined: bool,
    gains: Tensor | None = None,
    lr_noise: Tensor | None = None,
    guide_noise: Tensor | None = None,
    device: torch.device,
    memory_limit: int | None = None,
) -> Generator[Progress, None, Solution]:
    """Super-resolve a problem: the regression, and from there the maximum of the posterior if `refined`.

    Without a guide, or without one of the three maps, there is nothing to refine with.

    `gains` ``(guide,)``, `lr_noise` ``(3,)`` relative and `guide_noise` ``(guide,)`` in scanner units replace
    what would be estimated.
    """
    predicting = predict(problem, lr_noise, guide_noise)
    prediction = yield from _progress(predicting, 0.0, 0.25, "local regression on the guides")
    if not (refined and problem.sequences and all(problem.measured)):
        ratios = start_gains(problem) if gains is None else gains
        return Solution(
            maps=without_air(prediction.maps, prediction), gains=ratios, conflict=None, noise=prediction.noise
        )
    blocking = Blocking(problem.hr_grid, problem.lr_grid)
    if gains is None:
        finding = find_gains(problem, prediction, blocking, device)
        gains = yield from _progress(finding, 0.25, 0.4, "finding the gains of the guides")
    posterior = posterior_of(problem, prediction, gains)
    blocks = occupied_blocks(problem, blocking, block_edge(device, memory_limit))
    first = replace(posterior, lr_variance=LOOSENED * posterior.lr_variance)
    steps = refine(first, posterior.prior_mean, blocking, blocks, n_steps=FIRST_STEPS, device=device)
    log_maps = yield from _progress(steps, 0.4, 0.7, "matching guides and maps")
    conflict = find_conflict(problem, posterior, prediction.noise, log_maps)
    posterior = following_lr_maps(posterior, problem, conflict)
    steps = refine(posterior, log_maps, blocking, blocks, n_steps=LAST_STEPS, device=device)
    log_maps = yield from _progress(steps, 0.7, 1.0, "matching guides and maps")
    maps = without_air(log_maps.exp(), prediction)
    return Solution(maps=maps, gains=gains, conflict=conflict, noise=prediction.noise)


def _progress(
    steps: Generator[float, None, T] | Generator[None, None, T], low: float, high: float, stage: str
) -> Generator[Progress, None, T]:
    """Progress between `low` and `high` of steps that yield their fraction, or nothing if they cannot tell."""
    yield Progress(low, stage)
    n_done = 0
    while True:
        try:
            fraction = next(steps)
        except StopIteration as stopped:
            result: T = stopped.value
            return result
        n_done += 1
        if fraction is None:
            fraction = 1 - 0.95**n_done
        yield Progress(low + (high - low) * fraction, stage)


def without_air(maps: Tensor, prediction: Prediction) -> Tensor:
    """Maps ``(3, X, Y, Z)`` with the shortest relaxation times there are where the regression finds no PD."""
    shortest = torch.tensor([0.0, T1.bounds[0], T2.bounds[0]], dtype=maps.dtype).view(-1, 1, 1, 1)
    is_time = torch.tensor([False, True, True]).view(-1, 1, 1, 1)
    return torch.where(is_time & (prediction.maps[0] < AIR), shortest, maps)


def block_edge(device: torch.device, memory_limit: int | None) -> int:
    """Core voxels along the edge of a block whose working memory stays within a limit in bytes."""
    largest = CPU_EDGE if device.type == "cpu" else GPU_EDGE
    if memory_limit is None:
        return largest
    return max(SMALLEST_EDGE, min(largest, int((memory_limit / BYTES_PER_VOXEL) ** (1 / 3)) - 4 * HALO))


def occupied_blocks(problem: Problem, blocking: Blocking, edge: int) -> list[Block]:
    """Blocks that hold more than air."""
    occupied = problem.lr_valid & (problem.lr_maps[0] > AIR)
    return [block for block in blocking.cut(edge) if bool(occupied[block.lr].any())]


def find_conflict(problem: Problem, posterior: NegativeLogPosterior, noise: Noise, log_maps: Tensor) -> Tensor:
    """Where maps that honour the guides cannot explain the LR maps; ``(X, Y, Z)`` from 0 to 1.

    The mean square LR residual nearby, over noise, is compared with that of 95 % of the tissue, map by map: a
    lesion that only one side knows stands out by a factor of thirty or more. Next to CSF the residual of
    PD and T2 is misfit of its border, so that only T1 counts there, and needs three times as much.
    """
    floor = (CONFLICT_NOISE / noise.lr_maps).clamp(min=1.0).square().view(-1, 1, 1, 1)
    residual = posterior.lr_residual(log_maps).square() / (floor * posterior.lr_variance)
    edges = problem.lr_grid.voxel_size
    middle = math.prod(edges) ** (1 / 3)
    nearby = gaussian_window(residual, [WINDOW * middle / edge for edge in edges])
    usual = torch.stack([cal.sample(r[problem.tissue]).quantile(0.95) for r in nearby]).clamp(min=1.0)
    pd, t1, t2 = nearby / usual.view(-1, 1, 1, 1)
    fluid = gaussian_window((problem.lr_maps[2] > FLUID_T2).float(), [max(edges) / edge for edge in edges])
    beside = fluid > 0.1
    t1 = t1 / torch.where(beside, 3.0, 1.0)
    excess = torch.stack([pd * ~beside, t1, t2 * (fluid < 0.01)]).amax(0) * problem.tissue * _inner(problem)
    border = max_pool3d((excess * ~beside)[None], 3, stride=1, padding=1)[0]
    excess = torch.maximum(excess, border)  # the border of a conflict is part of it
    share = ((excess - CONFLICT_STARTS) / (CONFLICT_WHOLE - CONFLICT_STARTS)).clamp(0, 1)
    return problem.interpolate(share)


def _inner(problem: Problem) -> Tensor:
    """LR voxels off the ends of the field of view, where content beyond it rings in; boolean ``(x, y, z)``."""
    inner = torch.ones(problem.lr_grid.shape, dtype=torch.bool)
    for axis, (n_lr, n_hr) in enumerate(zip(problem.lr_grid.shape, problem.hr_grid.shape, strict=True)):
        if 2 < n_lr < n_hr:
            inner.index_fill_(axis, torch.tensor([0, n_lr - 1]), False)
    return inner


def following_lr_maps(posterior: NegativeLogPosterior, problem: Problem, conflict: Tensor) -> NegativeLogPosterior:
    """The objective without guides, and with band-limited LR maps as prior mean, where `conflict` is 1."""
    floor = torch.tensor(list(FLOOR.values())).view(-1, 1, 1, 1)
    interpolated = torch.maximum(problem.truncate.zero_filled(problem.lr_maps), floor).log()
    return replace(
        posterior,
        guide_precision=posterior.guide_precision * (1 - conflict).square(),
        prior_mean=bounded(torch.lerp(posterior.prior_mean, interpolated, conflict)),
    )
