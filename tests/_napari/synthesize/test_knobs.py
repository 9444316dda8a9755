"""The two settings that one movement changes: which they are, how far they go, and where they are held."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.synthesize.knobs import Knob, moved_names, nearest_possible, set_knobs, settings_text
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.nulling import TISSUES, nulled
from napari_swig_qmri.physics.sequence import settings_of
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, Spgr, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation

SIDEWAYS = {
    "spin-echo": "repetition_time",
    "tse": "repetition_time",
    "ir-se": "inversion_time",
    "psir": "inversion_time",
    "t2-flair": "inversion_time",
    "stir": "inversion_time",
    "dir": "inversion_time",
    "spgr": "flip_angle",
    "bssfp": "flip_angle",
    "mprage": "inversion_time",
    "mp2rage-uni": "inversion_time",
}


@pytest.fixture
def panel(qtbot: QtBot) -> SequencePanel:
    panel = SequencePanel()
    qtbot.addWidget(panel)
    panel.editor.set_value(T2Flair.from_typical())
    return panel


@pytest.mark.parametrize("key", SEQUENCES)
def test_what_is_moved(key: str) -> None:
    names = [each.name for each in settings_of(SEQUENCES[key])]
    assert moved_names(names) == (SIDEWAYS[key], "echo_time")


def test_what_rests_is_not_moved() -> None:
    for kind in (T2Flair, Mprage):
        names = [each.name for each in settings_of(kind)]
        assert moved_names(names, ["inversion_time"]) == ("repetition_time", "echo_time")


def test_an_equation_moves_what_it_mentions() -> None:
    assert moved_names(["echo_time"]) == (None, "echo_time")
    assert moved_names(["repetition_time"]) == ("repetition_time", None)
    assert moved_names(["echo_time", "repetition_time", "flip_angle"]) == ("flip_angle", "echo_time")
    assert moved_names([]) == (None, None)


def test_the_canvas_is_as_wide_as_the_slider() -> None:
    knob = Knob("echo_time", 120.0, 0.0, 360.0, 10.0)
    assert knob.moved(0.0, 1.0) == 360.0
    assert knob.moved(120.0, -0.25) == 30.0
    assert knob.moved(120.0, 2.0) == 360.0
    assert knob.rounded(92.4, 1.0) == 92.0
    assert Knob("repetition_time", 50.0, 0.5, 100.0, 10.0).rounded(0.1, 1.0) == 0.5
    assert Knob("echo_time", 119.7, 0.0, 360.0, 10.0).rounded(120.1, 1.0) == 119.7


@pytest.mark.parametrize("border", [2.0, 2.1, 3.7, 7.0, 9.99])
@pytest.mark.parametrize("way", [1, -1])
def test_settings_are_held_at_the_last_possible_value(border: float, way: int) -> None:
    reached = nearest_possible({"x": 2.0 * way}, {"x": 10.0 * way}, {"x": 0.5}, lambda at: at["x"] * way <= border)
    assert reached["x"] * way <= border < reached["x"] * way + 0.5


def test_one_setting_makes_room_for_the_other() -> None:
    def echo_fits(settings: Any) -> bool:
        return bool(settings["te"] < settings["tr"] - 1)

    grid = {"tr": 0.5, "te": 0.5}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 2, "te": 0.5}, grid, echo_fits) == {"tr": 2, "te": 0.5}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 1, "te": 0}, grid, echo_fits) == {"tr": 1.5, "te": 0}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 4, "te": 3.5}, grid, echo_fits) == {"tr": 4, "te": 2.5}


def test_sliders_stop_where_a_sequence_cannot_be_played_out(panel: SequencePanel) -> None:
    set_knobs(panel, {"repetition_time": 500.0, "echo_time": 300.0}, {"repetition_time": 100.0, "echo_time": 1.0})
    value: Any = panel.editor.value()
    assert panel.editor.problem() is None
    assert (value.repetition_time, value.echo_time) == (2.7, 0.16)  # behind TI 2.5 s and the train, and its last echo
    assert not panel.can_show({"repetition_time": 2.6})


def test_a_nulled_tissue_stays_so_while_tr_is_moved(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    set_knobs(panel, {"repetition_time": 2000.0}, {"repetition_time": 100.0})
    assert panel.editor.value() == nulled(
        T2Flair.from_typical(repetition_time=2.0, inversion_time=0.5), TISSUES["CSF"].t1[3.0]
    )
    set_knobs(panel, {"repetition_time": 0.5}, {"repetition_time": 10.0})
    value: Any = panel.editor.value()
    assert value == nulled(value, TISSUES["CSF"].t1[3.0])
    assert not panel.can_show({"repetition_time": value.repetition_time - 0.01})


def test_what_cannot_be_played_out_may_be_left(panel: SequencePanel) -> None:
    panel.editor.parameter_boxes()["repetition_time"].value = 1000
    assert panel.editor.value() is None
    set_knobs(panel, {"repetition_time": 2000.0}, {"repetition_time": 100.0})
    assert panel.editor.settings()["repetition_time"] == 2.0


def test_settings_are_described_in_few_words(panel: SequencePanel) -> None:
    assert settings_text(panel, ["inversion_time", "echo_time"]) == "T2-FLAIR: TI 2500 ms, TE 120 ms"
    panel.editor.set_value(Spgr.from_typical())
    assert settings_text(panel, ["flip_angle", "echo_time"]) == "Spoiled gradient echo: flip angle 20°, TE 3 ms"
    panel.editor.set_value(UserEquation(text="PD * T1"))
    assert settings_text(panel, []) == "User equation"
