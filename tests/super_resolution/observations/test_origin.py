"""What LR maps are compared with: by option, by the names of files, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_swig_qmri.data.interpretation import as_maps
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.physics.mapping_series import Mdme
from napari_swig_qmri.super_resolution.observations.origin import signals_of_maps
from napari_swig_qmri.super_resolution.options import Options

GRID = VoxelGrid((2, 3, 4), np.eye(4))
MAPS = QuantitativeMaps(data=np.ones((3, 2, 3, 4), np.float32), grid=GRID)


def test_the_option_decides() -> None:
    named = replace(MAPS, protocol="qalas")
    assert signals_of_maps(Options(maps_from="averaged"), named) == (None, ())
    assert signals_of_maps(Options(maps_from="qalas", method="regression"), named) == (None, ())
    unknown, none = signals_of_maps(Options(maps_from="unknown"), named)
    assert unknown is not None
    assert (unknown.name, none) == ("unknown", ())
    for given in ("mdme", Mdme(n_delays=3), {"mdme": {"n_delays": 3}}):
        signals, _ = signals_of_maps(Options(maps_from=given), named)
        assert signals is not None
        assert signals.components.shape == (4, 8 if given == "mdme" else 6)


def test_auto_follows_the_files_and_says_so() -> None:
    assert signals_of_maps(Options(), MAPS) == (None, ())
    signals, (notice,) = signals_of_maps(Options(dtype="float64"), replace(MAPS, protocol="qalas"))
    assert signals is not None
    assert str(signals.table.dtype) == "torch.float64"
    assert "The files name 3D-QALAS" in notice
    assert "`maps_from`" in notice


def test_files_of_a_protocol_that_does_not_measure_all_maps_are_averages() -> None:
    signals, (notice,) = signals_of_maps(Options(), replace(MAPS, protocol="mp2rage"))
    assert signals is None
    assert "MP2RAGE measures PD and T1, but the maps are PD, T1 and T2" in notice


def test_an_option_that_does_not_measure_all_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="MP2RAGE measures PD and T1, but the maps are PD, T1 and T2"):
        signals_of_maps(Options(maps_from="mp2rage"), MAPS)


def test_volumes_hand_on_what_their_sidecars_name() -> None:
    ones = np.ones((2, 3, 4), np.float32)
    sidecar = {"SeriesDescription": "QALAS"}
    volumes = [Volume(data=ones, grid=GRID, name=n, suffix=f"{n}map", unit="s", sidecar=sidecar) for n in ("T1", "T2")]
    assert as_maps(volumes).protocol == "qalas"
