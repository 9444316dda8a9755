"""Lazy arrays: indexed like arrays, with a small cache and coarse values on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.lazy_array import CACHED_SLICES, SAMPLES_PER_AXIS, LazyArray, all_rendered


@dataclass(eq=False)
class Stored(LazyArray):
    """Values of an array; counts the voxels that are computed."""

    values: np.ndarray
    n_voxels: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def slab_axis(self) -> int:
        return int(np.argmax(self.values.strides))

    def compute(self, key: Any) -> Any:
        part = self.values[key]
        self.n_voxels.append(part.size)
        return part


def stored(shape: tuple[int, ...] = (5, 6, 7)) -> Stored:
    return Stored(np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32))


@pytest.mark.parametrize(
    "key",
    [
        *(2, -1, slice(1, 3), (slice(None), 3), (slice(None), slice(None), 4), (1, 2, 3)),
        *((slice(None, None, -2), 1), (slice(4, 1, -1),), ..., (..., 0), np.array([0, 2])),
    ],
)
def test_it_is_indexed_like_an_array(key: Any) -> None:
    lazy = stored()
    for _ in range(2):  # computed, then perhaps cached
        np.testing.assert_array_equal(lazy[key], lazy.values[key])


def test_it_looks_like_an_array() -> None:
    lazy = stored()
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.dtype) == ((5, 6, 7), 3, 210, np.float32)
    np.testing.assert_array_equal(np.asarray(lazy), lazy.values)
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="ask for a copy"):
        np.array(lazy, copy=False)


@pytest.mark.parametrize("key", [5, -6, (0, 0, 0, 0)])
def test_an_index_beyond_the_edge_is_refused(key: Any) -> None:
    lazy = stored()
    lazy[0]
    with pytest.raises(IndexError):
        lazy[key]


def test_a_slice_is_computed_once_however_it_is_indexed() -> None:
    lazy = stored()
    for key in (3, -2, (3, slice(None)), (np.int64(3), slice(None), slice(0, 7))):
        lazy[key]
    assert lazy.n_voxels == [6 * 7]


def test_the_cache_forgets_the_slice_that_was_not_used_for_longest() -> None:
    lazy = stored((CACHED_SLICES + 2, 2, 2))
    for index in (*range(CACHED_SLICES), 0, CACHED_SLICES):  # 1 is now the oldest
        lazy[index]
    n_computed = len(lazy.n_voxels)
    lazy[0]
    assert len(lazy.n_voxels) == n_computed
    lazy[1]
    assert len(lazy.n_voxels) == n_computed + 1


def test_the_whole_array_is_not_cached() -> None:
    lazy = stored()
    for key in ((), slice(None), (slice(0, 5), slice(None))):
        lazy[key]
    assert lazy.n_voxels == [lazy.size] * 3


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_it_is_rendered_slice_by_slice_along_its_slab_axis(axes: tuple[int, ...]) -> None:
    lazy = Stored(stored().values.transpose(axes))
    fractions = list(lazy.rendered())
    assert fractions == sorted(fractions)
    assert (len(fractions), fractions[-1]) == (5, 1.0)
    np.testing.assert_array_equal(drained(lazy.rendered()), lazy.values)


def test_several_arrays_are_rendered_with_rising_progress() -> None:
    arrays = [stored(), stored((3, 2, 2))]
    steps = all_rendered(arrays)
    fractions = list(steps)
    assert fractions == sorted(fractions)
    assert (len(fractions), fractions[-1]) == (8, 1.0)
    volumes = drained(all_rendered(arrays))
    for volume, array in zip(volumes, arrays, strict=True):
        np.testing.assert_array_equal(volume, array.values)


def test_kept_values_are_returned_until_they_are_discarded() -> None:
    lazy = stored()
    lazy.keep(-lazy.values)
    assert lazy.is_kept
    np.testing.assert_array_equal(lazy[2:, 1], -lazy.values[2:, 1])
    copied = np.asarray(lazy)
    copied[:] = 0
    assert lazy[0].any()
    assert lazy.n_voxels == []
    lazy.keep(None)
    assert not lazy.is_kept
    np.testing.assert_array_equal(lazy[2], lazy.values[2])


def test_values_are_coarse_only_for_the_whole_array_and_while_allowed() -> None:
    lazy = stored((2 * SAMPLES_PER_AXIS + 1, 3, 5))
    allowed = True
    lazy.allow_coarse_while(lambda: allowed)
    coarse = lazy[:, :, :]
    assert coarse.shape == lazy.shape
    np.testing.assert_array_equal(coarse[::2], lazy.values[::2])
    np.testing.assert_array_equal(coarse[1::2], coarse[:-1:2])
    np.testing.assert_array_equal(lazy[1], lazy.values[1])
    np.testing.assert_array_equal(np.asarray(lazy), lazy.values)
    allowed = False
    np.testing.assert_array_equal(lazy[:, :, :], lazy.values)
