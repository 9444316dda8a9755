"""The table of regions of the Inspect dock, in each of its states."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inspect_cases import add_labels, finish, labelled, open_dock
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication
from widget_cases import HR, LR, add, lr_maps, lr_sr_and_a_guide

from napari_swig_qmri._napari.inspect import region_panel
from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.inspect.region_panel import HEADS, SCATTER, VOXELS
from napari_swig_qmri._napari.parts.appearance import Foldable
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.progress import Progress


@pytest.fixture
def viewer() -> ViewerModel:
    return lr_sr_and_a_guide()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot) -> InspectWidget:
    return open_dock(viewer, qtbot)


def test_the_table_measures_what_is_ticked(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    add_labels(viewer, labelled())
    names = [item.text() for item in dock.table._items]
    assert names[-1] == "sub-01 T1w"
    assert len(names) == 7
    finish(dock.table, qtbot)
    assert dock.table.table.rowCount() == 14
    done: Any = dock.table.measured
    t1 = next(row for row in done.rows if row.image == "sub-01 T1map (ms)" and row.label == 2)
    assert (t1.n, t1.unit) == (2 * 7 * 5, "ms")
    assert t1.mean == pytest.approx(1e3 * lr_maps()["T1"][4:].mean(), rel=1e-5)


def test_the_table_goes_to_clipboard_and_file(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path
) -> None:
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    dock.table.copy_button.click()
    clipboard: Any = QApplication.clipboard()
    read = list(csv.DictReader(io.StringIO(clipboard.text())))
    assert {row["notice"] for row in read if "SR" in row["image"]} == {RESEARCH_NOTICE}
    assert {row["notice"] for row in read if "SR" not in row["image"]} == {""}
    dock.table.save(tmp_path / "regions.csv")
    assert (tmp_path / "regions.csv").read_text(encoding="utf-8") == clipboard.text()
    dock.table.save(tmp_path / "nowhere" / "regions.csv")
    assert dock.table.run.message.text().startswith("The table was not saved: No such file")


def test_long_names_give_way_to_the_numbers(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.layers["sub-01 T1w"].name = "a very long name of a weighted image that no dock has room for"
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    for fold in dock.findChildren(Foldable):
        fold.set_unfolded(True)
    with qtbot.waitExposed(dock):
        dock.show()
    dock.resize(540, 900)
    table: Any = dock.table.table
    last = len(HEADS) - 1
    qtbot.waitUntil(lambda: 300 < table.viewport().width() < 540)
    qtbot.waitUntil(lambda: table.columnViewportPosition(last) + table.columnWidth(last) <= table.viewport().width())
    assert not table.horizontalScrollBar().isVisible()


def test_contrasts_are_measured_too(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(synthesize)
    contrast = synthesize.add_contrast()[0]
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    done: Any = dock.table.measured
    row = next(row for row in done.rows if row.image == contrast.name and row.label == 1)
    assert row.is_synthetic
    assert row.mean == pytest.approx(float(np.asarray(contrast.data)[..., :2].mean()), rel=1e-5)


def test_two_images_are_compared(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    panel = dock.table
    panel.first.choose("sub-01 T1map (ms)")
    panel.second.choose("T1map SR (ms)")
    text = panel.summary.text()
    assert text.startswith("T1map SR (ms) minus sub-01 T1map (ms), 2 means of regions: bias ")
    assert text.endswith(" ms.")
    panel.kind.choose(SCATTER)
    assert panel.plot.getAxis("left").labelText == "T1map SR (ms)"
    with qtbot.waitSignal(panel.run.ended):
        panel.of.choose(VOXELS)
    assert f"{2 * 2 * 7 * 5} voxels" in panel.summary.text()


def test_maps_of_one_kind_are_compared_first(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    assert (dock.table.first.value, dock.table.second.value) == ("sub-01 T1map (ms)", "T1map SR (ms)")
    assert not dock.table.plot.isHidden()


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("sub-01 PDmap", "sub-01 T1map (ms)", "(PD) and sub-01 T1map (ms) (T1) are of different kinds"),
        ("sub-01 T1map (ms)", "sub-01 T2map (ms)", "of different kinds"),
        ("sub-01 T1map (ms)", "sub-01 T1w", "of different kinds"),
        ("T1map SR (ms)", "rate R1map", "have different units"),
    ],
)
def test_images_of_different_kinds_or_units_do_not_agree(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot, first: str, second: str, words: str
) -> None:
    rate = Volume(data=1 / lr_maps()["T1"], grid=LR, name="rate R1map", suffix="R1map", unit="1/s")
    add(viewer, rate)
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    panel = dock.table
    panel.of.choose(VOXELS)
    qtbot.waitUntil(lambda: not panel.run.is_running)
    panel.first.choose(first)
    panel.second.choose(second)
    assert words in panel.summary.text()
    assert panel.plot.isHidden()
    qtbot.waitUntil(lambda: not panel.run.is_running)
    assert words in panel.summary.text()  # no run that was under way draws over it


def test_a_contrast_is_compared_with_a_weighted_image(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(synthesize)
    contrast = synthesize.add_contrast()[0]
    add_labels(viewer, labelled())
    finish(dock.table, qtbot)
    dock.table.first.choose("sub-01 T1w")
    dock.table.second.choose(contrast.name)
    assert dock.table.summary.text().startswith(f"{contrast.name} minus sub-01 T1w")


def test_one_region_is_too_little_to_compare(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    volume = labelled()
    add_labels(viewer, Volume(data=np.minimum(volume.data, 1) * (volume.data < 2), grid=HR, name="one", suffix="dseg"))
    finish(dock.table, qtbot)
    assert dock.table.summary.text().startswith("Two images need at least two regions")
    assert dock.table.plot.isHidden()


def test_images_without_a_voxel_in_a_region_are_named(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    fine = HR.with_shape((30, 35, 25))  # 0.4 mm
    data = np.zeros(fine.shape, np.int32)
    data[:, :, 1] = 1  # at 0.1 mm: the plane nearest to the HR centres at 0 mm, not to the LR centres at 0.5 mm
    data[:4, :, 1] = 2
    add_labels(viewer, Volume(data=data, grid=fine, name="thin", suffix="dseg"))
    finish(dock.table, qtbot)
    assert dock.table.run.message.text() == (
        "No voxel of sub-01 PDmap, sub-01 T1map (ms), sub-01 T2map (ms) has its centre in a region: paint thicker ones."
    )


def test_measuring_can_be_cancelled_and_can_fail(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_: object) -> Generator[Progress, None, None]:
        while True:
            time.sleep(0.005)
            yield Progress(0.1, "measuring")

    add_labels(viewer, Volume(data=np.zeros(LR.shape, np.int32), grid=LR, name="empty", suffix="dseg"))
    finish(dock.table, qtbot)
    assert dock.table.run.message.text().startswith("No label of 'empty' lies in any")
    monkeypatch.setattr(region_panel, "_measured", endless)
    dock.table.run.run_button.native.click()
    with qtbot.waitSignal(dock.table.run.ended):
        dock.table.run.cancel()
    assert dock.table.run.message.text() == "Cancelled. The table stays as it was."
    assert dock.table.measured is None
