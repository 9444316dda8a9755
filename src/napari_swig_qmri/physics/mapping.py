"""Base class of mapping protocols: series of images from one scan that PD, T1 and T2 maps are fitted to.

Images are signed, as fits use them, and proportional to PD. Receive gain and factors that are equal in all images are
part of PD. Settings are in s and rad.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from napari_swig_qmri.physics.sequence import check_settings, check_timing

if TYPE_CHECKING:
    from torch import Tensor

ALL_QUANTITIES = ("PD", "T1", "T2")


@dataclass(frozen=True, kw_only=True)
class MappingProtocol(ABC):
    """Base class of everything that computes the images of a mapping protocol from PD, T1 and T2.

    A protocol that does not measure T1 or T2 has images that do not depend on it. Raises TypeError if a setting is not
    a number, ValueError if it is out of range or two settings exclude each other.

    Examples
    --------
    >>> from napari_swig_qmri import MappingProtocol, Vfa
    >>> isinstance(Vfa(), MappingProtocol), Vfa.measured
    (True, ('PD', 'T1'))
    """

    title: ClassVar[str]
    measured: ClassVar[tuple[str, ...]] = ALL_QUANTITIES  # quantities that the images determine

    def __post_init__(self) -> None:
        check_settings(self)
        check_timing(self.title, self._timing_problem())

    @abstractmethod
    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
        """Images ``(n_images, ...)`` in the unit of `pd`; `t1` and `t2` in s, > 0, all of the shape ``(...)``."""

    def _timing_problem(self) -> str | None:
        """Clause that names two settings that exclude each other, with their values; None if there are none."""
        return None


def stacked(images: Iterable[Tensor]) -> Tensor:
    """Images of one shape ``(...)`` as one tensor ``(n_images, ...)``."""
    import torch  # not at the top: torch takes over a second to load, and settings do not need it

    return torch.stack(list(images))


def evenly(first: float, last: float, n: int) -> list[float]:
    """Return `n` values at equal distances from `first` to `last`; the first alone if `n` is 1."""
    return [first + (last - first) * i / max(1, n - 1) for i in range(n)]


def in_equal_ratios(first: float, last: float, n: int) -> list[float]:
    """Return `n` values at equal ratios from `first` to `last`, both above 0; the first alone if `n` is 1."""
    ratio = last / first
    return [first * float(ratio ** (i / max(1, n - 1))) for i in range(n)]
