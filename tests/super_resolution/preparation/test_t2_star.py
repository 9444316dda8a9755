"""What T2* maps do to the maps and guides of a run, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.inputs import MapFiles, maps_among
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import Mp2rageUni, SignalModel, Spgr, SpinEcho
from napari_swig_qmri.super_resolution.preparation.t2_star import with_t2_star

GRID = VoxelGrid((4, 4, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
ECHO = Spgr(echo_time=0.01, repetition_time=0.02, flip_angle=0.3)
SPIN = SpinEcho(echo_time=0.09, repetition_time=4.0)
UNI = Mp2rageUni.from_typical()


def volume(suffix: str, value: float | FloatArray, unit: str = "s") -> Volume:
    return Volume(data=np.full(GRID.shape, value, np.float32), grid=GRID, name=suffix, suffix=suffix, unit=unit)


def files(*volumes: Volume) -> MapFiles:
    return maps_among([volume("T1map", 1.0), *volumes], [], uses_t2star=True)


def guide(sequence: SignalModel) -> WeightedImage:
    return WeightedImage(data=np.ones(GRID.shape, np.float32), grid=GRID, name="guide", sequence=sequence)


@pytest.mark.parametrize("sequences", [(ECHO,), (UNI,), (ECHO, UNI), ()])
def test_t2_star_takes_the_place_of_t2_where_no_guide_decays_with_t2(sequences: tuple[SignalModel, ...]) -> None:
    given = files(volume("R2starmap", 20.0, "1/s"))
    found, images = with_t2_star(given, [guide(each) for each in sequences])
    assert found.maps.names == ("T1", "T2")
    assert found.maps.titles == ("T1", "T2*")
    np.testing.assert_allclose(found.maps["T2"], 0.05, rtol=1e-6)
    assert [image.sequence for image in images] == list(sequences)
    assert len(found.notices) == len(given.notices) + 1


@pytest.mark.parametrize("others", [(volume("T2map", 0.08),), ()])
def test_beside_t2_gradient_echoes_are_brought_to_echo_time_0(others: tuple[Volume, ...]) -> None:
    """exp(TE/T2*) = exp(10/50)."""
    found, (echo, spin) = with_t2_star(files(*others, volume("T2starmap", 0.05)), [guide(ECHO), guide(SPIN)])
    np.testing.assert_allclose(echo.data, np.exp(0.2), rtol=1e-5)
    np.testing.assert_array_equal(spin.data, 1)
    assert echo.sequence is not None
    assert (echo.sequence.echo_time, spin.sequence) == (0, SPIN)
    assert found.maps.titles == ("T1", *(["T2"] if others else []))
    assert "echo time 0" in found.notices[-1]


def test_spin_echoes_leave_t2_star_out_with_a_sentence() -> None:
    found, images = with_t2_star(files(volume("T2starmap", 0.05)), [guide(SPIN)])
    assert found.maps.titles == ("T1",)
    assert images[0].sequence == SPIN
    assert "left out, because no guide decays with T2*" in found.notices[-1]


def test_a_second_map_of_t2_star_is_left_out_with_a_sentence() -> None:
    found, _ = with_t2_star(files(volume("T2starmap", 0.05), volume("R2starmap", 20.0, "1/s")), [guide(ECHO)])
    assert "R2starmap: left out, because T2starmap is used as T2*." in found.notices


def test_rates_that_noise_made_negative_count_as_not_measured() -> None:
    rates = np.full(GRID.shape, 20.0)
    rates[0, 0, 0] = -1
    found, _ = with_t2_star(files(volume("R2starmap", rates, "1/s")), [guide(ECHO)])
    assert np.isnan(found.maps["T2"][0, 0, 0])
    assert np.isfinite(found.maps["T2"]).sum() == rates.size - 1
    with pytest.raises(ValueError, match="no T2\\* above 0"):
        with_t2_star(files(volume("R2starmap", -1.0, "1/s")), [guide(ECHO)])
