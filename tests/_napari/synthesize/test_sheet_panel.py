"""Protocol sheets: edited, saved, opened, shown and exported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.sheet_panel import SheetPanel
from napari_swig_qmri.physics.signal_models import Mp2rageUni, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol, read_protocol, write_protocol
from napari_swig_qmri.synthesis.rendering import Rendering

USUAL = ["T1w", "T2w", "FLAIR", "DIR"]


def names(sheet: SheetPanel) -> list[str]:
    protocol = sheet.value()
    return [] if protocol is None else [each.name for each in protocol.contrasts]


def answering(answer: str) -> Callable[..., Any]:
    return staticmethod(lambda *_: (answer, ""))


@pytest.mark.slow
def test_contrasts_are_added_removed_and_renamed(widget: SynthesizeWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = widget.sheet
    widget.editor.set_value(T2Flair.from_typical(echo_time=0.09))
    noisy = Rendering(snr=25, seed=3, transmit_field=0.9)
    widget.rendering.set_value(noisy)
    sheet.add_button.native.click()
    protocol: Any = sheet.value()
    added = NamedContrast(name="FLAIR 2", sequence=T2Flair.from_typical(echo_time=0.09), rendering=noisy)
    assert protocol.contrasts[-1] == added
    assert sheet.list.item(4).text().endswith("B1+ 90 %, SNR 25")
    widget.editor.set_value(Mp2rageUni.from_typical())
    sheet.add_button.native.click()
    assert "no noise can be added" in sheet.message.text()  # MP2RAGE is a ratio of images
    assert names(sheet) == [*USUAL, "FLAIR 2"]
    answers = iter([("T2w late", True), ("FLAIR", True), ("", True), ("lost", False)])
    monkeypatch.setattr(QInputDialog, "getText", staticmethod(lambda *_, **__: next(answers)))
    for problem in ("", "called 'flair'", "has no name", ""):
        sheet.list.itemDoubleClicked.emit(sheet.list.item(1))
        assert names(sheet) == ["T1w", "T2w late", "FLAIR", "DIR", "FLAIR 2"]
        assert problem in sheet.message.text().lower()
    sheet.list.setCurrentRow(0)
    sheet.remove_button.native.click()
    assert names(sheet) == ["T2w late", "FLAIR", "DIR", "FLAIR 2"]
    for _ in range(4):
        sheet.remove_button.native.click()
    assert sheet.value() is None
    buttons = (sheet.show_button, sheet.save_button, sheet.remove_button)
    assert not any(button.enabled for button in buttons)
    assert not sheet.export.run_button.enabled
    assert sheet.show_sheet() == []


@pytest.mark.slow
def test_a_protocol_is_saved_and_opened(
    widget: SynthesizeWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", answering(str(tmp_path / "mine")))
    widget.sheet.save_button.native.click()
    assert read_protocol(tmp_path / "mine.toml").title == "mine"
    one = Protocol(contrasts=(NamedContrast(name="T1w", sequence=SpinEcho.from_typical()),), title="one")
    write_protocol(one, tmp_path / "one.toml")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", answering(str(tmp_path / "one.toml")))
    widget.sheet.open_button.native.click()
    assert widget.sheet.value() == one
    (tmp_path / "one.toml").write_text("title = 1 2")
    widget.sheet.open_button.native.click()
    assert "TOML" in widget.sheet.message.text()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", answering(""))
    widget.sheet.open_button.native.click()
    assert widget.sheet.value() == one


@pytest.mark.slow
def test_a_sheet_shows_every_contrast_of_the_last_source_with_its_options(
    widget: SynthesizeWidget, viewer: ViewerModel
) -> None:
    noisy = Rendering(snr=25, seed=3)
    widget.rendering.set_value(noisy)
    widget.editor.set_value(UserEquation(text="PD * exp(-TE/T2)"))
    widget.sheet.add_button.native.click()
    widget.rendering.set_value(Rendering())
    widget.sheet.show_sheet()
    layers = widget.sheet.layers
    assert [layer for layer in viewer.layers if layer.visible] == layers
    assert [layer.name for layer in layers] == [f"{name} synthetic (SR)" for name in (*USUAL, "equation")]
    assert viewer.canvas.grid.enabled
    assert viewer.canvas.overlays["swig_left_side"].visible
    assert [layer.data.rendering for layer in layers] == [*[Rendering()] * 4, noisy]
    assert LayerRecord.of(layers[-1]).volume.sidecar["Rendering"]["SNR"] == 25
    n_layers = len(viewer.layers)
    widget.sheet.show_sheet()  # replaces the sheet
    assert len(viewer.layers) == n_layers
    assert viewer.canvas.grid.enabled
    assert [layer for layer in viewer.layers if layer.visible] == widget.sheet.layers
    widget.run()
    assert not any(layer.visible for layer in viewer.layers if layer.name.startswith("T1w synthetic"))


@pytest.mark.slow
def test_a_dock_closed_while_a_sheet_appears_leaves_cells_and_letters_to_later_grids(
    viewer: ViewerModel, qtbot: QtBot
) -> None:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    grid, left = viewer.canvas.grid, viewer.canvas.overlays["swig_left_side"]
    widget.sheet.start_sheet()
    qtbot.waitUntil(lambda: grid.shape == (2, 2) and not left.box, timeout=20_000)
    place = QWidget()
    widget.setParent(place)
    widget.setParent(None)  # as napari does with the widget of a closed dock
    qtbot.waitUntil(lambda: not exists(widget))
    assert grid.shape == (-1, -1)
    assert left.box


@pytest.mark.slow
def test_a_sheet_is_exported_in_the_background(
    widget: SynthesizeWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(lambda *_: str(tmp_path)))
    widget.sheet.format_boxes["nifti"].value = True
    with qtbot.waitSignal(widget.sheet.export.ended, timeout=20_000):
        widget.sheet.export.run_button.native.click()
    assert f"files to {tmp_path}" in widget.sheet.export.message.text()
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 4
    assert len(list(tmp_path.glob("*_sheet.png"))) == 1
    with qtbot.waitSignal(widget.sheet.export.ended, timeout=20_000):
        widget.sheet.export.run_button.native.click()
    assert "already" in widget.sheet.export.message.text()


def test_dicom_without_pydicom_is_said_before_anything_is_computed(
    widget: SynthesizeWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = widget.sheet
    assert sheet.export.run_button.enabled
    monkeypatch.setitem(sys.modules, "pydicom", None)
    sheet.format_boxes["dicom"].value = True
    assert "pydicom" in sheet.format_problem.text()
    assert not sheet.export.run_button.enabled
    sheet.format_boxes["dicom"].value = False
    assert sheet.format_problem.isHidden()
    assert sheet.export.run_button.enabled


def test_nothing_is_said_about_files_of_the_last_patient(
    widget: SynthesizeWidget, viewer: ViewerModel, tmp_path: Path, qtbot: QtBot
) -> None:
    with qtbot.waitSignal(widget.sheet.export.ended, timeout=20_000):
        widget.sheet.export_to(tmp_path)
    assert "Wrote" in widget.sheet.export.message.text()
    viewer.layers.clear()
    assert widget.sheet.export.message.isHidden()
