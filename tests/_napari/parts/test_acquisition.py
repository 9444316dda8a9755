"""The editor of a sequence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QSlider

from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri.physics.sequence import summary
from napari_swig_qmri.physics.signal_models import SEQUENCES, Spgr, SpinEcho, T2Flair, TurboSpinEcho


@pytest.fixture(params=[False, True], ids=["boxes", "sliders"])
def editor(request: pytest.FixtureRequest, qtbot: QtBot) -> AcquisitionEditor:
    widget = AcquisitionEditor(sliders=request.param, optional=not request.param)
    qtbot.addWidget(widget)
    return widget


def test_value_is_what_was_set_to_the_last_digit(editor: AcquisitionEditor) -> None:
    for name, sequence in SEQUENCES.items():
        model = sequence.from_typical(echo_time=0.0021234567)
        editor.set_value(model)
        assert editor.value() == model
        assert editor.sequence_box.value == name


def test_times_are_in_ms_and_angles_in_degrees(editor: AcquisitionEditor) -> None:
    editor.set_value(Spgr(echo_time=0.004, repetition_time=0.02, flip_angle=math.radians(15)))
    boxes = editor.parameter_boxes()
    assert boxes["echo_time"].value == pytest.approx(4)
    assert boxes["flip_angle"].value == pytest.approx(15)
    boxes["flip_angle"].value = 30
    value: Any = editor.value()
    assert value.flip_angle == pytest.approx(math.pi / 6)
    assert value.echo_time == 0.004


def test_keys_on_a_slider_move_it_by_a_step(qtbot: QtBot) -> None:
    editor = AcquisitionEditor(sliders=True)
    qtbot.addWidget(editor)
    editor.set_value(T2Flair.from_typical())
    box = editor.parameter_boxes()["repetition_time"]
    assert (box.min, box.max, box.step) == (pytest.approx(0.5, abs=0.01), 27_000, 1_000)
    QTest.keyClick(box.native.findChild(QSlider), Qt.Key.Key_Right)
    assert editor.settings()["repetition_time"] == pytest.approx(10.0)


def test_another_sequence_keeps_what_it_shares(qtbot: QtBot) -> None:
    editor = AcquisitionEditor()
    qtbot.addWidget(editor)
    editor.set_value(SpinEcho(echo_time=0.033, repetition_time=2.0))
    editor.sequence_box.value = "tse"
    assert editor.value() == TurboSpinEcho(echo_time=0.033, repetition_time=2.0)


def test_another_sequence_starts_as_usual_where_the_old_times_do_not_fit(editor: AcquisitionEditor) -> None:
    editor.set_value(SpinEcho(echo_time=0.033, repetition_time=2.0))
    editor.sequence_box.value = "mprage"
    assert editor.value() == SEQUENCES["mprage"].from_typical()


def test_impossible_settings_are_said_at_once(qtbot: QtBot) -> None:
    editor = AcquisitionEditor()
    qtbot.addWidget(editor)
    editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    with qtbot.waitSignal(editor.changed):
        editor.parameter_boxes()["echo_time"].value = 600
    assert editor.value() is None
    assert "TE 600 ms is not shorter than TR 500 ms" in (editor.problem() or "")
    assert editor.problem_label.text() == editor.problem()
    editor.parameter_boxes()["echo_time"].value = 20
    assert editor.problem() is None
    assert editor.problem_label.isHidden()


def test_unknown_until_a_sequence_is_chosen(qtbot: QtBot) -> None:
    editor = AcquisitionEditor()
    qtbot.addWidget(editor)
    assert editor.value() is None
    assert editor.problem() is None
    editor.sequence_box.value = "tse"
    assert editor.value() == SEQUENCES["tse"].from_typical()
    editor.set_value(None)
    assert editor.value() is None


def test_summary_reads_like_a_protocol() -> None:
    assert summary(T2Flair.from_typical()) == "T2-FLAIR: TE 120, TR 9000, TI 2500 ms"
