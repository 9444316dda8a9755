"""The result of a run, from the solution of its problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.engine import FAMILIAR_NOISE, noise_levels
from napari_swig_qmri.super_resolution.examination.solution_check import checked_with_solution
from napari_swig_qmri.super_resolution.examination.verdict import departures_after
from napari_swig_qmri.super_resolution.judgement import verdict_of
from napari_swig_qmri.super_resolution.map_evidence import LR_MAPS, PRIOR, MapEvidence
from napari_swig_qmri.super_resolution.preparation.problem import sees_t2_star
from napari_swig_qmri.super_resolution.results import SuperResolution
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import VoxelGrid
    from napari_swig_qmri.super_resolution.engine import Solution
    from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings
    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.preparation.problem import Problem
    from napari_swig_qmri.super_resolution.solver.one_scale_up import Rehearsal, Unrehearsed

NOTABLE_CONFLICT = 1e-4  # fraction of the voxels


def result_of(solution: Solution, rehearsal: Rehearsal | Unrehearsed, plan: RunPlan) -> SuperResolution:
    """Return the result of a run in the units of its inputs, with synthesised guides, residuals and provenance.

    `rehearsal` holds the errors one scale up, for the verdict, or why there are none.

    Raises
    ------
    ValueError
        If a super-resolved map holds no finite value above 0.
    """
    problem = plan.problem
    left = lr_residual(problem, solution.maps)
    gains = tuple((solution.gains / problem.gain_units).tolist())
    checks = checked_with_solution(problem, solution.maps, solution.gains, solution.noise.guides, solution.conflict)
    findings = [replace(found, after=check) for found, check in zip(plan.findings, checks, strict=True)]
    evidence = _evidence(solution, plan)
    return SuperResolution(
        maps=_sr_maps(solution, plan),
        guides=_acquired(plan),
        synthesised=_synthesised(solution, plan),
        lr_residual=_measured(plan, left.masked_fill(~problem.lr_valid, torch.nan), problem.lr_grid),
        lr_maps=_measured(plan, problem.measured_lr_maps, problem.lr_grid),
        standard_errors=_standard_errors(solution, plan),
        evidence=evidence,
        conflict=None if solution.conflict is None else solution.conflict.numpy(),
        gains=gains,
        estimated=_estimated(plan),
        verdict=verdict_of(solution, left, rehearsal, problem, findings),
        notices=(*plan.notices, *departures_after(findings), *_findings(solution, plan)),
        parameters={**_parameters(solution, gains, plan, findings), "evidence": _mean_evidence(evidence, problem)},
    )


def _standard_errors(solution: Solution, plan: RunPlan) -> QuantitativeMaps | None:
    """Standard errors of the maps that were measured, in their units."""
    if solution.errors is None:
        return None
    return _measured(plan, solution.errors * solution.maps, plan.problem.hr_grid)


def _evidence(solution: Solution, plan: RunPlan) -> MapEvidence | None:
    """Shares of the sources in the maps of the result."""
    if solution.evidence is None:
        return None
    names = tuple(name for name in QUANTITIES if name in plan.maps.names or name in _estimated(plan))
    kept = torch.tensor([name in names for name in QUANTITIES])
    return MapEvidence(
        maps=names,
        sources=(LR_MAPS, *(guide.name for guide in plan.guides), PRIOR),
        information=solution.evidence.information[kept].numpy(),
        detail=solution.evidence.detail[kept].numpy(),
    )


def _mean_evidence(evidence: MapEvidence | None, problem: Problem) -> dict[str, Any] | None:
    """Mean shares over tissue, JSON-ready."""
    if evidence is None:
        return None
    return evidence.means((problem.interpolate(problem.tissue.float()) > 0.5).numpy())


def _sr_maps(solution: Solution, plan: RunPlan) -> QuantitativeMaps:
    """SR maps in the units of the measured ones, 0 outside the mask and where nothing was measured."""
    problem = plan.problem
    inside = (problem.interpolate(problem.lr_seen.float()) > 0.5) & _covered(problem)
    if plan.mask is not None:
        inside &= torch.as_tensor(plan.mask)
    names = [name for name in QUANTITIES if name in plan.maps.names or name in _estimated(plan)]
    maps = _named(plan, solution.maps * inside, problem.hr_grid, names)
    for name in maps.names:
        if not (np.isfinite(maps[name]).all() and (maps[name] > 0).any()):
            raise ValueError(f"the run found no value of {name}: check the guides, their sequences and the maps.")
    return maps


def _measured(plan: RunPlan, volumes: Tensor, grid: VoxelGrid) -> QuantitativeMaps:
    """Volumes ``(3, ...)`` of the problem for the quantities that were measured, in their units."""
    return _named(plan, volumes, grid, [name for name in QUANTITIES if name in plan.maps.names])


def _named(plan: RunPlan, volumes: Tensor, grid: VoxelGrid, names: Sequence[str]) -> QuantitativeMaps:
    """Volumes ``(3, ...)`` of the problem for some quantities, in their units."""
    kept = torch.tensor([name in names for name in QUANTITIES])
    data = (volumes * plan.problem.map_units)[kept].numpy()
    return QuantitativeMaps(data=data, grid=grid, names=tuple(names), is_t2_star=plan.maps.is_t2_star)


def _estimated(plan: RunPlan) -> dict[str, str]:
    """Maps of the result that were not measured, and the quantities that they show: a T2 map may show T2*."""
    if not plan.options.all_maps:
        return {}
    shown = {"T2": "T2*"} if sees_t2_star(plan.guides) else {}
    return {name: shown.get(name, name) for name in QUANTITIES if name not in plan.maps.names}


def _acquired(plan: RunPlan) -> tuple[WeightedImage, ...]:
    """Guides on the HR grid, 0 where they were not measured."""
    problem = plan.problem
    return tuple(
        replace(guide, data=(image * seen).numpy(), grid=problem.hr_grid)
        for guide, image, seen in zip(plan.guides, problem.guides, problem.guide_valid, strict=True)
    )


def _synthesised(solution: Solution, plan: RunPlan) -> tuple[WeightedImage, ...]:
    """Guides as the solved maps predict them."""
    problem = plan.problem
    return tuple(
        WeightedImage(
            data=(gain * sequence(*solution.maps)).numpy(),
            grid=problem.hr_grid,
            name=f"{guide.name} synthesised",
            sequence=sequence,
        )
        for guide, sequence, gain in zip(plan.guides, problem.sequences, solution.gains.tolist(), strict=True)
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
    return "network" if any(solution.network_shares) else "posterior"


def _findings(solution: Solution, plan: RunPlan) -> Iterator[str]:
    """Sentences on how the maps were made."""
    problem = plan.problem
    if not problem.sequences:
        yield "Without a guide the maps were only interpolated; no detail was added."
    if solution.conflict is not None and plan.network is not None and all(problem.measured):
        yield from _noise_findings(solution, problem)
    if plan.options.lr_lock:
        free = [name for name, is_locked in zip(QUANTITIES, solution.is_locked, strict=True) if not is_locked]
        if failed := [name for name in free if name in plan.maps.names]:
            yield (
                f"{joined(failed)} could not be locked to the low-resolution maps, whose residual stays beyond the "
                "noise, and was left as it was."
            )
    if solution.conflict is not None:
        share = float((solution.conflict > 0.5).float().mean())
        if share > NOTABLE_CONFLICT:
            yield (
                f"Guides and low-resolution maps disagree in {share:.2%} of the voxels; there the maps were followed "
                f"(see the conflict map)."
            )


def _noise_findings(solution: Solution, problem: Problem) -> Iterator[str]:
    """Sentences on the maps in which the network counts less or not at all, because of noise."""
    levels = noise_levels(problem, solution.noise)
    found = zip(QUANTITIES, solution.network_shares, levels, strict=True)
    for (share, level), maps in groupby(found, key=itemgetter(1, 2)):
        if share < 1:
            counts = f"counts by {100 * share:.2g}% in" if share > 0 else "was left out of"
            names = [name for name, *_ in maps]
            images = "maps and guides" if names == ["T2"] else "the low-resolution maps"
            yield (
                f"The network {counts} {joined(names)}: {images} hold {level:.1%} noise, and from "
                f"{FAMILIAR_NOISE:.0%} on its corrections help less."
            )


def _parameters(
    solution: Solution, gains: Sequence[float], plan: RunPlan, findings: Sequence[GuideFindings]
) -> dict[str, Any]:
    """Every setting of a run and what it found, JSON-ready."""
    problem, options, method = plan.problem, plan.options, _method_that_ran(solution, plan.guides)
    given = options.to_record()
    weights = {"name": given["weights"] or DEFAULT_WEIGHTS, "sha256": plan.weights_sha256}
    errors = solution.adaptation and dict(zip(("error_before", "error_after"), solution.adaptation, strict=True))
    noises = solution.noise.lr_maps.tolist()
    nothing = [None] * len(plan.guides)
    poses = plan.poses or nothing
    noise = solution.noise.guides.tolist()
    guides = zip(plan.guides, problem.sequences, gains, noise, poses, findings, strict=True)
    return {
        "method": method,
        "weights": weights if method == "network" else None,
        "network_share": dict(zip(QUANTITIES, solution.network_shares, strict=True)),  # of its corrections, per map
        "adapted": errors,  # cross-scale errors over those of the posterior
        "lr_locked": dict(
            zip(QUANTITIES, solution.is_locked, strict=True)
        ),  # maps that explain the LR maps to the noise
        "reference": None if plan.reference is None else plan.guides[plan.reference].name,
        "mask": None if plan.mask is None else f"{int(plan.mask.sum())} voxels",
        "device": str(plan.device),
        "dtype": options.dtype,
        "memory_limit": options.memory_limit,
        "keep_noise": options.keep_noise or method not in ("posterior", "network"),
        "options": given,
        "lr_voxel_size": list(problem.lr_grid.voxel_size),
        "hr_voxel_size": list(problem.hr_grid.voxel_size),
        "lr_noise": {
            title: noises[list(QUANTITIES).index(name)]
            for name, title in zip(plan.maps.names, plan.maps.titles, strict=True)
        },
        "guides": [
            {
                "name": guide.name,
                "sequence": type(sequence).__name__,
                **asdict(sequence),
                "gain": gain,
                "noise": noise,
                "pose": pose and pose.to_json(),  # None if none was looked for
                "warp": pose and pose.warped and pose.warped.to_json(),  # None if the moved guide fits
                "doctor": found.to_json(),
            }
            for guide, sequence, gain, noise, pose, found in guides
        ],
        "notice": RESEARCH_NOTICE,
    }
