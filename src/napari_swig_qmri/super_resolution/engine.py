"""The engine: regression, gains, most probable maps, and correction by the network."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri.physics.quantities import QUANTITIES, T1, T2
from napari_swig_qmri.progress import Progress, between, mapped, staged
from napari_swig_qmri.super_resolution.network.adaptation import Adaptation, adapt
from napari_swig_qmri.super_resolution.network.features import make_network_input
from napari_swig_qmri.super_resolution.network.model import SwigNet, correct
from napari_swig_qmri.super_resolution.network.self_supervision import make_scan_example
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.gains import find_gains, start_gains
from napari_swig_qmri.super_resolution.solver.head_box import HEAD, crop_to_box, find_head_box, insert_box
from napari_swig_qmri.super_resolution.solver.map_estimate import MapEstimate, estimate_maps
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.prediction import MIN_LR_NOISE, Noise, Prediction, make_posterior, predict

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.solver.problem import Problem

SLABS_OF_NETWORK = 30  # planes the network processes at once per plane of the solver: a 1 mm head, in 0.7 GB
AIR = 0.05  # PD relative to water; a voxel below it is air


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """Solved maps with PD relative to water, and what was estimated on the way."""

    maps: Tensor  # (3, X, Y, Z)
    gains: Tensor  # (guide,), image value per unit of PD
    conflict: Tensor | None  # (X, Y, Z), 0 = guides used, 1 = only the LR maps; None after regression alone
    noise: Noise
    corrected: bool = False  # by the network
    adaptation: tuple[float, float] | None = None  # cross-scale errors, before and after adapting


def solve(problem: Problem, plan: RunPlan) -> Generator[Progress, None, Solution]:
    """Solve a problem: regression, gains, most probable maps, correction by the network.

    Regression alone runs without a guide and where T1 or T2 was not measured, since CSF then has no value to start
    from. A PD that was not measured is an unknown like the others. The network needs all three maps.

    Parameters
    ----------
    problem
        Maps and guides on one pair of grids.
    plan
        Options, device and network of the run.

    Yields
    ------
    Progress
        Fraction and stage.
    """
    options, network = plan.options, plan.network if all(problem.measured) else None
    end = 1.0 if network is None else 0.4 if options.adapt else 0.8  # fraction of the run without the network
    gains = None if options.gains is None else _as_tensor(options.gains, problem) * problem.gain_units
    guide_noise = None if options.guide_noise is None else _as_tensor(options.guide_noise, problem)
    predicting = predict(problem, _relative_noise(options.lr_noise), guide_noise)
    prediction = yield from staged(predicting, 0.0, 0.25 * end, "local regression on the guides")
    air, noise = air_off_the_head(problem, prediction.maps[0]), prediction.noise
    has_times = problem.measured[1] and problem.measured[2]
    if options.method == "regression" or not problem.sequences or not has_times:
        gains = start_gains(problem) if gains is None else gains
        return Solution(maps=without_air(prediction.maps, air), gains=gains, conflict=None, noise=noise)
    yield Progress(0.25 * end, "looking for the head")
    box = find_head_box(problem)
    part, inside = crop_to_box(problem, prediction, box)
    if gains is None:
        finding = find_gains(part, inside, plan.device)
        gains = yield from staged(finding, 0.25 * end, 0.4 * end, "finding the gains of the guides")
    estimate = yield from mapped(_estimated(part, inside, gains, plan), between(0.4 * end, end))
    log_maps, conflict, errors = estimate.log_maps, estimate.conflict, None
    if network is not None:
        looking = make_network_input(estimate.posterior, part.truncate, log_maps, estimate.noise, noise.lr_maps)
        features = yield from staged(looking, end, end + 0.02, "preparing for the network")
        end, upper_limits = end + 0.02, estimate.posterior.upper_limits
        del estimate  # frees its volumes
        if options.adapt:
            adapting = _adapted(network, problem, gains, noise, plan.device)
            adaptation = yield from mapped(adapting, between(end, 0.95))
            network, errors, end = adaptation.network, (adaptation.before, adaptation.after), 0.95
        n_planes = planes_of_a_slab(part.hr_grid.shape, plan.device, options.memory_limit, times=SLABS_OF_NETWORK)
        correcting = correct(network, features, n_planes=n_planes, device=plan.device)
        corrected = clamp_to_bounds(
            (yield from staged(correcting, end, 1.0, "correcting the maps with the network")), upper_limits
        )
        log_maps = corrected.lerp_(log_maps, conflict)  # no correction where only the LR maps are followed
    return Solution(
        maps=without_air(insert_box(log_maps.exp_(), box, prediction.maps), air),
        gains=gains,
        conflict=insert_box(conflict, box, conflict.new_zeros(problem.hr_grid.shape)),
        noise=noise,
        corrected=network is not None,
        adaptation=errors,
    )


def _estimated(
    part: Problem, inside: Prediction, gains: Tensor, plan: RunPlan
) -> Generator[Progress, None, MapEstimate]:
    """Most probable maps inside the box of the head, with gains ``(guide,)``."""
    n_planes = planes_of_a_slab(part.hr_grid.shape, plan.device, plan.options.memory_limit)
    return estimate_maps(
        part,
        make_posterior(part, inside, gains),
        inside.noise,
        device=plan.device,
        n_planes=n_planes,
        keep_noise=plan.options.keep_noise,
    )


def _adapted(
    network: SwigNet, problem: Problem, gains: Tensor, noise: Noise, device: torch.device
) -> Generator[Progress, None, Adaptation]:
    """Network adapted to this scan, for which noise is added to the scan and it is solved again."""
    measured = yield from mapped(make_scan_example(problem, gains, noise, np.random.default_rng(0)), between(0, 0.45))
    return (yield from mapped(adapt(network, measured, device=device), between(0.45, 1)))


def _as_tensor(values: Sequence[float], problem: Problem) -> Tensor:
    return torch.tensor(values, dtype=problem.lr_maps.dtype)


def _relative_noise(levels: Mapping[str, float] | None) -> Tensor | None:
    """Noise levels as ``(3,)``; the value for a map that was not measured has no effect."""
    if levels is None:
        return None
    return torch.tensor([float(levels.get(name, MIN_LR_NOISE)) for name in QUANTITIES])


def air_off_the_head(problem: Problem, pd: Tensor) -> Tensor:
    """Air around the head, boolean ``(X, Y, Z)``: predicted PD ``(X, Y, Z)`` and the LR maps around it are near 0."""
    head = max_pool3d(problem.lr_maps[None, :1], 3, stride=1, padding=1)[0, 0] > HEAD
    return (pd < AIR) & (problem.interpolate(head.to(pd.dtype)) < 0.5)


def without_air(maps: Tensor, air: Tensor) -> Tensor:
    """Maps ``(3, X, Y, Z)`` with T1 and T2 at their lower bounds in `air` ``(X, Y, Z)``."""
    shortest = torch.tensor([0.0, T1.bounds[0], T2.bounds[0]], dtype=maps.dtype).view(-1, 1, 1, 1)
    is_time = torch.tensor([False, True, True]).view(-1, 1, 1, 1)
    return torch.where(is_time & air, shortest, maps)
