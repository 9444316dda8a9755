"""The lazy contrast array: an array in every respect that a viewer or a writer uses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.lazy_array import CACHED_SLICES
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise


@dataclass(frozen=True, kw_only=True)
class Decay:
    """PD exp(-TE/T2), which counts how often it is evaluated."""

    echo_time: float
    voxels_seen: list[int]

    def __call__(self, pd: Any, t1: Any, t2: Any, t2star: Any = None) -> Any:
        self.voxels_seen.append(t2.numel())
        return pd * (-self.echo_time / t2).exp()


def make_lazy(shape: tuple[int, int, int] = (5, 6, 7)) -> LazyContrast:
    random = np.random.default_rng(0)
    pd, t1, t2 = (random.uniform(0.5, 1.5, shape).astype(np.float32) for _ in range(3))
    return LazyContrast(sequence=Decay(echo_time=0.1, voxels_seen=[]), pd=pd, t1=t1, t2=t2)  # type: ignore[arg-type]


def test_one_voxel_by_hand() -> None:
    one = np.ones((1, 1, 1))
    signal = synthesise(Decay(echo_time=0.08, voxels_seen=[]), 0.8 * one, 1.2 * one, 0.1 * one)  # type: ignore[arg-type]
    assert signal.item() == pytest.approx(0.8 * math.exp(-0.8), rel=1e-6)


@pytest.mark.parametrize(
    "key",
    [
        2,
        -1,
        slice(1, 3),
        (slice(None), 3),
        (slice(None), slice(None), 4),
        (1, 2, 3),
        ...,
        (..., 0),
        np.array([0, 2]),
    ],
)
def test_indexing_is_indexing_the_whole(key: Any) -> None:
    lazy = make_lazy()
    np.testing.assert_array_equal(lazy[key], np.asarray(lazy)[key])


def test_computes_only_the_slice_and_keeps_it() -> None:
    lazy = make_lazy()
    seen = lazy.sequence.voxels_seen  # type: ignore[attr-defined]
    for key in (3, -2, (3, slice(None)), (np.int64(3), slice(None), slice(0, 7))):
        lazy[key]
    assert seen == [6 * 7]


def test_an_index_beyond_the_edge_is_refused() -> None:
    lazy = make_lazy()
    lazy[0]
    with pytest.raises(IndexError):
        lazy[5]
    with pytest.raises(IndexError):
        lazy[0, 0, 0, 0]


def test_a_slice_is_computed_in_pieces_with_the_same_result() -> None:
    lazy = make_lazy((2, 190, 200))
    seen = lazy.sequence.voxels_seen  # type: ignore[attr-defined]
    part = lazy[1]
    assert max(seen) < 190 * 200
    expected = lazy.pd[1] * np.exp(-0.1 / lazy.t2[1])
    np.testing.assert_allclose(part, expected, rtol=1e-6)  # float32 rounding of exp


def test_cache_stays_small_and_forgets_the_oldest() -> None:
    lazy = make_lazy((CACHED_SLICES + 2, 2, 2))
    seen = lazy.sequence.voxels_seen  # type: ignore[attr-defined]
    for index in range(CACHED_SLICES + 1):
        lazy[index]
    lazy[1]
    assert len(seen) == CACHED_SLICES + 1
    lazy[0]
    assert len(seen) == CACHED_SLICES + 2


def test_other_parameters_do_not_see_the_old_cache() -> None:
    lazy = make_lazy()
    before = lazy[0]
    after = lazy.with_sequence(Decay(echo_time=0.2, voxels_seen=[]))[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(after, before**2 / lazy.pd[0], rtol=1e-5)


def test_background_is_zero_and_finite() -> None:
    lazy = make_lazy((2, 2, 2))
    lazy.t2[0, 0, 0] = 0
    lazy.t1[0, 0, 1] = np.nan
    lazy.pd[0, 1, 0] = np.inf
    signal = np.asarray(lazy)
    assert signal[0, 0, 0] == signal[0, 0, 1] == signal[0, 1, 0] == 0
    assert np.isfinite(signal).all()
    assert (signal[1] > 0).all()


def test_looks_like_an_array() -> None:
    lazy = make_lazy()
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.dtype) == ((5, 6, 7), 3, 210, np.float32)
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_all_of_it_is_rendered_whichever_way_the_maps_lie(axes: tuple[int, ...]) -> None:
    maps = [np.asarray(values).transpose(axes) for values in (make_lazy().pd, make_lazy().t1, make_lazy().t2)]
    lazy = replace(make_lazy(), pd=maps[0], t1=maps[1], t2=maps[2])
    assert lazy.slab_axis == axes.index(0)
    expected = lazy.pd * np.exp(-0.1 / lazy.t2)
    np.testing.assert_allclose(np.asarray(lazy), expected, rtol=1e-6)
    shares = list(lazy.rendered())
    assert shares == sorted(shares)
    assert (len(shares), shares[-1]) == (maps[0].shape[lazy.slab_axis], 1.0)


def test_what_is_kept_answers_for_all_until_it_is_forgotten() -> None:
    lazy = make_lazy()
    seen = lazy.sequence.voxels_seen  # type: ignore[attr-defined]
    whole = np.asarray(lazy)
    lazy.keep(whole)
    seen.clear()
    np.testing.assert_array_equal(lazy[2:, 1], whole[2:, 1])
    copied = np.asarray(lazy)
    copied[:] = 0
    assert whole.any()
    assert seen == []
    lazy.keep(None)
    lazy[2]
    assert seen == [6 * 7]


def test_coarse_answers_are_given_only_when_all_is_wanted_and_may_be_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_swig_qmri.synthesis.lazy_array.SAMPLES_PER_AXIS", 2)
    lazy = make_lazy()
    exact = np.asarray(lazy)
    answers = iter([True, False])
    lazy.allow_coarse_while(lambda: next(answers))
    coarse = lazy[:, :, :]
    np.testing.assert_array_equal(coarse[::2, ::3, ::3], exact[::2, ::3, ::3])
    np.testing.assert_array_equal(coarse[1::2], coarse[:-1:2][: len(coarse[1::2])])
    np.testing.assert_array_equal(lazy[1], exact[1])
    np.testing.assert_array_equal(lazy[:, :, :], exact)


def test_refuses_maps_of_different_grids() -> None:
    lazy = make_lazy()
    with pytest.raises(ValueError, match="choose three maps from the same set"):
        LazyContrast(sequence=lazy.sequence, pd=lazy.pd[1:], t1=lazy.t1, t2=lazy.t2)


def test_a_user_equation_is_computed() -> None:
    random = np.random.default_rng(0)
    pd, t1, t2 = (random.uniform(0.5, 1.5, (3, 4, 5)).astype(np.float32) for _ in range(3))
    equation = UserEquation(text="PD * (1 - exp(-TR/T1)) * exp(-TE/T2)", echo_time=0.08, repetition_time=2.0)
    lazy = LazyContrast(sequence=equation, pd=pd, t1=t1, t2=t2)
    by_hand = pd * (1 - np.exp(-2.0 / t1)) * np.exp(-0.08 / t2)
    np.testing.assert_allclose(lazy[1], by_hand[1], rtol=1e-5)  # float32
    np.testing.assert_allclose(np.asarray(lazy), by_hand, rtol=1e-5)


def test_t2star_of_a_user_equation_may_be_missing_in_a_voxel() -> None:
    one = np.ones((2, 2, 2), np.float32)
    equation = UserEquation(text="T2 - 10*T2s")
    assert synthesise(equation, one, one, 0.5 * one, 0.25 * one).ravel()[0] == pytest.approx(-2)
    assert (synthesise(equation, one, one, 0.5 * one, 0 * one) == 0).all()  # T2* was not measured
