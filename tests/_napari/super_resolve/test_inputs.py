"""The rows of maps and guides: units are corrected in the layer, and rows follow layers that come and go."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image
from pytestqt.qtbot import QtBot
from widget_cases import case, layers_of, make_guide, make_map

from napari_swig_qmri._napari.parts.viewer_layers import sequence_of, volume_of
from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, GuideList, MapChoice, MapChooser
from napari_swig_qmri.data.recognition.sidecars import from_sidecar
from napari_swig_qmri.data.storage.files import read_volume, write_volume
from napari_swig_qmri.physics.signal_models import SpinEcho, T2Flair


@pytest.fixture
def layers() -> list[Image]:
    return layers_of(*case())


@pytest.fixture
def maps(layers: list[Image], qtbot: QtBot) -> MapChooser:
    chooser = MapChooser(lambda: layers)
    qtbot.addWidget(chooser)
    chooser.propose({"PD": layers[0], "T1": layers[1]})
    return chooser


@pytest.fixture
def guides(layers: list[Image], qtbot: QtBot) -> GuideList:
    guides = GuideList(lambda: layers)
    qtbot.addWidget(guides)
    guides.propose(layers[3:])
    return guides


def test_maps_have_the_unit_of_their_layer(maps: MapChooser, layers: list[Image]) -> None:
    assert maps.value() == {"PD": MapChoice(layers[0], "arbitrary"), "T1": MapChoice(layers[1], "s")}
    maps.set_value({"T2": MapChoice(layers[2], "ms")})
    assert maps.value() == {"T2": MapChoice(layers[2], "ms")}


def test_the_unit_of_a_map_can_be_corrected(maps: MapChooser, layers: list[Image]) -> None:
    before = float(np.median(layers[1].data))
    maps.rows["T1"].unit.value = "ms"
    assert np.median(layers[1].data) == pytest.approx(before / 1000, rel=1e-5)
    assert maps.value()["T1"].unit == "ms"


def test_a_rate_has_the_name_and_the_numbers_of_a_rate(maps: MapChooser, layers: list[Image]) -> None:
    row, before = maps.rows["T1"], volume_of(layers[1]).data
    row.unit.value = "1/s"
    maps.refresh()
    assert layers[1].name == row.layer.current_choice == "sub-01 R1map"
    assert volume_of(layers[1]).suffix == "R1map"
    np.testing.assert_allclose(volume_of(layers[1]).data, before)
    row.unit.value = "ms"
    assert layers[1].name == "sub-01 T1map (ms)"
    layers[1].name = "mine"
    row.unit.value = "s"
    assert layers[1].name == "mine"


def test_guides_have_the_sequence_of_their_sidecar(guides: GuideList, layers: list[Image]) -> None:
    first, second = guides.value()
    assert first == GuideChoice(layers[3], SpinEcho(echo_time=0.012, repetition_time=0.6))
    assert guides.rows[0].fold.button.text() == "Spin echo: TE 12, TR 600 ms"
    choices = (GuideChoice(layers[4], T2Flair.from_typical()), GuideChoice(layers[3], None, is_used=False), second)
    guides.set_value(choices)
    assert guides.value() == choices
    assert guides.rows[1].fold.button.text().startswith("Acquisition unknown")


def test_guides_are_added_up_to_five_and_removed(guides: GuideList) -> None:
    for _ in range(5):
        guides.add_button.native.click()
    assert len(guides.value()) == 5
    assert not guides.add_button.enabled
    guides.rows[0].remove_button.native.click()
    assert len(guides.value()) == 4
    assert guides.add_button.enabled
    assert not guides.is_untouched


def test_an_empty_row_is_filled_by_the_next_proposal(guides: GuideList, layers: list[Image]) -> None:
    guides.add_button.native.click()
    guides.propose(layers[3:])
    assert [guide.layer for guide in guides.value()] == [*layers[3:], None]
    layers += layers_of(make_guide("FLAIR"))
    guides.refresh()
    guides.propose(layers[3:])
    assert [guide.layer for guide in guides.value()] == layers[3:]
    assert guides.is_untouched


def test_assumptions_are_confirmed_and_saved_without_an_editor(tmp_path: Path, qtbot: QtBot) -> None:
    write_volume(make_guide("T1w", sidecar={}), tmp_path / "sub-01_T1w.nii.gz")
    (tmp_path / "sub-01_T1w.json").write_text('{"Manufacturer": "none"}')
    (layer,) = layers_of(read_volume(tmp_path / "sub-01_T1w.nii.gz"))
    guides = GuideList(lambda: [layer])
    qtbot.addWidget(guides)
    guides.propose([layer])
    (row,) = guides.rows
    chip, sequence = row.chip, row.editor.value()
    assert "assumption" in chip.fold.button.text()
    assert "JSON" not in chip.details.text()
    assert chip.confirm_button.native.isVisibleTo(row)
    assert not chip.save_button.native.isVisibleTo(row)
    chip.confirm_button.native.click()
    assert not chip.confirm_button.native.isVisibleTo(row)
    assert sequence_of(layer) == (sequence, ())
    chip.save_button.native.click()
    assert "sub-01_T1w.json" in chip.outcome.text()
    assert from_sidecar(json.loads((tmp_path / "sub-01_T1w.json").read_text()), "T1w") == (sequence, ())
    assert json.loads((tmp_path / "sub-01_T1w.json").read_text())["Manufacturer"] == "none"
    (again,) = layers_of(read_volume(tmp_path / "sub-01_T1w.nii.gz"))
    guides.rows[0].layer.reset_choices()
    assert sequence_of(again) == (sequence, ())


def test_a_typed_value_replaces_what_was_assumed(qtbot: QtBot) -> None:
    (guide,) = layers_of(make_guide("T1w", sidecar={"ScanningSequence": "SE"}))
    (t1,) = layers_of(replace(make_map("T1map"), notices=("No unit given: s assumed.",)))
    guides, maps = GuideList(lambda: [guide]), MapChooser(lambda: [t1])
    for part in (guides, maps):
        qtbot.addWidget(part)
    guides.propose([guide])
    maps.propose({"T1": t1})
    (row,), map_row = guides.rows, maps.rows["T1"]
    assert row.chip.isVisibleTo(row)
    assert map_row.chip.isVisibleTo(maps)
    row.editor.parameter_boxes()["echo_time"].value = 20
    map_row.unit.value = "ms"
    assert not row.chip.isVisibleTo(row)  # there is no file to save it for
    assert not map_row.chip.isVisibleTo(maps)
    assert sequence_of(guide) == (row.editor.value(), ())
    assert volume_of(t1).notices == ()


def test_rows_keep_their_settings_when_guides_come_and_go(guides: GuideList, layers: list[Image]) -> None:
    guides.rows[0].editor.parameter_boxes()["echo_time"].value = 20
    guides.rows[1].use_box.native.click()
    layers += layers_of(make_guide("FLAIR"))
    guides.refresh()
    guides.propose(layers[3:])
    assert [guide.is_used for guide in guides.value()] == [True, False, True]
    assert guides.value()[0].sequence == SpinEcho(echo_time=0.02, repetition_time=0.6)
    del layers[3]
    guides.refresh()
    assert [(guide.layer, guide.is_used) for guide in guides.value()] == [(layers[3], False), (layers[4], True)]


def test_impossible_settings_are_named_with_their_guide_while_it_is_used(guides: GuideList) -> None:
    guides.rows[0].editor.parameter_boxes()["echo_time"].value = 700
    (problem,) = guides.problems()
    assert "sub-01 T1w" in problem
    assert "TE 700 ms" in problem
    assert guides.rows[0].fold.button.text() == "These settings are impossible"
    guides.rows[0].use_box.value = False
    assert guides.problems() == []
