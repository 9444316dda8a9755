"""Protocols of every sequence with their Bloch simulation, and tissues to compare both in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bloch
import numpy as np
import torch

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
DEGREES = math.pi / 180

PROTOCOLS: list[tuple[SignalModel, Callable[..., Any]]] = [  # simulated without crushers
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
TRAINS: list[tuple[SignalModel, Callable[..., Any]]] = [
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


def crushed_signal(model: SignalModel, sequence: Callable[..., Any], field: float = 1.0, **options: Any) -> np.ndarray:
    """Bloch signal with its sign of isochromats that crushers spread around refocusing pulses."""
    pd, t1, t2 = TISSUES.T
    n_isochromats = 4 * getattr(model, "echo_train_length", 2)  # twice the highest order that crushers reach
    spins = bloch.Spins(t1, t2, n_isochromats)
    return np.asarray(pd * bloch.steady(spins, sequence(model, field, **options)))
