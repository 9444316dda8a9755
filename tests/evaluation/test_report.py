"""The page on a run: complete, without a script or an address of elsewhere, and written beside the maps."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from volume_cases import small_run

from napari_swig_qmri.evaluation.report.page import CAVEATS, report_page, write_report
from napari_swig_qmri.super_resolution.results import Verdict


class Page(HTMLParser):
    """Tags of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def run(**changes):
    guides = [
        {"name": name, "sequence": "SpinEcho", "noise": 1.0, "doctor": {"verdict": f"{name}: in place."}}
        for name in ("a", "b")
    ]
    small = small_run()
    return replace(small, parameters={**small.parameters, "guides": guides}, **changes)


@pytest.fixture(scope="module")
def page():
    return Page(report_page(run(), seconds=12.0))


def test_it_needs_nothing_from_elsewhere(page):
    addresses = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_every_picture_has_a_text_that_says_what_it_shows(page):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 * 7  # measured and super-resolved twice, standard error, residual and evidence
    starts = ("Measured", "Super-resolved", "Standard error of", "LR residual of", "Share of the LR maps in")
    assert all(each["alt"].startswith(starts) and "an axial slice" in each["alt"] for each in pictures)


def test_each_map_says_where_it_comes_from(page):
    assert "Comes from: regression 60 %, LR maps 20 %, sub-01 T1w 15 %, sub-01 T2w 5 %. Its detail: " in page.text
    assert "Comes from: " not in report_page(run(evidence=None))


def test_it_says_how_the_maps_were_made_and_what_they_cannot_tell(page):
    for text in ("Verdict: good", "synthetic: research use", "12 s", "One thing was assumed.", "in place.", *CAVEATS):
        assert text in page.text
    assert "lr_noise.T1" in page.text


def test_reasons_of_a_verdict_are_escaped():
    page = report_page(run(verdict=Verdict("do not use", ("T1 < T2 & more.",))))
    assert "T1 &lt; T2 &amp; more." in page
    assert 'class="verdict do-not-use"' in page


def test_maps_without_standard_errors_say_so():
    page = Page(report_page(run(standard_errors=None)))
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 3 * 6
    assert "none" in page.text


def test_it_is_written_beside_the_maps_and_is_no_part_of_the_dataset(tmp_path):
    result = run()
    result.save(tmp_path)
    path = write_report(result, tmp_path)
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert "report.html" in (tmp_path / ".bidsignore").read_text().splitlines()
