"""Guides with thick slices, brought to the voxels of a finer guide whose detail follows theirs.

A coarse guide is an average over its slices. Its logarithm is regressed locally on that of the finer guide, averaged
over the same slices; the relation then gives an image on fine voxels, which is corrected until its averages are the
measured values.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid, WeightedImage

COARSE = 1.25  # ratio of voxel edges above which a guide is coarse
AS_FINE = 1.1  # ratio of voxel edges up to which another guide counts as equally fine
FLOOR = 0.03  # of the median; lowest value whose logarithm is taken
WINDOW = (1.0, 0.7)  # standard deviation of the local regression: at least in mm, and in voxels of the coarse guide
RIDGE = 2e-3  # added to the local variance of the logarithm
N_CORRECTIONS = 3
LARGEST_CORRECTION = 2.0  # factor


def sharpened_guides(
    guides: Sequence[WeightedImage], hr_grid: VoxelGrid
) -> Generator[None, None, tuple[WeightedImage, ...]]:
    """Guides with those replaced that are coarser than the HR grid, where a finer guide exists.

    Images with negative values by their nature (MP2RAGE UNI, phase-sensitive inversion recovery) are left alone.
    """
    result = []
    for guide in guides:
        yield
        fine_grid = _fine_grid(guide.grid, hr_grid)
        partner = None if fine_grid is None or _is_signed(guide) else _partner(guide, fine_grid, guides)
        if fine_grid is None or partner is None:
            result.append(guide)
            continue
        result.append((yield from _sharpened(guide, partner, fine_grid)))
    return tuple(result)


def _is_signed(guide: WeightedImage) -> bool:
    return guide.sequence is not None and guide.sequence.is_signed


def edges_along(grid: VoxelGrid, axes: VoxelGrid) -> FloatArray:
    """Voxel edges ``(3,)`` in mm of a grid along the nearest axes of another one."""
    directions = np.abs(np.linalg.inv(axes.affine[:3, :3] / axes.voxel_size) @ grid.affine[:3, :3] / grid.voxel_size)
    edges: FloatArray = np.asarray(grid.voxel_size)[directions.argmax(axis=1)]
    return edges


def _fine_grid(grid: VoxelGrid, hr_grid: VoxelGrid) -> VoxelGrid | None:
    """Grid of a coarse guide divided to the voxels of the HR grid along its coarse axes; None if it has none."""
    ratios = np.asarray(grid.voxel_size) / edges_along(hr_grid, grid)
    factors = np.where(ratios >= COARSE, ratios.round().astype(int), 1)
    x, y, z = (np.array(grid.shape) * factors).tolist()
    return grid.with_shape((x, y, z)) if factors.max() > 1 else None


def _partner(guide: WeightedImage, fine_grid: VoxelGrid, guides: Sequence[WeightedImage]) -> WeightedImage | None:
    """Guide with the smallest voxels of those that are as fine as `fine_grid` along every axis; None without one."""
    fitting = [
        other
        for other in guides
        if other is not guide
        and not _is_signed(other)
        and (edges_along(other.grid, fine_grid) <= AS_FINE * np.asarray(fine_grid.voxel_size)).all()
    ]
    return min(fitting, key=lambda other: float(np.prod(other.grid.voxel_size)), default=None)


def _sharpened(
    guide: WeightedImage, partner: WeightedImage, fine_grid: VoxelGrid
) -> Generator[None, None, WeightedImage]:
    """The guide on `fine_grid`, with its own values where the partner was not measured."""
    fine, fine_seen = yield from resampled(partner.data, has_value(partner.data), partner.grid, fine_grid)
    average = _Average.between(fine_grid, guide.grid)
    seen = has_value(guide.data)
    measured = np.where(seen, guide.data, 0)
    floor = FLOOR * float(np.median(measured[seen]))
    fine = np.maximum(fine, FLOOR * float(np.median(fine[fine_seen])) if fine_seen.any() else 1.0)
    yield
    weight = seen & (average(fine_seen.astype(float)) > 0.5)
    slope, intercept = _relation(
        np.log(np.maximum(average(fine), 1e-12)), np.log(np.maximum(measured, floor)), weight, guide.grid
    )
    yield
    sharp = np.exp(average.interpolated(intercept) + average.interpolated(slope) * np.log(fine))
    for _ in range(N_CORRECTIONS):
        yield
        ratio = np.where(weight, np.maximum(measured, floor) / average(sharp), 1.0)
        ratio = np.clip(ratio, 1 / LARGEST_CORRECTION, LARGEST_CORRECTION)
        sharp = sharp * np.exp(average.interpolated(np.log(ratio)))
    sharp = np.where(average.repeated(weight.astype(float)) > 0, sharp, average.repeated(measured))
    return replace(guide, data=sharp.astype(np.float32), grid=fine_grid)


def _relation(x: FloatArray, y: FloatArray, weight: BoolArray, grid: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept of the local regression of `y` on `x` over the voxels `weight`, all ``(x, y, z)``."""
    least, voxels = WINDOW
    sigma = [max(least / size, voxels) for size in grid.voxel_size]
    share = gaussian_filter(weight.astype(float), sigma) + 1e-6

    def mean(values: FloatArray) -> FloatArray:
        averaged: FloatArray = gaussian_filter(np.where(weight, values, 0), sigma) / share
        return averaged

    mean_x, mean_y = mean(x), mean(y)
    slope = (mean(x * y) - mean_x * mean_y) / (np.maximum(mean(x * x) - mean_x**2, 0) + RIDGE)
    return slope, mean_y - slope * mean_x


class _Average:
    """Averages of fine voxels over the coarse voxels that contain them, whole numbers of them along each axis."""

    def __init__(self, factors: tuple[int, int, int]) -> None:
        self._factors = factors

    @classmethod
    def between(cls, fine: VoxelGrid, coarse: VoxelGrid) -> _Average:
        x, y, z = (n // m for n, m in zip(fine.shape, coarse.shape, strict=True))
        return cls((x, y, z))

    def __call__(self, image: FloatArray) -> FloatArray:
        """Averages ``(x, y, z)`` of an image ``(X, Y, Z)``."""
        split = [size for n, factor in zip(image.shape, self._factors, strict=True) for size in (n // factor, factor)]
        averages: FloatArray = image.reshape(split).mean(axis=(1, 3, 5))
        return averages

    def repeated(self, image: FloatArray) -> FloatArray:
        """Each value in all fine voxels of its coarse voxel."""
        for axis, factor in enumerate(self._factors):
            image = np.repeat(image, factor, axis)
        return image

    def interpolated(self, image: FloatArray) -> FloatArray:
        """Image ``(X, Y, Z)`` that is linear between the centres of coarse voxels and constant beyond them."""
        between: FloatArray = zoom(image, self._factors, order=1, mode="nearest", grid_mode=True)
        return between
