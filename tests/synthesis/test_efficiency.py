"""Noise, time and contrast of a sequence, against hand-worked values and simulated noise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tissue_cases import AIR, CSF, GM, LESION, WM

from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage, SpinEcho, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import signals
from napari_swig_qmri.synthesis.efficiency import (
    IMAGE_NOISE,
    efficiency,
    is_unambiguous,
    noise_problem,
    time_per_line,
    uniform_moments,
)

N_DRAWS = 200_000


def test_time_is_that_of_a_line() -> None:
    assert time_per_line(SpinEcho.from_typical()) == 0.5
    assert time_per_line(TurboSpinEcho.from_typical()) == pytest.approx(5 / 16)
    assert time_per_line(Mprage.from_typical()) == pytest.approx(2.3 / 176)
    first, second = signals(SpinEcho.from_typical(), [WM, CSF])
    assert efficiency(SpinEcho.from_typical(), (WM, CSF)) == pytest.approx((first - second) / math.sqrt(0.5))


def test_nothing_has_no_signal() -> None:
    (signal,) = signals(SpinEcho.from_typical(), [WM])
    assert efficiency(SpinEcho.from_typical(), (WM, AIR)) == pytest.approx(signal / math.sqrt(0.5))
    assert efficiency(Mp2rageUni.from_typical(), (AIR, AIR)) == 0


def simulated(first: float, second: float, deviation: float) -> tuple[float, float]:
    """Mean and deviation of the uniform image of two complex images with noise, S1 S2* / (|S1|^2 + |S2|^2)."""
    draw = np.random.default_rng(0).normal(scale=deviation, size=(2, 2, N_DRAWS))
    one, other = first + draw[0, 0] + 1j * draw[0, 1], second + draw[1, 0] + 1j * draw[1, 1]
    values = (one * other.conj()).real / (abs(one) ** 2 + abs(other) ** 2)
    return float(values.mean()), float(values.std())


# 3 per cent: two standard errors of a deviation over the draws are 0.3, the next order of the expansion is s^2
@pytest.mark.parametrize(
    ("first", "second"), [(-0.4, 1.0), (0.2, 1.0), (0.6, 0.9), (0.7, 0.7), (0.7, -0.7), (0.0, 1.0), (1.0, 0.0)]
)
def test_noise_of_the_uniform_image_is_that_of_simulated_images(first: float, second: float) -> None:
    mean, deviation = uniform_moments(np.array(first), np.array(second), 0.05)
    simulated_mean, simulated_deviation = simulated(first, second, 0.05)
    assert float(mean) == pytest.approx(simulated_mean, abs=1e-3)
    assert float(deviation) == pytest.approx(simulated_deviation, rel=0.03)


def test_small_noise_propagates_as_published() -> None:
    # Marques et al. 2010: the derivatives of S1 S2 / (S1^2 + S2^2) by both, times the noise
    first, second, noise = 0.3, 0.8, 1e-4
    square = first**2 + second**2
    by_first, by_second = second * (second**2 - first**2) / square**2, first * (first**2 - second**2) / square**2
    _, deviation = uniform_moments(np.array(first), np.array(second), noise)
    assert float(deviation) == pytest.approx(noise * math.hypot(by_first, by_second), rel=1e-4)


def test_contrast_of_the_uniform_image_is_that_of_simulated_images() -> None:
    sequence = Mp2rageUni.from_typical()
    blocks = sequence.block_signals(torch.tensor([WM.t1, GM.t1], dtype=torch.float64))
    noise = IMAGE_NOISE * GM.pd
    moments = []
    for each, first, second in zip((WM, GM), *blocks, strict=True):
        scale = each.pd * math.exp(-sequence.echo_time / each.t2)
        moments.append(simulated(scale * float(first), scale * float(second), noise))
    (mean, deviation), (other, other_deviation) = moments
    by_hand = noise * abs(mean - other) / math.sqrt((deviation**2 + other_deviation**2) / 2)
    assert efficiency(sequence, (WM, GM)) == pytest.approx(by_hand / math.sqrt(5 / 176), rel=0.02)


def test_contrast_of_the_uniform_image_is_in_the_unit_of_pd_and_fades_with_the_echo() -> None:
    sequence = Mp2rageUni.from_typical()
    usual = efficiency(sequence, (WM, GM))
    scaled = tuple(replace(each, pd=100 * each.pd) for each in (WM, GM))
    assert efficiency(sequence, (scaled[0], scaled[1])) == pytest.approx(100 * usual)
    assert efficiency(replace(sequence, echo_time=0.006), (WM, GM)) < usual


def test_mp2rage_must_tell_t1_apart() -> None:
    usual = Mp2rageUni.from_typical()
    assert is_unambiguous(usual, (WM, GM))
    assert not is_unambiguous(usual, (WM, CSF))  # twice the T1 of CSF is 8.3 s; the usual image is folded at 4.6 s
    assert is_unambiguous(SpinEcho.from_typical(), (WM, CSF))
    assert is_unambiguous(usual, (AIR, AIR))


def test_a_typed_spin_echo_counts_as_the_sequence() -> None:
    sequence = SpinEcho(echo_time=0.04, repetition_time=1.2)
    typed = UserEquation(text="PD * (1 - exp(-TR/T1)) * exp(-TE/T2)", echo_time=0.04, repetition_time=1.2)
    assert noise_problem(typed) is None
    assert efficiency(typed, (WM, LESION)) == pytest.approx(efficiency(sequence, (WM, LESION)), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(1 - exp(-TR/T1)) / exp(-TE/T2)", "not proportional to PD"),
        ("PD * exp(-TE/T2) * (1 - exp(-TR/T1)) + 1", "not proportional to PD"),
        ("PD * exp(-TE/T2)", "has no TR"),
    ],
)
def test_equations_of_unknown_noise_or_time_are_refused(text: str, message: str) -> None:
    assert message in (noise_problem(UserEquation(text=text)) or "")
