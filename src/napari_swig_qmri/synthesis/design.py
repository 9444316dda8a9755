"""Settings of a sequence that maximise the `efficiency` for two tissues, contrast to noise per square root of time."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import Field, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.physics.nulling import nulled_from, nulled_time
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.progress import Progress, between, mapped
from napari_swig_qmri.synthesis.curves import TissueValues, movable_settings
from napari_swig_qmri.synthesis.efficiency import efficiency, is_unambiguous, noise_problem

Limits = Mapping[str, tuple[float, float]]

N_SOBOL = 1024  # settings spread over the limits
N_PER_REPORT = 32  # of them evaluated between two progress reports
N_STARTS = 6  # of them, the best ones, are refined by Nelder and Mead's simplex search
N_LANDSCAPE = 41  # settings along each side of a landscape, one less where the optimum lies between two
N_ZOOMS, CROWDED = 2, 0.4  # a landscape zooms in while possible settings span less than this share of a side
LOG_START = 1e-5  # s; lower end of the logarithmic scale of a time whose limit is zero
SPREAD = 3.0  # default limits reach from the usual setting divided by this to the usual setting times this
LATEST_ECHO = 0.25  # s; default limits of TE reach at least this
ANGLE_LIMITS = (math.radians(1), math.radians(90))  # default, of flip angles
TRAIN_ANGLE_LIMITS = (math.radians(1), math.radians(30))  # default, of the flip angles of a train of read-outs
REFOCUSING_LIMITS = (math.radians(30), math.pi)  # default, of refocusing angles


@dataclass(frozen=True, kw_only=True)
class DesignProblem:
    """Two tissues to distinguish, and the settings to optimise with their limits.

    ValueError if a setting, a limit or a tissue does not suit the sequence.
    """

    sequence: Contrast  # present settings; those without limits are kept
    tissues: tuple[TissueValues, TissueValues]
    limits: Limits  # lowest and highest value of each setting, s or rad
    nulled: TissueValues | None = None  # tissue whose signal the inversion time nulls at all other settings

    def __post_init__(self) -> None:
        problem = noise_problem(self.sequence)
        if problem:
            raise ValueError(problem)
        if not self.limits:
            raise ValueError("no setting is selected: select at least one, with its limits.")
        for tissue in (*self.tissues, *([self.nulled] if self.nulled else [])):
            if not (tissue.is_measured or tissue.pd == 0):
                raise ValueError(f"{tissue.name!r} holds no voxel with PD, T1 and T2: choose another region.")
        self._check_limits()
        self._check_nulling()

    def _check_limits(self) -> None:
        known = design_settings(self.sequence)
        for name, (low, high) in self.limits.items():
            if name not in known:
                raise ValueError(f"{self.sequence.title} has no setting {name!r}: choose one of {', '.join(known)}.")
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
            raise ValueError("the inversion time follows from the nulled tissue: do not select it.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Landscape:
    """Efficiency as a function of two settings, the others at their optimum.

    NaN where the sequence cannot be played out, or where an MP2RAGE image would be ambiguous in T1.
    """

    settings: tuple[str, str]
    values: tuple[FloatArray, FloatArray]  # s or rad
    efficiency: FloatArray  # (first setting, second setting), unit of PD / sqrt(s)


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """Result of an optimisation: the best settings, and their efficiency compared with that of the present ones."""

    sequence: Contrast
    efficiency: float  # unit of PD / sqrt(s)
    present_efficiency: float  # of the settings before, with the inversion time that nulls the nulled tissue
    at_limit: tuple[str, ...]  # settings whose optimum lies at one of their limits
    landscape: Landscape | None  # None if only one setting was optimised


def design_settings(sequence: Contrast) -> dict[str, Field[Any]]:
    """Fields of the settings that can be optimised, by name: those of curves, and the refocusing angle of trains."""
    trains = {each.name: each for each in sequence.settings_in_use if each.name == "refocusing_angle"}
    return movable_settings(sequence) | trains


def default_limits(sequence: Contrast) -> dict[str, tuple[float, float]]:
    """Default limits in s or rad by setting: a third of to three times the usual value, TE up to at least 250 ms.

    Flip angles lie between 1 and 90 degrees, those of a train of read-outs between 1 and 30, refocusing angles between
    30 and 180.
    """
    flip_angles = TRAIN_ANGLE_LIMITS if hasattr(sequence, "n_partitions") else ANGLE_LIMITS
    limits = {}
    for name, each in design_settings(sequence).items():
        low, high = each.metadata["range"]
        usual = sequence.typical.get(name, getattr(sequence, name))
        bottom, top = usual / SPREAD, SPREAD * usual
        if name == "echo_time":
            top = max(top, LATEST_ECHO)
        if each.metadata["unit"] == "rad":
            bottom, top = REFOCUSING_LIMITS if name == "refocusing_angle" else flip_angles
        limits[name] = (max(low, bottom), min(high, top))
    return limits


def optimise(problem: DesignProblem, plane: tuple[str, str] | None = None) -> Generator[Progress, None, Design]:
    """Search the settings with the highest efficiency, and compute the landscape around them.

    A Sobol sequence spreads settings over the limits, times on a logarithmic scale; Nelder and Mead's simplex search
    refines the best of them. `plane` names the two settings of the landscape, by default the first two of the limits.
    Yields progress and returns the design. ValueError if no settings give the two tissues different signals.
    """
    names = tuple(problem.limits)
    starts = yield from mapped(_best_of_spread(problem), between(0.0, 0.6))
    position = yield from mapped(_refined_position(problem, starts), between(0.6, 0.75))
    best = _sequence_at(problem, _settings_at(problem, position))
    if best is None or efficiency(best, problem.tissues) <= 0:
        raise ValueError("no settings within the limits distinguish the two regions: widen the limits.")
    landscape = None
    if len(names) > 1:
        steps = _landscape(problem, best, plane or (names[0], names[1]))
        landscape = yield from mapped(steps, between(0.75, 1.0))
    return Design(
        sequence=best,
        efficiency=efficiency(best, problem.tissues),
        present_efficiency=efficiency(_sequence_at(problem, {}) or problem.sequence, problem.tissues),
        at_limit=tuple(name for name, x in zip(names, position, strict=True) if min(x, 1 - x) < 1e-3),
        landscape=landscape,
    )


def can_null(sequence: Contrast | None) -> bool:
    """Whether the inversion time of a sequence can null the signal of a tissue."""
    return sequence is not None and nulled_time(sequence) == "inversion_time"


def _sequence_at(problem: DesignProblem, settings: Mapping[str, float]) -> Contrast | None:
    """The sequence with these settings, its inversion time nulling the nulled tissue; None if it is impossible."""
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
    """Efficiency, 0 where the sequence is impossible."""
    sequence = _sequence_at(problem, settings)
    return 0.0 if sequence is None else efficiency(sequence, problem.tissues)


def _settings_at(problem: DesignProblem, position: FloatArray) -> dict[str, float]:
    """Settings at a position ``(setting,)`` in the unit cube, times on a logarithmic and angles on a linear scale."""
    known, settings = design_settings(problem.sequence), {}
    for x, (name, (low, high)) in zip(np.clip(position, 0, 1), problem.limits.items(), strict=True):
        if known[name].metadata["unit"] == "s":
            start = max(low, LOG_START)
            settings[name] = low if x == 0 else float(start * (high / start) ** x)
        else:
            settings[name] = float(low + (high - low) * x)
    return settings


def _best_of_spread(problem: DesignProblem) -> Generator[Progress, None, FloatArray]:
    """The best positions ``(start, setting)`` of those that a Sobol sequence spreads over the unit cube."""
    from scipy.stats import qmc  # takes half a second, which opening a dock need not wait for

    positions = qmc.Sobol(len(problem.limits), scramble=False).random(N_SOBOL)
    scores = np.zeros(N_SOBOL)
    for index, position in enumerate(positions):
        if index % N_PER_REPORT == 0:
            yield Progress(index / N_SOBOL, "Trying settings")
        scores[index] = _efficiency_at(problem, _settings_at(problem, position))
    best: FloatArray = positions[np.argsort(-scores)[:N_STARTS]]
    return best


def _refined_position(problem: DesignProblem, starts: FloatArray) -> Generator[Progress, None, FloatArray]:
    """The best position ``(setting,)`` of those that the simplex searches from all starts end at."""
    from scipy.optimize import minimize  # loaded late, as `qmc` is

    scale = max(_efficiency_at(problem, _settings_at(problem, start)) for start in starts) or 1.0

    def loss(position: FloatArray) -> float:
        return -_efficiency_at(problem, _settings_at(problem, position)) / scale

    best: FloatArray = starts[0]
    lowest = loss(best)
    for index, start in enumerate(starts):
        yield Progress(index / len(starts), "Refining the best")
        for _ in range(2):  # a restart frees a simplex that collapsed on a limit
            found = minimize(loss, start, method="Nelder-Mead", bounds=[(0, 1)] * len(start), options={"xatol": 1e-5})
            start = found.x
        if found.fun < lowest:
            best, lowest = found.x, found.fun
    return best


def _landscape(problem: DesignProblem, best: Contrast, plane: tuple[str, str]) -> Generator[Progress, None, Landscape]:
    """Efficiency over the limits of two settings, zoomed in where only a small part of them is possible."""
    limits = [problem.limits[name] for name in plane]
    for number in range(N_ZOOMS):
        axes = [_axis_through(*ends, getattr(best, name)) for name, ends in zip(plane, limits, strict=True)]
        steps = _heights(problem, best, plane, (axes[0], axes[1]))
        heights = yield from mapped(steps, between(number / N_ZOOMS, (number + 1) / N_ZOOMS))
        possible = np.isfinite(heights)
        spans = [
            _extended_span(axis, np.flatnonzero(possible.any(axis=other)))
            for axis, other in zip(axes, (1, 0), strict=True)
        ]
        if all(high - low > CROWDED * (axis[-1] - axis[0]) for (low, high), axis in zip(spans, axes, strict=True)):
            break
        limits = [
            (max(low, lowest), min(high, highest)) for (low, high), (lowest, highest) in zip(spans, limits, strict=True)
        ]
    return Landscape(settings=plane, values=(axes[0], axes[1]), efficiency=heights)


def _axis_through(low: float, high: float, at: float) -> FloatArray:
    """Evenly spaced values between two limits, one of them exactly `at`, since values next to it may be impossible."""
    step = (high - low) / (N_LANDSCAPE - 1)
    below, above = (int(length / step + 1e-9) for length in (at - low, high - at))
    return at + step * np.arange(-below, above + 1)


def _extended_span(axis: FloatArray, indices: npt.NDArray[np.int_]) -> tuple[float, float]:
    """Lowest and highest of some values of an axis, extended by a step on both sides."""
    step = axis[1] - axis[0]
    return float(axis[indices[0]] - step), float(axis[indices[-1]] + step)


def _heights(
    problem: DesignProblem, best: Contrast, plane: tuple[str, str], axes: tuple[FloatArray, FloatArray]
) -> Generator[Progress, None, FloatArray]:
    """Efficiency ``(first, second)`` at all pairs of values of two settings; NaN where they are impossible."""
    settings = {name: getattr(best, name) for name in problem.limits}
    heights: FloatArray = np.full((len(axes[0]), len(axes[1])), np.nan)
    for row, first in enumerate(axes[0]):
        yield Progress(row / len(axes[0]), "Drawing the landscape")
        for column, second in enumerate(axes[1]):
            sequence = _sequence_at(problem, {**settings, plane[0]: float(first), plane[1]: float(second)})
            if sequence is not None:
                heights[row, column] = efficiency(sequence, problem.tissues)
    return heights
