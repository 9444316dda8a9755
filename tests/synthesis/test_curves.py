"""Signals of tissues over one setting of a sequence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tissue_cases import AIR, CSF, WM

from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, Spgr, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import (
    N_POINTS,
    N_SEPARATE_POINTS,
    TissueValues,
    movable_settings,
    setting_values,
    signal_error,
    signals,
    sweep,
    with_settings,
)


def test_a_spin_echo_decays_with_t2_by_hand() -> None:
    sequence = SpinEcho(echo_time=0.015, repetition_time=0.5)
    made = sweep(sequence, "echo_time", np.array([0.0, 0.07, 0.14]))([WM, CSF])
    start = 0.7 * (1 - math.exp(-0.5 / 0.8))
    np.testing.assert_allclose(made[0], start * np.exp([0, -1, -2]), rtol=1e-12)
    np.testing.assert_allclose(made[1, 1], (1 - math.exp(-0.5 / 4.163)) * math.exp(-0.035), rtol=1e-12)


def test_flip_angles_are_in_radians_and_ernst_has_the_most_signal() -> None:
    sequence = Spgr.from_typical()
    angles = np.radians(np.arange(1, 60, 0.5))
    made = sweep(sequence, "flip_angle", angles)([WM])
    ernst = math.acos(math.exp(-0.02 / 0.8))
    assert angles[made[0].argmax()] == pytest.approx(ernst, abs=math.radians(0.5))


def test_impossible_settings_leave_gaps() -> None:
    sequence = SpinEcho(echo_time=0.1, repetition_time=0.5)
    made = sweep(sequence, "repetition_time", np.array([0.05, 0.1, 0.2, 100.0]))([WM])
    assert np.isnan(made[0]).tolist() == [True, True, False, True]


KINDS = [kind.from_typical() for kind in SEQUENCES.values()]
LOW_ANGLES = [TurboSpinEcho.from_typical(refocusing_angle=2.0), T2Flair.from_typical(refocusing_angle=2.0)]
EQUATION = UserEquation(text="PD * (1 - exp(-TR/T1)) * exp(-TE/T2) * sin(FA)")


@pytest.mark.parametrize("sequence", [*KINDS, *LOW_ANGLES, EQUATION], ids=lambda each: each.title)
def test_a_sweep_is_the_sequence_at_each_value(sequence: Contrast) -> None:
    for setting in movable_settings(sequence):
        values = np.append(setting_values(sequence, setting, 4), 1e3)  # the last cannot be played out
        swept = sweep(sequence, setting, values)([WM, CSF, AIR])
        one_by_one = [with_settings(sequence, **{setting: float(value)}) for value in values[:-1]]
        expected = [signals(each, [WM, CSF, AIR]) for each in one_by_one if each is not None]
        np.testing.assert_allclose(swept[:, :-1].T, expected, rtol=1e-9, atol=1e-15)
        assert np.isnan(swept[:, -1]).all()


def test_a_sweep_that_cannot_be_played_out_has_no_signal() -> None:
    swept = sweep(SpinEcho.from_typical(), "echo_time", np.array([1.0, 1.5]))([WM])
    assert np.isnan(swept).all()


def test_a_voxel_without_measurement_has_no_signal() -> None:
    values = signals(SpinEcho.from_typical(), [AIR, WM, TissueValues(name="gap", pd=math.nan, t1=1.0, t2=0.1)])
    assert np.isnan(values).tolist() == [True, False, True]
    assert signals(SpinEcho.from_typical(), []).shape == (0,)


def test_gradient_echoes_decay_with_t2star_where_it_is_known() -> None:
    sequence = Spgr.from_typical()
    known = replace(WM, t2star=WM.t2 / 2)
    values = signals(sequence, [WM, known, replace(WM, t2star=0.0)])
    assert values[1] == pytest.approx(values[0] * math.exp(-sequence.echo_time / WM.t2))
    assert math.isnan(values[2])


@pytest.mark.parametrize("name", SEQUENCES)
def test_values_hold_the_present_setting_and_can_be_played_out(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    for setting in movable_settings(sequence):
        values = setting_values(sequence, setting)
        assert len(values) == (N_POINTS if setting.endswith("time") else N_SEPARATE_POINTS)
        assert values[0] <= getattr(sequence, setting) <= values[-1]
        ends = [with_settings(sequence, **{setting: float(value)}) for value in (values[0], values[-1])]
        assert None not in ends


def test_echo_times_reach_the_decay_of_tissue() -> None:
    assert setting_values(SpinEcho.from_typical(), "echo_time")[-1] == pytest.approx(0.25)
    assert setting_values(SpinEcho.from_typical(), "repetition_time")[-1] == pytest.approx(1.5)
    late = T2Flair.from_typical(inversion_time=4.0)  # TR 9 s and a train of 160 ms leave TI up to 8.84 s
    assert setting_values(late, "inversion_time")[-1] == pytest.approx(8.84, abs=0.07)
    assert setting_values(Mprage.from_typical(), "echo_time")[-1] < 0.007


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"Spin echo has no setting 'flip_angle': choose one of echo_time, rep"):
        setting_values(SpinEcho.from_typical(), "flip_angle")


def test_the_error_of_a_signal_is_that_of_random_tissues() -> None:
    errors = {"PD": 0.01, "T1": 0.02, "T2": 0.002}
    drawn = np.random.default_rng(5).normal((WM.pd, WM.t1, WM.t2), list(errors.values()), (20_000, 3))
    tissues = [TissueValues(name="", pd=pd, t1=t1, t2=t2) for pd, t1, t2 in drawn.tolist()]
    for sequence in (SpinEcho(echo_time=0.08, repetition_time=0.6), T2Flair.from_typical(), Spgr.from_typical()):
        assert signal_error(sequence, WM, errors) == pytest.approx(float(signals(sequence, tissues).std()), rel=0.03)


def test_a_signal_has_no_error_without_errors_and_none_where_nothing_was_measured() -> None:
    sequence = SpinEcho(echo_time=0.08, repetition_time=0.6)
    assert signal_error(sequence, WM, {}) is None
    assert signal_error(sequence, AIR, {"T1": 0.1}) is None
    assert signal_error(sequence, WM, {"T2": 10 * WM.t2}) is not None  # larger than the value itself
