"""Spin echoes and echo trains: values worked by hand, limits, and crushers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from signal_cases import DEGREES, LOW_ANGLES, TISSUES, crushed_signal, name_of, tissue_tensors, value

from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel, SpinEcho, TurboSpinEcho


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # (1 - 1/e) / e
        (SpinEcho(echo_time=0.1, repetition_time=1.0), 0.232544),
        # 1 - 2 exp(-0.95) + exp(-1) = 0.594397, over e
        (SpinEcho(echo_time=0.1, repetition_time=1.0, refocused_recovery=True), 0.218667),
        # 1.16 s less a train of 0.16 s is one T1
        (TurboSpinEcho(echo_time=0.1, repetition_time=1.16), 0.232544),
    ],
    ids=name_of,
)
def test_value_worked_by_hand(model: SignalModel, expected: float) -> None:
    assert value(model, 1.0, 0.1) == pytest.approx(expected, abs=1e-6)
    assert value(model, 1.0, 0.1, pd=3.0) == pytest.approx(3 * expected, abs=3e-6)


@pytest.mark.parametrize("kind", [SpinEcho, TurboSpinEcho])
def test_long_repetition_time_leaves_pd_and_t2_decay(kind: type[SignalModel]) -> None:
    assert value(kind(echo_time=0.1, repetition_time=60.0), 1.0, 0.1, pd=0.8) == pytest.approx(0.8 / math.e)


def test_both_spin_echo_forms_agree_as_te_goes_to_zero() -> None:
    exact = SpinEcho(echo_time=1e-6, repetition_time=0.5, refocused_recovery=True)
    short = replace(exact, refocused_recovery=False)
    assert value(exact, 0.9, 0.07) == pytest.approx(value(short, 0.9, 0.07), rel=1e-5)


@pytest.mark.parametrize("name", ["tse", "t2-flair", "stir", "dir"])
def test_refocusing_by_almost_180_degrees_approaches_the_ideal_equation(name: str) -> None:
    ideal = SEQUENCES[name].from_typical()
    nearly = replace(ideal, refocusing_angle=179.99 * DEGREES)  # type: ignore[call-arg]
    # 5e-5: at exactly 180 degrees the magnetisation left along z, (ESP / 2 T1)^2, is neglected
    torch.testing.assert_close(nearly(*tissue_tensors()), ideal(*tissue_tensors()), atol=5e-5, rtol=0)
    assert replace(ideal, refocusing_angle=math.pi) == ideal  # type: ignore[call-arg]


@pytest.mark.parametrize(("model", "sequence"), [LOW_ANGLES[i] for i in (0, 2, 3)], ids=name_of)
def test_magnetisation_with_crusher_phase_hardly_reaches_the_next_repetition(
    model: SignalModel, sequence: Callable[..., Any]
) -> None:
    signal, kept = model.signed(*tissue_tensors()).numpy(), crushed_signal(model, sequence, average=False)
    is_fluid = TISSUES[:, 1] > 2.5
    # magnetisation stored with a phase persists in CSF alone, and adds 1 % of water to it after 4 s
    np.testing.assert_allclose(signal[~is_fluid], kept[~is_fluid], atol=3e-4)
    np.testing.assert_allclose(signal[is_fluid], kept[is_fluid], atol=0.012)


def sensitivity(model: SignalModel, t1: float, t2: float) -> list[float]:
    """Relative change of the signal per relative change of T1 and T2."""
    logs = torch.tensor([t1, t2], dtype=torch.float64).log().requires_grad_()
    signal = model(torch.ones(()), *logs.exp())
    return torch.autograd.grad(signal.abs().log(), logs)[0].tolist()


def test_sensitivity_to_relaxation_times() -> None:
    """Two decimals: white matter (830/75 ms) and grey matter (1557/83 ms)."""
    flair = SEQUENCES["t2-flair"](echo_time=0.12, repetition_time=9.0, inversion_time=2.5)
    for model, white, grey in (
        (SpinEcho(echo_time=0.015, repetition_time=0.5, refocused_recovery=True), (-0.74, 0.20), (-0.85, 0.18)),
        (TurboSpinEcho(echo_time=0.1, repetition_time=4.0), (-0.05, 1.33), (-0.23, 1.20)),
        (flair, (-0.33, 1.60), (-1.04, 1.45)),
        (SEQUENCES["mprage"].from_typical(echo_time=1e-6), (-1.04, 0.0), (-1.31, 0.0)),
    ):
        assert sensitivity(model, 0.83, 0.075) == pytest.approx(white, abs=0.01)
        assert sensitivity(model, 1.557, 0.083) == pytest.approx(grey, abs=0.01)
    assert sensitivity(flair, 4.163, 1.5)[0] == pytest.approx(-17.9, abs=0.05)
