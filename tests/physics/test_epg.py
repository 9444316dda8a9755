"""Phase graphs against isochromats, values worked by hand and limits; polynomials and tables against phase graphs."""

from __future__ import annotations

import math

import bloch
import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.epg import echo_amplitudes, echo_signal, longitudinal_left, longitudinal_signal
from napari_swig_qmri.physics.quantities import T1, T2

DEGREES = math.pi / 180
TIMES = np.array([(0.8, 0.08), (1.4, 0.09), (4.2, 1.8), (0.35, 0.07), (0.3, 0.3), (2.0, 0.005)])
TRAINS = [[120 * DEGREES] * 7, [60 * DEGREES] * 10, [math.pi] * 4, [2.5, 1.0, 0.3, 2.9, 1.7], [0.5]]
SPACING = 0.02  # s
EPYG = [  # angle in degrees, echoes and magnetisation left along z computed by epyg 0.2.0 for T1 1.4 s, T2 0.09 s
    (120, (0.600553052, 0.656681325, 0.450303229, 0.404254125, 0.324604518), 0.005761189),
    (60, (0.200184351, 0.336091131, 0.344646809, 0.319651079, 0.255053455), 0.028973598),
]


def tensors(times: np.ndarray = TIMES) -> tuple[torch.Tensor, torch.Tensor]:
    t1, t2 = torch.tensor(times, dtype=torch.float64).T
    return t1, t2


def all_times(n: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """T1 and T2 over the whole range of maps, T2 up to T1."""
    generator = torch.Generator().manual_seed(0)
    t1, t2 = (
        low * (high / low) ** torch.rand(n, generator=generator, dtype=torch.float64)
        for low, high in (T1.bounds, T2.bounds)
    )
    return t1, torch.minimum(t1, t2)


@pytest.mark.parametrize("angles", TRAINS)
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_phase_graphs_are_crushed_isochromats(angles: list[float], start: float) -> None:
    spins = bloch.Spins(*TIMES.T, n_isochromats=4 * len(angles))
    spins.m[2] = math.hypot(1, start)  # the excitation leaves `start` along z, and 1 in the transverse plane
    echoes = spins.echo_train(angles, SPACING, math.atan2(1, start))
    # 1e-14: both are exact, so that only rounding is left
    np.testing.assert_allclose(echo_amplitudes(*tensors(), angles, SPACING).numpy(), echoes, atol=1e-14)
    left = longitudinal_left(*tensors(), angles, SPACING, start)
    np.testing.assert_allclose(left.numpy(), spins.m[2, :, 0], atol=1e-14)


@pytest.mark.parametrize("angles", TRAINS)
def test_phase_graphs_are_those_of_a_published_library(angles: list[float]) -> None:
    operators = pytest.importorskip("epyg.Operators", reason="pip install --no-deps epyg")
    from epyg.EpyG import epg

    ours, left = echo_amplitudes(*tensors(), angles, SPACING), longitudinal_left(*tensors(), angles, SPACING)
    for tissue, (t1, t2) in enumerate(TIMES):
        graph = epg(initial_size=4 * len(angles) + 8)
        operators.Transform(math.pi / 2, math.pi / 2) * graph
        relaxation, dephasing = operators.Epsilon(SPACING / 2 / t1, SPACING / 2 / t2), operators.Shift(1, compact=0)
        for index, angle in enumerate(angles):
            for operator in (relaxation, dephasing, operators.Transform(angle, 0.0), relaxation, dephasing):
                operator * graph
            assert abs(graph.get_f(0)) == pytest.approx(abs(ours[index, tissue].item()), abs=1e-13)
        assert graph.get_z(0).real == pytest.approx(left[tissue].item(), abs=1e-13)


@pytest.mark.parametrize(("degrees", "echoes", "left"), EPYG)
def test_phase_graphs_give_the_numbers_of_a_published_library(
    degrees: float, echoes: tuple[float, ...], left: float
) -> None:
    times = torch.tensor([1.4, 0.09], dtype=torch.float64)[:, None]
    angles = [degrees * DEGREES] * len(echoes)
    found = echo_amplitudes(*times, angles, SPACING)[:, 0]
    np.testing.assert_allclose(found.numpy(), echoes, atol=1e-9)  # as many digits as are written down
    assert longitudinal_left(*times, angles, SPACING).item() == pytest.approx(left, abs=1e-9)


def test_echoes_of_180_degrees_decay_with_t2() -> None:
    t1, t2 = tensors()
    times = SPACING * torch.arange(1, 13, dtype=torch.float64)[:, None]
    torch.testing.assert_close(echo_amplitudes(t1, t2, [math.pi] * 12, SPACING), (-times / t2).exp())


def test_first_two_echoes_by_hand() -> None:
    (t1, t2), angle = tensors(), 110 * DEGREES
    e1, e2 = (-SPACING / t1).exp(), (-SPACING / t2).exp()
    first, second = echo_amplitudes(t1, t2, [angle] * 2, SPACING)
    torch.testing.assert_close(first, math.sin(angle / 2) ** 2 * e2)
    # refocused twice, or stored along z for one period and stimulated
    torch.testing.assert_close(second, e2 * (math.sin(angle / 2) ** 4 * e2 + math.sin(angle) ** 2 / 2 * e1))


@pytest.mark.parametrize("degrees", [40, 90, 150])
def test_without_relaxation_echoes_settle_at_the_sine_of_half_the_angle(degrees: float) -> None:
    never = torch.tensor([math.inf], dtype=torch.float64)
    echoes = echo_amplitudes(never, never, [degrees * DEGREES] * 150, SPACING)
    # magnetisation rotates about the axis of a period; only its part along that axis remains, with mean sin(a/2)
    assert echoes[-20:].mean().item() == pytest.approx(math.sin(degrees * DEGREES / 2), abs=2e-3)


def test_magnetisation_along_z_of_a_spin_echo_by_hand() -> None:
    (t1, t2), angle = tensors(), 130 * DEGREES
    half = (-SPACING / 2 / t1).exp()
    expected = 1 - half + half * math.cos(angle) * (1 - half)
    torch.testing.assert_close(longitudinal_left(t1, t2, [angle], SPACING), expected)


@pytest.mark.parametrize(
    ("spacing", "n", "angles"),
    [
        (0.01, 3, (20, 60, 120, 150, 170)),
        (0.01, 16, (20, 60, 120, 150, 170)),
        (0.02, 23, (20, 60, 120, 150, 170)),
        (0.005, 70, (20, 120)),
        pytest.param(0.004, 200, (20, 60, 120, 150, 170), marks=pytest.mark.slow),
    ],
)
def test_polynomials_and_tables_agree_with_phase_graphs(spacing: float, n: int, angles: tuple[float, ...]) -> None:
    t1, t2 = all_times()
    for angle in (degrees * DEGREES for degrees in angles):
        signal = echo_signal(t1, t2, angle=angle, echo_spacing=spacing, echo_time=n * spacing)
        exact = echo_amplitudes(t1, t2, [angle] * n, spacing)[-1]
        # the accuracies stated in the docstrings, relative to the excited magnetisation and to M0
        torch.testing.assert_close(signal, exact, atol=1e-12 if n <= 23 else 3e-4, rtol=0)
        left = longitudinal_signal(t1, t2, angle=angle, echo_spacing=spacing, n_echoes=n)
        torch.testing.assert_close(left, longitudinal_left(t1, t2, [angle] * n, spacing), atol=1e-3, rtol=0)


def test_slopes_of_the_polynomials_are_those_of_phase_graphs() -> None:
    times = TIMES[TIMES[:, 0] > TIMES[:, 1]]  # the slope is discontinuous at T1 = T2
    logs = torch.tensor(times, dtype=torch.float64).log().T.clone().requires_grad_()
    n, spacing, angle = 30, 0.01, 110 * DEGREES
    signal = echo_signal(*logs.exp(), angle=angle, echo_spacing=spacing, echo_time=n * spacing)
    exact = echo_amplitudes(*logs.exp(), [angle] * n, spacing)[-1]
    left = longitudinal_signal(*logs.exp(), angle=angle, echo_spacing=spacing, n_echoes=n)
    exactly_left = longitudinal_left(*logs.exp(), [angle] * n, spacing)
    # 0.02: the table is linear between its entries
    for found, expected, tolerance in ((signal, exact, 1e-6), (left, exactly_left, 0.02)):
        slopes = [torch.autograd.grad(values.sum(), logs, retain_graph=True)[0] for values in (found, expected)]
        torch.testing.assert_close(*slopes, atol=tolerance, rtol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    times = tuple(values.clone().requires_grad_() for values in tensors(TIMES[:4]))
    assert torch.autograd.gradcheck(lambda t1, t2: echo_amplitudes(t1, t2, [2.0, 1.0, 2.4], SPACING), times)
    assert torch.autograd.gradcheck(lambda t1, t2: longitudinal_left(t1, t2, [2.0, 1.0, 2.4], SPACING, 0.3), times)


def test_the_signal_is_continuous_between_echoes() -> None:
    (t1, t2), angle = tensors(), 120 * DEGREES
    echoes = echo_amplitudes(t1, t2, [angle] * 4, SPACING)
    for n, echo_time in ((3, 0.06), (3, 0.06 + 1e-9), (4, 0.08 - 1e-9)):
        signal = echo_signal(t1, t2, angle=angle, echo_spacing=SPACING, echo_time=echo_time)
        torch.testing.assert_close(signal, echoes[n - 1], atol=1e-5, rtol=0)
    half_way = echo_signal(t1, t2, angle=math.pi, echo_spacing=SPACING, echo_time=0.07)
    torch.testing.assert_close(half_way, (-0.07 / t2).exp())
    at_once = echo_signal(t1, t2, angle=angle, echo_spacing=SPACING, echo_time=0.0)
    torch.testing.assert_close(at_once, torch.ones_like(t1))


def test_noisy_t2_above_t1_gives_no_larger_signal_than_equal_times() -> None:
    t1, t2 = (torch.tensor([time], dtype=torch.float32) for time in (0.5, 1.0))
    settings = {"angle": 2.0, "echo_spacing": 0.01, "echo_time": 0.3}
    assert echo_signal(t1, t2, **settings) == echo_signal(t2, t2, **settings)


def test_maps_broadcast_and_keep_their_type() -> None:
    t1, t2 = torch.rand(4, 1, 3) + 0.5, torch.tensor(0.1)
    assert echo_signal(t1, t2, angle=2.0, echo_spacing=0.01, echo_time=0.1).shape == (4, 1, 3)
    left = longitudinal_signal(t1, t2, angle=2.0, echo_spacing=0.01, n_echoes=8)
    assert (left.shape, left.dtype) == ((4, 1, 3), torch.float32)
