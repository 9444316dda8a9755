"""The verdict on a result: whether its maps are better than interpolated ones, as far as a run can know.

One scale up the LR maps are the truth, and super-resolution and interpolation can both be compared with them
(`solver.one_scale_up`). That tests guides and signal models, but a shift of the guides matters less there, and errors
that all scales share do not show. Both leave an LR residual, which is the second part of the evidence. The rules and
their limits were measured on simulated cases with one fault each (docs/howto/verdict.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.preparation.problem import Problem, with_floor
from napari_swig_qmri.super_resolution.preparation.tissue import MIN_TISSUE
from napari_swig_qmri.super_resolution.results import DO_NOT_USE, GOOD, LOOK, Verdict
from napari_swig_qmri.super_resolution.solver.conflicts import NEAR_FLUID, fluid_share
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import flattest
from napari_swig_qmri.super_resolution.solver.one_scale_up import Rehearsal, Unrehearsed
from napari_swig_qmri.super_resolution.solver.prediction import lr_structure

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.engine import Solution
    from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings

NOISE_MEDIAN = 0.6745  # median magnitude of noise with a standard deviation of 1
LEAST_LEFT = 0.2  # of an error that is left when noise is subtracted
CERTAIN_NOISE = 0.5  # of the error of interpolation; noise counts beyond it, since misfit raises its estimate
LEAST_ERROR = 0.002  # of interpolation, relative: maps without detail cannot be worse
RESIDUAL_WEIGHT = torch.tensor([1.5, 1.5, 0.5])  # PD, T1, T2; truncated T2 maps ring around CSF, which is no error
DOUBTFUL = 0.8  # expected error over that of interpolation from which a result needs a look
WORSE = 1.0  # and above which it should not be used
SYSTEMATIC = 0.04  # relative smooth LR residual in flat tissue above which a map needs a look
SMOOTH_WINDOW = 0.7  # standard deviation in LR voxels
WORSE_TEXT = "Worse than interpolation: the expected error over that of interpolated maps is {}."
DOUBTFUL_TEXT = "Perhaps no better than interpolation: the expected error over that of interpolated maps is {}."
SYSTEMATIC_TEXT = "In flat tissue the result differs from the measured maps by {}."
REMEDY = "Check that guides and maps show the same head in the same place, and the sequences, gains and units given."
UNCONFIRMED_TEXT = "The sequence or a setting of {} does not fit: confirm it."
UNTESTED = "The result could not be tested: {}."


def verdict_of(
    solution: Solution,
    lr_residual: Tensor,
    rehearsal: Rehearsal | Unrehearsed,
    problem: Problem,
    findings: Sequence[GuideFindings],
) -> Verdict:
    """Verdict on a solution.

    Parameters
    ----------
    lr_residual
        ``(3, x, y, z)``, measured minus truncated maps, with PD relative to water.
    rehearsal
        Errors one scale up, or why there are none. Without a guide nothing needs to be tested.
    findings
        What was found about each guide. Settings that are to be confirmed need a look.
    """
    if not problem.sequences:
        return Verdict()
    unfit = [found.guide for found in findings if found.is_doubtful]
    unconfirmed = [UNCONFIRMED_TEXT.format(joined(unfit))] if unfit else []
    if isinstance(rehearsal, Unrehearsed):
        return Verdict(LOOK, (UNTESTED.format(rehearsal.reason), *unconfirmed))
    relative = lr_residual / with_floor(problem.lr_maps)
    expected = _named(expected_errors(rehearsal, relative, solution.noise.lr_maps, problem), problem)
    systematic = _named(systematic_errors(relative, problem), problem)
    worse = {name: error for name, error in expected.items() if not error <= WORSE}
    doubtful = {name: error for name, error in expected.items() if DOUBTFUL < error <= WORSE}
    off = {name: error for name, error in systematic.items() if not error <= SYSTEMATIC}
    reasons = [
        *([WORSE_TEXT.format(_listed(worse, "{:.2g}"))] if worse else []),
        *([DOUBTFUL_TEXT.format(_listed(doubtful, "{:.2g}"))] if doubtful else []),
        *([SYSTEMATIC_TEXT.format(_listed(off, "{:.0%}"))] if off else []),
        *unconfirmed,
        *([REMEDY] if worse or off else []),
    ]
    return Verdict(DO_NOT_USE if worse else LOOK if reasons else GOOD, tuple(reasons))


def expected_errors(rehearsal: Rehearsal, relative: Tensor, noise: Tensor, problem: Problem) -> Tensor:
    """Expected error of each map ``(3,)`` over that of interpolation.

    Parameters
    ----------
    relative
        LR residual over the LR maps, ``(3, x, y, z)``.
    noise
        Relative standard deviation of the noise of the LR maps, ``(3,)``. It is subtracted from all errors, since the
        LR maps stand for the truth. Interpolated maps keep it, and the result what it has not removed.
    """
    left, noise = _median_over(relative, problem.tissue & problem.lr_valid), NOISE_MEDIAN * noise
    solved, interpolated, misfit = (
        _without_noise(errors, noise) for errors in (rehearsal.solved, rehearsal.interpolated, left)
    )
    interpolated = interpolated.clamp(min=LEAST_ERROR)
    noisy = noise.square() - (CERTAIN_NOISE * interpolated).square()  # variance in interpolated maps
    kept = noisy - left.square()  # by the result, which has removed what it leaves of the measured maps
    error = torch.hypot(solved, RESIDUAL_WEIGHT * misfit).square() + kept.clamp(min=0)
    return (error / (interpolated.square() + noisy.clamp(min=0))).sqrt()


def systematic_errors(relative: Tensor, problem: Problem) -> Tensor:
    """Median magnitude ``(3,)`` of the smooth relative LR residual in flat tissue, away from borders, CSF and noise."""
    tissue = problem.tissue & problem.lr_valid
    dry = tissue & (fluid_share(problem) < NEAR_FLUID)
    flat = flattest(dry if int(dry.sum()) >= MIN_TISSUE else tissue, lr_structure(problem))
    return _median_over(gaussian_average(relative, SMOOTH_WINDOW), flat)


def _median_over(volumes: Tensor, where: Tensor) -> Tensor:
    return volumes[:, where].abs().median(-1).values


def _without_noise(errors: Tensor, noise: Tensor) -> Tensor:
    return torch.maximum(errors.square() - noise.square(), (LEAST_LEFT * errors).square()).sqrt()


def _named(values: Tensor, problem: Problem) -> dict[str, float]:
    """Values ``(3,)`` of the maps that were measured, by name."""
    titles = [*list(QUANTITIES)[:-1], "T2*" if problem.is_t2_star else "T2"]
    pairs = zip(titles, values.tolist(), problem.measured, strict=True)
    return {title: value for title, value, measured in pairs if measured}


def _listed(errors: Mapping[str, float], form: str) -> str:
    """Errors by map, such as ``5 % in T1 and 8 % in T2``."""
    return joined(f"{form.format(error)} in {name}" for name, error in errors.items())
