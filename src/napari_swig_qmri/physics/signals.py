"""Volumes that are functions of maps, with their derivatives by the logarithms of the maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.sequence import SignalModel


class Signals(Protocol):
    """Volumes as functions of the maps PD, T1 and T2 ``(3, ...)``, times in s."""

    def __call__(self, maps: Tensor) -> Tensor:
        """Volumes ``(n, ...)``."""

    def linearised(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Volumes ``(n, ...)`` and their derivatives by the log maps ``(n, 3, ...)``."""


class NamedSignals(Signals, Protocol):
    """Volumes of a mapping protocol."""

    @property
    def name(self) -> str:
        """Name of the protocol."""


@dataclass(frozen=True)
class SingleSignal:
    """The signal of one sequence as a volume."""

    sequence: SignalModel

    def __call__(self, maps: Tensor) -> Tensor:
        """Signal ``(1, ...)`` of maps ``(3, ...)``."""
        return self.sequence(*maps)[None]

    def linearised(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Signal ``(1, ...)`` and its derivatives by the log maps ``(1, 3, ...)``."""
        signal, slope = signal_and_slope(self.sequence, maps)
        return signal[None], slope[None]


def signal_and_slope(sequence: SignalModel, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Signal ``(X, Y, Z)`` of maps ``(3, X, Y, Z)``, and its derivatives by their logarithms ``(3, X, Y, Z)``."""
    with torch.enable_grad():
        variables = maps.detach().requires_grad_()
        signal = sequence(*variables)
        (slope,) = torch.autograd.grad(signal.sum(), variables)
    return signal.detach(), slope * maps
