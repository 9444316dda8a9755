"""Spectra of images along one axis: of whole lines, and of lines inside the head.

The latter are tapered, so that neither edges of a head without surroundings nor air, where magnitudes fill k-space,
add to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_swig_qmri.data.volumes import BoolArray, FloatArray

IntArray = npt.NDArray[np.integer]

SHORTEST_LINE = 24  # voxels
FEWEST_LINES = 30
MOST_LINES = 6_000


def spectra(data: FloatArray, axis: int) -> list[FloatArray]:
    """Mean logarithm of the power along one axis, per map, over all lines that are not constant."""
    which = np.arange(math.prod(data.shape[1:]) // data.shape[axis + 1])
    return [_mean_log_power(lines) for lines in _lines(data, which[:: _step(len(which))], axis)]


def tapered_spectra(data: FloatArray, inside: BoolArray, axis: int) -> list[FloatArray]:
    """Spectra as of `spectra`, of the longest run of voxels inside the head in each line; empty if they are short.

    Tapering the runs keeps their ends out of the high frequencies.
    """
    first, length = _longest_runs(np.moveaxis(inside, axis, 0))
    long = np.flatnonzero(length >= max(SHORTEST_LINE, 0.5 * length.max(initial=0)))
    if len(long) < FEWEST_LINES:
        return []
    long = long[:: _step(len(long))]
    place = (np.arange(inside.shape[axis]) - first[long, None] + 0.5) / length[long, None]
    taper = np.where((place > 0) & (place < 1), np.sin(np.pi * np.clip(place, 0, 1)) ** 3, 0)
    taper /= np.linalg.norm(taper, axis=1, keepdims=True)
    spectra = []
    for values in _lines(data, long, axis):
        mean = (values * taper).sum(axis=1, keepdims=True) / taper.sum(axis=1, keepdims=True)
        spectra.append(_mean_log_power((values - mean) * taper))
    return spectra


def _step(n_lines: int) -> int:
    """Distance of the lines that are looked at."""
    return -(-n_lines // MOST_LINES)


def _lines(data: FloatArray, which: IntArray, axis: int) -> Iterator[FloatArray]:
    """Lines ``(line, n)`` along an axis of each map, by their number; what is not finite is 0."""
    for volume in np.moveaxis(data, axis + 1, -1):
        lines = volume[np.unravel_index(which, volume.shape[:2])]
        yield np.nan_to_num(lines, posinf=0, neginf=0)


def _longest_runs(planes: BoolArray) -> tuple[IntArray, IntArray]:
    """First voxel and length ``(line,)`` of the longest run of True along the first axis, 0 and 0 without one."""
    run, length, end = (np.zeros(planes.shape[1:], np.int32) for _ in range(3))
    for index, plane in enumerate(planes):
        run = (run + 1) * plane
        end[run > length] = index + 1
        length = np.maximum(length, run)
    return (end - length).ravel(), length.ravel()


def _mean_log_power(lines: FloatArray) -> FloatArray:
    """Mean over lines ``(line, n)`` of the logarithm of the power, per frequency from 0 to n / 2."""
    power = np.abs(np.fft.rfft(lines, axis=-1)) ** 2
    power = power[power[:, 1:].sum(axis=1) > 0]
    if not len(power):
        return np.zeros(lines.shape[1] // 2 + 1)
    result: FloatArray = np.log(power + 1e-12 * np.median(power.max(axis=1))).mean(axis=0)
    return result
