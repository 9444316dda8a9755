"""The Inspect dock: inputs of a script, voxels under the cursor, pins, regions and followed contrasts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from inspect_cases import VOXEL, add_labels, at, cells, labelled, move, open_dock, rows, texts_of, wait_for_maps
from napari.components import ViewerModel
from napari.layers import Points
from napari.utils.colormaps import DirectLabelColormap
from pytestqt.qtbot import QtBot
from widget_cases import HR, LR, MEDIANS, add, lr_maps, lr_sr_and_a_guide, make_guide, make_map

from napari_swig_qmri._napari.inspect.dock import ONLY_2D, OPEN_MAPS, OUTSIDE, InspectInputs, InspectWidget
from napari_swig_qmri._napari.inspect.region_panel import NEEDS_LABELS
from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.plots import PALETTE
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast


@pytest.fixture
def viewer() -> ViewerModel:
    """A viewer with LR maps, SR maps and a T1w image."""
    return lr_sr_and_a_guide()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot) -> InspectWidget:
    return open_dock(viewer, qtbot)


@pytest.fixture
def lr_viewer() -> ViewerModel:
    """A viewer with LR maps."""
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    return viewer


@pytest.fixture
def lr_dock(lr_viewer: ViewerModel, qtbot: QtBot) -> InspectWidget:
    return open_dock(lr_viewer, qtbot)


@pytest.mark.slow
def test_a_script_sets_inputs_gets_them_back_and_measures(viewer: ViewerModel, dock: InspectWidget) -> None:
    add_labels(viewer, labelled())
    inputs = InspectInputs(
        maps="SR",
        regions="regions",
        sequence=Mprage.from_typical(),
        pins=((2.0, 3.0, 1.0), (7.0, 2.0, 9.0)),
        images=("T1map SR (ms)", "sub-01 T1w"),
    )
    dock.set_value(inputs)
    assert dock.value() == inputs
    assert rows(dock) == ["Pin 1", "Pin 2", "Label 1", "Label 2"]
    table = dock.run()
    assert {(row.image, row.label) for row in table} == {(name, label) for name in inputs.images for label in (1, 2)}
    shown = viewer.layers["T1map SR (ms)"].data
    assert next(row.mean for row in table if row.label == 1) == pytest.approx(float(shown[..., :4].mean()), rel=1e-5)
    dock.set_value(replace(inputs, regions=None))
    assert dock.value().regions is None
    with pytest.raises(ValueError, match=NEEDS_LABELS):
        dock.run()
    with pytest.raises(ValueError, match="no maps 'HR': choose among SR, LR"):
        dock.set_value(replace(inputs, maps="HR"))
    with pytest.raises(ValueError, match="no labels layer is called 'mask': choose among regions"):
        dock.set_value(replace(inputs, regions="mask"))


@pytest.mark.slow
def test_without_maps_it_says_what_to_open(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    dock = open_dock(viewer, qtbot)
    assert dock.curves.hint.text() == OPEN_MAPS
    assert not dock.design.run_panel.run_button.enabled
    assert not dock.table.run_panel.run_button.enabled
    dock.pin((0.0, 0.0, 0.0))
    assert rows(dock) == []
    wrong = replace(make_map("T1map"), data=1000 * make_map("T1map").data)
    add(viewer, make_map("PDmap"), wrong, make_map("T2map"))
    qtbot.waitUntil(lambda: "unit" in dock.curves.hint.text())


def test_the_voxel_under_the_cursor_is_read(lr_dock: InspectWidget, lr_viewer: ViewerModel, qtbot: QtBot) -> None:
    move(lr_dock, lr_viewer, qtbot, at())
    pd, t1, t2 = (float(each[VOXEL]) for each in lr_maps().data)
    for text in (f"{pd:.3f}", f"{1e3 * t1:.0f}", f"{1e3 * t2:.1f}"):
        assert text in cells(lr_dock)
    assert lr_dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    before = lr_dock.curves.table.text()
    lr_viewer.layers[1].data = lr_viewer.layers[1].data * 1.5
    wait_for_maps(lr_dock, qtbot)
    assert lr_dock.curves.table.text() != before
    data = lr_viewer.layers[1].data.copy()
    data[VOXEL[::-1]] = np.nan
    lr_viewer.layers[1].data = data
    wait_for_maps(lr_dock, qtbot)
    assert "nothing was measured here" in lr_dock.curves.hint.text()
    assert "–" in lr_dock.curves.table.text()
    move(lr_dock, lr_viewer, qtbot, (500.0, 0.0, 0.0))
    assert lr_dock.curves.hint.text() == OUTSIDE
    assert "Cursor" not in lr_dock.curves.table.text()
    lr_viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: lr_dock.curves.hint.text() == ONLY_2D)
    lr_viewer.layers.clear()
    assert lr_dock.curves.hint.text() == OPEN_MAPS


@pytest.mark.slow
def test_the_first_move_is_drawn_at_once_and_those_of_a_frame_together(
    lr_dock: InspectWidget, lr_viewer: ViewerModel, qtbot: QtBot
) -> None:
    move(lr_dock, lr_viewer, qtbot, at((3, 3, 3)))
    lr_viewer.cursor.position = at()
    assert lr_dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    hints: list[str] = []
    lr_dock._moves.triggered.connect(lambda: hints.append(lr_dock.curves.hint.text()))
    for voxel in ((0, 0, 0), (1, 1, 1), (4, 4, 4)):
        lr_viewer.cursor.position = at(voxel)
    assert lr_dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    qtbot.waitUntil(lambda: bool(hints))
    assert [text.split(" at ")[0] for text in hints] == ["Voxel 4, 4, 4"]


@pytest.mark.slow
def test_pins_stay_on_other_maps(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    assert texts_of(dock.maps) == ["SR", "LR"]
    dock.pin(at())
    dock.pin(at((0, 0, 0)))
    assert rows(dock) == ["Pin 1", "Pin 2"]
    np.testing.assert_allclose(marked(viewer), [at(), at((0, 0, 0))], atol=0.5)  # the nearest voxels of 1 mm
    before = dock.curves.table.text()
    dock.maps.native.setCurrentIndex(1)
    assert rows(dock) == ["Pin 1", "Pin 2"]
    assert dock.curves.table.text() != before
    dock.maps.native.setCurrentIndex(0)
    move(dock, viewer, qtbot, at((7, 2, 9), HR))
    assert dock.curves.hint.text() == "Voxel 7, 2, 9 at S 9.0, A 2.0, R 7.0 mm"
    dock.pin((500.0, 0.0, 0.0))
    assert "Pin 3" not in dock.curves.table.text()
    dock.curves.unpin_button.native.click()
    assert rows(dock) == []
    assert dock.curves.unpin_button.native.isHidden()


def marked(viewer: ViewerModel) -> list[tuple[float, ...]]:
    """Places of the markers in the picture."""
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    return [layer.data_to_world(point) for point in layer.data]


def test_pins_are_drawn_in_colours_of_their_own(dock: InspectWidget, viewer: ViewerModel) -> None:
    labels = add_labels(viewer, labelled(HR))
    labels.colormap = DirectLabelColormap(color_dict={1: PALETTE[0], 2: PALETTE[1], None: "black"})
    viewer.layers.selection.active = viewer.layers[0]
    dock.pin(at((7, 2, 9), HR))
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    assert list(layer.features["name"]) == ["Pin 1"]
    colours = [labels.get_color(1), labels.get_color(2), layer.border_color[0]]
    assert all(np.abs(one - other).max() > 0.1 for one, other in combinations(colours, 2))
    assert viewer.layers.selection.active is viewer.layers[0]
    viewer.layers.selection.active = layer
    dock.maps.native.setCurrentIndex(1)  # maps with other voxels
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    np.testing.assert_allclose(layer.scale, [2, 2, 2])
    viewer.layers.remove(layer)
    assert "Pin 1" not in dock.curves.table.text()  # as if "Remove pins" were pressed
    dock.pin(at((7, 2, 9), HR))
    dock.unpin()
    assert not [layer for layer in viewer.layers if isinstance(layer, Points)]


def test_names_of_pins_have_the_colours_of_their_rings(dock: InspectWidget, viewer: ViewerModel) -> None:
    dock.pin(at((7, 2, 9), HR))
    dock.pin(at((5, 4, 9), HR))
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    assert np.abs(layer.border_color[0] - layer.border_color[1]).max() > 0.1
    np.testing.assert_allclose(layer.text.color.array, layer.border_color)


def test_the_newest_maps_are_read_until_the_user_chooses(lr_viewer: ViewerModel, lr_dock: InspectWidget) -> None:
    made = {"GeneratedBy": [generated_by()], "Parameters": {}}
    assert lr_dock.value().maps == "maps"
    add(lr_viewer, *[make_map(suffix, HR, sidecar=made, name=f"{suffix} SR") for suffix in MEDIANS])
    assert texts_of(lr_dock.maps) == ["SR", "LR"]
    assert lr_dock.value().maps == "SR"
    lr_dock.maps.native.setCurrentIndex(1)
    add(lr_viewer, make_guide("T1w"))
    assert lr_dock.value().maps == "LR"


def test_nothing_of_the_last_patient_is_left(dock: InspectWidget, viewer: ViewerModel) -> None:
    add_labels(viewer, labelled())
    dock.pin(at())
    dock.run()
    assert dock.table.rows.rowCount()
    viewer.layers.clear()
    assert (dock.table.table, dock.table.rows.rowCount(), dock.value().pins) == (None, 0, ())
    assert dock.table.run_panel.message.text() == NEEDS_LABELS
    assert dock.curves.table.text() == ""
    assert not list(viewer.layers)


def click(viewer: ViewerModel, *, modifiers: tuple[str, ...], to: tuple[float, float]) -> None:
    """A press, a move and a release, as the window reports them to the callback of the dock."""
    callback = viewer.mouse_drag_callbacks[-1]
    event = SimpleNamespace(type="mouse_press", modifiers=modifiers, pos=(10.0, 10.0), position=at())
    steps = callback(viewer, event)
    for kind in ("mouse_press", "mouse_move", "mouse_release"):
        event.type, event.pos = kind, ((10.0, 10.0) if kind == "mouse_press" else to)
        if next(steps, "end") == "end":
            break


@pytest.mark.slow
def test_a_shift_click_pins_and_a_drag_does_not(lr_dock: InspectWidget, lr_viewer: ViewerModel) -> None:
    for modifiers, to, pinned in (
        (("Shift",), (60.0, 10.0), []),
        ((), (10.0, 10.0), []),
        (("Shift",), (11.0, 10.0), ["Pin 1"]),
    ):
        click(lr_viewer, modifiers=modifiers, to=to)
        assert rows(lr_dock) == pinned


@pytest.mark.slow
def test_standard_errors_are_shown_if_a_layer_has_them(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    move(dock, viewer, qtbot, at())
    assert "±" not in dock.curves.table.text()
    data = np.full(LR.shape, 0.0123, np.float32)
    (layer,) = add(viewer, Volume(data=data, grid=LR, name="T1 standard error", unit="s"))
    assert layer.name == "T1 standard error (ms)"
    for index in (0, 1):  # reads the maps again
        dock.maps.native.setCurrentIndex(index)
    wait_for_maps(dock, qtbot)
    assert "± 12" in cells(dock)


@pytest.mark.slow
def test_regions_are_means_of_their_labels_and_follow_the_brush(
    lr_dock: InspectWidget, lr_viewer: ViewerModel, qtbot: QtBot
) -> None:
    add_labels(lr_viewer, labelled())
    assert rows(lr_dock) == ["Label 1", "Label 2"]
    t1 = lr_maps()["T1"]
    assert f"{1e3 * t1[:2].mean():.0f}" in cells(lr_dock)
    assert f"{1e3 * t1[4:].mean():.0f}" in cells(lr_dock)
    labels = add_labels(lr_viewer, Volume(data=np.zeros(LR.shape, np.int32), grid=LR, name="mask", suffix="dseg"))
    lr_dock.regions.choose(labels)
    assert rows(lr_dock) == []
    labels.data_setitem((np.array([1]), np.array([3]), np.array([2])), 1)
    qtbot.waitUntil(lambda: rows(lr_dock) == ["Label 1"])
    assert f"{1e3 * t1[VOXEL]:.0f}" in cells(lr_dock)


@pytest.mark.slow
def test_labels_painted_over_tilted_maps_stay_in_place(qtbot: QtBot) -> None:
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, 3] = 30, -20, 10
    viewer = ViewerModel()
    layers = add(viewer, *[make_map(suffix, VoxelGrid(LR.shape, affine)) for suffix in MEDIANS])
    dock = open_dock(viewer, qtbot)
    painted = np.zeros(layers[1].data.shape, np.int32)
    painted[VOXEL[::-1]] = 1
    viewer.add_labels(painted, scale=layers[1].scale, translate=layers[1].translate)
    assert f"{float(layers[1].data[VOXEL[::-1]]):.0f}" in cells(dock)
    move(dock, viewer, qtbot, tuple(layers[1].data_to_world(VOXEL[::-1])))
    assert dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")


@pytest.mark.slow
def test_gradient_echoes_decay_with_t2star_as_in_their_image(lr_viewer: ViewerModel, qtbot: QtBot) -> None:
    decay = np.full(LR.shape, 0.02, np.float32)
    decay[2:4] = 0.03
    add(lr_viewer, Volume(data=decay, grid=LR, name="sub-01 T2starmap", suffix="T2starmap", unit="s"))
    labels = add_labels(lr_viewer, labelled(LR))
    dock = open_dock(lr_viewer, qtbot)
    sequence = Spgr.from_typical(echo_time=0.01)
    dock.curves.set_sequence(sequence)
    move(dock, lr_viewer, qtbot, at())
    pd, t1, t2 = (torch.tensor(float(each[VOXEL])) for each in lr_maps().data)
    expected = float(sequence(pd, t1, t2, torch.tensor(0.03)))
    assert cells(dock)[4] == f"{expected:.3f}"
    tissues = dock.design.problem().tissues
    assert [tissue.t2star for tissue in tissues] == [pytest.approx(0.02)] * 2
    dock.design.image_wanted.emit(sequence)
    (picture,) = [layer for layer in lr_viewer.layers if isinstance(layer.data, LazyContrast)]
    assert from_layer(*picture.as_layer_data_tuple()[:2]).data[VOXEL] == pytest.approx(expected, rel=1e-4)
    assert picture.name.startswith("Spoiled gradient echo: TE 10 ms")
    assert picture.name_overlay.visible
    assert lr_viewer.layers.index(labels) == lr_viewer.layers.index(picture) + 1


@pytest.mark.slow
def test_the_sequence_of_a_contrast_is_followed_and_its_layer_measured(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(synthesize)
    contrast = synthesize.run()[0]
    dock.curves.follow.choose(contrast)
    assert dock.curves.sequence() == T2Flair.from_typical()
    synthesize.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: dock.curves.sequence() == T2Flair.from_typical(echo_time=0.08))
    assert "TE 80" in dock.curves.editor_fold.button.text()
    dock.curves.editor.parameter_boxes()["echo_time"].value = 90  # ends the following
    assert dock.curves.follow.value is None
    assert dock.curves.sequence() == T2Flair.from_typical(echo_time=0.09)
    assert contrast.data.sequence.echo_time == pytest.approx(0.08)
    equation = UserEquation(text="PD * exp(-TE/T2) * (1 - exp(-TR/T1))", echo_time=0.04)
    synthesize.editor.set_value(equation)
    qtbot.waitUntil(lambda: contrast.data.sequence == equation)
    dock.curves.follow.choose(contrast)
    assert dock.curves.editor_fold.button.text() == "User equation: TE 40, TR 2000 ms"
    assert list(dock.design.limits) == ["echo_time", "repetition_time"]  # the settings in the equation
    add_labels(viewer, labelled())
    dock.table.set_value([contrast.name])
    first, _ = dock.run()
    assert first.is_synthetic
    assert first.mean == pytest.approx(float(np.asarray(contrast.data)[..., :2].mean()), rel=1e-5)
    dock.design.settings_wanted.emit(SpinEcho.from_typical())
    assert dock.curves.sequence() == SpinEcho.from_typical()
