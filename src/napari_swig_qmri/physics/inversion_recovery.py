"""Inversion-recovery sequences with spin-echo read-out: one or two inversions before a single echo or an echo train.

Notation and assumptions as in `signal_models`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.sequence import ms, plain_field, relax, time_field, typical_settings
from napari_swig_qmri.physics.spin_echoes import EchoTrain, SingleEcho

if TYPE_CHECKING:
    from torch import Tensor


def nulling_inversion_time(
    t1: float,
    *,
    repetition_time: float = math.inf,
    train_duration: float = 0.0,
    inversion_efficiency: float = 1.0,
    left: float = 0.0,
) -> float:
    """TI in s that nulls `t1` (s) after one inversion, T1 ln((1 + eta) / [1 + eta (1 - left) E(TR - T_train)]).

    TR and the duration of the echo train are in s; `left` is the longitudinal magnetisation at its end, for M0 = 1.
    """
    before_inversion = (1 - left) * math.exp(-(repetition_time - train_duration) / t1)
    return t1 * math.log((1 + inversion_efficiency) / (1 + inversion_efficiency * before_inversion))


@dataclass(frozen=True, kw_only=True)
class InversionRecovery(SingleEcho):
    """Inversion-recovery spin echo, magnitude.

    PD |1 - (1 + eta) E(TI) + 2 eta E(TR - TE/2) - eta E(TR)| exp(-TE/T2).
    Source: McRobbie, MRI from Picture to Proton; Tofts 2009 (incomplete inversion).

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import InversionRecovery
    >>> sequence = InversionRecovery(echo_time=0.015, repetition_time=4.0, inversion_time=0.4)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.1528)
    """

    title = "Inversion recovery"
    typical = typical_settings(echo_time=0.015, repetition_time=4.0, inversion_time=0.4)

    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        recovered = relax(left, self.repetition_time - self.inversion_time - self.echo_time / 2, t1)
        return relax(-self.inversion_efficiency * recovered, self.inversion_time, t1)

    def nulling_inversion_time(self, t1: float) -> float:
        """TI in s at which tissue of `t1` (s) gives no signal, at this TR and TE."""
        eta, after_refocusing = self.inversion_efficiency, self.repetition_time - self.echo_time / 2
        missing = 2 * math.exp(-after_refocusing / t1) - math.exp(-self.repetition_time / t1)
        return t1 * math.log((1 + eta) / (1 + eta * missing))

    def _timing_problem(self) -> str | None:
        if self.inversion_time + self.echo_time < self.repetition_time:
            return self._late_echo()
        return f"TI {ms(self.inversion_time)} and TE {ms(self.echo_time)} do not fit into TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class PhaseSensitiveInversionRecovery(InversionRecovery):
    """Phase-sensitive inversion recovery (PSIR): the inversion-recovery spin echo with its sign.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import PhaseSensitiveInversionRecovery
    >>> sequence = PhaseSensitiveInversionRecovery(echo_time=0.015, repetition_time=4.0, inversion_time=0.4)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(-0.1528)
    """

    title = "PSIR"
    is_signed = True


@dataclass(frozen=True, kw_only=True)
class InversionTurboSpinEcho(EchoTrain):
    """Base class of an inversion followed by a turbo spin echo, magnitude: T2-FLAIR and STIR.

    PD |1 - (1 + eta) E(TI) + eta E(TR - ETL ESP)| exp(-TE/T2). Without the finite TR and the train, CSF would have
    the wrong sign. Real T2-FLAIR differs by up to 19 % in brain tissue.
    """

    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        recovered = relax(left, self.repetition_time - self.inversion_time - self.train_duration, t1)
        return relax(-self.inversion_efficiency * recovered, self.inversion_time, t1)

    def nulling_inversion_time(self, t1: float, t2: float | None = None) -> float:
        """TI in s at which tissue of `t1` (s) gives no signal, at this TR and train.

        With `t2` (s) the longitudinal magnetisation left by refocusing below 180 degrees is included.
        """
        return nulling_inversion_time(
            t1,
            repetition_time=self.repetition_time,
            train_duration=self.train_duration,
            inversion_efficiency=self.inversion_efficiency,
            left=self.left_after_train(t1, t2),
        )

    def _timing_problem(self) -> str | None:
        if self.inversion_time < self.repetition_time:
            return self._late_echo() or self._train_problem(self.inversion_time)
        return f"TI {ms(self.inversion_time)} is not shorter than TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class T2Flair(InversionTurboSpinEcho):
    """T2-FLAIR: the inversion time nulls cerebrospinal fluid.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import T2Flair
    >>> sequence = T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.5)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.1104)
    """

    title = "T2-FLAIR"
    typical = typical_settings(echo_time=0.12, repetition_time=9.0, inversion_time=2.5)


@dataclass(frozen=True, kw_only=True)
class Stir(InversionTurboSpinEcho):
    """STIR: the inversion time nulls fat.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Stir
    >>> sequence = Stir(echo_time=0.05, repetition_time=5.0, inversion_time=0.22)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.1925)
    """

    title = "STIR"
    typical = typical_settings(echo_time=0.05, repetition_time=5.0, inversion_time=0.22)


@dataclass(frozen=True, kw_only=True)
class DoubleInversionRecovery(EchoTrain):
    """Double inversion recovery, magnitude: TI between the inversions, TI2 from the second to the excitation.

    PD |1 - (1 + eta) E(TI2) + eta (1 + eta) E(TI + TI2) - eta^2 E(TR - ETL ESP)| exp(-TE/T2).

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import DoubleInversionRecovery
    >>> sequence = DoubleInversionRecovery.from_typical(inversion_time=2.6)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.0244)
    """

    title = "Double inversion recovery"
    typical = typical_settings(echo_time=0.1, repetition_time=9.0, inversion_time=2.6, second_inversion_time=0.45)

    inversion_time: float = time_field("First to second inversion (TI)", 1e-3, 20.0)
    second_inversion_time: float = time_field("Second inversion to excitation (TI2)", 1e-3, 20.0)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        eta, inversions = self.inversion_efficiency, self.inversion_time + self.second_inversion_time
        recovered = relax(left, self.repetition_time - inversions - self.train_duration, t1)
        between = relax(-eta * recovered, self.inversion_time, t1)
        return relax(-eta * between, self.second_inversion_time, t1)

    def nulling_inversion_time(self, t1: float, t2: float | None = None) -> float:
        """TI2 in s at which tissue of `t1` (s) gives no signal, at this TI, TR and train.

        With `t2` (s) the longitudinal magnetisation left by refocusing below 180 degrees is included.
        """
        eta, missing = self.inversion_efficiency, 1 - self.left_after_train(t1, t2)
        before = 1 - eta**2 * missing * math.exp(-(self.repetition_time - self.train_duration) / t1)
        return t1 * math.log((1 + eta) * (1 - eta * math.exp(-self.inversion_time / t1)) / before)

    def _timing_problem(self) -> str | None:
        inversions = self.inversion_time + self.second_inversion_time
        if inversions < self.repetition_time:
            return self._late_echo() or self._train_problem(inversions)
        return (
            f"TI {ms(self.inversion_time)} and TI2 {ms(self.second_inversion_time)} do not fit "
            f"into TR {ms(self.repetition_time)}"
        )
