"""The table of regions, in each of its states."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inspect_cases import finish, labelled
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QFileDialog
from region_cases import SOURCES, source
from widget_cases import HR, LR, lr_maps, make_guide

from napari_swig_qmri._napari.inspect.region_panel import HEADS, NEEDS_IMAGES, NEEDS_LABELS, RegionPanel
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.volumes import Volume

NAMES = ("T1", "T2", "T1 SR", "T1w", "T1w synthetic", "R1")


@pytest.fixture
def panel(qtbot: QtBot) -> RegionPanel:
    panel = RegionPanel()
    qtbot.addWidget(panel)
    panel.show_sources(SOURCES, labelled)
    return panel


def test_the_ticked_images_are_measured_in_each_label(panel: RegionPanel) -> None:
    assert panel.value() == NAMES
    panel.set_value(["T1", "T1w"])
    panel.show_sources(SOURCES, labelled)  # keeps the ticks
    assert panel.value() == ("T1", "T1w")
    rows = panel.run()
    assert [(row.label, row.image) for row in rows] == [(1, "T1"), (1, "T1w"), (2, "T1"), (2, "T1w")]
    assert (rows[2].n, rows[2].unit) == (2 * 7 * 5, "ms")
    assert rows[2].mean == pytest.approx(1e3 * lr_maps()["T1"][4:].mean(), rel=1e-5)
    assert panel.rows.rowCount() == 4
    items: list[Any] = [panel.rows.item(2, place) for place in range(4)]
    assert [item.text() for item in items] == ["2", "T1 (ms)", "70", f"{rows[2].mean:.4g}"]


def test_labels_and_images_are_needed(panel: RegionPanel) -> None:
    panel.set_value([])
    assert not panel.run_panel.run_button.enabled
    with pytest.raises(ValueError, match=NEEDS_IMAGES):
        panel.run()
    panel.show_sources(SOURCES, None)
    assert panel.run_panel.message.text() == NEEDS_LABELS
    with pytest.raises(ValueError, match=NEEDS_LABELS):
        panel.run()
    panel.show_sources(SOURCES, labelled)
    assert panel.run_panel.message.text() == ""


def test_the_table_goes_to_clipboard_and_file(
    panel: RegionPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.save(tmp_path / "regions.csv")
    assert not (tmp_path / "regions.csv").exists()  # there is no table yet
    panel.run()
    panel.copy_button.native.click()
    clipboard: Any = QApplication.clipboard()
    read = list(csv.DictReader(io.StringIO(clipboard.text())))
    notices = {row["image"]: row["notice"] for row in read}
    assert notices == {name: RESEARCH_NOTICE if name in ("T1 SR", "T1w synthetic") else "" for name in NAMES}
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "regions.csv"), ""))
    panel.save_button.native.click()
    assert (tmp_path / "regions.csv").read_text(encoding="utf-8") == clipboard.text()
    panel.save(tmp_path / "nowhere" / "regions.csv")
    assert panel.run_panel.message.text().startswith("The table was not saved: No such file")


@pytest.mark.slow
def test_long_names_are_shortened_rather_than_numbers(panel: RegionPanel, qtbot: QtBot) -> None:
    name = "a very long name of a weighted image that is wider than any dock"
    panel.show_sources([source(make_guide("T1w", name=name), "T1w")], labelled)
    finish(panel, qtbot)
    with qtbot.waitExposed(panel):
        panel.show()
    panel.resize(540, 900)
    table: Any = panel.rows
    last = len(HEADS) - 1
    qtbot.waitUntil(lambda: 300 < table.viewport().width() < 540)
    qtbot.waitUntil(lambda: table.columnViewportPosition(last) + table.columnWidth(last) <= table.viewport().width())
    qtbot.waitUntil(lambda: not table.horizontalScrollBar().isVisible())


def test_images_without_a_voxel_in_a_region_are_named(panel: RegionPanel) -> None:
    fine = HR.with_shape((30, 35, 25))  # 0.4 mm
    data = np.zeros(fine.shape, np.int32)
    data[:, :, 1] = 1  # at 0.1 mm: the plane nearest to the HR centres at 0 mm, not to the LR centres at 0.5 mm
    data[:4, :, 1] = 2
    thin = Volume(data=data, grid=fine, name="thin", suffix="dseg")
    panel.show_sources(SOURCES, lambda: thin)
    panel.run()
    assert panel.run_panel.message.text() == (
        "No voxel of R1, T1, T2 has its centre in a region: paint larger regions."
    )


def test_measuring_can_fail_and_be_cancelled(panel: RegionPanel, qtbot: QtBot) -> None:
    empty = Volume(data=np.zeros(LR.shape, np.int32), grid=LR, name="empty", suffix="dseg")
    panel.show_sources(SOURCES, lambda: empty)
    with pytest.raises(RuntimeError, match="No label of 'empty' lies in any"):
        panel.run()
    panel.show_sources(40 * SOURCES, labelled)
    panel.run_panel.run_button.native.click()
    with qtbot.waitSignal(panel.run_panel.ended):
        panel.run_panel.cancel()
    assert panel.run_panel.message.text() == "Cancelled. The table was not changed."
    assert panel.table is None
