"""The option --maps-from: names, settings with units, and refusals."""

from __future__ import annotations

import math

import pytest
import typer

from napari_swig_qmri.cli.map_protocol import key_of, parse_maps_from
from napari_swig_qmri.physics.mapping_readouts import Mp2rage, Qalas
from napari_swig_qmri.physics.mapping_series import IrSeries, Mdme, Vfa
from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.physics.sequence import settings_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("averaged", "averaged"),
        ("QALAS", "qalas"),
        ("qalas,TR=5000,fa=5deg", Qalas(repetition_time=5.0, flip_angle=math.radians(5))),
        ("vfa, FA = 3, FA2=0.3rad, n_angles=3", Vfa(flip_angle=math.radians(3), last_flip_angle=0.3, n_angles=3)),
        ("mdme,TD=100ms,TD2=3s,TE2=90ms", Mdme(saturation_delay=0.1, last_saturation_delay=3, second_echo_time=0.09)),
        ("ir,TI2=2.5s,EFFICIENCY=.95", IrSeries(last_inversion_time=2.5, inversion_efficiency=0.95)),
        ("mp2rage,TI2=3s,PARTITIONS=128", Mp2rage(second_inversion_time=3, n_partitions=128)),
    ],
)
def test_protocols_are_read_with_their_settings(text: str, expected: object) -> None:
    assert parse_maps_from(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mrf", "the name must be one of auto, averaged, unknown, mupa-zte"),
        ("averaged,TR=4s", "averaged has no settings"),
        ("qalas,TI=4s", "'ti' is no setting; they are TR, TE, TD"),
        ("qalas,TR=long", "'long' is no number with a unit"),
        ("qalas,TR=4s,tr=5s", "tr is given twice"),
    ],
)
def test_what_is_no_protocol_is_refused(text: str, reason: str) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        parse_maps_from(text)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="TR has the unit 'deg', but ms or s is needed"):
        parse_maps_from("qalas,TR=4deg")
    with pytest.raises(ValueError, match="3D-QALAS cannot be played out"):
        parse_maps_from("qalas,TR=2s")


@pytest.mark.parametrize("kind", PROTOCOLS.values(), ids=PROTOCOLS)
def test_every_setting_has_a_key_of_its_own(kind: type) -> None:
    keys = [key_of(each) for each in settings_of(kind)]
    assert len(set(keys)) == len(keys)
