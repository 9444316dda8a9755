"""A preset, the parameters of its sequence, and the T1 to null, together in one panel."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.synthesize.null_panel import ANY_T1, NOTHING, NullChoice
from napari_swig_qmri._napari.synthesize.preset_panel import NO_PRESET
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.nulling import NULLED_TISSUES, doubly_nulled, nulled
from napari_swig_qmri.physics.signal_models import DoubleInversionRecovery, Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.synthesis.presets import Preset, built_in_presets, find_preset, write_presets

BUILT_IN = built_in_presets()


@pytest.mark.parametrize("field", sorted({preset.field_strength for preset in BUILT_IN}))
def test_a_preset_is_shown_to_the_last_digit(panel: SequencePanel, field: float) -> None:
    panel.presets.field_box.value = field
    for preset in (each for each in BUILT_IN if each.field_strength == field):
        panel.presets.preset_box.value = preset.name
        assert panel.editor.value() == preset.contrast
        assert panel.presets.value() == preset
        assert panel.title() == preset.name
        assert "our choice" in panel.presets.source_note.text()


def test_changed_settings_are_not_the_preset_until_they_are_changed_back(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2w TSE"
    echo_time = panel.editor.parameter_boxes()["echo_time"]
    echo_time.value = 100
    assert panel.presets.preset_box.value == NO_PRESET
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
    assert panel.editor.value() == SpinEcho(echo_time=0.01, repetition_time=0.5)  # not a preset, so it stays
    assert panel.presets.preset_box.value == NO_PRESET


def test_presets_are_stepped_through_in_their_order_and_wrap_around(panel: SequencePanel, qtbot: QtBot) -> None:
    names = [preset.name for preset in BUILT_IN if preset.field_strength == 3.0]
    titles = []
    for _ in range(len(names) + 1):
        panel.presets.step(1)
        titles.append(panel.title())
        assert panel.editor.value() == find_preset(BUILT_IN, titles[-1], 3.0).contrast
    assert titles == [*names, names[0]]
    panel.presets.step(-1)
    assert panel.title() == names[-1]
    panel.editor.parameter_boxes()["flip_angle"].value = 12
    panel.presets.step(-1)  # counted from the preset that was changed
    assert panel.title() == names[-2]
    panel.presets.step(1, lambda contrast: isinstance(contrast, Mprage))
    assert panel.title() == "T1w MPRAGE"
    panel.presets.step(1, lambda _: False)
    assert panel.title() == "T1w MPRAGE"
    fresh = SequencePanel()
    qtbot.addWidget(fresh)
    fresh.presets.step(-1)
    assert fresh.title() == names[-1]


def test_a_locked_tissue_stays_nulled_while_settings_change(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    t1 = NULLED_TISSUES["CSF"].t1[3.0]
    assert panel.editor.value() == nulled(T2Flair.from_typical(), t1)
    boxes = panel.editor.parameter_boxes()
    assert not boxes["inversion_time"].enabled
    settings: dict[str, Any] = {"inversion_time": 0.5}
    for name, shown, value in (
        ("repetition_time", 2000, 2.0),  # too short for the TI before
        ("echo_train_length", 20, 20),
        ("echo_spacing", 12, 0.012),
    ):
        boxes[name].value = shown
        settings[name] = value
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
    t1s = (NULLED_TISSUES[name].t1[3.0] for name in ("CSF", "WM"))
    assert panel.editor.value() == doubly_nulled(settings, *t1s)
    panel.editor.set_value(T2Flair.from_typical())
    assert panel.null.other_box.native.isHidden()
    assert len(panel.null.t1s()) == 1


def test_a_t1_that_no_time_nulls_changes_nothing_and_says_so(panel: SequencePanel) -> None:
    panel.editor.set_value(Mprage.from_typical())
    panel.null.set_value(NullChoice(ANY_T1, NOTHING, 0.2, True))
    assert "No TI of MPRAGE nulls a T1 of 200 ms here" in panel.null.note.text()
    assert panel.editor.value() == Mprage.from_typical()
    panel.editor.set_value(Spgr.from_typical())
    assert panel.null.isHidden()


def test_tissues_have_the_t1_of_the_field_strength(panel: SequencePanel, tmp_path: Any) -> None:
    panel.null.tissue_box.value = "WM"
    panel.presets.field_box.value = 7.0
    assert panel.null.t1s() == (NULLED_TISSUES["WM"].t1[7.0],)
    assert panel.editor.value() == nulled(T2Flair.from_typical(), NULLED_TISSUES["WM"].t1[7.0])
    low_field = Preset(name="T2w", field_strength=0.55, contrast=SpinEcho(echo_time=0.12, repetition_time=3.0))
    write_presets(tmp_path / "x.toml", [low_field])
    panel.presets.open_file(tmp_path / "x.toml")  # no T1 is known at 0.55 T
    assert list(panel.null.tissue_box.choices) == [NOTHING, ANY_T1]


def test_a_locked_tissue_stays_nulled_at_another_field_strength(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "WM"
    panel.presets.field_box.value = 7.0
    preset = find_preset(BUILT_IN, "T2-FLAIR 2D", 7.0).contrast
    assert panel.editor.value() == nulled(preset, NULLED_TISSUES["WM"].t1[7.0])
    assert panel.null.value().tissue == "WM"
    panel.editor.parameter_boxes()["repetition_time"].value = 7000  # no longer the preset
    changed: Any = panel.editor.value()
    panel.presets.field_box.value = 1.5
    assert panel.editor.value() == nulled(changed, NULLED_TISSUES["WM"].t1[1.5])


def test_a_preset_keeps_its_name_while_its_inversion_time_follows_a_tissue(panel: SequencePanel) -> None:
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    source = panel.presets.source_note.text()
    panel.null.tissue_box.value = "CSF"
    assert panel.presets.preset_box.value == "T2-FLAIR 2D"
    assert panel.title() == "T2-FLAIR 2D, CSF nulled"
    assert panel.presets.source_note.text() != source
    panel.presets.step(1)
    assert (panel.presets.preset_box.value, panel.title()) == ("T2-FLAIR 3D", "T2-FLAIR 3D, CSF nulled")
    panel.null.set_value(NullChoice(ANY_T1, NOTHING, 1.2345, True))
    assert panel.title() == "T2-FLAIR 3D, T1 1234 ms nulled"
    panel.null.lock_box.value = False  # then the inversion time is a setting like others
    assert panel.presets.preset_box.value == NO_PRESET
    assert panel.title() == "T2-FLAIR"


def test_a_chosen_preset_brings_its_own_times_and_a_step_keeps_the_locked_tissue(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "GM"
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    assert panel.null.value().tissue == NOTHING
    assert panel.editor.value() == find_preset(BUILT_IN, "T2-FLAIR 2D", 3.0).contrast
    panel.null.tissue_box.value = "GM"
    panel.presets.step(1)
    assert panel.editor.value() == nulled(
        find_preset(BUILT_IN, "T2-FLAIR 3D", 3.0).contrast, NULLED_TISSUES["GM"].t1[3.0]
    )
    panel.presets.step(1)  # another sequence
    assert panel.title() == "T1-FLAIR"
    assert panel.null.value().tissue == NOTHING
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "GM"
    panel.null.lock_box.value = False
    panel.presets.step(1)
    assert panel.title() == "T2-FLAIR 3D"
    assert panel.null.value() == NullChoice(is_locked=False)


def test_changes_are_possible_if_the_sequence_is(panel: SequencePanel) -> None:
    assert panel.can_show({"repetition_time": 3.0})
    assert not panel.can_show({"repetition_time": 2.5})  # TI is 2.5 s
    panel.null.tissue_box.value = "CSF"
    assert panel.locked_settings() == ("inversion_time",)
    assert panel.can_show({"repetition_time": 2.5})  # TI follows
    assert not panel.can_show({"repetition_time": 0.1})  # shorter than the train
    panel.editor.set_value(Mprage.from_typical())
    panel.null.set_value(NullChoice(ANY_T1, NOTHING, 0.2, True))  # no TI nulls it
    assert panel.can_show({"repetition_time": 3.0})
    panel.editor.parameter_boxes()["echo_time"].value = 9  # longer than the read-out spacing
    assert panel.editor.value() is None
    assert panel.can_show({"echo_time": 5.0})
