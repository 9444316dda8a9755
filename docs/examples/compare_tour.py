"""Compare contrasts in the Synthesize dock, and save a picture of each way to look at them.

    python docs/examples/compare_tour.py [FOLDER] [--voxel-size 1]

The volumes are a slab of the built-in head: LR maps, a T1w and a T2w image, and maps that stand in for super-resolved
ones (the truth with 3 % noise). A whole head in three planes comes last, if the extra ``views`` is installed. Pictures
go to ``docs/images`` unless another folder is given. On a machine without a screen, put
``xvfb-run -a -s "-screen 0 1600x1200x24"`` in front.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import napari
import numpy as np
from napari.layers import Layer
from qtpy.QtWidgets import QScrollArea, QWidget
from widget_tour import FIELD, LOW_WINDOW, PLUGIN, SLAB, WINDOW, open_case, shoot, wait, wait_until

from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.simulation.phantom import make_phantom

NOISE = 0.03  # relative, of the maps that stand in for super-resolved ones


def main(folder: Path, voxel_size: float) -> None:
    """Show panes with scores, a swipe, a checkerboard and a sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Synthesize")
    open_case(viewer, voxel_size)
    add_stand_in(viewer, voxel_size)
    compare(viewer, dock, folder)
    blend(viewer, dock, folder)
    viewer.window.resize(*LOW_WINDOW)
    sheet(viewer, dock, folder)
    if importlib.util.find_spec("napari_orthogonal_views"):
        viewer.window.resize(*WINDOW)
        orthogonal(viewer, dock, folder, 2 * voxel_size)
    viewer.close()


def add_stand_in(viewer: napari.Viewer, voxel_size: float) -> None:
    """Add the true maps with noise, marked as those of a run."""
    truth = make_phantom(voxel_size, extent=SLAB).maps
    noise = np.random.default_rng(3).normal(1, NOISE, truth.data.shape)
    maps = QuantitativeMaps(data=(truth.data * noise).astype(np.float32), grid=truth.grid)
    made = {"GeneratedBy": [generated_by()], "Parameters": {}} | FIELD
    for layer in to_layers(map_volumes(maps, "SR", made)):
        viewer.add_layer(Layer.create(*layer))


def compare(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """Four panes of a T2w contrast with their scores."""
    dock.editor.sequence_box.value = "tse"
    dock.compare.button.native.click()
    wait_until(lambda: bool(dock.compare.table.text()))
    viewer.reset_view()
    shoot(viewer, folder / "compare-panes.png")


def blend(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """A curtain and a checkerboard of the contrasts of LR and SR maps."""
    dock.blend.first_box.value, dock.blend.second_box.value = dock.compare.contrasts
    unfold(dock, 0)
    for mode in ("swipe", "checkerboard"):
        dock.blend.mode_box.value = mode
        show(dock, dock.blend)
        shoot(viewer, folder / f"compare-{mode}.png")
    dock.blend.mode_box.value = "off"


def sheet(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path) -> None:
    """Four contrasts of the SR maps."""
    unfold(dock, 1)
    dock.sheet.show_button.native.click()
    wait_until(lambda: len(dock.sheet.layers) == 4 and not dock.sheet.is_adding)
    wait(0.5)
    viewer.reset_view()
    show(dock, dock.sheet)
    shoot(viewer, folder / "compare-sheet.png")


def orthogonal(viewer: napari.Viewer, dock: SynthesizeWidget, folder: Path, voxel_size: float) -> None:
    """A T2-FLAIR of a whole head in three planes, which the extra ``views`` shows."""
    manager = importlib.import_module("napari_orthogonal_views.ortho_view_manager")
    unfold(dock, -1)
    viewer.layers.clear()
    for layer in to_layers(map_volumes(make_phantom(voxel_size).maps, "LR", FIELD)):
        viewer.add_layer(Layer.create(*layer))
    dock.editor.sequence_box.value = "t2-flair"
    dock.add_button.native.click()
    manager.show_orthogonal_views(viewer)
    wait(1.0)
    viewer.reset_view()
    wait(0.5)
    shoot(viewer, folder / "compare-orthogonal.png")
    manager.hide_orthogonal_views(viewer)
    wait(0.5)


def unfold(dock: SynthesizeWidget, chosen: int) -> None:
    """Open one part of the dock and close the others."""
    for index, fold in enumerate(dock.folds):
        fold.set_unfolded(index == chosen)


def show(dock: SynthesizeWidget, part: QWidget) -> None:
    """Scroll to a part of the dock."""
    wait(0.3)
    dock.findChild(QScrollArea).ensureWidgetVisible(part, 0, part.height())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "images")
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the images, in mm")
    words = parser.parse_args()
    main(words.folder, words.voxel_size)
