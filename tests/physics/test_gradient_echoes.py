"""Gradient echoes and inversion read-outs: values worked by hand and limits."""

from __future__ import annotations

import math

import pytest
import torch
from signal_cases import DEGREES, name_of, value

from napari_swig_qmri.physics.signal_models import BalancedSsfp, Mp2rageUni, Mprage, SignalModel, Spgr, SpinEcho

HALF = math.log(2) / 0.2  # 1/s; with R1 = HALF a pause of 0.2 s halves what is missing, E = 1/2

BY_HAND = [
    # E = 1/2, a = 60 degrees: sqrt(3)/2 * (1/2) / (3/4)
    (Spgr(echo_time=0.0, repetition_time=0.2, flip_angle=60 * DEGREES), 1 / HALF, 1.0, 0.577350),
    # E1 = 1/2, E2 = 1/4, a = 90 degrees: (1/2) / (7/8), times exp(-TE/T2) = 1/2
    (
        BalancedSsfp(echo_time=0.1, repetition_time=0.2, flip_angle=90 * DEGREES),
        1 / HALF,
        0.5 / HALF,
        0.285714,
    ),
    # E = cos(a) = 1/2, two read-outs, pauses 0.2 s, TR 0.8 s: M_ss = (53/64) / (65/64), 68/130 at the centre
    (
        Mprage(
            echo_time=0.0,
            repetition_time=0.8,
            inversion_time=0.4,
            flip_angle=60 * DEGREES,
            n_partitions=2,
            echo_spacing=0.2,
        ),
        1 / HALF,
        1.0,
        0.452998,
    ),
    # E = cos(a) = 1/2, one read-out a block, all pauses 0.2 s: M_ss = 109/129, blocks 10/129 and 98/129
    (
        Mp2rageUni(
            echo_time=0.0,
            repetition_time=1.0,
            inversion_time=0.2,
            second_inversion_time=0.6,
            flip_angle=60 * DEGREES,
            second_flip_angle=60 * DEGREES,
            n_partitions=1,
            echo_spacing=0.2,
        ),
        1 / HALF,
        1.0,
        980 / 9704,
    ),
]


@pytest.mark.parametrize(("model", "t1", "t2", "expected"), BY_HAND, ids=name_of)
def test_value_worked_by_hand(model: SignalModel, t1: float, t2: float, expected: float) -> None:
    assert value(model, t1, t2) == pytest.approx(expected, abs=1e-6)
    if model.is_scaled_by_pd:
        assert value(model, t1, t2, pd=3.0) == pytest.approx(3 * expected, abs=3e-6)


def test_right_angle_gradient_echo_is_saturation_recovery() -> None:
    model = Spgr(echo_time=0.01, repetition_time=0.3, flip_angle=90 * DEGREES)
    assert value(model, 0.9, 0.07) == pytest.approx(value(SpinEcho(echo_time=0.01, repetition_time=0.3), 0.9, 0.07))


def test_gradient_echo_peaks_at_the_ernst_angle() -> None:
    ernst = math.acos(math.exp(-0.02 / 0.9))
    peak, *aside = (
        value(Spgr(echo_time=0.003, repetition_time=0.02, flip_angle=angle), 0.9)
        for angle in (ernst, 0.98 * ernst, 1.02 * ernst)
    )
    assert peak > max(aside)


def test_balanced_ssfp_with_equal_t1_and_t2_is_half_of_pd_at_90_degrees() -> None:
    # (1 - E) / (1 - E^2) = 1 / (1 + E), which goes to 1/2 for short TR
    model = BalancedSsfp(echo_time=0.0, repetition_time=0.002, flip_angle=90 * DEGREES)
    assert value(model, 2.0, 2.0) == pytest.approx(0.5, abs=1e-3)


def test_mprage_with_vanishing_flip_angle_is_undisturbed_inversion_recovery() -> None:
    model = Mprage.from_typical(flip_angle=0.1 * DEGREES, echo_time=0.0)
    e_ti, e_tr = math.exp(-0.9), math.exp(-2.3)
    undisturbed = 1 - (1 + (1 - e_tr) / (1 + e_tr)) * e_ti
    # 1e-3: 176 pulses of 0.1 degrees still take 3e-4 of the magnetisation
    assert value(model, 1.0) / math.sin(model.flip_angle) == pytest.approx(undisturbed, abs=1e-3)


def test_uniform_image_is_free_of_pd_and_t2_and_within_a_half() -> None:
    model = Mp2rageUni.from_typical()
    t1 = torch.linspace(0.05, 6.0, 200, dtype=torch.float64)
    uniform = model(torch.rand(200, dtype=torch.float64), t1, torch.rand(200, dtype=torch.float64))
    assert torch.equal(uniform, model(torch.ones(()), t1, torch.ones(())))
    assert uniform.abs().max() <= 0.5


def test_mprage_without_the_readout_train_would_be_too_dark() -> None:
    with_train = value(Mprage.from_typical(echo_time=0.0), 1.56)
    without = abs(1 - 2 * math.exp(-0.9 / 1.56) + math.exp(-2.3 / 1.56)) * math.sin(9 * DEGREES)
    assert without < 0.8 * with_train


def test_short_gradient_echoes_keep_single_precision() -> None:
    # TR / T1 = 4e-4: 1 - exp(-TR/T1) in single precision would be off by 1e-4 of itself
    model = Spgr(echo_time=0.0, repetition_time=0.002, flip_angle=5 * DEGREES)
    maps = [torch.tensor(x, dtype=torch.float32) for x in (1.0, 5.0, 1.0)]
    assert model(*maps).item() == pytest.approx(value(model, 5.0), rel=1e-6)
