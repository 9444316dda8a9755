"""Gradient-echo sequences: spoiled and balanced steady states, and read-out trains after an inversion.

Notation and assumptions as in `signal_models`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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


def spoiled_steady_state(flip_angle: float, spacing: float, t1: Tensor) -> Tensor:
    """Longitudinal steady state (1 - E) / (1 - cos(a) E) before each pulse of an endless spoiled train.

    E = exp(-spacing/T1), with flip angle a in rad, and `spacing` of the pulses and `t1` (any shape, > 0) in s.
    """
    loss = (-spacing / t1).expm1()
    return -loss / (2 * math.sin(flip_angle / 2) ** 2 - math.cos(flip_angle) * loss)


def spoiled_train(start: Tensor | float, n: int, flip_angle: float, spacing: float, t1: Tensor) -> Tensor:
    """Longitudinal magnetisation after `n` spoiled read-outs, M c^n + (1 - E)(1 - c^n)/(1 - c) with c = cos(a) E.

    `start` is M before the first read-out; the other arguments are those of `spoiled_steady_state`.
    """
    steady = spoiled_steady_state(flip_angle, spacing, t1)
    shrink = (math.cos(flip_angle) * (-spacing / t1).exp()) ** n
    return steady + (start - steady) * shrink


@dataclass(frozen=True, kw_only=True)
class Spgr(SignalModel):
    """Spoiled gradient echo (SPGR, FLASH), PD sin(a) (1 - E(TR)) / (1 - cos(a) E(TR)) exp(-TE/T2*).

    Source: McRobbie, MRI from Picture to Proton.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Spgr
    >>> sequence = Spgr(echo_time=0.003, repetition_time=0.02, flip_angle=0.35)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.0622)
    """

    title = "Spoiled gradient echo"
    typical = typical_settings(echo_time=0.003, repetition_time=0.02, flip_angle=math.radians(20))
    is_gradient_echo = True

    flip_angle: float = angle_field("Flip angle")

    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        angle = transmit_field * self.flip_angle
        return math.sin(angle) * spoiled_steady_state(angle, self.repetition_time, t1)

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class BalancedSsfp(SignalModel):
    """Balanced SSFP on resonance with pulses of alternating sign; off-resonance bands are ignored.

    PD sin(a) (1 - E1) / [1 - (E1 - E2) cos(a) - E1 E2] exp(-TE/T2) with E1 = E(TR) and E2 = exp(-TR/T2).

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import BalancedSsfp
    >>> sequence = BalancedSsfp(echo_time=0.0025, repetition_time=0.005, flip_angle=0.79)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.0902)
    """

    title = "Balanced SSFP"
    typical = typical_settings(echo_time=0.0025, repetition_time=0.005, flip_angle=math.radians(45))

    flip_angle: float = angle_field("Flip angle")

    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        angle = transmit_field * self.flip_angle
        loss1, loss2 = (-self.repetition_time / t1).expm1(), (-self.repetition_time / t2).expm1()
        cosine = math.cos(angle)
        denominator = loss1 * (1 + cosine) + loss2 * (1 - cosine) + loss1 * loss2
        return math.sin(angle) * loss1 / denominator

    def _timing_problem(self) -> str | None:
        return self._late_echo()


@dataclass(frozen=True, kw_only=True)
class InversionReadout(SignalModel):
    """Base class of an inversion followed by blocks of N spoiled read-outs, ESP apart.

    `repetition_time` is the time between inversions, `inversion_time` the time from the inversion to the read-out at
    the centre of k-space. The fraction `centre_fraction` of the N read-outs precedes it (1/2 without partial Fourier).
    """

    is_gradient_echo = True

    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0)
    flip_angle: float = angle_field("Flip angle")
    n_partitions: int = plain_field("Read-outs per block (partitions)", 1, 2048, 176)
    echo_spacing: float = time_field("Read-out spacing (ESP)", 1e-3, 0.2, default=0.007)
    centre_fraction: float = plain_field("Share of read-outs before the centre (k-space centre)", 0.0, 1.0, 0.5)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    @property
    def n_before_centre(self) -> int:
        """Number of read-outs of a block before the centre of k-space."""
        return int(self.n_partitions * self.centre_fraction + 1e-9)

    def _block_problem(self, inversion_times: tuple[float, ...]) -> str | None:
        """Clause on the first overlap of inversion, read-out blocks and next inversion; None if there is none."""
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
class Mprage(InversionReadout):
    """MPRAGE, PD sin(a) |M| exp(-TE/T2*) with M the steady state before the read-out at the k-space centre.

    Each repetition is an inversion, recovery, N spoiled read-outs and recovery. Leaving out the read-outs would make
    grey matter too dark by tens of percent. Source: Marques et al. 2010, with a single block.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mprage
    >>> sequence = Mprage(echo_time=0.003, repetition_time=2.3, inversion_time=0.9, flip_angle=0.157)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.0291)
    """

    title = "MPRAGE"
    typical = typical_settings(
        echo_time=0.003, repetition_time=2.3, inversion_time=0.9, flip_angle=math.radians(9), n_partitions=176
    )

    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        n, before, eta = self.n_partitions, self.n_before_centre, self.inversion_efficiency
        angle, spacing = transmit_field * self.flip_angle, self.echo_spacing
        begin = self.inversion_time - before * spacing
        rest = self.repetition_time - begin - n * spacing
        # A repetition is affine in its start value: steady state = (result for start 0) / (1 - slope).
        recovered = spoiled_train(relax(0.0, begin, t1), n, angle, spacing, t1)
        slope = -eta * math.cos(angle) ** n * (-self.repetition_time / t1).exp()
        steady = relax(recovered, rest, t1) / (1 - slope)
        prepared = relax(-eta * steady, begin, t1)
        return math.sin(angle) * spoiled_train(prepared, before, angle, spacing, t1)

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._block_problem((self.inversion_time,))


@dataclass(frozen=True, kw_only=True)
class Mp2rageUni(InversionReadout):
    """MP2RAGE uniform image S1 S2 / (S1^2 + S2^2), between -1/2 and 1/2, from two blocks after one inversion.

    PD, T2* and the receive field cancel. Scanners often store the image shifted and scaled to 0 to 4095.
    Source: Marques et al. 2010.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mp2rageUni
    >>> sequence = Mp2rageUni.from_typical(inversion_time=0.8)
    >>> sequence(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor(0.2283)
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
        """T1 only."""
        return ("T1",)

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Uniform image without unit, in the broadcast shape of all maps; arguments as of `SignalModel.signed`."""
        unused = pd + (t2 if t2star is None else t2star)
        return self._excited(t1, t2, transmit_field) + 0 * unused

    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        first, second = self.block_signals(t1, transmit_field)
        return first * second / (first**2 + second**2)

    def block_signals(self, t1: Tensor, transmit_field: float = 1.0) -> tuple[Tensor, Tensor]:
        """Signals of both blocks at the centre of k-space, for PD 1 and without T2* decay.

        `t1` is in s, > 0, of any shape; `transmit_field` is B1+ as a fraction of the nominal one.
        """
        n, before, spacing = self.n_partitions, self.n_before_centre, self.echo_spacing
        angle, second_angle = transmit_field * self.flip_angle, transmit_field * self.second_flip_angle
        eta = self.inversion_efficiency
        begin = self.inversion_time - before * spacing
        pause = self.second_inversion_time - self.inversion_time - n * spacing
        rest = self.repetition_time - self.second_inversion_time - (n - before) * spacing
        recovered = spoiled_train(relax(0.0, begin, t1), n, angle, spacing, t1)
        recovered = spoiled_train(relax(recovered, pause, t1), n, second_angle, spacing, t1)
        shrink = (math.cos(angle) * math.cos(second_angle)) ** n
        steady = relax(recovered, rest, t1) / (1 + eta * shrink * (-self.repetition_time / t1).exp())
        prepared = relax(-eta * steady, begin, t1)
        first = spoiled_train(prepared, before, angle, spacing, t1)
        after = spoiled_train(first, n - before, angle, spacing, t1)
        second = spoiled_train(relax(after, pause, t1), before, second_angle, spacing, t1)
        return math.sin(angle) * first, math.sin(second_angle) * second

    def _timing_problem(self) -> str | None:
        return self._late_echo() or self._block_problem((self.inversion_time, self.second_inversion_time))
