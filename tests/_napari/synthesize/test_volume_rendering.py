"""Computed layers in 3D: shown at reduced resolution, then whole; the window's thread never computes a whole one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject

from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
from napari_swig_qmri.synthesis.lazy_array import LazyArray

MAIN = threading.get_ident()
SHAPE = (4, 70, 70)  # more than twice the samples of a reduced volume, along two axes
RAMP = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


@dataclass(eq=False)
class Ramp(LazyArray):
    """A ramp plus `offset`. Background threads wait for `gate` and may fail; `sizes` are computed by the window."""

    gate: threading.Event
    offset: float = 0.0
    sizes: list[int] = field(default_factory=list)
    error: Exception | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels per axis."""
        return SHAPE

    @property
    def exact(self) -> Any:
        """All values."""
        return RAMP + np.float32(self.offset)

    def compute(self, key: Any) -> Any:
        """Values of the indexed voxels."""
        values = self.exact[key]
        if threading.get_ident() == MAIN:
            self.sizes.append(int(np.size(values)))
        else:
            self.gate.wait(5)
            if self.error is not None:
                raise self.error
        return values


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def rendering(viewer: ViewerModel, qtbot: QtBot) -> Iterator[VolumeRendering]:
    parent = QObject()
    yield VolumeRendering(viewer, parent)
    viewer.dims.ndisplay = 2  # stops the background


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def shown(layer: Image) -> Any:
    """Values that napari draws."""
    return np.asarray(layer._slice.image.view)


def in_3d(rendering: VolumeRendering, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot) -> Image:
    """A layer whose volume is rendered."""
    layer = Image(Ramp(gate))
    rendering.add([layer])
    viewer.dims.ndisplay = 3
    gate.set()
    qtbot.waitUntil(lambda: layer.data.is_kept)
    gate.clear()
    return layer


@pytest.mark.parametrize("in_3d_before", [False, True])
def test_a_layer_is_coarse_until_it_is_rendered_and_exact_for_other_readers(
    rendering: VolumeRendering, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot, in_3d_before: bool
) -> None:
    texts: list[str] = []
    rendering.said.connect(texts.append)
    layer = Image(Ramp(gate))
    if in_3d_before:
        viewer.dims.ndisplay = 3
    rendering.add([layer])
    viewer.dims.ndisplay = 3
    assert layer.data.size not in layer.data.sizes
    assert not np.array_equal(shown(layer), RAMP)
    np.testing.assert_array_equal(shown(layer)[:, ::2, ::2], RAMP[:, ::2, ::2])
    np.testing.assert_array_equal(layer.data[:, :, :], RAMP)
    gate.set()
    qtbot.waitUntil(lambda: np.array_equal(shown(layer), RAMP))
    assert "Rendering whole volumes… 100 %" in texts
    assert texts[-1] == ""


def test_the_last_of_several_changes_is_shown_and_the_window_computes_none(
    rendering: VolumeRendering, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot
) -> None:
    layer = in_3d(rendering, viewer, gate, qtbot)
    seen: list[float] = []
    layer.events.data.connect(lambda _event: seen.append(layer.data.offset))
    arrays = [Ramp(gate, offset) for offset in (1.0, 2.0, 3.0)]
    for array in arrays:
        rendering.change("test", {layer: array}, lambda array=array: setattr(layer, "data", array))
        qtbot.wait(20)
    assert seen == []
    gate.set()
    qtbot.waitUntil(lambda: bool(seen))
    qtbot.wait(30)
    assert seen == [3.0]
    np.testing.assert_array_equal(shown(layer), arrays[-1].exact)
    assert not any(array.sizes for array in arrays)


@pytest.mark.parametrize("fails", [False, True])
def test_back_in_2d_volumes_are_dropped_and_a_pending_change_is_shown(
    rendering: VolumeRendering, viewer: ViewerModel, gate: threading.Event, qtbot: QtBot, fails: bool
) -> None:
    layer = in_3d(rendering, viewer, gate, qtbot)
    changed = Ramp(gate, 1.0, error=MemoryError("Unable to allocate 512 MiB") if fails else None)
    problems: list[str] = []
    rendering.failed.connect(problems.append)
    rendering.change("test", {layer: changed}, lambda: setattr(layer, "data", changed))
    if fails:
        gate.set()
        qtbot.waitUntil(lambda: bool(problems))
        assert "not enough memory" in problems[0]
    assert layer.data.offset == 0
    viewer.dims.ndisplay = 2
    assert layer.data is changed
    assert not layer.data.is_kept
    np.testing.assert_array_equal(layer.data[1], changed.exact[1])


def test_in_2d_a_change_is_shown_at_once(rendering: VolumeRendering, gate: threading.Event) -> None:
    layer = Image(Ramp(gate))
    rendering.add([layer])
    changed = Ramp(gate, 1.0)
    rendering.change("test", {layer: changed}, lambda: setattr(layer, "data", changed))
    assert layer.data is changed
