"""Inversion recovery with spin echoes: values worked by hand, nulling times and limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from signal_cases import DEGREES, name_of, value

from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    DoubleInversionRecovery,
    InversionRecovery,
    PhaseSensitiveInversionRecovery,
    SignalModel,
    SpinEcho,
    Stir,
    T2Flair,
    nulling_inversion_time,
)

CSF_T1 = 4.163  # s
NAMES = ["ir-se", "psir", "t2-flair", "stir", "dir"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # 1 - 2 * 0.606531 + 2 * 0.0502874 - 0.0497871 = -0.162273, times exp(-0.2)
        (InversionRecovery(echo_time=0.02, repetition_time=3.0, inversion_time=0.5), 0.132859),
        (PhaseSensitiveInversionRecovery(echo_time=0.02, repetition_time=3.0, inversion_time=0.5), -0.132859),
        # 1 - 2 * 0.606531 + exp(-2) = -0.0777263, over e
        (T2Flair(echo_time=0.1, repetition_time=2.16, inversion_time=0.5), 0.0285938),
        (Stir(echo_time=0.1, repetition_time=2.16, inversion_time=0.5), 0.0285938),
        # 1 - 2 exp(-0.5) + 2 exp(-1.5) - exp(-3) = 0.183413, over e
        (
            DoubleInversionRecovery(echo_time=0.1, repetition_time=3.16, inversion_time=1.0, second_inversion_time=0.5),
            0.0674738,
        ),
    ],
    ids=name_of,
)
def test_value_worked_by_hand(model: SignalModel, expected: float) -> None:
    assert value(model, 1.0, 0.1) == pytest.approx(expected, abs=1e-6)
    assert value(model, 1.0, 0.1, pd=3.0) == pytest.approx(3 * expected, abs=3e-6)


@pytest.mark.parametrize("name", NAMES)
def test_without_inversion_only_saturation_recovery_is_left(name: str) -> None:
    model = SEQUENCES[name].from_typical(inversion_efficiency=0.0, echo_time=0.01)
    last_pause = getattr(model, "second_inversion_time", model.inversion_time)
    saturated = SpinEcho(echo_time=0.01, repetition_time=last_pause)
    assert value(model, 0.9, 0.07) == pytest.approx(value(saturated, 0.9, 0.07))


@pytest.mark.parametrize(
    ("repetition_time", "train", "expected"), [(math.inf, 0.0, 2.886), (9.0, 0.16, 2.415), (4.8, 0.7, 1.564)]
)
def test_nulling_time_of_csf(repetition_time: float, train: float, expected: float) -> None:
    time = nulling_inversion_time(CSF_T1, repetition_time=repetition_time, train_duration=train)
    assert time == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("efficiency", [1.0, 0.9])
def test_signal_is_null_at_the_nulling_time(name: str, efficiency: float) -> None:
    model: Any = SEQUENCES[name].from_typical(repetition_time=9.0, inversion_efficiency=efficiency)
    last = "second_inversion_time" if name == "dir" else "inversion_time"
    nulling = replace(model, **{last: model.nulling_inversion_time(0.9)})
    assert value(nulling, 0.9) == pytest.approx(0, abs=1e-12)
    assert abs(value(nulling, 1.0)) > 1e-3


@pytest.mark.parametrize("name", ["t2-flair", "stir", "dir"])
def test_nulling_time_includes_the_magnetisation_left_by_low_angles(name: str) -> None:
    model: Any = SEQUENCES[name].from_typical(repetition_time=6.0, echo_train_length=100, refocusing_angle=80 * DEGREES)
    last, t1, t2 = "second_inversion_time" if name == "dir" else "inversion_time", 1.2, 0.09
    with_t2, without = (
        replace(model, **{last: time})
        for time in (model.nulling_inversion_time(t1, t2), model.nulling_inversion_time(t1))
    )
    # 1e-4: the accuracy of the magnetisation left, after the pause to the next inversion
    assert value(with_t2, t1, t2) == pytest.approx(0, abs=1e-4)
    assert abs(value(without, t1, t2)) > 3 * abs(value(with_t2, t1, t2))


@pytest.mark.parametrize(
    ("settings", "infinite", "finite"),
    [
        ({"repetition_time": 9.0, "inversion_time": 2.5}, -0.097, 0.023),
        ({"repetition_time": 4.8, "inversion_time": 1.65, "echo_train_length": 70}, -0.346, 0.028),
    ],
)
def test_finite_repetition_time_and_train_turn_csf_positive_in_flair(
    settings: dict[str, Any], infinite: float, finite: float
) -> None:
    assert 1 - 2 * math.exp(-settings["inversion_time"] / CSF_T1) == pytest.approx(infinite, abs=5e-4)
    model, one = T2Flair.from_typical(echo_time=0.0, **settings), torch.ones(())
    signal = model.signed(one, CSF_T1 * one, one)
    assert signal.item() == pytest.approx(finite, abs=5e-4)  # with its sign
