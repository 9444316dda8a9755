"""Maps of two resolutions, an acquired image and a mask that the tests of a comparison share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from napari.components import ViewerModel
from widget_cases import MEDIANS, add, make_map

from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.physics.signal_models import TurboSpinEcho
from napari_swig_qmri.synthesis.lazy_contrast import synthesise

GRID = VoxelGrid((24, 28, 20), np.diag([1.0, 1.0, 1.0, 1.0]))
MADE = {"GeneratedBy": [generated_by()], "Parameters": {}}
T2W = TurboSpinEcho.from_typical()
GAIN = 250.0


@cache
def acquired() -> Volume:
    """A T2w image of the SR maps in scanner units."""
    data = GAIN * synthesise(T2W, *(make_map(suffix, GRID).data for suffix in MEDIANS))
    return Volume(data=data, grid=GRID, name="sub-01 T2w", suffix="T2w", sidecar=to_sidecar(T2W))


def comparison_viewer(tilt: np.ndarray | None = None) -> ViewerModel:
    """A viewer in the radiological view with LR maps, SR maps, the T2w image of the SR maps, and a drawn mask.

    `tilt` (4, 4) turns the head about the origin of the scanner.
    """
    viewer = ViewerModel()
    viewer.scene.camera.orientation2d = ("up", "left")
    hr = GRID if tilt is None else VoxelGrid(GRID.shape, tilt @ GRID.affine)
    add(viewer, *[make_map(suffix, hr.with_shape((12, 14, 10))) for suffix in MEDIANS])
    add(viewer, *[make_map(suffix, hr, sidecar=MADE, name=f"{suffix} SR") for suffix in MEDIANS])
    add(viewer, replace(acquired(), grid=hr))
    mask = np.zeros(GRID.shape[::-1], np.uint8)
    mask[4:16, 5:23, 5:20] = 1
    viewer.add_labels(mask, name="brain")
    return viewer
