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
    from collections.abc import Sequence

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

    def notice(self, guide: str, *, is_corrected: bool = False) -> str:
        """Sentence on a guide whose settings do not fit."""
        label = next(short_label(each) for each in settings_of(self.fits) if each.name == self.name)
        time = ms(round(getattr(self.fits, self.name), 2 if self.kind else 3))
        end = "corrected." if is_corrected else "confirm it, or correct its `sequence`."
        if self.kind:
            return f"{guide}: looks like {self.kind}, {label} about {time}, but came as {summary(self.said)}: {end}"
        return f"{guide}: {label} {time} fits, but it is said to be {ms(getattr(self.said, self.name))}: {end}"

    def to_json(self) -> dict[str, Any]:
        """The sequence and the time that fit, in s, and the misfits."""
        return {
            "sequence_that_fits": type(self.fits).__name__,
            self.name: round(getattr(self.fits, self.name), 4),
            "misfit": round(self.misfit, 4),
            "misfit_as_said": round(self.misfit_as_said, 4),
        }


def fitted_settings(problem: Problem, part: SolvedPart) -> tuple[FittedSetting | None, ...]:
    """The time that fits each guide of a problem; None where what is said fits, or cannot be checked."""
    return tuple(_fitted(problem, part, guide) for guide in range(len(problem.sequences)))


def with_fitted(guides: Sequence[WeightedImage], settings: Sequence[FittedSetting | None]) -> tuple[WeightedImage, ...]:
    """Guides with the sequences that fit them."""
    return tuple(
        replace(guide, sequence=found.fits) if found else guide for guide, found in zip(guides, settings, strict=True)
    )


def _fitted(problem: Problem, part: SolvedPart, guide: int) -> FittedSetting | None:
    said = problem.sequences[guide]
    found = compared(problem, part, guide, said)
    if len(found.voxels) < LEAST_VOXELS or not said.is_scaled_by_pd:
        return None
    field = polynomials(apply_affine(coordinates_of_tissue(problem) @ problem.lr_grid.affine, found.voxels))
    maps = with_floor(problem.lr_maps)[(slice(None), *torch.as_tensor(found.voxels.T))]
    signals = _Signals(maps, _log_signal(said, maps) + found.log_ratio, field, found.reliability)
    as_said = signals.misfit(said, None, 0.0)
    name = "inversion_time" if hasattr(said, "inversion_time") else "repetition_time"
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

    def misfit(self, sequence: SignalModel, name: str | None, change: float) -> float:
        """Robust deviation of the guide from a sequence with a time changed."""
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
