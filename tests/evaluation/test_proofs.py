"""Tests of a run are shown on its page, and those of another run are not."""

from __future__ import annotations

import json

import pytest
from volume_cases import small_run

from napari_swig_qmri.evaluation.report.page import report_page
from napari_swig_qmri.evaluation.report.proofs import audit_plots, audit_rows, read_proofs, validation_rows

SCORES = {"ssim": 0.9, "hfen": 0.2, "nrmse": 0.1, "interpolated": {"ssim": 0.6, "hfen": 0.5, "nrmse": 0.3}}
VALIDATION = {"guides": [{"name": "T1w", **SCORES}], "lr_maps": {"T1": SCORES}}
LIMIT = "Lesions like these below 2.6 mm across cannot be judged here."


def record(**changes):
    file = {"role": "map", "file": "a.nii", "sha256": "1", "sidecar_sha256": None, "sequence": "auto"}
    return {"Options": {"method": "network", "lr_lock": False}, "Units": None, "Inputs": [file | changes]}


def audit(*shares):
    results = [
        {"kind": kind, "radius_mm": radius, "shares": {"T1": {"median": share, "worst": share - 10}}}
        for kind in ("both", "maps", "guides")
        for radius, share in zip((1.0, 2.0), shares, strict=True)
    ]
    return {"results": results, "sentence": LIMIT}


@pytest.fixture
def written(tmp_path):
    for name, content in (("validation", VALIDATION), ("audit", audit(100, 50))):
        (tmp_path / f"{name}.json").write_text(json.dumps({**content, "Run": record()}))
    return tmp_path


def test_tests_of_the_same_run_are_read_wherever_its_files_lie_and_whatever_they_do_without(written):
    locked = record(file="../../a.nii") | {"Options": {"method": "network", "lr_lock": True}}
    found = read_proofs(written, locked)
    assert found.validation["guides"] == VALIDATION["guides"]
    assert found.detection_limit == LIMIT


@pytest.mark.parametrize(
    "other",
    [
        record(sha256="2"),
        record(sidecar_sha256="2"),
        record(sequence="spin-echo,TR=1s,TE=10ms"),
        record() | {"Options": {"method": "posterior", "lr_lock": False}},
        record() | {"Units": "ms"},
    ],
)
def test_tests_of_another_run_are_left_out(written, other):
    found = read_proofs(written, other)
    assert (found.validation, found.audit, found.detection_limit) == (None, None, "")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"Run": 1}', '{"Run": {"Options": {}}}'])
def test_files_of_something_else_are_left_out(tmp_path, content):
    (tmp_path / "validation.json").write_text(content)
    assert read_proofs(tmp_path, record()).validation is None


def test_the_page_has_the_limit_the_scores_and_the_curves(written):
    page = report_page(small_run(), proofs=read_proofs(written, record()), inputs=record()["Inputs"])
    assert page.count(LIMIT) == 2  # below the verdict and beside the curves
    assert page.index(LIMIT) < page.index("<h2>Maps</h2>")
    assert "T1, high frequencies" in page
    assert page.count("<polyline") == 6
    assert "map: a.nii" in page
    assert "swig-qmri validate" not in page
    without = report_page(small_run())
    assert "swig-qmri validate" in without
    assert "swig-qmri audit" in without
    assert "<polyline" not in without


def test_rows_and_curves_show_what_was_measured():
    assert next(validation_rows(VALIDATION)) == ("T1w", "0.900", "0.600", "0.200", "0.500", "0.100", "0.300")
    assert next(audit_rows(audit(100, 50))) == ("both", "2 mm", "100 % (90)")
    (plot,) = audit_plots(audit(100, 50))
    levels = {share: y for y, share in plot.levels}
    (_, at_100), (_, at_50) = (map(float, point.split(",")) for point in plot.lines[0][0].split())
    assert at_100 == pytest.approx(levels["100"], abs=0.06)
    assert levels["75"] < at_50 < levels["20"]
    (far,) = audit_plots(audit(400, -300))
    (_, above), (_, below) = (map(float, point.split(",")) for point in far.lines[0][0].split())
    assert 0 < above < levels["100"]
    assert levels["0"] < below < 190  # inside the drawing
