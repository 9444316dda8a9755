"""Signal equations: one frozen dataclass per sequence holds its acquisition parameters and its equation.

Times are in seconds, angles in radians. An equation takes PD (any unit), T1, T2 and, for gradient echoes,
T2* as tensors that broadcast against each other, times in s and > 0, and returns the signal in the unit of
PD. Below, E(t) = exp(-t/T1) and eta is the inversion efficiency: an inversion turns M into -eta M. Pulses are
ideal (no slice profile or magnetisation transfer; `SignalModel.signed` takes a transmit field) and transverse
magnetisation is spoiled before every excitation, balanced SSFP excepted.

Sources: McRobbie, MRI from Picture to Proton (spin echoes, gradient echoes, inversion recovery); Tofts 2009
(incomplete inversion); Marques et al. 2010 (MPRAGE, MP2RAGE); Weigel 2015 (refocusing below 180 degrees, `epg`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.sequence import SignalModel, angle_field, ms, plain_field, time_field, typical_settings
from napari_swig_qmri.physics.spin_echoes import TIMING_TOLERANCE, EchoTrain, SingleEcho, relax

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "SEQUENCES",
    "BalancedSsfp",
    "DoubleInversionRecovery",
    "InversionRecovery",
    "InversionTurboSpinEcho",
    "Mp2rageUni",
    "Mprage",
    "PhaseSensitiveInversionRecovery",
    "SignalModel",
    "Spgr",
    "SpinEcho",
    "Stir",
    "T2Flair",
    "TurboSpinEcho",
    "nulling_inversion_time",
]


def spoiled_steady_state(flip_angle: float, spacing: float, t1: Tensor) -> Tensor:
    """Longitudinal steady state (1 - E) / (1 - cos(a) E) before each pulse of an endless spoiled train."""
    loss = (-spacing / t1).expm1()
    return -loss / (2 * math.sin(flip_angle / 2) ** 2 - math.cos(flip_angle) * loss)


def spoiled_train(start: Tensor | float, n: int, flip_angle: float, spacing: float, t1: Tensor) -> Tensor:
    """Magnetisation after `n` spoiled read-outs: M c^n + (1 - E)(1 - c^n)/(1 - c), c = cos(a) E."""
    steady = spoiled_steady_state(flip_angle, spacing, t1)
    shrink = (math.cos(flip_angle) * (-spacing / t1).exp()) ** n
    return steady + (start - steady) * shrink


def nulling_inversion_time(
    t1: float,
    *,
    repetition_time: float = math.inf,
    train_duration: float = 0.0,
    inversion_efficiency: float = 1.0,
    left: float = 0.0,
) -> float:
    """TI in s that nulls `t1` after one inversion, T1 ln((1 + eta) / [1 + eta (1 - left) E(TR - T_train)]).

    `left` is the longitudinal magnetisation at the end of the train, for M0 = 1.
    """
    before_inversion = (1 - left) * math.exp(-(repetition_time - train_duration) / t1)
    return t1 * math.log((1 + inversion_efficiency) / (1 + inversion_efficiency * before_inversion))


@dataclass(frozen=True, kw_only=True)
class SpinEcho(SingleEcho):
    """Spin echo, PD [1 - E(TR)] exp(-TE/T2), the textbook form, which assumes TE << TR.

    With `refocused_recovery` the recovery is exact, 1 - 2 E(TR - TE/2) + E(TR): the refocusing pulse
    also inverts what has recovered since the excitation. The two differ by about TE/TR.
    Source: McRobbie, MRI from Picture to Proton.
    """

    title = "Spin echo"
    typical = typical_settings(echo_time=0.015, repetition_time=0.5)

    refocused_recovery: bool = plain_field("Exact recovery after the 180 degree pulse", 0, 1, False)

    def _ideal_left(self, t1: Tensor) -> Tensor | float:
        return super()._ideal_left(t1) if self.refocused_recovery else 0.0

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        since = self.echo_time / 2 if self.refocused_recovery else 0.0
        return relax(left, self.repetition_time - since, t1)

    def _left(self, t1: Tensor, t2: Tensor, transmit_field: float) -> tuple[Tensor | float, Tensor | float]:
        if self.refocused_recovery:
            return super()._left(t1, t2, transmit_field)
        return 0.0, math.cos(transmit_field * math.pi)

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class TurboSpinEcho(EchoTrain):
    """Turbo (fast) spin echo, PD [1 - E(TR - ETL ESP)] exp(-TE/T2) with the effective TE.

    So for refocusing by 180 degrees. Source: McRobbie.
    """

    title = "Turbo spin echo"
    typical = typical_settings(echo_time=0.09, repetition_time=5.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        return relax(left, self.repetition_time - self.train_duration, t1)

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._train_problem(0.0)


@dataclass(frozen=True, kw_only=True)
class InversionRecovery(SingleEcho):
    """Inversion-recovery spin echo, magnitude.

    PD |1 - (1 + eta) E(TI) + 2 eta E(TR - TE/2) - eta E(TR)| exp(-TE/T2).
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
    """The inversion-recovery spin echo with its sign (PSIR)."""

    title = "PSIR"
    is_signed = True


@dataclass(frozen=True, kw_only=True)
class InversionTurboSpinEcho(EchoTrain):
    """Inversion, then a turbo spin echo, magnitude: the equation of T2-FLAIR and STIR.

    PD |1 - (1 + eta) E(TI) + eta E(TR - ETL ESP)| exp(-TE/T2). Finite TR and the train are not optional:
    without them CSF comes out with the wrong sign. Real T2-FLAIR differs by up to 19 % in brain tissue.
    """

    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def _prepared(self, left: Tensor | float, t1: Tensor) -> Tensor:
        recovered = relax(left, self.repetition_time - self.inversion_time - self.train_duration, t1)
        return relax(-self.inversion_efficiency * recovered, self.inversion_time, t1)

    def nulling_inversion_time(self, t1: float, t2: float | None = None) -> float:
        """TI in s at which tissue of `t1` (s) gives no signal, at this TR and train.

        With `t2` (s) what refocusing below 180 degrees leaves along z is accounted for.
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
    """T2-FLAIR: the inversion time nulls cerebrospinal fluid."""

    title = "T2-FLAIR"
    typical = typical_settings(echo_time=0.12, repetition_time=9.0, inversion_time=2.5)


@dataclass(frozen=True, kw_only=True)
class Stir(InversionTurboSpinEcho):
    """STIR: the inversion time nulls fat."""

    title = "STIR"
    typical = typical_settings(echo_time=0.05, repetition_time=5.0, inversion_time=0.22)


@dataclass(frozen=True, kw_only=True)
class DoubleInversionRecovery(EchoTrain):
    """Double inversion recovery, magnitude; TI between the inversions, TI2 from the second to the excitation.

    PD |1 - (1 + eta) E(TI2) + eta (1 + eta) E(TI + TI2) - eta^2 E(TR - ETL ESP)| exp(-TE/T2).
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
        """TI2 in s at which tissue of `t1` (s) gives no signal, at this TI, TR and train; `t2` as of T2-FLAIR."""
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


@dataclass(frozen=True, kw_only=True)
class Spgr(SignalModel):
    """Spoiled gradient echo (SPGR, FLASH), PD sin(a) (1 - E(TR)) / (1 - cos(a) E(TR)) exp(-TE/T2*)."""

    title = "Spoiled gradient echo"
    typical = typical_settings(echo_time=0.003, repetition_time=0.02, flip_angle=math.radians(20))
    is_gradient_echo = True

    flip_angle: float = angle_field("Flip angle")

    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        return math.sin(self.flip_angle) * spoiled_steady_state(self.flip_angle, self.repetition_time, t1)

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class BalancedSsfp(SignalModel):
    """Balanced SSFP on resonance, pulses of alternating sign, E1 = E(TR) and E2 = exp(-TR/T2).

    PD sin(a) (1 - E1) / [1 - (E1 - E2) cos(a) - E1 E2] exp(-TE/T2); bands off resonance are ignored.
    """

    title = "Balanced SSFP"
    typical = typical_settings(echo_time=0.0025, repetition_time=0.005, flip_angle=math.radians(45))

    flip_angle: float = angle_field("Flip angle")

    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        loss1, loss2 = (-self.repetition_time / t1).expm1(), (-self.repetition_time / t2).expm1()
        cosine = math.cos(self.flip_angle)
        denominator = loss1 * (1 + cosine) + loss2 * (1 - cosine) + loss1 * loss2
        return math.sin(self.flip_angle) * loss1 / denominator

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class _InversionReadout(SignalModel):
    """An inversion followed by blocks of N spoiled read-outs, ESP apart.

    `repetition_time` runs from inversion to inversion, `inversion_time` from the inversion to the read-out at
    the centre of k-space; `centre_fraction` of the N read-outs come before it (1/2 without partial Fourier).
    """

    is_gradient_echo = True

    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0)
    flip_angle: float = angle_field("Flip angle")
    n_partitions: int = plain_field("Read-outs per block (partitions)", 1, 2048, 176)
    echo_spacing: float = time_field("Read-out spacing (ESP)", 1e-3, 0.2, default=0.007)
    centre_fraction: float = plain_field("Share of read-outs before the k-space centre", 0.0, 1.0, 0.5)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    @property
    def n_before_centre(self) -> int:
        """Read-outs of a block before the centre of k-space."""
        return int(self.n_partitions * self.centre_fraction + 1e-9)

    def _block_problem(self, inversion_times: tuple[float, ...]) -> str | None:
        """First overlap of inversion, read-out blocks and next inversion, in words."""
        block = f"the block of {self.n_partitions:g} x {ms(self.echo_spacing)}"
        if self.echo_time >= self.echo_spacing:
            return f"TE {ms(self.echo_time)} is not shorter than the read-out spacing {ms(self.echo_spacing)}"
        end, what = 0.0, "the inversion is at"
        for inversion_time in inversion_times:
            begin = inversion_time - self.n_before_centre * self.echo_spacing
            if begin < end - TIMING_TOLERANCE:
                return f"{block} centred on TI {ms(inversion_time)} begins at {ms(begin)}, but {what} {ms(end)}"
            end, what = begin + self.n_partitions * self.echo_spacing, "the block before it ends at"
        if end > self.repetition_time + TIMING_TOLERANCE:
            centre = ms(inversion_times[-1])
            return f"{block} centred on TI {centre} ends at {ms(end)}, after TR {ms(self.repetition_time)}"
        return None


@dataclass(frozen=True, kw_only=True)
class Mprage(_InversionReadout):
    """MPRAGE, PD sin(a) |M| exp(-TE/T2*), M before the read-out at the centre of k-space in the steady state.

    M follows inversion, recovery, N spoiled read-outs and recovery; leaving out the read-outs makes grey
    matter too dark by tens of percent. It is the single-block case of Marques et al. 2010.
    """

    title = "MPRAGE"
    typical = typical_settings(
        echo_time=0.003, repetition_time=2.3, inversion_time=0.9, flip_angle=math.radians(9), n_partitions=176
    )

    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        n, before, eta = self.n_partitions, self.n_before_centre, self.inversion_efficiency
        begin = self.inversion_time - before * self.echo_spacing
        rest = self.repetition_time - begin - n * self.echo_spacing
        # One repetition is linear in its start value: steady state = (outcome of start 0) / (1 - slope).
        recovered = spoiled_train(relax(0.0, begin, t1), n, self.flip_angle, self.echo_spacing, t1)
        slope = -eta * math.cos(self.flip_angle) ** n * (-self.repetition_time / t1).exp()
        steady = relax(recovered, rest, t1) / (1 - slope)
        prepared = relax(-eta * steady, begin, t1)
        centre = spoiled_train(prepared, before, self.flip_angle, self.echo_spacing, t1)
        return math.sin(self.flip_angle) * centre

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._block_problem((self.inversion_time,))


@dataclass(frozen=True, kw_only=True)
class Mp2rageUni(_InversionReadout):
    """MP2RAGE uniform image S1 S2 / (S1^2 + S2^2), between -1/2 and 1/2, from two blocks after one inversion.

    PD, T2* and the receive field cancel; scanners often store it shifted and scaled to 0..4095.
    """

    title = "MP2RAGE UNI"
    typical = typical_settings(
        echo_time=0.003,
        repetition_time=5.0,
        inversion_time=0.7,
        second_inversion_time=2.5,
        flip_angle=math.radians(4),
        second_flip_angle=math.radians(5),
        n_partitions=176,
    )
    is_signed = True
    is_scaled_by_pd = False

    second_inversion_time: float = time_field("Second inversion time (TI2)", 1e-3, 20.0)
    second_flip_angle: float = angle_field("Second flip angle")

    @property
    def maps_in_use(self) -> tuple[str, ...]:
        """T1 alone."""
        return ("T1",)

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Uniform image, without unit, in the shape of all maps together."""
        unused = pd + (t2 if t2star is None else t2star)
        return self._scaled(transmit_field)._excited(t1, t2) + 0 * unused

    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        first, second = self.block_signals(t1)
        return first * second / (first**2 + second**2)

    def block_signals(self, t1: Tensor) -> tuple[Tensor, Tensor]:
        """Signals of both blocks at the centre of k-space, for PD 1 and without T2* decay."""
        n, before, spacing = self.n_partitions, self.n_before_centre, self.echo_spacing
        eta = self.inversion_efficiency
        begin = self.inversion_time - before * spacing
        pause = self.second_inversion_time - self.inversion_time - n * spacing
        rest = self.repetition_time - self.second_inversion_time - (n - before) * spacing
        recovered = spoiled_train(relax(0.0, begin, t1), n, self.flip_angle, spacing, t1)
        recovered = spoiled_train(relax(recovered, pause, t1), n, self.second_flip_angle, spacing, t1)
        shrink = (math.cos(self.flip_angle) * math.cos(self.second_flip_angle)) ** n
        steady = relax(recovered, rest, t1) / (1 + eta * shrink * (-self.repetition_time / t1).exp())
        prepared = relax(-eta * steady, begin, t1)
        first = spoiled_train(prepared, before, self.flip_angle, spacing, t1)
        after = spoiled_train(first, n - before, self.flip_angle, spacing, t1)
        second = spoiled_train(relax(after, pause, t1), before, self.second_flip_angle, spacing, t1)
        return math.sin(self.flip_angle) * first, math.sin(self.second_flip_angle) * second

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._block_problem((self.inversion_time, self.second_inversion_time))


SEQUENCES: dict[str, type[SignalModel]] = {
    "spin-echo": SpinEcho,
    "tse": TurboSpinEcho,
    "ir-se": InversionRecovery,
    "psir": PhaseSensitiveInversionRecovery,
    "t2-flair": T2Flair,
    "stir": Stir,
    "dir": DoubleInversionRecovery,
    "spgr": Spgr,
    "mprage": Mprage,
    "mp2rage-uni": Mp2rageUni,
    "bssfp": BalancedSsfp,
}
