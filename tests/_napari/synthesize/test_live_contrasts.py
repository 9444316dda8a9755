"""Layers that follow the sliders: in 3D, with marks, and frozen to ordinary arrays."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.provenance import is_computed
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

pytestmark = pytest.mark.slow
MAIN = threading.get_ident()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Volumes in the background are not finished until this is set."""
    opened = threading.Event()
    rendered = LazyArray.rendered

    def wait_and_render(self: LazyArray) -> Generator[float, None, Any]:
        while threading.get_ident() != MAIN and not opened.wait(0.005):
            yield 0.0
        return (yield from rendered(self))

    monkeypatch.setattr(LazyArray, "rendered", wait_and_render)
    yield opened
    opened.set()


def move(widget: SynthesizeWidget, echo_time: float) -> None:
    widget.editor.parameter_boxes()["echo_time"].value = 1e3 * echo_time


def show_in_3d(viewer: ViewerModel, layer: Any, gate: threading.Event, qtbot: QtBot) -> None:
    """Enter 3D and wait for the volume of a layer; later volumes wait again."""
    gate.set()
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: layer.data.is_kept)
    gate.clear()


def test_in_3d_contrasts_and_marks_change_together_once_they_are_rendered(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    widget.rendering.mark.value = True
    _, sr = widget.add_contrast()
    marks = widget.live.marks[sr]
    show_in_3d(viewer, sr, gate, qtbot)
    seen: list[T2Flair] = []
    sr.events.data.connect(lambda _: seen.append(sr.data.sequence))
    for echo_time in (0.08, 0.09, 0.1):
        move(widget, echo_time)
        qtbot.wait(30)
    assert seen == []
    qtbot.waitUntil(lambda: "Rendering" in widget.status.text())
    gate.set()
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [T2Flair.from_typical(echo_time=0.1)]
    assert marks.data.sequence == sr.data.sequence
    assert marks.data.is_kept
    assert "sliders change" in widget.status.text()
    viewer.dims.ndisplay = 2
    assert not sr.data.is_kept


def test_frozen_contrasts_are_ordinary_arrays_that_say_what_they_are(
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


def test_moving_a_slider_stops_freezing(widget: SynthesizeWidget, gate: threading.Event, qtbot: QtBot) -> None:
    _, sr = widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.wait(30)
    move(widget, 0.1)
    qtbot.waitUntil(lambda: sr.data.sequence.echo_time == 0.1)
    gate.set()
    qtbot.wait(50)
    assert isinstance(sr.data, LazyContrast)
    assert "Freezing was stopped" in widget.status.text()


def test_too_little_memory_to_freeze_is_reported(
    widget: SynthesizeWidget, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(_self: LazyArray) -> Generator[float, None, Any]:
        raise MemoryError("Unable to allocate 512 MiB")
        yield 0.0

    monkeypatch.setattr(LazyArray, "rendered", without_memory)
    layers = widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: "not enough memory" in widget.status.text())
    assert widget.live.layers == layers


def test_freezing_waits_for_a_pending_change(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    _, sr = widget.add_contrast()
    show_in_3d(viewer, sr, gate, qtbot)
    expected = np.asarray(sr.data.with_sequence(T2Flair.from_typical(echo_time=0.1)))
    move(widget, 0.1)
    qtbot.wait(30)
    widget.freeze_button.native.click()
    gate.set()
    qtbot.waitUntil(lambda: isinstance(sr.data, np.ndarray))
    np.testing.assert_array_equal(sr.data, expected)
    assert LayerRecord.of(sr).volume.sidecar["EchoTime"] == 0.1


@pytest.mark.parametrize("meanwhile", ["into 3D", "marks", "sheet"])
def test_only_another_setting_stops_freezing(
    widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot, meanwhile: str
) -> None:
    widget.side_by_side.value = False
    layers = widget.add_contrast()
    widget.freeze_button.native.click()
    qtbot.wait(30)
    if meanwhile == "into 3D":
        viewer.dims.ndisplay = 3
    elif meanwhile == "marks":
        widget.rendering.mark.value = True
    else:
        widget.sheet.show_sheet()
    gate.set()
    qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in layers))
    assert widget.live.layers == []


def test_freezing_ends_a_comparison(widget: SynthesizeWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    widget.compare.button.native.click()
    qtbot.waitUntil(lambda: "difference" in widget.compare.panes.layers)
    layers = list(widget.live.layers)
    widget.freeze_button.native.click()
    qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in layers))
    assert not widget.compare.panes.layers
    assert all(layer in viewer.layers for layer in layers)


@pytest.mark.parametrize("n_axes", [2, 3])
def test_contrasts_added_while_others_are_frozen_follow_the_sliders(
    n_axes: int, widget: SynthesizeWidget, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    frozen = widget.add_contrast()
    if n_axes == 3:
        show_in_3d(viewer, frozen[1], gate, qtbot)
        move(widget, 0.11)  # a pending change, which freezing waits for
        qtbot.wait(30)
    widget.freeze_button.native.click()
    qtbot.wait(30)
    live = widget.add_contrast()
    gate.set()
    if n_axes == 2:
        qtbot.waitUntil(lambda: all(isinstance(layer.data, np.ndarray) for layer in frozen))
    move(widget, 0.1)
    qtbot.waitUntil(lambda: all(layer.data.sequence.echo_time == 0.1 for layer in live))
    qtbot.wait(100)
    assert widget.live.layers == live
    assert all(isinstance(layer.data, LazyContrast) for layer in live)
