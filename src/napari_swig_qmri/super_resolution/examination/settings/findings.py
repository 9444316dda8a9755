"""What was found about the sequence of a guide: whether it fits, and what fits better."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.sequence import settings_of, short_label, shown_setting, summary
from napari_swig_qmri.super_resolution.preparation.sequence_doubt import SequenceDoubt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_swig_qmri.data.volumes import WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel

MOST_MISFIT = 0.04  # that may be left: noise of maps attenuates contrasts and so changes the time that fits
UNEXPLAINED = 0.3  # misfit of which no noise, blur or mixed voxels are the reason
DIGITS = 3  # decimals of a setting that was fitted, in s or rad


@dataclass(frozen=True)
class FittedSetting:
    """A sequence that explains a guide better than the one that its sidecar names."""

    name: str  # of the setting that was fitted
    said: SignalModel
    fits: SignalModel
    misfit: float | None  # robust relative deviation over tissue that is left; None if it was solved with
    kind: str = ""  # in words, if it is of another kind
    exchanged_with: str = ""  # the guide whose sequence it is, if there is one
    removed: float | None = None  # share of the LR residual that vanishes when the problem is solved with it
    others: tuple[tuple[str, SignalModel], ...] = ()  # settings that explain as much, and sequences with them

    @property
    def words(self) -> str:
        """What fits, and what was said."""
        if self.exchanged_with:
            return f"has the contrast of {self.exchanged_with} ({summary(self.fits)}), not of {summary(self.said)}"
        if self.kind:
            fits, said = _in_words(self.fits, self.name, digits=2, sep=" about "), self.said.title.lower()
            return f"looks like {self.kind}, {fits}, but its sidecar says {said}"
        settings = [(self.name, self.fits), *self.others]
        fits = " or ".join(_in_words(sequence, name) for name, sequence in settings)
        said = joined([_in_words(self.said, name) for name, _ in settings]) if self.others else self._value_said
        return f"{fits} fits, but its sidecar says {said}"

    @property
    def _value_said(self) -> str:
        return _value(self.said, self.name, None)

    def to_json(self) -> dict[str, Any]:
        """The sequence and the setting that fit, in s and rad, and how well."""
        numbers = {"misfit": self.misfit, "lr_residual_removed": self.removed}
        return {
            "sequence_that_fits": type(self.fits).__name__,
            self.name: round(getattr(self.fits, self.name), 4),
            **{name: round(value, 4) for name, value in numbers.items() if value is not None},
        }


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

    @property
    def doubt(self) -> SequenceDoubt | None:
        """Doubt of the sequence as said; None if it fits, or nothing was compared."""
        if not self.departs:
            return None
        return SequenceDoubt(self.better.fits if self.better else None, self.misfit or 0.0)

    def words(self, *, is_corrected: bool = False) -> Iterator[str]:
        """What fits, in words; nothing if nothing was compared."""
        if self.better is not None:
            yield f"{self.better.words}: {'corrected' if is_corrected else 'confirm, until then it counts less'}"
        elif self.said is None or self.misfit is None:
            return
        elif self.misfit > UNEXPLAINED:
            fits_not = f"its contrast does not fit {summary(self.said)}, by {100 * self.misfit:.0f} %"
            yield f"{fits_not}: check the sequence, it counts less"
        elif self.misfit < MOST_MISFIT:
            yield f"{_in_words(self.said, checked_time(self.said), digits=None)} fits"
        else:
            yield f"its contrast fits within {100 * self.misfit:.0f} %"

    def to_json(self) -> dict[str, Any]:
        """Misfit as said, and the sequence and the time that fit with theirs."""
        said = {} if self.misfit is None else {"misfit_as_said": round(self.misfit, 4)}
        return said | (self.better.to_json() if self.better else {})


def with_fitted(guides: Sequence[WeightedImage], checks: Sequence[SettingCheck]) -> tuple[WeightedImage, ...]:
    """Guides with the sequences that fit them."""
    return tuple(
        replace(guide, sequence=check.better.fits) if check.better else guide
        for guide, check in zip(guides, checks, strict=True)
    )


def checked_time(sequence: SignalModel) -> str:
    """The time that is fitted to the contrast of a sequence."""
    return "inversion_time" if hasattr(sequence, "inversion_time") else "repetition_time"


def _in_words(sequence: SignalModel, name: str, digits: int | None = DIGITS, sep: str = " ") -> str:
    """Short name and value of a setting, such as ``TE 90 ms``."""
    short = next(short_label(each) for each in settings_of(sequence) if each.name == name)
    return f"{short}{sep}{_value(sequence, name, digits)}"


def _value(sequence: SignalModel, name: str, digits: int | None) -> str:
    """Value of a setting, with all its digits or rounded to ms."""
    unit = next(each.metadata["unit"] for each in settings_of(sequence) if each.name == name)
    value = getattr(sequence, name)
    return shown_setting(value if digits is None else round(value, digits), unit)


def changed(sequence: SignalModel, name: str, change: float) -> SignalModel | None:
    """Sequence with a time changed by a factor exp(change); None if it cannot be played out."""
    try:
        return replace(sequence, **{name: getattr(sequence, name) * math.exp(change)})
    except ValueError:
        return None
