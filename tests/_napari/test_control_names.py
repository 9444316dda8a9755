"""In the window, messages name options by their controls."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.parts.appearance import sentence, show_note, wrapped_label
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri._napari.reader import Notice, tell
from napari_swig_qmri._napari.super_resolve.options import NOTES, OptionsEditor
from napari_swig_qmri._napari.super_resolve.preflight_panel import PreflightPanel
from napari_swig_qmri.super_resolution.options import Options

MESSAGE, SHOWN = "`maps_from` names the protocol.", "“Maps from” names the protocol."


def test_every_place_for_messages_names_the_control(qtbot: QtBot) -> None:
    label, run, preflight = wrapped_label(), RunPanel("Run", ""), PreflightPanel()
    for each in (label, run, preflight):
        qtbot.addWidget(each)
    show_note(label, MESSAGE)
    run.show_message(MESSAGE, notes=[MESSAGE])
    preflight.show_problems([MESSAGE])
    assert label.text() == run.message.text() == run.details.text() == SHOWN
    assert SHOWN in preflight.problems.text()
    with pytest.warns(Notice, match=SHOWN):
        tell(MESSAGE)


def test_controls_have_the_labels_that_messages_use(qtbot: QtBot) -> None:
    editor = OptionsEditor(Options(), list)
    qtbot.addWidget(editor)
    boxes = {
        "maps_from": editor.maps_from.box.label,
        "method": editor.method_box.label,
        "weights": editor.weights_box.label,
        "mask": editor.mask_box.label,
        "all_maps": editor.all_maps_box.text,
        "pose": editor.pose_box.text,
        "field": editor.field_box.text,
    }
    assert {name: sentence(f"`{name}`") for name in boxes} == {name: f"“{label}”" for name, label in boxes.items()}
    assert all("`" not in sentence(f"`{name}`") for name in {*NOTES} & {*Options().to_json()})
