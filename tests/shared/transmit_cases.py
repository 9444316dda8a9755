"""A B1+ map that the tests of the transmit field share."""

from __future__ import annotations

from typing import Any

import numpy as np
from widget_cases import HR

from napari_swig_qmri.data.volumes import Volume, VoxelGrid


def field_map(value: float, grid: VoxelGrid = HR, **more: Any) -> Volume:
    """A B1+ map that rises by 0.2 along x, from `value`."""
    data = (value + np.linspace(0, 0.2, grid.shape[0])[:, None, None] + np.zeros(grid.shape)).astype(np.float32)
    return Volume(data=data, grid=grid, name="sub-01 TB1map", suffix="TB1map", unit="arbitrary", **more)
