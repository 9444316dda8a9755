"""The Synthesize dock: sources, inputs, layers that follow the sliders, and scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_cases import EXPORTS, write
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from widget_cases import HR, LR, MEDIANS, add, lr_maps, make_map

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.contrast_layers import common_limits
from napari_swig_qmri._napari.reader import read
from napari_swig_qmri._napari.synthesize.dock import SynthesizeInputs, SynthesizeWidget
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, is_computed
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage, Spgr, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import EQUATION, UserEquation
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise
from napari_swig_qmri.synthesis.presets import built_in_presets, find_preset
from napari_swig_qmri.synthesis.rendering import Rendering


def open_dock(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


def rows(widget: SynthesizeWidget) -> list[tuple[str, bool]]:
    """Text of each source, and whether it is ticked."""
    return [(box.text, box.value) for _, box in widget.sources.rows]


def values(layer: Image) -> np.ndarray:
    """Values of a layer on the voxels of its maps."""
    return from_layer(*layer.as_layer_data_tuple()[:2]).data


def test_a_script_sets_inputs_gets_them_back_and_runs_without_an_event_loop(
    widget: SynthesizeWidget, viewer: ViewerModel
) -> None:
    inputs = SynthesizeInputs(
        sequence=SpinEcho(echo_time=0.0123, repetition_time=0.55),
        sources=("SR",),
        side_by_side=False,
        auto_contrast=False,
        rendering=Rendering(transmit_field=0.8, sign="signed"),
        mark_partial_volume=True,
    )
    widget.set_value(inputs)
    assert widget.value() == inputs
    (layer,) = widget.run()
    assert layer in viewer.layers
    assert (layer.data.sequence, layer.data.rendering) == (inputs.sequence, inputs.rendering)
    with pytest.raises(ValueError, match="no maps 'HR': choose among LR, SR"):
        widget.set_value(replace(inputs, sources=("HR",)))
    widget.set_value(replace(inputs, sources=()))
    with pytest.raises(ValueError, match="no ticked source has the maps that Spin echo needs"):
        widget.run()
    assert widget.add_contrast() == []
    assert "tick or open another one" in widget.status.text()
    widget.set_value(replace(inputs, sequence=Mp2rageUni.from_typical(), rendering=Rendering(snr=20)))
    with pytest.raises(ValueError, match="no noise can be added"):
        widget.run()
    widget.editor.parameter_boxes()["repetition_time"].value = 100
    with pytest.raises(ValueError, match="TR"):
        widget.run()


@pytest.mark.slow
def test_sources_follow_the_layers(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    assert rows(widget) == [("LR: 2 × 2 × 2 mm", True), ("SR: 1 × 1 × 1 mm", True)]
    widget.sources.set_value(["SR"])
    decay = Volume(data=np.full(HR.shape, 0.03, np.float32), grid=HR, name="T2*", suffix="T2starmap", unit="s")
    add(viewer, replace(decay, data=np.full(LR.shape, 0.03, np.float32), grid=LR), decay)
    assert rows(widget) == [("LR: 2 × 2 × 2 mm, with T2*", False), ("SR: 1 × 1 × 1 mm, with T2*", True)]
    add(viewer, make_map("T1map", HR.with_shape((4, 4, 4))))
    assert rows(widget)[-1] == ("T1 only: 3 × 3.5 × 2.5 mm\n(no PD and T2)", False)
    viewer.layers.clear()
    assert rows(widget) == []
    assert not widget.add_button.enabled


@pytest.mark.slow
def test_contrasts_are_lazy_and_lie_on_their_maps(widget: SynthesizeWidget, viewer: ViewerModel) -> None:
    layers = widget.run()
    assert [layer.name for layer in layers] == ["T2-FLAIR synthetic (LR)", "T2-FLAIR synthetic (SR)"]
    assert all(isinstance(layer.data, LazyContrast) for layer in layers)
    np.testing.assert_allclose(values(layers[0]), synthesise(T2Flair.from_typical(), *lr_maps().data), rtol=1e-5)
    for contrast, source in zip(layers, (viewer.layers[1], viewer.layers[4]), strict=True):
        np.testing.assert_allclose(contrast.scale, source.scale)
        np.testing.assert_allclose(contrast.translate, source.translate)
        assert contrast.units == source.units


@pytest.mark.slow
def test_a_contrast_of_tilted_maps_stays_in_place(qtbot: QtBot) -> None:
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    viewer = ViewerModel()
    layers = add(viewer, *[make_map(suffix, VoxelGrid(LR.shape, affine)) for suffix in MEDIANS])
    (contrast,) = open_dock(viewer, qtbot).run()
    np.testing.assert_allclose(contrast.translate, layers[1].translate)
    np.testing.assert_allclose(from_layer(*contrast.as_layer_data_tuple()[:2]).grid.affine, affine, atol=1e-6)


def test_sliders_change_the_newest_layers(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    old = widget.run()
    live = widget.run()
    before = np.asarray(live[1].data)
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: live[1].data.sequence == T2Flair.from_typical(echo_time=0.08))
    assert old[1].data.sequence == T2Flair.from_typical()
    t2 = np.asarray(live[1].data.t2)
    np.testing.assert_allclose(np.asarray(live[1].data), before * np.exp(0.04 / t2), rtol=1e-4)
    viewer.layers.remove(live[0])
    widget.editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    qtbot.waitUntil(lambda: live[1].name == "Spin echo synthetic (SR) [1]")
    assert tuple(live[1].contrast_limits) == pytest.approx(common_limits([live[1].data]))
    assert live[0].data.sequence.echo_time == 0.08
    assert "(LR)" not in widget.status.text()


@pytest.mark.slow
def test_layers_follow_settings_that_keep_changing(lr_widget: SynthesizeWidget, qtbot: QtBot) -> None:
    (layer,) = lr_widget.run()
    frames: list[float] = []
    layer.events.set_data.connect(lambda _event: frames.append(layer.data.sequence.echo_time))
    for echo_time in range(10, 40):
        lr_widget.editor.parameter_boxes()["echo_time"].value = echo_time
        qtbot.wait(5)  # shorter than the pause after which followers of the layer are notified
    assert len(frames) > 2
    qtbot.waitUntil(lambda: layer.data.sequence == lr_widget.editor.value())


@pytest.mark.slow
def test_impossible_settings_and_missing_maps_leave_the_layers(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    widget = open_dock(viewer, qtbot)
    ((_, box),) = widget.sources.rows
    height = box.native.sizeHint().height()
    assert box.text == "T1 only: 2 × 2 × 2 mm\n(no PD and T2)"
    assert box.native.graphicsEffect().isEnabled()
    assert not widget.add_button.enabled
    widget.editor.set_value(Mp2rageUni.from_typical())
    assert not box.native.graphicsEffect().isEnabled()
    assert box.native.sizeHint().height() < height  # one line is enough
    (layer,) = widget.run()
    np.testing.assert_allclose(
        values(layer), synthesise(Mp2rageUni.from_typical(), None, lr_maps()["T1"], None), rtol=1e-5
    )
    widget.editor.set_value(SpinEcho.from_typical())
    qtbot.waitUntil(lambda: "Spin echo needs PD and T2 besides T1" in widget.status.text())
    assert isinstance(layer.data.sequence, Mp2rageUni)
    widget.editor.set_value(Mp2rageUni.from_typical(inversion_time=0.75))
    qtbot.waitUntil(lambda: layer.data.sequence.inversion_time == 0.75)
    assert widget.status.text().startswith(f"The sliders change {layer.name}.")
    widget.editor.parameter_boxes()["repetition_time"].value = 100
    qtbot.wait(50)
    assert layer.data.sequence.inversion_time == 0.75


@pytest.mark.slow
def test_side_by_side_hides_the_other_layers_and_shows_them_again(
    widget: SynthesizeWidget, viewer: ViewerModel
) -> None:
    viewer.layers[0].visible = False
    live = widget.run()
    assert viewer.canvas.grid.enabled
    assert [layer for layer in viewer.layers if layer.visible] == live
    widget.side_by_side.value = False
    assert not viewer.canvas.grid.enabled
    assert not viewer.layers[0].visible
    assert viewer.layers[1].visible


@pytest.mark.slow
def test_caveat_is_shown_for_flair_only(widget: SynthesizeWidget) -> None:
    assert not widget.caveat.isHidden()
    assert "CSF" in widget.caveat.text()
    widget.editor.set_value(SpinEcho(echo_time=0.01, repetition_time=0.5))
    assert widget.caveat.isHidden()


@pytest.mark.slow
def test_a_saved_contrast_says_what_it_is_and_which_files_it_is_made_of(qtbot: QtBot, tmp_path: Path) -> None:
    viewer = ViewerModel()
    paths = [tmp_path / "lr" / f"sub-01_{suffix}.nii.gz" for suffix in MEDIANS]
    add(viewer, *[make_map(path.name[7:-7], path=path) for path in paths])
    widget = open_dock(viewer, qtbot)
    (layer,) = widget.run()
    widget.editor.parameter_boxes()["echo_time"].value = 80
    qtbot.waitUntil(lambda: layer.data.sequence.echo_time == pytest.approx(0.08))
    volume = from_layer(*layer.as_layer_data_tuple()[:2])
    assert sorted(volume.sidecar["Sources"]) == sorted(map(str, paths))
    written = write_layer(tmp_path / "sub-01_FLAIR.nii.gz", *layer.as_layer_data_tuple()[:2])
    saved = read_volume(Path(written[0]))
    np.testing.assert_allclose(saved.data, volume.data, rtol=1e-6)
    np.testing.assert_allclose(saved.grid.affine, volume.grid.affine, atol=1e-5)
    assert (saved.sidecar["Notice"], is_computed(saved.sidecar, saved.suffix)) == (RESEARCH_NOTICE, True)
    assert saved.sidecar["EchoTime"] == pytest.approx(0.08)
    assert sorted(saved.sidecar["Sources"]) == sorted(f"lr/{path.name}" for path in paths)


@pytest.mark.slow
def test_fat_in_the_scalp_does_not_darken_the_brain(qtbot: QtBot) -> None:
    indices = np.indices((40, 40)) - 19.5
    radius = np.hypot(*indices)
    t1 = np.where(np.abs(radius - 17) < 2, 0.3, np.where(radius < 15, 0.9, 0))[..., None] * np.ones(4)
    data = {"PDmap": np.where(t1 > 0, 0.8, 0), "T1map": t1, "T2map": np.where(t1 > 0, 0.08, 0)}
    viewer, grid = ViewerModel(), VoxelGrid(t1.shape, np.eye(4))
    add(viewer, *[make_map(suffix, grid, data=each.astype(np.float32)) for suffix, each in data.items()])
    widget = open_dock(viewer, qtbot)
    widget.editor.set_value(Mprage.from_typical())
    for layer in (*widget.run(), widget.sheet.show_sheet()[0]):
        shown = np.asarray(layer.data)
        assert layer.contrast_limits[1] < 1.1 * shown[2, 20, 20] < 0.9 * shown.max()


@pytest.mark.slow
def test_gradient_echoes_and_equations_use_a_t2star_map_on_the_grid(lr_widget: SynthesizeWidget) -> None:
    pd, t1, t2 = lr_maps().data
    sequence = Spgr.from_typical(echo_time=0.01)
    lr_widget.editor.set_value(UserEquation(text="T2s"))
    np.testing.assert_allclose(values(lr_widget.run()[0]), t2, rtol=1e-5)  # T2 without a T2* map
    decay = np.full(LR.shape, 0.03, np.float32)
    add(lr_widget._viewer, Volume(data=decay, grid=LR, name="T2*", suffix="T2starmap", unit="s"))
    for contrast, expected in (
        (UserEquation(text="T2s"), decay),
        (sequence, synthesise(sequence, pd, t1, t2, decay)),
        (SpinEcho.from_typical(), synthesise(SpinEcho.from_typical(), pd, t1, t2)),
    ):
        lr_widget.editor.set_value(contrast)
        np.testing.assert_allclose(values(lr_widget.run()[0]), expected, rtol=1e-5)


@pytest.mark.slow
def test_layers_are_named_after_the_preset(lr_widget: SynthesizeWidget, qtbot: QtBot) -> None:
    presets = lr_widget.panel.presets
    presets.preset_box.value = "T1-FLAIR"
    (layer,) = lr_widget.run()
    assert layer.name == "T1-FLAIR synthetic (maps)"
    lr_widget.editor.parameter_boxes()["echo_time"].value = 20
    qtbot.waitUntil(lambda: layer.name == "Inversion recovery synthetic (maps)")
    presets.preset_box.value = "STIR"
    lr_widget.panel.null.tissue_box.value = "fat"
    qtbot.waitUntil(lambda: layer.name == "STIR, fat nulled synthetic (maps)")
    lr_widget.panel.null.tissue_box.value = "nothing"
    presets.step(0)
    qtbot.waitUntil(lambda: layer.name == "STIR synthetic (maps)")
    assert layer.data.sequence == find_preset(built_in_presets(), "STIR", 3.0).contrast


@pytest.mark.slow
def test_an_equation_is_a_contrast_with_the_parameters_that_it_contains(
    lr_widget: SynthesizeWidget, qtbot: QtBot
) -> None:
    editor = lr_widget.editor
    (layer,) = lr_widget.run()
    editor.sequence_box.value = EQUATION
    editor.equation_box.value = "PD * exp(-TE/T2) * cos(FA)"
    assert list(editor.parameter_boxes()) == ["echo_time", "flip_angle"]
    editor.parameter_boxes()["echo_time"].value = 40
    editor.parameter_boxes()["flip_angle"].value = 60
    qtbot.waitUntil(lambda: layer.name == "User equation synthetic (maps)")
    pd, _, t2 = lr_maps().data
    shown = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(shown.data, pd * np.exp(-0.04 / t2) / 2, rtol=1e-5)
    assert shown.sidecar["SignalEquation"] == "PD * exp(-TE/T2) * cos(FA)"
    assert shown.sidecar["FlipAngle"] == pytest.approx(60)
    assert "RepetitionTime" not in shown.sidecar
    before = layer.data.sequence
    editor.equation_box.value = "PD * exp(-TE/T2"
    assert "position 16: expected ')'" in editor.problem_label.text()
    assert not lr_widget.add_button.enabled
    assert list(editor.parameter_boxes()) == ["echo_time", "flip_angle"]
    qtbot.wait(50)
    assert layer.data.sequence == before
    editor.equation_box.value = "PD * T1"
    assert editor.parameter_boxes() == {}


@pytest.mark.slow
def test_maps_on_different_voxels_are_named(qtbot: QtBot) -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"), make_map("PDmap", HR), make_map("T2map", HR))
    with pytest.raises(ValueError, match="tick or open another"):
        open_dock(viewer, qtbot).run()


@pytest.mark.slow
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
@pytest.mark.filterwarnings("ignore::UserWarning")  # assumptions about the files are reported as warnings
def test_an_opened_export_is_listed(qtbot: QtBot, tmp_path: Path, tool: str, text: str) -> None:
    viewer = ViewerModel()
    for layer in read(write(tmp_path, *EXPORTS[tool]())):
        viewer.add_layer(Layer.create(*layer))
    widget = open_dock(viewer, qtbot)
    assert [text for text, _ in rows(widget)] == [text]
    widget.editor.set_value(Mp2rageUni.from_typical())
    (contrast,) = widget.run()
    assert np.isfinite(np.asarray(contrast.data)).all()
    assert len(widget.rendering.map_box) == (2 if tool == "hMRI" else 1)


@pytest.mark.slow
def test_the_viewer_that_napari_hands_to_plugins_is_enough(viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = SynthesizeWidget(PublicOnlyProxy(viewer))  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: bool(widget.compare.table.text()), timeout=10_000)
    add(viewer, Volume(data=np.full(HR.shape, 0.8, np.float32), grid=HR, name="B1+", suffix="TB1map", unit="arbitrary"))
    widget.rendering.map_box.value = viewer.layers["B1+"]
    sr = widget.live.layers[1]
    qtbot.waitUntil(lambda: sr.data.transmit_field is not None)
    assert float(np.asarray(sr.data.transmit_field).max()) == pytest.approx(0.8)
    widget.compare.stop()
    widget.rendering.mark.value = True
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: sr.data.is_kept)
    widget.editor.parameter_boxes()["echo_time"].value = 100
    qtbot.waitUntil(lambda: sr.data.sequence.echo_time == 0.1)
    viewer.dims.ndisplay = 2
    assert not sr.data.is_kept
    assert len(widget.sheet.show_sheet()) == 4
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: isinstance(sr.data, np.ndarray))
