"""Inversion and repetition times that a guide contradicts by its contrast, and spin echoes that are none.

A wrong gain looks alike in all tissues, a wrong time does not. The time whose contrast explains a guide best is fitted
together with a smooth field, in a solved part of the head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.physics.signal_models import Mprage, SpinEcho, TurboSpinEcho
from napari_swig_qmri.super_resolution.examination.guide_contrast import compared, robust_fit
from napari_swig_qmri.super_resolution.examination.part_of_head import solved_part
from napari_swig_qmri.super_resolution.examination.receive_field import LEAST_VOXELS, coordinates_of_tissue, polynomials
from napari_swig_qmri.super_resolution.examination.settings.findings import (
    MOST_MISFIT,
    FittedSetting,
    SettingCheck,
    changed,
    checked_time,
)
from napari_swig_qmri.super_resolution.preparation.problem import with_floor

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

N_STEPS = 6
PROBE = 0.05  # relative change of a time by which its effect is measured
LARGEST_STEP, LARGEST_CHANGE = 0.3, 1.6  # of the logarithm of a time
LEAST_CHANGE = 0.15  # relative; smaller errors of settings are not told from those of the maps
LARGEST_REFINEMENT = 0.15  # of the logarithm of a time found before; they were .01 to .08 off
LEAST_GAIN = 0.08  # share of the misfit that another time must remove
MOST_OF_KIND, GAIN_OF_KIND = 0.06, 0.25  # the same for another kind of sequence, beyond what another time removes
EXCHANGED, SHARE_OF_EXCHANGED = 0.2, 0.4  # least misfit as said, and share of it that another guide's sequence leaves
USUAL = 0.45  # of the logarithm of the time of another kind, within which it departs from a usual one
KINDS = (  # what a spin echo may be instead, the time that is fitted, and its name
    (Mprage.from_typical(), "inversion_time", "an MPRAGE"),
    (SpinEcho.from_typical(), "repetition_time", "a T1-weighted spin echo"),
)


def checked_settings(problem: Problem, part: SolvedPart, names: Sequence[str]) -> tuple[SettingCheck, ...]:
    """How well the sequence of each guide fits it, and what fits better; `names` are those of the guides."""
    checks = []
    for guide, said in enumerate(problem.sequences):
        signals = _signals(problem, part, guide)
        if signals is None:
            checks.append(SettingCheck(said))
            continue
        as_said = signals.misfit(said)
        better = _exchanged(signals, problem.sequences, guide, as_said, names) or _fitted(signals, said, as_said)
        checks.append(SettingCheck(said, as_said, better))
    return tuple(_with_partner(check, guide, checks, names) for guide, check in enumerate(checks))


def refined_settings(
    problem: Problem, checks: Sequence[SettingCheck]
) -> Generator[None, None, tuple[SettingCheck, ...]]:
    """Checks whose inversion times are fitted once more, in a part of the head solved with the sequences that fit.

    The part that was solved as said follows the wrong sequence, and with it what mixed voxels do to the contrast.
    Yields between the steps.
    """
    if not any(_can_be_refined(check) for check in checks):
        return tuple(checks)
    fits = [check.better.fits if check.better else said for check, said in zip(checks, problem.sequences, strict=True)]
    problem = replace(problem, sequences=tuple(fits))
    part = yield from solved_part(problem)
    return tuple(_refined(problem, part, guide, check) for guide, check in enumerate(checks))


def _can_be_refined(check: SettingCheck) -> bool:
    better = check.better
    return better is not None and better.name == "inversion_time" and not better.exchanged_with


def _refined(problem: Problem, part: SolvedPart, guide: int, check: SettingCheck) -> SettingCheck:
    """The check of a guide with the inversion time that its contrast tells, if this changes it little."""
    better = check.better
    signals = _signals(problem, part, guide) if _can_be_refined(check) else None
    if better is None or signals is None:
        return check
    change, _ = signals.fitted(better.fits, better.name)
    fits = changed(better.fits, better.name, change)
    if fits is None or abs(change) > LARGEST_REFINEMENT:
        return check
    return replace(check, better=replace(better, fits=fits))


def _signals(problem: Problem, part: SolvedPart, guide: int) -> _Signals | None:
    """A guide with its sequence in the problem; None if it cannot be explained by PD, or too few voxels tell."""
    sequence = problem.sequences[guide]
    found = compared(problem, part, guide, sequence)
    if len(found.voxels) < LEAST_VOXELS or not sequence.is_scaled_by_pd:
        return None
    field = polynomials(apply_affine(coordinates_of_tissue(problem) @ problem.lr_grid.affine, found.voxels))
    maps = with_floor(problem.lr_maps)[(slice(None), *torch.as_tensor(found.voxels.T))]
    return _Signals(maps, _log_signal(sequence, maps) + found.log_ratio, field, found.reliability)


def _exchanged(
    signals: _Signals, sequences: Sequence[SignalModel], guide: int, as_said: float, names: Sequence[str]
) -> FittedSetting | None:
    """The sequence of another guide if it fits and the own one does not."""
    others = {other: signals.misfit(each) for other, each in enumerate(sequences) if each.is_scaled_by_pd}
    others.pop(guide)
    best = min(others, key=lambda other: others[other], default=None)
    if best is None or as_said < EXCHANGED or others[best] > SHARE_OF_EXCHANGED * as_said:
        return None
    said, fits = sequences[guide], sequences[best]
    return FittedSetting(checked_time(fits), said, fits, others[best], exchanged_with=names[best])


def _with_partner(
    check: SettingCheck, guide: int, checks: Sequence[SettingCheck], names: Sequence[str]
) -> SettingCheck:
    """The check of a guide whose sequence fits another guide, and whose own does not fit."""
    if check.said is None or check.misfit is None or check.misfit <= EXCHANGED:
        return check
    if check.better is not None and check.better.exchanged_with:
        return check
    for other, each in enumerate(checks):
        if each.said is not None and each.better is not None and each.better.exchanged_with == names[guide]:
            fits = each.said
            swap = FittedSetting(checked_time(fits), check.said, fits, check.misfit, exchanged_with=names[other])
            return replace(check, better=swap)
    return check


def _fitted(signals: _Signals, said: SignalModel, as_said: float) -> FittedSetting | None:
    """The time or the kind of sequence that fits a guide; None if what is said fits."""
    name = checked_time(said)
    change, misfit = signals.fitted(said, name)
    if type(said) in (SpinEcho, TurboSpinEcho):
        for other, of_other, kind in KINDS:
            other_change, left = signals.fitted(other, of_other)
            least = min(MOST_OF_KIND, (1 - GAIN_OF_KIND) * min(as_said, misfit))
            if abs(other_change) < USUAL and left < least:
                return _setting(of_other, said, changed(other, of_other, other_change), left, kind)
    if misfit > min(MOST_MISFIT, (1 - LEAST_GAIN) * as_said) or abs(change) < LEAST_CHANGE:
        return None
    return _setting(name, said, changed(said, name, change), misfit)


def _setting(
    name: str, said: SignalModel, fits: SignalModel | None, misfit: float, kind: str = ""
) -> FittedSetting | None:
    return FittedSetting(name, said, fits, misfit, kind) if fits else None


@dataclass(frozen=True, eq=False)
class _Signals:
    """A guide in some LR voxels, to be explained by a sequence and a smooth field."""

    maps: torch.Tensor  # (3, voxel)
    log_guide: FloatArray  # (voxel,), without what mixed voxels do to it
    field: FloatArray  # (voxel, n)
    reliability: FloatArray  # (voxel,)

    def misfit(self, sequence: SignalModel, name: str | None = None, change: float = 0.0) -> float:
        """Robust deviation of the guide from a sequence, with the time `name` changed by a factor exp(change)."""
        log_ratio = self.log_guide - self._at(sequence, name, change)
        return robust_fit(self.field, log_ratio, self.reliability).level

    def fitted(self, sequence: SignalModel, name: str) -> tuple[float, float]:
        """Change of the logarithm of a time that explains the guide, and the misfit that is left."""
        change = 0.0
        for _ in range(N_STEPS):
            signal = self._at(sequence, name, change)
            slope = (self._at(sequence, name, change + PROBE) - signal) / PROBE
            columns = np.concatenate([self.field, slope[:, None]], axis=1)
            step = robust_fit(columns, self.log_guide - signal, self.reliability).solution[-1]
            change += float(np.clip(step, -LARGEST_STEP, LARGEST_STEP))
            change = float(np.clip(change, -LARGEST_CHANGE, LARGEST_CHANGE))
        return change, self.misfit(sequence, name, change)

    def _at(self, sequence: SignalModel, name: str | None, change: float) -> FloatArray:
        if name is not None:
            sequence = sequence.unchecked(**{name: getattr(sequence, name) * float(np.exp(change))})
        return _log_signal(sequence, self.maps)


def _log_signal(sequence: SignalModel, maps: torch.Tensor) -> FloatArray:
    log_signal: FloatArray = sequence(*maps).abs().clamp(min=1e-6).log().numpy().astype(float)
    return log_signal
