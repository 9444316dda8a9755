"""Limits of brightness for synthesised signals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

_ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # leading digits


def central_signals(values: FloatArray) -> FloatArray:
    """Signals in the middle of a slice, where there is brain and no fat, which would leave brain dark.

    All signals of the slice where its middle is empty.
    """
    rows, columns = (slice(n // 4, n - n // 4) for n in values.shape)
    inner = values[rows, columns]
    signals: FloatArray = inner[inner != 0] if inner.any() else values[values != 0]
    return signals


def signal_limits(values: FloatArray) -> tuple[float, float]:
    """Limits of a synthetic signal: 0, or the 0.5th percentile of signed values, to the 99.5th; never equal."""
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(values, (0.5, 99.5)))
    low = min(low, 0.0)
    return low, max(high, low + 1e-6)


def rounded_up(value: float, *, is_signed: bool = False) -> float:
    """The next of `_ROUND` times a power of ten; what is not above 0 stays.

    For limits on both sides of 0 (`is_signed`) there is no 8: colour bars of napari from -8 to 8 have no number but 0.
    """
    if value <= 0:
        return value
    exponent = math.floor(math.log10(value))
    leading = min(s for s in _ROUND if s >= round(value / 10.0**exponent, 6) and not (is_signed and s == 8))
    return float(f"{leading}e{exponent}")
