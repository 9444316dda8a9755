"""Implicit shapes: signed distances as functions of world position, and their interpolation onto any grid.

A shape is an array of distances in mm at given positions, negative inside. Smooth fields are computed once on a coarse
lattice and spline_field by cubic B-splines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy.ndimage import spline_filter

from napari_swig_qmri.data.volumes import FloatArray

Point = tuple[float, float, float]
Coordinates = Sequence[FloatArray]  # x, y and z in mm, arrays that broadcast


@dataclass(frozen=True, eq=False)
class Lattice:
    """Regularly spaced sample points of a box in world coordinates."""

    low: Point  # mm
    high: Point  # mm
    spacing: float  # mm

    @property
    def axes(self) -> Coordinates:
        """Sample positions in mm along x, y and z, 1-D each."""
        ends = zip(self.low, self.high, strict=True)
        return [np.arange(low, high + self.spacing, self.spacing, dtype=np.float32) for low, high in ends]

    def bases(self, axes: Coordinates) -> list[FloatArray]:
        """Values of the cubic B-splines ``(position, coefficient)`` along x, y and z, at three axes (1-D, mm)."""
        ends = zip(axes, self.low, self.axes, strict=True)
        return [_basis(positions, low, self.spacing, len(samples)) for positions, low, samples in ends]

    def overlap(self, axes: Coordinates) -> tuple[slice, ...] | None:
        """Index of the part of a grid with three ascending axes (1-D, mm) inside the lattice; None if there is none."""
        first = [int(np.searchsorted(axis, low)) for axis, low in zip(axes, self.low, strict=True)]
        last = [int(np.searchsorted(axis, high, "right")) for axis, high in zip(axes, self.high, strict=True)]
        if any(a >= b for a, b in zip(first, last, strict=True)):
            return None
        return tuple(slice(a, b) for a, b in zip(first, last, strict=True))


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth function of position, given by cubic B-spline coefficients on a lattice."""

    coefficients: FloatArray  # (x, y, z)
    lattice: Lattice

    def __call__(self, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
        """Values on the grid of the positions ``x``, ``y`` and ``z`` (1-D each), in mm."""
        return self.on(self.lattice.bases((x, y, z)))

    def on(self, bases: Sequence[FloatArray]) -> FloatArray:
        """Values ``(x, y, z)`` at the positions of `Lattice.bases`, which fields of one lattice share."""
        basis_x, basis_y, basis_z = bases
        n, *others = self.coefficients.shape
        planes = (basis_x @ self.coefficients.reshape(n, -1)).reshape(len(basis_x), *others)
        values: FloatArray = (basis_y @ planes) @ basis_z.T
        return values


def _basis(positions: FloatArray, low: float, spacing: float, n: int) -> FloatArray:
    """Values of `n` cubic B-splines ``(position, coefficient)``; positions outside the lattice move to its edge."""
    t = np.clip((positions - low) / spacing, 0, n - 1)
    index = np.minimum(t.astype(int), n - 2) + np.arange(-1, 3)[:, None]
    distance = np.abs(t - index)
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = (2 - np.minimum(distance, 2)) ** 3 / 6
    index = np.abs(index)
    index = np.minimum(index, 2 * (n - 1) - index)  # mirrored at both ends
    weights = np.zeros((len(t), n), np.float32)
    for each, weight in zip(index, np.where(distance < 1, inner, outer), strict=True):
        weights[np.arange(len(t)), each] += weight
    return weights


def spline_field(values: FloatArray, lattice: Lattice) -> Field:
    """Field that interpolates values ``(x, y, z)`` on a lattice."""
    return Field(spline_filter(values, order=3, output=np.float32, mode="mirror"), lattice)


def ellipsoid(p: Coordinates, centre: Point, radii: Point) -> FloatArray:
    """Approximate signed distance to an ellipsoid with axes along x, y and z, exact for a sphere; all in mm."""
    scaled = [(c - o) / r for c, o, r in zip(p, centre, radii, strict=True)]
    floor = 1e-3  # at the centre, where radius and slope are 0, the distance is minus the smallest radius
    radius = np.maximum(np.sqrt(sum(s**2 for s in scaled)), floor)
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    result: FloatArray = radius * (radius - 1) / np.maximum(slope, floor / min(radii))
    return result


def tube(p: Coordinates, knots: Sequence[tuple[float, float, float, float]], flatness: Point = (1, 1, 1)) -> FloatArray:
    """Signed distance to a chain of tapering capsules with knots (x, y, z, radius) in mm.

    A `flatness` above 1 stretches the cross-section along that axis.
    """
    parts: list[FloatArray] = []
    for start, end in pairwise(knots):
        a, b = ([k / f for k, f in zip(knot[:3], flatness, strict=True)] for knot in (start, end))
        axis = [v - u for u, v in zip(a, b, strict=True)]
        offset = [c / f - u for c, f, u in zip(p, flatness, a, strict=True)]
        along = sum(o * d for o, d in zip(offset, axis, strict=True)) / sum(d * d for d in axis)
        along = np.clip(along, 0, 1)
        distance = np.sqrt(sum((o - along * d) ** 2 for o, d in zip(offset, axis, strict=True)))
        parts.append(distance - (start[3] + along * (end[3] - start[3])))
    return reduce(np.minimum, parts)


def smooth_min(a: FloatArray, b: FloatArray, width: float) -> FloatArray:
    """Minimum of two distances, smoothed over `width` mm so that a union of shapes has no crease."""
    h = np.maximum(width - np.abs(a - b), 0) / width
    return np.minimum(a, b) - h * h * width / 4


def waves(p: Coordinates, wavelength: float, generator: np.random.Generator, count: int = 40) -> FloatArray:
    """Random field of unit variance, a sum of `count` plane waves within 15 % of a wavelength in mm."""
    direction = generator.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    k = (2 * np.pi / wavelength * generator.uniform(0.85, 1.15, (count, 1)) * direction).astype(np.float32)
    phase = generator.uniform(0, 2 * np.pi, count).astype(np.float32)
    if all(c.ndim == 3 and c.size == c.shape[axis] for axis, c in enumerate(p)):  # on a grid, a wave is a product
        x, y, z = (np.exp(1j * np.outer(c.ravel(), along)) for c, along in zip(p, k.T, strict=True))
        planes = x[:, None] * (y * np.exp(1j * phase))
        total = (planes @ z.T).real.astype(np.float32)
    else:
        total = np.zeros(np.broadcast_shapes(*(c.shape for c in p)), np.float32)
        for (kx, ky, kz), shift in zip(k, phase, strict=True):
            total += np.cos(kx * p[0] + ky * p[1] + kz * p[2] + shift)
    result: FloatArray = total * np.sqrt(2 / count, dtype=np.float32)
    return result
