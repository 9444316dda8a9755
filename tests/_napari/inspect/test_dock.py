"""Voxels under the cursor, pins and regions in the Inspect dock, in each of its states."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyqtgraph as pg
import pytest
import torch
from inspect_cases import VOXEL, add_labels, at, cells, labelled, move, open_dock, rows, texts_of
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from widget_cases import HR, LR, MEDIANS, add, lr_maps, lr_sr_and_a_guide, make_map

from napari_swig_qmri._napari.inspect.curve_panel import Entry
from napari_swig_qmri._napari.inspect.dock import FLAT_ONLY, NO_MAPS, OUTSIDE, InspectWidget
from napari_swig_qmri._napari.inspect.region_panel import NEEDS_LABELS
from napari_swig_qmri._napari.inspect.value_table import Row, ValueTable
from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.plots import LEAST_ON_DARK, legible
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import Sweep, TissueValues, sweep
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast


@pytest.fixture
def viewer() -> ViewerModel:
    return lr_sr_and_a_guide()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot) -> InspectWidget:
    return open_dock(viewer, qtbot)


def test_without_maps_it_says_what_to_open(qtbot: QtBot) -> None:
    dock = open_dock(ViewerModel(), qtbot)
    assert dock.curves.hint.text() == NO_MAPS
    assert rows(dock) == []
    assert not dock.design.run.run_button.enabled
    assert not dock.table.run.run_button.enabled
    assert dock.table.run.message.text() == NEEDS_LABELS
    dock.pin((0.0, 0.0, 0.0))
    assert rows(dock) == []


def test_the_voxel_under_the_cursor_is_read(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    move(dock, viewer, qtbot, at())
    pd, t1, t2 = (float(each[VOXEL]) for each in lr_maps().data)
    for shown in (f"{pd:.3f}", f"{1e3 * t1:.0f}", f"{1e3 * t2:.1f}"):
        assert shown in cells(dock)
    assert dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    sequence: Any = dock.curves.sequence()
    x, y = dock.curves._cursor_item.getData()
    expected = sweep(sequence, "echo_time", x / 1e3)([TissueValues(name="", pd=pd, t1=t1, t2=t2)])
    np.testing.assert_allclose(y, expected[0], rtol=1e-6)
    assert x[-1] == pytest.approx(250)


def test_gradient_echoes_decay_with_t2star_as_in_the_picture(viewer: ViewerModel, qtbot: QtBot) -> None:
    decay = np.full(LR.shape, 0.02, np.float32)
    decay[2:4] = 0.03
    add(viewer, Volume(data=decay, grid=LR, name="sub-01 T2starmap", suffix="T2starmap", unit="s"))
    labels = add_labels(viewer, labelled(LR))
    dock = open_dock(viewer, qtbot)
    dock.curves.set_sequence(Spgr.from_typical(echo_time=0.01))
    move(dock, viewer, qtbot, at())
    pd, t1, t2 = (torch.tensor(float(each[VOXEL])) for each in lr_maps().data)
    expected = float(dock.curves.sequence()(pd, t1, t2, torch.tensor(0.03)))  # type: ignore[misc]
    dock._add_contrast(dock.curves.sequence())  # type: ignore[arg-type]
    picture = next(layer for layer in viewer.layers if isinstance(layer.data, LazyContrast))
    assert from_layer(*picture.as_layer_data_tuple()[:2]).data[VOXEL] == pytest.approx(expected, rel=1e-4)
    assert dock.curves._rows[0][0].texts[-1] == f"{expected:.3f}"
    assert dock._read_areas().tissue(1, 1).t2star == pytest.approx(0.02)  # type: ignore[union-attr]
    assert dock.regions.value is labels


def test_other_maps_have_other_voxels(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    assert texts_of(dock.maps) == ["LR", "SR"]
    dock.maps.value = dock.maps.choices[1]
    move(dock, viewer, qtbot, at((7, 2, 9), HR))
    assert dock.curves.hint.text() == "Voxel 7, 2, 9 at 7.0, 2.0, 9.0 mm"


def test_outside_the_maps_nothing_is_shown(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    move(dock, viewer, qtbot, at())
    move(dock, viewer, qtbot, (500.0, 0.0, 0.0))
    assert dock.curves.hint.text() == OUTSIDE
    assert "Cursor" not in dock.curves.table.text()
    assert dock.curves._cursor_item.getData()[0] is None


def test_in_3d_the_cursor_does_not_say_how_deep_it_is(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    move(dock, viewer, qtbot, at())
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: dock.curves.hint.text() == FLAT_ONLY)


def test_voxels_without_a_measurement_are_named(viewer: ViewerModel, dock: InspectWidget, qtbot: QtBot) -> None:
    layer = viewer.layers[1]
    data = layer.data.copy()
    data[VOXEL[::-1]] = np.nan
    layer.data = data
    move(dock, viewer, qtbot, at())
    assert "nothing was measured here" in dock.curves.hint.text()
    assert "–" in dock.curves.table.text()


def test_moving_the_cursor_computes_one_curve(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_labels(viewer, labelled())
    for voxel in ((1, 1, 1), (4, 4, 4)):
        dock.pin(at(voxel))
    move(dock, viewer, qtbot, at((3, 3, 3)))
    computed: list[list[str]] = []
    compute = Sweep.__call__

    def counting(swept: Sweep, tissues: Any) -> Any:
        computed.append([tissue.name for tissue in tissues])
        return compute(swept, tissues)

    monkeypatch.setattr(Sweep, "__call__", counting)
    written: list[str] = []
    dock.curves.table.itemChanged.connect(lambda item: written.append(item.text()))
    move(dock, viewer, qtbot, at())
    assert computed == [["Cursor"]]
    assert 0 < len(written) <= 4  # PD, T1, T2 and signal of the cursor; pins and regions stay as they are
    dock.curves.set_sequence(SpinEcho(echo_time=0.03, repetition_time=0.8))
    assert ["Pin 1", "Pin 2", "Label 1", "Label 2"] in computed


def test_the_first_move_is_drawn_at_once_and_those_of_a_frame_together(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    move(dock, viewer, qtbot, at((3, 3, 3)))
    viewer.cursor.position = at()
    assert dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    shown: list[str] = []
    dock._moves.triggered.connect(lambda: shown.append(dock.curves.hint.text()))
    for voxel in ((0, 0, 0), (1, 1, 1), (4, 4, 4)):
        viewer.cursor.position = at(voxel)
    assert dock.curves.hint.text().startswith("Voxel 2, 3, 1 at ")
    qtbot.waitUntil(lambda: bool(shown))
    assert [text.split(" at ")[0] for text in shown] == ["Voxel 4, 4, 4"]


def test_pins_stay_also_on_other_maps(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    dock.pin(at())
    dock.pin(at((0, 0, 0)))
    assert rows(dock) == ["Pin 1", "Pin 2"]
    assert not dock.curves.unpin_button.isHidden()
    before = dock.curves.table.text()
    dock.maps.value = dock.maps.choices[1]
    assert rows(dock) == ["Pin 1", "Pin 2"]
    assert dock.curves.table.text() != before
    dock.pin((500.0, 0.0, 0.0))
    assert "Pin 3" not in dock.curves.table.text()
    dock.curves.unpin_button.click()
    assert rows(dock) == []
    assert dock.curves.unpin_button.isHidden()


def click(viewer: ViewerModel, *, modifiers: tuple[str, ...], to: tuple[float, float]) -> None:
    """A press, a move and a release, as the window reports them to the callback of the dock."""
    callback = viewer.mouse_drag_callbacks[-1]
    event = SimpleNamespace(type="mouse_press", modifiers=modifiers, pos=(10.0, 10.0), position=at())
    steps = callback(viewer, event)
    for kind in ("mouse_press", "mouse_move", "mouse_release"):
        event.type, event.pos = kind, ((10.0, 10.0) if kind == "mouse_press" else to)
        if next(steps, "end") == "end":
            break


@pytest.mark.parametrize(
    ("modifiers", "to", "pinned"),
    [(("Shift",), (11.0, 10.0), ["Pin 1"]), (("Shift",), (60.0, 10.0), []), ((), (10.0, 10.0), [])],
)
def test_a_shift_click_pins_and_a_drag_does_not(
    dock: InspectWidget, viewer: ViewerModel, modifiers: tuple[str, ...], to: tuple[float, float], pinned: list[str]
) -> None:
    dock.curves.show_cursor(None)
    click(viewer, modifiers=modifiers, to=to)
    assert rows(dock) == pinned


def test_standard_errors_are_shown_where_a_layer_holds_them(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    move(dock, viewer, qtbot, at())
    assert "±" not in dock.curves.table.text()
    data = np.full(LR.shape, 0.0123, np.float32)
    (layer,) = add(viewer, Volume(data=data, grid=LR, name="T1 standard error", unit="s"))
    assert layer.name == "T1 standard error (ms)"
    dock.maps.value = dock.maps.choices[1]
    dock.maps.value = dock.maps.choices[0]
    assert "± 12" in cells(dock)


def test_regions_are_means_of_their_labels(dock: InspectWidget, viewer: ViewerModel) -> None:
    add_labels(viewer, labelled())
    assert rows(dock) == ["Label 1", "Label 2"]
    t1 = lr_maps()["T1"]
    assert f"{1e3 * t1[:2].mean():.0f}" in cells(dock)
    assert f"{1e3 * t1[4:].mean():.0f}" in cells(dock)
    dock.regions.choose(None)
    assert rows(dock) == []


def test_painting_moves_the_regions(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    labels = add_labels(viewer, Volume(data=np.zeros(LR.shape, np.int32), grid=LR, name="mask", suffix="dseg"))
    assert rows(dock) == []
    labels.data_setitem((np.array([1]), np.array([3]), np.array([2])), 1)
    qtbot.waitUntil(lambda: rows(dock) == ["Label 1"])
    assert f"{1e3 * lr_maps()['T1'][VOXEL]:.0f}" in cells(dock)


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


def test_another_sequence_offers_its_settings(dock: InspectWidget) -> None:
    dock.curves.set_sequence(Mprage.from_typical())
    texts = texts_of(dock.curves.setting)
    assert texts == ["Echo time (TE)", "Repetition time (TR)", "Inversion time (TI)", "Flip angle"]
    dock.curves.setting.choose("flip_angle")
    assert dock.curves.plot.getAxis("bottom").labelText == "flip angle (°)"
    assert dock.curves._line.value() == pytest.approx(9)


def test_impossible_settings_leave_the_curves_and_say_so(
    dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    move(dock, viewer, qtbot, at())
    before = dock.curves._cursor_item.getData()[1]
    dock.curves.editor.parameter_boxes()["repetition_time"].value = 10
    assert "not shorter than TR" in (dock.curves.editor.problem() or "")
    assert "cannot be played out" in dock.curves.editor_fold.button.text()
    np.testing.assert_array_equal(dock.curves._cursor_item.getData()[1], before)
    assert not dock.design.run.run_button.enabled


def test_the_line_can_be_dragged_to_another_setting(dock: InspectWidget) -> None:
    line = dock.curves._line
    line.setValue(80.0)
    line.sigPositionChangeFinished.emit(line)
    assert dock.curves.sequence() == SpinEcho.from_typical(echo_time=0.08)
    line.setValue(900.0)  # longer than TR
    line.sigPositionChangeFinished.emit(line)
    assert dock.curves.sequence() == SpinEcho.from_typical(echo_time=0.08)
    assert line.value() == pytest.approx(80)


def test_the_sequence_of_a_contrast_can_be_followed(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(synthesize)
    contrast = synthesize.add_contrast()[0]
    dock.curves.follow.choose(contrast)
    assert dock.curves.sequence() == T2Flair.from_typical()
    synthesize.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: dock.curves.sequence() == T2Flair.from_typical(echo_time=0.08))
    assert "TE 80" in dock.curves.editor_fold.button.text()
    dock.curves.editor.parameter_boxes()["echo_time"].value = 90  # whoever edits here follows no longer
    assert dock.curves.follow.value is None
    assert dock.curves.sequence() == T2Flair.from_typical(echo_time=0.09)
    assert contrast.data.sequence.echo_time == pytest.approx(0.08)


def test_a_typed_equation_can_be_followed(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    synthesize = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(synthesize)
    equation = UserEquation(text="PD * exp(-TE/T2) * (1 - exp(-TR/T1))", echo_time=0.04)
    synthesize.editor.set_value(equation)
    contrast = synthesize.add_contrast()[0]
    dock.curves.follow.choose(contrast)
    assert dock.curves.sequence() == equation
    assert dock.curves.editor_fold.button.text() == "User equation: TE 40, TR 2000 ms"
    assert list(dock.design.rows) == ["echo_time", "repetition_time"]  # what the equation mentions
    dock.curves.set_sequence(UserEquation(text="PD / T1"))  # mentions no setting: its curves are level
    dock.curves.show_fixed([Entry(TissueValues(name="WM", pd=0.7, t1=0.8, t2=0.07), "red")])
    np.testing.assert_allclose(dock.curves._fixed_items[0].getData()[1], 0.875, rtol=1e-6)


def test_removed_maps_are_forgotten(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    dock.pin(at())
    move(dock, viewer, qtbot, at())
    viewer.layers.clear()
    assert dock.curves.hint.text() == NO_MAPS
    assert rows(dock) == []


def test_maps_in_another_unit_are_read_anew(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    move(dock, viewer, qtbot, at())
    before = dock.curves.table.text()
    viewer.layers[1].data = viewer.layers[1].data * 1.5
    assert dock.curves.table.text() != before


def test_maps_that_cannot_be_are_refused(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    wrong = Volume(**{**vars(make_map("T1map")), "data": 1000 * make_map("T1map").data})
    add(viewer, make_map("PDmap"), wrong, make_map("T2map"))
    dock = open_dock(viewer, qtbot)
    assert "its unit is wrong" in dock.curves.hint.text()


def test_the_table_of_values_is_as_high_as_its_rows(qtbot: QtBot) -> None:
    table = ValueTable()
    qtbot.addWidget(table)
    plain = Row(("Pin 1", "0.700", "800", "70.0", "0.300"), "#e69f00")
    table.show_rows([plain])
    low = table.height()
    table.show_rows([plain, plain])
    assert table.height() == low + table.rowHeight(0)
    table.show_rows([replace(plain, texts=("Pin 1", "0.700", "800\n± 12", "70.0", "0.300")), plain])
    assert table.rowHeight(0) > table.rowHeight(1)
    assert table.text().splitlines()[-1] == "Pin 1\t0.700\t800\t70.0\t0.300"
    table.show_rows([])
    assert table.isHidden()


def test_colours_of_labels_are_legible_on_the_theme() -> None:
    assert pg.mkColor(legible(np.array([0.2, 0.0, 0.0, 1.0]))).lightnessF() == pytest.approx(LEAST_ON_DARK, abs=0.01)
    assert legible(np.array([1.0, 1.0, 1.0, 1.0])) == "#ffffff"
