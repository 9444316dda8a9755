"""Signal equations against Bloch's equations, values worked by hand, limits, gradients and refusals."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import bloch
import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    BalancedSsfp,
    DoubleInversionRecovery,
    InversionRecovery,
    Mp2rageUni,
    Mprage,
    PhaseSensitiveInversionRecovery,
    SignalModel,
    Spgr,
    SpinEcho,
    Stir,
    T2Flair,
    TurboSpinEcho,
    nulling_inversion_time,
)

TISSUES = np.array(  # PD, T1 s, T2 s: white and grey matter, CSF, fat, lesion at 1.5 T, at 3 T (both brains), at 7 T
    [
        (0.77, 0.5, 0.07),
        (0.86, 0.833, 0.083),
        (1.0, 2.569, 0.329),
        (1.0, 0.35, 0.07),
        (0.76, 0.752, 0.237),
        (0.69, 0.939, 0.062),
        (0.81, 1.31, 0.071),
        (1.0, 4.163, 1.4),
        (0.9, 0.38, 0.08),
        (0.75, 1.35, 0.12),
        (0.7, 1.084, 0.069),
        (0.82, 1.82, 0.099),
        (0.69, 1.22, 0.046),
        (0.82, 2.13, 0.055),
        (1.0, 4.4, 1.0),
        (0.9, 0.42, 0.05),
        (0.75, 1.8, 0.09),
    ]
)
CSF_T1 = 4.163  # s
DEGREES = math.pi / 180

PROTOCOLS: list[tuple[SignalModel, Callable[[Any], Any]]] = [
    (SpinEcho(echo_time=0.015, repetition_time=0.5), bloch.saturation_recovery),
    (SpinEcho(echo_time=0.09, repetition_time=5.0), bloch.saturation_recovery),
    (SpinEcho(echo_time=0.015, repetition_time=0.5, refocused_recovery=True), bloch.spin_echo),
    (SpinEcho(echo_time=0.3, repetition_time=0.5, refocused_recovery=True), bloch.spin_echo),
    (InversionRecovery(echo_time=0.015, repetition_time=4.0, inversion_time=0.4), bloch.inversion_recovery),
    (
        PhaseSensitiveInversionRecovery(
            echo_time=0.08, repetition_time=2.0, inversion_time=0.7, inversion_efficiency=0.9
        ),
        bloch.inversion_recovery,
    ),
    (Spgr(echo_time=0.003, repetition_time=0.02, flip_angle=20 * DEGREES), bloch.spoiled_gradient_echo),
    (Spgr(echo_time=0.005, repetition_time=0.1, flip_angle=70 * DEGREES), bloch.spoiled_gradient_echo),
    (BalancedSsfp(echo_time=0.0025, repetition_time=0.005, flip_angle=45 * DEGREES), bloch.balanced_ssfp),
    (BalancedSsfp(echo_time=0.01, repetition_time=0.03, flip_angle=110 * DEGREES), bloch.balanced_ssfp),
    (
        Mprage(echo_time=0.003, repetition_time=2.3, inversion_time=0.9, flip_angle=9 * DEGREES),
        bloch.mprage,
    ),
    (
        Mprage(
            echo_time=0.004,
            repetition_time=1.9,
            inversion_time=0.6,
            flip_angle=15 * DEGREES,
            n_partitions=75,
            echo_spacing=0.0115,
            centre_fraction=0.3,
            inversion_efficiency=0.94,
        ),
        bloch.mprage,
    ),
]
TRAINS: list[tuple[SignalModel, Callable[[Any], Any]]] = [
    (TurboSpinEcho(echo_time=0.1, repetition_time=4.0), bloch.turbo_spin_echo),
    (
        TurboSpinEcho(echo_time=0.03, repetition_time=0.6, echo_train_length=7, echo_spacing=0.01),
        bloch.turbo_spin_echo,
    ),
    (T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.5), bloch.inversion_turbo_spin_echo),
    (
        T2Flair(
            echo_time=0.12,
            repetition_time=4.8,
            inversion_time=1.65,
            echo_train_length=140,
            echo_spacing=0.005,
            inversion_efficiency=0.95,
        ),
        bloch.inversion_turbo_spin_echo,
    ),
    (Stir(echo_time=0.05, repetition_time=5.0, inversion_time=0.22), bloch.inversion_turbo_spin_echo),
    (
        DoubleInversionRecovery(echo_time=0.1, repetition_time=9.0, inversion_time=2.6, second_inversion_time=0.45),
        bloch.double_inversion_recovery,
    ),
    (
        DoubleInversionRecovery(
            echo_time=0.02,
            repetition_time=6.0,
            inversion_time=1.9,
            second_inversion_time=0.3,
            inversion_efficiency=0.9,
            echo_train_length=8,
        ),
        bloch.double_inversion_recovery,
    ),
]
LOW_ANGLES: list[tuple[SignalModel, Callable[..., Any]]] = [
    (TurboSpinEcho(echo_time=0.1, repetition_time=4.0, refocusing_angle=120 * DEGREES), bloch.turbo_spin_echo),
    (
        TurboSpinEcho(
            echo_time=0.03,
            repetition_time=0.4,
            echo_train_length=5,
            echo_spacing=0.015,
            refocusing_angle=60 * DEGREES,
        ),
        bloch.turbo_spin_echo,
    ),
    (
        T2Flair.from_typical(inversion_efficiency=0.95, refocusing_angle=150 * DEGREES),
        bloch.inversion_turbo_spin_echo,
    ),
    (
        T2Flair(
            echo_time=0.12,
            repetition_time=4.8,
            inversion_time=1.65,
            echo_train_length=50,
            echo_spacing=0.01,
            refocusing_angle=100 * DEGREES,
        ),
        bloch.inversion_turbo_spin_echo,
    ),
    (Stir.from_typical(refocusing_angle=90 * DEGREES), bloch.inversion_turbo_spin_echo),
    (DoubleInversionRecovery.from_typical(refocusing_angle=140 * DEGREES), bloch.double_inversion_recovery),
]
UNIFORM = [
    Mp2rageUni.from_typical(),
    Mp2rageUni.from_typical(
        repetition_time=6.0,
        inversion_time=0.8,
        second_inversion_time=2.7,
        second_flip_angle=7 * DEGREES,
        n_partitions=111,
        centre_fraction=0.25,
        inversion_efficiency=0.96,
    ),
]
ALL = [each.from_typical() for each in SEQUENCES.values()]
LOW = [each for each, _ in LOW_ANGLES]


def name_of(value: object) -> str | None:
    return type(value).__name__ if isinstance(value, SignalModel) else None


def tissue_tensors(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(column, dtype=dtype) for column in TISSUES.T)


def value(model: SignalModel, t1: float, t2: float = 1.0, pd: float = 1.0) -> float:
    return model(*(torch.tensor(x, dtype=torch.float64) for x in (pd, t1, t2))).item()


def bloch_signal(model: SignalModel, sequence: Callable[[Any], Any]) -> np.ndarray:
    pd, t1, t2 = TISSUES.T
    signal = pd * bloch.steady(bloch.Spins(t1, t2), sequence(model))
    return signal if model.is_signed else np.abs(signal)


@pytest.mark.parametrize(("model", "sequence"), PROTOCOLS, ids=name_of)
def test_equation_is_the_bloch_steady_state(model: SignalModel, sequence: Callable[[Any], Any]) -> None:
    # 1e-6: how close the iteration comes to its limit; the equations are exact
    np.testing.assert_allclose(model(*tissue_tensors()).numpy(), bloch_signal(model, sequence), atol=1e-6)


@pytest.mark.parametrize(("model", "sequence"), TRAINS, ids=name_of)
def test_echo_train_is_the_bloch_steady_state_to_four_decimals(
    model: SignalModel, sequence: Callable[[Any], Any]
) -> None:
    # after an odd number of refocusing pulses Mz is not zero but (ESP / 2 T1)^2, 2e-4 in fat before it decays
    np.testing.assert_allclose(model(*tissue_tensors()).numpy(), bloch_signal(model, sequence), atol=5e-5)


@pytest.mark.parametrize("model", UNIFORM, ids=name_of)
def test_uniform_image_is_made_of_both_bloch_blocks(model: Mp2rageUni) -> None:
    _, t1, t2 = TISSUES.T
    first, second = bloch.steady(bloch.Spins(t1, t2), bloch.mp2rage(model))
    uniform = first * second / (first**2 + second**2)
    np.testing.assert_allclose(model(*tissue_tensors()).numpy(), uniform, atol=1e-6)


def crushed_signal(model: SignalModel, sequence: Callable[..., Any], field: float = 1.0, **options: Any) -> np.ndarray:
    """Bloch signal with its sign of isochromats that crushers spread around refocusing pulses."""
    pd, t1, t2 = TISSUES.T
    n_isochromats = 4 * getattr(model, "echo_train_length", 2)  # twice the highest order that crushers reach
    spins = bloch.Spins(t1, t2, n_isochromats)
    return np.asarray(pd * bloch.steady(spins, sequence(model, field, **options)))


@pytest.mark.parametrize(("model", "sequence"), LOW_ANGLES, ids=name_of)
def test_low_refocusing_angles_are_the_steady_state_of_crushed_isochromats(
    model: SignalModel, sequence: Callable[..., Any]
) -> None:
    # 1e-4: the polynomial that stands for what is left along z is off by as much before it decays
    found = model.signed(*tissue_tensors()).numpy()
    np.testing.assert_allclose(found, crushed_signal(model, sequence), atol=1e-4)


@pytest.mark.parametrize(("model", "sequence"), [LOW_ANGLES[i] for i in (0, 2, 3)], ids=name_of)
def test_what_crushers_store_along_z_hardly_reaches_the_next_repetition(
    model: SignalModel, sequence: Callable[..., Any]
) -> None:
    found, kept = model.signed(*tissue_tensors()).numpy(), crushed_signal(model, sequence, average=False)
    is_fluid = TISSUES[:, 1] > 2.5
    # what is stored with a phase outlives the pause in CSF alone, and adds 1 % of water to it after 4 s
    np.testing.assert_allclose(found[~is_fluid], kept[~is_fluid], atol=3e-4)
    np.testing.assert_allclose(found[is_fluid], kept[is_fluid], atol=0.012)


IN_FIELDS: list[tuple[SignalModel, Callable[..., Any]]] = [
    (SpinEcho(echo_time=0.03, repetition_time=0.5, refocused_recovery=True), bloch.spin_echo),
    (InversionRecovery.from_typical(inversion_efficiency=0.9), bloch.inversion_recovery),
    (PhaseSensitiveInversionRecovery.from_typical(repetition_time=1.2), bloch.inversion_recovery),
    (TurboSpinEcho(echo_time=0.04, repetition_time=0.6, echo_train_length=8), bloch.turbo_spin_echo),
    (T2Flair.from_typical(), bloch.inversion_turbo_spin_echo),
    (Stir.from_typical(refocusing_angle=130 * DEGREES), bloch.inversion_turbo_spin_echo),
    (DoubleInversionRecovery.from_typical(), bloch.double_inversion_recovery),
    (Spgr.from_typical(), bloch.spoiled_gradient_echo),
    (BalancedSsfp.from_typical(), bloch.balanced_ssfp),
    (Mprage.from_typical(n_partitions=60), bloch.mprage),
]


@pytest.mark.parametrize("field", [0.7, 1.2])
@pytest.mark.parametrize(("model", "sequence"), IN_FIELDS, ids=name_of)
def test_transmit_field_scales_excitation_and_refocusing(
    model: SignalModel, sequence: Callable[..., Any], field: float
) -> None:
    # 1e-4 as for low refocusing angles; gradient echoes and single echoes are exact
    found = model.signed(*tissue_tensors(), transmit_field=field).numpy()
    expected = crushed_signal(model, sequence, field)
    sign = np.sign(expected) if not model.is_signed and model.is_gradient_echo else 1
    np.testing.assert_allclose(found * sign, expected * sign, atol=1e-4 if hasattr(model, "echo_spacing") else 1e-6)


def test_transmit_field_scales_both_blocks_of_the_uniform_image() -> None:
    _, t1, t2 = TISSUES.T
    model = UNIFORM[1]
    first, second = bloch.steady(bloch.Spins(t1, t2), bloch.mp2rage(model, 0.8))
    found = model.signed(*tissue_tensors(), transmit_field=0.8).numpy()
    np.testing.assert_allclose(found, first * second / (first**2 + second**2), atol=1e-6)


def test_every_sequence_is_checked_in_a_transmit_field() -> None:
    assert {type(model) for model, _ in IN_FIELDS} | {Mp2rageUni} == set(SEQUENCES.values())


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_a_nominal_transmit_field_changes_nothing(model: SignalModel) -> None:
    plain, nearly = (model.signed(*tissue_tensors(), transmit_field=field) for field in (1.0, 1 + 1e-9))
    # 3e-4: the short spin echo leaves out the time to refocusing, and trains of 180 degrees (ESP / 2 T1)^2
    torch.testing.assert_close(plain, nearly, atol=3e-4, rtol=0)
    assert torch.equal(plain if model.is_signed else plain.abs(), model(*tissue_tensors()))


@pytest.mark.parametrize("name", ["tse", "t2-flair", "stir", "dir"])
def test_refocusing_by_180_degrees_is_the_equation_itself(name: str) -> None:
    ideal = SEQUENCES[name].from_typical()
    nearly = replace(ideal, refocusing_angle=179.99 * DEGREES)  # type: ignore[call-arg]
    # 5e-5: what trains leave along z, (ESP / 2 T1)^2, is left out at 180 degrees
    torch.testing.assert_close(nearly(*tissue_tensors()), ideal(*tissue_tensors()), atol=5e-5, rtol=0)
    assert replace(ideal, refocusing_angle=math.pi) == ideal  # type: ignore[call-arg]


def test_every_sequence_is_checked_against_bloch() -> None:
    checked = {type(model) for model, _ in PROTOCOLS + TRAINS} | {type(model) for model in UNIFORM}
    assert checked == set(SEQUENCES.values())


HALF = math.log(2) / 0.2  # 1/s; with R1 = HALF a pause of 0.2 s halves what is missing, E = 1/2

BY_HAND = [
    # (1 - 1/e) / e
    (SpinEcho(echo_time=0.1, repetition_time=1.0), 1.0, 0.1, 0.232544),
    # 1 - 2 exp(-0.95) + exp(-1) = 0.594397, over e
    (SpinEcho(echo_time=0.1, repetition_time=1.0, refocused_recovery=True), 1.0, 0.1, 0.218667),
    # 1.16 s less a train of 0.16 s is one T1
    (TurboSpinEcho(echo_time=0.1, repetition_time=1.16), 1.0, 0.1, 0.232544),
    # 1 - 2 * 0.606531 + 2 * 0.0502874 - 0.0497871 = -0.162273, times exp(-0.2)
    (InversionRecovery(echo_time=0.02, repetition_time=3.0, inversion_time=0.5), 1.0, 0.1, 0.132859),
    (
        PhaseSensitiveInversionRecovery(echo_time=0.02, repetition_time=3.0, inversion_time=0.5),
        1.0,
        0.1,
        -0.132859,
    ),
    # 1 - 2 * 0.606531 + exp(-2) = -0.0777263, over e
    (T2Flair(echo_time=0.1, repetition_time=2.16, inversion_time=0.5), 1.0, 0.1, 0.0285938),
    (Stir(echo_time=0.1, repetition_time=2.16, inversion_time=0.5), 1.0, 0.1, 0.0285938),
    # 1 - 2 exp(-0.5) + 2 exp(-1.5) - exp(-3) = 0.183413, over e
    (
        DoubleInversionRecovery(echo_time=0.1, repetition_time=3.16, inversion_time=1.0, second_inversion_time=0.5),
        1.0,
        0.1,
        0.0674738,
    ),
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


def test_long_repetition_time_leaves_pd_and_t2_decay() -> None:
    for model in (
        SpinEcho(echo_time=0.1, repetition_time=60.0),
        TurboSpinEcho(echo_time=0.1, repetition_time=60.0),
    ):
        assert value(model, 1.0, 0.1, pd=0.8) == pytest.approx(0.8 / math.e)


def test_both_spin_echo_forms_agree_as_te_goes_to_zero() -> None:
    exact = SpinEcho(echo_time=1e-6, repetition_time=0.5, refocused_recovery=True)
    short = replace(exact, refocused_recovery=False)
    assert value(exact, 0.9, 0.07) == pytest.approx(value(short, 0.9, 0.07), rel=1e-5)


@pytest.mark.parametrize("name", ["ir-se", "psir", "t2-flair", "stir", "dir"])
def test_without_inversion_only_saturation_recovery_is_left(name: str) -> None:
    model = SEQUENCES[name].from_typical(inversion_efficiency=0.0, echo_time=0.01)
    last_pause = getattr(model, "second_inversion_time", model.inversion_time)
    saturated = SpinEcho(echo_time=0.01, repetition_time=last_pause)
    assert value(model, 0.9, 0.07) == pytest.approx(value(saturated, 0.9, 0.07))


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


def test_t2star_acts_in_gradient_echoes_only() -> None:
    maps = [torch.tensor(x, dtype=torch.float64) for x in (0.8, 1.2, 0.08)]
    t2star = torch.tensor(0.04, dtype=torch.float64)
    for model in ALL:
        ratio = (model(*maps, t2star) / model(*maps)).item()
        faster = model.is_gradient_echo and model.is_scaled_by_pd
        loss = model.echo_time * (1 / 0.04 - 1 / 0.08) if faster else 0.0
        assert ratio == pytest.approx(math.exp(-loss))


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_only_signed_sequences_go_below_zero(model: SignalModel) -> None:
    t1 = torch.logspace(-1.5, 0.8, 100, dtype=torch.float64)
    signal = model(torch.ones(()), t1, torch.ones(()))
    assert (signal.min() < 0) == model.is_signed


@pytest.mark.parametrize(
    ("repetition_time", "train", "expected"), [(math.inf, 0.0, 2.886), (9.0, 0.16, 2.415), (4.8, 0.7, 1.564)]
)
def test_nulling_time_of_csf(repetition_time: float, train: float, expected: float) -> None:
    found = nulling_inversion_time(CSF_T1, repetition_time=repetition_time, train_duration=train)
    assert found == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("name", ["ir-se", "psir", "t2-flair", "stir", "dir"])
@pytest.mark.parametrize("efficiency", [1.0, 0.9])
def test_signal_is_null_at_the_nulling_time(name: str, efficiency: float) -> None:
    model = SEQUENCES[name].from_typical(repetition_time=9.0, inversion_efficiency=efficiency)
    last = "second_inversion_time" if name == "dir" else "inversion_time"
    nulling = replace(model, **{last: model.nulling_inversion_time(0.9)})
    assert value(nulling, 0.9) == pytest.approx(0, abs=1e-12)
    assert abs(value(nulling, 1.0)) > 1e-3


@pytest.mark.parametrize("name", ["t2-flair", "stir", "dir"])
def test_nulling_time_accounts_for_what_low_angles_leave(name: str) -> None:
    model = SEQUENCES[name].from_typical(repetition_time=6.0, echo_train_length=100, refocusing_angle=80 * DEGREES)
    last, t1, t2 = "second_inversion_time" if name == "dir" else "inversion_time", 1.2, 0.09
    nulled, ignorant = (
        replace(model, **{last: time})
        for time in (model.nulling_inversion_time(t1, t2), model.nulling_inversion_time(t1))
    )
    # 1e-4: the accuracy of what is left along z, after the pause to the next inversion
    assert value(nulled, t1, t2) == pytest.approx(0, abs=1e-4)
    assert abs(value(ignorant, t1, t2)) > 3 * abs(value(nulled, t1, t2))


@pytest.mark.parametrize(
    ("settings", "infinite", "finite"),
    [
        ({"repetition_time": 9.0, "inversion_time": 2.5}, -0.097, 0.023),
        ({"repetition_time": 4.8, "inversion_time": 1.65, "echo_train_length": 70}, -0.346, 0.028),
    ],
)
def test_flair_trap_finite_repetition_time_and_train_turn_csf_positive(
    settings: dict[str, Any], infinite: float, finite: float
) -> None:
    assert 1 - 2 * math.exp(-settings["inversion_time"] / CSF_T1) == pytest.approx(infinite, abs=5e-4)
    model = T2Flair.from_typical(echo_time=0.0, **settings)
    assert value(model, CSF_T1) == pytest.approx(finite, abs=5e-4)
    assert model._excited(*torch.tensor([[CSF_T1], [1.0]])).item() > 0  # before the magnitude, too


def test_mprage_trap_the_readout_train_is_not_optional() -> None:
    with_train = value(Mprage.from_typical(echo_time=0.0), 1.56)
    without = abs(1 - 2 * math.exp(-0.9 / 1.56) + math.exp(-2.3 / 1.56)) * math.sin(9 * DEGREES)
    assert without < 0.8 * with_train


SENSITIVITIES = [  # d ln S / d ln T1 and T2, two decimals: white (830/75 ms), grey matter (1557/83 ms)
    (
        SpinEcho(echo_time=0.015, repetition_time=0.5, refocused_recovery=True),
        (-0.74, 0.20),
        (-0.85, 0.18),
    ),
    (TurboSpinEcho(echo_time=0.1, repetition_time=4.0), (-0.05, 1.33), (-0.23, 1.20)),
    (T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.5), (-0.33, 1.60), (-1.04, 1.45)),
    (Mprage.from_typical(echo_time=1e-6), (-1.04, 0.0), (-1.31, 0.0)),
]


def sensitivity(model: SignalModel, t1: float, t2: float) -> list[float]:
    logs = torch.tensor([t1, t2], dtype=torch.float64).log().requires_grad_()
    signal = model(torch.ones(()), *logs.exp())
    return torch.autograd.grad(signal.abs().log(), logs)[0].tolist()


@pytest.mark.parametrize(("model", "white", "grey"), SENSITIVITIES, ids=name_of)
def test_sensitivity_to_relaxation_times(
    model: SignalModel, white: tuple[float, float], grey: tuple[float, float]
) -> None:
    assert sensitivity(model, 0.83, 0.075) == pytest.approx(white, abs=0.01)
    assert sensitivity(model, 1.557, 0.083) == pytest.approx(grey, abs=0.01)


def test_csf_in_flair_is_extremely_sensitive_to_t1() -> None:
    model = T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.5)
    assert sensitivity(model, CSF_T1, 1.5)[0] == pytest.approx(-17.9, abs=0.05)


@pytest.mark.parametrize("model", ALL + LOW, ids=name_of)
def test_gradient_is_that_of_finite_differences(model: SignalModel) -> None:
    maps = tuple(column[:6].clone().requires_grad_() for column in tissue_tensors())
    t2star = (0.6 * maps[2].detach()).requires_grad_()
    assert torch.autograd.gradcheck(model, (*maps, t2star))


@pytest.mark.parametrize("model", ALL + LOW, ids=name_of)
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_background_and_bounds_have_finite_values_and_gradients(model: SignalModel, corner: tuple[int, int]) -> None:
    bounds = (0.0, T1.bounds[corner[0]], T2.bounds[corner[1]])
    maps = [torch.tensor([x], dtype=torch.float32, requires_grad=True) for x in bounds]
    signal = model(*maps)
    gradients = torch.autograd.grad(signal.sum(), maps)
    assert torch.isfinite(signal).all()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    if model.is_scaled_by_pd:
        assert signal.item() == 0


@pytest.mark.parametrize("model", ALL, ids=name_of)
def test_single_precision_is_enough(model: SignalModel) -> None:
    # 2e-6 of PD: some 20 roundings of 6e-8; the uniform image divides small signals by each other
    single = model(*tissue_tensors(torch.float32)).double()
    tolerance = 2e-6 if model.is_scaled_by_pd else 2e-5
    torch.testing.assert_close(single, model(*tissue_tensors()), atol=tolerance, rtol=0)


def test_short_gradient_echoes_keep_single_precision() -> None:
    # TR / T1 = 4e-4: 1 - exp(-TR/T1) in single precision would be off by 1e-4 of itself
    model = Spgr(echo_time=0.0, repetition_time=0.002, flip_angle=5 * DEGREES)
    maps = [torch.tensor(x, dtype=torch.float32) for x in (1.0, 5.0, 1.0)]
    assert model(*maps).item() == pytest.approx(value(model, 5.0), rel=1e-6)


def test_maps_broadcast_and_keep_shape_and_type() -> None:
    pd, t1, t2 = torch.rand(3, 2, 1, 4, 5, 6) + 0.1
    for model in ALL:
        assert model(pd, t1, t2).shape == (2, 1, 4, 5, 6)
        assert model(pd, t1, t2).dtype == torch.float32


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("spin-echo", {"echo_time": 0.6}, "TE 600 ms is not shorter than TR 500 ms"),
    ("spin-echo", {"echo_time": -0.01}, "Echo time (TE) must be between 0 ms and 2000 ms, but it is -10 ms"),
    ("spin-echo", {"repetition_time": math.nan}, "but it is nan ms"),
    ("spin-echo", {"repetition_time": math.inf}, "but it is inf ms"),
    ("spin-echo", {"repetition_time": 500.0}, "but it is 500000 ms"),
    ("tse", {"echo_time": 0.2}, "TE 200 ms lies outside the echo train of 16 x 10 ms = 160 ms"),
    ("tse", {"repetition_time": 0.15}, "does not fit into the 150 ms left in TR 150 ms"),
    ("tse", {"echo_train_length": 2.5}, "a whole number between 1 and 1024, but it is 2.5"),
    ("ir-se", {"inversion_time": 4.0}, "TI 4000 ms and TE 15 ms do not fit into TR 4000 ms"),
    ("psir", {"inversion_efficiency": 1.2}, "Inversion efficiency must be between 0 and 1, but it is 1.2"),
    ("t2-flair", {"inversion_time": 9.0}, "TI 9000 ms is not shorter than TR 9000 ms"),
    ("t2-flair", {"inversion_time": 8.9}, "does not fit into the 100 ms left in TR 9000 ms"),
    (
        "stir",
        {"inversion_time": -0.2},
        "Inversion time (TI) must be between 1 ms and 20000 ms, but it is -200 ms",
    ),
    ("dir", {"inversion_time": 8.6}, "TI 8600 ms and TI2 450 ms do not fit into TR 9000 ms"),
    ("dir", {"inversion_time": 8.5}, "does not fit into the 50 ms left in TR 9000 ms"),
    ("spgr", {"echo_time": 0.03}, "TE 30 ms is not shorter than TR 20 ms"),
    ("spgr", {"flip_angle": 20.0}, "must be between 0.1 degrees and 180 degrees, but it is 1146 degrees"),
    ("bssfp", {"repetition_time": 0.0}, "but it is 0 ms"),
    ("mprage", {"inversion_time": 0.3}, "begins at -316 ms, but the inversion is at 0 ms"),
    ("mprage", {"repetition_time": 1.2}, "ends at 1516 ms, after TR 1200 ms"),
    ("mprage", {"echo_time": 0.008}, "TE 8 ms is not shorter than the read-out spacing 7 ms"),
    (
        "mp2rage-uni",
        {"second_inversion_time": 1.0},
        "begins at 384 ms, but the block before it ends at 1316 ms",
    ),
    ("mp2rage-uni", {"n_partitions": 0}, "a whole number between 1 and 2048, but it is 0"),
]


@pytest.mark.parametrize(("name", "settings", "words"), REFUSALS)
def test_impossible_settings_are_refused_with_one_sentence(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=SEQUENCES[name].title) as refusal:
        SEQUENCES[name].from_typical(**settings)
    sentence = str(refusal.value)
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def refusal_of(name: str, **settings: float) -> str:
    with pytest.raises(ValueError, match=SEQUENCES[name].title) as refusal:
        SEQUENCES[name].from_typical(**settings)
    return str(refusal.value)


def sequences_with(setting: str) -> list[str]:
    return [name for name, sequence in SEQUENCES.items() if setting in {field.name for field in fields(sequence)}]


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("more", [0.0, 0.1])
def test_every_sequence_refuses_an_echo_at_or_after_its_repetition(name: str, more: float) -> None:
    inversions = {each: 1e-3 for each in ("inversion_time", "second_inversion_time") if name in sequences_with(each)}
    sentence = refusal_of(name, repetition_time=0.04, echo_time=0.04 + more, **inversions)
    assert f"TE {40 + 1e3 * more:g} ms" in sentence
    assert sentence.endswith("; change one of them.")


@pytest.mark.parametrize("name", sequences_with("inversion_time"))
@pytest.mark.parametrize("more", [0.0, 0.5])
def test_every_sequence_refuses_an_inversion_at_or_after_its_repetition(name: str, more: float) -> None:
    repetition_time = SEQUENCES[name].typical["repetition_time"]
    sentence = refusal_of(name, inversion_time=repetition_time + more)
    assert "TI " in sentence
    assert sentence.endswith("; change one of them.")


@pytest.mark.parametrize("name", sequences_with("second_inversion_time"))
def test_every_sequence_refuses_a_second_inversion_after_its_repetition(name: str) -> None:
    repetition_time = SEQUENCES[name].typical["repetition_time"]
    assert "TR" in refusal_of(name, second_inversion_time=repetition_time)


@pytest.mark.parametrize("name", [*sequences_with("echo_train_length"), *sequences_with("n_partitions")])
def test_every_sequence_refuses_a_train_longer_than_its_repetition(name: str) -> None:
    length = "echo_train_length" if name in sequences_with("echo_train_length") else "n_partitions"
    sequence = SEQUENCES[name].from_typical()
    spacing = sequence.repetition_time / 100
    sentence = refusal_of(name, **{length: 101, "echo_spacing": spacing})
    assert f"101 x {1e3 * spacing:.6g} ms" in sentence
    assert sentence.endswith("; change one of them.")


@pytest.mark.parametrize("name", sequences_with("refocusing_angle"))
@pytest.mark.parametrize("degrees", [0.0, 181.0])
def test_impossible_refocusing_angles_are_refused(name: str, degrees: float) -> None:
    assert "Refocusing angle must be between 0.1 degrees and 180 degrees" in refusal_of(
        name, refocusing_angle=degrees * DEGREES
    )


def test_text_instead_of_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a number, but it is '90'"):
        SpinEcho(echo_time="90", repetition_time=5.0)  # type: ignore[arg-type]


def test_every_field_says_its_label_unit_and_range() -> None:
    for sequence in SEQUENCES.values():
        for field in fields(sequence):
            low, high = field.metadata["range"]
            assert field.metadata["label"]
            assert field.metadata["unit"] in ("s", "rad", "1")
            assert low < high


def test_all_sequences_have_their_command_line_names() -> None:
    names = "spin-echo tse ir-se psir t2-flair stir dir spgr mprage mp2rage-uni bssfp"
    assert " ".join(SEQUENCES) == names


def test_importing_signal_models_loads_no_torch() -> None:
    code = "import sys, napari_swig_qmri.data.sidecars; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
