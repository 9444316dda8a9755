"""LR maps that are stored on finer voxels than they were measured with, and the maps at the measured voxel size.

Scanners and their software zero-fill k-space, so that maps of 2 mm are often stored with 1 mm voxels. Their spectrum
then ends at the measured frequencies. Maps without a value outside the head, or cut after zero-filling, have this
limit too, but it is hidden by the edges of what remains: the spectrum is taken from tapered lines inside the head.
Other software interpolates maps between the measured voxels, which are then found as such (`interpolation`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.truncation import truncation_matrix
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid
from napari_swig_qmri.data.wording import joined, size_text
from napari_swig_qmri.super_resolution.observations.interpolation import at_samples, find_lattice
from napari_swig_qmri.super_resolution.observations.spectra import spectra, tapered_spectra

LEAST_DROP = 3.5  # of the logarithm of the power; without a limit at most 2.4 on real maps, with one at least 6
LEAST_RATIO = 1.1  # of the stored frequencies to the measured ones; interpolated maps fall off closer to the end
MOST_RATIO = 6.0
SIMPLE_RATIOS = (5 / 4, 4 / 3, 3 / 2, 8 / 5, 5 / 3, 2.0, 5 / 2, 3.0, 4.0)
RATIO_TOLERANCE = 0.03  # relative, within which a ratio is taken for a simple one
GUIDE_TOLERANCE = 0.05  # of guides, where only the spectrum inside the head is known
TAPER_WIDTH = 1.2  # cycles per field of view
LOWEST_LIMIT = 5.5  # cycles per field of view; the spectrum of smooth maps falls off below
WINDOW = 3  # frequencies before and after a drop that are compared


@dataclass(frozen=True)
class _Limit:
    """Highest measured frequency along one axis, in cycles per stored field of view."""

    frequency: float
    drop: float  # of the logarithm of the power there
    support: int  # number of samples up to this frequency, if the field of view is whole


def at_measured_resolution(maps: QuantitativeMaps) -> tuple[QuantitativeMaps, tuple[str, ...]]:
    """Maps on voxels of the size they were measured with, and a sentence if that is not the size they are stored with.

    Parameters
    ----------
    maps
        Measured LR maps, without a value (NaN or 0) outside the head or everywhere in the field of view.

    Returns
    -------
    maps
        The same maps where all axes were stored as measured. Interpolated axes get the samples back that they were
        interpolated from. Along zero-filled axes k-space is cut to the measured frequencies. Where edges of the head
        or of a cut field of view hide them, the maps, which have no detail finer than the measured voxels, are read
        at the centres of these by quintic splines.
    notices
        One sentence, or none.
    """
    data, between, how = _without_interpolation(maps.data, maps.grid)
    data, grid = _without_zero_filling(data, between)
    if grid is maps.grid:
        return maps, ()
    signs = [f"values between the measured voxels were interpolated {how}"] if how else []
    signs += ["their spectrum ends there"] if grid is not between else []
    notice = (
        f"{joined(maps.titles)} are stored with voxels of {size_text(maps.grid.voxel_size)} mm, but were measured with "
        f"{size_text(grid.voxel_size)} mm: {joined(signs)}. The measured voxels are used."
    )
    return replace(maps, data=data.astype(maps.data.dtype), grid=grid), (notice,)


def _without_interpolation(data: FloatArray, grid: VoxelGrid) -> tuple[FloatArray, VoxelGrid, str]:
    """Maps ``(quantity, x, y, z)`` at the samples they were interpolated from, their grid, and how this was done."""
    inside = _has_all(data)
    lattices = {axis: find_lattice(data, inside, axis) for axis in range(3)}  # before any axis is changed by rounding
    found = {axis: lattice for axis, lattice in lattices.items() if lattice is not None}
    for axis, lattice in found.items():
        data, grid = at_samples(data, grid, axis, lattice)
    return data, grid, joined(dict.fromkeys(each.kernel.name for each in found.values())) if found else ""


def _has_all(data: FloatArray) -> BoolArray:
    """Voxels ``(x, y, z)`` where all maps have a value."""
    return np.asarray(np.isfinite(data).all(axis=0) & (data != 0).all(axis=0))


def _without_zero_filling(data: FloatArray, grid: VoxelGrid) -> tuple[FloatArray, VoxelGrid]:
    """Maps ``(quantity, x, y, z)`` on voxels that hold the frequencies of their spectrum, and their grid."""
    inside, shape, ratios = _has_all(data), list(grid.shape), [1.0, 1.0, 1.0]
    for axis, n in enumerate(grid.shape):
        whole = _limit(spectra(data, axis), n)
        if whole is not None:
            shape[axis] = whole.support
        elif (limit := _limit(tapered_spectra(data, inside, axis), n)) is not None:
            ratios[axis] = _simple(n / (2 * limit.frequency))
    if ratios == [1.0, 1.0, 1.0] and tuple(shape) == grid.shape:
        return data, grid
    if max(ratios) > 1:
        data, grid = _read_at_centres(data, grid, ratios)
        shape = [n if ratio > 1 else kept for n, ratio, kept in zip(grid.shape, ratios, shape, strict=True)]
    for axis, (n, kept) in enumerate(zip(grid.shape, shape, strict=True)):
        if kept < n:
            data = cropped(np.nan_to_num(data, posinf=0, neginf=0), axis, n, kept)
    return data, grid.with_shape((shape[0], shape[1], shape[2]))


def measured_ratio(spectrum: FloatArray | None, n: int, least_drop: float) -> float | None:
    """Ratio of stored to measured frequencies of an image by its tapered spectrum along an axis; None for 1.

    `spectrum` is that of `n` voxels along the axis, None if there is none. Tapering widens spectra by about a
    frequency, which is taken off.
    """
    limit = None if spectrum is None else _drop(spectrum)
    if limit is None or limit.drop < least_drop or limit.frequency < LOWEST_LIMIT:
        return None
    ratio = _simple(n / (2 * (limit.frequency - TAPER_WIDTH)), GUIDE_TOLERANCE)
    return ratio if LEAST_RATIO <= ratio <= MOST_RATIO else None


def _limit(spectra: list[FloatArray], n: int) -> _Limit | None:
    """Limit of the measured frequencies along an axis of `n` voxels, from the map that shows it best; None without."""
    found = [limit for limit in map(_drop, spectra) if limit is not None]
    best = max(found, key=lambda limit: limit.drop, default=None)
    if best is None or best.drop < LEAST_DROP or best.frequency < LOWEST_LIMIT:
        return None
    return best if LEAST_RATIO <= n / (2 * best.frequency) <= MOST_RATIO else None


def _drop(spectrum: FloatArray) -> _Limit | None:
    """Steepest fall of a spectrum beyond the slope before it, and the frequency where it has lost half its power."""
    medians = np.array([np.median(spectrum[m : m + WINDOW]) for m in range(len(spectrum))])
    slopes = np.maximum(medians[: -3 * WINDOW] - medians[WINDOW : -2 * WINDOW], 0)
    drops = medians[WINDOW : -2 * WINDOW] - medians[2 * WINDOW : -WINDOW] - slopes
    if not drops.size:
        return None
    m = int(np.argmax(drops)) + 2 * WINDOW
    start = m - WINDOW
    lost = _level(spectrum, start)[start : m + WINDOW] - spectrum[start : m + WINDOW]
    half = int(np.argmax(lost > np.log(2)))  # 0 if it is lost at once or never
    over = np.interp(np.log(2), lost[half - 1 : half + 1], (-1.0, 0.0)) if half else 0.0
    last = int(np.argmax(np.diff(lost)))
    is_split = lost[last] > np.log(3)  # zero-filling halves the highest frequency of an even number of samples
    return _Limit(
        frequency=start + half + float(over), drop=float(drops.max()), support=2 * (start + last) + (not is_split)
    )


def _level(spectrum: FloatArray, stop: int) -> FloatArray:
    """Spectrum as a power of the frequency, fitted from half of `stop` up to there."""
    frequencies = np.log(np.arange(len(spectrum)).clip(1))
    fitted = slice(max(1, stop // 2), stop + 1)
    level: FloatArray = np.polyval(np.polyfit(frequencies[fitted], spectrum[fitted], 1), frequencies)
    return level


def _simple(ratio: float, tolerance: float = RATIO_TOLERANCE) -> float:
    """Nearest simple ratio, or the ratio itself if there is none nearby."""
    nearest = min(SIMPLE_RATIOS, key=lambda each: abs(np.log(ratio / each)))
    return nearest if abs(ratio / nearest - 1) < tolerance else ratio


def cropped(data: FloatArray, axis: int, n: int, kept: int) -> FloatArray:
    """Maps ``(quantity, x, y, z)`` with k-space cut from `n` to `kept` samples along one axis.

    Zero-filling splits the highest frequency of an even number of samples into two halves; cutting keeps one of them.
    """
    matrix = truncation_matrix(n, kept)
    if kept % 2 == 0:
        signs = np.exp(1j * np.pi * np.arange(kept)).real / np.sqrt(kept)
        matrix = matrix + np.outer(signs, signs @ matrix)
    return np.moveaxis(np.tensordot(matrix, data, axes=(1, axis + 1)), 0, axis + 1)


def _read_at_centres(data: FloatArray, grid: VoxelGrid, ratios: list[float]) -> tuple[FloatArray, VoxelGrid]:
    """Maps at the centres of voxels that are coarser by `ratios`, and their grid; NaN or 0 where most has no value."""
    step = np.asarray(ratios)
    shape = np.maximum(1, (np.asarray(grid.shape) / step + 1e-6).astype(int))
    first = (np.asarray(grid.shape) - shape * step) / 2 + (step - 1) / 2
    affine = grid.affine.astype(float).copy()
    affine[:3, :3] = grid.affine[:3, :3] * step
    affine[:3, 3] = grid.world(first)
    coarse = VoxelGrid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    read = [_read(volume, grid, coarse) for volume in data]
    return np.stack(read), coarse


def _read(volume: FloatArray, grid: VoxelGrid, coarse: VoxelGrid) -> FloatArray:
    inside = np.isfinite(volume) & (volume != 0)
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    values = on_grid(volume[tuple(nearest)], grid, coarse, 5, mode="nearest", decimals=9)
    share = on_grid(inside.astype(np.float32), grid, coarse, mode="nearest", decimals=9)
    return np.where(share > 0.5, values, np.nan if np.isnan(volume).any() else 0.0)
