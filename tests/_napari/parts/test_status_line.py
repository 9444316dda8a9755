"""The status line: a problem hides the note until something succeeds."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.parts.status_line import StatusLine


def test_a_problem_hides_the_note_until_it_is_settled(qtbot: QtBot) -> None:
    line = StatusLine("help")
    qtbot.addWidget(line.label)
    assert line.label.isHidden()
    line.say("computing…")
    line.refuse("the maps do not overlap.")
    line.say("ready")
    assert (line.text(), line.label.text()) == ("the maps do not overlap.", "The maps do not overlap.")
    line.settle()
    assert line.label.text() == "Ready"
