"""Voxels in which a contrast computed from averaged maps differs from the average of contrasts.

A coarse voxel holds averages, of maps as well as of signals. Where it mixes tissue and cerebrospinal fluid, the signal
of the averaged maps is not the averaged signal. Averaging the maps and their signal over slightly larger voxels shows
where the two differ, without an acquired image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d

from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.lazy_contrast import synthesise
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering

LabelArray = np.ndarray[Any, np.dtype[np.uint8]]

MARK_THRESHOLD = 0.2  # of the signal of tissue
VOXEL_FACTOR = 2.0  # edge of the larger voxels over which maps and signals are averaged, in voxels
FLUID_T1 = 2.5  # s; tissue has a shorter T1 at any field strength
PARTIAL_VOLUME_CAVEAT = (
    "Marked voxels: averaging maps and averaging signals over voxels twice as large differ by more than 20 % of the "
    "signal of tissue. These voxels mix tissue and fluid: a scanner would show a different signal."
)


def disagreement(
    sequence: Contrast,
    pd: FloatArray,
    t1: FloatArray,
    t2: FloatArray,
    *,
    width: float = VOXEL_FACTOR,
    rendering: Rendering = PLAIN,
) -> FloatArray:
    """Signal magnitude of averaged maps minus magnitude of the averaged signal, in the unit of `pd`.

    Parameters
    ----------
    sequence
        A pulse sequence or a typed equation.
    pd, t1, t2
        Maps of one shape, times in s. Averages leave out voxels with a value that is not finite or not positive.
    width
        Edge, in voxels, of the box around each voxel over which maps and signals are averaged.
    rendering
        Transmit field of the image; noise and sign are ignored.

    Returns
    -------
    FloatArray
        Difference, of the shape of the maps; 0 in voxels without a measurement.
    """
    valid = np.isfinite(pd) & np.isfinite(t1) & np.isfinite(t2) & (pd > 0) & (t1 > 0) & (t2 > 0)
    valid_share = np.maximum(_box_mean(valid.astype(np.float32), width), 1e-6)
    pd_mean, t1_mean, t2_mean = (
        _box_mean(np.where(valid, values, 0).astype(np.float32), width) / valid_share for values in (pd, t1, t2)
    )
    signed = rendering.signed()
    of_mean_maps = synthesise(sequence, pd_mean, t1_mean, t2_mean, rendering=signed)
    signal = np.where(valid, synthesise(sequence, pd, t1, t2, rendering=signed), 0)
    mean_signal = _box_mean(signal, width) / valid_share
    return np.where(valid, np.abs(of_mean_maps) - np.abs(mean_signal), 0)


def tissue_level(
    sequence: Contrast, pd: FloatArray, t1: FloatArray, t2: FloatArray, rendering: Rendering = PLAIN
) -> float:
    """Median signal magnitude of the voxels with a T1 below that of fluid, in the unit of `pd`; 0 without any.

    Maps have one shape, times in s.
    """
    signal = np.abs(synthesise(sequence, pd, t1, t2, rendering=rendering.signed()))
    signal = signal[(signal > 0) & (t1 < FLUID_T1)]
    return float(np.median(signal)) if signal.size else 0.0


@dataclass(eq=False, kw_only=True)
class LazyPartialVolume(LazyArray):
    """Labels of voxels whose `disagreement` exceeds a share of the `tissue_level`: 1 if so, else 0.

    Labels are computed slice by slice on request. The tissue level is estimated from voxels spread over the volume.
    """

    dtype = np.dtype(np.uint8)

    sequence: Contrast
    pd: FloatArray
    t1: FloatArray  # s
    t2: FloatArray  # s
    rendering: Rendering = PLAIN
    width: float = VOXEL_FACTOR
    threshold: float = MARK_THRESHOLD  # of the tissue level

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.t1.shape)

    @cached_property
    def level(self) -> float:
        """Signal of tissue, in the unit of PD."""
        pd, t1, t2 = (np.asarray(values[self.sample]) for values in (self.pd, self.t1, self.t2))
        return tissue_level(self.sequence, pd, t1, t2, self.rendering)

    def compute(self, key: Any) -> LabelArray:
        """Labels of the indexed voxels; maps are read with a margin for the averages."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is not Ellipsis and not isinstance(part, int | np.integer | slice) for part in parts):
            selected: LabelArray = np.asarray(self)[key]
            return selected
        if Ellipsis in parts:
            gap = parts.index(Ellipsis)
            parts[gap : gap + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        margin = len(_box_weights(self.width)) // 2
        widened = [_widened(part, length, margin) for part, length in zip(parts, self.shape, strict=True)]
        slab, inner = (tuple(keys) for keys in zip(*widened, strict=True))
        maps = [np.asarray(values[slab]) for values in (self.pd, self.t1, self.t2)]
        difference = np.abs(disagreement(self.sequence, *maps, width=self.width, rendering=self.rendering))
        labels: LabelArray = (difference > self.threshold * self.level)[inner].astype(np.uint8)
        return labels


def _widened(part: int | slice, length: int, margin: int) -> tuple[slice, int | slice]:
    """Slice of the indexed voxels of an axis with `margin` neighbours, and index of these voxels in it."""
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


def _box_mean(values: FloatArray, width: float) -> FloatArray:
    """Mean over a box of `width` voxels around each voxel."""
    weights = _box_weights(width)
    for axis in range(values.ndim):
        values = correlate1d(values, weights, axis=axis, mode="nearest")
    return values


def _box_weights(width: float) -> Sequence[float]:
    """Share of each neighbour along an axis in a box of `width` voxels."""
    reach = math.ceil((width - 1) / 2)
    offsets = np.abs(np.arange(-reach, reach + 1))
    shares = np.clip(width / 2 - offsets + 0.5, 0, 1)
    return [float(share) for share in shares / shares.sum()]
