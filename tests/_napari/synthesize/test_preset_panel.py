"""Presets, nulled tissues and equations in the Synthesize dock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox
from widget_cases import LR, MEDIANS, add, lr_maps, lr_sr_and_a_guide, make_map

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.null_panel import NOTHING, NullChoice, NullPanel
from napari_swig_qmri._napari.synthesize.preset_panel import OWN
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri._napari.synthesize.t1_picker import times_at
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.physics.nulling import TISSUES, doubly_nulled, nulled
from napari_swig_qmri.physics.signal_models import DoubleInversionRecovery, Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import EQUATION, UserEquation
from napari_swig_qmri.synthesis.presets import Preset, built_in_presets, find_preset, read_presets, write_presets

BUILT_IN = built_in_presets()
MINE = Preset(name="T2w long", field_strength=0.55, contrast=SpinEcho(echo_time=0.12, repetition_time=3.0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "presets"
    monkeypatch.setattr("napari_swig_qmri.synthesis.presets.user_folder", lambda: folder)
    return folder


@pytest.fixture
def panel(qtbot: QtBot, folder: Path) -> SequencePanel:
    panel = SequencePanel()
    qtbot.addWidget(panel)
    panel.editor.set_value(T2Flair.from_typical())
    return panel


@pytest.fixture
def widget(qtbot: QtBot, folder: Path) -> SynthesizeWidget:
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


def names_of(panel: SequencePanel) -> list[str]:
    return [str(choice) for choice in panel.presets.preset_box.choices]


def answer(monkeypatch: pytest.MonkeyPatch, name: str, *, wanted: bool = True, replaces: bool = False) -> list[str]:
    """Answers of the dialogs that save a preset; what was asked is noted."""
    asked: list[str] = []
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (name, wanted))

    def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
        asked.append(text)
        return QMessageBox.StandardButton.Yes if replaces else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


@pytest.mark.parametrize("preset", BUILT_IN, ids=lambda preset: f"{preset.name} {preset.field_strength:g} T")
def test_a_preset_is_shown_to_the_last_digit(panel: SequencePanel, preset: Preset) -> None:
    panel.presets.field_box.value = preset.field_strength
    panel.presets.preset_box.value = preset.name
    assert panel.editor.value() == preset.contrast
    assert panel.presets.value() == preset
    assert panel.title() == preset.name
    assert "our choice" in panel.presets.source_note.text()


def test_changed_settings_are_ones_own_until_they_are_back(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2w TSE"
    echo_time = panel.editor.parameter_boxes()["echo_time"]
    echo_time.value = 100
    assert panel.presets.preset_box.value == OWN
    assert panel.title() == "Turbo spin echo"
    assert panel.presets.source_note.isHidden()
    echo_time.value = 90
    assert panel.presets.preset_box.value == "T2w TSE"


def test_another_field_strength_goes_to_the_same_preset(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "DIR"
    panel.presets.field_box.value = 7.0
    assert panel.editor.value() == find_preset(BUILT_IN, "DIR", 7.0).contrast
    panel.editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    panel.presets.field_box.value = 1.5
    assert panel.editor.value() == SpinEcho(echo_time=0.01, repetition_time=0.5)  # own settings stay
    assert panel.presets.preset_box.value == OWN


def test_settings_are_saved_under_a_name(panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, " T2w long ")
    panel.editor.set_value(MINE.contrast)
    panel.presets.save_button.native.click()
    saved = replace(MINE, field_strength=3.0)
    assert read_presets(folder / "T2w-long_3T.toml") == (saved,)
    assert panel.presets.value() == saved
    assert names_of(panel)[-2:] == ["T2w long", CHOOSE_FILE]
    assert "T2w-long_3T.toml" in panel.presets.note.text()
    assert asked == []
    panel.editor.parameter_boxes()["echo_time"].value = 90
    assert panel.presets.note.isHidden()


def test_saving_leaves_everything_as_it_is(panel: SequencePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.null.tissue_box.value = "CSF"
    shown, null = panel.editor.value(), panel.null.value()
    answer(monkeypatch, "FLAIR mine")
    panel.presets.save()
    assert (panel.editor.value(), panel.null.value()) == (shown, null)
    assert panel.title() == "FLAIR mine"


def test_no_preset_is_replaced_unasked(panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "T2w-long_3T.toml"
    write_presets(path, [replace(MINE, field_strength=3.0)])
    before = path.read_bytes()
    asked = answer(monkeypatch, "T2w long")
    panel.presets.save()
    assert path.read_bytes() == before
    assert asked == [f"T2w-long_3T.toml already exists in {folder}. Replace it?"]
    answer(monkeypatch, "T2w long", replaces=True)
    panel.presets.save()
    assert read_presets(path)[0].contrast == T2Flair.from_typical()


@pytest.mark.parametrize(
    ("name", "words"),
    [("STIR", "STIR is a built-in preset: choose another name."), ("  ", "A preset needs a name of 1 to 60")],
)
def test_names_that_cannot_be_are_refused(
    panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    answer(monkeypatch, name)
    panel.presets.save()
    assert words in panel.presets.note.text()
    answer(monkeypatch, "fine", wanted=False)
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


def test_own_presets_are_there_at_start_and_bad_files_are_told(qtbot: QtBot, folder: Path) -> None:
    write_presets(folder / "mine.toml", [replace(MINE, field_strength=3.0)])
    (folder / "bad.toml").write_text("x")
    panel = SequencePanel()
    qtbot.addWidget(panel)
    assert "T2w long" in names_of(panel)
    assert panel.presets.note.text().startswith("Preset file bad.toml is not TOML: ")


def test_a_tissue_stays_nulled_while_settings_change(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    t1 = TISSUES["CSF"].t1[3.0]
    assert panel.editor.value() == nulled(T2Flair.from_typical(), t1)
    boxes = panel.editor.parameter_boxes()
    assert not boxes["inversion_time"].enabled
    for name, shown, inside in (
        ("repetition_time", 2000, {"repetition_time": 2.0}),  # the old TI would not fit any more
        ("echo_train_length", 20, {"repetition_time": 2.0, "echo_train_length": 20}),
        ("echo_spacing", 12, {"repetition_time": 2.0, "echo_train_length": 20, "echo_spacing": 0.012}),
    ):
        boxes[name].value = shown
        settings: Any = {"inversion_time": 0.5, **inside}
        assert panel.editor.value() == nulled(T2Flair.from_typical(**settings), t1)
    panel.null.lock_box.value = False
    assert boxes["inversion_time"].enabled
    before: Any = panel.editor.value()
    boxes["repetition_time"].value = 9000
    after: Any = panel.editor.value()
    assert after.inversion_time == before.inversion_time


def test_two_inversions_null_two_tissues(panel: SequencePanel) -> None:
    panel.editor.set_value(DoubleInversionRecovery.from_typical())
    panel.null.tissue_box.value = "CSF"
    panel.null.other_box.value = "WM"
    panel.editor.parameter_boxes()["repetition_time"].value = 7000
    settings = vars(DoubleInversionRecovery.from_typical(repetition_time=7.0))
    t1s = (TISSUES[name].t1[3.0] for name in ("CSF", "WM"))
    assert panel.editor.value() == doubly_nulled(settings, *t1s)
    panel.editor.set_value(T2Flair.from_typical())
    assert panel.null.other_box.native.isHidden()
    assert len(panel.null.t1s()) == 1


def test_what_cannot_be_nulled_is_said(panel: SequencePanel) -> None:
    panel.editor.set_value(Mprage.from_typical())
    panel.null.set_value(NullChoice("a T1 of", NOTHING, 0.2, True))
    assert "No TI of MPRAGE nulls a T1 of 200 ms here" in panel.null.note.text()
    assert panel.editor.value() == Mprage.from_typical()
    panel.editor.set_value(Spgr.from_typical())
    assert panel.null.isHidden()


def test_a_preset_brings_its_own_times(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    panel.presets.preset_box.value = "STIR"
    assert panel.null.value().tissue == NOTHING
    assert panel.editor.value() == find_preset(BUILT_IN, "STIR", 3.0).contrast
    assert panel.editor.parameter_boxes()["inversion_time"].enabled


def test_tissues_follow_the_field_strength(panel: SequencePanel, tmp_path: Path) -> None:
    panel.null.tissue_box.value = "WM"
    panel.presets.field_box.value = 7.0
    assert panel.null.t1s() == (TISSUES["WM"].t1[7.0],)
    assert panel.editor.value() == nulled(T2Flair.from_typical(), TISSUES["WM"].t1[7.0])
    write_presets(tmp_path / "x.toml", [MINE])
    panel.presets.open_file(tmp_path / "x.toml")  # at 0.55 T, where no T1 is known
    assert list(panel.null.tissue_box.choices) == [NOTHING, "a T1 of"]


def test_a_nulled_tissue_stays_so_at_another_field_strength(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "WM"
    panel.presets.field_box.value = 7.0
    preset = find_preset(BUILT_IN, "T2-FLAIR 2D", 7.0).contrast
    assert panel.editor.value() == nulled(preset, TISSUES["WM"].t1[7.0])
    assert panel.null.value().tissue == "WM"
    panel.editor.parameter_boxes()["repetition_time"].value = 7000  # now it is a setting of one's own
    mine = panel.editor.value()
    panel.presets.field_box.value = 1.5
    assert panel.editor.value() == nulled(mine, TISSUES["WM"].t1[1.5])  # type: ignore[arg-type]


def test_presets_are_stepped_through_in_their_order_and_round(panel: SequencePanel) -> None:
    names = [preset.name for preset in BUILT_IN if preset.field_strength == 3.0]
    found = []
    for _ in range(len(names) + 1):
        panel.presets.step(1)
        found.append(panel.title())
        assert panel.editor.value() == find_preset(BUILT_IN, found[-1], 3.0).contrast
    assert found == [*names, names[0]]
    panel.presets.step(-1)
    assert panel.title() == names[-1]
    panel.editor.parameter_boxes()["flip_angle"].value = 12
    panel.presets.step(-1)  # from the preset that these settings began as
    assert panel.title() == names[-2]


def test_a_preset_keeps_its_name_while_its_inversion_time_follows_a_null(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    source = panel.presets.source_note.text()
    panel.null.tissue_box.value = "CSF"
    assert panel.presets.preset_box.value == "T2-FLAIR 2D"
    assert panel.title() == "T2-FLAIR 2D, CSF nulled"
    assert panel.presets.source_note.text() != source
    panel.presets.field_box.value = 7.0
    assert (panel.presets.preset_box.value, panel.title()) == ("T2-FLAIR 2D", "T2-FLAIR 2D, CSF nulled")
    panel.presets.step(1)
    assert (panel.presets.preset_box.value, panel.title()) == ("T2-FLAIR 3D", "T2-FLAIR 3D, CSF nulled")
    panel.null.set_value(NullChoice("a T1 of", NOTHING, 1.2345, True))
    assert panel.title() == "T2-FLAIR 3D, T1 1234 ms nulled"
    panel.null.lock_box.value = False  # then the time is a setting like others
    assert panel.presets.preset_box.value == OWN
    assert panel.title() == "T2-FLAIR"


def test_steps_start_at_either_end(qtbot: QtBot) -> None:
    for n_presets, name in ((1, "T1w SE"), (-1, "bSSFP")):
        panel = SequencePanel()
        qtbot.addWidget(panel)
        panel.presets.step(n_presets)
        assert panel.title() == name


def test_a_nulled_tissue_stays_so_from_preset_to_preset_of_a_sequence(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "GM"
    panel.presets.step(1)
    assert panel.editor.value() == nulled(find_preset(BUILT_IN, "T2-FLAIR 3D", 3.0).contrast, TISSUES["GM"].t1[3.0])
    panel.presets.step(1)  # another sequence, which nulls what its preset says
    assert panel.title() == "T1-FLAIR"
    assert panel.null.value().tissue == NOTHING
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "GM"
    panel.null.lock_box.value = False
    panel.presets.step(1)
    assert panel.title() == "T2-FLAIR 3D"
    assert panel.null.value() == NullChoice(is_locked=False)


def test_what_can_be_shown(panel: SequencePanel) -> None:
    assert panel.can_show({"repetition_time": 3.0})
    assert not panel.can_show({"repetition_time": 2.5})  # TI is 2.5 s
    panel.null.tissue_box.value = "CSF"
    assert panel.locked_settings() == ("inversion_time",)
    assert panel.can_show({"repetition_time": 2.5})  # TI follows
    assert not panel.can_show({"repetition_time": 0.1})  # shorter than the train
    panel.editor.set_value(Mprage.from_typical())
    panel.null.set_value(NullChoice("a T1 of", NOTHING, 0.2, True))  # which nothing nulls
    assert panel.can_show({"repetition_time": 3.0})
    panel.editor.parameter_boxes()["echo_time"].value = 9  # more than the read-out spacing
    assert panel.editor.value() is None
    assert panel.can_show({"echo_time": 5.0})


def test_null_choice_is_what_was_set(qtbot: QtBot) -> None:
    null = NullPanel()
    qtbot.addWidget(null)
    null.show_for(n_inversions=2)
    for choice in (
        NullChoice("fat", "WM", 1.0, False),
        NullChoice("a T1 of", NOTHING, 1.234, True, 0.08),
        NullChoice(),
    ):
        null.set_value(choice)
        assert null.value() == choice


def test_the_t1_of_a_voxel_is_nulled(widget: SynthesizeWidget) -> None:
    (layer,) = widget.add_contrast()
    index = (2, 3, 4)
    viewer = widget._viewer
    others = list(viewer.mouse_drag_callbacks)
    widget.panel.null.pick_button.native.click()
    assert len(viewer.mouse_drag_callbacks) == len(others) + 1
    viewer.mouse_drag_callbacks[-1](viewer, SimpleNamespace(position=(-1e4, 0, 0), viewbox=(0, 0)))
    assert widget.status.text() == "There is no T1 here. Add a contrast and click into it."
    place = layer.data_to_world(index)
    viewer.mouse_drag_callbacks[-1](viewer, SimpleNamespace(position=place, viewbox=(0, 0)))
    t1 = float(layer.data.t1[index])
    t2 = float(layer.data.t2[index])
    assert times_at([layer], place) == (t1, t2)
    assert widget.panel.null.t2s() == (t2,)
    assert widget.panel.null.t1s() == (pytest.approx(t1, abs=5e-5),)  # shown in tenths of ms
    value: Any = widget.editor.value()
    assert value.inversion_time == pytest.approx(value.nulling_inversion_time(widget.panel.null.t1s()[0]))
    assert viewer.mouse_drag_callbacks == others
    assert not widget.panel.null.pick_button.value
    widget.editor.parameter_boxes()["refocusing_angle"].value = 120
    value = widget.editor.value()
    t1 = widget.panel.null.t1s()[0]
    assert value.inversion_time == pytest.approx(value.nulling_inversion_time(t1, t2))
    assert value.inversion_time != pytest.approx(value.nulling_inversion_time(t1), rel=1e-6)
    widget.panel.null.t1_box.value += 100  # another tissue, whose T2 is not known
    assert widget.panel.null.t2s() == (None,)


def test_the_t1_is_that_of_the_contrast_that_was_clicked(qtbot: QtBot) -> None:
    viewer = lr_sr_and_a_guide()
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    layers = {layer.name[-3:-1]: layer for layer in widget.add_contrast()}
    place = layers["SR"].data_to_world((4, 6, 6))
    grid = viewer.canvas.grid
    for name in ("SR", "LR", "SR"):
        widget.panel.null.pick_button.native.click()
        cell = grid.position(viewer.layers.index(layers[name]), viewer.layers)
        viewer.mouse_drag_callbacks[-1](viewer, SimpleNamespace(position=place, viewbox=cell))
        t1 = layers[name].data.t1[tuple(np.round(layers[name].world_to_data(place)).astype(int))]
        assert widget.panel.null.t1s() == (pytest.approx(float(t1), abs=5e-5),)
    grid.enabled = False  # one over the other: the finer one
    widget.panel.null.set_value(NullChoice())
    widget.panel.null.pick_button.native.click()
    viewer.mouse_drag_callbacks[-1](viewer, SimpleNamespace(position=place, viewbox=(0, 0)))
    assert widget.panel.null.t1s() == (pytest.approx(float(layers["SR"].data.t1[4, 6, 6]), abs=5e-5),)


def test_the_range_of_a_t1_is_our_choice(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    assert panel.null.note.text().startswith("Plausible T1: 3000 to 4500 ms (the range is our choice).")


def test_layers_are_named_after_the_preset(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.panel.presets.preset_box.value = "T1-FLAIR"
    (layer,) = widget.add_contrast()
    assert layer.name == "T1-FLAIR synthetic (maps)"
    widget.editor.parameter_boxes()["echo_time"].value = 20
    qtbot.waitUntil(lambda: layer.name == "Inversion recovery synthetic (maps)")
    widget.panel.presets.preset_box.value = "STIR"
    qtbot.waitUntil(lambda: layer.name == "STIR synthetic (maps)")
    widget.panel.null.tissue_box.value = "fat"
    qtbot.waitUntil(lambda: layer.name == "STIR, fat nulled synthetic (maps)")
    widget.panel.null.tissue_box.value = NOTHING
    widget.panel.presets.step(0)
    qtbot.waitUntil(lambda: layer.name == "STIR synthetic (maps)")
    assert layer.data.sequence == find_preset(BUILT_IN, "STIR", 3.0).contrast


def test_an_equation_is_a_contrast_with_the_parameters_that_it_mentions(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    (layer,) = widget.add_contrast()
    widget.editor.sequence_box.value = EQUATION
    widget.editor.equation_box.setPlainText("PD * exp(-TE/T2) * cos(FA)")
    assert list(widget.editor.parameter_boxes()) == ["echo_time", "flip_angle"]
    widget.editor.parameter_boxes()["echo_time"].value = 40
    widget.editor.parameter_boxes()["flip_angle"].value = 60
    qtbot.waitUntil(lambda: layer.name == "User equation synthetic (maps)")
    qtbot.waitUntil(lambda: layer.data.sequence.echo_time == pytest.approx(0.04))
    pd, _, t2 = lr_maps().data
    shown = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(shown.data, pd * np.exp(-0.04 / t2) / 2, rtol=1e-5)
    assert shown.sidecar["SignalEquation"] == "PD * exp(-TE/T2) * cos(FA)"
    assert shown.sidecar["FlipAngle"] == pytest.approx(60)
    assert "RepetitionTime" not in shown.sidecar


def test_an_equation_that_cannot_be_read_is_said_and_leaves_the_layer(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.editor.set_value(UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03))
    (layer,) = widget.add_contrast()
    widget.editor.equation_box.setPlainText("PD * exp(-TE/T2")
    assert "position 16: expected ')'" in widget.editor.problem_label.text()
    assert not widget.add_button.enabled
    assert not widget.panel.presets.save_button.enabled
    assert list(widget.editor.parameter_boxes()) == ["echo_time"]  # what was set stays
    qtbot.wait(50)
    assert layer.data.sequence == UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03)
    widget.editor.equation_box.setPlainText("PD * T1")
    assert widget.editor.value() == UserEquation(text="PD * T1")
    assert widget.editor.parameter_boxes() == {}


def test_an_equation_can_be_a_preset(panel: SequencePanel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equation = UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03)
    panel.editor.set_value(equation)
    answer(monkeypatch, "T2 decay")
    panel.presets.save()
    panel.editor.set_value(T2Flair.from_typical())
    panel.presets.preset_box.value = "T2 decay"
    assert panel.editor.value() == equation
    assert not panel.editor.equation_box.isHidden()


def test_t2s_is_the_t2star_map_as_the_grammar_says(widget: SynthesizeWidget) -> None:
    assert "T2s is the T2* map, or T2 without one." in widget.editor._grammar.text()
    widget.editor.set_value(UserEquation(text="T2s"))
    (layer,) = widget.add_contrast()
    t2 = lr_maps()["T2"]
    np.testing.assert_allclose(from_layer(*layer.as_layer_data_tuple()[:2]).data, t2, rtol=1e-5)
    add(widget._viewer, Volume(data=t2 / 2, grid=LR, name="sub-01 T2starmap", suffix="T2starmap", unit="s"))
    (layer,) = widget.add_contrast()
    np.testing.assert_allclose(from_layer(*layer.as_layer_data_tuple()[:2]).data, t2 / 2, rtol=1e-5)


def test_guides_have_no_equations(qtbot: QtBot) -> None:
    editor = AcquisitionEditor()
    qtbot.addWidget(editor)
    assert EQUATION not in editor.sequence_box.choices
    assert editor.equation_box.isHidden()
