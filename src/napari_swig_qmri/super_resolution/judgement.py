"""The verdict on a result: whether its maps are better than interpolation, as far as the run can know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.results import DO_NOT_USE, GOOD, LOOK, Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.engine import Solution
    from napari_swig_qmri.super_resolution.plan import RunPlan

NOTABLE_CONFLICT = 1e-4  # fraction of the voxels
MISFIT = ((0.03, 5.0), (0.15, 1.5))  # a misfit exceeds both of a pair: relative LR residual, multiple of that of noise
RINGING = 0.22  # relative LR residual of T2 below which nothing is reported: truncated maps ring around CSF
NOISE_MEDIAN = 0.6745  # median magnitude of noise with a standard deviation of 1


def verdict_of(solution: Solution, lr_residual: Tensor, plan: RunPlan) -> Verdict:
    """Verdict on a solution; `lr_residual` ``(3, x, y, z)`` is that of its maps, with PD relative to water."""
    against, doubts = tuple(_misfits(solution, lr_residual, plan)), tuple(_conflicts(solution))
    word = DO_NOT_USE if against else LOOK if doubts else GOOD
    return Verdict(word, (*against, *doubts))


def _misfits(solution: Solution, lr_residual: Tensor, plan: RunPlan) -> Iterator[str]:
    problem = plan.problem
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


def _conflicts(solution: Solution) -> Iterator[str]:
    if solution.conflict is None:
        return
    share = float((solution.conflict > 0.5).float().mean())
    if share > NOTABLE_CONFLICT:
        yield (
            f"Guides and low-resolution maps disagree in {share:.2%} of the voxels; there the maps were followed "
            "(see the conflict map)."
        )
