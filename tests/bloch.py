"""A second road to every signal: Bloch's equations, played pulse by pulse until the signal repeats.

Magnetisation is one 3-vector per tissue, on resonance. Pulses are instantaneous rotations, relaxation acts
between them, a spoiler removes the transverse part. Nothing here knows a signal equation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Spins:
    """Magnetisation of several tissues with M0 = 1, at rest along z."""

    def __init__(self, t1: Array, t2: Array) -> None:
        self.t1, self.t2 = t1, t2
        self.m = np.zeros((3, t1.size))
        self.m[2] = 1

    def rotate(self, axis: str, angle: float) -> None:
        """Hard pulse of `angle` rad about "x" or "y"; +90 degrees about y turns z into x."""
        cos, sin = math.cos(angle), math.sin(angle)
        about_x = [[1, 0, 0], [0, cos, -sin], [0, sin, cos]]
        about_y = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
        self.m = np.array(about_x if axis == "x" else about_y) @ self.m

    def wait(self, duration: float) -> None:
        """Free relaxation for `duration` s."""
        assert duration > -1e-9
        self.m[:2] *= np.exp(-duration / self.t2)
        self.m[2] = 1 + (self.m[2] - 1) * np.exp(-duration / self.t1)

    def spoil(self) -> None:
        """Ideal spoiler."""
        self.m[:2] = 0

    def invert(self, efficiency: float) -> None:
        """Inversion that leaves -efficiency of Mz: a pulse below 180 degrees, then a spoiler."""
        self.rotate("y", math.acos(-efficiency))
        self.spoil()

    def echo_train(self, n_echoes: int, spacing: float) -> list[Array]:
        """Excite along x and refocus about x; what is along x at each echo."""
        self.rotate("y", math.pi / 2)
        echoes = []
        for _ in range(n_echoes):
            self.wait(spacing / 2)
            self.rotate("x", math.pi)
            self.wait(spacing / 2)
            echoes.append(self.m[0].copy())
        self.spoil()
        return echoes

    def readouts(self, n: int, flip_angle: float, spacing: float, echo_time: float) -> list[Array]:
        """`n` spoiled gradient echoes; what is along x at each echo."""
        echoes = []
        for _ in range(n):
            self.rotate("y", flip_angle)
            self.wait(echo_time)
            echoes.append(self.m[0].copy())
            self.wait(spacing - echo_time)
            self.spoil()
        return echoes


def steady(spins: Spins, repetition: Callable[[Spins], Any]) -> Any:
    """What a repetition returns once magnetisation at its end no longer changes."""
    for _ in range(20_000):
        before = spins.m.copy()
        signal = repetition(spins)
        if np.abs(spins.m - before).max() < 1e-10:
            return signal
    raise AssertionError("no steady state after 20000 repetitions")


def saturation_recovery(s: Any) -> Callable[[Spins], Array]:
    """Excitation and decay to TE without any refocusing pulse."""

    def repetition(spins: Spins) -> Array:
        spins.rotate("y", math.pi / 2)
        spins.wait(s.echo_time)
        signal = spins.m[0].copy()
        spins.wait(s.repetition_time - s.echo_time)
        spins.spoil()
        return signal

    return repetition


def spin_echo(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        (signal,) = spins.echo_train(1, s.echo_time)
        spins.wait(s.repetition_time - s.echo_time)
        return signal

    return repetition


def turbo_spin_echo(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        echoes = spins.echo_train(s.echo_train_length, s.echo_spacing)
        spins.wait(s.repetition_time - s.echo_train_length * s.echo_spacing)
        return echoes[round(s.echo_time / s.echo_spacing) - 1]

    return repetition


def inversion_recovery(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time)
        (signal,) = spins.echo_train(1, s.echo_time)
        spins.wait(s.repetition_time - s.inversion_time - s.echo_time)
        return signal

    return repetition


def inversion_turbo_spin_echo(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time)
        echoes = spins.echo_train(s.echo_train_length, s.echo_spacing)
        spins.wait(s.repetition_time - s.inversion_time - s.echo_train_length * s.echo_spacing)
        return echoes[round(s.echo_time / s.echo_spacing) - 1]

    return repetition


def double_inversion_recovery(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        for pause in (s.inversion_time, s.second_inversion_time):
            spins.invert(s.inversion_efficiency)
            spins.wait(pause)
        echoes = spins.echo_train(s.echo_train_length, s.echo_spacing)
        used = s.inversion_time + s.second_inversion_time + s.echo_train_length * s.echo_spacing
        spins.wait(s.repetition_time - used)
        return echoes[round(s.echo_time / s.echo_spacing) - 1]

    return repetition


def spoiled_gradient_echo(s: Any) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        return spins.readouts(1, s.flip_angle, s.repetition_time, s.echo_time)[0]

    return repetition


def balanced_ssfp(s: Any) -> Callable[[Spins], Array]:
    """Two pulses of opposite sign, nothing spoiled."""

    def repetition(spins: Spins) -> Array:
        for sign in (-1, 1):
            spins.rotate("y", sign * s.flip_angle)
            spins.wait(s.echo_time)
            signal = sign * spins.m[0]
            spins.wait(s.repetition_time - s.echo_time)
        return signal

    return repetition


def mprage(s: Any) -> Callable[[Spins], Array]:
    before = int(s.n_partitions * s.centre_fraction)

    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time - before * s.echo_spacing)
        echoes = spins.readouts(s.n_partitions, s.flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.repetition_time - s.inversion_time - (s.n_partitions - before) * s.echo_spacing)
        return echoes[before]

    return repetition


def mp2rage(s: Any) -> Callable[[Spins], tuple[Array, Array]]:
    before = int(s.n_partitions * s.centre_fraction)
    block = s.n_partitions * s.echo_spacing

    def repetition(spins: Spins) -> tuple[Array, Array]:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time - before * s.echo_spacing)
        first = spins.readouts(s.n_partitions, s.flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.second_inversion_time - s.inversion_time - block)
        second = spins.readouts(s.n_partitions, s.second_flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.repetition_time - s.second_inversion_time - block + before * s.echo_spacing)
        return first[before], second[before]

    return repetition
