"""Display limits of synthetic contrasts."""

from __future__ import annotations

import math

import numpy as np

from napari_swig_qmri.data.volumes import FloatArray

_LEADING_DIGITS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


def central_signals(values: FloatArray) -> FloatArray:
    """Non-zero signals ``(signal,)`` of a slice ``(row, column)``, from its central half unless that is empty.

    The centre holds brain but no fat, whose bright signal would leave the brain dark.
    """
    rows, columns = (slice(n // 4, n - n // 4) for n in values.shape)
    centre = values[rows, columns]
    signals: FloatArray = centre[centre != 0] if centre.any() else values[values != 0]
    return signals


def signal_limits(values: FloatArray) -> tuple[float, float]:
    """Display limits: the 0.5th percentile, at most 0, and the 99.5th percentile; they always differ."""
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(values, (0.5, 99.5)))
    low = min(low, 0.0)
    return low, max(high, low + 1e-6)


def rounded_up(value: float, *, is_signed: bool = False) -> float:
    """The value rounded up to 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten.

    Values of 0 or less are returned unchanged. 8 is left out for limits on both sides of 0 (`is_signed`), since the
    colour bar of napari labels only 0 between -8 and 8.
    """
    if value <= 0:
        return value
    exponent = math.floor(math.log10(value))
    least = round(value / 10.0**exponent, 6)
    leading = min(digits for digits in _LEADING_DIGITS if digits >= least and not (is_signed and digits == 8))
    return float(f"{leading}e{exponent}")
