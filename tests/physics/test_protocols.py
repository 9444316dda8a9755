"""Mapping protocols against Bloch's equations, values worked by hand, limits and refusals."""

from __future__ import annotations

import math

import bloch
import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.mapping import MappingProtocol
from napari_swig_qmri.physics.mapping_readouts import Mp2rage, Qalas
from napari_swig_qmri.physics.mapping_series import IrMese, IrSeries, Mdme, Mese, Mpm, Vfa
from napari_swig_qmri.physics.protocols import PROTOCOLS

TISSUES = np.array([(0.69, 0.9, 0.068), (0.81, 1.42, 0.09), (1.0, 3.9, 1.4), (0.85, 0.37, 0.085)])  # PD, T1 s, T2 s


def images_of(protocol: MappingProtocol) -> np.ndarray:
    return protocol(*torch.as_tensor(TISSUES.T)).numpy()


def in_steady_state(cycle: object) -> np.ndarray:
    images: np.ndarray = bloch.steady(bloch.Spins(*TISSUES.T[1:]), cycle)  # type: ignore[arg-type]
    return TISSUES[:, 0] * images


@pytest.mark.parametrize("s", [Qalas(n_partitions=30), Qalas(n_partitions=20, inversion_efficiency=0.9)])
def test_qalas_is_what_blochs_equations_give(s: Qalas) -> None:
    train = s.n_partitions * s.echo_spacing

    def cycle(spins: bloch.Spins) -> np.ndarray:
        spins.m[2] *= np.exp(-s.preparation_echo_time / spins.t2)  # tipped down, decayed, tipped up
        starts = []
        for n in range(5):
            if n == 1:
                spins.wait(s.train_interval - train - s.inversion_delay)
                spins.invert(s.inversion_efficiency)
                spins.wait(s.inversion_delay)
            elif n > 1:
                spins.wait(s.train_interval - train)
            starts.append(spins.readouts(s.n_partitions, s.flip_angle, s.echo_spacing, 0.0)[0] / math.sin(s.flip_angle))
        spins.wait(s.repetition_time - s.preparation_echo_time - 4 * s.train_interval - train)
        return np.stack(starts)

    np.testing.assert_allclose(images_of(s), in_steady_state(cycle), atol=1e-8)


def test_mdme_is_what_blochs_equations_give_when_the_train_is_short() -> None:
    s = Mdme(echo_time=0.001, second_echo_time=0.002)
    delays = [0.17 * (3.9 / 0.17) ** (i / 3) for i in range(4)]

    def scan(delay: float) -> np.ndarray:
        def cycle(spins: bloch.Spins) -> np.ndarray:
            spins.rotate("y", s.saturation_angle)
            spins.spoil()
            spins.wait(delay)
            spins.rotate("y", math.pi / 2)
            first = spins.signal() * np.exp(-s.echo_time / spins.t2[:, 0])
            second = spins.signal() * np.exp(-s.second_echo_time / spins.t2[:, 0])
            spins.spoil()
            spins.wait(s.repetition_time - delay)
            return np.stack([first, second])

        return in_steady_state(cycle)

    np.testing.assert_allclose(images_of(s), np.concatenate([scan(delay) for delay in delays]), atol=1e-8)


def test_ir_mese_is_what_blochs_equations_give() -> None:
    s = IrMese(n_inversions=1, inversion_time=0.6, n_echoes=4, echo_spacing=0.01, inversion_efficiency=0.95)

    def cycle(spins: bloch.Spins) -> np.ndarray:
        spins.invert(s.inversion_efficiency)
        spins.wait(s.inversion_time)
        echoes = spins.echo_train([math.pi] * s.n_echoes, s.echo_spacing)
        spins.wait(s.repetition_time - s.inversion_time - s.n_echoes * s.echo_spacing)
        return np.stack(echoes)

    # refocused trains leave (ESP / 2 T1)^2 along z, which is neglected
    np.testing.assert_allclose(images_of(s), in_steady_state(cycle), atol=2e-4)


def test_values_worked_by_hand() -> None:
    pd, t1, t2 = torch.tensor([0.8]), torch.tensor([1.0]), torch.tensor([0.1])
    # cos 60 = 1/2: 0.8 sin 60 (1 - e^-0.5) / (1 - e^-0.5 / 2)
    steady = 0.8 * math.sqrt(0.75) * (1 - math.exp(-0.5)) / (1 - math.exp(-0.5) / 2)
    sixty = math.radians(60)
    assert Vfa(repetition_time=0.5, last_flip_angle=sixty)(pd, t1, t2)[1].item() == pytest.approx(steady)
    assert Mpm(repetition_time=0.5, flip_angle=sixty)(pd, t1, t2)[0].item() == pytest.approx(steady)
    # 180 degrees saturate to -1: 0.8 (1 - 2 e^-1 + e^-4) e^-0.5
    full = Mdme(repetition_time=4, saturation_delay=1, n_delays=1, echo_time=0.05, saturation_angle=math.pi)
    expected = 0.8 * (1 - 2 * math.exp(-1) + math.exp(-4)) * math.exp(-0.5)
    assert full(pd, t1, t2)[0].item() == pytest.approx(expected)
    series = IrSeries(repetition_time=4, inversion_time=0.5, last_inversion_time=2, n_inversions=3)
    assert series(pd, t1, t2)[1].item() == pytest.approx(0.8 * (1 - 2 * math.exp(-1) + math.exp(-4)))
    assert Mese(n_echoes=3, echo_spacing=0.05)(pd, t1, t2)[:, 0].tolist() == pytest.approx(
        [0.8 * math.exp(-n / 2) for n in (1, 2, 3)]
    )


def test_inversions_null_t1_ln_2_after_full_recovery_and_long_delays_give_pd() -> None:
    t1 = torch.tensor([0.9], dtype=torch.float64)
    null, one = 0.9 * math.log(2), torch.ones_like(t1)
    for kind in (IrSeries, IrMese):
        images = kind(repetition_time=60, inversion_time=null, last_inversion_time=20)(one, t1, 1e6 * one)
        assert images[0].item() == pytest.approx(0, abs=1e-9)
        assert images[-1].item() == pytest.approx(1, abs=1e-6)
    weak = math.radians(0.1)  # leaves M as it is, but for 1.5e-6
    cycle = Qalas(repetition_time=60, train_interval=1, inversion_delay=null, n_partitions=1, flip_angle=weak)
    first, second, *_ = cycle(one, t1, 1e6 * one)
    assert (first.item(), second.item()) == pytest.approx((1, 0), abs=1e-5)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_images_scale_with_pd_and_depend_on_what_is_measured_only(name: str) -> None:
    protocol = PROTOCOLS[name]()
    maps = torch.tensor([0.7, 0.9, 0.07], dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(lambda logs: protocol(*logs.exp()), maps.log())
    assert slopes.isfinite().all()
    torch.testing.assert_close(slopes[:, 0], protocol(*maps))
    changed = [
        quantity for quantity, slope in zip(("PD", "T1", "T2"), slopes.T, strict=True) if slope.abs().max() > 1e-9
    ]
    assert tuple(changed) == protocol.measured


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Mdme, {"last_saturation_delay": 4.3}, "TD 4300 ms and TE 100 ms do not fit into TR 4200 ms"),
        (IrMese, {"repetition_time": 3.0}, "TI 3000 ms and the echoes of 120 ms do not fit into TR 3000 ms"),
        (IrSeries, {"repetition_time": 2.0}, "TI 3000 ms does not fit into TR 2000 ms"),
        (Qalas, {"n_partitions": 160}, "trains of 928 ms and TD 100 ms do not fit into the 900 ms"),
        (Qalas, {"repetition_time": 4.0}, "5 trains end 436.6 ms after TR 4000 ms"),
        (Mp2rage, {"inversion_time": 0.2}, "begins at -416 ms"),
        (Vfa, {"n_angles": 2.5}, "must be a whole number"),
        (Mese, {"echo_spacing": 15.0}, "must be between 1 ms and 200 ms, but it is 15000 ms"),
    ],
)
def test_settings_that_cannot_be_played_out_are_refused(
    kind: type[MappingProtocol], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)
