"""Inversion times that null a tissue, checked with the signal of the sequence itself."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from napari_swig_qmri.physics.nulling import NULLED_TISSUES, doubly_nulled, nulled, nulled_from, nulled_time
from napari_swig_qmri.physics.signal_models import SEQUENCES, DoubleInversionRecovery, Mprage, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation

INVERTED = [name for name, kind in SEQUENCES.items() if nulled_time(kind)]


def signal(sequence: Any, t1: float, t2: float = 1e3) -> float:
    one = torch.ones(1, dtype=torch.float64)
    return abs(sequence(one, t1 * one, t2 * one).item())


def test_every_sequence_with_an_inversion_can_be_nulled() -> None:
    assert set(INVERTED) == {"ir-se", "psir", "t2-flair", "stir", "dir", "mprage", "mp2rage-uni"}
    with pytest.raises(ValueError, match="Spin echo has no inversion, so it can null no T1"):
        nulled(SpinEcho(echo_time=0.01, repetition_time=0.5), 1.0)
    with pytest.raises(ValueError, match="no inversion"):
        nulled(UserEquation(text="PD"), 1.0)


@pytest.mark.parametrize("name", INVERTED)
def test_the_nulled_tissue_gives_no_signal(name: str) -> None:
    train: dict[str, float] = {"n_partitions": 40, "echo_spacing": 0.005} if name.startswith("mp") else {}
    for t1, efficiency in ((0.35, 1.0), (0.9, 0.92), (1.3, 1.0), (1.3, 0.92)):
        sequence = SEQUENCES[name].from_typical(inversion_efficiency=efficiency, **train)
        at_null = nulled(sequence, t1)
        assert signal(at_null, t1) < 1e-6
        assert signal(at_null, 1.3 * t1) > 1e-3
        time = nulled_time(at_null)
        assert time is not None
        assert replace(at_null, **{time: getattr(sequence, time)}) == sequence  # other settings are unchanged


@pytest.mark.parametrize(
    ("changes", "time"), [({"repetition_time": 9.0}, 2.415), ({"repetition_time": 4.8, "echo_train_length": 70}, 1.564)]
)
def test_time_follows_repetition_time_and_train(changes: dict[str, Any], time: float) -> None:
    flair: Any = nulled(T2Flair.from_typical(**changes), 4.163)
    assert flair.inversion_time == pytest.approx(time, abs=5e-4)  # worked by hand, to the millisecond


def test_settings_with_an_impossible_time_can_be_nulled_too() -> None:
    settings = asdict(T2Flair.from_typical()) | {"repetition_time": 2.0}  # its TI of 2.5 s no longer fits
    assert signal(nulled_from(T2Flair, settings, 4.163), 4.163) < 1e-6


def test_a_tissue_that_cannot_be_nulled_is_refused() -> None:
    with pytest.raises(ValueError, match="no TI2 of Double inversion recovery nulls a T1 of 60000 ms here: change"):
        nulled(DoubleInversionRecovery.from_typical(), 60.0)
    with pytest.raises(ValueError, match=r"would be nulled at TI .* ms, but MPRAGE cannot be played out: the block"):
        nulled(Mprage.from_typical(), 4.163)
    with pytest.raises(ValueError, match=r"no TI of MPRAGE nulls a T1 of \d+ ms here"):
        nulled(Mprage.from_typical(), 0.2)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="a T1 to null must be above 0"):
            nulled(T2Flair.from_typical(), wrong)
    with pytest.raises(ValueError, match="does not fit"):  # impossible other settings
        nulled_from(T2Flair, asdict(T2Flair.from_typical()) | {"echo_train_length": 1000}, 4.163)


@pytest.mark.parametrize(("repetition_time", "field"), [(7.5, 1.5), (9.0, 3.0), (12.0, 7.0)])
def test_double_inversion_nulls_two_tissues_in_either_order(repetition_time: float, field: float) -> None:
    settings = asdict(DoubleInversionRecovery.from_typical(repetition_time=repetition_time))
    fluid, white = NULLED_TISSUES["CSF"].t1[field], NULLED_TISSUES["WM"].t1[field]
    at_null = doubly_nulled(settings, fluid, white)
    assert doubly_nulled(settings, white, fluid) == at_null
    assert signal(at_null, fluid) < 1e-6
    assert signal(at_null, white) < 1e-6
    assert signal(at_null, NULLED_TISSUES["GM"].t1[field]) > 0.05


def test_two_tissues_that_cannot_be_nulled_are_refused() -> None:
    settings = asdict(DoubleInversionRecovery.from_typical(inversion_efficiency=0.0))
    with pytest.raises(ValueError, match="no TI2 of Double inversion recovery nulls a T1 of 838 ms here"):
        doubly_nulled(settings, 4.163, 0.838)


def test_tissues_lie_in_their_ranges_and_slow_down_with_the_field() -> None:
    assert list(NULLED_TISSUES) == ["CSF", "fat", "WM", "GM"]
    for tissue in NULLED_TISSUES.values():
        assert set(tissue.t1) == {1.5, 3.0, 7.0}
        assert all(tissue.t1_range[field][0] < t1 < tissue.t1_range[field][1] for field, t1 in tissue.t1.items())
        values = [tissue.t1[field] for field in (1.5, 3.0, 7.0)]
        assert values == sorted(values)


@pytest.mark.parametrize("name", ["t2-flair", "stir", "dir"])
def test_magnetisation_left_by_low_refocusing_angles_is_nulled_too(name: str) -> None:
    sequence = SEQUENCES[name].from_typical(repetition_time=4.0, refocusing_angle=math.radians(100))
    with_t2, without = (signal(each, 0.9, 0.2) for each in (nulled(sequence, 0.9, 0.2), nulled(sequence, 0.9)))
    assert with_t2 < 0.05 * without


def test_two_tissues_are_nulled_after_low_refocusing_angles() -> None:
    settings = {**DoubleInversionRecovery.typical, "refocusing_angle": math.radians(100)}
    at_null = doubly_nulled(settings, 0.9, 4.0, 0.08, 2.0)
    assert max(signal(at_null, 0.9, 0.08), signal(at_null, 4.0, 2.0)) < 1e-5
