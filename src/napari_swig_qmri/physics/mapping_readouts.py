"""Mapping protocols with trains of spoiled read-outs in a cyclic steady state: 3D-QALAS and MP2RAGE.

MuPa-ZTE has a module of its own, `mupa_zte`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.gradient_echoes import Mp2rageUni, spoiled_train
from napari_swig_qmri.physics.mapping import MappingProtocol, stacked
from napari_swig_qmri.physics.sequence import TIMING_TOLERANCE, angle_field, ms, plain_field, relax, time_field

if TYPE_CHECKING:
    from torch import Tensor

N_TRAINS = 5  # of QALAS: one after the T2 preparation, four after the inversion


@dataclass(frozen=True, kw_only=True)
class Qalas(MappingProtocol):
    """3D-QALAS: five trains of spoiled read-outs per cycle, one after a T2 preparation and four after an inversion.

    The cycle is: T2 preparation, M -> M exp(-TE/T2); train; pause; inversion, M -> -eta M; delay; four trains that
    begin `train_interval` apart; recovery for the rest of TR. The inversion is placed so that trains begin at equal
    intervals. An image is M at the beginning of its train (centric order). T1 is neglected during the T2 preparation,
    and sin(a), equal in all images, is part of PD. Source: Kvernby et al. 2014; the default times are our choice.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Qalas
    >>> Qalas()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([5])
    """

    title = "3D-QALAS"

    repetition_time: float = time_field("Duration of a cycle (TR)", 0.1, 60.0, default=4.5)
    preparation_echo_time: float = time_field("Echo time of the T2 preparation (TE)", 1e-3, 1.0, default=0.1)
    inversion_delay: float = time_field("Delay from inversion to read-out (TD)", 0.0, 10.0, default=0.1)
    train_interval: float = time_field("Time from train to train", 1e-2, 10.0, default=0.9)
    n_partitions: int = plain_field("Read-outs per train", 1, 2048, 127)
    echo_spacing: float = time_field("Read-out spacing (ESP)", 1e-3, 0.2, default=5.8e-3)
    flip_angle: float = angle_field("Flip angle", default=math.radians(4))
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(5, ...)`` in the order of the trains; arguments as in `MappingProtocol`."""
        decay = (-self.preparation_echo_time / t2).exp()
        end, _ = self._cycle(0 * t1, t1, decay)
        trains = math.cos(self.flip_angle) ** (N_TRAINS * self.n_partitions)
        slope = -self.inversion_efficiency * trains * decay * (-self._relaxing / t1).exp()
        _, starts = self._cycle(end / (1 - slope), t1, decay)  # a cycle is affine in its start magnetisation
        return pd * stacked(starts)

    @property
    def _relaxing(self) -> float:
        """Time in s of a cycle during which magnetisation relaxes with T1."""
        return self.repetition_time - self.preparation_echo_time

    def _cycle(self, start: Tensor, t1: Tensor, decay: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Magnetisation at the end of a cycle and before each train, for PD 1; `start` is before the preparation."""
        pause = self.train_interval - self.n_partitions * self.echo_spacing
        magnetisation, starts = decay * start, []
        for train in range(N_TRAINS):
            if train == 1:
                magnetisation = relax(magnetisation, pause - self.inversion_delay, t1)
                magnetisation = relax(-self.inversion_efficiency * magnetisation, self.inversion_delay, t1)
            elif train > 1:
                magnetisation = relax(magnetisation, pause, t1)
            starts.append(magnetisation)
            magnetisation = spoiled_train(magnetisation, self.n_partitions, self.flip_angle, self.echo_spacing, t1)
        return relax(magnetisation, self._rest, t1), starts

    @property
    def _rest(self) -> float:
        """Time in s from the end of the last train to the next cycle."""
        trains = (N_TRAINS - 1) * self.train_interval + self.n_partitions * self.echo_spacing
        return self._relaxing - trains

    def _timing_problem(self) -> str | None:
        train = self.n_partitions * self.echo_spacing
        if train + self.inversion_delay > self.train_interval + TIMING_TOLERANCE:
            return (
                f"trains of {ms(train)} and TD {ms(self.inversion_delay)} do not fit into the "
                f"{ms(self.train_interval)} from train to train"
            )
        if self._rest < -TIMING_TOLERANCE:
            return f"{N_TRAINS} trains end {ms(-self._rest)} after TR {ms(self.repetition_time)}"
        return None


@dataclass(frozen=True, kw_only=True)
class Mp2rage(MappingProtocol):
    """MP2RAGE: the signed images of two blocks of spoiled read-outs after an inversion, as in `Mp2rageUni`.

    T2 is not measured: the decay up to the echo is part of PD. Source: Marques et al. 2010.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import Mp2rage
    >>> Mp2rage()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([2])
    """

    title = "MP2RAGE"
    measured = ("PD", "T1")

    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=5.0)
    inversion_time: float = time_field("Inversion time (TI)", 1e-3, 20.0, default=0.7)
    second_inversion_time: float = time_field("Second inversion time (TI2)", 1e-3, 20.0, default=2.5)
    flip_angle: float = angle_field("Flip angle", default=math.radians(4))
    second_flip_angle: float = angle_field("Second flip angle", default=math.radians(5))
    n_partitions: int = plain_field("Read-outs per block (partitions)", 1, 2048, 176)
    echo_spacing: float = time_field("Read-out spacing (ESP)", 1e-3, 0.2, default=0.007)
    centre_fraction: float = plain_field("Share of read-outs before the centre (k-space centre)", 0.0, 1.0, 0.5)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._uniform()  # refuses what cannot be played out

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(2, ...)``; arguments as in `MappingProtocol`, of which T2 has no effect."""
        return pd * stacked(self._uniform().block_signals(t1))

    def _uniform(self) -> Mp2rageUni:
        """Uniform image of the same scan."""
        return Mp2rageUni(echo_time=0.0, **asdict(self))
