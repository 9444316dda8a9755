"""MuPa-ZTE against spokes simulated one by one, values worked by hand, limits, gradients and refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import bloch
import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.physics.quantities import T1, T2

TISSUES = np.array([(0.69, 0.9, 0.068), (0.81, 1.42, 0.09), (1.0, 3.9, 1.4), (0.85, 0.37, 0.085)])  # PD, T1 s, T2 s
SHORT = MupaZte(n_spokes=16, n_segments=2, flip_angle=math.radians(8), segment_delay=0.03, preparation_delay=0.02)


def spoke_by_spoke(s: MupaZte, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
    """Images of a cycle in the steady state, ``(n_images, tissue)``, for PD 1 and a receive gain of 1 / sin(a)."""

    def prepared(spins: bloch.Spins, kind: str) -> list[np.ndarray]:
        if kind == "inversion":
            spins.invert(s.inversion_efficiency)
        else:  # tip down, decay, tip up; T1 is neglected meanwhile
            spins.rotate("y", math.pi / 2)
            spins.m[:2] *= np.exp(-s.preparation_echo_time / spins.t2)
            spins.rotate("y", -math.pi / 2)
            spins.spoil()
        spins.wait(s.preparation_delay)
        images = []
        for _ in range(s.n_segments):
            echoes = spins.readouts(s.n_spokes, s.flip_angle, s.repetition_time, echo_time=0.0)
            images.append(np.mean(echoes, axis=0) / math.sin(s.flip_angle))
            spins.wait(s.segment_delay)
        return images

    def cycle(spins: bloch.Spins) -> np.ndarray:
        return np.stack([image for kind in ("inversion", "T2 preparation") for image in prepared(spins, kind)])

    images: np.ndarray = bloch.steady(bloch.Spins(t1, t2), cycle)
    return images


@pytest.mark.parametrize(
    "model",
    [
        SHORT,
        replace(SHORT, inversion_efficiency=0.9, preparation_echo_time=0.15),
        replace(SHORT, n_segments=1, repetition_time=0.01, segment_delay=0.0, preparation_delay=0.0),
        pytest.param(MupaZte(), marks=pytest.mark.slow),
    ],
)
def test_images_are_those_of_spokes_simulated_one_by_one(model: MupaZte) -> None:
    pd, t1, t2 = torch.as_tensor(TISSUES.T)
    expected = TISSUES[:, 0] * spoke_by_spoke(model, *TISSUES.T[1:])
    # the iteration stops when a cycle changes magnetisation by less than 1e-10
    np.testing.assert_allclose(model(pd, t1, t2).numpy(), expected, atol=1e-8)


def test_one_spoke_per_segment_worked_by_hand() -> None:
    model = MupaZte(
        n_spokes=1, n_segments=1, flip_angle=math.pi / 3, repetition_time=0.1, preparation_delay=0.0, segment_delay=0.0
    )
    t1, t2 = 0.1 / math.log(2), 0.08 / math.log(4)  # E = 1/2 over a spoke, 1/4 over the T2 preparation
    # M -> -M, then M/4 + 1/2 after the spoke; M -> M/4, then M/4 + 1/2: M* = -M*/64 + 17/32 = 34/65
    steady = 34 / 65
    expected = torch.tensor([-steady, (1 / 2 - steady / 4) / 4], dtype=torch.float64)
    images = model(*torch.tensor((1.0, t1, t2), dtype=torch.float64))
    torch.testing.assert_close(images, expected)


def test_hardly_excited_magnetisation_recovers_from_its_preparation_alone() -> None:
    model = replace(SHORT, flip_angle=math.radians(0.1), segment_delay=10.0)  # ten T1: recovered before each segment
    images = model(*torch.tensor((0.8, 1.0, 0.1), dtype=torch.float64))
    since = model.preparation_delay + model.repetition_time * np.arange(model.n_spokes)
    inverted, prepared = (
        0.8 * np.mean(1 + (start - 1) * np.exp(-since)) for start in (-1, math.exp(-model.preparation_echo_time / 0.1))
    )
    expected = torch.tensor((inverted, 0.8, prepared, 0.8), dtype=torch.float64)
    torch.testing.assert_close(images, expected, atol=2e-4, rtol=0)  # exp(-10), and 16 losses of 1.5e-6


def test_a_long_train_forgets_its_preparation() -> None:
    model = MupaZte(n_spokes=65536)
    pd, t1, t2 = torch.tensor((0.8, 1.0, 0.08), dtype=torch.float64)
    loss = 1 - math.exp(-model.repetition_time)
    steady = 0.8 * loss / (1 - math.cos(model.flip_angle) * math.exp(-model.repetition_time))
    torch.testing.assert_close(
        model(pd, t1, t2)[[5, 11]], torch.full((2,), steady, dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_only_images_after_the_t2_preparation_keep_t2_at_a_complete_recovery() -> None:
    model = replace(SHORT, segment_delay=10.0)
    pd, t1 = torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    short, long = model(pd, t1, torch.tensor((0.05, 0.1), dtype=torch.float64)).T
    torch.testing.assert_close(short[[0, 1, 3]], long[[0, 1, 3]], atol=1e-4, rtol=0)
    decay = math.exp(-0.02)  # T1 over the delay after the preparation
    start = [1 - decay * (1 - math.exp(-model.preparation_echo_time / t2)) for t2 in (0.05, 0.1)]
    assert float(short[2] - long[2]) == pytest.approx((start[0] - start[1]) * 0.92, rel=0.05)  # 8 % lost over spokes


def test_the_cycle_lasts_as_long_as_its_parts() -> None:
    assert SHORT.n_images == 4
    assert SHORT.cycle_duration == pytest.approx(4 * (16 * 1.5e-3 + 0.03) + 2 * 0.02 + 0.08)


def test_single_precision_suffices() -> None:
    maps = torch.as_tensor(TISSUES.T)
    images = MupaZte()(*maps.float())
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.double(), MupaZte()(*maps), atol=1e-6, rtol=0)  # a few roundings of float32


def test_gradients() -> None:
    maps = [torch.as_tensor(column[:2]).requires_grad_() for column in TISSUES.T]
    assert torch.autograd.gradcheck(SHORT, maps)


def test_gradients_are_finite_at_the_bounds_and_without_protons() -> None:
    t1 = torch.tensor(T1.bounds, dtype=torch.float32).repeat(2).requires_grad_()
    t2 = torch.tensor(T2.bounds, dtype=torch.float32).repeat_interleave(2).requires_grad_()
    pd = torch.zeros(4, requires_grad=True)
    MupaZte()(pd, t1, t2).sum().backward()
    for gradient in (pd.grad, t1.grad, t2.grad):
        assert gradient is not None
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"flip_angle": 4.0}, "MuPa-ZTE: Flip angle must be between 0.1 degrees and 60 degrees, but it is 229.2"),
        ({"n_spokes": 2.5}, "Spokes per segment must be a whole number between 1 and 65536, but it is 2.5"),
        ({"repetition_time": 1.5}, "must be between 0.2 ms and 100 ms, but it is 1500 ms"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MupaZte(**settings)
