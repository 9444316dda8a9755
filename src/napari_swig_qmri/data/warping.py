"""Smooth displacements of the points of a grid, as cubic B-splines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import BSpline

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

DEGREE = 3


@dataclass(frozen=True, eq=False)
class Warp:
    """Displacement of each voxel of a grid: an image there is read from the displaced places."""

    coefficients: FloatArray  # (3, i, j, k), of the splines, in mm along the scanner axes
    bases: tuple[FloatArray, FloatArray, FloatArray]  # of each axis of the grid, (n, i), from `spline_basis`

    def displacement(self, planes: slice = slice(None)) -> FloatArray:
        """Displacement ``(3, n, Y, Z)`` in mm of the voxels in planes of the first axis."""
        x, y, z = self.bases
        places: FloatArray = np.einsum("xi,yj,zk,aijk->axyz", x[planes], y, z, self.coefficients, optimize=True)
        return places


def spline_basis(places: FloatArray, n: int, spacing: float) -> FloatArray:
    """Values of B-splines at places along an axis of `n` voxels, ``(place, spline)``; they sum to 1.

    The knots lie `spacing` voxels apart and centred. Places before and beyond the outer voxels count as these.
    """
    n_intervals = max(1, int(np.ceil((n - 1) / spacing)))
    in_knots = (np.clip(places, 0, n - 1) - (n - 1) / 2) / spacing + n_intervals / 2
    knots = np.arange(-DEGREE, n_intervals + DEGREE + 1, dtype=float)
    return np.asarray(BSpline.design_matrix(np.clip(in_knots, 0, n_intervals), knots, DEGREE).toarray())
