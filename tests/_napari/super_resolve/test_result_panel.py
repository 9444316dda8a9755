"""Method and weights, results side by side, and the adaptation, with a stand-in for the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog
from widget_cases import FakeEngine, add, add_case, make_guide, run

from napari_swig_qmri._napari.layers import LayerRecord
from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.super_resolve.options import explained
from napari_swig_qmri.super_resolution.options import METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS

Make = Callable[..., SuperResolveWidget]

OTHER = next(name for name in WEIGHTS if name != DEFAULT_WEIGHTS)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def make(viewer: ViewerModel, qtbot: QtBot) -> Make:
    def build(engine: FakeEngine, **options: str) -> SuperResolveWidget:
        add_case(viewer)
        widget = SuperResolveWidget(viewer, engine.super_resolve, engine.preflight)  # type: ignore[arg-type]
        qtbot.addWidget(widget)
        widget.options.set_value(Options(**options))  # type: ignore[arg-type]
        return widget

    return build


def adapt(widget: SuperResolveWidget, qtbot: QtBot) -> None:
    with qtbot.waitSignal(widget.run_panel.ended):
        widget.results.adapt_button.native.click()


def shown_results(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if LayerRecord.of(layer).model and layer.visible]


def test_method_and_weights_are_explained(make: Make) -> None:
    widget = make(FakeEngine())
    options = widget.options
    for method, explanation in METHODS.items():
        options.method_box.value = method
        assert explanation[1:] in options.method_note.text()
        assert widget.options_fold.button.text() == f"Options: method {method}"
        assert options.weights_box.native.isHidden() == (method != "network")
    for weights, explanation in WEIGHTS.items():
        options.weights_box.value = weights
        assert explanation[1:] in options.weights_note.text()


def test_only_the_network_gets_weights(make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine()
    widget = make(engine, method="network", weights=OTHER)
    for method in ("posterior", "network"):
        widget.options.method_box.value = method
        run(widget, qtbot)
    assert [each["weights"] for each in engine.runs] == [None, OTHER]
    assert [each["adapt"] for each in engine.runs] == [False, False]


def test_a_file_of_weights_is_listed_and_remembered(make: Make, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    widget = make(FakeEngine(), method="network")
    box = widget.options.weights_box
    answers = iter([("", ""), ("/data/mine.safetensors", "")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: next(answers))
    box.value = CHOOSE_FILE
    assert box.chosen == box.value == DEFAULT_WEIGHTS  # the dialog was cancelled
    box.value = CHOOSE_FILE
    assert box.chosen == box.value == "/data/mine.safetensors"
    assert "/data/mine.safetensors" in explained(box.chosen)
    box.value = DEFAULT_WEIGHTS
    texts = [box.native.itemText(index) for index in range(box.native.count())]
    assert texts == [*WEIGHTS, "mine.safetensors", CHOOSE_FILE]


def test_wrong_weights_are_refused_in_the_words_of_the_engine(make: Make, qtbot: QtBot) -> None:
    sentence = "The file is no whole safetensors file: copy it again."
    widget = make(FakeEngine(problems=(sentence,)), method="network", weights="mine.safetensors")
    qtbot.waitUntil(lambda: sentence in widget.preflight.problems.text())
    assert not widget.run_panel.run_button.enabled


def test_a_result_says_which_guides_and_method_made_it(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine(), method="network", weights="/data/mine.safetensors")
    assert widget.results.isHidden()
    run(widget, qtbot)
    assert widget.results.box.current_choice == "1: M_12 (T1w + T2w), network, mine.safetensors"
    labels = {LayerRecord.of(layer).model for layer in viewer.layers[5:]}
    assert labels == {"M_12 (T1w + T2w), network, mine.safetensors"}


def test_guides_go_off_and_on_with_one_click_each(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine()
    widget = make(engine, method="posterior")
    assert widget.run_panel.run_button.text == "Super-resolve"
    run(widget, qtbot)
    assert widget.run_panel.run_button.text == "Run again"
    box = widget.guides.rows[1].use_box
    sequence = widget.guides.rows[1].editor.value()
    box.value = not box.value
    assert widget.run_panel.run_button.text == "Run again with T1w"
    assert shown_results(viewer) == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]  # still of both
    run(widget, qtbot)
    assert [len(each["guides"]) for each in engine.runs] == [2, 1]
    assert widget.results.box.current_choice == "2: M_1 (T1w), posterior"
    assert shown_results(viewer) == ["PD SR run 2", "T1 SR run 2 (ms)", "T2 SR run 2 (ms)"]
    box.value = not box.value
    assert widget.guides.rows[1].editor.value() == sequence
    assert shown_results(viewer) == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert widget.run_panel.run_button.text == "Run again"
    assert len(engine.runs) == 2


def test_a_guide_stays_off_when_another_comes(viewer: ViewerModel, make: Make) -> None:
    widget = make(FakeEngine())
    widget.guides.rows[1].use_box.native.click()
    add(viewer, make_guide("FLAIR"))
    assert [guide.is_used for guide in widget.value().guides] == [True, False, True]
    viewer.layers.remove(viewer.layers[3])
    assert [guide.is_used for guide in widget.value().guides] == [False, True]


def test_without_any_guide_the_button_says_so(make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine())
    run(widget, qtbot)
    for row in widget.guides.rows:
        row.use_box.native.click()
    assert widget.run_panel.run_button.text == "Run again with no guide"


def test_switching_results_keeps_what_is_looked_at(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine())
    run(widget, qtbot)
    for layer in viewer.layers[5:]:
        layer.visible = layer.name in ("T1 SR (ms)", "T1w residual", "sub-01 T1w residual")
    looked_at = shown_results(viewer)
    assert len(looked_at) == 2
    run(widget, qtbot)
    assert shown_results(viewer) == [
        name.replace(" (ms)", "") + " run 2" + " (ms)" * ("(ms)" in name) for name in looked_at
    ]
    viewer.layers.selection.active = viewer.layers["T1 SR run 2 (ms)"]
    widget.results.box.value = widget.results.box.choices[0]
    assert shown_results(viewer) == looked_at
    assert viewer.layers.selection.active is viewer.layers["T1 SR (ms)"]


def test_results_that_were_removed_are_forgotten(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine())
    run(widget, qtbot)
    del viewer.layers[5:]
    assert widget.results.shown is None
    assert widget.results.isHidden()
    assert widget.run_panel.run_button.text == "Super-resolve"


def test_only_a_network_is_adapted(make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine()
    widget = make(engine, method="posterior")
    run(widget, qtbot)
    assert widget.results.adapt_button.native.isHidden()
    widget.options.method_box.value = "network"
    assert widget.run_panel.run_button.text == "Run again with network"
    run(widget, qtbot)
    assert not widget.results.adapt_button.native.isHidden()
    qtbot.waitUntil(lambda: "Takes about 4 s" in widget.results.adapt_button.tooltip)
    assert engine.preflights[-1]["adapt"]


def test_adapting_is_undone_with_one_click(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine(errors=(0.912, 0.874))
    widget = make(engine, method="network", weights=OTHER)
    run(widget, qtbot)
    before = list(viewer.layers)
    adapt(widget, qtbot)
    assert (engine.runs[1]["weights"], engine.runs[1]["adapt"]) == (OTHER, True)
    assert "fell from 91.20% to 87.40%" in widget.run_panel.message.text()
    assert widget.results.box.current_choice == f"2: M_12 (T1w + T2w), network, {OTHER}, adapted"
    assert shown_results(viewer) == ["PD SR run 2", "T1 SR run 2 (ms)", "T2 SR run 2 (ms)"]
    assert widget.results.adapt_button.native.isHidden()
    widget.results.undo_button.native.click()
    assert list(viewer.layers) == before
    assert shown_results(viewer) == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert widget.results.undo_button.native.isHidden()
    assert widget.results.adapt_button.enabled
    assert "undone" in widget.run_panel.message.text()


def test_an_adaptation_without_a_gain_adds_nothing(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine(errors=(0.9, 0.9)), method="network")
    run(widget, qtbot)
    before = list(viewer.layers)
    adapt(widget, qtbot)
    assert list(viewer.layers) == before
    assert "Nothing was gained" in widget.run_panel.message.text()
    assert "90.00%" in widget.run_panel.message.text()
    assert not widget.results.adapt_button.enabled
    assert "gained nothing" in widget.results.adapt_button.tooltip


def test_adapting_is_cancelled_like_a_run(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine()
    widget = make(engine, method="network")
    run(widget, qtbot)
    before = list(viewer.layers)
    engine.n_steps, engine.pause = 10_000, 0.01
    widget.results.adapt_button.native.click()
    qtbot.waitUntil(lambda: len(engine.runs) == 2)
    assert not widget.results.adapt_button.enabled
    with qtbot.waitSignal(widget.run_panel.ended, timeout=2000):
        widget.run_panel.cancel_button.native.click()
    assert list(viewer.layers) == before
    assert widget.results.adapt_button.enabled


def test_a_subject_that_cannot_be_adapted_to_is_told_so(make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine()
    widget = make(engine, method="network")
    run(widget, qtbot)
    engine.problems = ("adapting needs maps of PD, T1 and T2.",)
    widget.results.ask_about_adapting(
        lambda: engine.preflight(engine.runs[0]["maps"], engine.runs[0]["guides"], Options())
    )
    qtbot.waitUntil(lambda: not widget.results.adapt_button.enabled)
    assert widget.results.adapt_button.tooltip.startswith("Adapting needs")
