"""The Super-resolve dock with a stand-in for the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from typer.testing import CliRunner
from widget_cases import FakeEngine, add, add_case, make_guide, make_map, run

from napari_swig_qmri._napari.layers import LayerRecord
from napari_swig_qmri._napari.parts.run_panel import RunPanel, duration
from napari_swig_qmri._napari.parts.viewer_layers import volume_of
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
from napari_swig_qmri._napari.super_resolve.snapshot import SuperResolveInputs
from napari_swig_qmri.cli.app import app
from napari_swig_qmri.data.files import read_folder
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, generated_by
from napari_swig_qmri.physics.signal_models import SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, Options

Make = Callable[..., SuperResolveWidget]


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def make(viewer: ViewerModel, qtbot: QtBot) -> Make:
    def build(engine: FakeEngine) -> SuperResolveWidget:
        widget = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
        qtbot.addWidget(widget)
        return widget

    return build


def test_layers_and_sequences_are_proposed(viewer: ViewerModel, make: Make) -> None:
    layers = add_case(viewer)
    value = make(FakeEngine()).value()
    units = ("arbitrary", "s", "s")
    assert list(value.maps) == ["PD", "T1", "T2"]
    assert list(value.maps.values()) == [MapChoice(*pair) for pair in zip(layers[:3], units, strict=True)]
    assert [guide.layer for guide in value.guides] == layers[3:]
    assert value.guides[0].sequence == SpinEcho(echo_time=0.012, repetition_time=0.6)
    assert isinstance(value.guides[1].sequence, TurboSpinEcho)


def test_residuals_have_the_name_that_a_guide_has_now(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine())
    layers[3].name = "Sharp"
    run(widget, qtbot)
    assert "Sharp residual" in [layer.name for layer in viewer.layers]


def test_proposals_follow_layers_that_come_and_go(viewer: ViewerModel, make: Make) -> None:
    widget = make(FakeEngine())
    assert widget.value().maps == {}
    layers = add_case(viewer)
    assert set(widget.value().maps) == {"PD", "T1", "T2"}
    viewer.layers.remove(layers[3])
    assert [guide.layer for guide in widget.value().guides] == layers[4:]
    layers[1].name = "my T1"
    assert widget.maps.rows["T1"].layer.current_choice == "my T1"
    viewer.layers.remove(layers[1])
    assert set(widget.value().maps) == {"PD", "T2"}


def test_choices_of_the_user_stay(viewer: ViewerModel, make: Make) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine())
    widget.set_value(SuperResolveInputs(maps={"T1": MapChoice(layers[1])}, guides=(GuideChoice(layers[4]),)))
    add(viewer, make_guide("FLAIR"), make_map("T2map", name="another"))
    assert widget.value().maps == {"T1": MapChoice(layers[1], "s")}
    assert [guide.layer for guide in widget.value().guides] == [layers[4]]


def test_edited_acquisition_survives_a_new_layer(viewer: ViewerModel, make: Make) -> None:
    add_case(viewer)
    widget = make(FakeEngine())
    widget.guides.rows[0].editor.parameter_boxes()["echo_time"].value = 20
    add(viewer, make_guide("FLAIR"))
    guides = widget.value().guides
    assert len(guides) == 3
    assert guides[0].sequence == SpinEcho(echo_time=0.02, repetition_time=0.6)


def test_value_is_what_was_set(viewer: ViewerModel, make: Make) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine())
    value = SuperResolveInputs(
        maps={"T1": MapChoice(layers[1], "s"), "T2": MapChoice(layers[2], "ms")},
        guides=(GuideChoice(layers[4], T2Flair.from_typical()), GuideChoice(layers[3], None, is_used=False)),
        options=Options(
            method="network", weights="mine.safetensors", voxel_size=1.5, device="cpu", memory_limit=2_000_000_000
        ),
        mask=layers[4],
    )
    widget.set_value(value)
    assert widget.value() == value


def test_guides_are_added_up_to_five_and_removed(viewer: ViewerModel, make: Make) -> None:
    add_case(viewer)
    widget = make(FakeEngine())
    for _ in range(5):
        widget.guides.add_button.native.click()
    assert len(widget.value().guides) == 5
    assert not widget.guides.add_button.enabled
    widget.guides.rows[0].remove_button.native.click()
    assert len(widget.value().guides) == 4
    assert widget.guides.add_button.enabled


def test_preflight_is_shown_and_asked_once_per_pause(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    add_case(viewer)
    engine = FakeEngine()
    widget = make(engine)
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)
    assert len(engine.preflights) == 1
    assert "LR 2 mm → HR 1 mm." in widget.preflight.statements.text()
    assert widget.preflight.cost.text() == "Takes about 4 s and 0.6 GB of memory."
    assert engine.preflights[0]["method"] == DEFAULT_METHOD
    assert [guide.name for guide in engine.preflights[0]["guides"]] == ["sub-01 T1w", "sub-01 T2w"]


def test_problems_forbid_a_run(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    add_case(viewer)
    widget = make(FakeEngine(problems=("The guide lies <elsewhere>.",)))
    qtbot.waitUntil(lambda: "elsewhere" in widget.preflight.problems.text())
    assert "&lt;elsewhere&gt;" in widget.preflight.problems.text()
    assert not widget.run_panel.run_button.enabled


def test_impossible_settings_are_named_with_their_guide(viewer: ViewerModel, make: Make) -> None:
    add_case(viewer)
    widget = make(FakeEngine())
    widget.guides.rows[0].editor.parameter_boxes()["echo_time"].value = 700
    assert "sub-01 T1w" in widget.preflight.problems.text()
    assert "TE 700 ms" in widget.preflight.problems.text()
    assert not widget.run_panel.run_button.enabled


def test_no_maps_no_run(make: Make) -> None:
    widget = make(FakeEngine())
    assert "Open a PD, T1 or T2 map" in widget.preflight.problems.text()
    assert not widget.run_panel.run_button.enabled


def test_resolved_maps_alone_are_not_taken_for_missing(viewer: ViewerModel, make: Make) -> None:
    widget = make(FakeEngine())
    add(viewer, make_map("T1map", name="T1 SR", sidecar={"GeneratedBy": [generated_by()], "Parameters": {}}))
    assert "super-resolved already" in widget.preflight.problems.text()
    assert not widget.value().maps
    add(viewer, make_map("T1map"))
    assert not widget.preflight.problems.text()


def test_a_simulated_case_is_taken_as_measured(viewer: ViewerModel, make: Make, tmp_path: Path) -> None:
    CliRunner().invoke(app, ["simulate", "--voxel-size", "8", "--guide", "T1w", "-o", str(tmp_path)])
    for folder in ("truth", "lr", "guides"):
        add(viewer, *(replace(each, name=f"{folder} {each.suffix}") for each in read_folder(tmp_path / folder)))
    assert all(LayerRecord.of(layer).volume.sidecar["Notice"] == RESEARCH_NOTICE for layer in viewer.layers)
    value = make(FakeEngine()).value()
    assert [choice.layer.name for choice in value.maps.values()] == ["lr PDmap", "lr T1map (ms)", "lr T2map (ms)"]
    assert [guide.layer.name for guide in value.guides if guide.layer] == ["guides T1w"]


@pytest.mark.parametrize("sidecar", [{"GeneratedBy": {"Name": "napari-swig-qmri"}}, {"Notice": RESEARCH_NOTICE}])
def test_a_synthesised_image_is_told_by_its_maker_not_by_words(
    viewer: ViewerModel, make: Make, sidecar: dict[str, Any]
) -> None:
    (layer,) = add(viewer, make_guide("T1w", sidecar=sidecar))
    proposed = [guide.layer for guide in make(FakeEngine()).value().guides]
    assert proposed == ([] if "GeneratedBy" in sidecar else [layer])


def test_it_is_said_that_the_question_is_being_answered(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine())
    assert widget.preflight.problems.text()
    add_case(viewer)
    assert widget.preflight.cost.text() == "Checking…"
    assert not widget.preflight.problems.text()
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)
    assert "Checking" not in widget.preflight.cost.text()


def test_what_is_changed_in_the_maps_is_said(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    (odd,) = add(viewer, make_map("T1map", make_guide("T1w").grid, name="fine T1map"))
    widget = make(FakeEngine())
    widget.set_value(SuperResolveInputs(maps={"PD": MapChoice(layers[0]), "T1": MapChoice(odd)}))
    qtbot.waitUntil(lambda: "interpolated" in widget.preflight.statements.text())


def test_a_map_as_a_guide_is_refused_in_words(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine())
    maps = {"PD": MapChoice(layers[0])}
    widget.set_value(SuperResolveInputs(maps=maps, guides=(GuideChoice(layers[1], None),)))
    qtbot.waitUntil(lambda: "a guide is a weighted image" in widget.preflight.problems.text())
    assert not widget.run_panel.run_button.enabled


def test_run_adds_layers_with_frame_and_provenance(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    engine = FakeEngine()
    widget = make(engine)
    run(widget, qtbot)
    added = viewer.layers[len(layers) :]
    assert len(added) >= 3
    maps = [layer for layer in added if layer.name.startswith(("PD SR", "T1 SR", "T2 SR"))]
    assert len(maps) == 3
    guide = layers[3]
    for layer in maps:
        np.testing.assert_allclose(layer.affine.affine_matrix, guide.affine.affine_matrix)
        np.testing.assert_allclose(layer.scale, guide.scale)
        assert layer.units == guide.units
        assert LayerRecord.of(layer).run == 1
    assert RESEARCH_NOTICE in widget.run_panel.message.text()
    assert "Nothing was computed" in widget.run_panel.message.text()
    assert not widget.run_panel.is_running
    assert engine.runs[0]["maps"]["T1"].max() < 2  # seconds, although the layer shows ms


@pytest.mark.parametrize("suffix", ["dseg", "mask", None])
def test_a_mask_reaches_the_engine_on_its_grid(
    viewer: ViewerModel, make: Make, qtbot: QtBot, suffix: str | None
) -> None:
    add_case(viewer)
    labels = np.zeros((12, 14, 10), dtype=np.float32)
    labels[2:5, 3:9, 1:4] = 7
    labels[0, 0, :3] = 0.3, 0.5, 0.7
    (mask,) = add(viewer, replace(make_guide("T1w"), data=labels, suffix=suffix, name="tissues", sidecar={}))
    engine = FakeEngine()
    widget = make(engine)
    widget.options.mask_box.value = mask
    run(widget, qtbot)
    np.testing.assert_array_equal(engine.runs[0]["mask"] > 0.5, labels > 0.5)  # the rule of the engine


def test_second_run_adds_numbered_layers(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    add_case(viewer)
    widget = make(FakeEngine())
    run(widget, qtbot)
    first = list(viewer.layers)
    run(widget, qtbot)
    assert list(viewer.layers[: len(first)]) == first
    second = viewer.layers[len(first) :]
    assert second
    assert "T1 SR run 2 (ms)" in [layer.name for layer in second]
    assert all("run 2" in layer.name for layer in second)
    assert widget.value().maps["T1"].layer is first[1]


def test_results_are_neither_proposed_as_inputs_nor_checked(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    add_case(viewer)
    engine = FakeEngine()
    widget = make(engine)
    before = widget.value()
    run(widget, qtbot)
    assert widget.value() == before
    assert widget.run_panel.run_button.enabled
    assert len(engine.preflights) == 1


def test_cancel_stops_soon_and_adds_nothing(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    engine = FakeEngine(n_steps=10_000, pause=0.01)
    widget = make(engine)
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)
    widget.run_panel.run_button.native.click()
    qtbot.waitUntil(lambda: widget.run_panel.stage.text() == "Refining: about 2 s left")
    asked = time.monotonic()
    with qtbot.waitSignal(widget.run_panel.ended, timeout=1000):
        widget.run_panel.cancel_button.native.click()
    assert time.monotonic() - asked < 1
    assert len(viewer.layers) == len(layers)
    assert widget.run_panel.message.text() == "Cancelled. No layers were added."
    assert widget.run_panel.run_button.enabled
    assert widget.run_panel.bar.native.isHidden()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("The guide has no signal."), "The guide has no signal."),
        (RuntimeError("CUDA out of memory"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), "not enough memory"),
    ],
)
def test_errors_become_sentences_and_the_run_ends(
    viewer: ViewerModel, make: Make, qtbot: QtBot, error: Exception, sentence: str
) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine(error=error))
    run(widget, qtbot)
    assert sentence in widget.run_panel.message.text()
    assert len(viewer.layers) == len(layers)
    assert widget.run_panel.run_button.enabled
    assert not widget.run_panel.is_running


def test_a_bug_in_the_engine_does_not_leave_the_bar_running(
    viewer: ViewerModel, make: Make, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils.notifications import notification_manager

    told: list[Any] = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *error: told.append(error))
    add_case(viewer)
    widget = make(FakeEngine(error=KeyError("gains")))
    run(widget, qtbot)
    assert "KeyError" in widget.run_panel.message.text()
    assert widget.run_panel.bar.native.isHidden()
    assert told


def test_deleting_the_widget_stops_the_run(viewer: ViewerModel, qtbot: QtBot) -> None:
    add_case(viewer)
    engine = FakeEngine(n_steps=10_000, pause=0.01)
    widget = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)
    widget.run_panel.run_button.native.click()
    qtbot.waitUntil(lambda: len(engine.runs) == 1)
    widget.deleteLater()
    qtbot.waitUntil(engine.closed.is_set)
    add(viewer, make_guide("FLAIR"))  # nobody listens any more
    viewer.layers.clear()


def test_unit_of_a_map_can_be_corrected(viewer: ViewerModel, make: Make) -> None:
    layers = add_case(viewer)
    widget = make(FakeEngine())
    row = widget.maps.rows["T1"]
    before = float(np.median(layers[1].data))
    assert row.unit.value == "s"
    row.unit.value = "ms"
    assert np.median(layers[1].data) == pytest.approx(before / 1000, rel=1e-5)
    assert row.unit.value == "ms"


def test_a_map_that_turns_out_to_be_a_rate_is_renamed(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    layers = add_case(viewer)
    engine = FakeEngine()
    widget = make(engine)
    qtbot.waitUntil(lambda: widget.run_panel.run_button.enabled)
    row = widget.maps.rows["T1"]
    row.unit.value = "1/s"
    assert layers[1].name == row.layer.current_choice == "sub-01 R1map"
    assert volume_of(layers[1]).name == "sub-01 R1map"
    qtbot.waitUntil(lambda: len(engine.preflights) == 2)
    np.testing.assert_allclose(engine.preflights[1]["maps"]["T1"], 1 / engine.preflights[0]["maps"]["T1"], rtol=1e-5)
    row.unit.value = "ms"
    assert layers[1].name == "sub-01 T1map (ms)"
    layers[1].name = "mine"
    row.unit.value = "s"
    assert layers[1].name == "mine"


def test_the_tab_key_goes_from_top_to_bottom(viewer: ViewerModel, make: Make) -> None:
    add_case(viewer)
    widget = make(FakeEngine())
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
    chain = [widget.nextInFocusChain()]
    while chain[-1] is not None and chain[-1] is not widget:
        chain.append(chain[-1].nextInFocusChain())
    places = [chain.index(stop) for stop in stops]
    assert places == sorted(places)


def test_durations_are_rounded() -> None:
    assert [duration(seconds) for seconds in (0.2, 12.4, 89, 150)] == ["1 s", "12 s", "89 s", "2 min"]


def test_run_panel_refuses_a_second_job(qtbot: QtBot) -> None:
    panel = RunPanel("Go", "")
    qtbot.addWidget(panel)
    started = []

    def job() -> Any:
        started.append(1)
        yield from ()

    with qtbot.waitSignal(panel.ended):
        panel.start(job)
        panel.start(job)
    assert started == [1]
