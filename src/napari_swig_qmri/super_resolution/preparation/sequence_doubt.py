"""Guides whose contrast contradicts the sequence that they are said to be of: what its equation leaves wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.signal_models import SignalModel


@dataclass(frozen=True)
class SequenceDoubt:
    """A sequence that explains a guide better than the one it is said to be of, or none that does."""

    fits: SignalModel | None
    misfit: float = 0.0  # relative deviation over tissue of the sequence as said, for a guide that nothing explains

    def variance(self, said: SignalModel, maps: Tensor, where: Tensor) -> Tensor:
        """Variance ``(X, Y, Z)`` of the error that the sequence `said` makes, in units of PD, besides that of a gain.

        The error is the difference of both sequences for maps ``(3, X, Y, Z)``, after the gain that brings them
        together over the voxels `where`, boolean ``(X, Y, Z)``; without another sequence, the misfit of the signal.
        """
        signal = said(*maps)
        if self.fits is None:
            return (self.misfit * signal).square()
        other = self.fits(*maps)
        gain = (other * signal)[where].sum() / other[where].square().sum().clamp(min=1e-12)
        return (gain * other - signal).square()
