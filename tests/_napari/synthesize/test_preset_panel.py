"""Presets that are saved, opened from a file, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.signal_models import SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.presets import Preset, read_presets, write_presets

MINE = Preset(name="T2w long", field_strength=0.55, contrast=SpinEcho(echo_time=0.12, repetition_time=3.0))


def names_of(panel: SequencePanel) -> list[str]:
    return [str(choice) for choice in panel.presets.preset_box.choices]


def answer(monkeypatch: pytest.MonkeyPatch, name: str, *, wanted: bool = True, replaces: bool = False) -> list[str]:
    """Answer the dialogs that save a preset; returns the list of questions that they will ask."""
    questions: list[str] = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (name, wanted))

    def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
        questions.append(text)
        return QMessageBox.StandardButton.Yes if replaces else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    return questions


def test_settings_are_saved_under_a_name(panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = answer(monkeypatch, " T2w long ")
    panel.editor.set_value(MINE.contrast)
    panel.presets.save_button.native.click()
    saved = replace(MINE, field_strength=3.0)
    assert read_presets(folder / "T2w-long_3T.toml") == (saved,)
    assert panel.presets.value() == saved
    assert names_of(panel)[-2:] == ["T2w long", CHOOSE_FILE]
    assert "T2w-long_3T.toml" in panel.presets.note.text()
    assert questions == []
    panel.editor.parameter_boxes()["echo_time"].value = 90
    assert panel.presets.note.isHidden()


def test_saving_changes_neither_the_settings_nor_the_nulled_tissue(
    panel: SequencePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.null.tissue_box.value = "CSF"
    before = panel.editor.value(), panel.null.value()
    answer(monkeypatch, "FLAIR mine")
    panel.presets.save()
    assert (panel.editor.value(), panel.null.value()) == before
    assert panel.title() == "FLAIR mine"


def test_a_file_is_replaced_only_after_a_question(
    panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "T2w-long_3T.toml"
    write_presets(path, [replace(MINE, field_strength=3.0)])
    before = path.read_bytes()
    questions = answer(monkeypatch, "T2w long")
    panel.presets.save()
    assert path.read_bytes() == before
    assert questions == [f"T2w-long_3T.toml already exists in {folder}. Replace it?"]
    answer(monkeypatch, "T2w long", replaces=True)
    panel.presets.save()
    assert read_presets(path)[0].contrast == T2Flair.from_typical()


def test_impossible_names_are_refused(panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in (
        ("STIR", "STIR is a built-in preset: choose another name."),
        ("  ", "A preset needs a name of 1 to 60"),
    ):
        answer(monkeypatch, name)
        panel.presets.save()
        assert words in panel.presets.note.text()
    answer(monkeypatch, "fine", wanted=False)
    panel.presets.save()
    panel.editor.parameter_boxes()["repetition_time"].value = 100
    assert panel.editor.value() is None
    assert not panel.presets.save_button.enabled
    panel.presets.save()
    assert not folder.exists()


def test_a_shared_file_is_opened(panel: SequencePanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shared.toml"
    write_presets(path, [MINE])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    panel.presets.preset_box.value = CHOOSE_FILE
    assert panel.editor.value() == MINE.contrast
    assert panel.presets.field_strength == 0.55
    assert panel.presets.preset_box.value == "T2w long"
    path.write_text("[[preset]]\nname = 3\n")
    panel.presets.preset_box.value = CHOOSE_FILE
    assert panel.presets.note.text() == "Preset 1 of shared.toml: name must be text, but it is 3."
    assert panel.presets.preset_box.value == "T2w long"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    panel.presets.preset_box.value = CHOOSE_FILE
    assert panel.presets.preset_box.value == "T2w long"


def test_the_user_s_presets_are_listed_at_start_and_bad_files_are_named(qtbot: QtBot, folder: Path) -> None:
    write_presets(folder / "mine.toml", [replace(MINE, field_strength=3.0)])
    (folder / "bad.toml").write_text("x")
    panel = SequencePanel()
    qtbot.addWidget(panel)
    assert "T2w long" in names_of(panel)
    assert panel.presets.note.text().startswith("Preset file bad.toml is no")


def test_an_equation_can_be_a_preset(panel: SequencePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    equation = UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03)
    panel.editor.set_value(equation)
    answer(monkeypatch, "T2 decay")
    panel.presets.save()
    panel.editor.set_value(T2Flair.from_typical())
    panel.presets.preset_box.value = "T2 decay"
    assert panel.editor.value() == equation
    assert not panel.editor.equation_box.native.isHidden()
