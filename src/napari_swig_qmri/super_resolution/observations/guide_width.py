"""Width of the blur of a guide along an axis, from an image on the LR grid that it should look like.

The guide is sharpened by a Gaussian until it looks like that image. In this direction noise of LR maps does not
count as blur, and noise of the guide speaks against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dct, idct
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.optimize import minimize_scalar

from napari_swig_qmri.data.blur import gaussian_response
from napari_swig_qmri.data.volumes import BoolArray, FloatArray

ACROSS = 0.8  # LR voxels; standard deviation of the average across the axis, which removes noise
REACH = 4  # voxels of that average to each side
SURROUNDINGS = 2.0  # LR voxels; differences from an average along the axis are compared, whatever gain and field
RESIDUAL_SCALE = 0.02  # of the level, above which residuals count linearly
WIDTHS = (-1.0, 2.0)  # LR voxels; range of the width, negative ones for guides that are too sharp
OPTIONS = {"maxiter": 14, "xatol": 0.015}


@dataclass(frozen=True)
class Width:
    """Full width at half maximum, and the share of the misfit that it explains."""

    fwhm: float  # LR voxels; negative if the guide is sharper than expected
    gain: float


def fitted_width(expected: FloatArray, measured: FloatArray, where: BoolArray, axis: int) -> Width:
    """Width of the blur along an axis of `measured` beside `expected`, both ``(x, y, z)`` on the LR grid.

    The voxels `where` are compared, which must not be empty.
    """
    near = _lines_near(where, axis)
    expected, measured, where = expected[near], measured[near], where[near]
    across = [0.0 if each == axis else ACROSS for each in range(3)]
    expected, measured = (gaussian_filter(image, across, mode="nearest") for image in (expected, measured))
    spectrum = dct(measured, axis=axis, norm="ortho")
    detail = _detail(expected, axis)[where]
    scale = RESIDUAL_SCALE * float(np.median(np.abs(expected[where])))
    shape = [-1 if each == axis else 1 for each in range(3)]

    def misfit(fwhm: float) -> float:
        response = gaussian_response(measured.shape[axis], abs(fwhm)) ** np.sign(fwhm)
        sharpened = idct(spectrum / response.reshape(shape), axis=axis, norm="ortho")
        residual = (detail - _detail(sharpened, axis)[where]) / scale
        return float((np.sqrt(1 + residual**2) - 1).mean())

    found = minimize_scalar(misfit, bounds=WIDTHS, method="bounded", options=OPTIONS)
    return Width(float(found.x), 1 - float(found.fun) / max(misfit(0.0), 1e-12))


def _lines_near(where: BoolArray, axis: int) -> tuple[slice, ...]:
    """Lines along an axis that the average across it brings to some voxels."""
    near = []
    for each in range(3):
        places = np.flatnonzero(where.any(axis=tuple(other for other in range(3) if other != each)))
        box = slice(max(0, int(places[0]) - REACH), int(places[-1]) + REACH + 1)
        near.append(slice(None) if each == axis else box)
    return tuple(near)


def _detail(image: FloatArray, axis: int) -> FloatArray:
    return np.asarray(image - gaussian_filter1d(image, SURROUNDINGS, axis=axis, mode="nearest"))
