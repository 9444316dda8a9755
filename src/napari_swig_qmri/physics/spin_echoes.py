"""What sequences with refocusing pulses share: echoes, and the magnetisation that a repetition leaves to the next.

Pulses of 180 degrees are ideal. Others, because of a transmit field or of the angle that was set, refocus a part
and leave longitudinal magnetisation; for echo trains that is a matter of extended phase graphs (`epg`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.sequence import SignalModel, angle_field, ms, plain_field, time_field

if TYPE_CHECKING:
    from torch import Tensor

TIMING_TOLERANCE = 1e-9  # s; sums of settings such as 16 * 0.01 are not exact
ANGLE_TOLERANCE = 1e-9  # rad


def relax(magnetisation: Tensor | float, duration: float, t1: Tensor) -> Tensor:
    """Longitudinal magnetisation `duration` s later; expm1 keeps float32 exact where duration << T1."""
    return magnetisation + (magnetisation - 1) * (-duration / t1).expm1()


@dataclass(frozen=True, kw_only=True)
class Refocused(SignalModel):
    """Excitation by 90 degrees, refocusing, recovery: only longitudinal magnetisation outlives a repetition.

    Ideal pulses leave what `_ideal_left` says. Others, in a transmit field other than 1 or with another refocusing
    angle, leave more; of that, what has a phase of the crushers is taken as lost.
    """

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Signal with its sign; `transmit_field` scales excitation and refocusing, not inversions."""
        if transmit_field == 1 and self._refocuses_ideally():
            return super().signed(pd, t1, t2)
        grown, kept = self._left(t1, t2, transmit_field)
        prepared = self._prepared(grown, t1)
        if transmit_field != 1:  # M = prepared(grown + kept cos(excitation) M), which is linear in M
            slope = self._prepared(1.0, t1) - self._prepared(0.0, t1)
            prepared = prepared / (1 - slope * kept * math.cos(transmit_field * math.pi / 2))
        excited = math.sin(transmit_field * math.pi / 2) * prepared
        return pd * excited * self._echo(t1, t2, transmit_field)

    def in_field(self, transmit_field: float) -> SignalModel:
        """The sequence itself: `signed` scales its pulses, also beyond 180 degrees, which are never set."""
        return self

    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        return self._prepared(self._ideal_left(t1), t1)

    def _refocuses_ideally(self) -> bool:
        return True

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        """Longitudinal magnetisation that refocusing by 180 degrees leaves."""
        return 0.0

    @abstractmethod
    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        """Longitudinal magnetisation before the excitation, after refocusing has left `left`."""

    @abstractmethod
    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        """Longitudinal magnetisation that grew until the end of refocusing, and the share kept of what was there."""

    @abstractmethod
    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        """Echo of one unit of excited magnetisation."""


@dataclass(frozen=True, kw_only=True)
class SingleEcho(Refocused):
    """One refocusing pulse at TE/2; of an angle a it refocuses sin^2(a/2), and the rest is crushed."""

    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        return math.sin(transmit_field * math.pi / 2) ** 2 * (-self.echo_time / t2).exp()

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        return -relax(0.0, self.echo_time / 2, t1)

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        grown, cosine = relax(0.0, self.echo_time / 2, t1), math.cos(transmit_field * math.pi)
        return cosine * grown, cosine * (1 - grown)


@dataclass(frozen=True, kw_only=True)
class EchoTrain(Refocused):
    """A train of ETL refocused echoes, ESP apart, all pulses of one angle.

    After refocusing by 180 degrees the longitudinal magnetisation is zero, but for (ESP / 2 T1)^2. After lower
    angles it is what extended phase graphs leave without a phase of the crushers, and echoes are stimulated ones
    too (`epg`): their signal is weaker and decays more slowly than exp(-TE/T2).
    """

    echo_train_length: int = plain_field("Echo train length (ETL)", 1, 1024, 16)
    echo_spacing: float = time_field("Echo spacing (ESP)", 1e-3, 0.2, default=0.01)
    refocusing_angle: float = angle_field("Refocusing angle", default=math.pi)

    @property
    def train_duration(self) -> float:
        """Length of the echo train in s, ETL * ESP."""
        return self.echo_train_length * self.echo_spacing

    def left_after_train(self, t1: float, t2: float | None) -> float:
        """Longitudinal magnetisation at the last echo for M0 = 1, of one tissue; 0 if its `t2` (s) is not known."""
        if t2 is None or self._refocuses_ideally():
            return 0.0
        import torch  # kept out of start-up: it takes over a second to load

        from napari_swig_qmri.physics.epg import longitudinal_left

        angles = [self.refocusing_angle] * self.echo_train_length
        tissue_t1, tissue_t2 = torch.tensor([t1, t2], dtype=torch.float64)
        return float(longitudinal_left(tissue_t1, tissue_t2, angles, self.echo_spacing))

    def _refocuses_ideally(self) -> bool:
        return math.pi - self.refocusing_angle < ANGLE_TOLERANCE

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        from napari_swig_qmri.physics.epg import longitudinal_signal  # loads torch, which settings do without

        angle = transmit_field * self.refocusing_angle
        left = partial(
            longitudinal_signal, t1, t2, angle=angle, echo_spacing=self.echo_spacing, n_echoes=self.echo_train_length
        )
        grown = left()
        return grown, 0.0 if transmit_field == 1 else left(start=1.0) - grown

    def _echo(self, t1: Tensor, t2: Tensor, transmit_field: float) -> Tensor:
        from napari_swig_qmri.physics.epg import echo_signal  # loads torch, which settings do without

        angle = transmit_field * self.refocusing_angle
        return echo_signal(t1, t2, angle=angle, echo_spacing=self.echo_spacing, echo_time=self.echo_time)

    def _train_problem(self, before_train: float) -> str | None:
        train = f"the echo train of {self.echo_train_length:g} x {ms(self.echo_spacing)} = {ms(self.train_duration)}"
        if self.echo_time > self.train_duration + TIMING_TOLERANCE:
            return f"TE {ms(self.echo_time)} lies outside {train}"
        left = self.repetition_time - before_train
        if self.train_duration > left + TIMING_TOLERANCE:
            return f"{train} does not fit into the {ms(left)} left in TR {ms(self.repetition_time)}"
        return None
