"""Extended phase graphs of a CPMG echo train with refocusing angles below 180 degrees.

Excitation along x is followed by refocusing pulses about the same axis, ESP apart, with equal crushers on both
sides of each. The magnetisation is expanded in dephasing states: F_k (transverse) and Z_k (longitudinal), with the
order k counted in half periods between pulses. Only odd orders contribute to echoes, and only even ones to the
longitudinal magnetisation left at the end. The two sets do not mix, so they are computed separately, in real numbers.
Pulses are instantaneous and on resonance, without slice profile or diffusion.

Sources: Hennig 1988 (echo amplitudes of multi-echo sequences with low flip angles); Weigel 2015, Extended phase
graphs (pulse and shift operators).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample

from napari_swig_qmri.physics.quantities import T1, T2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

N_ECHO = 24  # nodes of the polynomial that approximates an echo
N_LEFT = (12, 16)  # nodes along log T1 and log T2 of the polynomials for the longitudinal magnetisation
TABLE = (96, 128)  # T1 and T2 entries of the table computed from these polynomials
N_CACHED = 256  # tables (0.1 MB each) and polynomials kept; a map of the transmit field needs about a hundred


def echo_amplitudes(t1: Tensor, t2: Tensor, angles: Sequence[float], echo_spacing: float) -> Tensor:
    """All echoes of a CPMG train for one unit of excited magnetisation.

    Parameters
    ----------
    t1, t2
        Relaxation times in s, > 0, of equal shape ``(...)``; T1 may be infinite.
    angles
        Refocusing angles in rad, one per echo.
    echo_spacing
        Time between pulses in s.

    Returns
    -------
    Echoes ``(n, ...)``; echo n is at n times the echo spacing.
    """
    n, half = len(angles), (-echo_spacing / 2 / t2).exp()
    decay = _decay(t1, t2, echo_spacing)
    zero = torch.zeros_like(t1)
    states = torch.stack([half, zero, zero])[:, None]  # F_1, F_-1 and Z_1 before the first pulse; later also 3, 5, ...
    echoes = []
    for index, angle in enumerate(angles, start=1):
        states = _pulsed(states, angle)
        echoes.append(half * states[1, 0])
        states = decay * _dephased(states, states[1, :1], min(index, n - index) + 1)
    return torch.stack(echoes)


def longitudinal_left(
    t1: Tensor, t2: Tensor, angles: Sequence[float], echo_spacing: float, start: float = 0.0
) -> Tensor:
    """Longitudinal magnetisation at the last echo for M0 = 1.

    Only magnetisation without crusher phase (order 0) counts; the rest cancels over a voxel.

    Parameters
    ----------
    t1, t2, angles, echo_spacing
        As in `echo_amplitudes`.
    start
        Longitudinal magnetisation right after the excitation.

    Returns
    -------
    Magnetisation with the shape of `t1`.
    """
    n, half, decay = len(angles), (-echo_spacing / 2 / t1).exp(), _decay(t1, t2, echo_spacing)
    zero = torch.zeros_like(t1)
    # imaginary parts of conj F_0 and F_0, and Z_0 before the first pulse; later also of orders 2, 4, ...
    states = torch.stack([zero, zero, 1 + (start - 1) * half])[:, None]
    for index, angle in enumerate(angles, start=1):
        states = _pulsed(states, -angle)
        if index < n:
            lowest = states[1, 1:2] if states.shape[1] > 1 else zero[None]
            states = decay * _dephased(states, -lowest, min(index, n - index) + 1)
            states[2, 0] += 1 - decay[2, 0]
    return 1 + (states[2, 0] - 1) * half


def _decay(t1: Tensor, t2: Tensor, duration: float) -> Tensor:
    """Decay factors ``(3, 1, ...)`` of F_k, F_-k and Z_k over `duration` (s)."""
    transverse = (-duration / t2).exp()
    return torch.stack([transverse, transverse, (-duration / t1).exp()])[:, None]


def _pulsed(states: Tensor, angle: float) -> Tensor:
    """States ``(3, order, ...)`` (F_k, conj F_-k, Z_k) after a rotation by `angle` (rad) about x.

    States are real for F along x. For F along y they are imaginary parts, and the angle has the opposite sign.
    """
    kept, turned, sine = math.cos(angle / 2) ** 2, math.sin(angle / 2) ** 2, math.sin(angle)
    rows = [[kept, turned, sine], [turned, kept, -sine], [-sine / 2, sine / 2, math.cos(angle)]]
    rotation = torch.tensor(rows, dtype=states.dtype, device=states.device)
    return (rotation @ states.flatten(1)).view_as(states)


def _dephased(states: Tensor, lowest: Tensor, n_orders: int) -> Tensor:
    """First `n_orders` of the states after the gradients of one period; `lowest` becomes the lowest F_k."""
    empty = torch.zeros_like(lowest)
    ahead = torch.cat([lowest, states[0]])
    behind = torch.cat([states[1, 1:], empty, empty])
    return torch.stack([ahead, behind, torch.cat([states[2], empty])])[:, :n_orders]


def echo_signal(t1: Tensor, t2: Tensor, *, angle: float, echo_spacing: float, echo_time: float) -> Tensor:
    """Signal of a train of equal refocusing angles, for one unit of excited magnetisation; differentiable.

    Parameters
    ----------
    t1, t2
        Relaxation times in s, > 0, broadcast against each other; T1 below T2 is taken as T2.
    angle
        Refocusing angle in rad.
    echo_spacing, echo_time
        Time between pulses and time of the signal in s. Between two echoes the deviation from exp(-TE/T2) is
        interpolated linearly.

    Notes
    -----
    Magnetisation that is transverse for the time tau decays by exp(-tau/T2 - (TE - tau)/T1), so a signal is exp(-TE/T1)
    times a function of 1/T2 - 1/T1 only. A polynomial through exact values replaces that function: exact up to the 23rd
    echo, and off by less than 3e-4 up to the 200th for angles of 20 degrees and more.
    """
    t1 = torch.maximum(t1, t2)
    before = _echo_before(echo_time, echo_spacing)
    coefficients = _echo_coefficients(angle, echo_spacing, echo_time)
    excess = 1 / t2 - 1 / t1
    scale = max(1.0, before / (N_ECHO - 1)) * echo_spacing
    since_echo = max(echo_time - before * echo_spacing, 0.0)
    return (-echo_time / t1 - since_echo * excess).exp() * _chebyshev(coefficients.tolist(), (-scale * excess).exp())


def _echo_before(echo_time: float, echo_spacing: float) -> int:
    """Number of the last echo at or before `echo_time`; 0 before the first."""
    return int(echo_time / echo_spacing + 1e-6)


@lru_cache(maxsize=N_CACHED)
def _echo_coefficients(angle: float, echo_spacing: float, echo_time: float) -> Tensor:
    """Chebyshev coefficients ``(N_ECHO,)`` of a signal without T1 decay and without the decay since the last echo."""
    before = _echo_before(echo_time, echo_spacing)
    share = min(max(echo_time / echo_spacing - before, 0.0), 1.0)
    scale = max(1.0, before / (N_ECHO - 1))
    period = _nodes(N_ECHO) ** (1 / scale)  # exp(-ESP (1/T2 - 1/T1))
    echoes = echo_amplitudes(torch.full_like(period, math.inf), -1 / period.log(), [angle] * (before + 1), 1.0)
    signal = echoes[before - 1] if before else torch.ones_like(period)
    return _interpolation(N_ECHO) @ ((1 - share) * signal + share * echoes[before] / period)


def longitudinal_signal(
    t1: Tensor, t2: Tensor, *, angle: float, echo_spacing: float, n_echoes: int, start: float = 0.0
) -> Tensor:
    """Longitudinal magnetisation left by a train of equal refocusing angles, within 1e-3 of M0; differentiable.

    Parameters
    ----------
    t1, t2
        Relaxation times in s within the bounds of `quantities`, broadcast against each other.
    angle
        Refocusing angle in rad.
    echo_spacing, n_echoes
        Time between pulses in s and length of the train.
    start
        Longitudinal magnetisation right after the excitation, for M0 = 1.

    Notes
    -----
    Interpolates a table of `longitudinal_left` over log T1 and log T2 linearly. That is accurate enough because the
    magnetisation left is much smaller than the signal in all tissue except CSF.
    """
    table = _left_table(angle, echo_spacing, n_echoes, start).to(t1)
    positions = torch.stack([_position(t2, *T2.bounds) + 0 * t1, _position(t1, *T1.bounds) + 0 * t2], dim=-1)
    left = grid_sample(table[None, None], positions.view(1, 1, -1, 2), padding_mode="border", align_corners=True)
    return left.view(positions.shape[:-1])


def _position(times: Tensor, low: float, high: float) -> Tensor:
    """Position of times (s) on a logarithmic scale, -1 at `low` and 1 at `high`."""
    return (times / low).log() * (2 / math.log(high / low)) - 1


@lru_cache(maxsize=N_CACHED)
def _left_table(angle: float, echo_spacing: float, n_echoes: int, start: float) -> Tensor:
    """Longitudinal magnetisation left, of shape `TABLE`, at T1 and T2 in equal logarithmic steps.

    Computed exactly at Chebyshev nodes and interpolated by polynomials in between.
    """
    times = [
        quantity.bounds[0] * (quantity.bounds[1] / quantity.bounds[0]) ** _nodes(n)
        for quantity, n in zip((T1, T2), N_LEFT, strict=True)
    ]
    t1, t2 = (grid.flatten() for grid in torch.meshgrid(*times, indexing="ij"))
    left = longitudinal_left(t1, t2, [angle] * n_echoes, echo_spacing, start).view(N_LEFT)
    rows, columns = (_polynomials(n_table, n) @ _interpolation(n) for n_table, n in zip(TABLE, N_LEFT, strict=True))
    return rows @ left @ columns.T


def _polynomials(n_positions: int, n: int) -> Tensor:
    """Shifted Chebyshev polynomials 0 to n - 1 ``(n_positions, n)`` at equal steps from 0 to 1."""
    angles = torch.linspace(-1, 1, n_positions, dtype=torch.float64).acos()
    return torch.cos(angles[:, None] * torch.arange(n, dtype=torch.float64))


def _nodes(n: int) -> Tensor:
    """Zeros between 0 and 1 of the n-th shifted Chebyshev polynomial."""
    return 0.5 + 0.5 * torch.cos(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n)


def _interpolation(n: int) -> Tensor:
    """Matrix ``(n, n)`` from values at the nodes to Chebyshev coefficients."""
    order = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi * order[:, None] * (order + 0.5) / n) * (2 / n)
    matrix[0] /= 2
    return matrix


def _chebyshev(coefficients: Sequence[float], position: Tensor) -> Tensor:
    """Sum of shifted Chebyshev polynomials at positions between 0 and 1, by Clenshaw's recurrence."""
    twice = 4 * position - 2
    after, last = torch.zeros_like(position), torch.full_like(position, coefficients[-1])
    for coefficient in reversed(coefficients[1:-1]):
        after, last = last, torch.addcmul(coefficient - after, twice, last)
    return torch.addcmul(coefficients[0] - after, twice, last, value=0.5)
