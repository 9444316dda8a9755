"""Where a contrast of averaged maps is not the average of contrasts: mostly borders with cerebrospinal fluid.

Coarse maps hold averages, and so do coarse images; but the signal of averaged maps is not the averaged signal
where a voxel mixes tissue with fluid. Averaging maps and signals over slightly larger voxels shows where the two
differ, from the maps alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import correlate1d

from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.lazy_contrast import PLAIN, synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.rendering import Rendering

    LabelArray = np.ndarray[Any, np.dtype[np.uint8]]

THRESHOLD = 0.2  # of the signal of tissue
WIDTH = 2.0  # voxels along an edge of the larger voxel
FLUID_T1 = 2.5  # s; tissue has a shorter T1 at any field strength
CAVEAT = (
    "Marked voxels: averaging maps and averaging signals over voxels twice as large differ by more than 20 % of the "
    "signal of tissue, so that tissue and fluid mixed in a voxel give another signal there than a scanner would show."
)


def disagreement(
    sequence: Contrast,
    pd: FloatArray,
    t1: FloatArray,
    t2: FloatArray,
    *,
    width: float = WIDTH,
    rendering: Rendering = PLAIN,
) -> FloatArray:
    """Magnitude of the signal of averaged maps less that of the averaged signal, in the unit of `pd`.

    Averages are over voxels `width` times as large around every voxel, of those with a measurement (finite,
    T1 and T2 above 0, in s). Voxels without one give 0.
    """
    valid = np.isfinite(pd) & np.isfinite(t1) & np.isfinite(t2) & (pd > 0) & (t1 > 0) & (t2 > 0)
    share = np.maximum(_averaged(valid.astype(np.float32), width), 1e-6)
    pd_mean, t1_mean, t2_mean = (
        _averaged(np.where(valid, values, 0).astype(np.float32), width) / share for values in (pd, t1, t2)
    )
    signed = rendering.signed()
    of_averages = synthesise(sequence, pd_mean, t1_mean, t2_mean, rendering=signed)
    averaged = _averaged(np.where(valid, synthesise(sequence, pd, t1, t2, rendering=signed), 0), width) / share
    return np.where(valid, np.abs(of_averages) - np.abs(averaged), 0)


def tissue_level(
    sequence: Contrast, pd: FloatArray, t1: FloatArray, t2: FloatArray, rendering: Rendering = PLAIN
) -> float:
    """Median magnitude of the signal of voxels with a T1 below that of fluid; 0 if there are none."""
    signal = np.abs(synthesise(sequence, pd, t1, t2, rendering=rendering.signed()))
    signal = signal[(signal > 0) & (t1 < FLUID_T1)]
    return float(np.median(signal)) if signal.size else 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class LazyPartialVolume(LazyArray):
    """Voxels whose `disagreement` is larger than `threshold` of the `tissue_level`, as labels 0 and 1.

    Only the slices that somebody looks at are computed; ``numpy.asarray`` computes all. T1 and T2 in s. The signal of
    tissue is that of voxels spread over the volume.
    """

    sequence: Contrast
    pd: FloatArray
    t1: FloatArray
    t2: FloatArray
    rendering: Rendering = PLAIN
    width: float = WIDTH
    threshold: float = THRESHOLD

    dtype: np.dtype[Any] = field(default=np.dtype(np.uint8), init=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.t1.shape)

    @cached_property
    def level(self) -> float:
        """Signal of tissue, in the unit of PD."""
        pd, t1, t2 = (np.asarray(values[self.sample]) for values in (self.pd, self.t1, self.t2))
        return tissue_level(self.sequence, pd, t1, t2, self.rendering)

    def _computed(self, key: Any) -> LabelArray:
        """Labels of the indexed voxels; neighbours that their averages need are computed with them."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is not Ellipsis and not isinstance(part, int | np.integer | slice) for part in parts):
            chosen: LabelArray = np.asarray(self)[key]
            return chosen
        if Ellipsis in parts:
            gap = parts.index(Ellipsis)
            parts[gap : gap + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        wide, back = zip(
            *(
                _widened(part, length, len(_weights(self.width)) // 2)
                for part, length in zip(parts, self.shape, strict=True)
            ),
            strict=True,
        )
        maps = [np.asarray(values[wide]) for values in (self.pd, self.t1, self.t2)]
        found = np.abs(disagreement(self.sequence, *maps, width=self.width, rendering=self.rendering))
        labels: LabelArray = (found > self.threshold * self.level)[back].astype(np.uint8)
        return labels


def _widened(part: int | slice, length: int, margin: int) -> tuple[slice, int | slice]:
    """The indexed voxels of an axis with `margin` neighbours, and where they lie among these."""
    if isinstance(part, slice):
        first, stop, step = part.indices(length)
        indices = range(first, stop, step)
        if not indices:
            return slice(0, 1), slice(0, 0)
        low, high = max(0, min(indices) - margin), min(length, max(indices) + 1 + margin)
        return slice(low, high), slice(first - low, None if stop - low < 0 else stop - low, step)
    index = range(length)[part]
    low = max(0, index - margin)
    return slice(low, min(length, index + 1 + margin)), index - low


def _averaged(values: FloatArray, width: float) -> FloatArray:
    """Mean over voxels `width` times as large."""
    weights = _weights(width)
    for axis in range(values.ndim):
        values = correlate1d(values, weights, axis=axis, mode="nearest")
    return values


def _weights(width: float) -> Sequence[float]:
    """Share of every neighbour in a voxel `width` times as large."""
    reach = math.ceil((width - 1) / 2)
    offsets = np.abs(np.arange(-reach, reach + 1))
    shares = np.clip(width / 2 - offsets + 0.5, 0, 1)
    return [float(share) for share in shares / shares.sum()]
