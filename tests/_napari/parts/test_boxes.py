"""Choosers keep their value while choices come and go, and tell every change once."""

from __future__ import annotations

from napari.layers import Image
from numpy import zeros
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.parts.appearance import shortened
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, layer_box


def test_the_value_stays_while_it_is_offered(qtbot: QtBot) -> None:
    box = ChoiceBox()
    qtbot.addWidget(box.native)
    values: list[object] = []
    box.changed.connect(values.append)
    assert (box.value, box.enabled) == (None, False)
    box.set_choices([("a", 1), ("b", 2)])
    assert (box.value, box.enabled) == (1, True)
    box.value = 2
    box.set_choices([("c", 3), ("b", 2)])
    assert (box.value, [box.native.itemText(index) for index in range(2)]) == (2, ["c", "b"])
    box.set_choices([("c", 3)])
    box.choose(9)
    assert box.value == 3
    assert values == [1, 2, 3]


def test_none_is_offered_first_under_its_own_text(qtbot: QtBot) -> None:
    layers = [Image(zeros((2, 2)), name="one")]
    box = layer_box(lambda: layers)
    qtbot.addWidget(box.native)
    values: list[object] = []
    box.changed.connect(values.append)
    assert (box.value, box.native.currentText()) == (None, "none")
    box.value = layers[0]
    layers[0].name = "renamed"
    box.reset_choices()
    assert (box.value, box.native.currentText()) == (layers[0], "renamed")
    first = layers.pop()
    box.reset_choices()
    assert box.value is None
    assert values == [first, None]


def test_shortened_names_stay_distinct() -> None:
    def elide(text: str) -> str:
        return text if len(text) <= 12 else f"{text[:6]}…{text[-5:]}"

    names = ["sub-01 ses-01 T1map (ms)", "sub-01 ses-02 T1map (ms)", "sub-01_acq-fast_ses-02_T1map", "PD"]
    short = [shortened(name, names, elide) for name in names]
    assert len(set(short)) == len(names)
    assert short[-1] == "PD"
    assert max(map(len, short)) <= 12
