"""Choice of the T1 to null."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.synthesize.null_panel import ANY_T1, NOTHING, NullChoice, NullPanel


def test_value_is_what_was_set_and_the_note_has_the_range_of_a_tissue(qtbot: QtBot) -> None:
    panel = NullPanel()
    qtbot.addWidget(panel)
    panel.show_for(n_inversions=2)
    for choice in (NullChoice("fat", "WM", 1.0, False), NullChoice(ANY_T1, NOTHING, 1.234, True, 0.08), NullChoice()):
        panel.set_value(choice)
        assert panel.value() == choice
    panel.tissue_box.value = "CSF"
    assert panel.note.text().startswith("Plausible T1: 3000 to 4500 ms (the range is our choice).")
    panel.show_times(1.1, 0.09)
    assert (panel.t1s(), panel.t2s()) == ((1.1,), (0.09,))
    panel.t1_box.value += 100  # another T1, whose T2 is unknown
    assert panel.t2s() == (None,)
