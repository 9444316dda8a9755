"""Options that are impossible by themselves are refused when they are made."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from napari_swig_qmri.physics.mapping_readouts import Qalas
from napari_swig_qmri.super_resolution.options import METHODS, Options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "magic"}, "the method must be one of regression, posterior, network, but it is 'magic'"),
        ({"method": "posterior", "weights": "x.safetensors"}, "`weights` and `adapt` belong to the method network"),
        ({"method": "posterior", "adapt": True}, "`weights` and `adapt` belong to the method network"),
        ({"method": "network", "keep_noise": True}, "the network needs maps without noise"),
        ({"dtype": "int8"}, "the dtype must be one of float32, float64, but it is 'int8'"),
        ({"device": "abacus"}, "the device must be auto, cuda, mps or cpu, but it is 'abacus'"),
        ({"gains": [-1.0]}, "every gain must be a number above 0"),
        ({"gains": [np.inf]}, "every gain must be a number above 0"),
        ({"gains": ["x"]}, "every gain must be a number above 0"),
        ({"guide_noise": [np.nan]}, "every noise level must be a number above 0"),
        ({"lr_noise": {"T1": np.nan}}, "every noise level must be a number above 0"),
        ({"memory_limit": np.nan}, "every memory limit must be a number above 0"),
        ({"maps_from": "mrf"}, "`maps_from` must be one of auto, averaged, unknown, mupa-zte"),
        ({"maps_from": {"mrf": {}}}, "the protocol of maps must be one of mupa-zte, qalas"),
        ({"maps_from": {"qalas": {"echo_time": 1}}}, "3D-QALAS has no setting 'echo_time'"),
        ({"maps_from": {"qalas": {"repetition_time": 2}}}, "3D-QALAS cannot be played out"),
        ({"maps_from": {}}, "`maps_from` names one protocol"),
        ({"voxel_size": 0}, "the voxel size must be above 0 mm"),
        ({"voxel_size": np.nan}, "the voxel size must be above 0 mm"),
        ({"voxel_size": (1, 1)}, "the voxel size must be one number or three"),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Options(**options)


def test_a_protocol_with_its_settings_survives_json():
    options = Options(maps_from=Qalas(repetition_time=5.0))
    stored = json.loads(json.dumps(options.to_json()))
    assert stored["maps_from"]["qalas"]["repetition_time"] == 5.0
    assert Options(**stored) == options
    assert Options(**stored).protocol == options.protocol


@pytest.mark.parametrize("method", METHODS)
def test_options_are_values_that_become_json(method):
    options = Options(method=method, voxel_size=(1, 1, 2), gains=[812.0], lr_noise={"T1": 0.01})
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.method = "posterior"
    stored = json.loads(json.dumps(options.to_json()))
    assert Options(**stored).to_json() == stored | {"voxel_size": [1, 1, 2]}
    assert json.loads(json.dumps(Options(weights=Path("a") / "b").to_json()))["weights"] == str(Path("a") / "b")


@pytest.mark.parametrize(
    "options",
    [
        {"lr_noise": 0.1},
        {"method": ["x"]},
        {"voxel_size": "fine"},
        {"voxel_size": True},
        {"adapt": "no"},
        {"weights": 3},
        {"maps_from": 3},
        {"reference": "T1w"},
    ],
)
def test_options_of_another_kind_get_a_sentence(options):
    with pytest.raises(TypeError, match=r"must be .*, but it is"):
        Options(**options)


def test_arrays_in_options_compare_and_become_json():
    options = Options(gains=np.ones(2, np.float32), lr_noise={"T1": np.float32(0.5)})
    assert options == Options(gains=[1.0, 1.0], lr_noise={"T1": 0.5})
    assert json.loads(json.dumps(options.to_json()))["gains"] == [1.0, 1.0]
