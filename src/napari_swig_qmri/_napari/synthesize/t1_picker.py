"""T1 and T2 of a voxel that the user clicks in a synthetic contrast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.synthesize.live_contrasts import LiveContrasts
from napari_swig_qmri._napari.synthesize.side_by_side import SideBySide
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast


class T1Picker(QObject):
    """Reads T1 and T2 where the user clicks into a live contrast, while it is active."""

    picked = Signal(object, object)  # T1 in s, and T2 in s or None
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, live: LiveContrasts, side_by_side: SideBySide, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._live, self._side_by_side = viewer, live, side_by_side

    def set_active(self, wanted: bool) -> None:
        """Start or stop listening to clicks."""
        callbacks = self._viewer.mouse_drag_callbacks
        if wanted:
            callbacks.append(self._take)
        elif self._take in callbacks:
            callbacks.remove(self._take)

    def _take(self, _viewer: ViewerModel, event: Any) -> None:
        if not exists(self):
            return
        layers = self._live.layers
        clicked = [each for each in layers if each.visible and self._side_by_side.is_in(event.viewbox, each)]
        times = times_at(clicked, event.position)
        if times is None:
            self.failed.emit("There is no T1 here. Add a contrast and click into it.")
        else:
            self.picked.emit(*times)


def times_at(layers: Sequence[Image], position: Sequence[float]) -> tuple[float, float | None] | None:
    """T1 and T2 in s at a world position of contrast layers; None without a T1 there.

    Of overlapping contrasts, the one with the smallest voxels counts. T2 is None where it is unknown.
    """
    for layer in sorted(layers, key=lambda each: float(np.prod(each.scale))):
        if not isinstance(layer.data, LazyContrast):
            continue
        index = np.round(layer.world_to_data(position)).astype(int)
        if index.size == layer.data.ndim and (index >= 0).all() and (index < layer.data.shape).all():
            contrast = layer.data
            t1, t2 = (math.nan if each is None else float(each[tuple(index)]) for each in (contrast.t1, contrast.t2))
            if np.isfinite(t1) and t1 > 0:
                return t1, t2 if np.isfinite(t2) and t2 > 0 else None
    return None
