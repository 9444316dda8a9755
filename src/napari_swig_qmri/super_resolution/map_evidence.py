"""Where the maps of a result come from, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray

LR_MAPS, PRIOR = "LR maps", "regression"  # sources of every result, the first and the last


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MapEvidence:
    """Shares of the sources in each map of a result before the network corrects it, in percent.

    A share is that of the source in the variance of the solution, which is that of its data in the estimate:
    measured LR maps, each guide, and the local regression of LR maps on guides, from which the solution starts.

    Attributes
    ----------
    maps, sources
        Names of both.
    information, detail
        ``(map, source, X, Y, Z)``, uint8: of the mean over an LR voxel, and of what is finer, of which the LR maps know
        nothing. 0 off the head.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri.super_resolution.map_evidence import MapEvidence
    >>> shares = np.array([60, 30, 10], np.uint8).reshape(1, 3, 1, 1, 1)
    >>> sources = ("LR maps", "T1w", "regression")
    >>> evidence = MapEvidence(maps=("T1",), sources=sources, information=shares, detail=shares)
    >>> evidence.at("T1", (0, 0, 0))["information"]
    {'LR maps': 60, 'T1w': 30, 'regression': 10}
    """

    maps: tuple[str, ...]
    sources: tuple[str, ...]
    information: npt.NDArray[np.uint8]
    detail: npt.NDArray[np.uint8]

    def at(self, name: str, voxel: tuple[int, int, int]) -> dict[str, dict[str, int]]:
        """Percentages of the sources of a map in one voxel, for the mean (``"information"``) and the ``"detail"``."""
        of_kinds = {"information": self.information, "detail": self.detail}
        number = self.maps.index(name)
        return {
            kind: dict(zip(self.sources, shares[(number, slice(None), *voxel)].tolist(), strict=True))
            for kind, shares in of_kinds.items()
        }

    def means(self, where: BoolArray) -> dict[str, dict[str, dict[str, float]]]:
        """Mean percentages over voxels ``(X, Y, Z)`` by map, kind and source, JSON-ready; empty if there are none."""
        if not where.any():
            return {}
        kinds = {"information": self.information[:, :, where], "detail": self.detail[:, :, where]}
        return {
            name: {
                kind: dict(zip(self.sources, shares[number].mean(-1).round(1).tolist(), strict=True))
                for kind, shares in kinds.items()
            }
            for number, name in enumerate(self.maps)
        }


def listed(shares: Mapping[str, float]) -> str:
    """Shares by source as words, the largest first: ``LR maps 60 %, T1w 30 %``; those below 1 % are left out."""
    ranked = sorted(shares.items(), key=lambda each: -each[1])
    return ", ".join(f"{source} {share:.0f} %" for source, share in ranked if share >= 1)
