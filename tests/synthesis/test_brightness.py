"""Display limits of synthetic contrasts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.synthesis.brightness import central_signals, rounded_up, signal_limits


def test_signals_come_from_the_centre_of_a_slice_unless_it_is_empty() -> None:
    values = np.zeros((8, 8))
    values[0] = 9.0  # bright fat at the edge
    assert (central_signals(values) == 9).sum() == 8
    values[3:5, 3:5] = [[1.0, 2.0], [0.0, 3.0]]
    assert central_signals(values).tolist() == [1, 2, 3]


def test_limits_hold_zero_and_the_central_99_percent() -> None:
    assert signal_limits(np.linspace(1, 2, 1001)) == pytest.approx((0, 1.995))
    assert signal_limits(np.linspace(-1, 1, 1001)) == pytest.approx((-0.99, 0.99))
    for values in (np.zeros(0), np.zeros(5), np.full(5, -3.0)):
        low, high = signal_limits(values)
        assert low < high


def test_limits_are_rounded_up_by_at_most_a_third() -> None:
    for value in np.geomspace(1e-4, 1e5, 400):
        rounded = rounded_up(value)
        assert value * (1 - 1e-6) <= rounded <= 4 / 3 * value
        assert rounded_up(rounded) == rounded
    assert [rounded_up(value) for value in (0.0, -2.0, 0.11, 7.0, 812.0)] == [0, -2, 0.12, 8, 1000]


def test_no_signed_limit_is_8() -> None:
    assert rounded_up(7.0, is_signed=True) == 10
    assert rounded_up(5.5, is_signed=True) == 6
