"""Mapping protocols in which every image is a scan of its own or an echo of one, all recovering from a known state.

Notation as in `signal_models`: E(t) = exp(-t/T1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.gradient_echoes import Spgr
from napari_swig_qmri.physics.inversion_recovery import T2Flair
from napari_swig_qmri.physics.mapping import MappingProtocol, evenly, in_equal_ratios, stacked
from napari_swig_qmri.physics.sequence import angle_field, ms, plain_field, time_field

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mdme(MappingProtocol):
    """Multi-dynamic multi-echo (QRAPMASTER; SyMRI, MAGiC): two echoes at each of several saturation delays.

    A pulse of angle s turns M of a slice into M cos(s); after a delay TD follow a 90 degree pulse and the echoes,
    PD [1 - (1 - cos s) E(TD) - cos(s) E(TR)] exp(-TE/T2). The duration of the echo train is neglected, as in the fit
    of the vendors. Delays have equal ratios. Source: Warntjes et al. 2008; the default times are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mdme
    >>> Mdme()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([8])
    """

    title = "MDME"

    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=4.2)
    echo_time: float = time_field("First echo time (TE)", 1e-3, 2.0, default=0.02)
    second_echo_time: float = time_field("Second echo time (TE2)", 1e-3, 2.0, default=0.1)
    saturation_delay: float = time_field("Shortest saturation delay (TD)", 1e-3, 20.0, default=0.17)
    last_saturation_delay: float = time_field("Longest saturation delay (TD2)", 1e-3, 20.0, default=3.9)
    n_delays: int = plain_field("Saturation delays", 1, 64, 4)
    saturation_angle: float = angle_field("Saturation angle", default=math.radians(120))

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(2 n_delays, ...)``, both echoes of the shortest delay first; arguments as in `MappingProtocol`."""
        cosine, recovered = math.cos(self.saturation_angle), (-self.repetition_time / t1).exp()
        delays = in_equal_ratios(self.saturation_delay, self.last_saturation_delay, self.n_delays)
        prepared = [1 - (1 - cosine) * (-delay / t1).exp() - cosine * recovered for delay in delays]
        echoes = [pd * (-echo / t2).exp() for echo in (self.echo_time, self.second_echo_time)]
        return stacked(magnetisation * echo for magnetisation in prepared for echo in echoes)

    def _timing_problem(self) -> str | None:
        longest = max(self.saturation_delay, self.last_saturation_delay)
        echo = max(self.echo_time, self.second_echo_time)
        if longest + echo <= self.repetition_time:
            return None
        return f"TD {ms(longest)} and TE {ms(echo)} do not fit into TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class IrMese(MappingProtocol):
    """Inversion recovery with multi-echo spin-echo read-out (IR-MESE), all echoes at each of several inversion times.

    PD [1 - (1 + eta) E(TI) + eta E(TR - N ESP)] exp(-n ESP/T2) for the n-th of N echoes. Refocusing below 180 degrees
    follows extended phase graphs, as in `signal_models`. Inversion times have equal ratios. Source: McRobbie, MRI from
    Picture to Proton; the default times are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import IrMese
    >>> IrMese()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([40])
    """

    title = "IR-MESE"

    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=5.0)
    inversion_time: float = time_field("Shortest inversion time (TI)", 1e-3, 20.0, default=0.1)
    last_inversion_time: float = time_field("Longest inversion time (TI2)", 1e-3, 20.0, default=3.0)
    n_inversions: int = plain_field("Inversion times", 1, 64, 5)
    n_echoes: int = plain_field("Echoes", 1, 64, 8)
    echo_spacing: float = time_field("Echo spacing (ESP)", 1e-3, 0.2, default=0.015)
    refocusing_angle: float = angle_field("Refocusing angle", default=math.pi)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(n_inversions n_echoes, ...)``, echoes fastest; arguments as in `MappingProtocol`."""
        times = in_equal_ratios(self.inversion_time, self.last_inversion_time, self.n_inversions)
        return stacked(
            self._scan(time, echo).signed(pd, t1, t2) for time in times for echo in range(1, 1 + self.n_echoes)
        )

    def _scan(self, inversion_time: float, echo: int) -> T2Flair:
        """Sequence of one image."""
        return T2Flair(
            repetition_time=self.repetition_time,
            inversion_time=inversion_time,
            echo_time=echo * self.echo_spacing,
            echo_train_length=self.n_echoes,
            echo_spacing=self.echo_spacing,
            refocusing_angle=self.refocusing_angle,
            inversion_efficiency=self.inversion_efficiency,
        )

    def _timing_problem(self) -> str | None:
        longest, train = max(self.inversion_time, self.last_inversion_time), self.n_echoes * self.echo_spacing
        if longest + train <= self.repetition_time:
            return None
        return f"TI {ms(longest)} and the echoes of {ms(train)} do not fit into TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class IrSeries(MappingProtocol):
    """Inversion recovery at several inversion times, signed, PD [1 - (1 + eta) E(TI) + eta E(TR)].

    T2 is not measured: the decay up to the echo is part of PD. Inversion times have equal ratios. Source: McRobbie, MRI
    from Picture to Proton; the default times are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import IrSeries
    >>> IrSeries()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([6])
    """

    title = "Inversion-recovery series"
    measured = ("PD", "T1")

    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=5.0)
    inversion_time: float = time_field("Shortest inversion time (TI)", 1e-3, 20.0, default=0.05)
    last_inversion_time: float = time_field("Longest inversion time (TI2)", 1e-3, 20.0, default=3.0)
    n_inversions: int = plain_field("Inversion times", 1, 64, 6)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(n_inversions, ...)``; arguments as in `MappingProtocol`, of which T2 has no effect."""
        eta, remaining = self.inversion_efficiency, (-self.repetition_time / t1).exp()
        times = in_equal_ratios(self.inversion_time, self.last_inversion_time, self.n_inversions)
        return stacked(pd * (1 - (1 + eta) * (-time / t1).exp() + eta * remaining) for time in times)

    def _timing_problem(self) -> str | None:
        longest = max(self.inversion_time, self.last_inversion_time)
        if longest < self.repetition_time:
            return None
        return f"TI {ms(longest)} does not fit into TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class Mese(MappingProtocol):
    """Multi-echo spin echo (MESE) with refocusing by 180 degrees, PD exp(-n ESP/T2).

    T1 is not measured: the recovery within TR is part of PD. Source: McRobbie, MRI from Picture to Proton; the default
    times are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mese
    >>> Mese()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([16])
    """

    title = "Multi-echo spin echo"
    measured = ("PD", "T2")

    n_echoes: int = plain_field("Echoes", 1, 64, 16)
    echo_spacing: float = time_field("Echo spacing (ESP)", 1e-3, 0.2, default=0.012)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(n_echoes, ...)``; arguments as in `MappingProtocol`, of which T1 has no effect."""
        return stacked(pd * (-n * self.echo_spacing / t2).exp() for n in range(1, 1 + self.n_echoes))


@dataclass(frozen=True, kw_only=True)
class Vfa(MappingProtocol):
    """Spoiled gradient echoes of several flip angles (VFA, DESPOT1) at equal distances, all with the same TR.

    PD sin(a) (1 - E(TR)) / (1 - cos(a) E(TR)). T2 is not measured: the decay up to the echo is part of PD. Source:
    Deoni et al. 2003; the default settings are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Vfa
    >>> Vfa()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07))
    tensor([0.0426, 0.0463])
    """

    title = "Variable flip angles"
    measured = ("PD", "T1")

    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=0.015)
    flip_angle: float = angle_field("Smallest flip angle", default=math.radians(4))
    last_flip_angle: float = angle_field("Largest flip angle (FA2)", default=math.radians(24))
    n_angles: int = plain_field("Flip angles", 1, 64, 2)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(n_angles, ...)``; arguments as in `MappingProtocol`, of which T2 has no effect."""
        angles = evenly(self.flip_angle, self.last_flip_angle, self.n_angles)
        return stacked(_without_echo(self.repetition_time, angle).signed(pd, t1, t2) for angle in angles)


@dataclass(frozen=True, kw_only=True)
class Mpm(MappingProtocol):
    """Multi-parameter mapping (MPM): a PD-weighted and a T1-weighted spoiled gradient echo, extrapolated to TE 0.

    The equation is that of `Vfa`, with a TR for each image. The decay with T2* is fitted separately, before PD and T1,
    and magnetisation transfer is left out. Source: Weiskopf et al. 2013.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mpm
    >>> Mpm()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([2])
    """

    title = "MPM"
    measured = ("PD", "T1")

    repetition_time: float = time_field("TR of the PD-weighted image (TR)", 5e-4, 60.0, default=0.025)
    second_repetition_time: float = time_field("TR of the T1-weighted image (TR2)", 5e-4, 60.0, default=0.025)
    flip_angle: float = angle_field("Flip angle of the PD-weighted image", default=math.radians(6))
    second_flip_angle: float = angle_field("Flip angle of the T1-weighted image", default=math.radians(21))

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(2, ...)``; arguments as in `MappingProtocol`, of which T2 has no effect."""
        first = _without_echo(self.repetition_time, self.flip_angle)
        second = _without_echo(self.second_repetition_time, self.second_flip_angle)
        return stacked([first.signed(pd, t1, t2), second.signed(pd, t1, t2)])


def _without_echo(repetition_time: float, flip_angle: float) -> Spgr:
    """Spoiled gradient echo with TE 0."""
    return Spgr(echo_time=0.0, repetition_time=repetition_time, flip_angle=flip_angle)
