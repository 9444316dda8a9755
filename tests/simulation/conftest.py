"""An anatomy that several test modules share."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.simulation.label_maps import Anatomy, labels_of


@pytest.fixture(scope="session")
def layered_anatomy() -> Anatomy:
    """White matter around a block of grey matter and a block of CSF, air at one end."""
    grid = VoxelGrid((48, 40, 32), np.diag([0.5, 0.5, 0.5, 1.0]))
    white, grey, csf = labels_of(("white", "grey", "csf"))
    labels = np.full(grid.shape, white, np.uint8)
    labels[10:24, 10:30, 8:24] = grey
    labels[30:40, 10:30, 8:24] = csf
    labels[:4] = 0
    return Anatomy(labels, grid)
