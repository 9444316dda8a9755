"""The engine: regression, gains, most probable maps, and correction by the network."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri.physics.quantities import QUANTITIES, T1, T2
from napari_swig_qmri.progress import Progress, between, mapped, staged
from napari_swig_qmri.super_resolution.network.adaptation import Adaptation, adapt
from napari_swig_qmri.super_resolution.network.error_features import ErrorEvidence
from napari_swig_qmri.super_resolution.network.error_model import error_levels, standard_errors
from napari_swig_qmri.super_resolution.network.features import NetworkInput, make_network_input
from napari_swig_qmri.super_resolution.network.model import SwigNet, correct
from napari_swig_qmri.super_resolution.network.self_supervision import make_scan_example
from napari_swig_qmri.super_resolution.solver.covariance import curvature_at
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.evidence import Evidence, evidence_at
from napari_swig_qmri.super_resolution.solver.gains import find_gains, start_gains
from napari_swig_qmri.super_resolution.solver.head_box import HEAD, crop_to_box, find_head_box, insert_box
from napari_swig_qmri.super_resolution.solver.lr_lock import locked
from napari_swig_qmri.super_resolution.solver.map_estimate import MapEstimate, estimate_maps
from napari_swig_qmri.super_resolution.solver.posterior import clamp_to_bounds
from napari_swig_qmri.super_resolution.solver.prediction import MIN_LR_NOISE, Noise, Prediction, make_posterior, predict

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

SLABS_OF_NETWORK = 30  # planes the network processes at once per plane of the solver: a 1 mm head, in 0.7 GB
AIR = 0.05  # PD relative to water; a voxel below it is air
FAMILIAR_NOISE = 0.03  # relative noise up to which the corrections of the network count in full
UNFAMILIAR_NOISE = 0.1  # from which they harm; both measured on two heads


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """Solved maps with PD relative to water, and what was estimated on the way."""

    maps: Tensor  # (3, X, Y, Z)
    gains: Tensor  # (guide,), image value per unit of PD
    conflict: Tensor | None  # (X, Y, Z), 0 = guides used, 1 = only the LR maps; None after regression alone
    noise: Noise
    covariance: Tensor  # (3, 3), of the errors of log maps of the regression, at LR scale
    errors: Tensor | None = None  # (3, X, Y, Z), standard errors relative to the maps; None after regression alone
    evidence: Evidence | None = None  # where the maps come from; None after regression alone
    network_shares: tuple[float, ...] = (0.0,) * len(QUANTITIES)  # of its corrections that were applied, per map
    is_locked: tuple[bool, ...] = (False,) * len(QUANTITIES)  # to the LR maps, per map
    adaptation: tuple[float, float] | None = None  # cross-scale errors, before and after adapting


@dataclass(frozen=True, eq=False, kw_only=True)
class _Refined:
    """Most probable maps inside the box of the head, and what the network needs to correct them."""

    log_maps: Tensor  # (3, X, Y, Z)
    conflict: Tensor  # (X, Y, Z)
    gains: Tensor  # (guide,)
    upper_limits: tuple[float, ...]
    errors: Tensor  # (3, X, Y, Z), standard errors of the log maps
    evidence: Evidence
    features: NetworkInput | None  # None without a network


def solve(plan: RunPlan) -> Generator[Progress, None, Solution]:
    """Solve the problem of a plan: regression, gains, most probable maps, correction by the network.

    Regression alone runs without a guide. A quantity that was not measured is an unknown like the others, with a wide
    prior. The network needs all three maps.

    Yields
    ------
    Progress
        Fraction and stage.
    """
    problem = plan.problem
    end = 1.0 if _network_of(plan) is None else 0.42 if plan.options.adapt else 0.82  # fraction without the network
    prediction = yield from staged(_predicted(plan), 0.0, 0.25 * end, "local regression on the guides")
    air, noise = air_off_the_head(problem, prediction.maps[0]), prediction.noise
    if not _can_be_refined(plan):
        return Solution(
            maps=without_air(prediction.maps, air, problem),
            gains=_start_gains(plan),
            conflict=None,
            noise=noise,
            covariance=prediction.covariance,
        )
    yield Progress(0.25 * end, "looking for the head")
    box = find_head_box(problem)
    shares = (0.0,) * len(QUANTITIES) if _network_of(plan) is None else network_shares(noise_levels(problem, noise))
    refining = _refined(plan, *crop_to_box(problem, prediction, box), shares)
    refined = yield from mapped(refining, between(0.25 * end, end))
    log_maps, adaptation = refined.log_maps, None
    if refined.features is not None:
        log_maps, adaptation = yield from mapped(_corrected(plan, refined, noise, shares), between(end, 0.97))
    maps = without_air(insert_box(log_maps.exp_(), box, prediction.maps), air, problem)
    errors = insert_box(refined.errors, box, refined.errors.new_zeros(maps.shape))
    is_locked: tuple[bool, ...] = (False,) * len(QUANTITIES)
    if plan.options.lr_lock:
        locking = locked(problem, maps, errors, noise.lr_maps)
        maps, is_locked = yield from staged(locking, 0.97, 1.0, "locking the maps to the measured ones")
    return Solution(
        maps=maps,
        gains=refined.gains,
        conflict=insert_box(refined.conflict, box, refined.conflict.new_zeros(problem.hr_grid.shape)),
        noise=noise,
        covariance=prediction.covariance,
        errors=errors,
        evidence=refined.evidence.inside(box, problem.hr_grid.shape),
        network_shares=shares,
        is_locked=is_locked,
        adaptation=adaptation,
    )


def solve_inside(plan: RunPlan, part: Problem, inside: Prediction) -> Generator[Progress, None, tuple[Tensor, Tensor]]:
    """Solve a part of the problem of a plan whose gains are given in its options, without adapting the network.

    Parameters
    ----------
    part, inside
        Problem and prediction in a box, as `solver.head_box.crop_to_box` returns them.

    Returns
    -------
    maps
        ``(3, X, Y, Z)`` in the box.
    conflict
        ``(X, Y, Z)``, 0 after regression alone.
    """
    if not _can_be_refined(plan):
        return inside.maps, torch.zeros_like(inside.maps[0])
    plan = replace(plan, options=replace(plan.options, adapt=False))
    shares = (0.0,) * len(QUANTITIES)
    if _network_of(plan) is not None:
        shares = network_shares(noise_levels(plan.problem, inside.noise))
    refining = _refined(plan, part, inside, shares)
    refined = yield from mapped(refining, between(0.0, 0.8))
    log_maps = refined.log_maps
    if refined.features is not None:
        log_maps, _ = yield from mapped(_corrected(plan, refined, inside.noise, shares), between(0.8, 1.0))
    return log_maps.exp(), refined.conflict


def _network_of(plan: RunPlan) -> SwigNet | None:
    return plan.network if all(plan.problem.measured) else None


def noise_levels(problem: Problem, noise: Noise) -> tuple[float, float, float]:
    """Relative noise that counts for the network in PD, T1 and T2: that of the LR maps, in T2 with that of the guides.

    The map with the smallest noise and the guide with the largest count: fine anatomy raises the estimates of the other
    maps. From noisy guides the network still gains in PD and T1, and harms T2.
    """
    lr_maps = noise.lr_maps[torch.tensor(problem.measured)].min()
    guides = (noise.guides / problem.guide_levels).max()
    return float(lr_maps), float(lr_maps), float(torch.hypot(lr_maps, guides))


def network_shares(levels: Sequence[float]) -> tuple[float, ...]:
    """Share of the corrections of the network to apply in each map: 1 at familiar noise, 0 where they harm."""
    return tuple(
        min(max((UNFAMILIAR_NOISE - level) / (UNFAMILIAR_NOISE - FAMILIAR_NOISE), 0.0), 1.0) for level in levels
    )


def _can_be_refined(plan: RunPlan) -> bool:
    """Whether the method goes beyond regression, and guides and maps allow it."""
    return plan.options.method != "regression" and bool(plan.problem.sequences)


def _predicted(plan: RunPlan) -> Generator[None, None, Prediction]:
    """Regression on the guides, with the noise levels that were given."""
    options, problem = plan.options, plan.problem
    guide_noise = None if options.guide_noise is None else _as_tensor(options.guide_noise, problem)
    return (yield from predict(problem, _relative_noise(options.lr_noise), guide_noise))


def _given_gains(plan: RunPlan) -> Tensor | None:
    gains = plan.options.gains
    return None if gains is None else _as_tensor(gains, plan.problem) * plan.problem.gain_units


def _start_gains(plan: RunPlan) -> Tensor:
    given = _given_gains(plan)
    return start_gains(plan.problem) if given is None else given


def _refined(
    plan: RunPlan, part: Problem, inside: Prediction, shares: Sequence[float]
) -> Generator[Progress, None, _Refined]:
    """Gains, most probable maps and their errors inside the box of the head, and the input of the network.

    The `shares` of the corrections of the network ``(3,)`` are those that will be applied.
    """
    gains = _given_gains(plan)
    if gains is None:
        finding = find_gains(part, inside, plan.device)
        gains = yield from staged(finding, 0.0, 0.2, "finding the gains of the guides")
    estimate = yield from mapped(_estimated(part, inside, gains, plan), between(0.2, 0.9))
    finding_errors = _standard_errors(part, estimate, error_levels(inside.noise.lr_maps, part.measured, shares), plan)
    errors = yield from staged(finding_errors, 0.9, 0.96, "finding standard errors")
    n_planes = planes_of_a_slab(part.hr_grid.shape, plan.device, plan.options.memory_limit)
    weighing = evidence_at(estimate.posterior, estimate.log_maps, n_planes=n_planes, device=plan.device)
    evidence = yield from staged(weighing, 0.96, 0.98, "weighing the sources")
    features = None
    if any(shares):
        looking = make_network_input(
            estimate.posterior, part.truncate, estimate.log_maps, estimate.noise, inside.noise.lr_maps
        )
        features = yield from staged(looking, 0.98, 1.0, "preparing for the network")
    return _Refined(
        log_maps=estimate.log_maps,
        conflict=estimate.conflict,
        gains=gains,
        upper_limits=estimate.posterior.upper_limits,
        errors=errors,
        evidence=evidence,
        features=features,
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


def _standard_errors(
    part: Problem, estimate: MapEstimate, levels: Tensor, plan: RunPlan
) -> Generator[float, None, Tensor]:
    """Standard errors of the most probable log maps, ``(3, X, Y, Z)``."""
    n_planes = planes_of_a_slab(part.hr_grid.shape, plan.device, plan.options.memory_limit)
    finding = curvature_at(estimate.posterior, estimate.log_maps, n_planes=n_planes, device=plan.device)
    curvature = yield from mapped(finding, lambda _: 0.0)
    evidence = ErrorEvidence.of(part, estimate, curvature)
    return (yield from mapped(standard_errors(plan.error_model, evidence, levels), lambda done: 0.3 + 0.7 * done))


def _corrected(
    plan: RunPlan, refined: _Refined, noise: Noise, shares: Sequence[float]
) -> Generator[Progress, None, tuple[Tensor, tuple[float, float] | None]]:
    """Log maps after the network, and its cross-scale errors before and after it was adapted, if it was.

    The `shares` of its corrections ``(3,)`` are applied, and none where the LR maps are followed.
    """
    network, features, start, errors = plan.network, refined.features, 0.0, None
    if network is None or features is None:
        return refined.log_maps, None
    if plan.options.adapt:
        adapting = _adapted(network, plan.problem, refined.gains, noise, plan.device)
        adaptation = yield from mapped(adapting, between(0.0, 0.9))
        network, errors, start = adaptation.network, (adaptation.before, adaptation.after), 0.9
    shape: tuple[int, int, int] = refined.conflict.shape  # type: ignore[assignment]
    n_planes = planes_of_a_slab(shape, plan.device, plan.options.memory_limit, times=SLABS_OF_NETWORK)
    correcting = correct(network, features, n_planes=n_planes, device=plan.device)
    corrected = yield from staged(correcting, start, 1.0, "correcting the maps with the network")
    corrected = clamp_to_bounds(corrected, refined.upper_limits)
    for image, solved, share in zip(corrected, refined.log_maps, shares, strict=True):
        image.lerp_(solved, 1 - share * (1 - refined.conflict))
    return corrected, errors


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


def without_air(maps: Tensor, air: Tensor, problem: Problem) -> Tensor:
    """Maps ``(3, X, Y, Z)`` with T1 and T2 at their lower bounds in `air` ``(X, Y, Z)``.

    Elsewhere noise alone determines the times of voxels whose measured PD is near 0: they are no longer than the LR
    maps around them.
    """
    times, empty = [maps[0]], (maps[0] < AIR) & problem.measured[0]
    for quantity, image, lr_map in zip((T1, T2), maps[1:], problem.lr_maps[1:], strict=True):
        limited = torch.where(empty, image.minimum(problem.interpolate(lr_map)), image)
        times.append(limited.clamp(min=quantity.bounds[0]).masked_fill(air, quantity.bounds[0]))
    return torch.stack(times)
