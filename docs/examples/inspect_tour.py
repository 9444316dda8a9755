"""Walk through the states of the Inspect dock and save a picture of each.

    python docs/examples/inspect_tour.py [FOLDER] [--voxel-size 1]

The volumes and the way to a picture are those of ``widget_tour.py``; the LR maps are brought to fine voxels by
the posterior, which takes a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from pathlib import Path

import napari
import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea
from widget_tour import PLUGIN, SLAB, WINDOW, open_case, shoot, wait, wait_until

from napari_swig_qmri._napari.inspect.design_panel import CSF
from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.layers import to_layer_data
from napari_swig_qmri._napari.parts.appearance import Foldable
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Mprage, SpinEcho, T2Flair
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.phantom import CLASSES, make_phantom

RANGES = {1: (650, 950), 2: (1250, 1650), 3: (3000, 8000)}  # label -> T1 in ms: white and grey matter, CSF
SLICES = slice(12, 20)  # of the SR maps, in shares of 40


def main(folder: Path, voxel_size: float) -> None:
    """Show the dock empty, with curves, pins and regions, searching, after a search, and with its table."""
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    outer, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Super-resolve")
    open_case(viewer, voxel_size)
    super_resolve(dock)
    viewer.window.remove_dock_widget(outer)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Inspect")
    curves(viewer, dock, folder)
    design(viewer, dock, folder)
    table(viewer, dock, folder)
    lesions(viewer, dock, folder, voxel_size)
    viewer.close()


def super_resolve(dock: SuperResolveWidget) -> None:
    """Add SR maps."""
    dock.options.method_box.value = "posterior"
    wait_until(lambda: dock.run_panel.run_button.enabled)
    dock.run_panel.run_button.native.click()
    wait_until(lambda: not dock.run_panel.is_running)


def curves(viewer: napari.Viewer, dock: InspectWidget, folder: Path) -> None:
    """Pictures of a voxel under the cursor, of pins, and of regions."""
    fold(dock, 0)
    t1 = viewer.layers["T1 SR (ms)"]
    viewer.layers.selection.active = t1
    show_only(viewer, t1)
    middle = [n // 2 for n in t1.data.shape]
    viewer.dims.set_point(0, t1.data_to_world(middle)[0])
    wait(0.5)
    hover(viewer, 0.45, 0.55)
    shoot(viewer, folder / "inspect-voxel.png")
    for label in RANGES:
        dock.pin(t1.data_to_world(voxel_like(t1.data, RANGES[label], middle[0], label / 4)))
    dock.curves.set_sequence(Mprage.from_typical())
    dock.curves.setting.choose("inversion_time")
    hover(viewer, 0.45, 0.55)
    shoot(viewer, folder / "inspect-pins.png")
    dock.unpin()
    paint(viewer, t1)
    dock.curves.set_sequence(T2Flair.from_typical())
    dock.curves.setting.choose("inversion_time")
    wait_until(lambda: "Label 3" in dock.curves.table.text())
    shoot(viewer, folder / "inspect-regions.png")


def design(viewer: napari.Viewer, dock: InspectWidget, folder: Path) -> None:
    """Pictures of a search while it runs, of its outcome, of a cancelled one, and of one that fails."""
    fold(dock, 1)
    dock.curves.set_sequence(SpinEcho.from_typical())
    panel = dock.design
    panel.run_panel.run_button.native.click()
    wait_until(lambda: panel.run_panel.bar.value > 300 or not panel.run_panel.is_running)
    shoot(viewer, folder / "inspect-searching.png")
    wait_until(lambda: not panel.run_panel.is_running)
    shoot(viewer, folder / "inspect-best.png")
    panel.run_panel.run_button.native.click()
    panel.run_panel.cancel_button.native.click()
    wait_until(lambda: not panel.run_panel.is_running)
    shoot(viewer, folder / "inspect-cancelled.png")
    panel.run_panel.start(failing)
    wait_until(lambda: not panel.run_panel.is_running)
    shoot(viewer, folder / "inspect-error.png")


def failing() -> Generator[Progress, None, None]:
    """Stand in for a search that finds nothing, to show what that looks like."""
    yield Progress(0.0, "Trying settings")
    raise ValueError("no settings within the limits distinguish the two regions: widen the limits.")


def table(viewer: napari.Viewer, dock: InspectWidget, folder: Path) -> None:
    """Pictures of the table, and of LR against SR."""
    fold(dock, 2)
    panel = dock.table
    panel.run_panel.run_button.native.click()
    wait_until(lambda: not panel.run_panel.is_running)
    shoot(viewer, folder / "inspect-table.png")
    panel.agreement.points.choose("voxels")
    wait_until(lambda: "voxels:" in panel.agreement.summary.text())
    wait(0.2)
    dock.findChild(QScrollArea).ensureWidgetVisible(panel.agreement.summary)
    shoot(viewer, folder / "inspect-agreement.png")


def lesions(viewer: napari.Viewer, dock: InspectWidget, folder: Path, voxel_size: float) -> None:
    """Pictures of the best contrast of a mask of lesions against the tissue around them."""
    head = make_phantom(voxel_size, extent=SLAB)
    mask = (np.asarray(head.labels) == 1 + CLASSES.index("lesion")).astype(np.int32)
    layer = add_volume(viewer, Volume(data=mask, grid=head.maps.grid, name="lesions", suffix="dseg"))
    layer.contour = 1
    viewer.dims.set_point(0, layer.data_to_world((int(mask.sum((0, 1)).argmax()), 0, 0))[0])
    fold(dock, 1)
    dock.regions.choose(layer)
    for sequence, name in ((T2Flair.from_typical(), "lesion"), (Mp2rageUni.from_typical(), "mp2rage")):
        show_only(viewer, layer)
        dock.curves.set_sequence(sequence)
        dock.design.nulled.choose(CSF if name == "lesion" else None)
        dock.design.run_panel.run_button.native.click()
        wait_until(lambda: not dock.design.run_panel.is_running)
        dock.design.show_button.native.click()
        shoot(viewer, folder / f"inspect-{name}.png")


def add_volume(viewer: napari.Viewer, volume: Volume) -> Layer:
    """Add a volume as the reader would."""
    return viewer.add_layer(Layer.create(*to_layer_data(volume)))


def paint(viewer: napari.Viewer, t1: Layer) -> Labels:
    """Label white matter, grey matter and CSF in a few slices, by their T1."""
    n = len(t1.data)
    chosen = np.zeros(t1.data.shape, np.int32)
    inside = slice(n * SLICES.start // 40, max(n * SLICES.stop // 40, n * SLICES.start // 40 + 1))
    for label, (low, high) in RANGES.items():
        part = chosen[inside]
        part[brain(t1.data) & (t1.data[inside] > low) & (t1.data[inside] < high)] = label
    scale, origin = np.diag([*t1.scale[::-1], 1.0]), t1.translate[::-1]
    scale[:3, 3] = origin
    data = chosen.transpose(2, 1, 0)
    volume = Volume(data=data, grid=VoxelGrid(data.shape, scale), name="regions", suffix="dseg")
    layer = add_volume(viewer, volume)
    layer.opacity = 0.5
    show_only(viewer, layer, viewer.layers["PD SR"])
    viewer.dims.set_point(0, t1.data_to_world((inside.start, 0, 0))[0])
    return layer


def show_only(viewer: napari.Viewer, *layers: Layer) -> None:
    """Hide all other layers."""
    for layer in viewer.layers:
        layer.visible = layer in layers


def brain(data: np.ndarray) -> np.ndarray:
    """An ellipse in a slice that leaves out the scalp."""
    rows, columns = (np.linspace(-1, 1, length) for length in data.shape[1:])
    return (rows[:, None] / 0.72) ** 2 + (columns / 0.66) ** 2 < 1


def voxel_like(data: np.ndarray, limits: tuple[float, float], index: int, share: float) -> tuple[int, int, int]:
    """A voxel of a slice with a value between limits, below a share of those."""
    row, column = np.nonzero(brain(data) & (data[index] > limits[0]) & (data[index] < limits[1]))
    chosen = round(share * len(row))
    return index, int(row[chosen]), int(column[chosen])


def hover(viewer: napari.Viewer, x: float, y: float) -> None:
    """Hold the mouse over a place of the canvas, in shares of its size."""
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, QPoint(round(x * canvas.width()), round(y * canvas.height())))
    QTest.qWait(100)
    QTest.mouseMove(canvas, QPoint(round(x * canvas.width()) + 1, round(y * canvas.height())))
    QTest.qWait(100)


def fold(dock: InspectWidget, index: int) -> None:
    """Unfold one part of the dock and fold the others."""
    for part, panel in enumerate((dock.curves, dock.design, dock.table)):
        parent = panel.parent()
        if isinstance(parent, Foldable):
            parent.set_unfolded(part == index)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "images")
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the guides, in mm")
    words = parser.parse_args()
    main(words.folder, words.voxel_size)
