"""Gaps: which voxels count as measured, which are enclosed, and how they are filled."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.gaps import enclosed, filled, gaps_of, has_value

SHAPE = (12, 13, 14)


def image() -> np.ndarray:
    return np.random.default_rng(0).uniform(50, 60, SHAPE)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("value", [0, np.nan])
def test_planes_without_values_are_gaps_but_single_zeros_are_not(axis: int, value: float) -> None:
    data, expected = image(), np.zeros(SHAPE, bool)
    plane = tuple(3 if a == axis else slice(None) for a in range(3))
    data[plane], expected[plane] = value, True
    data[1, 1, 1] = 0
    seen = has_value(data)
    np.testing.assert_array_equal(seen, ~expected)
    np.testing.assert_array_equal(gaps_of(data, seen), expected)


def test_zeros_of_a_masked_image_are_not_measured() -> None:
    data = np.zeros(SHAPE)
    data[2:6, 2:6, 2:6] = image()[2:6, 2:6, 2:6]
    np.testing.assert_array_equal(has_value(data), data > 0)
    assert not gaps_of(data, data > 0).any()  # the background is not enclosed


def test_enclosed_voxels_have_seen_ones_on_both_sides() -> None:
    seen = np.zeros((5, 5, 5), bool)
    seen[0], seen[4] = True, True
    assert enclosed(~seen, seen)[1:4].all()
    seen[4] = False
    assert not enclosed(~seen, seen).any()
    assert not enclosed(np.zeros_like(seen), seen).any()


def test_gaps_are_filled_from_the_nearest_voxels_in_mm() -> None:
    volumes = np.stack([np.full(SHAPE, 2.0), np.full(SHAPE, 3.0)])
    seen = np.ones(SHAPE, bool)
    seen[3:5] = False
    broken = np.where(seen, volumes, np.nan)
    np.testing.assert_allclose(filled(broken, ~seen, seen, (1, 1, 1)), volumes)
    assert filled(volumes, np.zeros(SHAPE, bool), seen, (1, 1, 1)) is volumes
    line = np.array([1.0, np.nan, 9.0]).reshape(3, 1, 1) * np.ones((3, 2, 1))
    line[1, 1] = 5.0
    near_y = filled(line, np.isnan(line), ~np.isnan(line), (10, 1, 1))[1, 0, 0]
    near_x = filled(line, np.isnan(line), ~np.isnan(line), (1, 10, 1))[1, 0, 0]
    assert near_y != near_x
