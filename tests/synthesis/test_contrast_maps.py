"""Maps of a contrast, and which of them a sequence needs."""

from __future__ import annotations

import numpy as np
import pytest
from export_cases import EXPORTS, write

from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES, as_maps, is_map, quantity_values
from napari_swig_qmri.data.storage.files import read_folder
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, Spgr, SpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, for_sequence, missing_maps, require_maps
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast

GRID = VoxelGrid((2, 2, 2), np.eye(4))
ONE = np.ones(GRID.shape)


def test_maps_are_found_by_name() -> None:
    maps = ContrastMaps(maps=QuantitativeMaps(data=np.stack([ONE, 2 * ONE]), grid=GRID, names=("PD", "T1")))
    assert {name: float(values.mean()) for name, values in maps.arrays.items()} == {"PD": 1, "T1": 2}
    with_t2star = ContrastMaps(maps=maps.maps, t2star=3 * ONE)
    assert list(with_t2star.arrays) == ["PD", "T1", "T2*"]
    assert with_t2star.grid is GRID


def test_an_equation_has_no_transmit_field() -> None:
    maps = ContrastMaps(
        maps=QuantitativeMaps(data=ONE[None], grid=GRID, names=("T1",)), transmit_field=ONE, transmit_map="b1"
    )
    assert for_sequence(maps, SpinEcho.from_typical()) is maps
    plain = for_sequence(maps, UserEquation(text="T1"))
    assert (plain.transmit_field, plain.transmit_map) == (None, "")


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_runs_with_pd_t1_and_t2_and_gradient_echoes_without_t2(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    assert missing_maps(sequence, ("PD", "T1", "T2")) == ()
    assert bool(missing_maps(sequence, ("PD", "T1", "T2*"))) == ("T2" in sequence.maps_in_use)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("PD", "T1"), r"MPRAGE needs T2\* or T2 besides PD and T1: open it, or choose MP2RAGE UNI"),
        (("T1",), r"MPRAGE needs PD and T2\* or T2 besides T1: open them, or choose MP2RAGE UNI"),
        (("PD",), r"MPRAGE needs T1 and T2\* or T2 besides PD: open them\.$"),
    ],
)
def test_missing_maps_are_named_with_the_sequences_that_do_without(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_maps(Mprage.from_typical(), given)


@pytest.mark.parametrize("tool", EXPORTS)
def test_maps_of_other_tools_are_rendered_in_tissue_and_zero_in_air(tmp_path, tool):
    volumes = read_folder(write(tmp_path, *EXPORTS[tool]()))
    decay = [quantity_values(volume) for volume in volumes if volume.suffix in T2STAR_SUFFIXES]
    given = ContrastMaps(
        maps=as_maps([volume for volume in volumes if is_map(volume)]), t2star=decay[0] if decay else None
    )
    enough = {"MP2RAGE": ["mp2rage-uni"], "hMRI": ["spgr", "mprage", "mp2rage-uni"]}.get(tool, list(SEQUENCES))
    for name, kind in SEQUENCES.items():
        assert (not missing_maps(kind.from_typical(), given.arrays)) == (name in enough)
        if name in enough:
            signal = np.asarray(lazy_contrast(given, kind.from_typical()))
            assert np.isfinite(signal).all()
            assert np.abs(signal[2, 5, 3]) > 0  # white matter
            assert signal[0, 0, 0] == 0  # air


def test_a_signal_from_maps_of_another_tool_by_hand(tmp_path):
    maps = as_maps(read_folder(write(tmp_path, *EXPORTS["SyMRI"]())))
    signal = lazy_contrast(ContrastMaps(maps=maps), SpinEcho(echo_time=0.02, repetition_time=0.6))
    by_hand = 70 * (1 - np.exp(-0.6 / 0.85)) * np.exp(-0.02 / 0.07)
    assert signal[2, 5, 3] == pytest.approx(by_hand, rel=1e-5)


def test_an_equation_is_computed_from_the_maps_that_it_mentions() -> None:
    t1_only = ContrastMaps(maps=QuantitativeMaps(data=1.2 * ONE[None], grid=GRID, names=("T1",)))
    signal = lazy_contrast(t1_only, UserEquation(text="1 - exp(-TR/T1)", repetition_time=0.6))
    np.testing.assert_allclose(signal[...], 1 - np.exp(-0.5), rtol=1e-6)
    t2_only = ContrastMaps(maps=QuantitativeMaps(data=ONE[None], grid=GRID, names=("T2",)))
    with pytest.raises(ValueError, match="every contrast needs a T1 map, but the only maps are T2: add a T1 map"):
        lazy_contrast(t2_only, SpinEcho.from_typical())


def test_holes_in_a_map_affect_only_sequences_that_need_it() -> None:
    data = np.stack([value * ONE for value in (0.8, 1.2, 0.08)])
    holes = np.where(np.arange(8).reshape(2, 2, 2) == 3, np.nan, 0.04)
    maps = ContrastMaps(maps=QuantitativeMaps(data=data, grid=GRID), t2star=holes)
    assert (np.asarray(lazy_contrast(maps, SpinEcho.from_typical())) > 0).all()
    assert (np.asarray(lazy_contrast(maps, Spgr.from_typical())) == 0).sum() == 1
