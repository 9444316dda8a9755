"""Gaussian blur and limits of k-space, as linear operators between images of the same voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.fft import dct

from napari_swig_qmri.data.truncation import SeparableOperator

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid

FWHM = math.sqrt(8 * math.log(2))  # full width at half maximum of a Gaussian, in standard deviations


def gaussian_blur(grid: VoxelGrid, fwhm: Sequence[float], dtype: torch.dtype = torch.float32) -> SeparableOperator:
    """Blur by a Gaussian with these full widths at half maximum, one per axis in mm.

    Images are continued by their mirror image. The operator is symmetric; constants stay constant, and content keeps
    its place.
    """
    x, y, z = (
        torch.as_tensor(_matrix(gaussian_response(n, width / edge)), dtype=dtype)
        for n, width, edge in zip(grid.shape, fwhm, grid.voxel_size, strict=True)
    )
    return SeparableOperator((x, y, z))


def band_limit(grid: VoxelGrid, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> SeparableOperator:
    """Zero-filling of a k-space with `shape` samples, for images that are continued by their mirror image."""
    x, y, z = (
        torch.as_tensor(_matrix(_limited(n, kept)), dtype=dtype) for n, kept in zip(grid.shape, shape, strict=True)
    )
    return SeparableOperator((x, y, z))


def _limited(n: int, kept: int) -> FloatArray:
    """Factors ``(n,)`` that fall from 1 to 0 around the highest of `kept` frequencies, which the mirror image blurs."""
    if kept >= n:
        return np.ones(n)
    return np.clip(0.5 - (np.arange(n) - kept) / 4, 0, 1)


def gaussian_response(n: int, fwhm: float) -> FloatArray:
    """Factors ``(n,)`` on the cosine transform of `n` samples that blur by a Gaussian, `fwhm` in samples."""
    frequencies = np.pi * np.arange(n) / n  # in radians per sample
    return np.asarray(np.exp(-((frequencies * fwhm / FWHM) ** 2) / 2))


def _matrix(response: FloatArray) -> FloatArray:
    waves = dct(np.eye(len(response)), axis=0, norm="ortho")
    return np.asarray(waves.T @ (response[:, None] * waves))
