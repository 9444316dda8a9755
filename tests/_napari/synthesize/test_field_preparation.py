"""B1+ maps that are chosen, resampled in the background, used, and refused."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from transmit_cases import field_map
from widget_cases import HR, add

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts import transmit_layers
from napari_swig_qmri._napari.records import LayerRecord, with_record
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.storage.files import read_volume, write_volume
from napari_swig_qmri.data.transmit_field import transmit_field_on
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.synthesis.rendering import Rendering

NOT_RELATIVE = "a B1+ map is a fraction of the nominal flip angle"


def choose(widget: SynthesizeWidget, b1: Any, qtbot: QtBot) -> None:
    """Choose a B1+ map and wait until it is resampled."""
    widget.rendering.map_box.choose(b1)
    qtbot.waitUntil(lambda: not widget.fields.is_busy)


def sidecar(layer: Any) -> Any:
    return LayerRecord.of(layer).volume.sidecar


@pytest.mark.slow
def test_a_script_uses_a_map_at_once_and_it_scales_voxel_by_voxel(
    widget: SynthesizeWidget, viewer: ViewerModel
) -> None:
    (b1,) = add(viewer, field_map(0.8, path=Path("sub-01_TB1map.nii.gz")))
    assert widget.rendering.field_layer is None  # a map is only used when it is chosen
    widget.rendering.set_value(Rendering(transmit_map="sub-01_TB1map.nii.gz"))
    assert widget.rendering.field_layer is b1
    live = widget.run()
    for layer, grid in zip(live, (HR.with_shape((6, 7, 5)), HR), strict=True):
        field = from_layer(np.asarray(layer.data.transmit_field), layer.as_layer_data_tuple()[1]).data
        x = (np.arange(grid.shape[0]) + 0.5) * HR.shape[0] / grid.shape[0] - 0.5
        expected = 0.8 + np.interp(x, np.arange(HR.shape[0]), np.linspace(0, 0.2, HR.shape[0]))
        np.testing.assert_allclose(field[:, 2, 2], expected, atol=0.01)
        assert sidecar(layer)["Rendering"] == {"TransmitMap": "sub-01_TB1map.nii.gz"}
        assert sidecar(layer)["Sources"] == [str(Path("sub-01_TB1map.nii.gz").absolute())]


@pytest.mark.slow
def test_live_layers_take_a_map_and_lose_it_with_its_layer(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    layer = widget.run()[0]
    without = np.asarray(layer.data)
    (b1,) = add(viewer, field_map(0.7))
    choose(widget, b1, qtbot)
    assert not np.allclose(np.asarray(layer.data), without)
    assert layer.data.rendering.transmit_map == "sub-01 TB1map"
    viewer.layers.remove(b1)
    np.testing.assert_array_equal(np.asarray(layer.data), without)
    assert widget.rendering.value() == Rendering()


@pytest.mark.slow
def test_record_and_data_take_a_map_together_while_the_settings_are_impossible(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, tmp_path: Path
) -> None:
    maps, path = Path("sub-01_T1map.nii.gz"), Path("sub-01_TB1map.nii.gz")
    t1 = viewer.layers[1]
    t1.metadata = with_record(t1.metadata, volume=replace(LayerRecord.of(t1).volume, path=maps))
    live = widget.run()
    sources = sidecar(live[0])["Sources"]
    widget.editor.parameter_boxes()["repetition_time"].value = 100
    assert widget.editor.value() is None
    widget.rendering.set_value(Rendering(snr=20.0))
    (b1,) = add(viewer, field_map(0.7, path=path))
    widget.rendering.map_box.choose(b1)
    for layer in live:
        qtbot.waitUntil(lambda layer=layer: layer.data.transmit_field is not None)
        assert layer.data.rendering == Rendering(transmit_map=path.name)  # noise waits for possible settings
        assert sidecar(layer)["Rendering"] == {"TransmitMap": path.name}
    assert sidecar(live[0])["Sources"] == [*sources, str(path.absolute())]
    assert write_layer(str(tmp_path / "x.nii.gz"), *live[0].as_layer_data_tuple()[:2])
    assert read_volume(tmp_path / "x.nii.gz").sidecar["Rendering"] == {"TransmitMap": path.name}
    widget.rendering.map_box.choose(None)
    assert "Rendering" not in sidecar(live[0])
    assert sidecar(live[0])["Sources"] == sources


@pytest.mark.slow
def test_a_map_is_resampled_once_per_grid_in_the_background_and_nothing_starts_meanwhile(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[tuple[int, ...], bool]] = []
    opened = threading.Event()

    def wait(volume: Volume, grid: VoxelGrid) -> Any:
        calls.append((grid.shape, threading.current_thread() is threading.main_thread()))
        while not opened.wait(0.005):
            yield
        return (yield from transmit_field_on(volume, grid))

    monkeypatch.setattr(transmit_layers, "transmit_field_on", wait)
    live = widget.run()
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
    layers = (*widget.run(), *widget.sheet.show_sheet())
    assert all(layer.data.transmit_field is not None for layer in layers)
    assert calls == [((6, 7, 5), False), (HR.shape, False)]


@pytest.mark.slow
def test_a_layer_that_cannot_be_a_b1_map_is_refused(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    layer = widget.run()[0]
    away = VoxelGrid(HR.shape, HR.affine + np.array([[0, 0, 0, 500.0]] + 3 * [[0, 0, 0, 0]]))
    widget.rendering.map_box.choose(add(viewer, field_map(0.8, away))[0])
    qtbot.waitUntil(lambda: widget.rendering.field_layer is None)
    assert "do not overlap" in widget.status.text()
    assert layer.data.transmit_field is None
    (angles,) = add(viewer, field_map(60))
    widget.rendering.map_box.choose(angles)
    assert widget.rendering.field_layer is None
    assert NOT_RELATIVE in widget.status.text()
    assert widget.rendering.map_hint.isHidden()


@pytest.mark.slow
def test_assumptions_about_a_map_are_shown(lr_widget: SynthesizeWidget, tmp_path: Path) -> None:
    viewer, hint = lr_widget._viewer, lr_widget.rendering.map_hint
    write_volume(field_map(80), tmp_path / "sub-01_TB1map.nii.gz")
    (tmp_path / "sub-01_TB1map.json").unlink()
    (b1,) = add(viewer, read_volume(tmp_path / "sub-01_TB1map.nii.gz"))
    plain = viewer.add_image(np.full(HR.shape, 0.9, np.float32), name="B1map")
    assert hint.isHidden()
    for layer, kind in ((b1, "percent"), (plain, "a fraction")):
        lr_widget.rendering.map_box.choose(layer)
        assert f"Read as {kind} of the nominal flip angle" in hint.text()


@pytest.mark.slow
@pytest.mark.parametrize("n_axes", [2, 3])
def test_a_refusal_is_shown_until_the_layers_change(
    n_axes: int, widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot
) -> None:
    live = widget.run()
    viewer.dims.ndisplay = n_axes
    qtbot.waitUntil(lambda: n_axes == 2 or all(layer.data.is_kept for layer in live))
    (angles,) = add(viewer, field_map(60))
    widget.rendering.map_box.choose(angles)
    add(viewer, field_map(0.8))
    qtbot.wait(200)
    assert NOT_RELATIVE in widget.status.text()
    widget.editor.parameter_boxes()["echo_time"].value = 90
    qtbot.waitUntil(lambda: widget.status.text().startswith("The sliders change"))
