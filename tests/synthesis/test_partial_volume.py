"""Marks where averaged maps and averaged signals differ, against averages worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_swig_qmri.physics.signal_models import PhaseSensitiveInversionRecovery, T2Flair
from napari_swig_qmri.synthesis.lazy_contrast import synthesise
from napari_swig_qmri.synthesis.partial_volume import (
    FLUID_T1,
    MARK_THRESHOLD,
    PARTIAL_VOLUME_CAVEAT,
    VOXEL_FACTOR,
    LazyPartialVolume,
    disagreement,
    tissue_level,
)
from napari_swig_qmri.synthesis.rendering import Rendering

FLAIR = T2Flair.from_typical()
WHITE, GREY, FLUID = (0.69, 0.939, 0.062), (0.81, 1.31, 0.071), (1.0, 4.163, 1.4)  # PD, T1 s, T2 s at 3 T
SHAPE = (12, 10, 30)


def layered() -> tuple[np.ndarray, ...]:
    """White matter, grey matter and fluid, each ten voxels wide along the last axis."""
    maps = np.repeat(np.array([WHITE, GREY, FLUID]).T, 10, axis=1)
    pd, t1, t2 = (np.broadcast_to(values, SHAPE).astype(np.float32) for values in maps)
    return pd, t1, t2


def folded() -> tuple[np.ndarray, ...]:
    """Grey matter and fluid with a border that winds through the volume."""
    x, y, z = np.indices((24, 24, 24)) / 24
    is_fluid = np.sin(9 * x + 4 * y) + np.cos(7 * z - 5 * y) > 0.4
    pd, t1, t2 = (np.where(is_fluid, *pair).astype(np.float32) for pair in zip(FLUID, GREY, strict=True))
    return pd, t1, t2


def marks(pd: np.ndarray, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
    return np.asarray(LazyPartialVolume(sequence=FLAIR, pd=pd, t1=t1, t2=t2)) > 0


def signed(maps: Any) -> np.ndarray:
    return synthesise(FLAIR, *(np.asarray(values, np.float32) for values in maps), rendering=Rendering(sign="signed"))


def test_disagreement_at_a_border_by_hand() -> None:
    found = disagreement(FLAIR, *layered(), width=2.0)[5, 5]
    # the voxel before the border is half itself, a quarter each neighbour; the signal is a number for each mixture
    mixed = [0.75 * grey + 0.25 * fluid for grey, fluid in zip(GREY, FLUID, strict=True)]
    by_hand = abs(signed(mixed)) - abs(0.75 * signed(GREY) + 0.25 * signed(FLUID))
    assert found[19] == pytest.approx(float(by_hand), rel=1e-4)
    np.testing.assert_allclose(found[[0, 5, 15, 25, 29]], 0, atol=1e-6)


def test_borders_with_fluid_are_marked_and_those_inside_tissue_are_not() -> None:
    marked = marks(*layered())
    assert (marked == marked[:1, :1]).all()
    assert set(np.flatnonzero(marked[0, 0])) <= {19, 20}
    assert marked[0, 0, 19]


def test_the_caveat_states_the_threshold() -> None:
    assert f"more than {100 * MARK_THRESHOLD:.0f} % of the signal of tissue" in PARTIAL_VOLUME_CAVEAT
    assert VOXEL_FACTOR == 2
    assert "twice as large" in PARTIAL_VOLUME_CAVEAT


def test_every_coarse_voxel_that_differs_is_marked() -> None:
    maps = folded()
    coarse = [values.reshape(12, 2, 12, 2, 12, 2).mean((1, 3, 5)) for values in maps]
    averaged = signed(maps).reshape(12, 2, 12, 2, 12, 2).mean((1, 3, 5))
    differs = np.abs(np.abs(signed(coarse)) - np.abs(averaged)) > MARK_THRESHOLD * tissue_level(FLAIR, *maps)
    marked = marks(*maps).reshape(12, 2, 12, 2, 12, 2).any((1, 3, 5))
    assert differs.mean() > 0.05
    assert marked[differs].mean() > 0.98


def test_voxels_without_a_measurement_neither_count_nor_are_marked() -> None:
    empty = [values.copy() for values in layered()]
    for values, nothing in zip(empty, (0, np.nan, 0), strict=True):
        values[..., 20:] = nothing
    marked = marks(*empty)
    assert not marked.any()
    assert np.isfinite(disagreement(FLAIR, *empty)).all()


def test_marks_are_measured_by_the_signal_of_tissue_in_its_transmit_field() -> None:
    pd, t1, t2 = layered()
    weak = Rendering(transmit_field=0.3)
    marked = LazyPartialVolume(sequence=FLAIR, pd=pd, t1=t1, t2=t2, rendering=weak.signed())
    signal = np.abs(synthesise(FLAIR, pd, t1, t2, rendering=weak.signed()))
    level = np.median(signal[(signal > 0) & (t1 < FLUID_T1)])
    assert level < 0.9 * tissue_level(FLAIR, pd, t1, t2)
    assert marked.level == pytest.approx(level, rel=0.01)


def test_a_volume_without_tissue_has_no_level() -> None:
    nothing = np.zeros((3, 3, 3), np.float32)
    assert tissue_level(FLAIR, nothing, nothing, nothing) == 0
    assert not marks(nothing, nothing, nothing).any()


def test_signs_cancel_in_a_voxel_whether_shown_or_not() -> None:
    sequence = PhaseSensitiveInversionRecovery.from_typical(inversion_time=0.8)
    plain = disagreement(sequence, *layered())
    np.testing.assert_array_equal(
        plain, disagreement(sequence, *layered(), rendering=Rendering(sign="magnitude", snr=9))
    )


@pytest.mark.parametrize(
    "key",
    [
        4,
        -3,
        slice(2, 9, 3),
        (slice(None), 5),
        (..., 7),
        (2, ..., slice(20, 3, -2)),
        (slice(9, None, -1), 3),
        slice(4, 4),
    ],
)
def test_lazy_marks_are_those_of_the_whole(key: Any) -> None:
    pd, t1, t2 = folded()
    lazy = LazyPartialVolume(sequence=FLAIR, pd=pd, t1=t1, t2=t2)
    level = tissue_level(FLAIR, *(values[lazy.sample] for values in (pd, t1, t2)))
    whole = np.abs(disagreement(FLAIR, pd, t1, t2)) > MARK_THRESHOLD * level
    np.testing.assert_array_equal(lazy[key], whole[key])
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.dtype) == (whole.shape, 3, whole.size, np.uint8)


def test_any_other_index_is_that_of_the_whole() -> None:
    pd, t1, t2 = layered()
    lazy = LazyPartialVolume(sequence=FLAIR, pd=pd, t1=t1, t2=t2)
    np.testing.assert_array_equal(lazy[np.array([0, 3])], np.asarray(lazy)[[0, 3]])
    with pytest.raises(IndexError):
        lazy[40]
