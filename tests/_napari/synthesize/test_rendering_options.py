"""Options of a rendering in the Synthesize dock: transmit field, noise, sign, marks of partial volume."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from pytestqt.qtbot import QtBot
from widget_cases import HR, MEDIANS, add, make_map

from napari_swig_qmri._napari.layers import LayerRecord, from_layer, with_record
from napari_swig_qmri._napari.parts import transmit_layers as transmit_fields
from napari_swig_qmri._napari.parts.viewer_layers import mask_layers
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.synthesize.rendering_options import RenderingEditor
from napari_swig_qmri._napari.synthesize.side_by_side import PAIRS
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.files import read_volume, write_volume
from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.transmit_field import transmit_field_on
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import InversionRecovery, Mp2rageUni, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.partial_volume import PARTIAL_VOLUME_CAVEAT, LazyPartialVolume
from napari_swig_qmri.synthesis.rendering import Rendering
from napari_swig_qmri.synthesis.sheets import FLAIR_CAVEAT

NOISY = Rendering(snr=25, seed=7)


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    made = {"GeneratedBy": [generated_by()], "Parameters": {}}
    add(viewer, *[make_map(suffix, HR, sidecar=made, name=f"{suffix} SR") for suffix in MEDIANS])
    return viewer


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize(
    "rendering",
    [
        Rendering(),
        Rendering(transmit_field=0.85),
        Rendering(snr=12.5, noise_reference="proton density", seed=42, sign="signed"),
    ],
)
def test_value_is_what_was_set(qtbot: QtBot, rendering: Rendering) -> None:
    editor = RenderingEditor()
    qtbot.addWidget(editor)
    editor.set_value(rendering)
    assert editor.value() == rendering


def test_options_start_folded_and_plain_and_say_what_is_on(widget: SynthesizeWidget) -> None:
    assert widget.rendering.value() == Rendering()
    assert widget.rendering.isHidden()
    assert widget.options.button.text() == "Options"
    widget.rendering.set_value(Rendering(transmit_field=0.9, snr=20, sign="magnitude"))
    assert widget.options.button.text() == "Options: B1+ 90 %, SNR 20, magnitude"


def test_live_layers_follow_the_options_and_record_them(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    clean = np.asarray(live[0].data)
    widget.rendering.set_value(NOISY)
    qtbot.waitUntil(lambda: live[0].data.rendering == NOISY)
    noisy = np.asarray(live[0].data)
    assert 0 < np.abs(noisy - clean).mean() < 3 * live[0].data.noise_deviation
    np.testing.assert_array_equal(noisy[1], live[0].data.with_sequence(live[0].data.sequence)[1])
    sidecar = from_layer(*live[0].as_layer_data_tuple()[:2]).sidecar
    assert Rendering.from_sidecar(sidecar) == NOISY


def test_a_new_contrast_has_the_options(widget: SynthesizeWidget) -> None:
    widget.rendering.set_value(Rendering(transmit_field=0.8))
    assert all(layer.data.rendering.transmit_field == 0.8 for layer in widget.add_contrast())


def test_a_signed_inversion_recovery_has_negative_limits(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.editor.set_value(InversionRecovery.from_typical())
    live = widget.add_contrast()
    assert live[0].contrast_limits[0] == 0
    widget.rendering.set_value(Rendering(sign="signed"))
    qtbot.waitUntil(lambda: live[0].contrast_limits[0] < 0)


def test_what_a_sequence_excludes_is_said(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    widget.rendering.set_value(NOISY)
    qtbot.waitUntil(lambda: live[0].data.rendering == NOISY)
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert "no noise can be added" in widget.rendering.problem_label.text()
    assert not widget.add_button.enabled
    qtbot.wait(50)
    assert live[0].data.rendering == NOISY
    widget.rendering.set_value(Rendering())
    assert widget.rendering.problem_label.isHidden()
    assert widget.add_button.enabled


def test_angles_of_a_b1_measurement_are_not_offered_and_say_why(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    angles = Volume(data=np.full(HR.shape, 60, np.float32), grid=HR, name="sub-01 TB1TFL")
    (layer,) = add(viewer, angles)
    assert len(widget.rendering.map_box) == 1  # none
    told = widget.rendering.map_note.text()
    assert told.startswith("sub-01 TB1TFL")
    assert "divide it by the nominal flip angle" in told
    viewer.layers.remove(layer)
    add(viewer, field_map(0.9))
    assert widget.rendering.map_note.isHidden()


def test_an_equation_leaves_the_map_of_b1_out_and_says_so(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.add_contrast()
    (b1,) = add(viewer, field_map(0.8))
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: live[0].data.transmit_field is not None)
    flair = np.asarray(live[0].data)
    equation = UserEquation(text="PD * exp(-TE / T2)")
    widget.editor.set_value(equation)
    qtbot.waitUntil(lambda: live[0].data.sequence == equation)
    assert "B1+ map is not used" in widget.rendering.problem_label.text()
    assert widget.options.button.text() == "Options"
    assert "The sliders change" in widget.status.text()
    without = live[0].data.with_transmit_field(None)
    np.testing.assert_array_equal(np.asarray(live[0].data), np.asarray(without))
    assert "Rendering" not in from_layer(*live[0].as_layer_data_tuple()[:2]).sidecar
    qtbot.waitUntil(lambda: widget.add_button.enabled)
    widget.editor.set_value(T2Flair.from_typical())
    qtbot.waitUntil(lambda: isinstance(live[0].data.sequence, T2Flair))
    np.testing.assert_array_equal(np.asarray(live[0].data), flair)
    assert widget.rendering.problem_label.isHidden()


def test_an_option_that_holds_the_picture_is_told_in_the_status(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    widget.add_contrast()
    widget.rendering.set_value(Rendering(transmit_field=0.9))
    widget.editor.set_value(UserEquation(text="PD"))
    qtbot.waitUntil(lambda: "were not changed" in widget.status.text())
    widget.rendering.set_value(Rendering())
    qtbot.waitUntil(lambda: "The sliders change" in widget.status.text())


def test_marks_lie_over_their_contrast_in_the_grid(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    live = widget.add_contrast()
    widget.rendering.mark.value = True
    assert widget.rendering.caveat.text() == PARTIAL_VOLUME_CAVEAT
    marks = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert [each.name for each in marks] == [f"Partial volume in {layer.name}" for layer in reversed(live)]
    grid, layers = viewer.canvas.grid, list(viewer.layers)
    assert grid.stride == PAIRS
    places = {layer.name: grid.position(index, layers) for index, layer in enumerate(layers) if layer.visible}
    for layer in live:
        assert places[layer.name] == places[f"Partial volume in {layer.name}"]
    assert places[live[0].name] < places[live[1].name]
    widget.rendering.mark.value = False
    assert not [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert grid.stride == 1
    assert [layer for layer in viewer.layers if layer.visible] == live


def test_a_marked_flair_has_both_caveats_and_marks_where_it_meets_fluid(qtbot: QtBot) -> None:
    tissues = np.array([(0.69, 0.939, 0.062), (0.81, 1.31, 0.071), (1.0, 4.163, 1.4)])  # white, grey, fluid at 3 T
    layered = np.repeat(tissues, 4, axis=0).T[..., None, None] * np.ones((1, *HR.shape))
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix, HR, data=data) for suffix, data in zip(MEDIANS, layered, strict=True)])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(T2Flair.from_typical())
    (live,) = widget.add_contrast()
    widget.rendering.mark.value = True
    assert (widget.caveat.text(), widget.rendering.caveat.text()) == (FLAIR_CAVEAT, PARTIAL_VOLUME_CAVEAT)
    assert not widget.caveat.isHidden()
    assert not widget.rendering.caveat.isHidden()
    marks = viewer.layers[f"Partial volume in {live.name}"]
    found = from_layer(*marks.as_layer_data_tuple()[:2]).data
    assert set(np.flatnonzero(found.any(axis=(1, 2)))) == {7, 8}  # the last of grey matter and the first of fluid


def test_marks_follow_the_sliders_and_their_layer(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    widget.rendering.mark.value = True
    marks = next(layer for layer in viewer.layers if layer.name == f"Partial volume in {live[0].name}")
    np.testing.assert_allclose(marks.scale, live[0].scale)
    np.testing.assert_allclose(marks.translate, live[0].translate)
    assert not marks.editable
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: marks.data.sequence.echo_time == pytest.approx(0.08))
    viewer.layers.remove(live[0])
    assert marks not in viewer.layers
    (other,) = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    widget.add_contrast()
    assert other in viewer.layers  # of an older contrast, and stays with it
    assert len([layer for layer in viewer.layers if isinstance(layer, Labels)]) == 3


def test_marks_are_no_mask_to_choose_and_can_be_saved(
    widget: SynthesizeWidget, viewer: ViewerModel, tmp_path: Path
) -> None:
    live = widget.add_contrast()
    widget.rendering.mark.value = True
    marks = viewer.layers[f"Partial volume in {live[0].name}"]
    assert isinstance(marks.data, LazyPartialVolume)
    assert marks not in mask_layers(viewer)
    written = write_layer(tmp_path / "marks.nii.gz", *marks.as_layer_data_tuple()[:2])
    read = read_volume(Path(written[0]))
    assert read.sidecar["Description"] == PARTIAL_VOLUME_CAVEAT
    assert set(np.unique(read.data)) <= {0, 1}
    assert read.grid.shape == from_layer(*live[0].as_layer_data_tuple()[:2]).grid.shape


def test_without_the_grid_marks_are_an_overlay(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    widget.side_by_side.value = False
    widget.add_contrast()
    widget.rendering.mark.value = True
    assert not viewer.canvas.grid.enabled
    assert math.isclose(viewer.layers[-1].opacity, 0.35)


def field_map(value: float, grid: VoxelGrid = HR, **more: Any) -> Volume:
    """A map of B1+ that rises along x from `value`, in percent."""
    rise = np.linspace(0, 0.2, grid.shape[0])[:, None, None]
    data = (value + rise + np.zeros(grid.shape)).astype(np.float32)
    return Volume(data=data, grid=grid, name="sub-01 TB1map", suffix="TB1map", unit="arbitrary", **more)


def test_a_layer_of_b1_is_offered_and_scales_voxel_by_voxel(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    assert len(widget.rendering.map_box) == 1  # none
    (b1,) = add(viewer, field_map(0.8, path=Path("sub-01_TB1map.nii.gz")))
    assert widget.rendering.field_layer is None  # until it is asked for
    widget.rendering.map_box.choose(b1)
    assert widget.options.button.text() == "Options: B1+ map"
    live = widget.add_contrast()
    for layer, grid in zip(live, (HR.with_shape((6, 7, 5)), HR), strict=True):
        field = from_layer(np.asarray(layer.data.transmit_field), layer.as_layer_data_tuple()[1]).data
        rise = np.linspace(0, 0.2, HR.shape[0])
        x = np.arange(grid.shape[0]) * HR.shape[0] / grid.shape[0] + (HR.shape[0] / grid.shape[0] - 1) / 2
        expected = 0.8 + np.interp(x, np.arange(HR.shape[0]), rise)
        np.testing.assert_allclose(field[:, 2, 2], expected, atol=0.01)
    record = LayerRecord.of(layer).volume.sidecar
    assert record["Rendering"] == {"TransmitMap": "sub-01_TB1map.nii.gz"}


def test_live_layers_take_another_map_and_lose_it_with_its_layer(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.add_contrast()
    without = np.asarray(live[0].data)
    (b1,) = add(viewer, field_map(0.7))
    choose(widget, b1, qtbot)
    assert not np.allclose(np.asarray(live[0].data), without)
    assert live[0].data.rendering.transmit_map == "sub-01 TB1map"
    viewer.layers.remove(b1)
    np.testing.assert_array_equal(np.asarray(live[0].data), without)
    assert widget.rendering.value() == Rendering()


def choose(widget: SynthesizeWidget, b1: Any, qtbot: QtBot) -> None:
    """Choose a layer of B1+ and wait until it is on the voxels of the maps."""
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: not widget.fields.is_busy)


def sidecar(layer: Any) -> dict[str, Any]:
    """What is recorded of a layer."""
    record = LayerRecord.of(layer).volume.sidecar
    return record


def test_record_and_data_take_a_map_of_b1_together_while_settings_are_impossible(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path
) -> None:
    maps, path = Path("sub-01_T1map.nii.gz"), Path("sub-01_TB1map.nii.gz")
    t1 = viewer.layers[1]
    t1.metadata = with_record(t1.metadata, volume=replace(LayerRecord.of(t1).volume, path=maps))
    live = widget.add_contrast()
    sources = sidecar(live[0])["Sources"]
    widget.editor.parameter_boxes()["repetition_time"].value = 100
    assert widget.editor.value() is None
    widget.rendering.set_value(Rendering(snr=20.0))
    (b1,) = add(viewer, field_map(0.7, path=path))
    widget.rendering.map_box.choose(b1)
    for layer in live:
        qtbot.waitUntil(lambda layer=layer: layer.data.transmit_field is not None)
        assert layer.data.rendering == Rendering(transmit_map=path.name)  # no noise: that waits for possible settings
        assert sidecar(layer)["Rendering"] == {"TransmitMap": path.name}
    assert sidecar(live[0])["Sources"] == [*sources, str(path.absolute())]
    assert write_layer(str(tmp_path / "x.nii.gz"), *live[0].as_layer_data_tuple()[:2])
    assert read_volume(tmp_path / "x.nii.gz").sidecar["Rendering"] == {"TransmitMap": path.name}
    widget.rendering.map_box.choose(None)
    assert "Rendering" not in sidecar(live[0])
    assert sidecar(live[0])["Sources"] == sources


def test_a_new_contrast_names_the_file_of_its_map_of_b1(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    (b1,) = add(viewer, field_map(0.7, path=Path("sub-01_TB1map.nii.gz")))
    widget.rendering.map_box.choose(b1)
    assert sidecar(widget.add_contrast()[0])["Sources"] == [str(Path("sub-01_TB1map.nii.gz").absolute())]


def test_a_map_of_b1_is_brought_onto_each_grid_once_and_not_by_the_thread_of_the_window(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[tuple[tuple[int, ...], bool]] = []

    def record(volume: Volume, grid: VoxelGrid) -> Any:
        brought.append((grid.shape, threading.current_thread() is threading.main_thread()))
        return transmit_field_on(volume, grid)

    monkeypatch.setattr(transmit_fields, "transmit_field_on", record)
    live = widget.add_contrast()
    choose(widget, add(viewer, field_map(0.8))[0], qtbot)
    assert all(layer.data.transmit_field is not None for layer in live)
    again = widget.add_contrast()
    sheet = widget.sheet.show_sheet()
    assert all(layer.data.transmit_field is not None for layer in (*again, *sheet))
    assert brought == [((6, 7, 5), False), (HR.shape, False)]


def test_nothing_starts_while_a_map_of_b1_is_brought(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = threading.Event()

    def wait(volume: Volume, grid: VoxelGrid) -> Any:
        while not opened.wait(0.005):
            yield
        return (yield from transmit_field_on(volume, grid))

    monkeypatch.setattr(transmit_fields, "transmit_field_on", wait)
    live = widget.add_contrast()
    widget.rendering.map_box.choose(add(viewer, field_map(0.8))[0])
    assert "Resampling the B1+ map" in widget.status.text()
    assert not widget.add_button.enabled
    widget.editor.parameter_boxes()["echo_time"].value = 90
    qtbot.waitUntil(lambda: live[0].data.sequence.echo_time == 0.09)
    assert "Rendering" not in sidecar(live[0])
    opened.set()
    qtbot.waitUntil(lambda: live[0].data.transmit_field is not None)
    assert sidecar(live[0])["Rendering"] == {"TransmitMap": "sub-01 TB1map"}
    assert sidecar(live[0])["EchoTime"] == 0.09
    assert widget.status.text().startswith("The sliders change")
    assert widget.add_button.enabled


def test_a_map_of_b1_of_another_place_is_let_go(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    away = VoxelGrid(HR.shape, HR.affine + np.array([[0, 0, 0, 500.0]] + 3 * [[0, 0, 0, 0]]))
    widget.rendering.map_box.choose(add(viewer, field_map(0.8, away))[0])
    qtbot.waitUntil(lambda: widget.rendering.field_layer is None)
    qtbot.wait(50)
    assert "do not overlap" in widget.status.text()
    assert live[0].data.transmit_field is None


def test_a_layer_that_is_no_map_of_b1_is_let_go_with_a_sentence(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    widget.add_contrast()
    (angles,) = add(viewer, field_map(60))
    widget.rendering.map_box.choose(angles)
    assert widget.rendering.field_layer is None
    assert "a B1+ map is a fraction of the nominal flip angle" in widget.status.text()


def test_what_is_assumed_about_a_layer_of_b1_is_said_beside_it(
    widget: SynthesizeWidget, viewer: ViewerModel, tmp_path: Path
) -> None:
    write_volume(replace(field_map(0.8), data=field_map(80).data), tmp_path / "sub-01_TB1map.nii.gz")
    (tmp_path / "sub-01_TB1map.json").unlink()
    (b1,) = add(viewer, read_volume(tmp_path / "sub-01_TB1map.nii.gz"))
    plain = viewer.add_image(np.full(HR.shape, 0.9, np.float32), name="B1map")
    hint = widget.rendering.map_hint
    assert hint.isHidden()
    for layer, kind in ((b1, "percent"), (plain, "a fraction")):
        widget.rendering.map_box.choose(layer)
        assert f"Read as {kind} of the nominal flip angle" in hint.text()
    (angles,) = add(viewer, field_map(60))
    widget.rendering.map_box.choose(angles)  # refused before there is a contrast
    assert widget.rendering.field_layer is None
    assert hint.isHidden()
    assert "a B1+ map is a fraction of the nominal flip angle" in widget.status.text()


@pytest.mark.parametrize("n_axes", [2, 3])
def test_a_refusal_stays_until_the_layers_move(
    n_axes: int, widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.add_contrast()
    viewer.dims.ndisplay = n_axes
    qtbot.waitUntil(lambda: n_axes == 2 or all(layer.data.is_kept for layer in live))
    (angles,) = add(viewer, field_map(60))
    widget.rendering.map_box.choose(angles)
    add(viewer, field_map(0.8))
    qtbot.wait(200)
    assert "a B1+ map is a fraction of the nominal flip angle" in widget.status.text()
    widget.editor.parameter_boxes()["echo_time"].value = 90
    qtbot.waitUntil(lambda: widget.status.text().startswith("The sliders change"))
