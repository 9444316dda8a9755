"""Spin-echo sequences: single echoes and echo trains.

Notation and assumptions as in `signal_models`. Refocusing by 180 degrees is ideal. Other angles, from the setting or
the transmit field, refocus only part of the magnetisation and leave some along z; for echo trains both follow from
extended phase graphs (`epg`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.sequence import (
    TIMING_TOLERANCE,
    SignalModel,
    angle_field,
    ms,
    plain_field,
    relax,
    time_field,
    typical_settings,
)

if TYPE_CHECKING:
    from torch import Tensor

ANGLE_TOLERANCE = 1e-9  # rad


@dataclass(frozen=True, kw_only=True)
class Refocused(SignalModel):
    """Base class of excitation by 90 degrees, refocusing and recovery.

    Only longitudinal magnetisation persists from one repetition to the next. Refocusing by 180 degrees leaves
    `_ideal_left`. In a transmit field other than 1, or with another refocusing angle, more is left; the part of it that
    carries a crusher phase is taken as lost.
    """

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Signal with its sign; `transmit_field` scales excitation and refocusing, not inversions."""
        if transmit_field == 1 and self._refocuses_ideally():
            return super().signed(pd, t1, t2)
        return pd * self._excited(t1, t2, transmit_field) * self._echo(t1, t2, transmit_field)

    def in_field(self, transmit_field: float) -> SignalModel:
        """Return the sequence unchanged: `signed` scales its pulses, also beyond 180 degrees, which cannot be set."""
        return self

    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        if transmit_field == 1 and self._refocuses_ideally():
            return self._prepared(self._ideal_left(t1), t1)
        regrown, kept = self._left(t1, t2, transmit_field)
        prepared = self._prepared(regrown, t1)
        if transmit_field != 1:  # M = prepared(regrown + kept cos(excitation) M), which is affine in M
            slope = self._prepared(1.0, t1) - self._prepared(0.0, t1)
            prepared = prepared / (1 - slope * kept * math.cos(transmit_field * math.pi / 2))
        return math.sin(transmit_field * math.pi / 2) * prepared

    def _refocuses_ideally(self) -> bool:
        return True

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        """Longitudinal magnetisation after refocusing by 180 degrees."""
        return 0.0

    @abstractmethod
    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        """Longitudinal magnetisation before the excitation, if the refocusing before it has left `left`."""

    @abstractmethod
    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        """Longitudinal magnetisation at the end of refocusing.

        Returns the part regrown since the excitation, and the fraction kept of the part present at the excitation.
        """

    @abstractmethod
    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        """Echo of one unit of excited magnetisation."""


@dataclass(frozen=True, kw_only=True)
class SingleEcho(Refocused):
    """Base class with one refocusing pulse at TE/2; an angle a refocuses sin^2(a/2), the rest is crushed."""

    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        return math.sin(transmit_field * math.pi / 2) ** 2 * (-self.echo_time / t2).exp()

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        return -relax(0.0, self.echo_time / 2, t1)

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        regrown, cosine = relax(0.0, self.echo_time / 2, t1), math.cos(transmit_field * math.pi)
        return cosine * regrown, cosine * (1 - regrown)


@dataclass(frozen=True, kw_only=True)
class EchoTrain(Refocused):
    """Base class with a train of ETL refocused echoes, ESP apart, all pulses of one angle.

    Refocusing by 180 degrees leaves no longitudinal magnetisation, except (ESP / 2 T1)^2. Lower angles leave what
    extended phase graphs give without a crusher phase, and stimulated echoes add to the signal (`epg`): it is weaker
    and decays more slowly than exp(-TE/T2).
    """

    echo_train_length: int = plain_field("Echo train length (ETL)", 1, 1024, 16)
    echo_spacing: float = time_field("Echo spacing (ESP)", 1e-3, 0.2, default=0.01)
    refocusing_angle: float = angle_field("Refocusing angle", default=math.pi)

    @property
    def train_duration(self) -> float:
        """Duration of the echo train in s, ETL * ESP."""
        return self.echo_train_length * self.echo_spacing

    def left_after_train(self, t1: float, t2: float | None) -> float:
        """Longitudinal magnetisation of one tissue at the last echo, for M0 = 1; 0 if its `t2` (s) is unknown."""
        if t2 is None or self._refocuses_ideally():
            return 0.0
        import torch  # not at the top: torch takes over a second to load, and settings do not need it

        from napari_swig_qmri.physics.epg import longitudinal_left

        angles = [self.refocusing_angle] * self.echo_train_length
        tissue_t1, tissue_t2 = torch.tensor([t1, t2], dtype=torch.float64)
        return float(longitudinal_left(tissue_t1, tissue_t2, angles, self.echo_spacing))

    def _refocuses_ideally(self) -> bool:
        return math.pi - self.refocusing_angle < ANGLE_TOLERANCE

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        from napari_swig_qmri.physics.epg import longitudinal_signal  # loads torch, which settings do not need

        angle = transmit_field * self.refocusing_angle
        left = partial(
            longitudinal_signal, t1, t2, angle=angle, echo_spacing=self.echo_spacing, n_echoes=self.echo_train_length
        )
        regrown = left()
        return regrown, 0.0 if transmit_field == 1 else left(start=1.0) - regrown

    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        from napari_swig_qmri.physics.epg import echo_signal  # loads torch, which settings do not need

        angle = transmit_field * self.refocusing_angle
        return echo_signal(t1, t2, angle=angle, echo_spacing=self.echo_spacing, echo_time=self.echo_time)

    def _train_problem(self, before_train: float) -> str | None:
        """Clause on an echo outside the train, or a train that does not fit into TR; None if neither."""
        train = f"the echo train of {self.echo_train_length:g} x {ms(self.echo_spacing)} = {ms(self.train_duration)}"
        if self.echo_time > self.train_duration + TIMING_TOLERANCE:
            return f"TE {ms(self.echo_time)} lies outside {train}"
        left = self.repetition_time - before_train
        if self.train_duration > left + TIMING_TOLERANCE:
            return f"{train} does not fit into the {ms(left)} left in TR {ms(self.repetition_time)}"
        return None


@dataclass(frozen=True, kw_only=True)
class SpinEcho(SingleEcho):
    """Spin echo, PD [1 - E(TR)] exp(-TE/T2), the textbook form, which assumes TE << TR.

    With `refocused_recovery` the recovery is exact, 1 - 2 E(TR - TE/2) + E(TR): the refocusing pulse also inverts the
    magnetisation that has recovered since the excitation. The two differ by about TE/TR.
    Source: McRobbie, MRI from Picture to Proton.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import SpinEcho
    >>> sequence = SpinEcho(echo_time=0.012, repetition_time=0.6)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.2869)
    """

    title = "Spin echo"
    typical = typical_settings(echo_time=0.015, repetition_time=0.5)

    refocused_recovery: bool = plain_field("Exact recovery after the 180 degree pulse", 0, 1, False)

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        return super()._ideal_left(t1) if self.refocused_recovery else 0.0

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        until_refocusing = self.echo_time / 2 if self.refocused_recovery else 0.0
        return relax(left, self.repetition_time - until_refocusing, t1)

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        if self.refocused_recovery:
            return super()._left(t1, t2, transmit_field)
        return 0.0, math.cos(transmit_field * math.pi)

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class TurboSpinEcho(EchoTrain):
    """Turbo (fast) spin echo, PD [1 - E(TR - ETL ESP)] exp(-TE/T2) with the effective TE.

    The equation holds for refocusing by 180 degrees. Source: McRobbie, MRI from Picture to Proton.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import TurboSpinEcho
    >>> sequence = TurboSpinEcho(echo_time=0.09, repetition_time=5.0, echo_train_length=16)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.1926)
    """

    title = "Turbo spin echo"
    typical = typical_settings(echo_time=0.09, repetition_time=5.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        return relax(left, self.repetition_time - self.train_duration, t1)

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._train_problem(0.0)
