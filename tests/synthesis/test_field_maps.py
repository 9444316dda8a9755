"""Contrasts rendered in a map of the transmit field, voxel by voxel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    InversionRecovery,
    Mp2rageUni,
    Mprage,
    Spgr,
    SpinEcho,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, lazy_contrast, synthesise
from napari_swig_qmri.synthesis.rendering import Rendering

SHAPE = (2, 3, 4)
RANDOM = np.random.default_rng(0)
MAPS = {
    name: RANDOM.uniform(low, high, SHAPE).astype(np.float32)
    for name, low, high in (("pd", 0.6, 1), ("t1", 0.6, 4), ("t2", 0.05, 1))
}
FIELD = RANDOM.uniform(0.6, 1.4, SHAPE).astype(np.float32)


def contrast(sequence: Any, field: Any = FIELD, **rendering: Any) -> LazyContrast:
    return LazyContrast(sequence=sequence, **MAPS, transmit_field=field, rendering=Rendering(**rendering))


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_constant_map_is_the_number(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    for field, tolerance in ((0.8, 1e-6), (1.137, 3e-4)):  # the last is interpolated between nodes
        number = contrast(sequence, None, transmit_field=field)
        constant = contrast(sequence, np.full(SHAPE, field))
        np.testing.assert_allclose(constant, number, atol=tolerance * np.abs(np.asarray(number)).max())


@pytest.mark.parametrize("name", SEQUENCES)
def test_every_voxel_is_rendered_in_its_own_field(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    with_map = contrast(sequence)
    top = float(np.abs(np.asarray(with_map)).max())
    for voxel in [(0, 0, 0), (1, 2, 3)]:
        one = [values[voxel][None] for values in MAPS.values()]
        number = Rendering(transmit_field=float(FIELD[voxel]))
        expected = number.image(sequence, synthesise(sequence, *one, rendering=number), np.zeros((), np.uint64), 0.0)
        assert with_map[voxel] == pytest.approx(expected.item(), abs=5e-4 * top)  # interpolation over the field


@pytest.mark.slow
def test_the_magnetisation_left_by_a_long_train_is_less_accurate() -> None:
    train = TurboSpinEcho.from_typical(
        repetition_time=3.0, echo_time=0.24, echo_train_length=120, echo_spacing=0.004, refocusing_angle=2.1
    )
    with_map, voxel = np.asarray(contrast(train)), (1, 2, 3)
    one = [values[voxel][None] for values in MAPS.values()]
    expected = synthesise(train, *one, rendering=Rendering(transmit_field=float(FIELD[voxel])))
    assert with_map[voxel] == pytest.approx(expected.item(), abs=0.05 * float(with_map.max()))


def test_a_number_scales_a_map() -> None:
    sequence = Spgr.from_typical()
    np.testing.assert_allclose(
        contrast(sequence, 1.25 * FIELD, transmit_field=0.8), contrast(sequence), rtol=1e-5, atol=1e-7
    )


def test_slices_are_the_whole_and_in_order() -> None:
    whole = contrast(Mprage.from_typical(), snr=20)
    np.testing.assert_allclose(whole[:, 2], np.asarray(whole)[:, 2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole[1], np.asarray(whole)[1], rtol=1e-5, atol=1e-6)


def test_noise_has_the_level_of_the_signal_in_the_map() -> None:
    shape, sequence, rendering = (1, 15, 20), SpinEcho.from_typical(), Rendering(snr=20)
    maps = {name: np.resize(values, shape) for name, values in MAPS.items()}
    bright = LazyContrast(sequence=sequence, **maps, transmit_field=np.resize(FIELD, shape), rendering=rendering)
    dark = bright.with_transmit_field(np.resize(FIELD / 2, shape))
    assert dark.noise_deviation < 0.9 * bright.noise_deviation
    errors = np.asarray(bright) - np.asarray(replace(bright, rendering=Rendering()))
    assert np.std(errors) == pytest.approx(bright.noise_deviation, rel=0.15)  # of 300 voxels


def test_the_sign_is_treated_as_without_a_map() -> None:
    inversion = InversionRecovery.from_typical(inversion_time=0.6)
    signed = np.asarray(contrast(inversion, sign="signed"))
    assert (signed < 0).any()
    np.testing.assert_array_equal(contrast(inversion), np.abs(signed))
    assert (np.asarray(contrast(Mp2rageUni.from_typical())) < 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spgr", "tse", "t2-flair"])
def test_gradients_go_through_the_map(name: str) -> None:
    sequence, rendering = SEQUENCES[name].from_typical(), Rendering()
    maps = [torch.tensor(values[0, 0], dtype=torch.float64) for values in MAPS.values()]
    field = torch.tensor(0.02 * np.round(FIELD[0, 0] / 0.02), dtype=torch.float64)  # on nodes
    maps[2].requires_grad_()
    rendering.signal(sequence, *maps, field=field).sum().backward()
    found, maps[2].grad = maps[2].grad, None
    for index, number in enumerate(field.tolist()):
        sequence.signed(*(each[index : index + 1] for each in maps), transmit_field=number).sum().backward()
    torch.testing.assert_close(found, maps[2].grad, rtol=1e-4, atol=1e-6)
    assert (found != 0).all()


def test_voxels_without_a_field_have_the_nominal_one_and_extremes_are_bounded() -> None:
    field = FIELD.copy()
    field[0, 0, :4] = (0, np.nan, -1, 50)
    sequence = Spgr.from_typical()
    found = contrast(sequence, field)[0, 0, :4]
    np.testing.assert_allclose(found[:3], contrast(sequence, None)[0, 0, :3], rtol=1e-5)
    np.testing.assert_allclose(found[3], contrast(sequence, None, transmit_field=2.0)[0, 0, 3], rtol=1e-5)


def test_an_equation_without_pulses_ignores_the_map() -> None:
    equation = UserEquation(text="PD * exp(-TE / T2)")
    np.testing.assert_array_equal(contrast(equation), contrast(equation, None))
    back = contrast(equation).with_sequence(Spgr.from_typical())
    np.testing.assert_array_equal(back, contrast(Spgr.from_typical()))
    with pytest.raises(ValueError, match="User equation has no pulses"):
        contrast(equation, transmit_field=0.9)


def test_maps_and_field_lie_on_one_grid() -> None:
    with pytest.raises(ValueError, match="on one grid"):
        contrast(SpinEcho.from_typical(), FIELD[:1])


def test_pulses_beyond_180_degrees_are_possible() -> None:
    # a pulse of 180 + x about the axis of CPMG refocuses as one of 180 - x does
    train = TurboSpinEcho.from_typical()
    low, high = (np.asarray(contrast(train, None, transmit_field=b)) for b in (0.9, 1.1))
    np.testing.assert_allclose(high, low, rtol=0.02)  # but for the sign of what excitation leaves along z
    assert np.isfinite(np.asarray(contrast(Spgr.from_typical(flip_angle=3.0)))).all()


def test_a_set_of_maps_brings_its_field() -> None:
    maps = QuantitativeMaps(data=np.stack(list(MAPS.values())), grid=VoxelGrid(SHAPE, np.eye(4)))
    made = lazy_contrast(ContrastMaps(maps=maps, transmit_field=FIELD), Spgr.from_typical())
    np.testing.assert_array_equal(made, contrast(Spgr.from_typical()))
