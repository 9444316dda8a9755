"""Spectra of images along one axis: of whole lines, and of lines inside the head.

The latter are tapered, so that neither edges of a head without surroundings nor air, where magnitudes fill k-space,
add to them.
"""

from __future__ import annotations

import numpy as np

from napari_swig_qmri.data.volumes import BoolArray, FloatArray

SHORTEST_LINE = 24  # voxels
FEWEST_LINES = 30
MOST_LINES = 20_000


def spectra(data: FloatArray, axis: int) -> list[FloatArray]:
    """Mean logarithm of the power along one axis, per map, over all lines that are not constant."""
    lines = np.moveaxis(data, axis + 1, -1).reshape(len(data), -1, data.shape[axis + 1])
    step = -(-lines.shape[1] // MOST_LINES)
    return [_mean_log_power(each[::step]) for each in lines]


def tapered_spectra(data: FloatArray, inside: BoolArray, axis: int) -> list[FloatArray]:
    """Spectra as of `spectra`, of the longest run of voxels inside the head in each line; empty if they are short.

    Tapering the runs keeps their ends out of the high frequencies.
    """
    where = np.moveaxis(inside, axis, -1).reshape(-1, inside.shape[axis])
    first, length = _longest_runs(where)
    long = np.flatnonzero(length >= max(SHORTEST_LINE, 0.5 * length.max(initial=0)))
    if len(long) < FEWEST_LINES:
        return []
    long = long[:: -(-len(long) // MOST_LINES)]
    place = (np.arange(where.shape[1]) - first[long, None] + 0.5) / length[long, None]
    taper = np.where((place > 0) & (place < 1), np.sin(np.pi * np.clip(place, 0, 1)) ** 3, 0)
    taper /= np.linalg.norm(taper, axis=1, keepdims=True)
    spectra = []
    for each in np.moveaxis(np.nan_to_num(data, posinf=0, neginf=0), axis + 1, -1).reshape(len(data), *where.shape):
        values = each[long]
        mean = (values * taper).sum(axis=1, keepdims=True) / taper.sum(axis=1, keepdims=True)
        spectra.append(_mean_log_power((values - mean) * taper))
    return spectra


def _longest_runs(where: BoolArray) -> tuple[FloatArray, FloatArray]:
    """First voxel and length of the longest run of True in each row of ``(line, n)``."""
    run = np.zeros(where.shape, int)
    count = np.zeros(len(where), int)
    for index in range(where.shape[1]):
        count = np.where(where[:, index], count + 1, 0)
        run[:, index] = count
    length = run.max(axis=1)
    return run.argmax(axis=1) - length + 1, length


def _mean_log_power(lines: FloatArray) -> FloatArray:
    """Mean over lines ``(line, n)`` of the logarithm of the power, per frequency from 0 to n / 2."""
    power = np.abs(np.fft.rfft(lines, axis=-1)) ** 2
    power = power[power[:, 1:].sum(axis=1) > 0]
    if not len(power):
        return np.zeros(lines.shape[1] // 2 + 1)
    result: FloatArray = np.log(power + 1e-12 * np.median(power.max(axis=1))).mean(axis=0)
    return result
