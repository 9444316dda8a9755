"""Walk through every state of the docks and save a picture of each into a folder.

Run it with a display, or with ``xvfb-run -a -s "-screen 0 1600x1200x24" python widget_tour.py``. The volumes
are the plugin's own phantom; the folder is ``docs/images`` unless another one is given.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_swig_qmri._widgets.super_resolve import SuperResolveWidget
from napari_swig_qmri._widgets.synthesize import SynthesizeWidget

PLUGIN = "napari-swig-qmri"


def main(folder: Path) -> None:
    """Show the docks empty, ready, running, done and with problems."""
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer(ndisplay=2)
    viewer.window.resize(1500, 1050)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Super-resolve")
    shoot(viewer, folder / "super-resolve-empty.png")
    viewer.open_sample(PLUGIN, "low_resolution_case")
    super_resolve(viewer, dock, folder)
    viewer.window.remove_dock_widget(dock.parent())
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Synthesize")
    synthesize(viewer, dock, folder)
    viewer.close()


def super_resolve(viewer: napari.Viewer, dock: SuperResolveWidget, folder: Path) -> None:
    """Pictures of one run, of a cancelled one, and of settings that cannot be."""
    wait_until(dock.run.run_button.isEnabled)
    shoot(viewer, folder / "super-resolve-ready.png")
    echo_time = dock.guides.rows[0].editor.parameter_boxes()["echo_time"]
    dock.guides.rows[0].fold.set_unfolded(True)
    kept, echo_time.value = echo_time.value, 100_000
    shoot(viewer, folder / "super-resolve-problem.png")
    echo_time.value = kept
    dock.guides.rows[0].fold.set_unfolded(False)
    wait_until(dock.run.run_button.isEnabled)
    dock.run.run_button.click()
    wait_until(lambda: dock.run.bar.value() > 300 or not dock.run.is_running)
    shoot(viewer, folder / "super-resolve-running.png")
    wait_until(lambda: not dock.run.is_running)
    shoot(viewer, folder / "super-resolve-done.png")
    dock.run.run_button.click()
    wait_until(lambda: dock.run.bar.value() > 0 or not dock.run.is_running)
    dock.run.cancel_button.click()
    wait_until(lambda: not dock.run.is_running)
    shoot(viewer, folder / "super-resolve-cancelled.png")


def synthesize(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """Pictures before and after a contrast is added, and of another sequence."""
    shoot(viewer, folder / "synthesize-ready.png")
    dock.add_contrast()
    viewer.reset_view()
    shoot(viewer, folder / "synthesize-flair.png")
    dock.editor.sequence_box.value = "mprage"
    wait(0.5)
    shoot(viewer, folder / "synthesize-mprage.png")


def shoot(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the whole window once it has settled."""
    wait(0.4)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(path)


def wait_until(is_true: Callable[[], bool], limit: float = 120.0) -> None:
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
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "images")
