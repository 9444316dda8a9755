"""Walk through every state of the docks and save a picture of each.

    python docs/examples/widget_tour.py [FOLDER] [--voxel-size 1]

The volumes are a slab of the built-in head; pictures go to ``docs/images`` unless another folder is given. On
a machine without a screen, put ``xvfb-run -a -s "-screen 0 1600x1200x24"`` in front.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Generator
from pathlib import Path

import napari
import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.simulation.phantom import make_phantom

PLUGIN = "napari-swig-qmri"
SLAB = ((-84, 84), (-124, 92), (0, 40))  # mm
GAINS = (812.0, 95.0)  # scanner units per unit of signal
FIELD = {"MagneticFieldStrength": 3.0}  # T
WINDOW = (1500, 1050)  # pixels
LOW_WINDOW = (1500, 820)  # pixels; two heads side by side fill its canvas


def main(folder: Path, voxel_size: float) -> None:
    """Show the docks empty, ready, with a problem, running, done, with a network, cancelled, and after an error."""
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    outer, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Super-resolve")
    shoot(viewer, folder / "super-resolve-empty.png")
    open_case(viewer, voxel_size)
    super_resolve(viewer, dock, folder)
    viewer.window.remove_dock_widget(outer)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Synthesize")
    synthesize(viewer, dock, folder)
    viewer.close()


def open_case(viewer: napari.Viewer, voxel_size: float, change: Callable[[list[Volume]], list[Volume]] = list) -> None:
    """Add LR maps with a T1w and a T2w guide, all with noise, as the reader would, after a `change` of the guides.

    The maps are fitted to signals of low resolution, as a scanner measures them: truncating the maps themselves
    would ring more, and a T2-FLAIR of them shows little else.
    """
    truth = make_phantom(voxel_size, extent=SLAB).maps
    sequences = {name: USUAL_GUIDES[name] for name in ("T1w", "T2w")}
    noise = {"map_noise": 0.01, "guide_noise": 0.01, "generator": np.random.default_rng(0)}
    lr_maps, guides = degrade(truth, 2, sequences, gains=GAINS, domain="signals", **noise)
    images = [
        Volume(
            data=guide.data,
            grid=guide.grid,
            name=guide.name,
            suffix=guide.name,
            sidecar=to_sidecar(sequences[guide.name]) | FIELD,
        )
        for guide in guides
    ]
    for layer in to_layers([*change(images), *map_volumes(lr_maps, "LR", FIELD)]):
        viewer.add_layer(Layer.create(*layer))
    viewer.reset_view()


def super_resolve(viewer: napari.Viewer, dock: SuperResolveWidget, folder: Path) -> None:
    """Pictures of settings that cannot be, of a run, of the network, and of a run that fails."""
    wait_until(lambda: dock.run_panel.run_button.enabled)
    shoot(viewer, folder / "super-resolve-ready.png")
    row = dock.guides.rows[0]
    echo_time = row.editor.parameter_boxes()["echo_time"]
    row.fold.set_unfolded(True)
    kept, echo_time.value = echo_time.value, 700
    shoot(viewer, folder / "super-resolve-problem.png")
    echo_time.value = kept
    row.fold.set_unfolded(False)
    wait_until(lambda: dock.run_panel.run_button.enabled)
    dock.run_panel.run_button.native.click()
    wait_until(lambda: dock.run_panel.bar.value > 400 or not dock.run_panel.is_running)
    shoot(viewer, folder / "super-resolve-running.png")
    wait_until(lambda: not dock.run_panel.is_running)
    shoot(viewer, folder / "super-resolve-done.png")
    used = dock.guides.rows[1].use_box
    used.value = False
    wait_until(lambda: dock.run_panel.run_button.enabled)
    shoot(viewer, folder / "super-resolve-guide-off.png")
    used.value = True
    network(viewer, dock, folder)
    dock.run_panel.start(failing)
    wait_until(lambda: not dock.run_panel.is_running)
    shoot(viewer, folder / "super-resolve-error.png")


def network(viewer: napari.Viewer, dock: SuperResolveWidget, folder: Path) -> None:
    """Pictures of the network as the method, of its result, and of its adaptation, which is cancelled."""
    dock.options_fold.set_unfolded(True)
    dock.options.method_box.value = "network"
    wait_until(lambda: dock.run_panel.run_button.enabled)
    dock.findChild(QScrollArea).ensureWidgetVisible(dock.options.weights_note)
    shoot(viewer, folder / "super-resolve-network.png")
    dock.options_fold.set_unfolded(False)
    dock.run_panel.run_button.native.click()
    wait_until(lambda: not dock.run_panel.is_running)
    wait_until(lambda: "Takes about" in dock.results.adapt_button.tooltip)
    shoot(viewer, folder / "super-resolve-network-done.png")
    dock.results.adapt_button.native.click()
    wait_until(lambda: dock.run_panel.bar.value > 700 or not dock.run_panel.is_running)
    shoot(viewer, folder / "super-resolve-adapting.png")
    dock.run_panel.cancel_button.native.click()
    wait_until(lambda: not dock.run_panel.is_running)
    shoot(viewer, folder / "super-resolve-cancelled.png")


def failing() -> Generator[Progress, None, None]:
    """Stand in for a run that cannot go on, to show what that looks like."""
    yield Progress(0.0, "Reading")
    raise ValueError("the guide 'T1w' holds no signal: all of its voxels are 0. Choose another layer.")


def synthesize(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """Pictures before and after a contrast is added, of its options, and of another sequence."""
    viewer.window.resize(*LOW_WINDOW)
    shoot(viewer, folder / "synthesize-ready.png")
    dock.add_contrast()
    wait(0.4)
    viewer.reset_view()
    shoot(viewer, folder / "synthesize-flair.png")
    drag(viewer, folder)
    dock.options.set_unfolded(True)
    dock.rendering.mark.value = True
    wait(0.4)
    dock.findChild(QScrollArea).ensureWidgetVisible(dock.auto_contrast.native)
    shoot(viewer, folder / "synthesize-options.png")
    dock.rendering.mark.value = False
    dock.options.set_unfolded(False)
    dock.editor.sequence_box.value = "mprage"
    wait(0.5)
    shoot(viewer, folder / "synthesize-mprage.png")
    presets(viewer, dock, folder)


def drag(viewer: napari.Viewer, folder: Path) -> None:
    """Picture of TI and TE while the mouse drags them over the canvas, and back."""
    canvas = viewer.window._qt_viewer.canvas.native
    start = QPoint(canvas.width() // 2, canvas.height() // 2)
    way = QPoint(-canvas.width() // 8, canvas.height() // 12)
    QTest.keyPress(canvas, Qt.Key.Key_Q)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    for place in (start + way / 2, start + way):
        QTest.mouseMove(canvas, place)
        wait(0.1)
    shoot(viewer, folder / "synthesize-drag.png")
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.keyRelease(canvas, Qt.Key.Key_Q)


def presets(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """Pictures of a preset, of a tissue that stays nulled, and of an equation."""
    panel = dock.panel
    panel.presets.preset_box.value = "DIR"
    wait(0.5)
    shoot(viewer, folder / "synthesize-preset.png")
    panel.presets.preset_box.value = "T2-FLAIR 2D"
    panel.null.tissue_box.value = "CSF"
    panel.editor.parameter_boxes()["repetition_time"].value = 6000
    wait(0.5)
    dock.findChild(QScrollArea).ensureWidgetVisible(panel.null)
    shoot(viewer, folder / "synthesize-null.png")
    panel.editor.sequence_box.value = "equation"
    panel.editor.equation_box.value = "PD * exp(-TE/T2) * (1 - exp(-TR/T1))**2"
    dock.findChild(QScrollArea).ensureWidgetVisible(panel.presets)
    wait(0.5)
    shoot(viewer, folder / "synthesize-equation.png")


def shoot(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the whole window once it has settled."""
    wait(0.4)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(path)


def wait_until(is_true: Callable[[], bool], limit: float = 600.0) -> None:
    """Let the window live until something holds; `limit` in s."""
    end = time.monotonic() + limit
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError("the window did not get where the tour goes next: look at its last picture.")
        wait(0.02)


def wait(seconds: float) -> None:
    """Let the window live for some time."""
    QTest.qWait(round(1000 * seconds))
    QApplication.processEvents()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "images")
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the guides, in mm")
    words = parser.parse_args()
    main(words.folder, words.voxel_size)
