"""Settings of sequences that the guides contradict: the inversion or repetition time, and spin echoes that are none.

A wrong gain looks alike in all tissues, a wrong time does not. The time whose contrast explains a guide best is fitted
together with a smooth field, in a solved part of the head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.physics.sequence import ms, settings_of, short_label, summary
from napari_swig_qmri.physics.signal_models import Mprage, SpinEcho, TurboSpinEcho
from napari_swig_qmri.super_resolution.examination.guide_contrast import compared, robust_fit
from napari_swig_qmri.super_resolution.examination.receive_field import LEAST_VOXELS, coordinates_of_tissue, polynomials
from napari_swig_qmri.super_resolution.preparation.problem import with_floor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_swig_qmri.data.volumes import FloatArray, WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

N_STEPS = 6
PROBE = 0.05  # relative change of a time by which its effect is measured
LARGEST_STEP, LARGEST_CHANGE = 0.3, 1.6  # of the logarithm of a time
LEAST_CHANGE = 0.15  # relative; smaller errors of settings are not told from those of the maps
LEAST_GAIN = 0.08  # share of the misfit that another time must remove
MOST_MISFIT = 0.04  # that may be left: noise of maps attenuates contrasts and so changes the time that fits
MOST_OF_KIND, GAIN_OF_KIND = 0.06, 0.25  # the same for another kind of sequence, beyond what another time removes
UNEXPLAINED = 0.3  # misfit of which no noise, blur or mixed voxels are the reason
EXCHANGED, SHARE_OF_EXCHANGED = 0.2, 0.4  # least misfit as said, and share of it that another guide's sequence leaves
USUAL = 0.45  # of the logarithm of the time of another kind, within which it departs from a usual one
KINDS = (  # what a spin echo may be instead, the time that is fitted, and its name
    (Mprage.from_typical(), "inversion_time", "an MPRAGE"),
    (SpinEcho.from_typical(), "repetition_time", "a T1-weighted spin echo"),
)


@dataclass(frozen=True)
class FittedSetting:
    """A sequence that explains a guide better than the one that its sidecar names."""

    name: str  # of the time that was fitted
    said: SignalModel
    fits: SignalModel
    misfit: float  # robust relative deviation over tissue that is left
    misfit_as_said: float
    kind: str = ""  # in words, if it is of another kind
    exchanged_with: str = ""  # the guide whose sequence it is, if there is one

    @property
    def words(self) -> str:
        """What fits, and what was said."""
        if self.exchanged_with:
            return f"has the contrast of {self.exchanged_with} ({summary(self.fits)}), not of {summary(self.said)}"
        time = ms(round(getattr(self.fits, self.name), 2 if self.kind else 3))
        if self.kind:
            said = self.said.title.lower()
            return f"looks like {self.kind}, {_label(self.fits, self.name)} about {time}, but its sidecar says {said}"
        said = ms(getattr(self.said, self.name))
        return f"{_label(self.fits, self.name)} {time} fits, but its sidecar says {said}"

    def to_json(self) -> dict[str, Any]:
        """The sequence and the time that fit, in s."""
        return {"sequence_that_fits": type(self.fits).__name__, self.name: round(getattr(self.fits, self.name), 4)}


@dataclass(frozen=True)
class SettingCheck:
    """How well the sequence of a guide explains its contrast."""

    said: SignalModel | None = None
    misfit: float | None = None  # robust relative deviation over tissue as said; None if it was not compared
    better: FittedSetting | None = None

    @property
    def departs(self) -> bool:
        """Whether something else fits, or nothing does."""
        return self.better is not None or (self.misfit or 0.0) > UNEXPLAINED

    def words(self, *, is_corrected: bool = False) -> Iterator[str]:
        """What fits, in words; nothing if nothing was compared."""
        if self.better is not None:
            yield f"{self.better.words}: {'corrected' if is_corrected else 'confirm'}"
        elif self.said is None or self.misfit is None:
            return
        elif self.misfit > UNEXPLAINED:
            yield f"its contrast does not fit {summary(self.said)}, by {100 * self.misfit:.0f} %: check the sequence"
        elif self.misfit < MOST_MISFIT:
            name = _checked_time(self.said)
            yield f"{_label(self.said, name)} {ms(getattr(self.said, name))} fits"
        else:
            yield f"its contrast fits within {100 * self.misfit:.0f} %"

    def to_json(self) -> dict[str, Any]:
        """Misfit as said, and the sequence and the time that fit with theirs."""
        said = {} if self.misfit is None else {"misfit_as_said": round(self.misfit, 4)}
        return said | ({**self.better.to_json(), "misfit": round(self.better.misfit, 4)} if self.better else {})


def checked_settings(problem: Problem, part: SolvedPart, names: Sequence[str]) -> tuple[SettingCheck, ...]:
    """How well the sequence of each guide fits it, and what fits better; `names` are those of the guides."""
    checks = []
    for guide, said in enumerate(problem.sequences):
        found = compared(problem, part, guide, said)
        if len(found.voxels) < LEAST_VOXELS or not said.is_scaled_by_pd:
            checks.append(SettingCheck(said))
            continue
        field = polynomials(apply_affine(coordinates_of_tissue(problem) @ problem.lr_grid.affine, found.voxels))
        maps = with_floor(problem.lr_maps)[(slice(None), *torch.as_tensor(found.voxels.T))]
        signals = _Signals(maps, _log_signal(said, maps) + found.log_ratio, field, found.reliability)
        as_said = signals.misfit(said)
        better = _exchanged(signals, problem.sequences, guide, as_said, names) or _fitted(signals, said, as_said)
        checks.append(SettingCheck(said, as_said, better))
    return tuple(_with_partner(check, guide, checks, names) for guide, check in enumerate(checks))


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
    return FittedSetting(_checked_time(fits), said, fits, others[best], as_said, exchanged_with=names[best])


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
            fits, left = each.said, check.misfit
            swap = FittedSetting(_checked_time(fits), check.said, fits, left, left, exchanged_with=names[other])
            return replace(check, better=swap)
    return check


def with_fitted(guides: Sequence[WeightedImage], checks: Sequence[SettingCheck]) -> tuple[WeightedImage, ...]:
    """Guides with the sequences that fit them."""
    return tuple(
        replace(guide, sequence=check.better.fits) if check.better else guide
        for guide, check in zip(guides, checks, strict=True)
    )


def _checked_time(sequence: SignalModel) -> str:
    """The time that is fitted to the contrast of a sequence."""
    return "inversion_time" if hasattr(sequence, "inversion_time") else "repetition_time"


def _label(sequence: SignalModel, name: str) -> str:
    return next(short_label(each) for each in settings_of(sequence) if each.name == name)


def _fitted(signals: _Signals, said: SignalModel, as_said: float) -> FittedSetting | None:
    """The time or the kind of sequence that fits a guide; None if what is said fits."""
    name = _checked_time(said)
    change, misfit = signals.fitted(said, name)
    if type(said) in (SpinEcho, TurboSpinEcho):
        for other, of_other, kind in KINDS:
            other_change, left = signals.fitted(other, of_other)
            least = min(MOST_OF_KIND, (1 - GAIN_OF_KIND) * min(as_said, misfit))
            if abs(other_change) < USUAL and left < least:
                return _setting(of_other, said, _changed(other, of_other, other_change), left, as_said, kind)
    if misfit > min(MOST_MISFIT, (1 - LEAST_GAIN) * as_said) or abs(change) < LEAST_CHANGE:
        return None
    return _setting(name, said, _changed(said, name, change), misfit, as_said)


def _changed(sequence: SignalModel, name: str, change: float) -> SignalModel | None:
    """Sequence with a time changed by a factor exp(change); None if it cannot be played out."""
    try:
        return replace(sequence, **{name: getattr(sequence, name) * math.exp(change)})
    except ValueError:
        return None


def _setting(
    name: str, said: SignalModel, fits: SignalModel | None, misfit: float, as_said: float, kind: str = ""
) -> FittedSetting | None:
    return FittedSetting(name, said, fits, misfit, as_said, kind) if fits else None


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
