"""Sidecars of computed images: their entries, and which images count as computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from volume_cases import volume

from napari_swig_qmri.data.provenance import is_computed, is_result, made_here, relative_sources, version_of


def test_entries_of_a_computed_image() -> None:
    made = made_here(Protocol="Brain")
    assert list(made) == ["Notice", "GeneratedBy", "Protocol"]
    assert made["Notice"] == "synthetic: research use"
    assert made["GeneratedBy"] == [{"Name": "napari-swig-qmri", "Version": version_of("napari-swig-qmri")}]
    assert version_of("no-such-package") == "not installed"


def test_sources_are_relative_to_the_folder() -> None:
    assert relative_sources([Path("/data/raw/x.nii"), "/data/out/y.nii"], Path("/data/out")) == {
        "Sources": ["../raw/x.nii", "y.nii"]
    }
    assert relative_sources([], Path("/data")) == {}


@pytest.mark.parametrize(
    ("sidecar", "suffix", "computed", "result"),
    [
        (made_here(Parameters={}), "T1map", True, True),
        (made_here(), "T1w", True, False),  # synthesised
        (made_here(), "T1map", False, False),  # copied
        (made_here(Simulation={}), "T1w", False, False),
        ({"GeneratedBy": {"Name": "napari-swig-qmri"}, "Parameters": {}}, "T1map", True, True),
        ({"GeneratedBy": [{"Name": "other"}], "Parameters": {}}, "T1map", False, False),
        ({"GeneratedBy": "unknown"}, "T1w", False, False),
        ({}, "T1w", False, False),
    ],
)
def test_which_images_count_as_computed(sidecar: dict, suffix: str, computed: bool, result: bool) -> None:
    assert is_computed(sidecar, suffix) is computed
    assert is_result(volume(sidecar=sidecar, suffix=suffix)) is result
