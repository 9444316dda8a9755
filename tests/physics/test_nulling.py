"""Inversion times that null a T1, against the signal of the sequences themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from napari_swig_qmri.physics.nulling import NULLED_TISSUES, doubly_nulled, nulled, nulled_from, nulled_time
from napari_swig_qmri.physics.signal_models import SEQUENCES, DoubleInversionRecovery, Mprage, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation

INVERTED = [name for name, kind in SEQUENCES.items() if nulled_time(kind)]


def signal(sequence: Any, t1: float) -> float:
    one = torch.ones(1, dtype=torch.float64)
    return abs(sequence(one, t1 * one, 1e3 * one).item())


def test_every_sequence_with_an_inversion_can_be_nulled() -> None:
    assert set(INVERTED) == {"ir-se", "psir", "t2-flair", "stir", "dir", "mprage", "mp2rage-uni"}
    with pytest.raises(ValueError, match="Spin echo has no inversion, so it can null no T1"):
        nulled(SpinEcho(echo_time=0.01, repetition_time=0.5), 1.0)
    with pytest.raises(ValueError, match="no inversion"):
        nulled(UserEquation(text="PD"), 1.0)


@pytest.mark.parametrize("efficiency", [1.0, 0.92])
@pytest.mark.parametrize("t1", [0.35, 0.9, 1.3])
@pytest.mark.parametrize("name", INVERTED)
def test_the_nulled_tissue_gives_no_signal(name: str, t1: float, efficiency: float) -> None:
    settings = {"inversion_efficiency": efficiency}
    if name in ("mprage", "mp2rage-uni"):
        settings |= {"n_partitions": 40, "echo_spacing": 0.005}
    sequence = replace(SEQUENCES[name].from_typical(), **settings)
    found = nulled(sequence, t1)
    assert signal(found, t1) < 1e-6
    assert signal(found, 1.3 * t1) > 1e-3
    time = nulled_time(found)
    assert time is not None
    assert replace(found, **{time: getattr(sequence, time)}) == sequence  # nothing else was changed


@pytest.mark.parametrize(
    ("changes", "time"), [({"repetition_time": 9.0}, 2.415), ({"repetition_time": 4.8, "echo_train_length": 70}, 1.564)]
)
def test_time_follows_repetition_time_and_train(changes: dict[str, Any], time: float) -> None:
    flair: Any = nulled(replace(T2Flair.from_typical(), **changes), 4.163)
    assert flair.inversion_time == pytest.approx(time, abs=5e-4)  # worked by hand, to the millisecond


def test_settings_with_an_impossible_time_can_be_nulled_too() -> None:
    settings = vars(T2Flair.from_typical()) | {"repetition_time": 2.0}  # its TI of 2.5 s does not fit any more
    assert signal(nulled_from(T2Flair, settings, 4.163), 4.163) < 1e-6


def test_a_time_that_does_not_exist_is_said_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="no TI2 of Double inversion recovery nulls a T1 of 60000 ms here: change"):
        nulled(DoubleInversionRecovery.from_typical(), 60.0)
    with pytest.raises(ValueError, match=r"would be nulled at TI .* ms, but MPRAGE cannot be played out: the block"):
        nulled(Mprage.from_typical(), 4.163)
    with pytest.raises(ValueError, match=r"no TI of MPRAGE nulls a T1 of \d+ ms here"):
        nulled(Mprage.from_typical(), 0.2)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="a T1 to null must be above 0"):
            nulled(T2Flair.from_typical(), wrong)
    with pytest.raises(ValueError, match="does not fit"):  # what is wrong with the other settings stays said
        nulled_from(T2Flair, vars(T2Flair.from_typical()) | {"echo_train_length": 1000}, 4.163)


@pytest.mark.parametrize(("repetition_time", "field"), [(7.5, 1.5), (9.0, 3.0), (12.0, 7.0)])
def test_double_inversion_nulls_two_tissues_in_either_order(repetition_time: float, field: float) -> None:
    settings = vars(DoubleInversionRecovery.from_typical(repetition_time=repetition_time))
    fluid, white = NULLED_TISSUES["CSF"].t1[field], NULLED_TISSUES["WM"].t1[field]
    found = doubly_nulled(settings, fluid, white)
    assert doubly_nulled(settings, white, fluid) == found
    assert signal(found, fluid) < 1e-6
    assert signal(found, white) < 1e-6
    assert signal(found, NULLED_TISSUES["GM"].t1[field]) > 0.05


def test_two_tissues_that_cannot_be_nulled_are_told() -> None:
    settings = vars(DoubleInversionRecovery.from_typical(inversion_efficiency=0.0))
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
def test_what_low_refocusing_angles_leave_is_nulled_too(name: str) -> None:
    sequence = SEQUENCES[name].from_typical(repetition_time=4.0, refocusing_angle=math.radians(100))
    one, (t1, t2) = torch.ones(1, dtype=torch.float64), (0.9, 0.2)
    shown = [abs(each(one, t1 * one, t2 * one).item()) for each in (nulled(sequence, t1, t2), nulled(sequence, t1))]
    assert shown[0] < 0.05 * shown[1]


def test_two_tissues_are_nulled_after_low_refocusing_angles() -> None:
    settings = {**DoubleInversionRecovery.typical, "refocusing_angle": math.radians(100)}
    found, one = doubly_nulled(settings, 0.9, 4.0, 0.08, 2.0), torch.ones(1, dtype=torch.float64)
    for t1, t2 in ((0.9, 0.08), (4.0, 2.0)):
        assert abs(found(one, t1 * one, t2 * one).item()) < 1e-5
