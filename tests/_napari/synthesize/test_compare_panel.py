"""Comparison of contrasts with each other and with an acquired image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare_cases import GAIN, GRID, MADE, T2W, comparison_viewer
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QScrollArea
from volume_cases import rotation
from widget_cases import HR, LR, MEDIANS, add, make_map

from napari_swig_qmri._napari.parts.dock import WIDTH
from napari_swig_qmri._napari.parts.view import choose_neurological, choose_radiological, sides_of
from napari_swig_qmri._napari.parts.viewer_layers import image_layers
from napari_swig_qmri._napari.records import LayerRecord, with_record
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.side_by_side import PAIR_STRIDE
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.composites import Difference
from napari_swig_qmri.synthesis.lazy_contrast import synthesise
from napari_swig_qmri.synthesis.rendering import Rendering

pytestmark = pytest.mark.slow


@pytest.fixture
def viewer() -> ViewerModel:
    """LR maps, SR maps, a T2w image of the SR maps, and a mask."""
    return comparison_viewer()


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    """The dock with the sequence of the T2w image and the mask."""
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(T2W)
    widget.compare.mask_box.value = viewer.layers["brain"]
    return widget


def compare(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    """Press the button and wait for the scores."""
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: bool(widget.compare.table.text()), timeout=10_000)


def test_a_tilted_head_has_the_scores_of_a_straight_one_in_the_mask_that_is_drawn_on_it(qtbot: QtBot) -> None:
    tables = []
    for tilt in (None, rotation((12, 9, -14))):
        viewer = comparison_viewer(tilt)
        widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
        qtbot.addWidget(widget)
        widget.editor.set_value(T2W)
        widget.compare.mask_box.value = viewer.layers["brain"]
        compare(widget, qtbot)
        tables.append(widget.compare.table.text())
    assert tables[0] == tables[1]


def test_one_click_shows_four_panes_on_one_scale_with_scores(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    images = image_layers(viewer)
    compare(widget, qtbot)
    _, sr = widget.live.layers
    panes = widget.compare.panes.layers
    assert [layer.name for layer in viewer.layers if layer.visible] == [
        "Turbo spin echo synthetic (LR)",
        "Turbo spin echo synthetic (SR)",
        "Acquired: sub-01 T2w",
        "SR − acquired",
    ]
    assert viewer.canvas.grid.enabled
    text = widget.compare.table.text()
    for words in ("LR against acquired", "SR against acquired", "1.000"):  # the image is made of the SR maps
        assert words in text
    assert f"SR {GAIN:.4g}" in widget.compare.notes.text()
    assert "T1 ≥ 2200 ms" in widget.compare.notes.text()
    np.testing.assert_allclose(np.asarray(panes["acquired"].data), np.asarray(sr.data), rtol=1e-4)
    assert tuple(panes["acquired"].contrast_limits) == tuple(sr.contrast_limits)
    sr.contrast_limits = (0, 0.3)
    widget.compare.follow()
    assert tuple(panes["difference"].contrast_limits) == (-0.1, 0.1)  # the colour bar needs round limits for numbers
    np.testing.assert_allclose(np.asarray(panes["difference"].data), 0, atol=1e-4)
    for layer in (*widget.live.layers, *panes.values()):
        assert layer.name_overlay.visible
        assert layer.colorbar.visible == (layer is panes["difference"])  # grey values have no unit
    assert viewer.canvas.overlays.scale_bar.visible
    assert image_layers(viewer) == images  # the panes are no images to compare with


def test_panes_and_scores_follow_the_last_settings(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    before = widget.compare.table.text()
    for echo_time in (60, 70, 80):
        widget.editor.parameter_boxes()["echo_time"].value = echo_time
        qtbot.wait(40)
    assert widget.compare.table.text() == before  # settings that were passed over are not scored
    qtbot.waitUntil(lambda: widget.compare.table.text() != before, timeout=10_000)
    difference: Any = widget.compare.panes.layers["difference"].data
    assert isinstance(difference, Difference)
    assert difference.first.sequence.echo_time == pytest.approx(0.08)  # type: ignore[attr-defined]
    assert np.abs(np.asarray(difference)).max() > 1e-3


def test_a_score_against_a_guide_is_called_a_fit(viewer: ViewerModel, widget: SynthesizeWidget, qtbot: QtBot) -> None:
    layer = viewer.layers["T1map SR (ms)"]
    volume = replace(LayerRecord.of(layer).volume, sidecar={**MADE, "Guides": ["sub-01 T1w", "sub-01 T2w"]})
    layer.metadata = with_record(layer.metadata, volume=volume)
    compare(widget, qtbot)
    assert "The image was a guide of SR" in widget.compare.table.text()
    assert "guide of LR" not in widget.compare.table.text()


def test_without_an_image_of_the_contrast_sr_is_compared_with_lr(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    widget.editor.set_value(Mprage.from_typical())
    qtbot.waitUntil(lambda: "LR against SR" in widget.compare.table.text(), timeout=10_000)
    assert [layer.name for layer in widget.compare.panes.layers.values()] == ["SR − LR"]
    widget.compare.stop()
    widget.editor.set_value(UserEquation(text="PD * exp(-TE/T2)"))
    compare(widget, qtbot)
    assert "LR against SR" in widget.compare.table.text()


def test_a_uniform_image_as_scanners_store_it_has_no_gain(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    sequence = Mp2rageUni.from_typical()
    maps = [make_map(suffix, GRID).data for suffix in MEDIANS]
    stored = np.round(4095 * (synthesise(sequence, *maps) + 0.5))
    add(viewer, Volume(data=stored, grid=GRID, name="sub-01 UNIT1", suffix="UNIT1", sidecar=to_sidecar(sequence)))
    widget.editor.set_value(sequence)
    compare(widget, qtbot)
    shown, sr = np.asarray(widget.compare.panes.layers["acquired"].data), np.asarray(widget.live.layers[1].data)
    np.testing.assert_allclose(shown, sr, atol=2e-4)  # a step of 1 in 4095
    assert "stored as 0 to 4095" in widget.compare.notes.text()
    assert "Gain" not in widget.compare.notes.text()


def test_a_contrast_that_is_shown_is_compared_not_added_again(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.run()
    compare(widget, qtbot)
    assert widget.live.layers == live
    names = [layer.name for layer in viewer.layers]
    assert len(set(names)) == len(names)
    area = widget.findChild(QScrollArea)
    assert area is not None
    assert not area.isAncestorOf(widget.compare.table)  # scores stay in sight while the sliders scroll
    widget.resize(WIDTH, 640)  # in a window of 1280 x 800
    assert widget.minimumSizeHint().height() <= 640


def test_pressing_again_or_removing_a_contrast_ends_the_comparison(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    n_layers = len(viewer.layers)
    widget.compare.button.native.click()
    assert len(viewer.layers) == n_layers - 2
    assert not widget.compare.panes.layers
    assert not viewer.canvas.overlays.scale_bar.visible
    assert widget.compare.table.isHidden()
    compare(widget, qtbot)
    viewer.layers.remove(widget.compare.panes.layers["acquired"])
    assert list(widget.compare.panes.layers) == ["difference"]
    viewer.layers.remove(widget.live.layers[0])
    assert not widget.compare.button.value
    assert not widget.compare.panes.layers


@pytest.mark.parametrize("what", ["contrast", "comparison", "sheet"])
def test_the_view_is_restored_once_all_layers_are_deleted(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, what: str
) -> None:
    if what == "contrast":
        widget.add_contrast()
    elif what == "comparison":
        compare(widget, qtbot)
    else:
        widget.sheet.show_sheet()
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


def test_maps_and_masks_that_cannot_be_compared_are_named(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    viewer.add_labels(np.zeros(GRID.shape[::-1], np.uint8), name="empty")
    compare(widget, qtbot)
    widget.compare.mask_box.value = viewer.layers["empty"]
    qtbot.waitUntil(lambda: "is empty" in widget.compare.message.text(), timeout=10_000)
    assert widget.compare.table.isHidden()
    widget.compare.stop()
    widget.editor.set_value(Mprage.from_typical())
    widget.sources.set_value(["SR"])
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: "two map sets" in widget.compare.message.text(), timeout=10_000)
    assert widget.compare.table.isHidden()
    viewer.layers.clear()
    assert not widget.compare.button.enabled


def test_a_t1_map_alone_is_neither_compared_nor_marked(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert not widget.compare.button.enabled
    assert "needs PD, T1 and T2 maps" in widget.compare.needs.text()
    layers = widget.run()
    widget.rendering.mark.value = True
    assert not widget.rendering.mark.value
    assert "needs PD, T1 and T2 maps" in widget.rendering.caveat.text()
    assert (widget.live.layers, widget.live.marks) == (layers, {})
    widget.set_value(replace(widget.value(), mark_partial_volume=True))
    widget.run()
    assert not widget.live.marks
    add(viewer, make_map("PDmap"), make_map("T2map"))
    assert widget.compare.button.enabled
    assert widget.compare.needs.isHidden()


def test_the_maps_of_two_subjects_are_compared(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    for subject in ("sub-01", "sub-02"):
        add(viewer, *[make_map(suffix, HR, name=f"{subject} {suffix}") for suffix in MEDIANS])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    compare(widget, qtbot)
    assert "sub-01 maps" in widget.compare.panes.layers["difference"].name
    assert [layer.name.split("(")[1] for layer in widget.live.layers] == ["sub-01 maps)", "sub-02 maps)"]


def test_sides_follow_view_and_slicing(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    def letters() -> list[str]:
        return [viewer.canvas.overlays[key].text for key in ("swig_left_side", "swig_right_side")]

    assert sides_of(viewer) == ("R", "L")
    compare(widget, qtbot)
    assert widget.compare.view_box.value == "radiological"
    widget.compare.view_box.value = "neurological"
    assert sides_of(viewer) == ("L", "R")
    assert letters() == ["L", "R"]
    viewer.dims.order = (2, 0, 1)  # sagittal: superior up, anterior to the right
    assert letters() == ["P", "A"]
    choose_radiological(viewer)  # type: ignore[arg-type]
    assert letters() == ["A", "P"]
    assert widget.compare.view_box.value == "radiological"
    choose_neurological(viewer)  # type: ignore[arg-type]
    viewer.dims.ndisplay = 3
    assert letters() == ["", ""]


def test_marks_are_hidden_by_panes_and_sheets_and_shown_again(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    widget.rendering.mark.value = True
    compare(widget, qtbot)
    marks = [layer for layer in viewer.layers if layer.name.startswith("Partial volume")]
    assert len(marks) == 2
    shown = [layer for layer in viewer.layers if layer.visible]
    assert shown == [*widget.live.layers, *widget.compare.panes.layers.values()]
    assert viewer.canvas.grid.stride == 1
    widget.compare.button.native.click()
    assert all(layer.visible for layer in marks)
    assert viewer.canvas.grid.stride == PAIR_STRIDE
    widget.sheet.show_sheet()
    assert viewer.canvas.grid.stride == 1
    assert [layer for layer in viewer.layers if layer.visible] == widget.sheet.layers


def test_scores_use_the_transmit_field_and_its_map_but_no_noise(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    compare(widget, qtbot)
    perfect = widget.compare.table.text()
    widget.rendering.set_value(Rendering(snr=20))
    qtbot.waitUntil(lambda: "leave the added noise out" in widget.compare.notes.text(), timeout=10_000)
    assert widget.compare.table.text() == perfect
    widget.rendering.set_value(Rendering(transmit_field=0.6))
    qtbot.waitUntil(lambda: widget.compare.table.text() != perfect, timeout=10_000)
    assert "noise" not in widget.compare.notes.text()
    before = widget.compare.table.text()
    slope = np.linspace(0.6, 1.0, GRID.shape[0], dtype=np.float32)[:, None, None] * np.ones(GRID.shape, np.float32)
    (b1,) = add(viewer, Volume(data=slope, grid=GRID, name="B1+", suffix="TB1map", unit="arbitrary"))
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: widget.compare.table.text() not in ("", before), timeout=20_000)


def test_panes_are_rendered_in_3d(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    compare(widget, qtbot)
    pane = widget.compare.panes.layers["difference"]
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: pane.data.is_kept)
    before = pane.data
    widget.editor.parameter_boxes()["echo_time"].value = 100
    qtbot.waitUntil(lambda: pane.data is not before and pane.data.is_kept)
    viewer.dims.ndisplay = 2
    assert not pane.data.is_kept
    np.testing.assert_allclose(pane.data[:], np.asarray(pane.data), atol=1e-6)
