"""Regions and moves of the cursor that the tests of the Inspect dock share."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from pytestqt.qtbot import QtBot
from widget_cases import HR, LR

from napari_swig_qmri._napari.inspect.dock import READING, InspectWidget
from napari_swig_qmri._napari.layers import to_layer_data
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

VOXEL = (2, 3, 1)


def at(voxel: tuple[int, ...] = VOXEL, grid: VoxelGrid = LR) -> tuple[float, ...]:
    """Position in the viewer (S, A, R) of a voxel of a straight grid."""
    return tuple(grid.world(np.array(voxel, float))[::-1])


def labelled(grid: VoxelGrid = HR) -> Volume:
    """Label 1 in the left third, label 2 in the right one."""
    data = np.zeros(grid.shape, np.int32)
    n = grid.shape[0]
    data[: n // 3], data[2 * n // 3 :] = 1, 2
    return Volume(data=data, grid=grid, name="regions", suffix="dseg")


def add_labels(viewer: ViewerModel, volume: Volume) -> Labels:
    layer = Layer.create(*to_layer_data(volume))
    viewer.add_layer(layer)
    assert isinstance(layer, Labels)
    return layer


def open_dock(viewer: ViewerModel, qtbot: QtBot, **options: Any) -> InspectWidget:
    dock = InspectWidget(viewer, **options)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    return dock


def move(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot, position: tuple[float, ...]) -> None:
    viewer.cursor.position = position
    qtbot.waitUntil(lambda: not dock._moves._timer.isActive())
    wait_for_maps(dock, qtbot)


def wait_for_maps(dock: InspectWidget, qtbot: QtBot) -> None:
    """Wait until the maps that are chosen now have been read."""
    qtbot.waitUntil(lambda: dock.curves.hint.text() != READING)


def cells(dock: InspectWidget) -> list[str]:
    """Texts of the table; two lines of a cell stand apart."""
    return dock.curves.table.text().replace("\n", "\t").split("\t")


def texts_of(box: ChoiceBox) -> list[str]:
    """Texts of the choices of a box."""
    return [box.native.itemText(index) for index in range(len(box))]


def rows(dock: InspectWidget) -> list[str]:
    """Names of pins and regions in the table."""
    return [each for each in ("Pin 1", "Pin 2", "Label 1", "Label 2") if each in dock.curves.table.text()]


def finish(panel: Any, qtbot: QtBot) -> None:
    with qtbot.waitSignal(panel.run_panel.ended):
        panel.run_panel.run_button.native.click()
