"""A second road to every signal: Bloch's equations, played pulse by pulse until the signal repeats.

Magnetisation is one 3-vector per tissue and isochromat, on resonance. Pulses are instantaneous rotations,
relaxation acts between them, a spoiler removes the transverse part, a crusher turns every isochromat by its own
angle. Nothing here knows a signal equation or a phase graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Spins:
    """Magnetisation ``(3, tissue, isochromat)`` of several tissues with M0 = 1, at rest along z."""

    def __init__(self, t1: Array, t2: Array, n_isochromats: int = 1) -> None:
        self.t1, self.t2 = t1[:, None], t2[:, None]
        self.phases = 2 * np.pi * np.arange(n_isochromats) / n_isochromats  # of one crusher
        self.m = np.zeros((3, t1.size, n_isochromats))
        self.m[2] = 1

    def signal(self) -> Array:
        """What is along x, all isochromats of a tissue together."""
        return self.m[0].mean(axis=-1)

    def rotate(self, axis: str, angle: float) -> None:
        """Hard pulse of `angle` rad about "x" or "y"; +90 degrees about y turns z into x."""
        cos, sin = math.cos(angle), math.sin(angle)
        about_x = [[1, 0, 0], [0, cos, -sin], [0, sin, cos]]
        about_y = [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]
        self.m = np.tensordot(about_x if axis == "x" else about_y, self.m, axes=1)

    def wait(self, duration: float) -> None:
        """Free relaxation for `duration` s."""
        assert duration > -1e-9
        self.m[:2] *= np.exp(-duration / self.t2)
        self.m[2] = 1 + (self.m[2] - 1) * np.exp(-duration / self.t1)

    def crush(self) -> None:
        """Gradient that turns the isochromats of a voxel through a whole circle."""
        cos, sin = np.cos(self.phases), np.sin(self.phases)
        self.m[:2] = cos * self.m[0] - sin * self.m[1], sin * self.m[0] + cos * self.m[1]

    def spoil(self, *, average: bool = True) -> None:
        """Ideal spoiler; longitudinal magnetisation that differs among isochromats cancels if `average`."""
        self.m[:2] = 0
        if average:
            self.m[2] = self.m[2].mean(axis=-1, keepdims=True)

    def invert(self, efficiency: float) -> None:
        """Inversion that leaves -efficiency of Mz: a pulse below 180 degrees, then a spoiler."""
        self.rotate("y", math.acos(-efficiency))
        self.spoil()

    def echo_train(
        self, angles: Sequence[float], spacing: float, excitation: float = math.pi / 2, *, average: bool = True
    ) -> list[Array]:
        """Excite along x and refocus about x between crushers; what is along x at each echo."""
        self.rotate("y", excitation)
        echoes = []
        for angle in angles:
            self.wait(spacing / 2)
            self.crush()
            self.rotate("x", angle)
            self.crush()
            self.wait(spacing / 2)
            echoes.append(self.signal())
        self.spoil(average=average)
        return echoes

    def readouts(self, n: int, flip_angle: float, spacing: float, echo_time: float) -> list[Array]:
        """`n` spoiled gradient echoes; what is along x at each echo."""
        echoes = []
        for _ in range(n):
            self.rotate("y", flip_angle)
            self.wait(echo_time)
            echoes.append(self.signal())
            self.wait(spacing - echo_time)
            self.spoil()
        return echoes


def steady(spins: Spins, repetition: Callable[[Spins], Any]) -> Any:
    """Signal of a repetition in the steady state."""
    spins.m = fixed_point(spins, repetition)
    for _ in range(20_000):  # the first confirms the fixed point unless isochromats differ at the end of a repetition
        before = spins.m.copy()
        signal = repetition(spins)
        if np.abs(spins.m - before).max() < 1e-10:
            return signal
    raise AssertionError("no steady state after 20000 repetitions")


def fixed_point(spins: Spins, repetition: Callable[[Spins], Any]) -> Array:
    """Magnetisation ``(3, tissue, isochromat)`` that a repetition leaves unchanged, if equal for all isochromats.

    A repetition is affine in the magnetisation that it starts from, so four repetitions give matrix and offset.
    """
    shape, ends = spins.m.shape, []
    for start in (np.zeros(3), *np.eye(3)):
        spins.m = np.broadcast_to(start[:, None, None], shape).copy()
        repetition(spins)
        ends.append(spins.m.mean(axis=-1).T)  # (tissue, 3)
    offset, matrix = ends[0], np.stack([end - ends[0] for end in ends[1:]], axis=-1)
    fixed = np.linalg.solve(np.eye(3) - matrix, offset[..., None])[..., 0].T
    return np.broadcast_to(fixed[..., None], shape).copy()


def saturation_recovery(s: Any) -> Callable[[Spins], Array]:
    """Excitation and decay to TE without any refocusing pulse."""

    def repetition(spins: Spins) -> Array:
        spins.rotate("y", math.pi / 2)
        spins.wait(s.echo_time)
        signal = spins.signal()
        spins.wait(s.repetition_time - s.echo_time)
        spins.spoil()
        return signal

    return repetition


def spin_echo(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        (signal,) = spins.echo_train([field * math.pi], s.echo_time, field * math.pi / 2)
        spins.wait(s.repetition_time - s.echo_time)
        return signal

    return repetition


def turbo_spin_echo(s: Any, field: float = 1.0, *, average: bool = True) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        signal = train(spins, s, field, average=average)
        spins.wait(s.repetition_time - s.echo_train_length * s.echo_spacing)
        return signal

    return repetition


def train(spins: Spins, s: Any, field: float, *, average: bool = True) -> Array:
    """Excite and refocus as a sequence `s` says; what is along x at its echo time."""
    angles = [field * s.refocusing_angle] * s.echo_train_length
    echoes = spins.echo_train(angles, s.echo_spacing, field * math.pi / 2, average=average)
    return echoes[round(s.echo_time / s.echo_spacing) - 1]


def inversion_recovery(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time)
        (signal,) = spins.echo_train([field * math.pi], s.echo_time, field * math.pi / 2)
        spins.wait(s.repetition_time - s.inversion_time - s.echo_time)
        return signal

    return repetition


def inversion_turbo_spin_echo(s: Any, field: float = 1.0, *, average: bool = True) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time)
        signal = train(spins, s, field, average=average)
        spins.wait(s.repetition_time - s.inversion_time - s.echo_train_length * s.echo_spacing)
        return signal

    return repetition


def double_inversion_recovery(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        for pause in (s.inversion_time, s.second_inversion_time):
            spins.invert(s.inversion_efficiency)
            spins.wait(pause)
        signal = train(spins, s, field)
        used = s.inversion_time + s.second_inversion_time + s.echo_train_length * s.echo_spacing
        spins.wait(s.repetition_time - used)
        return signal

    return repetition


def spoiled_gradient_echo(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    def repetition(spins: Spins) -> Array:
        return spins.readouts(1, field * s.flip_angle, s.repetition_time, s.echo_time)[0]

    return repetition


def balanced_ssfp(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    """Two pulses of opposite sign, nothing spoiled."""

    def repetition(spins: Spins) -> Array:
        for sign in (-1, 1):
            spins.rotate("y", sign * field * s.flip_angle)
            spins.wait(s.echo_time)
            signal = sign * spins.signal()
            spins.wait(s.repetition_time - s.echo_time)
        return signal

    return repetition


def mprage(s: Any, field: float = 1.0) -> Callable[[Spins], Array]:
    before = int(s.n_partitions * s.centre_fraction)

    def repetition(spins: Spins) -> Array:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time - before * s.echo_spacing)
        echoes = spins.readouts(s.n_partitions, field * s.flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.repetition_time - s.inversion_time - (s.n_partitions - before) * s.echo_spacing)
        return echoes[before]

    return repetition


def mp2rage(s: Any, field: float = 1.0) -> Callable[[Spins], tuple[Array, Array]]:
    before = int(s.n_partitions * s.centre_fraction)
    block = s.n_partitions * s.echo_spacing

    def repetition(spins: Spins) -> tuple[Array, Array]:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time - before * s.echo_spacing)
        first = spins.readouts(s.n_partitions, field * s.flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.second_inversion_time - s.inversion_time - block)
        second = spins.readouts(s.n_partitions, field * s.second_flip_angle, s.echo_spacing, s.echo_time)
        spins.wait(s.repetition_time - s.second_inversion_time - block + before * s.echo_spacing)
        return first[before], second[before]

    return repetition
