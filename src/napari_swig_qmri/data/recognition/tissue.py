"""Values of tissue in an image, without air, masked background and limits of a fit; and what they look like."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_otsu

from napari_swig_qmri.data.volumes import BoolArray, FloatArray

_SAMPLE = 200_000  # voxels that are looked at
_APART = 8.0  # ratio of the medians from which two classes of values are air and tissue
_COMMON = 0.2  # fraction of equal values from which they are a background or limit, not tissue
_LEVELS = 8  # images of fewer values are labels or made by hand, where any value may be tissue
_AIR = 0.05  # values below this fraction of the median over tissue are air
_GREY = 20  # levels; masks and probabilities in steps have fewer
_FEW = 50  # voxels; fewer cannot be judged by their distribution
_FILL_BELOW = -5.0  # medians of tissue; lower values are no signal, not even one with its sign
_FLUID_OF_T2W, _FLUID_OF_T2 = 3.5, 4.2  # 99.5th percentile in medians: most of a T2w, least of a T2 map; open between
_MEDIANS = {  # quantity: unit -> range of the median over a head
    "T1": {"s": (0.5, 2.4), "ms": (500, 2400)},
    "T2": {"s": (0.03, 0.16), "ms": (30, 160)},
    "PD": {"arbitrary": (0.4, 1.05), "percent": (40, 105)},
}


def tissue_values(values: FloatArray | None) -> FloatArray:
    """Sample of the positive values of tissue, in no order; empty if there are none.

    Looks at the central half of the field of view along every axis, which is mostly head. Leaves out a value that a
    fifth of these voxels share (masked background, or the limit of a fit), and the smaller class if the logarithms of
    the others fall into two that are far apart (air, or overshoot around zero).

    Parameters
    ----------
    values
        Image of any shape; axes after the third hold further volumes.
    """
    return np.empty(0) if values is None else _larger_class(_head(values))


def _head(values: FloatArray) -> FloatArray:
    """Positive values in the central half of the field of view, without a value that many voxels share."""
    centre = _positive(values[tuple(slice(n // 4, n - n // 4) for n in values.shape[:3])])
    sample = centre if centre.size >= _FEW else _positive(values)
    levels, counts = np.unique(sample, return_counts=True)
    is_common = (
        levels.size > _LEVELS and counts.max() > _COMMON * sample.size and counts.argmax() in (0, levels.size - 1)
    )
    return sample[sample != levels[counts.argmax()]] if is_common else sample


def median(values: FloatArray | None) -> float | None:
    """Median of the values of tissue; None if there are none."""
    sample = tissue_values(values)
    return float(np.median(sample)) if sample.size else None


def is_fill(values: FloatArray, largest: float) -> BoolArray:
    """Where an image holds a number that stands for no value, such as -9999 or 1e30.

    These are finite, and above `largest` medians of tissue or far below 0.
    """
    middle = median(values)
    if not middle:
        return np.zeros(values.shape, dtype=bool)
    return np.isfinite(values) & ((values > largest * middle) | (values < _FILL_BELOW * middle))


def unit_of_map(quantity: str, values: FloatArray | None) -> tuple[str | None, bool]:
    """Unit in which values are distributed as in a map of PD, T1 or T2 of a head, and whether that is clear.

    None if they are so in no unit. In maps of T1 and T2, fluid is several times the median and little is far below it;
    in a T1w fluid is dark, and in a T2w at most four times as bright as the median. Grey values of scanners are whole
    numbers far from those of PD.
    """
    tissue = tissue_values(values)
    if values is None or quantity not in _MEDIANS or tissue.size < _FEW or np.unique(tissue[:5000]).size < 3:
        return None, True
    head = _head(values)
    head = head[head > _AIR * np.median(tissue)]
    lowest, lower, upper = np.percentile(head, (2, 25, 99.5)) / np.median(head)
    unit = next((unit for unit, (low, high) in _MEDIANS[quantity].items() if low <= np.median(head) <= high), None)
    is_whole = bool((head[:5000] % 1 == 0).all())
    if unit is None or (is_whole and unit in ("s", "arbitrary")):
        return None, True
    if quantity == "T1":
        return unit if upper > 2.7 or (upper > 1.8 and lowest > 0.4) else None, True
    if quantity == "PD":
        return unit if lower > 0.65 and upper < 1.7 else None, True
    return unit if lower > 0.65 and upper > _FLUID_OF_T2 else None, not _FLUID_OF_T2W < upper < _FLUID_OF_T2


def is_binary(values: FloatArray) -> bool:
    """Whether all values are 0 or 1, and some are 1."""
    sample = values.ravel()[:: max(1, values.size // 100_000)]
    return bool(np.isin(sample, (0, 1)).all() and np.any(sample == 1) and np.isin(values, (0, 1)).all())


def is_grey(values: FloatArray | None) -> bool:
    """Whether values are many, as in an image and unlike in a mask."""
    return values is not None and np.unique(_positive(values)).size > _GREY


def _positive(values: FloatArray) -> FloatArray:
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    positive: FloatArray = sample[np.isfinite(sample) & (sample > 0)]
    return positive


def _larger_class(sample: FloatArray) -> FloatArray:
    """The larger of two classes of positive values if these are far apart, else all values."""
    logarithms = np.log(sample)
    if sample.size < _FEW or np.ptp(logarithms) < np.log(_APART):
        return sample
    is_high = logarithms > float(threshold_otsu(logarithms))  # type: ignore[no-untyped-call]
    low, high = sample[~is_high], sample[is_high]
    if not (low.size and high.size) or np.median(high) < _APART * np.median(low):
        return sample
    larger: FloatArray = high if high.size >= low.size else low
    return larger
