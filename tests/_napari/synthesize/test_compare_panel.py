"""Compare, swipe, flicker, checkerboard and protocol sheets in the Synthesize dock, on a viewer model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QFileDialog, QInputDialog
from widget_cases import MEDIANS, add, make_map

from napari_swig_qmri._napari.layers import LayerRecord, with_record
from napari_swig_qmri._napari.parts.view import show_neurologically, show_radiologically, sides_of
from napari_swig_qmri._napari.parts.viewer_layers import image_layers
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.side_by_side import PAIRS
from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.composites import LINE, Difference
from napari_swig_qmri.synthesis.lazy_contrast import synthesise
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol, read_protocol, write_protocol
from napari_swig_qmri.synthesis.rendering import Rendering

HR = VoxelGrid((24, 28, 20), np.diag([1.0, 1.0, 1.0, 1.0]))
LR = HR.with_shape((12, 14, 10))
MADE = {"GeneratedBy": [generated_by()], "Parameters": {}}
T2W = TurboSpinEcho.from_typical()
GAIN = 250.0


def acquired(maps: list[Volume]) -> Volume:
    data = GAIN * synthesise(T2W, *(volume.data for volume in maps))
    return Volume(data=data, grid=HR, name="sub-01 T2w", suffix="T2w", sidecar=to_sidecar(T2W))


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.scene.camera.orientation2d = ("up", "left")  # radiological
    add(viewer, *[make_map(suffix, LR) for suffix in MEDIANS])
    maps = [make_map(suffix, HR, sidecar=MADE, name=f"{suffix} SR") for suffix in MEDIANS]
    add(viewer, *maps, acquired(maps))
    mask = np.zeros(HR.shape[::-1], np.uint8)
    mask[4:16, 5:23, 5:20] = 1
    viewer.add_labels(mask, name="brain")
    return viewer


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(T2W)
    return widget


def choose_mask(widget: SynthesizeWidget, name: str) -> None:
    layers = [layer for layer in widget.compare.mask_box.choices if layer is not None]
    widget.compare.mask_box.value = next(layer for layer in layers if layer.name == name)


def compare(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    """Press the button and wait for the scores."""
    choose_mask(widget, "brain")
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: bool(widget.compare.table.text()), timeout=10_000)


def test_one_click_shows_four_panes_and_scores(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    names = [layer.name for layer in viewer.layers if layer.visible]
    assert names == [
        "Turbo spin echo synthetic (LR)",
        "Turbo spin echo synthetic (SR)",
        "Acquired: sub-01 T2w",
        "SR − acquired",
    ]
    assert viewer.canvas.grid.enabled
    text = widget.compare.table.text()
    assert "LR against acquired" in text
    assert "SR against acquired" in text
    assert "1.000" in text  # the image is made of the SR maps
    assert f"SR {GAIN:.4g}" in widget.compare.notes.text()
    assert "T1 ≥ 2200 ms" in widget.compare.notes.text()


@pytest.mark.parametrize(
    ("told", "path", "is_fitted"),
    [
        ({"Guides": ["sub-01 T1w", "sub-01 T2w"]}, None, True),
        ({"Guides": ["sub-01 T1w"]}, None, False),
        ({"Sources": ["../guides/sub-01_T2w.nii.gz"]}, "case/guides/sub-01_T2w.nii.gz", True),
        ({"Sources": ["../guides/sub-02_T2w.nii.gz"]}, "case/guides/sub-01_T2w.nii.gz", False),
    ],
)
def test_a_score_against_a_guide_is_told_to_be_a_fit(
    viewer: ViewerModel, qtbot: QtBot, told: dict[str, Any], path: str | None, is_fitted: bool
) -> None:
    for name, where in (("T1map SR (ms)", "case/out/sub-01_T1map.nii.gz"), ("sub-01 T2w", path)):
        layer = viewer.layers[name]
        before = LayerRecord.of(layer).volume
        sidecar = {**MADE, **told} if name != "sub-01 T2w" else before.sidecar
        volume = replace(before, path=where and Path(where), sidecar=sidecar)
        layer.metadata = with_record(layer.metadata, volume=volume)
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(T2W)
    compare(widget, qtbot)
    assert ("The image was a guide of SR" in widget.compare.table.text()) == is_fitted
    assert "guide of LR" not in widget.compare.table.text()


def test_acquired_and_synthetic_share_one_scale(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    sr, panes = widget.live.layers[1], widget.compare.panes.layers
    np.testing.assert_allclose(np.asarray(panes["acquired"].data), np.asarray(sr.data), rtol=1e-4)
    assert tuple(panes["acquired"].contrast_limits) == tuple(sr.contrast_limits)
    low, high = panes["difference"].contrast_limits
    assert low == -high
    sr.contrast_limits = (0, 0.3)
    widget.compare.follow()
    assert tuple(panes["difference"].contrast_limits) == (-0.1, 0.1)  # a bar from -0.08 has no number but 0
    np.testing.assert_allclose(np.asarray(panes["difference"].data), 0, atol=1e-4)
    for layer in (*widget.live.layers, *panes.values()):
        assert layer.colorbar.visible
        assert layer.name_overlay.visible
    assert viewer.canvas.overlays.scale_bar.visible


def test_panes_and_scores_follow_the_sliders(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    before = widget.compare.table.text()
    widget.editor.parameter_boxes()["echo_time"].value = 60
    qtbot.waitUntil(lambda: widget.compare.table.text() != before, timeout=10_000)
    difference = widget.compare.panes.layers["difference"]
    assert isinstance(difference.data, Difference)
    assert np.abs(np.asarray(difference.data)).max() > 1e-3
    assert "echo_time=0.06" in repr(difference.data.first.sequence)  # type: ignore[attr-defined]


def test_only_the_last_settings_are_scored(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    seen: list[Any] = []
    widget.compare._scoring.answered.connect(seen.append)
    for echo_time in (60, 70, 80):
        widget.editor.parameter_boxes()["echo_time"].value = echo_time
        qtbot.wait(40)
    qtbot.waitUntil(lambda: bool(seen), timeout=10_000)
    qtbot.wait(100)
    assert [each.sequence.echo_time for each in seen] == [pytest.approx(0.08)]


def test_without_an_image_of_the_contrast_sr_is_compared_with_lr(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.editor.set_value(Mprage.from_typical())
    compare(widget, qtbot)
    assert list(widget.compare.panes.layers) == ["difference"]
    assert widget.compare.panes.layers["difference"].name == "SR − LR"
    assert "LR against SR" in widget.compare.table.text()


def test_a_uniform_image_as_scanners_store_it_shares_the_scale(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    sequence = Mp2rageUni.from_typical()
    maps = [make_map(suffix, HR) for suffix in MEDIANS]
    stored = np.round(4095 * (synthesise(sequence, *(volume.data for volume in maps)) + 0.5))
    add(viewer, Volume(data=stored, grid=HR, name="sub-01 UNIT1", suffix="UNIT1", sidecar=to_sidecar(sequence)))
    widget.editor.set_value(sequence)
    compare(widget, qtbot)
    shown, sr = np.asarray(widget.compare.panes.layers["acquired"].data), np.asarray(widget.live.layers[1].data)
    np.testing.assert_allclose(shown, sr, atol=2e-4)  # a step of 1 in 4095
    assert "stored as 0 to 4095" in widget.compare.notes.text()
    assert "Gain" not in widget.compare.notes.text()


def test_another_contrast_finds_its_own_image(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    widget.editor.set_value(Mprage.from_typical())
    qtbot.waitUntil(lambda: "LR against SR" in widget.compare.table.text(), timeout=10_000)
    assert list(widget.compare.panes.layers) == ["difference"]


def test_what_was_acquired_is_not_taken_for_measured_again(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    before = image_layers(viewer)
    compare(widget, qtbot)
    assert image_layers(viewer) == before


def test_pressing_again_takes_all_away(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    n = len(viewer.layers)
    widget.compare.button.native.click()
    assert len(viewer.layers) == n - 2
    assert not widget.compare.panes.layers
    assert not viewer.canvas.overlays.scale_bar.visible
    assert widget.compare.table.isHidden()
    assert not any(layer.colorbar.visible for layer in widget.live.layers)


def test_removing_a_contrast_ends_the_comparison(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    viewer.layers.remove(widget.live.layers[0])
    assert not widget.compare.button.value
    assert not widget.compare.panes.layers


@pytest.mark.parametrize("what", ["contrast", "comparison", "sheet"])
def test_nothing_stays_on_once_all_layers_are_deleted(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, what: str
) -> None:
    if what == "contrast":
        widget.add_contrast()
    elif what == "comparison":
        compare(widget, qtbot)
    else:
        widget.sheet.show_button.native.click()
    assert viewer.canvas.grid.enabled
    viewer.scene.camera.zoom = 40
    viewer.layers.clear()
    assert not viewer.canvas.grid.enabled
    assert not any(overlay.visible for name, overlay in viewer.canvas.overlays.items() if name.startswith("swig"))
    assert not viewer.canvas.overlays.scale_bar.visible
    maps = add(viewer, *[make_map(suffix, LR) for suffix in MEDIANS])
    assert all(layer.visible for layer in maps)
    assert not viewer.canvas.grid.enabled
    assert viewer.scene.camera.zoom != 40


def test_a_sheet_that_gives_way_to_another_stays_in_the_grid(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    widget.sheet.show_button.native.click()
    widget.sheet.show_button.native.click()
    assert viewer.canvas.grid.enabled
    assert [layer for layer in viewer.layers if layer.visible] == widget.sheet.layers
    assert viewer.canvas.overlays["swig_left_side"].visible


def test_removing_a_pane_is_no_harm(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    viewer.layers.remove(widget.compare.panes.layers["acquired"])
    widget.editor.parameter_boxes()["echo_time"].value = 60
    qtbot.wait(50)
    assert list(widget.compare.panes.layers) == ["difference"]


def test_a_single_source_without_image_is_told(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.editor.set_value(Mprage.from_typical())
    widget.sources.set_value(["SR"])
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: "two map sets" in widget.compare.message.text(), timeout=10_000)
    assert widget.compare.table.isHidden()


def test_the_maps_of_two_subjects_are_compared(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    for subject in ("sub-01", "sub-02"):
        add(viewer, *[make_map(suffix, LR, name=f"{subject} {suffix}") for suffix in MEDIANS])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: bool(widget.compare.table.text() or widget.compare.message.text()), timeout=10_000)
    qtbot.waitUntil(lambda: "…" not in widget.compare.message.text(), timeout=10_000)
    assert widget.compare.message.text() == ""
    assert "sub-01 maps" in widget.compare.panes.layers["difference"].name
    assert [layer.name.split("(")[1] for layer in widget.live.layers] == ["sub-01 maps)", "sub-02 maps)"]


def test_a_mask_of_no_tissue_is_told(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    viewer.add_labels(np.zeros(HR.shape[::-1], np.uint8), name="empty")
    compare(widget, qtbot)
    choose_mask(widget, "empty")
    qtbot.waitUntil(lambda: "no brain tissue" in widget.compare.message.text(), timeout=10_000)
    assert widget.compare.table.isHidden()


def test_sides_follow_view_and_slicing(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    assert sides_of(viewer) == ("R", "L")
    compare(widget, qtbot)
    assert widget.compare.view_box.value == "radiological"
    widget.compare.view_box.value = "neurological"
    assert sides_of(viewer) == ("L", "R")
    texts = [viewer.canvas.overlays[key].text for key in ("swig_left_side", "swig_right_side")]
    assert texts == ["L", "R"]
    viewer.dims.order = (2, 0, 1)  # sagittal: S up, A across
    assert sides_of(viewer) == ("P", "A")
    show_radiologically(viewer)  # type: ignore[arg-type]
    assert viewer.canvas.overlays["swig_left_side"].text == "A"
    show_neurologically(viewer)  # type: ignore[arg-type]
    viewer.dims.ndisplay = 3
    assert viewer.canvas.overlays["swig_left_side"].text == ""


@pytest.fixture
def blended(widget: SynthesizeWidget) -> SynthesizeWidget:
    first, second = widget.add_contrast()
    widget.blend.first_box.value, widget.blend.second_box.value = first, second
    return widget


def picture(widget: SynthesizeWidget) -> np.ndarray:
    """The middle slice on show."""
    assert widget.blend.layer is not None
    data: Any = widget.blend.layer.data
    return np.asarray(data[data.shape[0] // 2])


def test_a_curtain_has_the_first_image_on_the_left(blended: SynthesizeWidget, viewer: ViewerModel) -> None:
    blended.blend.mode_box.value = "swipe"
    assert [layer.name for layer in viewer.layers if layer.visible] == [
        "Turbo spin echo synthetic (LR) | Turbo spin echo synthetic (SR)"
    ]
    assert not viewer.canvas.grid.enabled
    blended.blend.position.value = 100
    only_first = picture(blended)
    blended.blend.position.value = 0
    only_second = picture(blended)
    blended.blend.position.value = 50
    both = picture(blended)
    left = np.s_[:, 14:]  # voxels run from right to left in the radiological view
    np.testing.assert_array_equal(both[left], only_first[left])
    np.testing.assert_array_equal(both[:, :10], only_second[:, :10])
    assert (both[:, 10:14] == LINE).all(axis=-1).any()
    viewer.scene.camera.orientation2d = ("up", "right")
    np.testing.assert_array_equal(picture(blended)[:, 1:10], only_first[:, 1:10])  # the line lay at 0
    blended.blend.is_horizontal.value = True
    np.testing.assert_array_equal(picture(blended)[16:, 1:], only_first[16:, 1:])  # above, where voxels run up


def test_the_curtain_follows_the_mouse_with_shift(blended: SynthesizeWidget, viewer: ViewerModel) -> None:
    blended.blend.mode_box.value = "swipe"
    for modifiers, expected in (((), 50.0), (("Shift",), 25.0)):
        event = SimpleNamespace(modifiers=modifiers, position=(10.0, 14.0, 0.75 * (HR.shape[0] - 1)))
        for callback in viewer.mouse_move_callbacks:
            callback(viewer, event)
        assert blended.blend.position.value == pytest.approx(expected, abs=0.1)


def test_names_of_layers_are_shortened_where_they_are_alike(blended: SynthesizeWidget) -> None:
    long = "a contrast with a name that is much too long for the dock (LR)"
    blended.live.layers[0].name = long
    box = blended.blend.first_box
    box.value = blended.live.layers[0]
    box.native.resize(160, 24)
    text = box.elided.text()
    assert text.startswith("a con")
    assert text.endswith("(LR)")
    assert len(text) < len(long)
    box.native.resize(900, 24)
    assert box.elided.text() == long
    assert not box.native.grab().isNull()


def test_flicker_changes_between_the_two(blended: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    blended.blend.rate.value = 5
    blended.blend.mode_box.value = "flicker"
    seen: set[str] = set()

    def both() -> bool:
        seen.add(viewer.canvas.overlays.text.text)
        return len(seen) == 2

    qtbot.waitUntil(both, timeout=2_000)
    assert seen == {layer.name for layer in blended.live.layers}


def test_the_checkerboard_follows_colours_and_sliders(blended: SynthesizeWidget, qtbot: QtBot) -> None:
    blended.blend.mode_box.value = "checkerboard"
    before = picture(blended)
    blended.live.layers[0].contrast_limits = (0, 0.1)
    assert (picture(blended) != before).any()
    before = picture(blended)
    blended.editor.parameter_boxes()["echo_time"].value = 30
    qtbot.waitUntil(lambda: bool((picture(blended) != before).any()))


def test_switching_off_gives_the_view_back(blended: SynthesizeWidget, viewer: ViewerModel) -> None:
    shown = [layer for layer in viewer.layers if layer.visible]
    blended.blend.mode_box.value = "swipe"
    blended.blend.mode_box.value = "off"
    assert [layer for layer in viewer.layers if layer.visible] == shown
    assert viewer.canvas.grid.enabled
    assert not viewer.canvas.overlays.text.visible
    assert blended.blend.layer is None


def test_a_layer_that_goes_ends_it(blended: SynthesizeWidget, viewer: ViewerModel) -> None:
    blended.blend.mode_box.value = "swipe"
    viewer.layers.remove(blended.live.layers[0])
    assert blended.blend.mode_box.value == "off"
    assert blended.blend.layer is None


def test_what_cannot_be_mixed_is_told(blended: SynthesizeWidget, viewer: ViewerModel) -> None:
    blended.blend.second_box.value = blended.blend.first_box.value
    blended.blend.mode_box.value = "swipe"
    assert "two different" in blended.blend.message.text()
    turned = viewer.add_image(np.zeros((5, 6, 7)), rotate=20, name="turned")
    blended.blend.second_box.value = turned
    assert "is rotated" in blended.blend.message.text()
    assert blended.blend.layer is None


def test_marks_give_way_to_panes_and_sheets_and_come_back(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    widget.rendering.mark.value = True
    compare(widget, qtbot)
    marks = [layer for layer in viewer.layers if layer.name.startswith("Partial volume")]
    assert len(marks) == 2
    assert not any(layer.visible for layer in marks)
    shown = [layer for layer in viewer.layers if layer.visible]
    assert shown == [*widget.live.layers, *widget.compare.panes.layers.values()]
    assert viewer.canvas.grid.stride == 1
    widget.compare.button.native.click()
    assert all(layer.visible for layer in marks)
    assert viewer.canvas.grid.stride == PAIRS
    widget.sheet.show_button.native.click()
    assert not any(layer.visible for layer in marks)
    assert viewer.canvas.grid.stride == 1
    assert [layer for layer in viewer.layers if layer.visible] == widget.sheet.layers


def test_scores_take_the_transmit_field_and_leave_noise_out(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    perfect = widget.compare.table.text()
    widget.rendering.set_value(Rendering(snr=20))
    qtbot.waitUntil(lambda: "leave the added noise out" in widget.compare.notes.text(), timeout=10_000)
    assert widget.compare.table.text() == perfect
    widget.rendering.set_value(Rendering(transmit_field=0.6))
    qtbot.waitUntil(lambda: widget.compare.table.text() != perfect, timeout=10_000)
    assert "noise" not in widget.compare.notes.text()


def test_a_typed_equation_can_be_compared_and_put_on_a_sheet(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    widget.editor.set_value(UserEquation(text="PD * exp(-TE/T2)"))
    compare(widget, qtbot)
    assert "LR against SR" in widget.compare.table.text()  # no image shows what it shows
    widget.sheet.add_button.native.click()
    widget.sheet.show_button.native.click()
    assert "equation synthetic (SR)" in [layer.name for layer in viewer.layers if layer.visible]


def test_a_sheet_shows_every_contrast_of_the_last_source(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    widget.sheet.show_button.native.click()
    names = [layer.name for layer in viewer.layers if layer.visible]
    assert names == [f"{name} synthetic (SR)" for name in ("T1w", "T2w", "FLAIR", "DIR")]
    assert viewer.canvas.grid.enabled
    n = len(viewer.layers)
    widget.sheet.show_button.native.click()  # with the maps that are there now
    assert len(viewer.layers) == n
    widget.add_contrast()
    assert not any(layer.visible for layer in viewer.layers if layer.name in names)


def test_contrasts_are_added_and_removed(widget: SynthesizeWidget) -> None:
    widget.editor.set_value(T2Flair.from_typical(echo_time=0.09))
    widget.sheet.add_button.native.click()
    protocol = widget.sheet.value()
    assert protocol is not None
    assert protocol.contrasts[-1] == NamedContrast(name="FLAIR 2", sequence=T2Flair.from_typical(echo_time=0.09))
    widget.sheet.list.setCurrentRow(0)
    widget.sheet.remove_button.native.click()
    left = widget.sheet.value()
    assert left is not None
    assert [each.name for each in left.contrasts] == ["T2w", "FLAIR", "DIR", "FLAIR 2"]
    for _ in range(4):
        widget.sheet.remove_button.native.click()
    assert widget.sheet.value() is None
    assert not widget.sheet.show_button.enabled
    assert not widget.sheet.export.run_button.isEnabled()


def test_a_double_click_renames_a_contrast(widget: SynthesizeWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([("T2w late", True), ("FLAIR", True), ("", True), ("lost", False)])
    monkeypatch.setattr(QInputDialog, "getText", staticmethod(lambda *_, **__: next(answers)))
    names = ["T1w", "T2w late", "FLAIR", "DIR"]
    for problem in ("", "two contrasts of the protocol 'Brain' are called 'FLAIR'", "has no name", ""):
        widget.sheet.list.itemDoubleClicked.emit(widget.sheet.list.item(1))
        protocol = widget.sheet.value()
        assert protocol is not None
        assert [each.name for each in protocol.contrasts] == names
        assert problem.lower() in widget.sheet.message.text().lower()
    assert widget.sheet.list.item(1).text().startswith("T2w late: Turbo spin echo")


def answering(answer: str) -> Callable[..., Any]:
    return staticmethod(lambda *_: (answer, ""))


def test_a_protocol_is_saved_and_opened(
    widget: SynthesizeWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", answering(str(tmp_path / "mine")))
    widget.sheet.save_button.native.click()
    assert read_protocol(tmp_path / "mine.toml").title == "mine"
    one = Protocol(contrasts=(NamedContrast(name="T1w", sequence=SpinEcho.from_typical()),), title="one")
    write_protocol(one, tmp_path / "one.toml")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", answering(str(tmp_path / "one.toml")))
    widget.sheet.open_button.native.click()
    assert widget.sheet.value() == one
    (tmp_path / "one.toml").write_text("title = 1 2")
    widget.sheet.open_button.native.click()
    assert "is not TOML" in widget.sheet.message.text()
    assert widget.sheet.value() == one


def test_a_sheet_is_exported_in_the_background(
    widget: SynthesizeWidget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(lambda *_: str(tmp_path)))
    widget.sheet.format_boxes["nifti"].value = True
    with qtbot.waitSignal(widget.sheet.export.ended, timeout=20_000):
        widget.sheet.export.run_button.click()
    assert f"files to {tmp_path}" in widget.sheet.export.message.text()
    assert len(list(tmp_path.rglob("*.nii.gz"))) == 4
    assert len(list(tmp_path.glob("*_sheet.png"))) == 1
    with qtbot.waitSignal(widget.sheet.export.ended, timeout=20_000):
        widget.sheet.export.run_button.click()
    assert "already in" in widget.sheet.export.message.text()


def test_nothing_can_be_compared_or_shown_without_maps(qtbot: QtBot) -> None:
    widget = SynthesizeWidget(ViewerModel())  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert not widget.compare.button.enabled
    assert not widget.sheet.show_button.enabled
    assert not widget.sheet.export.run_button.isEnabled()


def test_a_t1_map_alone_is_neither_compared_nor_marked(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert not widget.compare.button.enabled
    assert "needs PD, T1 and T2 maps" in widget.compare.needs.text()
    layers = widget.add_contrast()
    widget.rendering.mark.value = True
    assert not widget.rendering.mark.value
    assert "needs PD, T1 and T2 maps" in widget.rendering.caveat.text()
    assert widget.live.layers == layers
    assert not widget.live.marks
    widget.set_value(replace(widget.value(), mark_partial_volume=True))
    widget.add_contrast()
    assert not widget.live.marks
    add(viewer, make_map("PDmap"), make_map("T2map"))
    assert widget.compare.button.enabled
    assert widget.compare.needs.isHidden()


def test_a_sheet_keeps_the_options_of_each_contrast(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    noisy = Rendering(snr=25, seed=3, transmit_field=0.9)
    widget.rendering.set_value(noisy)
    widget.sheet.add_button.native.click()
    assert widget.sheet.value().contrasts[-1].rendering == noisy
    assert widget.sheet.list.item(widget.sheet.list.count() - 1).text().endswith("B1+ 90 %, SNR 25")
    widget.rendering.set_value(Rendering())
    widget.sheet.show_button.native.click()
    assert [layer.data.rendering for layer in widget.sheet.layers] == [*[Rendering()] * 4, noisy]
    record = LayerRecord.of(widget.sheet.layers[-1]).volume.sidecar["Rendering"]
    assert record["SNR"] == 25
    widget.editor.set_value(Mp2rageUni.from_typical())
    widget.rendering.set_value(noisy)
    widget.sheet.add_button.native.click()  # a ratio takes no noise
    assert "no noise can be added" in widget.sheet.message.text()
    assert len(widget.sheet.value().contrasts) == 5


def test_comparing_follows_the_map_of_b1(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    before = widget.compare.table.text()
    slope = np.linspace(0.6, 1.0, HR.shape[0], dtype=np.float32)[:, None, None] * np.ones(HR.shape, np.float32)
    (b1,) = add(viewer, Volume(data=slope, grid=HR, name="B1+", suffix="TB1map", unit="arbitrary"))
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: widget.compare.table.text() not in ("", before), timeout=20_000)
    assert set(widget.compare._data.contrast_maps) == {"LR", "SR"}
    np.testing.assert_allclose(widget.compare._data.contrast_maps["SR"].transmit_field, slope, rtol=1e-5)


def test_a_plugin_s_view_of_the_viewer_is_enough(viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = SynthesizeWidget(PublicOnlyProxy(viewer))  # type: ignore[arg-type]  # as napari hands it to plugins
    qtbot.addWidget(widget)
    widget.editor.set_value(T2W)
    compare(widget, qtbot)
    before = widget.compare.table.text()
    add(viewer, Volume(data=np.full(HR.shape, 0.8, np.float32), grid=HR, name="B1+", suffix="TB1map", unit="arbitrary"))
    widget.rendering.map_box.value = widget.rendering.map_box.choices[1]
    qtbot.waitUntil(lambda: widget.compare.table.text() not in ("", before), timeout=20_000)
    assert float(np.asarray(widget.live.layers[0].data.transmit_field).max()) == pytest.approx(0.8)
    widget.sheet.add_button.native.click()
    widget.sheet.show_button.native.click()
    assert len(widget.sheet.layers) == 5
