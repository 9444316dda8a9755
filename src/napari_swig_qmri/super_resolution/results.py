"""What a super-resolution run reports while it works and returns when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, WeightedImage

RESEARCH_NOTICE = "synthetic: research use"
FLAIR_CAVEAT = (
    "In a synthetic T2-FLAIR an error of T1 by 1 % changes CSF by about 18 %, so its rim may look bright; "
    "a real T2-FLAIR differs by up to 19 % in grey and white matter. Do not judge lesions next to CSF by it."
)


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    fraction: float  # 0 to 1
    stage: str  # what it is doing, for a person
    seconds_left: float | None = None


def between(low: float, high: float) -> Callable[[Progress], Progress]:
    """Progress of a part that runs from `low` to `high` of the whole."""
    return lambda step: replace(step, fraction=low + (high - low) * step.fraction)


@dataclass(frozen=True, eq=False, kw_only=True)
class SuperResolution:
    """Super-resolved maps with everything needed to judge, show and save them."""

    maps: QuantitativeMaps  # on the HR grid
    guides: tuple[WeightedImage, ...]  # acquired, on the HR grid, scanner units
    synthesised: tuple[WeightedImage, ...]  # from `maps`, same order, gain applied (scanner units)
    lr_residual: QuantitativeMaps  # measured LR maps minus truncated SR maps, LR grid
    lr_maps: QuantitativeMaps  # the measured maps as the solver saw them
    conflict: FloatArray | None = None  # (x, y, z) on the HR grid, 0 = guides and LR maps agree, 1 = LR maps followed
    gains: tuple[float, ...] = ()  # scanner units per unit of PD, one per guide
    notices: tuple[str, ...] = ()  # what was assumed, repaired or left out, one sentence each
    parameters: Mapping[str, Any]  # every setting of the run, JSON-ready

    @property
    def guide_residuals(self) -> tuple[FloatArray, ...]:
        """Acquired minus synthesised, one ``(x, y, z)`` array per guide."""
        return tuple(g.data - s.data for g, s in zip(self.guides, self.synthesised, strict=True))
