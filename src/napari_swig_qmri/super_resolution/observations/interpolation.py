"""Axes along which images were interpolated, and the samples that they were interpolated from.

Values that were interpolated from coarser samples are linear combinations of these: in a window of w voxels only about
w / ratio + support of them are free. What a candidate of kernel, ratio and place of the samples leaves unexplained is
compared with the same candidate moved by whole voxels. Images that were not interpolated have no such preference, be
they smooth or noisy, whereas interpolated ones leave rounding errors at the right place only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from nibabel.affines import from_matvec
from scipy.interpolate import BSpline
from scipy.ndimage import distance_transform_edt, maximum_filter1d, minimum_filter1d

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid

WINDOW = 28  # voxels, the longest part of a line that is compared with candidates
SHARE_OF_LINE = 0.7  # such a part of the extent of the head, if that is short
SHORTEST_LINE = 12  # voxels
FEWEST_LINES = 30  # in all windows together
MOST_LINES = 4_000  # per window
RATIOS = (1.15, 6.0)  # smallest and largest distance of samples, in voxels
SIMPLE_RATIOS = tuple(Fraction(ratio) for ratio in ("5/4", "4/3", "3/2", "5/3", "2", "5/2", "3", "4", "5", "6"))
FEWEST_FREE = 2  # patterns of a window that a candidate forbids
PREFERENCE = 0.02  # largest share of the residual at other places; above 0.3 on real maps, below 0.001 if interpolated
LEAST_RESIDUAL = 1e-9  # at other places, of the variance; below, nothing can be compared
MOST_OF_OTHERS = 0.5  # largest share of the other images, which may be rounded coarsely; about 1 if measured
SMALLEST_SHARE = 1e-6  # below, differences come from rounding
FEWEST_PATTERNS = 1.3  # independent ones in the residual at other places, which single edges do not have
AS_GOOD = 10.0  # ratio of shares up to which two candidates count as equal
UNKNOWN_WEIGHT = 1e-3  # of the nearest value, taken where there is none
N_ITERATIONS = 12  # of conjugate gradients, where values are missing


@dataclass(frozen=True)
class Kernel:
    """Interpolation by a kernel that is as wide as `support` samples."""

    name: str
    support: int
    weight: Callable[[FloatArray], FloatArray]  # by the distance in samples

    def matrix(self, places: FloatArray, n: int) -> FloatArray:
        """Weights ``(place, n)`` of `n` samples for places in units of samples from the first one."""
        weights: FloatArray = self.weight(np.abs(places[:, None] - np.arange(n)))
        return weights


def _spline(degree: int) -> Callable[[FloatArray], FloatArray]:
    basis = BSpline.basis_element(np.arange(degree + 2) - (degree + 1) / 2, extrapolate=False)
    return lambda distance: np.nan_to_num(basis(distance))


def _convolution(distance: FloatArray) -> FloatArray:
    """Cubic convolution with a = -1/2 (Keys 1981)."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


KERNELS = (
    Kernel("linearly", 2, _spline(1)),
    Kernel("by cubic convolution", 4, _convolution),
    Kernel("by cubic splines", 4, _spline(3)),
)


@dataclass(frozen=True)
class Lattice:
    """Samples along an axis that its voxels were interpolated from."""

    kernel: Kernel
    ratio: float  # distance of the samples in voxels
    first: float  # place of one of the samples in voxels


def find_lattice(data: FloatArray, inside: BoolArray, axis: int) -> Lattice | None:
    """Samples that all images ``(image, x, y, z)`` were interpolated from along an axis; None if there are none.

    Only parts of lines `inside` ``(x, y, z)`` count.
    """
    windows = _windows(data, inside, axis)
    shares = {}
    for lattice in _candidates(inside.shape[axis]) if windows else ():
        if _share(windows[:1], lattice) < PREFERENCE and (share := _share(windows, lattice)) < PREFERENCE:
            shares[lattice] = share
    equal = [lattice for lattice, share in shares.items() if share <= AS_GOOD * min(shares.values())]
    return min(equal, key=lambda lattice: (lattice.kernel.support, -lattice.ratio), default=None)


def at_samples(data: FloatArray, grid: VoxelGrid, axis: int, lattice: Lattice) -> tuple[FloatArray, VoxelGrid]:
    """Images ``(image, x, y, z)`` at the samples they were interpolated from along an axis, and their grid.

    Voxels that are NaN or 0 have no value; samples among them keep this value.
    """
    n, kernel = grid.shape[axis], lattice.kernel
    begin, end = (int(np.floor((edge - lattice.first) / lattice.ratio + 1e-6)) for edge in (-0.5 - 1e-5, n - 0.5))
    extra = kernel.support // 2
    count, first = end - begin, lattice.first + (begin + 1) * lattice.ratio
    weights = kernel.matrix((np.arange(n) - first) / lattice.ratio + extra, count + 2 * extra)
    values = kernel.matrix(np.arange(count) + float(extra), count + 2 * extra)
    nearest = np.clip(np.round(first + lattice.ratio * np.arange(count)).astype(int), 0, n - 1)
    samples = []
    for volume in data:
        known = np.isfinite(volume) & (volume != 0)
        lines = np.moveaxis(_filled(volume, known), axis, -1).astype(float)
        read = _fitted(lines, np.moveaxis(known, axis, -1), weights) @ values.T
        low, high = (end[..., nearest] for end in _range(lines, lattice.ratio))
        read = np.moveaxis(np.clip(read, 2 * low - high, 2 * high - low), -1, axis)  # hardly known at edges of a mask
        samples.append(np.where(np.take(known, nearest, axis), read, np.take(volume, nearest, axis)))
    return np.stack(samples), _at_steps(grid, axis, lattice.ratio, first, count)


def _fitted(lines: FloatArray, known: BoolArray, weights: FloatArray) -> FloatArray:
    """Samples ``(..., m)`` that explain the known values of lines ``(..., n)``, by conjugate gradients.

    Values that are not known have a small weight, so that samples among them are determined.
    """
    solution = lines @ np.linalg.pinv(weights, rcond=1e-4).T
    if known.all():
        return solution
    trust = np.where(known, 1.0, UNKNOWN_WEIGHT)
    residual = (trust * (lines - solution @ weights.T)) @ weights
    direction, size = residual, (residual**2).sum(axis=-1, keepdims=True)
    for _ in range(N_ITERATIONS):
        image = (trust * (direction @ weights.T)) @ weights
        length = size / np.maximum((direction * image).sum(axis=-1, keepdims=True), 1e-300)
        solution = solution + length * direction
        residual = residual - length * image
        before, size = size, (residual**2).sum(axis=-1, keepdims=True)
        direction = residual + size / np.maximum(before, 1e-300) * direction
    return solution


def _range(lines: FloatArray, reach: float) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of lines ``(..., n)`` within `reach` voxels."""
    size = 2 * int(np.ceil(reach)) + 1
    return minimum_filter1d(lines, size, mode="nearest"), maximum_filter1d(lines, size, mode="nearest")


def _filled(volume: FloatArray, known: BoolArray) -> FloatArray:
    """Volume with the nearest known value where there is none."""
    if known.all() or not known.any():
        return np.nan_to_num(volume)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(volume[tuple(nearest)])


def _at_steps(grid: VoxelGrid, axis: int, step: float, first: float, count: int) -> VoxelGrid:
    """Grid with `count` voxels of `step` times the size along an axis, of which the first lies at voxel `first`."""
    steps, offset, shape = np.ones(3), np.zeros(3), list(grid.shape)
    steps[axis], offset[axis], shape[axis] = step, first, count
    return VoxelGrid((shape[0], shape[1], shape[2]), grid.affine @ from_matvec(np.diag(steps), offset))


def _candidates(n: int) -> Iterator[Lattice]:
    """Samples with the field of view or the end voxels of `n` voxels, and those of simple ratios at any place."""
    found = {}
    for m in range(2, n):
        for ratio, first in ((n / m, (n / m - 1) / 2), ((n - 1) / (m - 1), 0.0)):
            found[round(ratio, 6), round(first % ratio, 6)] = ratio, first
    for simple in SIMPLE_RATIOS:
        for first in (0.0, float(simple - 1) / 2):
            for k in range(simple.numerator):
                place = (first + k / simple.denominator) % float(simple)
                found.setdefault((round(float(simple), 6), round(place, 6)), (float(simple), place))
    for ratio, first in found.values():
        if RATIOS[0] <= ratio <= RATIOS[1]:
            yield from (Lattice(kernel, ratio, first) for kernel in KERNELS)


@dataclass(frozen=True)
class _Window:
    """Second moments of the parts of lines that begin at a voxel."""

    start: int
    moments: FloatArray  # (image, w, w)

    def residual(self, lattice: Lattice, moved: int) -> FloatArray:
        """Moments ``(image, k, k)`` of what samples, moved by whole voxels, leave unexplained."""
        kernel, width = lattice.kernel, self.moments.shape[-1]
        places = (self.start - lattice.first - moved + np.arange(width)) / lattice.ratio
        first = np.floor(places[0]) - kernel.support // 2 + 1
        weights = kernel.matrix(places - first, int(np.floor(places[-1]) - first) + kernel.support // 2 + 1)
        weights = weights[:, np.abs(weights).max(axis=0) > 1e-9]
        free = np.linalg.qr(weights, mode="complete")[0][:, weights.shape[1] :]
        residual: FloatArray = free.T @ self.moments @ free
        return residual


def _windows(data: FloatArray, inside: BoolArray, axis: int) -> list[_Window]:
    """Windows along an axis, those with most lines first; none if there are too few lines."""
    where = np.moveaxis(inside, axis, -1).reshape(-1, inside.shape[axis])
    places = np.flatnonzero(where.any(axis=0))
    if len(places) < SHORTEST_LINE:
        return []
    width = int(np.clip(SHARE_OF_LINE * len(places), SHORTEST_LINE, WINDOW))
    lines = np.moveaxis(np.where(inside, data, 0), axis + 1, -1).reshape(len(data), *where.shape)
    found = []
    for start in range(places[0], places[-1] + 2 - width, width // 3):
        whole = np.flatnonzero(where[:, start : start + width].all(axis=1))
        values = lines[:, whole[:: 1 + len(whole) // MOST_LINES], start : start + width].astype(float)
        values -= values.mean(axis=-1, keepdims=True)
        found.append((len(whole), _Window(start, np.einsum("ilv,ilw->ivw", values, values))))
    if sum(count for count, _ in found) < FEWEST_LINES:
        return []
    found = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    return [window for _, window in found]


def _share(windows: Sequence[_Window], lattice: Lattice) -> float:
    """Residual of a candidate, relative to the least of those of the same candidate moved, for the image that shows it.

    Infinite if the images do not have these samples in common, or vary too little.
    """
    here = [window.residual(lattice, 0) for window in windows]
    power = sum(np.trace(window.moments, axis1=1, axis2=2) for window in windows)
    shares = np.zeros(len(power))
    for moved in range(1, int(np.ceil(lattice.ratio - 1e-6))):
        there = [window.residual(lattice, moved) for window in windows]
        if min(len(each[0]) for each in (*here, *there)) < FEWEST_FREE:
            return np.inf
        levels = np.array([np.trace(each, axis1=1, axis2=2) for each in there])
        varies = (power > 0) & (levels.sum(axis=0) > LEAST_RESIDUAL * power)
        squares = np.array([(each**2).sum(axis=(1, 2)) for each in there])
        patterns = (levels**3 / np.maximum(squares, 1e-300)).sum(axis=0) / np.maximum(levels.sum(axis=0), 1e-300)
        n_free = [sum(len(each[0]) for each in group) for group in (here, there)]
        left = sum(np.trace(each, axis1=1, axis2=2) for each in here) / n_free[0]
        share = left / np.maximum(levels.sum(axis=0) / n_free[1], 1e-300)
        shares = np.maximum(shares, np.where(varies & (patterns > FEWEST_PATTERNS), share, np.inf))
        if not shares.min() < PREFERENCE or (shares[power > 0] > MOST_OF_OTHERS).any():
            return np.inf
    return max(SMALLEST_SHARE, float(shares.min()))
