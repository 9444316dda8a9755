"""The Synthesize dock on a viewer model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_cases import EXPORTS, write
from napari.components import ViewerModel
from napari.layers import Layer
from pytestqt.qtbot import QtBot
from widget_cases import HR, LR, MEDIANS, add, lr_maps, lr_sr_and_a_guide, make_map

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.contrast_layers import common_limits
from napari_swig_qmri._napari.reader import read
from napari_swig_qmri._napari.synthesize.dock import SynthesizeInputs, SynthesizeWidget
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.files import read_volume, write_volume
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, is_computed
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise


@pytest.fixture
def viewer() -> ViewerModel:
    return lr_sr_and_a_guide()


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


def test_map_sets_are_listed_with_their_voxels(widget: SynthesizeWidget) -> None:
    assert [source.label for source in widget.sources.value()] == ["LR", "SR"]
    texts = [box.text for _, box in widget.sources.rows]
    assert texts == ["LR: 2 × 2 × 2 mm", "SR: 1 × 1 × 1 mm"]


def test_sources_follow_the_layers(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    widget.sources.set_value(["LR"])
    del viewer.layers[0]
    assert [source.label for source in widget.sources.value()] == []
    assert not widget.add_button.enabled


def test_no_maps_no_button(qtbot: QtBot) -> None:
    widget = SynthesizeWidget(ViewerModel())  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert not widget.add_button.enabled
    assert widget.add_contrast() == []


def test_value_is_what_was_set(widget: SynthesizeWidget) -> None:
    value = SynthesizeInputs(
        sequence=SpinEcho(echo_time=0.0123, repetition_time=0.55),
        sources=("SR",),
        side_by_side=False,
        auto_contrast=False,
    )
    widget.set_value(value)
    assert widget.value() == value


def test_contrasts_are_lazy_and_right(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    layers = widget.add_contrast()
    assert [layer.name for layer in layers] == ["T2-FLAIR synthetic (LR)", "T2-FLAIR synthetic (SR)"]
    assert all(isinstance(layer.data, LazyContrast) for layer in layers)
    maps = lr_maps()
    expected = synthesise(T2Flair.from_typical(), *maps.data)
    shown = from_layer(*layers[0].as_layer_data_tuple()[:2])
    np.testing.assert_allclose(shown.data, expected, rtol=1e-5)
    np.testing.assert_allclose(shown.grid.affine, maps.grid.affine, atol=1e-6)
    for contrast, source in zip(layers, (viewer.layers[1], viewer.layers[4]), strict=True):
        np.testing.assert_allclose(contrast.scale, source.scale)
        np.testing.assert_allclose(contrast.translate, source.translate)
        assert contrast.units == source.units


def test_contrast_of_a_tilted_grid_stays_in_place(qtbot: QtBot) -> None:
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tilted = type(HR)(HR.shape, affine)
    viewer = ViewerModel()
    layers = add(viewer, *[make_map(suffix, tilted) for suffix in MEDIANS])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    (contrast,) = widget.add_contrast()
    assert contrast.data.shape == layers[1].data.shape
    np.testing.assert_allclose(contrast.translate, layers[1].translate)
    grid = from_layer(*contrast.as_layer_data_tuple()[:2]).grid
    np.testing.assert_allclose(grid.affine, affine, atol=1e-6)


def test_sliders_move_the_newest_layers(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    old = widget.add_contrast()
    live = widget.add_contrast()
    before = np.asarray(live[0].data)
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: live[0].data.sequence == T2Flair.from_typical(echo_time=0.08))
    assert old[0].data.sequence == T2Flair.from_typical()
    t2 = np.asarray(live[0].data.t2)
    np.testing.assert_allclose(np.asarray(live[0].data), before * np.exp(0.04 / t2), rtol=1e-4)


def test_layers_follow_settings_that_keep_changing(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    layer = widget.add_contrast()[0]
    frames: list[float] = []
    layer.events.set_data.connect(lambda _event: frames.append(layer.data.sequence.echo_time))
    for echo_time in range(10, 40):
        widget.editor.parameter_boxes()["echo_time"].value = echo_time
        qtbot.wait(5)  # less than the pause in which changes are gathered
    assert len(frames) > 2
    qtbot.waitUntil(lambda: layer.data.sequence == widget.editor.value())


def test_another_sequence_renames_and_rescales(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    widget.editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    qtbot.waitUntil(lambda: live[1].name == "Spin echo synthetic (SR)")
    assert live[0].contrast_limits == live[1].contrast_limits
    assert tuple(live[0].contrast_limits) == pytest.approx(common_limits([each.data for each in live]))


def test_impossible_settings_leave_the_layers(widget: SynthesizeWidget, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    sequence = live[0].data.sequence
    widget.editor.parameter_boxes()["repetition_time"].value = 100
    assert not widget.add_button.enabled
    qtbot.wait(50)
    assert live[0].data.sequence is sequence


def test_side_by_side_hides_the_others_and_gives_them_back(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    viewer.layers[0].visible = False
    live = widget.add_contrast()
    assert viewer.canvas.grid.enabled
    assert [layer for layer in viewer.layers if layer.visible] == live
    widget.side_by_side.value = False
    assert not viewer.canvas.grid.enabled
    assert not viewer.layers[0].visible
    assert viewer.layers[1].visible


def test_caveat_belongs_to_flair(widget: SynthesizeWidget) -> None:
    assert not widget.caveat.isHidden()
    assert "CSF" in widget.caveat.text()
    widget.editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    assert widget.caveat.isHidden()


def test_a_contrast_can_be_saved(widget: SynthesizeWidget, tmp_path: Path) -> None:
    (layer, _) = widget.add_contrast()
    volume: Any = from_layer(*layer.as_layer_data_tuple()[:2])
    path = tmp_path / "sub-01_FLAIR.nii.gz"
    write_volume(volume, path)
    read = read_volume(path)
    np.testing.assert_allclose(read.data, volume.data, rtol=1e-6)
    np.testing.assert_allclose(read.grid.affine, volume.grid.affine, atol=1e-5)
    assert read.sidecar["Notice"] == RESEARCH_NOTICE
    assert is_computed(read.sidecar, read.suffix)
    assert read.sidecar["InversionTime"] == pytest.approx(2.5)


def test_a_contrast_says_which_files_it_is_made_of(qtbot: QtBot, tmp_path: Path) -> None:
    viewer = ViewerModel()
    paths = [tmp_path / "lr" / f"sub-01_{suffix}.nii.gz" for suffix in MEDIANS]
    add(viewer, *[make_map(path.name[7:-7], path=path) for path in paths])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    (layer,) = widget.add_contrast()
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: layer.data.sequence.echo_time == pytest.approx(0.08))
    sidecar = from_layer(*layer.as_layer_data_tuple()[:2]).sidecar
    assert sorted(sidecar["Sources"]) == sorted(map(str, paths))
    assert sidecar["EchoTime"] == pytest.approx(0.08)
    (written,) = [Path(file) for file in write_layer(tmp_path / "out.nii.gz", *layer.as_layer_data_tuple()[:2])][:1]
    saved = [f"lr/{path.name}" for path in paths]
    assert sorted(read_volume(written).sidecar["Sources"]) == sorted(saved)


def test_removed_layers_are_forgotten(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    live = widget.add_contrast()
    viewer.layers.remove(live[0])
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: live[1].data.sequence.echo_time == pytest.approx(0.08))
    assert live[0].data.sequence.echo_time == 0.12
    assert "(LR)" not in widget.status.text()


def test_the_fat_of_the_scalp_leaves_the_brain_bright(qtbot: QtBot) -> None:
    rows, columns = np.indices((40, 40)) - 19.5
    ring = np.abs(np.hypot(rows, columns) - 17) < 2
    t1 = np.where(ring, 0.3, np.where(np.hypot(rows, columns) < 15, 0.9, 0))[..., None] * np.ones(4)
    grid = VoxelGrid(t1.shape, np.eye(4))
    viewer = ViewerModel()
    data = {"PDmap": np.where(t1 > 0, 0.8, 0), "T1map": t1, "T2map": np.where(t1 > 0, 0.08, 0)}
    add(viewer, *[make_map(suffix, grid, data=values.astype(np.float32)) for suffix, values in data.items()])
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(Mprage.from_typical())
    for layer in (*widget.add_contrast(), widget.sheet.show_sheet()[0]):
        values = np.asarray(layer.data)
        assert layer.contrast_limits[1] < 1.1 * values[2, 20, 20] < 0.9 * values.max()


def test_a_t1_map_alone_makes_what_it_can(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert [box.text for _, box in widget.sources.rows] == ["T1 only: 2 × 2 × 2 mm\n(no PD and T2)"]
    ((_, box),) = widget.sources.rows
    height = box.native.sizeHint().height()
    assert box.native.graphicsEffect().isEnabled()
    assert not widget.add_button.enabled
    assert widget.sources._hint.text() == "T2-FLAIR needs PD and T2 besides T1: open them, or choose MP2RAGE UNI."
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert widget.sources._hint.isHidden()
    assert not box.native.graphicsEffect().isEnabled()
    assert box.native.sizeHint().height() < height  # one line is enough
    (layer,) = widget.add_contrast()
    expected = synthesise(Mp2rageUni.from_typical(), None, lr_maps()["T1"], None)
    np.testing.assert_allclose(from_layer(*layer.as_layer_data_tuple()[:2]).data, expected, rtol=1e-5)


def test_a_layer_stays_when_its_maps_do_not_do_for_the_next_sequence(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(Mp2rageUni.from_typical())
    (layer,) = widget.add_contrast()
    widget.editor.set_value(SpinEcho.from_typical())
    widget._move()
    assert isinstance(layer.data.sequence, Mp2rageUni)
    assert "stays as it is: Spin echo needs PD and T2 besides T1" in widget.status.text()
    widget.editor.set_value(Mp2rageUni.from_typical(inversion_time=0.75))
    widget._move()
    assert layer.data.sequence.inversion_time == 0.75
    assert widget.status.text().startswith(f"The sliders change {layer.name}.")


def test_partial_sets_are_not_ticked_beside_complete_ones(viewer: ViewerModel, qtbot: QtBot) -> None:
    add(viewer, make_map("T1map", HR.with_shape((4, 4, 4))))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert [(source.label, box.value) for source, box in widget.sources.rows] == [
        ("LR", True),
        ("SR", True),
        ("T1 only", False),
    ]


def test_gradient_echoes_use_a_t2star_map_on_the_grid(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, *[make_map(suffix) for suffix in MEDIANS])
    decay = np.full(make_map("T2map").grid.shape, 0.03, np.float32)
    add(viewer, Volume(data=decay, grid=make_map("T2map").grid, name="T2*", suffix="T2starmap", unit="s"))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert [box.text for _, box in widget.sources.rows] == ["maps: 2 × 2 × 2 mm, with T2*"]
    sequence = Spgr.from_typical(echo_time=0.01)
    widget.editor.set_value(sequence)
    (layer,) = widget.add_contrast()
    expected = synthesise(sequence, *lr_maps().data, decay)
    np.testing.assert_allclose(from_layer(*layer.as_layer_data_tuple()[:2]).data, expected, rtol=1e-5)
    widget.editor.set_value(SpinEcho.from_typical())
    widget._move()
    expected = synthesise(SpinEcho.from_typical(), *lr_maps().data)
    np.testing.assert_allclose(from_layer(*layer.as_layer_data_tuple()[:2]).data, expected, rtol=1e-5)


def test_an_unticked_source_stays_unticked_when_a_t2star_map_comes(
    widget: SynthesizeWidget, viewer: ViewerModel
) -> None:
    widget.sources.set_value(["SR"])
    decay = Volume(data=np.full(HR.shape, 0.03, np.float32), grid=HR, name="T2*", suffix="T2starmap", unit="s")
    low = replace(decay, data=np.full(LR.shape, 0.03, np.float32), grid=LR)
    add(viewer, low, decay)
    assert [("T2*" in source.layers, box.value) for source, box in widget.sources.rows] == [(True, False), (True, True)]


def test_maps_on_different_voxels_are_told(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"), make_map("PDmap", HR), make_map("T2map", HR))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert "not on the voxels of sub-01 T1map" in widget.sources._hint.text()


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("SyMRI", "maps: 1 × 1 × 2 mm"),
        ("SyMRI rates", "maps: 1 × 1 × 2 mm"),
        ("MAGiC stack", "maps: 1 × 1 × 2 mm"),
        ("QALAS", "maps: 1 × 1 × 2 mm"),
        ("MRF", "maps: 1 × 1 × 2 mm"),
        ("MP2RAGE", "T1 only: 1 × 1 × 2 mm\n(no PD and T2)"),
        ("hMRI", "PD, T1, T2* only: 1 × 1 × 2 mm\n(no T2)"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # what was assumed is told as warnings
def test_an_opened_export_is_listed(qtbot: QtBot, tmp_path: Path, tool: str, text: str) -> None:
    viewer = ViewerModel()
    for layer in read(write(tmp_path, *EXPORTS[tool]())):
        viewer.add_layer(Layer.create(*layer))
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    assert [box.text for _, box in widget.sources.rows] == [text]
    widget.editor.set_value(Mp2rageUni.from_typical())
    (layer,) = widget.add_contrast()
    assert np.isfinite(np.asarray(layer.data)).all()
    assert len(widget.rendering.map_box) == (2 if tool == "hMRI" else 1)
