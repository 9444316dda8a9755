"""Show what the Super-resolve dock says of right guides, of a moved one, and of guides that cannot be used.

    python docs/examples/doctor_tour.py [FOLDER] [--voxel-size 1]

The volumes are those of ``widget_tour.py``. On a machine without a screen, put
``xvfb-run -a -s "-screen 0 1600x1200x24"`` in front.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import napari
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation
from widget_tour import PLUGIN, WINDOW, open_case, shoot, wait_until

from napari_swig_qmri.data.volumes import Volume, VoxelGrid

SHIFT, TURN = (1.5, 1.0, 0.5), (1.0, 0.5, 2.0)  # mm, and degrees about x, y and z


def moved(guides: list[Volume]) -> list[Volume]:
    """The guides, the second of which has the header of another place."""
    first, second = guides
    move = from_matvec(Rotation.from_euler("xyz", TURN, degrees=True).as_matrix(), SHIFT)
    return [first, replace(second, grid=VoxelGrid(second.grid.shape, move @ second.grid.affine))]


def turned_over(guides: list[Volume]) -> list[Volume]:
    """The guides upside down under headers that say nothing of it."""
    return [replace(guide, data=guide.data[:, :, ::-1].copy()) for guide in guides]


CASES: Mapping[str, Callable[[list[Volume]], list[Volume]]] = {"good": list, "moved": moved, "unusable": turned_over}


def main(folder: Path, voxel_size: float) -> None:
    """Run each case in a window of its own and save its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, change in CASES.items():
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Super-resolve")
        open_case(viewer, voxel_size, change)
        wait_until(lambda dock=dock: dock.run_panel.run_button.enabled)
        dock.run_panel.run_button.native.click()
        wait_until(lambda dock=dock: not dock.run_panel.is_running)
        shoot(viewer, folder / f"doctor-{name}.png")
        viewer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "images")
    parser.add_argument("--voxel-size", type=float, default=1.0, help="of the guides in mm (1)")
    main(**vars(parser.parse_args()))
