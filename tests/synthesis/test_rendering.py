"""Options of a rendering: transmit field, noise and sign, for any sequence."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    Mp2rageUni,
    PhaseSensitiveInversionRecovery,
    SpinEcho,
    T2Flair,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise
from napari_swig_qmri.synthesis.rendering import Rendering, normal_pairs, reference_level, voxel_numbers

SHAPE = (9, 50, 60)
FIELD = Rendering(transmit_field=0.8)
NOISE = Rendering(snr=20, seed=3)


def contrast(rendering: Rendering, sequence: Any = None, shape: tuple[int, int, int] = SHAPE) -> LazyContrast:
    random = np.random.default_rng(0)
    pd, t1, t2 = (random.uniform(low, high, shape).astype(np.float32) for low, high in ((0.6, 1), (0.6, 4), (0.05, 1)))
    return LazyContrast(sequence=sequence or T2Flair.from_typical(), pd=pd, t1=t1, t2=t2, rendering=rendering)


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_plain_rendering_is_the_equation(name: str) -> None:
    plain = contrast(Rendering(), SEQUENCES[name].from_typical())
    maps = [torch.from_numpy(values[2]) for values in (plain.pd, plain.t1, plain.t2)]
    np.testing.assert_array_equal(plain[2], plain.sequence(*maps).numpy())


def test_spin_echo_in_half_the_field_by_hand() -> None:
    # 45 degrees, refocused by 90: sin(45) sin^2(45) of (1 - E) / (1 - 0 E), for pulses of 90 degrees keep nothing
    model = SpinEcho(echo_time=0.1, repetition_time=1.0)
    one = np.ones(1)
    signal = synthesise(model, one, one, 0.1 * one, rendering=Rendering(transmit_field=0.5))
    assert signal.item() == pytest.approx(math.sqrt(0.5) ** 3 * (1 - math.exp(-1)) * math.exp(-1), rel=1e-6)


def test_gradient_echo_has_its_flip_angle_scaled() -> None:
    scaled = contrast(FIELD, SEQUENCES["spgr"].from_typical(flip_angle=0.5))
    np.testing.assert_array_equal(scaled[3], contrast(Rendering(), SEQUENCES["spgr"].from_typical(flip_angle=0.4))[3])


def test_inversion_sequences_can_be_shown_with_and_without_their_sign() -> None:
    flair = T2Flair.from_typical(inversion_time=1.2)
    signed = contrast(Rendering(sign="signed"), flair)[0]
    assert (signed < 0).any()
    np.testing.assert_array_equal(np.abs(signed), contrast(Rendering(), flair)[0])
    psir = PhaseSensitiveInversionRecovery.from_typical()
    assert (contrast(Rendering(), psir)[0] < 0).any()
    np.testing.assert_array_equal(
        contrast(Rendering(sign="magnitude"), psir)[0], np.abs(contrast(Rendering(), psir)[0])
    )


@pytest.mark.parametrize(
    "key", [3, -1, slice(2, 4), (slice(None), 5), (slice(None), slice(None), 7), (1, 2, 3), (..., 0)]
)
def test_noise_of_a_voxel_does_not_depend_on_what_is_looked_at(key: Any) -> None:
    whole = np.asarray(contrast(NOISE))
    np.testing.assert_array_equal(contrast(NOISE)[key], whole[key])
    np.testing.assert_array_equal(voxel_numbers(SHAPE, key), np.arange(np.prod(SHAPE)).reshape(SHAPE)[key])


def test_another_seed_is_other_noise() -> None:
    clean = np.asarray(contrast(Rendering(sign="signed")))
    noisy = [np.asarray(contrast(Rendering(snr=20, seed=seed, sign="signed"))) for seed in (0, 1)]
    first, second = ((values - clean).ravel() for values in noisy)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02  # three standard errors of 27 000 voxels


def test_noise_is_normal_independent_and_white() -> None:
    n = 250_000
    first, second = normal_pairs(voxel_numbers((n,)), seed=5)
    for values in (first, second):
        # five standard errors of mean, variance, fourth moment and products of n normal numbers
        assert abs(values.mean()) < 5 / math.sqrt(n)
        assert abs(values.var() - 1) < 5 * math.sqrt(2 / n)
        assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / n)
        assert abs((values[1:] * values[:-1]).mean()) < 5 / math.sqrt(n)
    assert abs((first * second).mean()) < 5 / math.sqrt(n)
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()


def test_background_noise_is_that_of_rayleigh_and_signal_that_of_rice() -> None:
    uniform = contrast(Rendering(snr=25), TurboSpinEcho.from_typical(), (40, 40, 40))
    for values, value in ((uniform.pd, 1.0), (uniform.t1, 1.0), (uniform.t2, 0.1)):
        values[:] = value
    uniform.pd[:20] = 0
    level = float(TurboSpinEcho.from_typical()(*torch.tensor([[1.0], [1.0], [0.1]])))
    assert uniform.noise_deviation == pytest.approx(level / 25, rel=1e-4)
    image = np.asarray(uniform)
    # one percent: 32000 voxels
    assert image[:20].mean() == pytest.approx(math.sqrt(math.pi / 2) * level / 25, rel=0.01)
    assert image[20:].std() == pytest.approx(level / 25, rel=0.02)
    assert (image[20:] ** 2).mean() == pytest.approx(level**2 + 2 * (level / 25) ** 2, rel=0.002)


def test_the_reference_level_is_the_90th_percentile_of_the_magnitudes_that_are_not_zero() -> None:
    values = np.concatenate([np.arange(-50, 51), np.arange(51, 101), np.full(500, 0.0), [np.nan]])
    magnitudes = [*range(1, 51), *range(1, 101)]
    assert reference_level(values) == pytest.approx(np.percentile(magnitudes, 90))
    assert reference_level(np.zeros(5)) == 0


def test_noise_can_stay_while_settings_move() -> None:
    steady = contrast(Rendering(snr=20, noise_reference="proton density"))
    longer = steady.with_sequence(T2Flair.from_typical(echo_time=0.15))
    assert longer.noise_deviation == steady.noise_deviation
    assert steady.noise_deviation == pytest.approx(reference_level(steady.pd) / 20, rel=0.02)
    relative = contrast(Rendering(snr=20))
    assert relative.with_sequence(T2Flair.from_typical(echo_time=0.15)).noise_deviation < relative.noise_deviation


def test_signed_images_have_noise_without_a_floor() -> None:
    image = contrast(Rendering(snr=5, sign="signed"))
    np.testing.assert_allclose(
        np.mean(np.asarray(image)), np.mean(np.asarray(contrast(Rendering(sign="signed")))), atol=2e-3
    )
    assert np.asarray(image).min() < 0


@pytest.mark.parametrize(
    "rendering",
    [
        Rendering(),
        FIELD,
        NOISE,
        Rendering(sign="signed"),
        Rendering(snr=7, noise_reference="proton density", sign="magnitude"),
    ],
)
def test_sidecar_records_the_options(rendering: Rendering) -> None:
    sidecar = json.loads(json.dumps(rendering.to_sidecar()))
    assert Rendering.from_sidecar(sidecar) == rendering
    assert bool(sidecar) == (rendering != Rendering())


def test_noise_is_recorded_with_its_seed() -> None:
    assert Rendering(snr=20).to_sidecar() == {"Rendering": {"SNR": 20, "NoiseReference": "signal", "Seed": 0}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transmit_field": 0}, "must be between 0.1 and 2, but it is 0"),
        ({"snr": 0}, "must be above 0, but it is 0"),
        ({"snr": math.nan}, "must be above 0, but it is nan"),
        ({"sign": "phase"}, "'phase' is none of usual, magnitude, signed"),
        ({"noise_reference": "WM"}, "'WM' is none of signal, proton density"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rendering(**options)


def test_what_a_sequence_cannot_be_rendered_with_is_refused() -> None:
    uniform = Mp2rageUni.from_typical()
    for rendering, words in ((NOISE, "no noise can be added"), (Rendering(sign="magnitude"), "has no magnitude")):
        with pytest.raises(ValueError, match=words):
            contrast(rendering, uniform)
    with pytest.raises(ValueError, match="Flip angle must be between"):
        contrast(Rendering(transmit_field=1.5), SEQUENCES["bssfp"].from_typical(flip_angle=math.radians(150)))


def test_voxels_without_a_measurement_hold_noise_alone() -> None:
    noisy = contrast(NOISE)
    noisy.t1[0, 0, 0] = np.nan
    assert np.isfinite(np.asarray(noisy)).all()
    assert 0 < noisy[0, 0, 0] < 6 * noisy.noise_deviation


def test_a_typed_equation_takes_noise_but_no_transmit_field_and_no_magnitude() -> None:
    equation = UserEquation(text="PD * (1 - 2 * exp(-TI/T1)) * exp(-TE/T2s)")
    clean, noisy = contrast(Rendering(), equation), contrast(NOISE, equation)
    errors = noisy[2] - clean[2]
    assert np.std(errors) == pytest.approx(noisy.noise_deviation, rel=0.05)
    assert abs(np.mean(errors)) < noisy.noise_deviation / 10  # Gaussian, for the equation keeps its sign
    np.testing.assert_array_equal(contrast(Rendering(sign="signed"), equation)[2], clean[2])
    for rendering in (FIELD, Rendering(sign="magnitude")):
        with pytest.raises(ValueError, match="User equation has no pulses that a transmit field"):
            contrast(rendering, equation)


def test_noise_lies_on_an_equation_of_t2_star() -> None:
    plain = contrast(NOISE, UserEquation(text="PD * exp(-TE/T2s)"))
    with_map = replace(plain, t2star=plain.t2 / 2)
    expected = plain.pd * np.exp(-0.02 / (plain.t2 / 2))
    assert np.std(with_map[2] - expected[2]) == pytest.approx(with_map.noise_deviation, rel=0.05)
    with pytest.raises(ValueError, match="on one grid"):
        replace(plain, t2star=plain.t2[:2])
