"""Results of several runs, and the adaptation of the network, with a stand-in for the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from widget_cases import FakeEngine, add, make_guide, make_map

from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.results import Verdict
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS

Make = Callable[[FakeEngine], SuperResolveWidget]

OTHER = next(name for name in WEIGHTS if name != DEFAULT_WEIGHTS)
FIRST, SECOND = ["T1 SR (ms)"], ["T1 SR run 2 (ms)"]


@pytest.fixture(autouse=True)
def case(viewer: ViewerModel) -> None:
    """A T1 map and two guides: a run adds four layers."""
    add(viewer, make_map("T1map"), make_guide("T1w"), make_guide("T2w"))


def run(widget: SuperResolveWidget, method: str, weights: str | None = None) -> None:
    widget.options.set_value(Options(method=method, weights=weights))
    widget.run()


def adapt(widget: SuperResolveWidget, qtbot: QtBot) -> None:
    with qtbot.waitSignal(widget.run_panel.ended):
        widget.results.adapt_button.native.click()


def shown_results(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if LayerRecord.of(layer).model and layer.visible]


def action(widget: SuperResolveWidget) -> str:
    return str(widget.run_panel.run_button.text)


@pytest.mark.parametrize(
    ("verdict", "text", "role"),
    [
        (Verdict(), "Verdict: good. Nothing speaks against these maps.", "text"),
        (Verdict("look", ("T2 is off.",)), "Verdict: look at these maps before you use them.", "assumption"),
        (Verdict("do not use", ("Worse.",)), "Verdict: do not use these maps.", "problem"),
    ],
)
def test_the_verdict_is_shown_in_words_and_in_a_colour(
    make: Make, engine: FakeEngine, verdict: Verdict, text: str, role: str
) -> None:
    engine.verdict = verdict
    widget = make(engine)
    run(widget, "posterior")
    assert widget.results.verdict.text() == text
    assert widget.results.verdict.property("role") == role
    assert [reason in widget.results.reasons.text() for reason in verdict.reasons] == [True] * len(verdict.reasons)
    assert widget.results.reasons.isHidden() == (not verdict.reasons)


def test_a_result_says_which_guides_and_method_made_it(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    assert widget.results.isHidden()
    run(widget, "network", "/data/mine.safetensors")
    label = "M_12 (T1w + T2w), network, mine.safetensors"
    assert widget.results.box.current_choice == "Run 1: T1w + T2w, network, mine.safetensors"
    assert widget.results.box.tooltip == label
    assert {LayerRecord.of(layer).model for layer in viewer.layers[3:]} == {label}
    del viewer.layers[3:]
    assert widget.results.shown is None
    assert widget.results.isHidden()


def test_the_button_says_how_the_next_run_differs(
    viewer: ViewerModel, widget: SuperResolveWidget, engine: FakeEngine
) -> None:
    assert action(widget) == "Super-resolve"
    run(widget, "posterior")
    assert action(widget) == "Run again"
    first, second = (row.use_box for row in widget.guides.rows)
    second.native.click()
    assert action(widget) == "Run again with T1w"
    assert shown_results(viewer) == FIRST  # still the result of both guides
    widget.run()
    assert [len(each["guides"]) for each in engine.runs] == [2, 1]
    assert widget.results.box.current_choice == "Run 2: T1w, posterior"
    assert shown_results(viewer) == SECOND
    second.native.click()
    assert shown_results(viewer) == FIRST  # found again, not computed again
    assert action(widget) == "Run again"
    assert len(engine.runs) == 2
    for box in (first, second):
        box.native.click()
    assert action(widget) == "Run again with no guide"
    widget.options.method_box.value = "network"
    assert action(widget) == "Run again with no guide, network"


@pytest.mark.slow
def test_switching_results_keeps_the_kind_of_layer_shown(viewer: ViewerModel, widget: SuperResolveWidget) -> None:
    widget.run()
    looked_at = ["sub-01 T1w residual", "T1 SR (ms)"]
    for layer in viewer.layers[3:]:
        layer.visible = layer.name in looked_at
    widget.run()
    assert shown_results(viewer) == ["sub-01 T1w residual run 2", "T1 SR run 2 (ms)"]
    viewer.layers.selection.active = viewer.layers["T1 SR run 2 (ms)"]
    widget.results.box.value = widget.results.box.choices[0]
    assert shown_results(viewer) == looked_at
    assert viewer.layers.selection.active is viewer.layers["T1 SR (ms)"]


@pytest.mark.slow
def test_only_a_network_is_adapted(widget: SuperResolveWidget, engine: FakeEngine, qtbot: QtBot) -> None:
    run(widget, "posterior")
    assert widget.results.adapt_button.native.isHidden()
    run(widget, "network")
    assert not widget.results.adapt_button.native.isHidden()
    qtbot.waitUntil(lambda: "Takes about 4 s" in widget.results.adapt_button.tooltip)
    assert engine.preflights[-1]["adapt"]


def test_adapting_is_undone_with_one_click(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    engine = FakeEngine(errors=(0.912, 0.874))
    widget = make(engine)
    run(widget, "network", OTHER)
    before = list(viewer.layers)
    adapt(widget, qtbot)
    assert (engine.runs[1]["weights"], engine.runs[1]["adapt"]) == (OTHER, True)
    assert "fell from 91.20% to 87.40%" in widget.run_panel.message.text()
    assert widget.results.box.current_choice == f"Run 2: T1w + T2w, network, {OTHER}, adapted"
    assert shown_results(viewer) == SECOND
    assert widget.results.adapt_button.native.isHidden()
    widget.results.undo_button.native.click()
    assert list(viewer.layers) == before
    assert shown_results(viewer) == FIRST
    assert widget.results.undo_button.native.isHidden()
    assert widget.results.adapt_button.enabled
    assert "undone" in widget.run_panel.message.text()


def test_an_adaptation_without_a_gain_adds_nothing(viewer: ViewerModel, make: Make, qtbot: QtBot) -> None:
    widget = make(FakeEngine(errors=(0.9, 0.9)))
    run(widget, "network")
    before = list(viewer.layers)
    adapt(widget, qtbot)
    assert list(viewer.layers) == before
    assert "Nothing was gained" in widget.run_panel.message.text()
    assert "90.00%" in widget.run_panel.message.text()
    assert not widget.results.adapt_button.enabled
    assert "gained nothing" in widget.results.adapt_button.tooltip


def test_adapting_is_cancelled_like_a_run(
    viewer: ViewerModel, widget: SuperResolveWidget, engine: FakeEngine, qtbot: QtBot
) -> None:
    run(widget, "network")
    before = list(viewer.layers)
    engine.n_steps, engine.pause = 10_000, 0.01
    widget.results.adapt_button.native.click()
    qtbot.waitUntil(lambda: len(engine.runs) == 2)
    assert not widget.results.adapt_button.enabled
    with qtbot.waitSignal(widget.run_panel.ended, timeout=2000):
        widget.run_panel.cancel_button.native.click()
    assert list(viewer.layers) == before
    assert widget.results.adapt_button.enabled


def test_a_reason_against_adapting_is_shown(widget: SuperResolveWidget, engine: FakeEngine, qtbot: QtBot) -> None:
    run(widget, "network")
    engine.problems = ("adapting needs maps of PD, T1 and T2.",)
    qtbot.waitUntil(lambda: not widget.results.adapt_button.enabled)
    assert widget.results.adapt_button.tooltip.startswith("Adapting needs")


def test_the_shown_result_is_saved_with_its_sidecars(widget: SuperResolveWidget, tmp_path: Path, qtbot: QtBot) -> None:
    run(widget, "posterior")
    run(widget, "regression")
    with qtbot.waitSignal(widget.results.saved):
        widget.results.save(tmp_path)
    saved = tmp_path / "sub-01" / "anat" / "sub-01_desc-swig_T1map.nii.gz"
    assert read_volume(saved).sidecar["Parameters"]["method"] == "regression"
    assert widget.results.message.text().startswith("Saved ")
    with qtbot.waitSignal(widget.results.saved):
        widget.results.save(tmp_path)
    assert "choose another folder" in widget.results.message.text()
    assert widget.results.save_button.enabled


def test_the_report_of_the_shown_run_opens_in_the_browser(
    widget: SuperResolveWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        "napari_swig_qmri._napari.super_resolve.result_panel.QDesktopServices.openUrl",
        lambda url: opened.append(url.toLocalFile()),
    )
    run(widget, "posterior")
    widget.results.report_button.native.click()
    qtbot.waitUntil(lambda: bool(opened), timeout=10_000)
    assert "Verdict: good" in Path(opened[0]).read_text("utf-8")
