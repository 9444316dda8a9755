"""The ways to super-resolve, and what a result is called by its guides, as in the publication: M_12 (T1w + T2w)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    pass

METHODS: Mapping[str, str] = {
    "regression": "local regression of the maps on the guides; fast, no physics",
    "posterior": "regression, then refined until signal models, guides and LR maps agree",
    "network": "posterior, then corrected by a network trained on simulated subjects",
}
DEFAULT_METHOD: Final = "network"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to compute."""

    method: str = DEFAULT_METHOD
    weights: str = DEFAULT_WEIGHTS  # of the network; other methods have none
    voxel_size: float | None = None  # mm, None: that of the finest guide
    device: str = "auto"
    memory_limit: int | None = None  # bytes, None: decided by the engine

    def arguments(self) -> dict[str, Any]:
        """The options as the engine takes them."""
        return {**vars(self), "weights": self.weights if self.method == "network" else None}
