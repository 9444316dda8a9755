"""The wording of verdicts, a table of findings and sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from napari_swig_qmri import Mprage, SpinEcho, T2Flair
from napari_swig_qmri.super_resolution.examination.settings.findings import FittedSetting, SettingCheck
from napari_swig_qmri.super_resolution.examination.transmit_field import TransmitField
from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings

T1W = SpinEcho(echo_time=0.012, repetition_time=0.6)
LONG = SpinEcho(echo_time=0.012, repetition_time=0.8)
T2W = SpinEcho(echo_time=0.09, repetition_time=5.0)
MPRAGE = Mprage.from_typical(inversion_time=0.9)
SLICES = (1.0, 1.0, 3.0)  # mm
OTHER_TIME = SettingCheck(
    T1W, 0.08, FittedSetting("repetition_time", SpinEcho(echo_time=0.012, repetition_time=0.8), T1W, 0.02)
)
OTHER_KIND = SettingCheck(T1W, 0.11, FittedSetting("inversion_time", T1W, MPRAGE, 0.03, "an MPRAGE"))
FLAIR = T2Flair(echo_time=0.15, repetition_time=9.0, inversion_time=2.5)
OTHER_ECHO = SettingCheck(
    FLAIR,
    0.13,
    FittedSetting(
        "echo_time",
        FLAIR,
        replace(FLAIR, echo_time=0.1231),
        None,
        removed=0.4,
        others=(("inversion_time", replace(FLAIR, inversion_time=2.1568)),),
    ),
)
EXCHANGED = SettingCheck(T2W, 0.4, FittedSetting("repetition_time", T2W, T1W, 0.04, exchanged_with="T1w"))
CONFIRM = "confirm, until then it counts less"
TABLE = [
    ({}, "not examined"),
    ({"is_placed": True, "settings": SettingCheck(T1W, 0.02)}, "in place; TR 600 ms fits"),
    ({"is_placed": True, "settings": SettingCheck(MPRAGE, 0.02)}, "in place; TI 900 ms fits"),
    ({"is_placed": True, "settings": SettingCheck(T2W, 0.081)}, "in place; its contrast fits within 8 %"),
    (
        {"is_placed": True, "settings": SettingCheck(T2W, 0.42)},
        "in place; its contrast does not fit Spin echo: TE 90, TR 5000 ms, by 42 %: check the sequence, it counts less",
    ),
    (
        {
            "coarse": SLICES,
            "moved": 0.82,
            "turned": 0.61,
            "receive_field": 0.09,
            "settings": SettingCheck(T2W, 0.03),
        },
        "3.0 mm slices, moved 0.8 mm and turned 0.6 degrees against the maps: corrected; receive field ±9 %: "
        "corrected; TR 5000 ms fits",
    ),
    (
        {"moved": 1.0, "warped": 2.0},
        "moved 1.0 mm, turned 0.0 degrees and warped by up to 2.0 mm against the maps: corrected",
    ),
    ({"coarse": (2.0, 2.0, 2.0)}, "voxels of 2 × 2 × 2 mm: corrected"),
    ({"warped": 0.5}, "warped by up to 0.5 mm against the maps: corrected"),
    ({"blur": 1.9}, "blurred to about 1.9 mm: sharpened, and compared at this resolution"),
    ({"transmit_field": TransmitField("b1.nii", 0.83, 1.2)}, "B1+ -17 to +20 %: corrected"),
    ({"settings": OTHER_TIME}, f"TR 600 ms fits, but its sidecar says 800 ms: {CONFIRM}"),
    ({"settings": OTHER_TIME, "is_sequence_corrected": True}, "TR 600 ms fits, but its sidecar says 800 ms: corrected"),
    (
        {"settings": OTHER_ECHO},
        f"TE 123 ms or TI 2157 ms fits, but its sidecar says TE 150 ms and TI 2500 ms: {CONFIRM}",
    ),
    (
        {"settings": OTHER_KIND},
        f"looks like an MPRAGE, TI about 900 ms, but its sidecar says spin echo: {CONFIRM}",
    ),
    (
        {"settings": EXCHANGED},
        f"has the contrast of T1w (Spin echo: TE 12, TR 600 ms), not of Spin echo: TE 90, TR 5000 ms: {CONFIRM}",
    ),
]


@pytest.mark.parametrize(("found", "words"), TABLE)
def test_findings_are_told_in_words_with_numbers(found, words):
    findings = GuideFindings(guide="T2w", **found)
    assert findings.verdict == f"T2w: {words}."
    assert findings.departs == any(word in words for word in ("corrected", "sharpened", "confirm", "check"))
    assert findings.to_json()["verdict"] == findings.verdict


def test_the_json_has_the_numbers():
    found = GuideFindings(guide="T1w", coarse=SLICES, receive_field=0.0912345, settings=OTHER_KIND)
    told = found.to_json()
    assert (told["coarse_voxels_mm"], told["receive_field"], told["sequence_that_fits"]) == (
        [1.0, 1.0, 3.0],
        0.0912,
        "Mprage",
    )
    assert math.isclose(told["inversion_time"], 0.9)
    assert (told["misfit"], told["misfit_as_said"]) == (0.03, 0.11)
