"""Differences, curtains and checkerboards that are computed slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from napari_swig_qmri.synthesis.composites import (
    LINE,
    Checkerboard,
    Composite,
    Curtain,
    Difference,
    OnGrid,
    Pane,
    Pattern,
    Scaled,
    Whole,
)

SHAPE = (6, 8, 10)
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
KEYS = [3, (slice(None), 4), (slice(None), slice(None), 7), (slice(1, 5), slice(None, None, 2), 3), slice(2, 4)]


class Counted:
    """An array that counts the voxels that it is asked for."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.n = values, 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, key: Any) -> Any:
        part = self.values[key]
        self.n += part.size
        return part


def numbers(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def pane(
    values: np.ndarray, scale: float = 1.0, translate: tuple[float, float, float] = (0, 0, 0), **more: Any
) -> Pane:
    return Pane(
        **{"data": values, "colours": GREYS, "limits": (0.0, 255.0)} | more,
        scale=(scale,) * 3,
        translate=translate,
    )


@pytest.mark.parametrize("key", KEYS)
def test_lazy_arrays_are_indexed_like_arrays(key: Any) -> None:
    one, other = numbers(), numbers()[::-1]
    np.testing.assert_allclose(Scaled(one, 4.0)[key], one[key] / 4)
    np.testing.assert_allclose(Difference(one, other)[key], one[key] - other[key])
    same = OnGrid(data=one, grid_shape=SHAPE, step=np.ones(3), offset=np.zeros(3))
    np.testing.assert_allclose(same[key], one[key], rtol=1e-4, atol=1e-3)  # a spline goes through its points
    composite = Composite(first=pane(one), second=pane(other), pattern=Checkerboard(edge=3.0))
    np.testing.assert_array_equal(composite[key].shape, (*one[key].shape, 3))


def test_differences_are_zero_where_nothing_was_seen() -> None:
    one, other = numbers(), numbers()
    other[2:] = np.nan
    assert (np.asarray(Difference(one, other))[2:] == 0).all()
    with pytest.raises(ValueError, match="one shape"):
        Difference(one, other[1:])


def test_another_grid_is_interpolated_as_in_one_piece() -> None:
    coarse = numbers((12, 14, 16))
    step, offset, shape = np.array([0.5, 0.5, 0.5]), np.array([0.25, -0.25, 0.1]), (20, 27, 30)
    whole = affine_transform(coarse, step, offset, output_shape=shape, order=3, mode="constant")
    lazy = OnGrid(data=coarse, grid_shape=shape, step=step, offset=offset)
    assert lazy.shape == shape
    for key in (9, (slice(None), 13), (slice(None), slice(None), 11)):
        np.testing.assert_allclose(lazy[key], whole[key], atol=0.5)  # of 255; the spline's tails are cut off
    np.testing.assert_allclose(np.asarray(lazy)[9], lazy[9])


def test_only_what_is_seen_is_computed() -> None:
    one, other = Counted(numbers()), Counted(numbers())
    Composite(first=pane(one), second=pane(other), pattern=Curtain(2, 4))[3]
    assert (one.n, other.n) == (80, 80)


@pytest.mark.parametrize(
    ("pattern", "second"),
    [
        (Whole(False), np.zeros((8, 10), bool)),
        (Whole(True), np.ones((8, 10), bool)),
        (Curtain(2, 4.5), np.broadcast_to(np.arange(10) > 4.5, (8, 10))),
        (Curtain(2, 4.5, before=True), np.broadcast_to(np.arange(10) < 4.5, (8, 10))),
        (Curtain(1, 2.5), np.broadcast_to(np.arange(8)[:, None] > 2.5, (8, 10))),
        (Checkerboard(2.0), (np.arange(8)[:, None] // 2 + np.arange(10) // 2) % 2 == 1),
    ],
)
def test_patterns_show_the_one_or_the_other(pattern: Pattern, second: np.ndarray) -> None:
    composite = Composite(first=pane(np.zeros(SHAPE)), second=pane(np.full(SHAPE, 255.0)), pattern=Whole())
    shown = composite.with_pattern(pattern)[3]
    on_line = (shown == LINE).all(axis=-1)
    assert on_line.any() == isinstance(pattern, Curtain)
    np.testing.assert_array_equal((shown[..., 0] == 255)[~on_line], second[~on_line])


def test_the_second_image_is_seen_by_its_nearest_voxel() -> None:
    fine, coarse = np.zeros((8, 8, 8)), numbers((4, 4, 4))
    second = pane(coarse, scale=2.0, translate=(0.5, 0.5, 0.5))
    shown = Composite(first=pane(fine), second=second, pattern=Whole(True))[5]
    expected = np.kron(coarse[2], np.ones((2, 2))).round().astype(np.uint8)
    np.testing.assert_array_equal(shown[..., 0], expected)


def test_the_finer_image_sets_the_voxels_wherever_it_stands() -> None:
    fine, coarse = pane(numbers((8, 8, 8))), pane(numbers((4, 4, 4)), scale=2.0, translate=(0.5, 0.5, 0.5))
    one = Composite(first=fine, second=coarse, pattern=Curtain(2, 3.0))
    other = Composite(first=coarse, second=fine, pattern=Curtain(2, 3.0, before=True))
    assert other.shape == (8, 8, 8, 3)
    np.testing.assert_array_equal(other[5][:, 4:], one[5][:, 4:])
    np.testing.assert_array_equal(other[5][:, :3], one[5][:, :3])


def test_beyond_the_second_image_is_black() -> None:
    second = pane(np.full(SHAPE, 255.0), translate=(0, 4, 0))
    shown = Composite(first=pane(np.zeros(SHAPE)), second=second, pattern=Whole(True))[0]
    np.testing.assert_array_equal(shown[:, 0, 0], [0, 0, 0, 0, 255, 255, 255, 255])


def test_colours_run_between_the_limits() -> None:
    shown = pane(numbers(), limits=(100.0, 200.0)).coloured(np.array([50.0, 100, 150, 200, 300, np.nan]))
    np.testing.assert_array_equal(shown[:, 0], [0, 0, 128, 255, 255, 0])
