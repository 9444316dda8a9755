"""Settings of a sequence that show two tissues apart best in the time that they take.

What is made large is the `efficiency` of `contrast_noise`, contrast to noise per square root of time.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc

from napari_swig_qmri.physics.nulling import nulled_from, nulled_time
from napari_swig_qmri.progress import Progress, between, mapped
from napari_swig_qmri.synthesis.curves import TissueValues, movable_settings
from napari_swig_qmri.synthesis.efficiency import efficiency, is_unambiguous, noise_problem

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.sequence import Contrast

    Limits = Mapping[str, tuple[float, float]]

N_TRIED = 1024  # settings spread over the limits
N_STEP = 32  # of them between two reports
N_REFINED = 6  # the best of them are starts of Nelder and Mead's search
N_LANDSCAPE = 41  # settings along each side of a landscape, one less where the optimum is between two
N_ZOOMS, CROWDED = 2, 0.4  # a landscape is drawn closer while what is possible takes less than this share of a side
SHORTEST = 1e-5  # s; where a limit is zero its logarithm starts here
SPREAD = 3.0  # default limits reach from the usual setting divided by this to its multiple
LONG_ECHO = 0.25  # s; default limits of TE reach it
ANGLES = (math.radians(1), math.radians(90))  # default limits of flip angles
TRAIN_ANGLES = (math.radians(1), math.radians(30))  # of those of a block of read-outs, which uses up what is there
REFOCUSING = (math.radians(30), math.pi)  # of refocusing angles


@dataclass(frozen=True, kw_only=True)
class DesignProblem:
    """Which two tissues to show apart, and which settings may move between which limits."""

    sequence: Contrast  # the present settings; those without limits stay
    tissues: tuple[TissueValues, TissueValues]
    limits: Limits  # setting -> lowest and highest, s or rad
    nulled: TissueValues | None = None  # whose signal the inversion time takes away, whatever the other settings

    def __post_init__(self) -> None:
        problem = noise_problem(self.sequence)
        if problem:
            raise ValueError(problem)
        if not self.limits:
            raise ValueError("no setting may move: choose at least one and its limits.")
        for tissue in (*self.tissues, *([self.nulled] if self.nulled else [])):
            if not (tissue.is_measured or tissue.pd == 0):
                raise ValueError(f"{tissue.name!r} holds no voxel with PD, T1 and T2: choose another region.")
        self._check_limits()
        self._check_nulling()

    def _check_limits(self) -> None:
        known = design_settings(self.sequence)
        for name, (low, high) in self.limits.items():
            if name not in known:
                raise ValueError(f"{self.sequence.title} has no setting {name!r}: choose of {', '.join(known)}.")
            if not 0 <= low < high:
                label = known[name].metadata["label"]
                raise ValueError(f"{label}: the lower limit must be below the upper one: change one of them.")

    def _check_nulling(self) -> None:
        if self.nulled is None:
            return
        if not can_null(self.sequence):
            raise ValueError(
                f"{self.sequence.title} cannot null a tissue: choose FLAIR, STIR, PSIR, IR or MPRAGE, or no null."
            )
        if "inversion_time" in self.limits:
            raise ValueError("the inversion time follows from the tissue to null: take it off the settings to move.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Landscape:
    """Efficiency over two settings, the others at their optimum; NaN where they exclude each other or fold MP2RAGE."""

    settings: tuple[str, str]
    values: tuple[FloatArray, FloatArray]  # s or rad
    efficiency: FloatArray  # (first setting, second setting), unit of PD / sqrt(s)


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """The best settings that were found, and how good they and the present ones are."""

    sequence: Contrast
    efficiency: float  # unit of PD / sqrt(s)
    present_efficiency: float  # of the settings that the problem came with, a tissue nulled where that is asked
    at_limit: tuple[str, ...]  # settings that would go further
    landscape: Landscape | None  # None where only one setting moves


def design_settings(sequence: Contrast) -> dict[str, Field[Any]]:
    """Fields of a sequence that a search may move, by name: those of curves, and the refocusing angle of trains."""
    trains = {each.name: each for each in sequence.settings_in_use if each.name == "refocusing_angle"}
    return movable_settings(sequence) | trains


def default_limits(sequence: Contrast) -> dict[str, tuple[float, float]]:
    """Limits to begin with, s or rad: a third to three times the usual, TE up to 250 ms.

    Flip angles lie between 1 and 90 degrees, those of a block of read-outs up to 30, refocusing angles above 30.
    """
    flip_angles = TRAIN_ANGLES if hasattr(sequence, "n_partitions") else ANGLES
    limits = {}
    for name, each in design_settings(sequence).items():
        low, high = each.metadata["range"]
        usual = sequence.typical.get(name, getattr(sequence, name))
        bottom, top = usual / SPREAD, SPREAD * usual
        if name == "echo_time":
            top = max(top, LONG_ECHO)
        if each.metadata["unit"] == "rad":
            bottom, top = REFOCUSING if name == "refocusing_angle" else flip_angles
        limits[name] = (max(low, bottom), min(high, top))
    return limits


def optimise(problem: DesignProblem, plane: tuple[str, str] | None = None) -> Generator[Progress, None, Design]:
    """Search the settings with the highest efficiency, and compute the landscape around them.

    A Sobol sequence spreads settings over the limits, times by their logarithm; Nelder and Mead's simplex search
    goes on from the best. `plane` names the settings of the landscape, by default the first two that move.
    """
    names = tuple(problem.limits)
    starts = yield from mapped(_spread(problem), between(0.0, 0.6))
    best = yield from mapped(_refined(problem, starts), between(0.6, 0.75))
    found = _sequence_at(problem, _settings(problem, best))
    if found is None or efficiency(found, problem.tissues) <= 0:
        raise ValueError("no setting within the limits shows the two regions apart: widen the limits.")
    landscape = None
    if len(names) > 1:
        steps = _landscape(problem, found, plane or (names[0], names[1]))
        landscape = yield from mapped(steps, between(0.75, 1.0))
    return Design(
        sequence=found,
        efficiency=efficiency(found, problem.tissues),
        present_efficiency=efficiency(_sequence_at(problem, {}) or problem.sequence, problem.tissues),
        at_limit=tuple(name for name, x in zip(names, best, strict=True) if min(x, 1 - x) < 1e-3),
        landscape=landscape,
    )


def can_null(sequence: Contrast | None) -> bool:
    """Whether the inversion time of a sequence can take the signal of a tissue away."""
    return sequence is not None and nulled_time(sequence) == "inversion_time"


def _sequence_at(problem: DesignProblem, settings: Mapping[str, float]) -> Contrast | None:
    """The sequence with these settings, its inversion time following the tissue to null; None if impossible."""
    try:
        wanted = {**vars(problem.sequence), **settings}
        if problem.nulled is None:
            sequence: Contrast = type(problem.sequence)(**wanted)
        else:
            sequence = nulled_from(type(problem.sequence), wanted, problem.nulled.t1, problem.nulled.t2)
    except ValueError:
        return None
    return sequence if is_unambiguous(sequence, problem.tissues) else None


def _efficiency_at(problem: DesignProblem, settings: Mapping[str, float]) -> float:
    """Efficiency, 0 where the settings exclude each other."""
    sequence = _sequence_at(problem, settings)
    return 0.0 if sequence is None else efficiency(sequence, problem.tissues)


def _settings(problem: DesignProblem, position: FloatArray) -> dict[str, float]:
    """Settings at a position in the unit cube: times by their logarithm, angles evenly."""
    known, settings = design_settings(problem.sequence), {}
    for x, (name, (low, high)) in zip(np.clip(position, 0, 1), problem.limits.items(), strict=True):
        if known[name].metadata["unit"] == "s":
            start = max(low, SHORTEST)
            settings[name] = low if x == 0 else float(start * (high / start) ** x)
        else:
            settings[name] = float(low + (high - low) * x)
    return settings


def _spread(problem: DesignProblem) -> Generator[Progress, None, FloatArray]:
    """The best positions ``(N_REFINED, setting)`` of those tried all over the limits."""
    tried = qmc.Sobol(len(problem.limits), scramble=False).random(N_TRIED)
    scores = np.zeros(N_TRIED)
    for index, position in enumerate(tried):
        if index % N_STEP == 0:
            yield Progress(index / N_TRIED, "Trying settings")
        scores[index] = _efficiency_at(problem, _settings(problem, position))
    best: FloatArray = tried[np.argsort(-scores)[:N_REFINED]]
    return best


def _refined(problem: DesignProblem, starts: FloatArray) -> Generator[Progress, None, FloatArray]:
    """The best position ``(setting,)`` that a search from each start ends at."""
    scale = max(_efficiency_at(problem, _settings(problem, start)) for start in starts) or 1.0

    def loss(position: FloatArray) -> float:
        return -_efficiency_at(problem, _settings(problem, position)) / scale

    best: FloatArray = starts[0]
    lowest = loss(best)
    for index, start in enumerate(starts):
        yield Progress(index / len(starts), "Refining the best")
        for _ in range(2):  # begun again where it ended, a simplex that collapsed on a limit gets away
            found = minimize(loss, start, method="Nelder-Mead", bounds=[(0, 1)] * len(start), options={"xatol": 1e-5})
            start = found.x
        if found.fun < lowest:
            best, lowest = found.x, found.fun
    return best


def _landscape(problem: DesignProblem, best: Contrast, plane: tuple[str, str]) -> Generator[Progress, None, Landscape]:
    """Efficiency over the limits of two settings, or over the part of them that holds all that is possible."""
    ends = [problem.limits[name] for name in plane]
    for number in range(N_ZOOMS):
        axes = [_axis(*limits, getattr(best, name)) for name, limits in zip(plane, ends, strict=True)]
        steps = _heights(problem, best, plane, (axes[0], axes[1]))
        made = yield from mapped(steps, between(number / N_ZOOMS, (number + 1) / N_ZOOMS))
        there = np.isfinite(made)
        found = [_span(axis, np.flatnonzero(there.any(axis=other))) for axis, other in zip(axes, (1, 0), strict=True)]
        if all(high - low > CROWDED * (axis[-1] - axis[0]) for (low, high), axis in zip(found, axes, strict=True)):
            break
        ends = [
            (max(low, lowest), min(high, highest)) for (low, high), (lowest, highest) in zip(found, ends, strict=True)
        ]
    return Landscape(settings=plane, values=(axes[0], axes[1]), efficiency=made)


def _axis(low: float, high: float, at: float) -> FloatArray:
    """Equal steps between two ends, one of them at `at`: settings near it may be impossible."""
    step = (high - low) / (N_LANDSCAPE - 1)
    below, above = (int(length / step + 1e-9) for length in (at - low, high - at))
    return at + step * np.arange(-below, above + 1)


def _span(axis: FloatArray, there: npt.NDArray[np.int_]) -> tuple[float, float]:
    """Ends of the values at some places, a step more on both sides."""
    step = axis[1] - axis[0]
    return float(axis[there[0]] - step), float(axis[there[-1]] + step)


def _heights(
    problem: DesignProblem, best: Contrast, plane: tuple[str, str], axes: tuple[FloatArray, FloatArray]
) -> Generator[Progress, None, FloatArray]:
    """Efficiency ``(first, second)`` at values of two settings; one row between two reports."""
    settings = {name: getattr(best, name) for name in problem.limits}
    made: FloatArray = np.full((len(axes[0]), len(axes[1])), np.nan)
    for row, one in enumerate(axes[0]):
        yield Progress(row / len(axes[0]), "Drawing the landscape")
        for column, other in enumerate(axes[1]):
            sequence = _sequence_at(problem, {**settings, plane[0]: float(one), plane[1]: float(other)})
            if sequence is not None:
                made[row, column] = efficiency(sequence, problem.tissues)
    return made
