"""Thickness of slices that were interpolated to thinner ones, from how the spectrum across them falls off.

The head has about as much detail along one axis as along another. An average over thick slices, with values
interpolated between them, has half the amplitude of detail at 0.6 cycles per thickness, and less beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from napari_swig_qmri.data.volumes import FloatArray

CYCLES = 0.5  # per thickness where half the amplitude is left; 0.6 if nothing else blurs. Thin slices cost less
LOW = (0.03, 0.075)  # cycles per mm, where all axes have the same power
USED = 0.66  # of the highest frequency; linear interpolation by half a voxel takes what is beyond
LEAST_LOSS = 2.15  # of the logarithm of the power beside other axes; without thick slices at most 1.3 inside heads,
# 2.0 after linear interpolation, with slices of 3 mm at least 2.2 on real and 3.4 on simulated images
HALF = np.log(4)  # of the logarithm of the power at half the amplitude
THICK = 1.8  # voxels, from which slices are


class Slices(NamedTuple):
    """Slices that an image was measured with."""

    axis: int
    thickness: float  # mm


def interpolated_slices(
    spectra: Sequence[FloatArray | None], shape: Sequence[int], voxel_size: Sequence[float]
) -> Slices | None:
    """Slices that the voxels of an image were interpolated from; None if there are none.

    Parameters
    ----------
    spectra
        Tapered spectra along its axes, None where lines are too short.
    shape, voxel_size
        Number of its voxels along each axis, and their edges in mm.
    """
    curves = _curves(spectra, shape, voxel_size)
    found = [_slices(axis, curves) for axis in curves if len(curves) > 1]
    thick = [each for each in found if each is not None and each.thickness > THICK * voxel_size[each.axis]]
    return max(thick, key=lambda each: each.thickness, default=None)


def _curves(
    spectra: Sequence[FloatArray | None], shape: Sequence[int], voxel_size: Sequence[float]
) -> dict[int, tuple[FloatArray, FloatArray]]:
    """Frequencies in cycles per mm, and the logarithm of the power there, of the axes that are long enough."""
    curves: dict[int, tuple[FloatArray, FloatArray]] = {}
    for axis, (power, n, edge) in enumerate(zip(spectra, shape, voxel_size, strict=True)):
        if power is None:
            continue
        frequencies = np.arange(len(power)) / (n * edge)
        low = (frequencies >= LOW[0]) & (frequencies <= LOW[1])
        if low.any():
            curves[axis] = frequencies, power - power[low].mean()
    return curves


def _slices(axis: int, curves: dict[int, tuple[FloatArray, FloatArray]]) -> Slices | None:
    """Slices across an axis whose power falls off before that of all others; None if it does not."""
    frequencies, power = curves[axis]
    others = [curve for other, curve in curves.items() if other != axis]
    highest = min(USED * frequencies[-1], *(curve[0][-1] for curve in others))
    loss = np.max([np.interp(frequencies, *curve) for curve in others], axis=0) - power
    loss[(frequencies <= LOW[1]) | (frequencies > highest)] = 0
    if loss.max() < LEAST_LOSS:
        return None
    beyond = int(np.argmax(loss > HALF))
    half = np.interp(HALF, loss[beyond - 1 : beyond + 1], frequencies[beyond - 1 : beyond + 1])
    return Slices(axis, float(CYCLES / half))
