"""The two settings that a drag changes: which ones, how far, and where the sequence stops them."""

from __future__ import annotations

from typing import Any

import pytest

from napari_swig_qmri._napari.synthesize.knobs import Knob, moved_names, nearest_possible, set_knobs, settings_text
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri.physics.nulling import NULLED_TISSUES, nulled
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


def test_ti_flip_angle_or_tr_is_moved_sideways_and_te_up() -> None:
    names = {key: [each.name for each in settings_of(kind)] for key, kind in SEQUENCES.items()}
    assert {key: moved_names(each) for key, each in names.items()} == {
        key: (sideways, "echo_time") for key, sideways in SIDEWAYS.items()
    }
    for kind in (T2Flair, Mprage):
        shown = [each.name for each in settings_of(kind)]
        assert moved_names(shown, ["inversion_time"]) == ("repetition_time", "echo_time")


def test_an_equation_moves_the_settings_that_it_contains() -> None:
    assert moved_names(["echo_time"]) == (None, "echo_time")
    assert moved_names(["repetition_time"]) == ("repetition_time", None)
    assert moved_names(["echo_time", "repetition_time", "flip_angle"]) == ("flip_angle", "echo_time")
    assert moved_names([]) == (None, None)


def test_the_canvas_is_as_wide_as_the_slider() -> None:
    knob = Knob("echo_time", 120.0, 0.0, 360.0, 10.0)
    assert [knob.moved(0.0, 1.0), knob.moved(120.0, -0.25), knob.moved(120.0, 2.0)] == [360.0, 30.0, 360.0]
    assert knob.rounded(92.4, 1.0) == 92.0
    assert Knob("repetition_time", 50.0, 0.5, 100.0, 10.0).rounded(0.1, 1.0) == 0.5
    assert Knob("echo_time", 119.7, 0.0, 360.0, 10.0).rounded(120.1, 1.0) == 119.7


@pytest.mark.parametrize("limit", [2.0, 2.1, 3.7, 7.0, 9.99])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_setting_stops_at_its_last_possible_step(limit: float, sign: int) -> None:
    reached = nearest_possible({"x": 2.0 * sign}, {"x": 10.0 * sign}, {"x": 0.5}, lambda at: at["x"] * sign <= limit)
    assert reached["x"] * sign <= limit < reached["x"] * sign + 0.5


def test_one_setting_makes_room_for_the_other() -> None:
    def echo_fits(settings: Any) -> bool:
        return bool(settings["te"] < settings["tr"] - 1)

    grid = {"tr": 0.5, "te": 0.5}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 2, "te": 0.5}, grid, echo_fits) == {"tr": 2, "te": 0.5}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 1, "te": 0}, grid, echo_fits) == {"tr": 1.5, "te": 0}
    assert nearest_possible({"tr": 4, "te": 2.5}, {"tr": 4, "te": 3.5}, grid, echo_fits) == {"tr": 4, "te": 2.5}


def test_sliders_stop_where_the_sequence_is_impossible(panel: SequencePanel) -> None:
    set_knobs(panel, {"repetition_time": 500.0, "echo_time": 300.0}, {"repetition_time": 100.0, "echo_time": 1.0})
    value: Any = panel.editor.value()
    assert panel.editor.problem() is None
    assert (value.repetition_time, value.echo_time) == (2.7, 0.16)  # after TI 2.5 s and the train; its last echo
    assert not panel.can_show({"repetition_time": 2.6})
    panel.editor.parameter_boxes()["repetition_time"].value = 1000
    assert panel.editor.value() is None
    set_knobs(panel, {"repetition_time": 2000.0}, {"repetition_time": 100.0})  # impossible settings can be left
    assert panel.editor.settings()["repetition_time"] == 2.0


def test_a_locked_tissue_stays_nulled_while_tr_is_moved(panel: SequencePanel) -> None:
    panel.null.tissue_box.value = "CSF"
    t1 = NULLED_TISSUES["CSF"].t1[3.0]
    set_knobs(panel, {"repetition_time": 2000.0}, {"repetition_time": 100.0})
    assert panel.editor.value() == nulled(T2Flair.from_typical(repetition_time=2.0, inversion_time=0.5), t1)
    set_knobs(panel, {"repetition_time": 0.5}, {"repetition_time": 10.0})
    value: Any = panel.editor.value()
    assert value == nulled(value, t1)
    assert not panel.can_show({"repetition_time": value.repetition_time - 0.01})


def test_settings_are_written_with_their_units(panel: SequencePanel) -> None:
    assert settings_text(panel, ["inversion_time", "echo_time"]) == "T2-FLAIR: TI 2500 ms, TE 120 ms"
    panel.editor.set_value(Spgr.from_typical())
    assert settings_text(panel, ["flip_angle", "echo_time"]) == "Spoiled gradient echo: flip angle 20°, TE 3 ms"
    panel.editor.set_value(UserEquation(text="PD * T1"))
    assert settings_text(panel, []) == "User equation"
