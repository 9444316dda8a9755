"""Synthetic contrasts: the signal of a sequence at measured voxels, and maps prepared once for many contrasts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, SpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, lazy_contrast, synthesise
from napari_swig_qmri.synthesis.rendering import Rendering


@dataclass(frozen=True, kw_only=True)
class Decay:
    """PD exp(-TE/T2); records the number of voxels of each call."""

    echo_time: float
    n_voxels: list[int]

    def __call__(self, pd: Any, t1: Any, t2: Any, t2star: Any = None) -> Any:
        self.n_voxels.append(t2.numel())
        return pd * (-self.echo_time / t2).exp()


class CountedArray(np.ndarray):
    """An array that counts how often it is indexed."""

    n_reads = 0

    def __getitem__(self, key: Any) -> Any:
        CountedArray.n_reads += 1
        return np.asarray(self).__getitem__(key)


def uniform_maps(shape: tuple[int, ...] = (5, 6, 7)) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.uniform(0.5, 1.5, shape).astype(np.float32) for name in ("pd", "t1", "t2")}


def decay(echo_time: float = 0.1) -> Any:
    return Decay(echo_time=echo_time, n_voxels=[])


def test_one_voxel_by_hand() -> None:
    one = np.ones((1, 1, 1))
    assert synthesise(decay(0.08), 0.8 * one, 1.2 * one, 0.1 * one).item() == pytest.approx(
        0.8 * math.exp(-0.8), rel=1e-6
    )


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_lazy_contrast_is_the_synthesised_signal(name: str) -> None:
    sequence, maps = SEQUENCES[name].from_typical(), uniform_maps()
    lazy = LazyContrast(sequence=sequence, **maps)
    whole = synthesise(sequence, maps["pd"], maps["t1"], maps["t2"])
    np.testing.assert_allclose(np.asarray(lazy), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(lazy[..., 3], synthesise(sequence, *(each[..., 3] for each in maps.values())))


def test_a_large_slice_is_computed_in_pieces_with_the_same_result() -> None:
    lazy = LazyContrast(sequence=decay(), **uniform_maps((2, 190, 200)))
    part = lazy[1]
    assert max(lazy.sequence.n_voxels) < 190 * 200  # type: ignore[attr-defined]
    np.testing.assert_allclose(part, lazy.pd[1] * np.exp(-0.1 / lazy.t2[1]), rtol=1e-6)  # type: ignore[index]


def test_slices_are_rendered_along_the_axis_of_the_largest_stride() -> None:
    maps = {name: values.transpose(1, 2, 0) for name, values in uniform_maps().items()}
    assert LazyContrast(sequence=decay(), **maps).slab_axis == 2


def test_voxels_without_a_measurement_are_zero() -> None:
    maps = uniform_maps((2, 2, 2))
    maps["t2"][0, 0, 0], maps["t1"][0, 0, 1], maps["pd"][0, 1, 0] = 0, np.nan, np.inf
    signal = np.asarray(LazyContrast(sequence=decay(), **maps))
    assert signal[0, 0, 0] == signal[0, 0, 1] == signal[0, 1, 0] == 0
    assert (signal[1] > 0).all()


def test_a_transmit_field_that_was_not_measured_counts_as_nominal() -> None:
    sequence, maps = SEQUENCES["spgr"].from_typical(), uniform_maps((1, 1, 3))
    field = np.array([[[1.0, np.nan, 0.0]]])
    np.testing.assert_allclose(
        synthesise(sequence, *maps.values(), transmit_field=field),
        synthesise(sequence, *maps.values(), rendering=Rendering(sign="signed")),
        rtol=1e-5,
    )


def test_other_settings_give_another_signal_from_the_same_prepared_maps() -> None:
    maps = {name: values.view(CountedArray) for name, values in uniform_maps().items()}
    lazy = LazyContrast(sequence=decay(), **maps)
    before = lazy[0]
    CountedArray.n_reads = 0
    moved = lazy.with_sequence(decay(0.2), Rendering(sign="usual"))
    np.testing.assert_allclose(moved[0], before**2 / np.asarray(lazy.pd)[0], rtol=1e-5)
    assert CountedArray.n_reads == 0
    assert moved.prepared is lazy.prepared


def test_maps_are_prepared_anew_where_other_ones_are_in_use() -> None:
    maps = uniform_maps()
    holes = maps["t2"].copy()
    holes[0] = 0
    lazy = LazyContrast(sequence=SpinEcho.from_typical(), **maps | {"t2": holes}, t2star=maps["t2"] / 2)
    assert (lazy[0] == 0).all()
    gradient_echo = lazy.with_sequence(SEQUENCES["spgr"].from_typical())
    assert (gradient_echo[0] > 0).all()  # T2 is not in use
    assert gradient_echo.prepared is not lazy.prepared
    field = np.full(lazy.shape, 0.8, np.float32)
    in_field = lazy.with_transmit_field(field, "b1", ("b1.nii",))
    assert in_field.prepared is not lazy.prepared
    assert (in_field.rendering.transmit_map, in_field.field_sources) == ("b1", ("b1.nii",))
    assert not np.array_equal(in_field[1], lazy[1])
    np.testing.assert_array_equal(in_field.with_transmit_field(None)[1], lazy[1])


def test_the_noiseless_image_has_the_sign_of_the_noisy_one() -> None:
    maps = uniform_maps()
    for sign in ("usual", "signed"):
        lazy = LazyContrast(sequence=Mprage.from_typical(), **maps, rendering=Rendering(snr=20, sign=sign))
        clean = LazyContrast(sequence=Mprage.from_typical(), **maps, rendering=Rendering(sign=sign))
        np.testing.assert_array_equal(lazy.noiseless(2), clean[2])


def test_pd_and_t2_may_be_missing_where_the_signal_does_not_depend_on_them() -> None:
    t1 = np.full((1, 1, 1), 1.2)
    assert synthesise(UserEquation(text="T1"), None, t1, None).item() == pytest.approx(1.2)
    lazy = LazyContrast(sequence=UserEquation(text="T1"), pd=None, t1=t1, t2=None, rendering=Rendering(snr=10))
    assert lazy.names == ("T1",)
    assert lazy.noise_deviation == pytest.approx(0.12)
    with pytest.raises(ValueError, match="Spin echo needs PD and T2 besides T1"):
        lazy.with_sequence(SpinEcho.from_typical())


def test_t2star_of_an_equation_may_be_missing_in_a_voxel() -> None:
    one = np.ones((2, 2, 2), np.float32)
    equation = UserEquation(text="T2 - 10*T2s")
    assert synthesise(equation, one, one, 0.5 * one, 0.25 * one).ravel()[0] == pytest.approx(-2)
    assert (synthesise(equation, one, one, 0.5 * one, 0 * one) == 0).all()


def test_an_equation_is_computed_from_its_text() -> None:
    maps = uniform_maps()
    equation = UserEquation(text="PD * (1 - exp(-TR/T1)) * exp(-TE/T2)", echo_time=0.08, repetition_time=2.0)
    by_hand = maps["pd"] * (1 - np.exp(-2.0 / maps["t1"])) * np.exp(-0.08 / maps["t2"])
    np.testing.assert_allclose(LazyContrast(sequence=equation, **maps)[1], by_hand[1], rtol=1e-5)  # float32


def test_maps_on_different_grids_are_refused() -> None:
    maps = uniform_maps()
    with pytest.raises(ValueError, match="choose three maps from the same set"):
        LazyContrast(sequence=decay(), **maps | {"pd": maps["pd"][1:]})


def test_a_set_of_maps_becomes_a_contrast() -> None:
    maps = uniform_maps()
    grid = VoxelGrid((5, 6, 7), np.eye(4))
    quantitative = QuantitativeMaps(data=np.stack(list(maps.values())), grid=grid)
    field = np.full(grid.shape, 0.9, np.float32)
    sets = ContrastMaps(maps=quantitative, t2star=maps["t2"] / 2, transmit_field=field, transmit_map="b1")
    sequence = Mprage.from_typical()
    np.testing.assert_array_equal(lazy_contrast(quantitative, sequence)[1], LazyContrast(sequence=sequence, **maps)[1])
    contrast = lazy_contrast(sets, sequence)
    assert contrast.rendering.transmit_map == "b1"
    np.testing.assert_array_equal(
        contrast[1], LazyContrast(sequence=sequence, **maps, t2star=maps["t2"] / 2, transmit_field=field)[1]
    )
    only_pd = replace(quantitative, data=quantitative.data[:1], names=("PD",))
    with pytest.raises(ValueError, match="every contrast needs a T1 map, but the only maps are PD"):
        lazy_contrast(only_pd, sequence)
