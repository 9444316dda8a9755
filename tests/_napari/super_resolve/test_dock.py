"""The Super-resolve dock with a stand-in for the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QWidget
from typer.testing import CliRunner
from widget_cases import FakeEngine, add, add_case, case, make_guide, make_map

from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
from napari_swig_qmri._napari.super_resolve.snapshot import SuperResolveInputs
from napari_swig_qmri.cli.app import app
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, generated_by
from napari_swig_qmri.data.storage.files import read_folder
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, Options

Make = Callable[..., SuperResolveWidget]
RESULT = {"GeneratedBy": [generated_by()], "Parameters": {}}  # sidecar of a super-resolved map


def add_small_case(viewer: ViewerModel) -> list[Image]:
    """A T1 map and a guide: a run adds three layers."""
    return add(viewer, make_map("T1map"), make_guide("T1w"))


def remove_inputs(viewer: ViewerModel) -> None:
    viewer.layers.clear()


def paint_inputs(viewer: ViewerModel) -> None:
    for layer in viewer.layers:
        layer.data[...] = 7


def replace_inputs(viewer: ViewerModel) -> None:
    for layer in viewer.layers:
        layer.data = np.ones_like(layer.data)


def ready(widget: SuperResolveWidget, qtbot: QtBot) -> None:
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)


def test_layers_are_proposed_as_long_as_the_user_has_chosen_none(
    viewer: ViewerModel, widget: SuperResolveWidget
) -> None:
    assert widget.value() == SuperResolveInputs(options=widget.options.value())
    layers = add_case(viewer)
    assert [choice.layer for choice in widget.value().maps.values()] == layers[:3]
    assert [guide.layer for guide in widget.value().guides] == layers[3:]
    viewer.layers.remove(layers[3])
    assert [guide.layer for guide in widget.value().guides] == layers[4:]
    layers[1].name = "my T1"
    assert widget.maps.rows["T1"].layer.current_choice == "my T1"
    viewer.layers.remove(layers[1])
    assert set(widget.value().maps) == {"PD", "T2"}
    widget.set_value(SuperResolveInputs(maps={"T2": MapChoice(layers[2])}, guides=(GuideChoice(layers[4]),)))
    add(viewer, make_guide("FLAIR"), make_map("T2map", name="another"))
    assert widget.value().maps == {"T2": MapChoice(layers[2], "s")}
    assert [guide.layer for guide in widget.value().guides] == [layers[4]]


def test_value_is_what_was_set(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    layers = add_case(viewer)
    value = SuperResolveInputs(
        maps={"T1": MapChoice(layers[1], "s"), "T2": MapChoice(layers[2], "ms")},
        guides=(GuideChoice(layers[3], None, is_used=False),),
        options=Options(method="network", weights="mine.safetensors", voxel_size=1.5),
        mask=layers[4],
    )
    widget.set_value(value)
    assert widget.value() == value
    assert widget.options_fold.button.text() == "Options: method network"


@pytest.mark.slow
def test_the_engine_is_asked_once_per_pause(
    viewer: ViewerModel, widget: SuperResolveWidget, engine: FakeEngine, qtbot: QtBot
) -> None:
    add_case(viewer)
    ready(widget, qtbot)
    (asked,) = engine.preflights
    assert asked["method"] == DEFAULT_METHOD
    assert [guide.name for guide in asked["guides"]] == ["sub-01 T1w", "sub-01 T2w"]
    widget.run()
    assert len(engine.preflights) == 1  # results are neither proposed nor checked


def test_problems_forbid_a_run(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    assert "Open a PD, T1 or T2 map" in widget.preflight.problems.text()
    assert widget.preflight.problems.property("role") == "note"  # nothing is wrong with an empty window
    with pytest.raises(ValueError, match="Open a PD, T1 or T2 map"):
        widget.run()
    add(viewer, make_map("T1map", name="T1 SR", sidecar=RESULT))
    assert "super-resolved already" in widget.preflight.problems.text()
    add_case(viewer)
    assert not widget.preflight.problems.text()
    widget.guides.rows[0].editor.parameter_boxes()["echo_time"].value = 700
    assert "TE 700 ms" in widget.preflight.problems.text()
    assert widget.preflight.problems.property("role") == "problem"
    assert not widget.run_panel.run_button.enabled
    with pytest.raises(ValueError, match="TE 700 ms"):
        widget.run()
    widget.guides.set_value(())
    widget.options.maps_from.box.value = "mdme"
    widget.options.maps_from.setting_boxes()["repetition_time"].value = 1000
    with pytest.raises(ValueError, match="do not fit into TR 1000 ms"):
        widget.run()


@pytest.mark.slow
def test_a_simulated_case_is_taken_as_measured(viewer: ViewerModel, widget: SuperResolveWidget, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["simulate", "--voxel-size", "8", "--guide", "T1w", "-o", str(tmp_path)])
    for folder in ("truth", "lr", "guides"):
        add(viewer, *(replace(each, name=f"{folder} {each.suffix}") for each in read_folder(tmp_path / folder)))
    assert all(LayerRecord.of(layer).volume.sidecar["Notice"] == RESEARCH_NOTICE for layer in viewer.layers)
    value = widget.value()
    assert [choice.layer.name for choice in value.maps.values()] == ["lr PDmap", "lr T1map (ms)", "lr T2map (ms)"]
    assert [guide.layer.name for guide in value.guides if guide.layer] == ["guides T1w"]


@pytest.mark.parametrize("sidecar", [{"GeneratedBy": {"Name": "napari-swig-qmri"}}, {"Notice": RESEARCH_NOTICE}])
def test_a_synthesised_image_is_known_by_its_maker_not_by_words(
    viewer: ViewerModel, widget: SuperResolveWidget, sidecar: dict[str, Any]
) -> None:
    (layer,) = add(viewer, make_guide("T1w", sidecar=sidecar))
    proposed = [guide.layer for guide in widget.value().guides]
    assert proposed == ([] if "GeneratedBy" in sidecar else [layer])


@pytest.mark.slow
def test_a_run_adds_layers_in_the_place_of_the_guides(
    viewer: ViewerModel, widget: SuperResolveWidget, engine: FakeEngine
) -> None:
    layers = add_case(viewer)
    layers[3].name = "Sharp"
    before = widget.value()
    added = widget.run()
    assert list(viewer.layers) == [*layers, *added]
    assert [layer.name for layer in added if layer.visible] == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert "Sharp residual" in [layer.name for layer in added]
    for layer in added[-3:]:
        np.testing.assert_allclose(layer.affine.affine_matrix, layers[3].affine.affine_matrix)
        np.testing.assert_allclose(layer.scale, layers[3].scale)
        assert layer.units == layers[3].units
        assert LayerRecord.of(layer).run == 1
    message = widget.run_panel.message.text()
    assert RESEARCH_NOTICE in message
    assert "Nothing was computed" in widget.run_panel.details.text()  # a notice of the result
    assert widget.value() == before
    assert engine.runs[0]["maps"]["T1"].max() < 2  # seconds, although the layer shows ms


@pytest.mark.slow
def test_a_second_run_adds_numbered_layers(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    layers = add_small_case(viewer)
    first, second = widget.run(), widget.run()
    assert list(viewer.layers) == [*layers, *first, *second]
    assert "T1 SR run 2 (ms)" in [layer.name for layer in second]
    assert all("run 2" in layer.name for layer in second)
    assert widget.value().maps["T1"].layer is layers[0]


def test_cancel_stops_soon_and_adds_nothing(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_small_case(viewer)
    widget = make(FakeEngine(n_steps=10_000, pause=0.01))
    ready(widget, qtbot)
    widget.run_panel.run_button.native.click()
    qtbot.waitUntil(lambda: widget.run_panel.stage.text() == "Refining: about 2 s left")
    with pytest.raises(RuntimeError, match="another run is under way"):
        widget.run()
    asked = time.monotonic()
    with qtbot.waitSignal(widget.run_panel.ended, timeout=1000):
        widget.run_panel.cancel_button.native.click()
    assert time.monotonic() - asked < 1
    assert list(viewer.layers) == layers
    assert widget.run_panel.message.text() == "Cancelled. No layers were added."
    assert widget.run_panel.run_button.enabled


def test_a_run_that_fails_says_why(viewer: ViewerModel, make: Make) -> None:
    layers = add_small_case(viewer)
    widget = make(FakeEngine(error=ValueError("the guide has no signal.")))
    with pytest.raises(RuntimeError, match=r"^The guide has no signal\.$"):
        widget.run()
    assert widget.run_panel.message.text() == "The guide has no signal."
    assert list(viewer.layers) == layers


def test_the_plan_of_the_check_is_run_unless_a_layer_was_edited(
    viewer: ViewerModel, widget: SuperResolveWidget, engine: FakeEngine, qtbot: QtBot
) -> None:
    layers = add_small_case(viewer)
    ready(widget, qtbot)
    widget.run()
    layers[0].data[0, 0, 0] += 1  # in place, without an event
    widget.run()
    assert [run["is_planned"] for run in engine.runs] == [True, False]


def test_layers_that_cannot_be_added_are_an_error_of_the_run(
    viewer: ViewerModel, widget: SuperResolveWidget, qtbot: QtBot
) -> None:
    add_small_case(viewer)
    viewer.layers.events.inserting.connect(_refuse)
    with pytest.raises(RuntimeError, match="could not be added to the viewer: no more layers"):
        widget.run()
    assert "no more layers" in widget.run_panel.message.text()


def _refuse(_event: object) -> None:
    raise ValueError("no more layers")


def test_deleting_the_widget_stops_the_run(viewer: ViewerModel, qtbot: QtBot) -> None:
    add_small_case(viewer)
    engine = FakeEngine(n_steps=10_000, pause=0.01)
    widget = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
    widget.start()
    qtbot.waitUntil(lambda: len(engine.runs) == 1)
    widget.deleteLater()
    qtbot.waitUntil(engine.closed.is_set)
    add(viewer, make_guide("FLAIR"))  # the viewer still calls, but the widget does not answer
    viewer.layers.clear()


def test_nothing_of_the_last_patient_is_left(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    layers = add_case(viewer)
    widget.run()
    widget.guides.add_button.native.click()  # an empty row, and rows that the user chose
    widget.guides.rows[0].chosen.emit()
    widget.maps.rows["T1"].chosen.emit()
    assert "Done" in widget.run_panel.message.text()
    viewer.layers.clear()
    assert not widget.results.isVisibleTo(widget)
    shown = [each.text() for each in widget.findChildren(QLabel) if each.isVisibleTo(widget)]
    assert not [text for text in shown if "Done" in text or "sub-01" in text or "HR" in text]
    assert widget.run_panel.run_button.text == "Super-resolve"
    assert [guide.layer for guide in widget.guides.value()] == [None]  # the row that the user added
    next_layers = add(viewer, *(replace(each, name=each.name.replace("01", "02")) for each in case()))
    assert [choice.layer for choice in widget.value().maps.values()] == next_layers[:3]
    assert [guide.layer for guide in widget.value().guides] == next_layers[3:]
    assert not set(layers) & set(next_layers)


@pytest.mark.parametrize(
    "error", [SystemExit(3), MemoryError(), KeyError("odd"), torch.OutOfMemoryError("CUDA out of memory")]
)
def test_after_a_failure_the_next_run_works(
    viewer: ViewerModel, make: Make, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification_manager, "receive_error", lambda *_: None)
    layers = add_small_case(viewer)
    engine = FakeEngine(error=error)  # type: ignore[arg-type]
    widget = make(engine)
    with pytest.raises(RuntimeError, match=r"stopped with SystemExit|not enough memory|odd"):
        widget.run()
    assert list(viewer.layers) == layers
    engine.error = None
    assert len(widget.run()) == 3


@pytest.mark.parametrize("change", [remove_inputs, paint_inputs, replace_inputs])
def test_a_run_computes_with_the_layers_as_they_were_at_its_start(
    viewer: ViewerModel, make: Make, change: Callable[[ViewerModel], None], qtbot: QtBot
) -> None:
    maps, _ = add_small_case(viewer)
    before = maps.data.copy()
    engine = FakeEngine(n_steps=20, pause=0.01)
    widget = make(engine)
    widget.start()
    widget.start()  # once is enough
    qtbot.waitUntil(lambda: len(engine.runs) == 1)
    change(viewer)
    with qtbot.waitSignal(widget.run_panel.succeeded):
        pass
    assert len(engine.runs) == 1
    (shown,) = [layer for layer in viewer.layers if layer.name == "T1 SR (ms)"]
    np.testing.assert_allclose(shown.data[::2, ::2, ::2], before, rtol=1e-5)


def focus_chain(widget: QWidget) -> list[QWidget]:
    """Widgets in the order of the Tab key, from a widget back to it."""
    chain = [widget.nextInFocusChain()]
    while chain[-1] is not None and chain[-1] is not widget:
        chain.append(chain[-1].nextInFocusChain())
    return chain


def test_the_tab_key_goes_from_top_to_bottom(viewer: ViewerModel, widget: SuperResolveWidget, qtbot: QtBot) -> None:
    add_case(viewer)
    widget.guides.rows[0].editor.sequence_box.value = "mprage"
    rows = widget.guides.rows
    stops = [
        widget.maps.rows["PD"].layer.native,
        widget.maps.rows["T2"].unit.native,
        rows[0].layer.native,
        rows[0].editor.parameter_boxes()["flip_angle"].native,
        rows[1].layer.native,
        widget.guides.add_button.native,
        widget.run_panel.run_button.native,
    ]
    qtbot.waitUntil(lambda: stops[0] in focus_chain(widget))  # the dock is filled once the window has answered
    chain = focus_chain(widget)
    places = [chain.index(stop) for stop in stops]
    assert places == sorted(places)
