"""Dragging over the canvas of a real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from widget_cases import HR, MEDIANS, add, make_map

from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.physics.signal_models import SpinEcho

LEFT, NO_KEY, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def shown(dock: SynthesizeWidget) -> tuple[float, float]:
    """TI and TE on the sliders, in ms."""
    boxes = dock.editor.parameter_boxes()
    return boxes["inversion_time"].value, boxes["echo_time"].value


@pytest.mark.slow
@pytest.mark.gui
def test_keys_and_mouse_in_a_window(make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy(show=True)  # a hidden canvas does not pan
    dock, canvas = in_window(viewer)
    layers = dock.add_contrast()
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    camera = viewer.scene.camera.center
    QTest.keyPress(canvas, Qt.Key.Key_Q)
    real_drag(canvas, middle, QPoint(viewer.canvas.size[1] // 10, 0))
    inversion_time, echo_time = shown(dock)
    assert (inversion_time, echo_time) == (
        pytest.approx(3250, abs=50),
        120,
    )  # a pixel is some 10 ms; the canvas may change
    QTest.keyClick(canvas, Qt.Key.Key_Up)
    QTest.keyClick(canvas, Qt.Key.Key_Left, SHIFT)
    assert shown(dock) == (inversion_time - 10, 130)
    qtbot.waitUntil(lambda: all(layer.data.sequence.echo_time == pytest.approx(0.13) for layer in layers))
    QTest.keyClick(canvas, Qt.Key.Key_PageDown)
    assert dock.panel.title() == "T1w SE"
    assert viewer.scene.camera.center == camera
    QTest.keyRelease(canvas, Qt.Key.Key_Q)
    value = dock.editor.value()
    real_drag(canvas, middle, QPoint(canvas.width() // 10, 0))
    assert viewer.scene.camera.center != camera  # without the key it pans
    step = viewer.dims.current_step
    QTest.keyClick(canvas, Qt.Key.Key_Right)
    assert viewer.dims.current_step != step
    assert dock.editor.value() == value
    dock.editor.set_value(SpinEcho.from_typical())
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 40, 70)
    QTest.keyPress(canvas, Qt.Key.Key_Q)
    real_drag(canvas, middle, QPoint(viewer.canvas.size[1] // 5, 0))
    QTest.keyRelease(canvas, Qt.Key.Key_Q)
    assert dock.editor.settings()["repetition_time"] == pytest.approx(0.8, abs=0.03)  # 0.5 to 1500 ms
    assert viewer.scene.camera.angles == pytest.approx((10, 40, 70))
    real_drag(canvas, middle, QPoint(canvas.width() // 5, 0))
    assert viewer.scene.camera.angles != pytest.approx((10, 40, 70))  # without the key it rotates


@pytest.mark.gui
def test_a_drag_paints_nothing(make_napari_viewer_proxy: Callable[..., Any]) -> None:
    viewer = make_napari_viewer_proxy()
    dock, canvas = in_window(viewer)
    dock.add_contrast()
    labels = viewer.add_labels(np.zeros(HR.shape[::-1], int))
    labels.mode = "paint"
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    QTest.keyPress(canvas, Qt.Key.Key_Q)
    real_drag(canvas, middle, QPoint(20, 0))
    QTest.keyRelease(canvas, Qt.Key.Key_Q)
    assert not labels.data.any()
    assert shown(dock) != (2500, 120)
    real_drag(canvas, middle, QPoint(20, 0))
    assert labels.data.any()


def in_window(viewer: Any) -> tuple[SynthesizeWidget, Any]:
    """A dock and the canvas of a window with maps."""
    add(viewer, *[make_map(suffix, HR) for suffix in MEDIANS])
    dock = SynthesizeWidget(viewer)
    dock.side_by_side.value = False  # the grid of a hidden canvas has no cells to click into
    viewer.window.add_dock_widget(dock)
    QTest.qWait(300)  # until the canvas has its size
    return dock, viewer.__wrapped__.window._qt_viewer.canvas.native


def real_drag(canvas: Any, start: QPoint, way: QPoint) -> None:
    QTest.mousePress(canvas, LEFT, NO_KEY, start)
    for part in (1, 2):
        QTest.mouseMove(canvas, start + way * part / 2)
        QTest.qWait(20)  # napari drops movements in quick succession
    QTest.mouseRelease(canvas, LEFT, NO_KEY, start + way)
