"""What was done to LR maps beside truncation of k-space: windows, smoothing, averages over voxels or slices.

Smoothed maps look like those of another anatomy to a method that expects truncated ones. What was done is fitted along
each axis, given HR maps that follow the guides rather than the LR maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar

from napari_swig_qmri.data.averages import THICK, averaging_matrix
from napari_swig_qmri.data.truncation import contract_axis, truncation_matrix, truncation_waves
from napari_swig_qmri.data.wording import joined

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray

Axis = tuple[int, int, float, float]  # HR voxels, LR voxels, their edge and their first centre in HR voxels
Read = Callable[["FloatArray"], "FloatArray"]

RESIDUAL_SCALE = 0.02  # relative residual above which residuals count linearly
MOST_LINES = 400  # along an axis
LEAST_DEPTH = 0.35  # share of the highest frequency that is lost; up to 0.3 was found where nothing had been done
DELAYS = (1.5, 0.08)  # s, of the signals that T1 and T2 follow from
SHARES = (1e-4, 0.9999)  # range of signals relative to PD
N_ROUNDS = 2  # over the axes
N_EVALUATIONS = 35
GAUSSIANS = (0.0, 6.0)  # range of the exponent at the highest frequency
STARTS = ((0.3, 0.0), (0.9, 0.0), (0.7, 0.5))  # depth of a window, and its start relative to the highest frequency
PROBES = ((0.35, 0.0), (0.35, 0.5), (0.9, 0.0), (0.9, 0.5))  # windows of which one must help before others are tried
PROBED_GAIN = 0.03  # share of the misfit that it must remove
FIRST_STEPS = ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1))  # of the search from there


LEAST_SHARPENED = 0.3  # share that is left of a frequency, below which little of it is brought back


@dataclass(frozen=True, eq=False)
class Response:
    """What was done along one axis."""

    matrix: FloatArray  # (n_lr, n_hr)
    words: str
    is_average: bool = False  # over voxels, which takes less from high frequencies and does not ring


def fitted_responses(
    hr_maps: FloatArray, lr_maps: FloatArray, head: BoolArray, axes: Sequence[Axis], least_gain: float
) -> tuple[Response | None, ...]:
    """What was done to LR maps, or to the signals they were fitted to, beside truncation along each axis.

    Parameters
    ----------
    hr_maps
        ``(3, X, Y, Z)``, not smoothed.
    lr_maps
        ``(3, x, y, z)``.
    head
        Voxels ``(x, y, z)`` that are compared.
    axes
        Voxels along each axis.
    least_gain
        Share of the misfit that a response must remove.

    Returns
    -------
    One response per axis, None for nothing.
    """
    windows = [_Windowed(axis) for axis in axes]

    def fitted(volumes: FloatArray, read: Read) -> tuple[tuple[Response | None, ...], float]:
        return _fitted(volumes, read, lr_maps, head, windows, least_gain)

    responses, _ = min(fitted(hr_maps, np.asarray), fitted(_signals(hr_maps), _maps), key=lambda each: each[1])
    return responses


def _fitted(
    volumes: FloatArray,
    read: Read,
    lr_maps: FloatArray,
    head: BoolArray,
    windows: Sequence[_Windowed],
    least_gain: float,
) -> tuple[tuple[Response | None, ...], float]:
    """Responses along all axes, and the misfit, if LR maps are read from `volumes` after truncation."""
    matrices = [truncation_matrix(*windowed.axis) for windowed in windows]
    found: list[Response | None] = [None, None, None]
    left = np.inf
    for _ in range(N_ROUNDS):
        for axis, windowed in enumerate(windows):
            misfit = _Misfit.along(axis, volumes, lr_maps, head, matrices, read)
            found[axis] = response = _best(misfit, windowed, least_gain) if windowed.axis[2] >= THICK else None
            matrices[axis] = truncation_matrix(*windowed.axis) if response is None else response.matrix
            left = misfit(matrices[axis])
    return tuple(found), left


def _signals(maps: FloatArray) -> FloatArray:
    """Three signals ``(3, ...)`` that determine maps ``(3, ...)`` and are averaged in their place by most scans."""
    pd, t1, t2 = maps
    decays = (np.exp(-delay / np.maximum(time, 1e-3)) for delay, time in zip(DELAYS, (t1, t2), strict=True))
    return np.stack([pd, *(pd * decay for decay in decays)])


def _maps(signals: FloatArray) -> FloatArray:
    """Maps ``(3, ...)`` of signals as of `_signals`."""
    shares = np.clip(signals[1:] / np.maximum(signals[0], 1e-3), *SHARES)
    delays = np.array(DELAYS, signals.dtype).reshape(2, *[1] * (signals.ndim - 1))
    return np.concatenate([signals[:1], -delays / np.log(shares)])


def sharpening_matrix(response: FloatArray, truncation: FloatArray) -> FloatArray:
    """Matrix ``(n_lr, n_lr)`` that brings LR values of a response near those of truncation alone.

    A Wiener filter for HR images without structure: a frequency of which the share w is left is multiplied by
    w / (w^2 + 0.3^2), and constants stay constant.

    Parameters
    ----------
    response, truncation
        Matrices ``(n_lr, n_hr)`` along one axis.
    """
    noise = (LEAST_SHARPENED * np.linalg.norm(truncation, 2)) ** 2
    matrix = np.linalg.solve(response @ response.T + noise * np.eye(len(response)), response @ truncation.T).T
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def in_words(responses: Sequence[Response | None], directions: Sequence[str]) -> str:
    """Sentence on what was done along axes with these directions."""
    done: dict[str, list[str]] = {}
    for response, direction in zip(responses, directions, strict=True):
        if response is not None:
            done.setdefault(response.words, []).append(f"from {direction}")
    ways = joined([f"{words} {joined(along)}" for words, along in done.items()])
    return f"The low-resolution maps are not only truncated: {ways}. The result takes this into account."


@dataclass(frozen=True, eq=False)
class _Misfit:
    """Misfit of LR maps along lines of one axis, as a function of the matrix along it."""

    hr_lines: FloatArray  # (3 * line, n_hr), with the matrices of the other axes applied
    places: npt.NDArray[np.intp]  # (3, n), flat places in (3 * line, n_lr) of voxels that are compared
    measured: FloatArray  # (3, n)
    read: Read  # maps from the volumes

    @classmethod
    def along(
        cls,
        axis: int,
        volumes: FloatArray,
        lr_maps: FloatArray,
        head: BoolArray,
        matrices: Sequence[FloatArray],
        read: Read,
    ) -> _Misfit:
        """Misfit along the lines of an axis that hold most of the head."""
        for other, matrix in enumerate(matrices):
            if other != axis:
                rows = head.any(axis=tuple(each for each in range(3) if each != other))
                volumes = contract_axis(torch.as_tensor(volumes), torch.as_tensor(matrix[rows]), other).numpy()
                head, lr_maps = np.compress(rows, head, other), np.compress(rows, lr_maps, other + 1)
        counts = np.moveaxis(head, axis, -1).reshape(-1, head.shape[axis])
        lines = np.argsort(-counts.sum(axis=1), kind="stable")[: 2 * MOST_LINES : 2]
        hr_lines, lr_lines = (
            np.moveaxis(maps, axis + 1, -1).reshape(3, -1, maps.shape[axis + 1])[:, lines]
            for maps in (volumes, lr_maps)
        )
        places = np.flatnonzero(counts[lines]) + np.arange(3)[:, None] * counts[lines].size
        measured = lr_lines.reshape(-1)[places]
        measured = np.where(np.abs(measured) > 1e-3, measured, 1e-3)
        flat = hr_lines.reshape(-1, hr_lines.shape[-1]).astype(np.float32)
        plain = cls(flat, places, measured.astype(np.float32), read)
        levels = np.median(plain.ratios(matrices[axis]), axis=1, keepdims=True)  # errors of gains are no smoothing
        return replace(plain, measured=plain.measured * levels)

    def __call__(self, matrix: FloatArray) -> float:
        """Mean of a robust function of the relative residuals."""
        residual = (self.ratios(matrix) - 1) / np.float32(RESIDUAL_SCALE)
        return float((np.sqrt(1 + residual**2) - 1).mean())

    def ratios(self, matrix: FloatArray) -> FloatArray:
        """Expected relative to measured values, ``(3, n)``."""
        expected = self.hr_lines @ matrix.T.astype(np.float32)
        return np.asarray(self.read(np.take(expected, self.places)) / self.measured)


def _best(misfit: _Misfit, windowed: _Windowed, least_gain: float) -> Response | None:
    """Response with the smallest misfit; None if it is not better than truncation by `least_gain`."""
    axis = windowed.axis
    plain = misfit(truncation_matrix(*axis))
    probes = [averaging_matrix(*axis), *(windowed(_cosine(windowed.frequencies, *each)) for each in PROBES)]
    if min(misfit(matrix) for matrix in probes) > (1 - PROBED_GAIN) * plain:
        return None
    value, response = min(
        (_average(misfit, axis), _gaussian(misfit, windowed), _window(misfit, windowed)), key=lambda each: each[0]
    )
    return response if value < (1 - least_gain) * plain else None


@dataclass(frozen=True, eq=False)
class _Windowed:
    """Truncation with windows of k-space along an axis."""

    axis: Axis

    @cached_property
    def _waves(self) -> tuple[FloatArray, FloatArray]:
        """Waves ``(n_lr, n_hr, frequency)`` and their frequencies."""
        waves, frequencies = truncation_waves(*self.axis)
        return waves / self.axis[0], frequencies

    @property
    def frequencies(self) -> FloatArray:
        """Frequencies relative to the highest one."""
        return self._waves[1]

    def __call__(self, window: FloatArray) -> FloatArray:
        """Matrix ``(n_lr, n_hr)`` with a weight for each frequency."""
        return np.asarray(self._waves[0] @ window)


def _average(misfit: _Misfit, axis: Axis) -> tuple[float, Response]:
    """Averages over LR voxels, and their misfit."""
    matrix = averaging_matrix(*axis)
    return misfit(matrix), Response(matrix, "their voxels are averages", is_average=True)


def _gaussian(misfit: _Misfit, windowed: _Windowed) -> tuple[float, Response]:
    """Best Gaussian, and its misfit."""

    def matrix(exponent: float) -> FloatArray:
        return windowed(np.exp(-exponent * windowed.frequencies**2))

    options = {"maxiter": 12}
    found = minimize_scalar(lambda each: misfit(matrix(each)), bounds=GAUSSIANS, method="bounded", options=options)
    width = 4 * np.sqrt(np.log(2) * found.x) / np.pi  # full width at half maximum in LR voxels
    value = float(found.fun) if np.exp(-found.x) < 1 - LEAST_DEPTH else np.inf
    return value, Response(matrix(found.x), f"they were smoothed by {width:.1f} of their voxels (FWHM)")


def _window(misfit: _Misfit, windowed: _Windowed) -> tuple[float, Response]:
    """Best window that falls as a cosine from 1 to 1 - depth at the highest frequency, and its misfit."""

    def matrix(depth: float, start: float) -> FloatArray:
        return windowed(_cosine(windowed.frequencies, depth, start))

    def cost(values: FloatArray) -> float:
        inside = np.clip(values, 0, (1.0, 0.9))
        return misfit(matrix(*inside)) + float(np.abs(values - inside).sum())

    tries = []
    for first in STARTS:
        options = {"initial_simplex": np.add(first, FIRST_STEPS), "maxfev": N_EVALUATIONS}
        tries.append(minimize(cost, first, method="Nelder-Mead", options=options))
    found = min(tries, key=lambda each: float(each.fun))
    depth, start = np.clip(found.x, 0, (1.0, 0.9))
    value = float(found.fun) if depth > LEAST_DEPTH else np.inf
    return value, Response(matrix(depth, start), f"a window leaves {1 - depth:.0%} of their highest frequency")


def _cosine(frequencies: FloatArray, depth: float, start: float) -> FloatArray:
    """Window that falls from 1 to 1 - depth between `start` and the highest frequency."""
    place = np.clip((frequencies - start) / (1 - start), 0, 1)
    return np.asarray(1 - depth * (1 - np.cos(np.pi * place)) / 2)
