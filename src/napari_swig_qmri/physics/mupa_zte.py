"""MuPa-ZTE: fast silent multi-parametric mapping with zero echo time, twelve images from one cyclic acquisition.

A cycle consists of an inversion, a delay and six segments of spokes, then a T2 preparation, a delay and six more
segments. Every spoke is a small excitation that is read out immediately and spoiled. Source of the scheme: ISMRM 2018,
abstract 0061; the default settings are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.gradient_echoes import spoiled_steady_state
from napari_swig_qmri.physics.mapping import MappingProtocol, stacked
from napari_swig_qmri.physics.sequence import angle_field, plain_field, relax, time_field

if TYPE_CHECKING:
    from torch import Tensor

N_PREPARATIONS = 2  # inversion and T2 preparation


@dataclass(frozen=True, kw_only=True)
class MupaZte(MappingProtocol):
    """Signed images of a MuPa-ZTE scan in the steady state of its cycle, in closed form.

    A spoke of flip angle a and length TR turns M into 1 + (M cos a - 1) E, E = exp(-TR/T1). After n spokes
    M_n = S + (M_0 - S) q^n, with q = E cos a and S = (1 - E) / (1 - q). An image is the mean of M before each of
    its n excitations, S + (M_0 - S) (1 - q^n) / (n (1 - q)). The inversion turns M into -eta M, the T2 preparation
    into M exp(-TE/T2). `segment_delay` separates the segments of a preparation. A cycle is affine in its start
    magnetisation, which gives the steady state without iteration.

    The factor sin(a), equal in all images, is part of the receive gain. Pulses are ideal (no B1+, magnetisation
    transfer or off-resonance), and T1 relaxation during the T2 preparation is neglected.

    Examples
    --------
    >>> import torch
    >>> from napari_swig_qmri import MupaZte
    >>> MupaZte()(pd=torch.tensor(0.7), t1=torch.tensor(0.9), t2=torch.tensor(0.07)).shape
    torch.Size([12])
    """

    title = "MuPa-ZTE"

    flip_angle: float = angle_field("Flip angle", math.radians(60), default=math.radians(2))
    repetition_time: float = time_field("Time from spoke to spoke (TR)", 2e-4, 0.1, default=1.5e-3)
    preparation_echo_time: float = time_field("Echo time of the T2 preparation (TE)", 1e-3, 1.0, default=0.08)
    n_spokes: int = plain_field("Spokes per segment", 1, 65536, 256)
    n_segments: int = plain_field("Segments per preparation", 1, 64, 6)
    preparation_delay: float = time_field("Delay after a preparation", 0.0, 10.0, default=0.01)
    segment_delay: float = time_field("Delay after a segment", 0.0, 10.0, default=0.005)
    inversion_efficiency: float = plain_field("Inversion efficiency", 0.0, 1.0, 1.0)

    @property
    def n_images(self) -> int:
        """Number of images, one per segment."""
        return N_PREPARATIONS * self.n_segments

    @property
    def cycle_duration(self) -> float:
        """Time between inversions in s."""
        segment = self.n_spokes * self.repetition_time + self.segment_delay
        delays = N_PREPARATIONS * self.preparation_delay
        return self.n_images * segment + delays + self.preparation_echo_time

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images in the unit of `pd`.

        Parameters
        ----------
        pd
            Proton density ``(...)`` in any unit.
        t1, t2
            Relaxation times ``(...)`` in s, > 0.

        Returns
        -------
        Images ``(n_images, ...)``.
        """
        decay = (-self.preparation_echo_time / t2).exp()
        end, _ = self._cycle(0 * t1, t1, decay)
        relaxing = self.cycle_duration - self.preparation_echo_time
        shrink = math.cos(self.flip_angle) ** (self.n_images * self.n_spokes) * (-relaxing / t1).exp()
        steady = end / (1 + self.inversion_efficiency * shrink * decay)
        _, means = self._cycle(steady, t1, decay)
        return pd * stacked(means)

    def _cycle(self, start: Tensor, t1: Tensor, decay: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Magnetisation at the end of a cycle and its mean over each segment, for PD 1.

        `start` is the magnetisation before the inversion, `decay` the factor exp(-TE/T2) of the T2 preparation.
        """
        log_q = math.log(math.cos(self.flip_angle)) - self.repetition_time / t1
        lost = -(self.n_spokes * log_q).expm1()  # 1 - q^n and, in the next line, 1 - q, exact in float32
        share = lost / (-self.n_spokes * log_q.expm1())
        steady = spoiled_steady_state(self.flip_angle, self.repetition_time, t1)
        magnetisation, means = start, []
        for preparation in (-self.inversion_efficiency, decay):
            magnetisation = relax(preparation * magnetisation, self.preparation_delay, t1)
            for _ in range(self.n_segments):
                means.append(steady + (magnetisation - steady) * share)
                magnetisation = relax(magnetisation + (steady - magnetisation) * lost, self.segment_delay, t1)
        return magnetisation, means
