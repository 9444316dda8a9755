"""The boxes of the options: methods and weights are explained, and files of weights are remembered."""

from __future__ import annotations

import math

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog

from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE
from napari_swig_qmri._napari.super_resolve.options import OptionsEditor, explained
from napari_swig_qmri.physics.mapping_readouts import Qalas
from napari_swig_qmri.physics.mapping_series import Mdme, Vfa
from napari_swig_qmri.physics.sequence import settings_of
from napari_swig_qmri.super_resolution.options import MAPS_FROM, METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS

FILE = "/data/mine.safetensors"


@pytest.fixture
def editor(qtbot: QtBot) -> OptionsEditor:
    editor = OptionsEditor(Options(), masks=list)
    qtbot.addWidget(editor)
    return editor


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(method="network", weights=FILE, voxel_size=1.5, device="cpu", memory_limit=2_000_000_000),
        Options(method="network", weights=DEFAULT_WEIGHTS, voxel_size=(1.0, 1.0, 2.0), adapt=True),
        Options(method="posterior", voxel_size=0.8333, memory_limit=3_000_000),  # the boxes show less digits
        Options(method="posterior", voxel_size=(0.9375, 0.9375, 1.0), device="cuda:1", memory_limit=1_234_567_890),
        Options(method="posterior", gains=(812.0, 95.0), lr_noise={"T1": 0.01}, dtype="float64", keep_noise=True),
        *(Options(method="posterior", maps_from=name, all_maps=True) for name in MAPS_FROM),
        Options(maps_from=Qalas(repetition_time=4.4321234567, flip_angle=math.radians(5), n_partitions=120)),
        Options(maps_from={"vfa": {"repetition_time": 0.0191234567}}),
    ],
)
def test_value_is_what_was_set(editor: OptionsEditor, options: Options) -> None:
    editor.set_value(options)
    assert editor.value() == options


def test_settings_of_the_chosen_protocol_are_edited_in_ms_and_degrees(editor: OptionsEditor, qtbot: QtBot) -> None:
    editor.maps_from.box.value = "mdme"
    assert editor.value().maps_from == "mdme"
    boxes = editor.maps_from.setting_boxes()
    assert list(boxes) == [each.name for each in settings_of(Mdme)]
    with qtbot.waitSignal(editor.changed):
        boxes["echo_time"].value = 15
    boxes["saturation_angle"].value = 90
    assert editor.value().protocol == Mdme(echo_time=0.015, saturation_angle=math.pi / 2)
    boxes["repetition_time"].value = 1000  # shorter than the longest delay
    assert "do not fit into TR 1000 ms" in (editor.problem() or "")
    editor.maps_from.box.value = "vfa"
    assert editor.problem() is None
    assert list(editor.maps_from.setting_boxes()) == [each.name for each in settings_of(Vfa)]


def test_only_methods_that_estimate_offer_what_was_not_measured(editor: OptionsEditor) -> None:
    editor.set_value(Options(all_maps=True))
    editor.method_box.value = "regression"
    assert not editor.value().all_maps
    assert not editor.all_maps_box.enabled
    editor.method_box.value = "posterior"
    assert editor.value().all_maps


def test_the_default_weights_are_shown_for_default_options(editor: OptionsEditor) -> None:
    editor.set_value(Options(weights=FILE))
    editor.set_value(Options())
    assert editor.weights_box.chosen == DEFAULT_WEIGHTS


def test_only_the_network_has_weights_and_is_adapted(editor: OptionsEditor) -> None:
    editor.set_value(Options(method="network", weights=FILE, adapt=True))
    editor.method_box.value = "posterior"
    assert (editor.value().weights, editor.value().adapt) == (None, False)
    editor.method_box.value = "network"
    assert (editor.value().weights, editor.value().adapt) == (FILE, True)


def test_methods_and_weights_are_explained(editor: OptionsEditor) -> None:
    for method, explanation in METHODS.items():
        editor.method_box.value = method
        assert explanation[1:] in editor.method_note.text()
        assert editor.weights_box.native.isHidden() == (method != "network")
    for weights, explanation in WEIGHTS.items():
        editor.weights_box.value = weights
        assert explanation[1:] in editor.weights_note.text()


def test_a_file_of_weights_is_listed_and_remembered(editor: OptionsEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    box, answers = editor.weights_box, iter([("", ""), (FILE, "")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: next(answers))
    box.value = CHOOSE_FILE
    assert box.chosen == box.value == DEFAULT_WEIGHTS  # the dialog was cancelled
    box.value = CHOOSE_FILE
    assert box.chosen == box.value == FILE
    assert FILE in explained(box.chosen)
    box.value = DEFAULT_WEIGHTS
    texts = [box.native.itemText(index) for index in range(box.native.count())]
    assert texts == [*WEIGHTS, "mine.safetensors", CHOOSE_FILE]
