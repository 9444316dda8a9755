"""Maps of a contrast, and which of them a sequence needs."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, SpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, for_sequence, missing_maps, require_maps

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
