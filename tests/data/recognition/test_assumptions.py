"""Assumed settings of sequences give way to those that are told."""

from __future__ import annotations

import pytest

from napari_swig_qmri.data.recognition.sidecars import from_sidecar

TOLD: list[tuple[str, str, dict[str, float]]] = [  # suffix, sequence, told settings that exclude usual ones
    ("T2starw", "FLASH", {"EchoTime": 0.025}),
    ("T1w", "FLASH", {"EchoTime": 0.04}),
    ("T1w", "MPRAGE", {"EchoTime": 0.009}),
    ("T1w", "MPRAGE", {"InversionTime": 2.6}),
    ("T1w", "MPRAGE", {"RepetitionTime": 0.9}),
    ("T1w", "MPRAGE", {"EchoSpacing": 0.03}),
    ("T1w", "SE", {"EchoTime": 0.8}),
    ("T2w", "TSE", {"RepetitionTime": 0.11}),
    ("T2w", "TSE", {"EchoTrainLength": 300, "EchoTime": 0.5}),
    ("FLAIR", "FLAIR", {"InversionTime": 9.5}),
    ("FLAIR", "FLAIR", {"RepetitionTime": 2.0}),
    ("STIR", "STIR", {"RepetitionTime": 0.16}),
    ("T1w", "ir_se", {"InversionTime": 5.0}),
    ("UNIT1", "MP2RAGE", {"EchoTime": 0.0075}),
    ("T2w", "TrueFISP", {"EchoTime": 0.006}),
]


@pytest.mark.parametrize(("suffix", "name", "told"), TOLD)
def test_assumed_settings_never_refuse_told_ones(suffix: str, name: str, told: dict[str, float]) -> None:
    model, said = from_sidecar({"PulseSequenceType": name, **told}, suffix)
    assert model is not None, said
    fields = {"EchoTime": "echo_time", "RepetitionTime": "repetition_time", "InversionTime": "inversion_time"}
    assert {key: getattr(model, fields[key]) for key in told if key in fields} == {
        key: value for key, value in told.items() if key in fields
    }
    assert "were assumed" in said[-1] or "was assumed" in said[-1]
