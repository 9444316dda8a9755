"""Settings that a solution which follows the guides contradicts.

A solution can follow guides with a wrong echo time, too, but then it leaves more of the LR maps: white and grey matter
are wrong in different ways. The middle of the head is solved with settings changed by some factors, and the setting
that leaves the least is looked for if it is much less than with what is said.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from scipy.optimize import minimize_scalar

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination.part_of_head import LoosePart, loose_middle
from napari_swig_qmri.super_resolution.examination.receive_field import LEAST_VOXELS
from napari_swig_qmri.super_resolution.examination.settings.findings import (
    MOST_MISFIT,
    FittedSetting,
    SettingCheck,
    changed,
)
from napari_swig_qmri.super_resolution.preparation.problem import with_floor
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.physics.signals import NamedSignals
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

MOST_VOXELS = 60_000  # HR voxels that are solved
N_STEPS = 2  # of Gauss-Newton
PROBES = (math.log(0.8), math.log(1.25))  # changes of the logarithm of a setting
LEAST_FALL = 0.05  # of the logarithm of the LR residual for a probe; right settings rise by .02 or more
SIMILAR = 0.1  # falls that differ by less do not tell two settings apart
LARGEST_CHANGE, TOLERANCE = 0.6, 0.01  # of the logarithm of a setting
LEAST_CHANGE = 0.12  # smaller errors of settings are not told from those of the maps
SMOOTH_WINDOW = 0.7  # standard deviation in LR voxels of the average of the LR residual, which noise does not survive
FITTED = 0.3  # fall of that logarithm that tells maps fitted to signals: .4 to .8 for these, .2 at most for averages
SETTINGS = ("echo_time", "inversion_time", "repetition_time", "flip_angle")
LEAST_ECHO_TIME = 0.03  # s; a shorter one changes little between tissues


@dataclass(frozen=True)
class _Candidate:
    """A setting of a guide, and a change of its logarithm that leaves less of the LR maps."""

    guide: int
    name: str
    change: float
    fall: float  # of the logarithm of the LR residual, negative


def solved_settings(
    problem: Problem, checks: Sequence[SettingCheck], signals: NamedSignals | None = None
) -> Generator[None, None, tuple[SettingCheck, ...]]:
    """Checks of settings with the one that fits much better, if there is one; yields between the steps.

    Guides of which another setting was found, or which their contrast confirms, are taken as known. LR maps are
    compared as the problem says; if nothing is known of their origin, through `signals` if this leaves much less.
    """
    fits = [check.better.fits if check.better else said for check, said in zip(checks, problem.sequences, strict=True)]
    open_settings = list(_open_settings(fits, checks))
    part = (yield from loose_middle(problem, MOST_VOXELS)) if open_settings else None
    if part is None or int((part.inner & part.problem.tissue).sum()) < LEAST_VOXELS:
        return tuple(checks)
    start = yield from part.with_sequences(fits).solved(N_STEPS)
    solving = _Solving(part, replace(part.problem, lr_signals=problem.lr_signals), tuple(fits), start)
    if signals:
        solving = solving.through(signals)
    as_said, probes = solving.residual(), []
    for (guide, name), change in product(open_settings, PROBES):
        yield
        probes.append(_Candidate(guide, name, change, solving.residual(guide, name, change) - as_said))
    best = min(probes, key=lambda each: each.fall)
    if best.fall > -LEAST_FALL:
        return tuple(checks)
    tried = {(each.guide, each.name) for each in probes if each.fall < best.fall + SIMILAR}
    tried |= {(best.guide, name) for name in SETTINGS if hasattr(fits[best.guide], name)}
    found = []
    for guide, name in sorted(tried):
        yield
        found.append(solving.best(guide, name, as_said))
    return tuple(_with_found(checks, fits, sorted(found, key=_rank)))


def _rank(candidate: _Candidate) -> float:
    """Fall of the LR residual, by which a repetition time must be clearly better: many of them explain a little."""
    return candidate.fall + SIMILAR * (candidate.name == "repetition_time")


def _open_settings(sequences: Sequence[SignalModel], checks: Sequence[SettingCheck]) -> Iterator[tuple[int, str]]:
    """Guides and their settings that change contrasts between tissues, and of which nothing is known yet."""
    for guide, (sequence, check) in enumerate(zip(sequences, checks, strict=True)):
        if check.better or check.misfit is None or check.misfit < MOST_MISFIT:
            continue
        if hasattr(sequence, "inversion_time"):
            yield guide, "inversion_time"
        if hasattr(sequence, "flip_angle"):
            yield guide, "flip_angle"
        if sequence.echo_time > LEAST_ECHO_TIME:
            yield guide, "echo_time"


@dataclass(frozen=True, eq=False)
class _Solving:
    """A part of the head that is solved with sequences changed one by one."""

    part: LoosePart
    compared: Problem  # of the part, with the signals that its LR maps were fitted to
    sequences: tuple[SignalModel, ...]
    start: Tensor  # (3, X, Y, Z), log maps with the sequences as they are

    def residual(self, guide: int = 0, name: str = "echo_time", change: float = 0.0) -> float:
        """Logarithm of the smooth LR residual of maps solved with a setting times exp(change)."""
        sequences = list(self.sequences)
        setting = getattr(sequences[guide], name) * math.exp(change)
        sequences[guide] = sequences[guide].unchecked(**{name: setting})
        return self._left(drained(self.part.with_sequences(sequences).solved(N_STEPS, self.start)).exp())

    def through(self, signals: NamedSignals) -> _Solving:
        """The same with LR maps compared through `signals` if this leaves much less of them than averages do."""
        fitted = replace(self, compared=replace(self.compared, lr_signals=signals))
        maps = self.start.exp()
        return fitted if fitted._left(maps) < self._left(maps) - FITTED else self

    def _left(self, maps: Tensor) -> float:
        """Logarithm of the smooth relative LR residual of maps ``(3, X, Y, Z)`` over tissue, mean of the maps."""
        problem = self.compared
        left = lr_residual(problem, maps) / with_floor(problem.lr_maps)
        left = gaussian_average(left, SMOOTH_WINDOW)[:, self.part.inner & problem.tissue]
        return float(left.abs().median(-1).values.clamp(min=1e-6).log().mean())

    def best(self, guide: int, name: str, as_said: float) -> _Candidate:
        """The change of a setting that leaves the least."""
        least = minimize_scalar(
            partial(self.residual, guide, name),
            bounds=(-LARGEST_CHANGE, LARGEST_CHANGE),
            method="bounded",
            options={"xatol": TOLERANCE},
        )
        return _Candidate(guide, name, float(least.x), float(least.fun) - as_said)


def _with_found(
    checks: Sequence[SettingCheck], sequences: Sequence[SignalModel], found: Sequence[_Candidate]
) -> Iterator[SettingCheck]:
    """Checks in which the first of the candidates fits, or others of the same guide that are as good."""
    known = [(each, changed(sequences[each.guide], each.name, each.change)) for each in found]
    fits = [(each, sequence) for each, sequence in known if sequence and abs(each.change) > LEAST_CHANGE]
    for guide, check in enumerate(checks):
        if not fits or fits[0][0].guide != guide:
            yield check
            continue
        (best, sequence), *more = fits
        others = tuple(
            (each.name, other) for each, other in more if each.guide == guide and each.fall < best.fall + SIMILAR
        )
        removed = 1 - math.exp(best.fall)
        better = FittedSetting(best.name, sequences[guide], sequence, None, removed=removed, others=others)
        yield replace(check, better=better)
