"""The protocol that a map was fitted to, by the words of its name, folder and sidecar."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.protocols import common_protocol, protocol_of
from napari_swig_qmri.physics.protocols import PROTOCOLS


@pytest.mark.parametrize(
    ("stem", "sidecar", "expected"),
    [
        ("sub-01_acq-MP2RAGE_T1map", {}, "mp2rage"),
        ("sub-01_T1map", {"BasedOn": ["sub-01_inv-1_MP2RAGE.nii.gz"]}, "mp2rage"),
        ("sub-01_T1map", {"SeriesDescription": "3D_QALAS_T1"}, "qalas"),
        ("sub-01_T2map", {"EstimationAlgorithm": "SyMRI 11"}, "mdme"),
        ("T2_MAGiC", {}, "mdme"),
        ("sub-01_T1map", {"ProtocolName": "MuPa-ZTE 1 min"}, "mupa-zte"),
        ("sub-01_R1map", {"Sources": ["sub-01_flip-1_mt-off_MPM.nii"]}, "mpm"),
        ("sub-01_acq-VFA_T1map", {}, "vfa"),
        ("sub-01_T1map", {"Description": "DESPOT1 of three angles"}, "vfa"),
        ("sub-01_T2map", {"BasedOn": "sub-01_echo-1_MESE.nii.gz"}, "mese"),
        ("sub-01_T1map", {"BasedOn": "sub-01_inv-1_IRT1.nii.gz"}, "ir"),
        ("T1", {"PulseSequenceDetails": "IR-MESE with five inversion times"}, "ir-mese"),
        ("sub-mpmuller_T1map", {}, None),
        ("sub-01_T1map", {"SeriesDescription": "magical mystery"}, None),
        ("sub-01_T1map", {}, None),
    ],
)
def test_words_name_the_protocol(stem: str, sidecar: dict[str, object], expected: str | None) -> None:
    assert protocol_of(Evidence(stem=stem, sidecar=sidecar)) == expected
    assert expected is None or expected in PROTOCOLS


def test_the_sidecar_counts_before_the_name_and_that_before_the_folder() -> None:
    path = Path("qalas") / "sub-01_T1map.nii"
    assert protocol_of(Evidence(stem="sub-01_T1map", path=path)) == "qalas"
    assert protocol_of(Evidence(stem="sub-01_acq-VFA_T1map", path=path)) == "vfa"
    named = Evidence(stem="sub-01_acq-VFA_T1map", path=path, sidecar={"ProtocolName": "MP2RAGE"})
    assert protocol_of(named) == "mp2rage"


def test_maps_of_two_protocols_have_none() -> None:
    assert common_protocol(["qalas", None, "qalas"]) == "qalas"
    assert common_protocol(["mp2rage", "mese"]) is None
    assert common_protocol([None]) is None
