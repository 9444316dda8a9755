"""Contrasts in 3D, whose volumes are rendered in the background, and contrasts baked into arrays."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from pytestqt.qtbot import QtBot
from widget_cases import lr_sr_and_a_guide

from napari_swig_qmri._napari.layers import LayerRecord
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.files import read_volume
from napari_swig_qmri.data.provenance import is_computed
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.synthesis.composites import Difference
from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

GUI = threading.get_ident()


@pytest.fixture
def viewer() -> ViewerModel:
    return lr_sr_and_a_guide()


@pytest.fixture
def widget(viewer: ViewerModel, qtbot: QtBot) -> SynthesizeWidget:
    widget = SynthesizeWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    return widget


@pytest.fixture(autouse=True)
def _coarse_is_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small volumes here are large enough for coarse pictures that differ from the exact ones."""
    monkeypatch.setattr("napari_swig_qmri.synthesis.lazy_array.SAMPLES_PER_AXIS", 4)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Whether in the GUI's thread, and how many voxels, of everything that is computed of a contrast."""
    seen: list[tuple[bool, int]] = []
    original = LazyContrast.compute

    def record(self: LazyContrast, key: Any) -> Any:
        values = original(self, key)
        seen.append((threading.get_ident() == GUI, int(np.size(values))))
        return values

    monkeypatch.setattr(LazyContrast, "compute", record)
    return seen


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Volumes in the background are not finished before this is set."""
    opened = threading.Event()
    original = LazyArray.rendered

    def wait_and_render(self: LazyArray) -> Generator[float, None, Any]:
        while threading.get_ident() != GUI and not opened.wait(0.005):
            yield 0.0
        return (yield from original(self))

    monkeypatch.setattr(LazyArray, "rendered", wait_and_render)
    return opened


def without_memory(_self: LazyArray) -> Generator[float, None, Any]:
    raise MemoryError("Unable to allocate 512 MiB")
    yield 0.0


def move(widget: SynthesizeWidget, echo_time: float) -> None:
    widget.editor.parameter_boxes()["echo_time"].value = 1e3 * echo_time


def show_in_3d(viewer: ViewerModel, layer: Any, gate: threading.Event, qtbot: QtBot) -> None:
    """Enter 3D and wait for the volume of a layer; those to come have to wait again."""
    gate.set()
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: layer.data.is_kept)
    gate.clear()


def shown(layer: Any) -> Any:
    """Values that the layer's picture is made of."""
    return np.asarray(layer._slice.image.view)


def test_entering_3d_shows_coarse_contrasts_until_they_are_rendered(
    widget: SynthesizeWidget,
    viewer: ViewerModel,
    computed: list[tuple[bool, int]],
    gate: threading.Event,
    qtbot: QtBot,
) -> None:
    _, sr = widget.add_contrast()
    exact = np.asarray(sr.data)
    computed.clear()
    viewer.dims.ndisplay = 3
    assert computed
    assert sr.data.size not in [size for is_gui, size in computed if is_gui]
    np.testing.assert_array_equal(shown(sr)[::2, ::3, ::3], exact[::2, ::3, ::3])
    assert not np.array_equal(shown(sr), exact)
    np.testing.assert_array_equal(sr.data[:, :, :], exact)  # whoever asks now gets the truth
    qtbot.waitUntil(lambda: "Rendering" in widget.status.text())
    gate.set()
    qtbot.waitUntil(lambda: np.array_equal(shown(sr), exact))
    assert "follow" not in widget.status.text()
    assert "sliders change" in widget.status.text()


def test_in_3d_the_last_of_many_movements_wins_and_none_is_computed_in_the_gui(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    _, sr = widget.add_contrast()
    show_in_3d(viewer, sr, gate, qtbot)
    seen: list[T2Flair] = []
    sr.events.data.connect(lambda _: seen.append(sr.data.sequence))
    for echo_time in (0.08, 0.09, 0.1):
        move(widget, echo_time)
        qtbot.wait(30)
    assert seen == []
    gate.set()
    qtbot.waitUntil(lambda: bool(seen))
    qtbot.wait(50)
    assert seen == [T2Flair.from_typical(echo_time=0.1)]
    np.testing.assert_array_equal(shown(sr), np.asarray(sr.data.with_sequence(sr.data.sequence)))


def test_a_contrast_added_in_3d_is_coarse_until_it_is_rendered_and_exact_for_whoever_asks(
    widget: SynthesizeWidget,
    viewer: ViewerModel,
    computed: list[tuple[bool, int]],
    gate: threading.Event,
    qtbot: QtBot,
) -> None:
    viewer.dims.ndisplay = 3
    _, sr = widget.add_contrast()
    assert sr.data.size not in [size for is_gui, size in computed if is_gui]
    exact = np.asarray(sr.data.with_sequence(sr.data.sequence))
    assert not np.array_equal(shown(sr), exact)
    np.testing.assert_array_equal(np.asarray(sr.data), exact)
    np.testing.assert_array_equal(sr.data[:, :, :], exact)
    gate.set()
    qtbot.waitUntil(lambda: np.array_equal(shown(sr), exact))


def test_back_in_2d_the_volumes_are_forgotten_and_the_sliders_are_right(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    older, sr = widget.add_contrast()[1], widget.add_contrast()[1]
    gate.set()
    older.visible = True
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: sr.data.is_kept and older.data.is_kept)
    gate.clear()
    move(widget, 0.1)
    qtbot.wait(30)
    viewer.dims.ndisplay = 2
    assert not sr.data.is_kept
    assert not older.data.is_kept
    assert sr.data.sequence.echo_time == 0.1


def test_panes_of_a_comparison_are_never_computed_whole_in_the_gui_nor_left_coarse(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: "difference" in widget.compare.panes.layers)
    pane = widget.compare.panes.layers["difference"]
    whole: list[bool] = []
    original = Difference.compute

    def record(self: Difference, key: Any) -> Any:
        values = original(self, key)
        whole.append(threading.get_ident() == GUI and np.size(values) == self.size)
        return values

    monkeypatch.setattr(Difference, "compute", record)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: pane.data.is_kept)
    before = pane.data
    move(widget, 0.1)
    qtbot.waitUntil(lambda: pane.data is not before and pane.data.is_kept)
    assert whole
    assert not any(whole)
    viewer.dims.ndisplay = 2
    np.testing.assert_allclose(pane.data[:], np.asarray(pane.data), atol=1e-6)


def test_marks_are_rendered_with_their_contrasts(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget.rendering.mark.value = True
    _, sr = widget.add_contrast()
    marks = widget.live.marks[sr]
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: marks.data.is_kept and sr.data.is_kept)
    move(widget, 0.1)
    qtbot.waitUntil(lambda: marks.data.sequence.echo_time == 0.1)
    assert marks.data.is_kept


def test_what_cannot_be_rendered_in_3d_is_right_again_in_2d(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sr = widget.add_contrast()
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: sr.data.is_kept)
    monkeypatch.setattr(LazyArray, "rendered", without_memory)
    move(widget, 0.1)
    qtbot.waitUntil(lambda: "not enough memory" in widget.status.text())
    assert sr.data.sequence == T2Flair.from_typical()
    viewer.dims.ndisplay = 2
    assert sr.data.sequence.echo_time == 0.1


def test_too_little_memory_is_told(
    widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LazyArray, "rendered", without_memory)
    widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: "not enough memory" in widget.status.text())
    assert widget.live.layers


def test_baked_contrasts_are_ordinary_arrays_that_say_what_they_are(
    widget: SynthesizeWidget, qtbot: QtBot, tmp_path: Path
) -> None:
    assert not widget.freeze_button.enabled
    _, sr = widget.add_contrast()
    expected = np.asarray(sr.data)
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: isinstance(sr.data, np.ndarray))
    assert "ordinary image layers" in widget.status.text()
    assert not widget.freeze_button.enabled
    move(widget, 0.1)
    qtbot.wait(30)
    np.testing.assert_array_equal(sr.data, expected)
    write_layer(str(tmp_path / "flair.nii.gz"), *sr.as_layer_data_tuple()[:2])
    written = read_volume(tmp_path / "flair.nii.gz")
    assert is_computed(written.sidecar, written.suffix)
    assert written.sidecar["EchoTime"] == T2Flair.from_typical().echo_time


def test_moving_a_slider_while_baking_goes_on_live(
    widget: SynthesizeWidget, gate: threading.Event, qtbot: QtBot
) -> None:
    _, sr = widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.wait(30)
    move(widget, 0.1)
    qtbot.waitUntil(lambda: sr.data.sequence.echo_time == 0.1)
    gate.set()
    qtbot.wait(50)
    assert isinstance(sr.data, LazyContrast)
    assert "Freezing was stopped" in widget.status.text()


def test_baking_waits_for_what_is_still_to_be_shown(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    _, sr = widget.add_contrast()
    show_in_3d(viewer, sr, gate, qtbot)
    wanted = np.asarray(sr.data.with_sequence(T2Flair.from_typical(echo_time=0.1)))
    move(widget, 0.1)
    qtbot.wait(30)
    widget.freeze_button.native.click()
    gate.set()
    qtbot.waitUntil(lambda: isinstance(sr.data, np.ndarray))
    np.testing.assert_array_equal(sr.data, wanted)
    assert LayerRecord.of(sr).volume.sidecar["EchoTime"] == 0.1


@pytest.mark.parametrize("meanwhile", ["into 3D", "marks", "sheet"])
def test_nothing_but_another_setting_stops_baking(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot, meanwhile: str
) -> None:
    widget.side_by_side.value = False
    widget.add_contrast()
    layers = widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.wait(30)
    if meanwhile == "into 3D":
        viewer.dims.ndisplay = 3
    elif meanwhile == "marks":
        widget.rendering.mark.value = True
    else:
        widget.sheet.add_button.native.click()
        widget.sheet.show_button.native.click()
    gate.set()
    qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in layers))
    assert widget.live.layers == []


def test_baking_ends_a_comparison(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: "difference" in widget.compare.panes.layers)
    layers = list(widget.live.layers)
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in layers))
    assert not widget.compare.panes.layers
    assert all(layer in viewer.layers for layer in layers)


def test_plugins_get_a_view_of_the_viewer_with_which_3d_and_baking_work_too(viewer: ViewerModel, qtbot: QtBot) -> None:
    widget = SynthesizeWidget(PublicOnlyProxy(viewer))  # type: ignore[arg-type]
    qtbot.addWidget(widget)
    widget.add_contrast()
    sr = viewer.layers["T2-FLAIR synthetic (SR)"]
    widget.rendering.mark.value = True
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: sr.data.is_kept)
    move(widget, 0.1)
    qtbot.waitUntil(lambda: sr.data.sequence.echo_time == 0.1)
    viewer.dims.ndisplay = 2
    assert not sr.data.is_kept
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: isinstance(sr.data, np.ndarray))
    assert widget.live.layers == []


@pytest.mark.parametrize("n_axes", [2, 3])
def test_contrasts_added_while_others_are_baked_follow_the_sliders(
    n_axes: int, widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    baked = widget.add_contrast()
    if n_axes == 3:
        show_in_3d(viewer, baked[1], gate, qtbot)
        move(widget, 0.11)  # which the bake waits for
        qtbot.wait(30)
    widget.freeze_button.native.click()
    qtbot.wait(30)
    live = widget.add_contrast()
    gate.set()
    if n_axes == 2:
        qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in baked))
    move(widget, 0.1)
    qtbot.waitUntil(lambda: all(layer.data.sequence.echo_time == 0.1 for layer in live))
    qtbot.wait(100)
    assert widget.live.layers == live
    assert all(isinstance(layer.data, LazyContrast) for layer in live)
