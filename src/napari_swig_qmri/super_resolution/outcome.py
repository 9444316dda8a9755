"""The result of a run, from the solution of its problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.results import SuperResolution
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from napari_swig_qmri.super_resolution.engine import Solution
    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.solver.problem import Problem

NOTABLE_CONFLICT = 1e-4  # fraction of the voxels
MISFIT = ((0.03, 5.0), (0.15, 1.5))  # a misfit exceeds both of a pair: relative LR residual, multiple of that of noise
RINGING = 0.22  # relative LR residual of T2 below which nothing is reported: truncated maps ring around CSF
NOISE_MEDIAN = 0.6745  # median magnitude of noise with a standard deviation of 1


def result_of(problem: Problem, solution: Solution, plan: RunPlan) -> SuperResolution:
    """Return the result of a run in the units of its inputs, with synthesised guides, residuals and provenance.

    Raises
    ------
    ValueError
        If a super-resolved map holds no finite value above 0.
    """
    maps, guides, mask = plan.maps, plan.guides, plan.mask
    measured = [i for i, name in enumerate(QUANTITIES) if name in maps.names]
    unit = problem.map_units
    names = tuple(name for name in QUANTITIES if name in maps.names)
    lr_residual = problem.lr_maps - problem.truncate(solution.maps)
    notices = (*plan.notices, *problem.notices, *_findings(problem, solution, lr_residual, plan))
    lr_residual = lr_residual * unit
    lr_residual[:, ~problem.lr_valid] = torch.nan
    synthesised = tuple(
        WeightedImage(
            data=(gain * sequence(*solution.maps)).numpy(),
            grid=problem.hr_grid,
            name=f"{guide.name} synthesised",
            sequence=sequence,
        )
        for guide, sequence, gain in zip(guides, problem.sequences, solution.gains.tolist(), strict=True)
    )
    acquired = tuple(
        replace(guide, data=(image * seen).numpy(), grid=problem.hr_grid)
        for guide, image, seen in zip(guides, problem.guides, problem.guide_valid, strict=True)
    )
    inside = (problem.interpolate(problem.lr_seen.float()) > 0.5) & _covered(problem)
    if mask is not None:
        inside &= torch.as_tensor(mask)
    data = (solution.maps * unit * inside)[measured]
    for name, volume in zip(names, data, strict=True):
        if not (volume.isfinite().all() and (volume > 0).any()):
            raise ValueError(f"the run found no value of {name}: check the guides, their sequences and the maps.")
    gains = tuple((solution.gains / problem.gain_units).tolist())
    return SuperResolution(
        maps=QuantitativeMaps(data=data.numpy(), grid=problem.hr_grid, names=names),
        guides=acquired,
        synthesised=synthesised,
        lr_residual=QuantitativeMaps(data=lr_residual[measured].numpy(), grid=problem.lr_grid, names=names),
        lr_maps=QuantitativeMaps(data=(problem.lr_maps * unit)[measured].numpy(), grid=problem.lr_grid, names=names),
        conflict=None if solution.conflict is None else solution.conflict.numpy(),
        gains=gains,
        notices=notices,
        parameters=_parameters(problem, solution, gains, plan),
    )


def _covered(problem: Problem) -> torch.Tensor:
    """HR voxels inside the field of view of the LR maps, extended by half an LR voxel; ``(X, Y, Z)`` bool."""
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    within = []
    for n, n_lr, start, step in zip(problem.hr_grid.shape, problem.lr_grid.shape, first, spacing, strict=True):
        place = (np.arange(n) - start) / step
        within.append(torch.as_tensor((place >= -1) & (place <= n_lr)))
    x, y, z = within
    return x[:, None, None] & y[:, None] & z


def _method_that_ran(solution: Solution, guides: Sequence[WeightedImage]) -> str:
    """Name of the method that made the maps: a run falls back to a simpler one where maps or guides are missing."""
    if not guides:
        return "interpolation"
    if solution.conflict is None:
        return "regression"
    return "network" if solution.corrected else "posterior"


def _findings(problem: Problem, solution: Solution, lr_residual: torch.Tensor, plan: RunPlan) -> Iterator[str]:
    """Sentences about the result; `lr_residual` is ``(3, x, y, z)``, its PD relative to water."""
    for i, name in enumerate(QUANTITIES):
        relative = (lr_residual[i] / problem.lr_maps[i])[problem.tissue & problem.lr_valid].abs()
        left, noise = float(relative.median()), NOISE_MEDIAN * float(solution.noise.lr_maps[i])
        if name == "T2" and left < RINGING:
            continue
        if problem.measured[i] and any(left > max(least, times * noise) for least, times in MISFIT):
            yield (
                f"The result does not fit the measured {name} map: over tissue it differs by {left:.0%}, where noise "
                f"makes {noise:.1%}. Do not use it before guides and maps show the same head in the same place, with "
                "the right sequences, gains and units."
            )
    if solution.conflict is not None:
        share = float((solution.conflict > 0.5).float().mean())
        if share > NOTABLE_CONFLICT:
            yield (
                f"Guides and low-resolution maps disagree in {share:.2%} of the voxels; there the maps were followed "
                f"(see the conflict map)."
            )
    if problem.sequences and not all(problem.measured[1:]):
        yield "Without a T1 and a T2 map signal models cannot be used: the maps come from regression alone."
    if not problem.sequences:
        yield "Without a guide the maps were only interpolated; no detail was added."
    if plan.options.method == "network" and _method_that_ran(solution, plan.guides) == "posterior":
        yield "Without a PD map the network was left out."


def _parameters(problem: Problem, solution: Solution, gains: Sequence[float], plan: RunPlan) -> dict[str, Any]:
    """Every setting of a run and what it found, JSON-ready."""
    options, method = plan.options, _method_that_ran(solution, plan.guides)
    weights = {"name": str(options.weights or DEFAULT_WEIGHTS), "sha256": plan.weights_sha256}
    errors = solution.adaptation and dict(zip(("error_before", "error_after"), solution.adaptation, strict=True))
    guides = zip(plan.guides, problem.sequences, gains, solution.noise.guides.tolist(), strict=True)
    return {
        "method": method,
        "weights": weights if method == "network" else None,
        "adapted": errors,  # cross-scale errors over those of the posterior
        "reference": None if plan.reference is None else plan.guides[plan.reference].name,
        "mask": None if plan.mask is None else f"{int(plan.mask.sum())} voxels",
        "device": str(plan.device),
        "dtype": options.dtype,
        "memory_limit": options.memory_limit,
        "keep_noise": options.keep_noise or method not in ("posterior", "network"),
        "options": options.to_json(),
        "lr_voxel_size": list(problem.lr_grid.voxel_size),
        "hr_voxel_size": list(problem.hr_grid.voxel_size),
        "lr_noise": dict(zip(QUANTITIES, solution.noise.lr_maps.tolist(), strict=True)),
        "guides": [
            {"name": guide.name, "sequence": type(sequence).__name__, **asdict(sequence), "gain": gain, "noise": noise}
            for guide, sequence, gain, noise in guides
        ],
        "notice": RESEARCH_NOTICE,
    }
