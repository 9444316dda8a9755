"""Statistics of maps and contrasts in labelled regions, and the agreement of two images over these.

Where labels and image have different grids, a voxel of the image gets the label that is nearest in world coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, value_indices
from scipy.special import stdtrit

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.labels import check_place, labels_on
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.recognition.units import display_unit
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.data.wording import csv_text
from napari_swig_qmri.progress import Progress, mapped
from napari_swig_qmri.synthesis.curves import TissueValues

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.integer[Any]]
    Regions = Mapping[int, IntArray]  # flat voxel indices by label

CONFIDENCE = 0.95
N_DEVIATIONS = 1.96  # standard deviations on each side of the mean difference (Bland and Altman 1986)
SHELL = (1.0, 6.0)  # mm, distances from a region of its surroundings; nearer voxels hold a share of the region
TABLE_COLUMNS = (
    *("label", "image", "unit", "n", "mean", "sd", "median", "ci95_low", "ci95_high", "voxel_standard_error"),
    "notice",
)


@dataclass(frozen=True, kw_only=True)
class RegionStatistics:
    """Statistics of one image in one region, in the displayed unit (ms for relaxation times).

    `interval` is the 95 % confidence interval of the mean by Student's t, for independent voxels. It is too narrow for
    interpolated and super-resolved images, whose voxels are not independent. For the same reason `voxel_error` is that
    of one voxel: the error of the mean is smaller, by an unknown factor.
    """

    label: int
    image: str
    unit: str
    n: int  # voxels with a value
    mean: float
    deviation: float  # of the voxels, n - 1 in the denominator
    median: float
    interval: tuple[float, float]
    voxel_error: float = math.nan  # root mean square of the standard errors of its voxels; NaN without any
    is_synthetic: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class BlandAltman:
    """Agreement of two images over n regions or voxels (Bland and Altman 1986)."""

    means: FloatArray  # (n,), of both images
    differences: FloatArray  # (n,), second image minus first
    bias: float  # mean difference
    limits: tuple[float, float]  # of agreement, bias -+ 1.96 standard deviations


@dataclass(frozen=True, kw_only=True)
class RegionSource:
    """An image to tabulate, which is read when its rows are computed."""

    name: str
    read: Callable[[], Volume]
    read_errors: Callable[[], Volume] | None = None  # standard errors on the same grid and in the same unit, if known
    kind: str = ""  # PD, T1, T2 or a BIDS suffix; empty for a contrast
    is_synthetic: bool = False


def regions_on(labels: Volume, grid: VoxelGrid) -> dict[int, IntArray]:
    """Flat indices of the voxels of each label except 0 on a grid, by the nearest label in world coordinates.

    ValueError if `labels` does not have three axes.
    """
    whole = labels_on(labels, grid)
    (box,) = find_objects((whole != 0).astype(np.uint8)) or (None,)  # the rest of the grid takes no time
    if box is None:
        return {}
    corner = [part.start for part in box]
    regions = sorted(value_indices(np.ascontiguousarray(whole[box]), ignore_value=0).items())
    return {int(label): np.ravel_multi_index(_shifted(index, corner), grid.shape) for label, index in regions}


def mean_tissue(
    maps: QuantitativeMaps,
    where: IntArray,
    name: str,
    *,
    t2star: FloatArray | None = None,
    robust: bool = False,
) -> TissueValues:
    """Mean PD, T1 and T2 over the voxels of a region that have all three.

    Parameters
    ----------
    maps
        PD, T1 and T2, times in s.
    where
        Flat voxel indices of the region.
    name
        Name of the region.
    t2star
        T2* map ``(x, y, z)`` in s, averaged over the same voxels where it has a value.
    robust
        Whether medians replace means.

    Returns
    -------
    TissueValues
        Means; NaN if no voxel has all three values.
    """
    values = np.stack([maps[quantity].ravel()[where] for quantity in ("PD", "T1", "T2")]).astype(float)
    measured = (np.isfinite(values) & (values > 0)).all(axis=0)
    values = values[:, measured]
    if not values.shape[1]:
        return TissueValues(name=name, pd=math.nan, t1=math.nan, t2=math.nan)
    average = np.median if robust else np.mean
    pd, t1, t2 = average(values, axis=1)
    decay = np.empty(0) if t2star is None else t2star.ravel()[where][measured].astype(float)
    decay = decay[np.isfinite(decay) & (decay > 0)]
    known = float(average(decay)) if decay.size else None
    return TissueValues(name=name, pd=float(pd), t1=float(t1), t2=float(t2), t2star=known)


def surroundings(where: IntArray, grid: VoxelGrid) -> IntArray:
    """Flat indices of the voxels between 1 and 6 mm from the nearest voxel of `where`, flat indices too."""
    if not where.size:
        return where
    near, far = SHELL
    index = np.unravel_index(where, grid.shape)
    reach = [math.ceil(far / size) + 1 for size in grid.voxel_size]
    low = [max(0, int(axis.min()) - n) for axis, n in zip(index, reach, strict=True)]
    high = [min(n, int(axis.max()) + r + 1) for axis, r, n in zip(index, reach, grid.shape, strict=True)]
    outside = np.ones(np.subtract(high, low), bool)
    outside[_shifted(index, [-start for start in low])] = False
    distance = distance_transform_edt(outside, sampling=grid.voxel_size)
    return np.ravel_multi_index(_shifted(np.nonzero((distance > near) & (distance <= far)), low), grid.shape)


def statistics(values: FloatArray, **about: Any) -> RegionStatistics:
    """Statistics of the finite values; `about` holds label, image, unit and `is_synthetic` of the result."""
    finite = values[np.isfinite(values)].astype(float)
    n = finite.size
    mean = float(finite.mean()) if n else math.nan
    deviation = float(finite.std(ddof=1)) if n > 1 else math.nan
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n) if n > 1 else math.nan
    return RegionStatistics(
        n=n,
        mean=mean,
        deviation=deviation,
        median=float(np.median(finite)) if n else math.nan,
        interval=(mean - half, mean + half),
        **about,
    )


def tabulate(
    sources: Sequence[RegionSource], labels: Volume
) -> Generator[Progress, None, tuple[RegionStatistics, ...]]:
    """Statistics of every image in every region, sorted by region; images are read one at a time.

    ValueError if no image has a labelled voxel.
    """
    rows: list[RegionStatistics] = []
    grids: list[tuple[VoxelGrid, Regions]] = []
    for index, source in enumerate(sources):
        yield Progress(index / len(sources), f"Reading {source.name}")
        volume = source.read()
        unit, factor = display_unit(volume)
        regions = next((known for grid, known in grids if grid.is_aligned_with(volume.grid)), None)
        if regions is None:
            regions = regions_on(labels, volume.grid)
            grids.append((volume.grid, regions))
        errors = None if source.read_errors is None else factor * source.read_errors().data.ravel()
        flat = volume.data.ravel() if volume.data.ndim == 3 else volume.data.reshape(math.prod(volume.grid.shape), -1)
        for label, where in regions.items():
            values = factor * (flat[where] if flat.ndim == 1 else flat[where, 0])
            error = math.nan if errors is None else root_mean_square(errors[where])
            about = {
                "voxel_error": error,
                "label": label,
                "image": source.name,
                "unit": unit or "",
                "is_synthetic": source.is_synthetic,
            }
            rows.append(statistics(values, **about))
    if not rows:
        for grid, _ in grids:
            check_place(f"the labels {labels.name!r}", labels.grid, grid, "the images", inside=labels.data)
        raise ValueError(f"no label of {labels.name!r} lies in any of the images: choose labels of this subject.")
    return tuple(sorted(rows, key=lambda row: row.label))


def root_mean_square(values: FloatArray) -> float:
    """Root mean square of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)].astype(float)
    return float(np.sqrt(np.mean(finite**2))) if finite.size else math.nan


def expected_difference(rows: Sequence[RegionStatistics], first: str, second: str) -> float:
    """What 95 % of the differences of two images in single voxels should stay below, by their standard errors alone.

    1.96 times the root of the sum of both mean squares over the voxels of all regions; an image without standard errors
    counts as exact. NaN if neither has any.
    """
    squares = []
    for name in (first, second):
        of_image = [row for row in rows if row.image == name and math.isfinite(row.voxel_error)]
        if n := sum(row.n for row in of_image):
            squares.append(sum(row.n * row.voxel_error**2 for row in of_image) / n)
    return N_DEVIATIONS * math.sqrt(sum(squares)) if squares else math.nan


def as_csv(rows: Sequence[RegionStatistics]) -> str:
    """Table of statistics as comma-separated values with a header line."""
    return csv_text([TABLE_COLUMNS, *map(_csv_row, rows)])


def _csv_row(row: RegionStatistics) -> list[object]:
    numbers = (row.mean, row.deviation, row.median, *row.interval, row.voxel_error)
    shown = ["" if math.isnan(number) else Decimal(f"{number:.6g}") for number in numbers]  # numbers, not text
    return [row.label, row.image, row.unit, row.n, *shown, RESEARCH_NOTICE if row.is_synthetic else ""]


def bland_altman(first: FloatArray, second: FloatArray) -> BlandAltman:
    """Agreement of two arrays ``(n,)`` of paired values; pairs with a missing value are left out.

    ValueError if fewer than two pairs remain.
    """
    both = np.isfinite(first) & np.isfinite(second)
    one, other = first[both].astype(float), second[both].astype(float)
    if one.size < 2:
        raise ValueError(
            "two images need at least two regions or voxels in common to be compared: label more, or compare voxels."
        )
    differences = other - one
    bias, spread = float(differences.mean()), N_DEVIATIONS * float(differences.std(ddof=1))
    return BlandAltman(
        means=(one + other) / 2, differences=differences, bias=bias, limits=(bias - spread, bias + spread)
    )


def paired_means(rows: Sequence[RegionStatistics], first: str, second: str) -> tuple[FloatArray, FloatArray]:
    """Means ``(region,)`` of two images in the regions that both have."""
    means = {name: {row.label: row.mean for row in rows if row.image == name} for name in (first, second)}
    shared = [label for label in means[first] if label in means[second]]
    one, other = (np.array([means[name][label] for label in shared]) for name in (first, second))
    return one, other


def paired_voxels(
    first: Volume, second: Volume, labels: Volume
) -> Generator[Progress, None, tuple[FloatArray, FloatArray]]:
    """Values ``(voxel,)`` of two images in the labelled voxels of the coarser one, in the displayed unit.

    The finer image is smoothed and interpolated to these voxels.
    """
    is_first_coarse = math.prod(first.grid.voxel_size) >= math.prod(second.grid.voxel_size)
    coarse, fine = (first, second) if is_first_coarse else (second, first)
    inside = list(regions_on(labels, coarse.grid).values())
    where = np.concatenate(inside) if inside else np.empty(0, int)
    moved = fine.data
    if not coarse.grid.is_aligned_with(fine.grid):
        steps = resampled(moved, has_value(moved), fine.grid, coarse.grid)
        moved, measured = yield from mapped(steps, lambda _: Progress(0.5, "Resampling to one grid"))
        moved = np.where(measured, moved, np.nan)
    one = display_unit(coarse)[1] * coarse.data.ravel()[where]
    other = display_unit(fine)[1] * moved.ravel()[where]
    return (one, other) if is_first_coarse else (other, one)


def _shifted(index: Iterable[IntArray], offset: Iterable[int]) -> tuple[IntArray, ...]:
    """Voxel indices, an array per axis, moved by an offset."""
    return tuple(axis + start for axis, start in zip(index, offset, strict=True))
