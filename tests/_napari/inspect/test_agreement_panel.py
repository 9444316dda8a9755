"""Agreement of two images in regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inspect_cases import labelled
from pytestqt.qtbot import QtBot
from region_cases import SOURCES
from widget_cases import HR

from napari_swig_qmri._napari.inspect.agreement_panel import SCATTER, VOXELS, AgreementPanel, RegionTable
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.evaluation.regions import tabulate
from napari_swig_qmri.progress import drained


def table(labels: Volume) -> RegionTable:
    rows = drained(tabulate(SOURCES, labels))
    return RegionTable(rows, {source.name: source for source in SOURCES}, lambda: labels)


@pytest.fixture
def panel(qtbot: QtBot) -> AgreementPanel:
    panel = AgreementPanel()
    qtbot.addWidget(panel)
    panel.show_table(table(labelled()))
    return panel


def test_maps_of_one_kind_are_compared_first(panel: AgreementPanel, qtbot: QtBot) -> None:
    assert panel.images == ("T1 SR", "T1")
    assert not panel.place.isHidden()
    text = panel.summary.text()
    assert text.startswith("T1 SR minus T1, 2 means of regions: bias ")
    assert text.endswith(" ms.")
    panel.kind.choose(SCATTER)
    assert panel.place.plot.getAxis("left").labelText == "T1 (ms)"
    panel.points.choose(VOXELS)
    qtbot.waitUntil(lambda: f"{2 * 2 * 7 * 5} voxels" in panel.summary.text())
    panel.first.choose("T1w")
    panel.second.choose("T1w synthetic")
    qtbot.waitUntil(lambda: panel.summary.text().startswith("T1w minus T1w synthetic"))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("T1", "T2", "T1 (T1) and T2 (T2) are of different kinds"),
        ("T1", "T1w", "of different kinds"),
        ("T1 SR", "R1", "have different units"),
    ],
)
def test_images_of_different_kinds_or_units_are_refused(
    panel: AgreementPanel, qtbot: QtBot, first: str, second: str, words: str
) -> None:
    panel.points.choose(VOXELS)
    panel.first.choose(first)
    panel.second.choose(second)
    assert words in panel.summary.text()
    assert panel.place.isHidden()
    qtbot.wait(50)
    assert words in panel.summary.text()  # a comparison that was under way is dropped


def test_one_region_is_too_little(panel: AgreementPanel) -> None:
    labels = labelled()
    one = Volume(data=(labels.data == 1).astype(labels.data.dtype), grid=labels.grid, name="one", suffix="dseg")
    panel.show_table(table(one))
    assert panel.summary.text().startswith("Two images need at least two regions")
    assert panel.place.isHidden()


def test_voxels_are_compared_with_what_standard_errors_expect(panel: AgreementPanel, qtbot: QtBot) -> None:
    first = SOURCES[2]
    stated = replace(first, read_errors=lambda: replace(first.read(), data=np.full(HR.shape, 0.05, np.float32)))
    sources = [stated, SOURCES[0]]
    rows = drained(tabulate(sources, labelled()))
    panel.show_table(RegionTable(rows, {each.name: each for each in sources}, labelled))
    assert "standard errors alone" not in panel.summary.text()  # they are those of voxels, not of means
    panel.points.choose(VOXELS)
    qtbot.waitUntil(lambda: "By the standard errors alone ± 98 (dotted)." in panel.summary.text())  # 1.96 x 50 ms
