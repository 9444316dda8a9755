"""The engine: regression, gains, the most probable maps, and a network that corrects them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import max_pool3d

from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.progress import Progress, between, mapped, staged
from napari_swig_qmri.super_resolution.network.adaptation import adapt
from napari_swig_qmri.super_resolution.network.features import features_of
from napari_swig_qmri.super_resolution.network.model import correct
from napari_swig_qmri.super_resolution.network.self_supervision import measure_again
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.gains import find_gains, start_gains
from napari_swig_qmri.super_resolution.solver.head_box import HEAD, box_of_head, cropped, restored
from napari_swig_qmri.super_resolution.solver.map_estimate import find_optimum
from napari_swig_qmri.super_resolution.solver.posterior import bounded
from napari_swig_qmri.super_resolution.solver.prediction import posterior_of, predict

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.network.adaptation import Adaptation
    from napari_swig_qmri.super_resolution.network.model import SwigNet
    from napari_swig_qmri.super_resolution.solver.prediction import Noise
    from napari_swig_qmri.super_resolution.solver.problem import Problem

SLABS_OF_NETWORK = 30  # planes the network holds at a time, over those linearised: a whole head of 1 mm, in 0.7 GB
AIR = 0.05  # PD relative to water, below which there is nothing


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution:
    """What the engine found, PD relative to water."""

    maps: Tensor  # (3, X, Y, Z)
    gains: Tensor  # (guide,), scanner units per unit of PD
    conflict: Tensor | None  # (X, Y, Z), 0 = guides used, 1 = only the LR maps
    noise: Noise
    corrected: bool = False  # by a network
    adaptation: tuple[float, float] | None = None  # cross-scale error before and after, over that without a network


def solve(
    problem: Problem,
    *,
    refined: bool,
    network: SwigNet | None = None,
    adapted: bool = False,
    gains: Tensor | None = None,
    lr_noise: Tensor | None = None,
    guide_noise: Tensor | None = None,
    device: torch.device,
    memory_limit: int | None = None,
    keep_noise: bool = False,
) -> Generator[Progress, None, Solution]:
    """Super-resolve a problem: the regression, from there the maximum of the posterior if `refined`, then a network.

    Without a guide, or without T1 or T2, there is nothing to refine with: CSF would have no value to start from.
    A PD that was not measured is an unknown like the others.

    `gains` ``(guide,)``, `lr_noise` ``(3,)`` relative and `guide_noise` ``(guide,)`` in scanner units replace
    what would be estimated. With `keep_noise` the maximum of the posterior is left as it is. An `adapted` network is
    trained on the problem first.
    """
    network = network if all(problem.measured) else None  # networks were trained on all three maps
    end = 1.0 if network is None else 0.4 if adapted else 0.8  # of the work without a network
    predicting = predict(problem, lr_noise, guide_noise)
    prediction = yield from staged(predicting, 0.0, 0.25 * end, "local regression on the guides")
    air = air_off_the_head(problem, prediction.maps[0])
    times_measured = problem.measured[1] and problem.measured[2]
    if not (refined and problem.sequences and times_measured):
        ratios = start_gains(problem) if gains is None else gains
        maps = without_air(prediction.maps, air)
        return Solution(maps=maps, gains=ratios, conflict=None, noise=prediction.noise)
    yield Progress(0.25 * end, "looking for the head")
    box, noise = box_of_head(problem), prediction.noise
    part, inside = cropped(problem, prediction, box)
    if gains is None:
        finding = find_gains(part, inside, device)
        gains = yield from staged(finding, 0.25 * end, 0.4 * end, "finding the gains of the guides")
    n_planes = planes_of_a_slab(part.hr_grid.shape, device, memory_limit)
    finding_optimum = find_optimum(
        part, posterior_of(part, inside, gains), noise, device=device, n_planes=n_planes, keep_noise=keep_noise
    )
    optimum = yield from mapped(finding_optimum, between(0.4 * end, end))
    log_maps, conflict, errors = optimum.log_maps, optimum.conflict, None
    if network is not None:
        looking = features_of(optimum.posterior, part.truncate, log_maps, optimum.noise, noise.lr_maps)
        features = yield from staged(looking, end, end + 0.02, "preparing for the network")
        end += 0.02
        highest = optimum.posterior.highest
        del optimum  # volumes are released as soon as they have been used
        if adapted:
            adaptation = yield from mapped(_adapted(network, problem, gains, noise, device), between(end, 0.95))
            network, errors, end = adaptation.network, (adaptation.before, adaptation.after), 0.95
        n_planes = planes_of_a_slab(part.hr_grid.shape, device, memory_limit, times=SLABS_OF_NETWORK)
        correcting = correct(network, log_maps, features, n_planes=n_planes, device=device)
        found = bounded((yield from staged(correcting, end, 1.0, "the network looks over the maps")), highest)
        log_maps = found.lerp_(log_maps, conflict)  # where the LR maps alone are followed, it is not asked
    return Solution(
        maps=without_air(restored(log_maps.exp_(), box, prediction.maps), air),
        gains=gains,
        conflict=restored(conflict, box, conflict.new_zeros(problem.hr_grid.shape)),
        noise=noise,
        corrected=network is not None,
        adaptation=errors,
    )


def _adapted(
    network: SwigNet, problem: Problem, gains: Tensor, noise: Noise, device: torch.device
) -> Generator[Progress, None, Adaptation]:
    """The network adapted to a problem, which is corrupted and solved once more for that."""
    measured = yield from mapped(measure_again(problem, gains, noise, np.random.default_rng(0)), between(0, 0.45))
    return (yield from mapped(adapt(network, measured, device=device), between(0.45, 1)))


def air_off_the_head(problem: Problem, pd: Tensor) -> Tensor:
    """Where predicted PD ``(X, Y, Z)`` and the LR maps around show nothing; boolean ``(X, Y, Z)``."""
    head = max_pool3d(problem.lr_maps[None, :1], 3, stride=1, padding=1)[0, 0] > HEAD
    return (pd < AIR) & (problem.interpolate(head.to(pd.dtype)) < 0.5)


def without_air(maps: Tensor, air: Tensor) -> Tensor:
    """Maps ``(3, X, Y, Z)`` with the shortest relaxation times there are in `air`."""
    shortest = torch.tensor([0.0, T1.bounds[0], T2.bounds[0]], dtype=maps.dtype).view(-1, 1, 1, 1)
    is_time = torch.tensor([False, True, True]).view(-1, 1, 1, 1)
    return torch.where(is_time & air, shortest, maps)
