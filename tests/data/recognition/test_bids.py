"""Kind of an image from its name, sidecar, header and values; inheritance of sidecars."""

from __future__ import annotations

import numpy as np
import pytest
from volume_cases import numbered

from napari_swig_qmri.data.recognition.bids import read_sidecar, short_name
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix, quantities_of_stack

NAMES: dict[str, str | None] = {
    "sub-01_ses-2_T1map": "T1map",
    "sub-01_acq-space_T2w": "T2w",
    "sub-01_FLAIR": "FLAIR",
    "study1_T1W": "T1w",
    "my T1 map": "T1map",
    "patient7-t2-map-final": "T2map",
    "qT1": "T1map",
    "R1": "R1map",
    "PD_map": "PDmap",
    "t2_flair": "FLAIR",
    "MPRAGE_sag": "T1w",
    "T2": "T2w",
    "brainmask": "mask",
    "sub-01_desc-swig_T1residual": "T1residual",
    "scan0017": None,
    "T1w_r2": "T1w",  # lower case: a run or rater
    "sub-01_run-2_T1w_r1": "T1w",
    "T1_R2": "T1w",
    "study_R2": "R2map",
    "scan_r2": None,
    "scan_s0": None,
    "brain_m0": None,
    "m0_map_2": "M0map",
    "T2_ms": "T2map",
    "T2_MS": "T2w",  # multiple sclerosis
    "T2_90ms": "T2w",
    "FLAIR_registered_to_T1": "FLAIR",
    "T2_reg_space-T1w_v2": "T2w",
    "MP2RAGE_T1_map_2": "T1map",
    "MP2RAGE_r2": "MP2RAGE",
    "T1map_SD": None,
    "sub-01_desc-std_T1map": None,
    "R1_map_error": None,
    "sub-sd_T1map": "T1map",
    "T1w_std": "T1w",  # in standard orientation
    # names that mapping tools give
    "qmap_t1_bet": "T1map",
    "QALAS_T2": "T2map",
    "SyMaps_PD": "PDmap",
    "MRF_T1w": "T1w",
    "t1_mp2rage_sag_T1map_UNI-DEN": "UNIT1",
    "MP2RAGE_UNI": "UNIT1",
    "sa2rage_B1map": "TB1map",
    "R2star": "R2starmap",
    "uni_bonn_T1w": "T1w",
}
IMAGE_TYPES: list[tuple[str | list[str], str | None]] = [
    (["DERIVED", "PRIMARY", "T1 MAP"], "T1map"),
    (["ORIGINAL", "PRIMARY", "T2 MAP", "T2"], "T2map"),
    (["DERIVED", "PRIMARY", "R2_MAP"], "R2map"),
    (["DERIVED", "PRIMARY", "T1", "NONE"], None),  # a reformat of a T1w
    (["DERIVED", "PRIMARY", "T2", "NONE"], None),
    (["DERIVED", "SECONDARY", "MPR", "T2"], None),
    (["DERIVED", "SECONDARY", "MIP", "PD"], None),
    (["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "T2 MAP"], None),
    (["DERIVED", "PRIMARY", "QMAP", "T2"], "T2map"),
    (["DERIVED", "PRIMARY", "M", "T2_STAR MAP", "ND"], "T2starmap"),
    (["DERIVED", "PRIMARY", "B1"], "TB1map"),
    ("DERIVED\\PRIMARY\\R1", "R1map"),
    (["DERIVED", "PRIMARY", "T1", "SYNTHETIC"], "T1w"),
    (["DERIVED", "PRIMARY", "T1W_SYNTHETIC"], "T1w"),
    (["DERIVED", "PRIMARY", "FLAIR", "SYNTHETIC"], "FLAIR"),
    (["DERIVED", "PRIMARY", "MYC", "T1"], None),  # a myelin map
    (["ORIGINAL", "PRIMARY", "M"], None),
]
NAMES_AND_IMAGE_TYPES = {  # name, token of the image type -> suffix
    ("anna_T1w_brain", "T1"): "T1w",
    ("t1_mprage_sag", "T1"): "T1w",
    ("anna_flair_reg", "T2"): "FLAIR",
    ("anna_T1w_T1map_brain", "T1"): "T1map",
    ("anna_t1_sag", "T1"): "T1w",
    ("anna_t1_sag", "T1 MAP"): "T1map",
    ("anna_t2star_brain", "T2_STAR MAP"): "T2starmap",
    ("SyMRI_3", "PD"): "PDmap",
    ("t1_mp2rage_sag", "T1"): "T1map",
}


def suffix_of(stem: str = "scan", **evidence: object) -> str | None:
    return find_suffix(Evidence(stem=stem, **evidence))[0]  # type: ignore[arg-type]


def test_names_tell_the_kind() -> None:
    assert {stem: suffix_of(stem) for stem in NAMES} == NAMES


def test_a_derived_image_type_tells_the_kind() -> None:
    for image_type, suffix in IMAGE_TYPES:
        assert suffix_of("series7", sidecar={"ImageType": image_type}) == suffix, image_type


def test_a_contrast_in_the_name_takes_precedence_over_the_image_type() -> None:
    for (stem, kind), suffix in NAMES_AND_IMAGE_TYPES.items():
        assert suffix_of(stem, sidecar={"ImageType": ["DERIVED", "PRIMARY", kind]}) == suffix, stem


@pytest.mark.parametrize(
    ("sidecar", "suffix"),
    [
        ({"Units": "ms"}, "T1map"),
        ({"SeriesDescription": "T1 map 3D"}, "T1map"),
        ({"SeriesDescription": "ax T1 TSE"}, "T1w"),
        ({}, "T1w"),
    ],
)
def test_the_sidecar_decides_about_a_plain_name(sidecar: dict[str, str], suffix: str) -> None:
    assert suffix_of("T1", sidecar=sidecar) == suffix


def test_the_header_decides_about_a_plain_name() -> None:
    assert suffix_of("T2", header_text="T2 (sec)") == "T2map"
    assert suffix_of("T1", header_text="3T SE TR 600 ms TE=12ms") == "T1w"  # settings are no units


def test_sidecar_then_header_then_values_tell_the_kind() -> None:
    assert suffix_of(sidecar={"ProtocolName": "T2 map"}, header_text="T1 map (ms)") == "T2map"
    assert suffix_of(header_text="T1 map (ms)") == "T1map"
    assert suffix_of(sidecar={"Suffix": "FLAIR", "ProtocolName": "T2 map"}) == "FLAIR"
    binary = (numbered() > 30).astype(np.float32)
    assert (suffix_of(values=binary), suffix_of(values=2 * binary)) == ("mask", None)


def test_every_assumption_is_stated() -> None:
    assert find_suffix(Evidence(stem="sub-1_T1w")) == ("T1w", ())
    assert "its name, 'qT1'" in find_suffix(Evidence(stem="qT1"))[1][0]
    assert find_suffix(Evidence(stem="T1map_SD"))[1] == (
        "Not taken as T1map: its name, 'T1map_SD', describes its standard deviation or error.",
    )
    assert "is unknown" in find_suffix(Evidence(stem="scan0017"))[1][0]


def test_the_maps_of_one_file_are_listed_by_name_or_image_type() -> None:
    assert quantities_of_stack(Evidence(stem="anna_qmaps_PD_T1"), 2) == ("PDmap", "T1map")
    assert quantities_of_stack(Evidence(stem="anna_PD_T1"), 2) == ()  # possibly two weighted images
    assert quantities_of_stack(Evidence(stem="anna_qmaps_PD_T1"), 3) == ()
    sidecar = {"ImageType": ["DERIVED", "PRIMARY", "MULTI_QMAP", "T1", "T2", "PD"]}
    assert quantities_of_stack(Evidence(stem="9_MAGiC", sidecar=sidecar), 3) == ("T1map", "T2map", "PDmap")


def test_short_names() -> None:
    assert short_name("sub-01_space-T1w_T2map") == "sub-01 T2map"
    assert short_name("scan") == "scan"


def test_sidecars_are_inherited_from_the_most_general_one(tmp_path) -> None:
    anat = tmp_path / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (tmp_path / "T1w.json").write_text('{"EchoTime": 0.01, "FlipAngle": 9, "RepetitionTime": 2}')
    (tmp_path / "sub-01" / "sub-01_T1w.json").write_text('{"FlipAngle": 12}')
    (tmp_path / "sub-01" / "sub-01_acq-x_T1w.json").write_text('{"FlipAngle": 90}')  # of other images
    (anat / "sub-01_T1w.json").write_text('{"RepetitionTime": 0.6}')
    image = anat / "sub-01_T1w.nii.gz"
    merged = read_sidecar(image, "sub-01_T1w", tmp_path)
    assert merged == ({"EchoTime": 0.01, "FlipAngle": 12, "RepetitionTime": 0.6}, ())
    assert read_sidecar(image, "sub-01_T1w") == ({"RepetitionTime": 0.6}, ())


DAMAGED: list[tuple[bytes, dict[str, object], str]] = [
    (b'{"EchoTime": 0.09, "Institution": "Universit\xe4t"}', {"EchoTime": 0.09}, "read as Latin-1"),
    (b'\xef\xbb\xbf{"EchoTime": 0.09}', {"EchoTime": 0.09}, ""),
    (b'{"EchoTime": 0.09,}', {"EchoTime": 0.09}, "mended"),
    (b'{"EchoTime": 0.09, // of the first echo\n "Url": "http://x.org/*"}', {"EchoTime": 0.09}, "mended"),
    (
        b'{"EchoTime": 0.09, "RepetitionTime": 5',
        {"EchoTime": 0.09, "RepetitionTime": 5},
        "only EchoTime, RepetitionTime",
    ),
    (b'{"EchoTime": 0.09, "Note": "two\nlines"}', {"EchoTime": 0.09}, ""),
    (b"{" * 100_000, {}, "only nothing could be read"),
    (b"[1]", {}, "holds no JSON object"),
    (b" \n", {}, "is empty"),
]


@pytest.mark.parametrize(("content", "entries", "told"), DAMAGED)
def test_a_damaged_sidecar_gives_what_can_be_read_and_says_so(tmp_path, content, entries, told: str) -> None:
    (tmp_path / "sub-01_T2w.json").write_bytes(content)
    found, notices = read_sidecar(tmp_path / "sub-01_T2w.nii.gz", "sub-01_T2w")
    assert {key: found[key] for key in entries} == entries
    assert bool(notices) == bool(told)
    assert all(told in notice and "sub-01_T2w.json" in notice for notice in notices)


def test_a_uniform_image_takes_the_inversions_beside_it(tmp_path) -> None:
    common = '"RepetitionTimePreparation": 5, "RepetitionTimeExcitation": 0.007, "NumberShots": [88, 88]'
    for number, (time, angle) in enumerate(((0.7, 4), (2.5, 5)), start=1):
        text = f'{{"InversionTime": {time}, "FlipAngle": {angle}, {common}, "ImageType": ["M"]}}'
        (tmp_path / f"sub-01_inv-{number}_MP2RAGE.json").write_text(text)
    (tmp_path / "sub-01_UNIT1.json").write_text('{"EchoTime": 0.003}')
    (tmp_path / "sub-02_inv-1_MP2RAGE.json").write_text('{"InversionTime": 9}')  # of another subject
    found, notices = read_sidecar(tmp_path / "sub-01_UNIT1.nii.gz", "sub-01_UNIT1")
    assert (found["InversionTime"], found["FlipAngle"], found["EchoTime"]) == ([0.7, 2.5], [4, 5], 0.003)
    assert "ImageType" not in found
    assert notices == ("Settings taken from the sidecars of the inversions beside sub-01_UNIT1.nii.gz.",)
    assert "InversionTime" not in read_sidecar(tmp_path / "sub-02_UNIT1.nii.gz", "sub-02_UNIT1")[0]
