"""The HR grid: that of the finest guide or of the reference, in any voxels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.super_resolution.solver.hr_grid import choose_hr_grid, reference_index

GRID = VoxelGrid((24, 20, 16), np.eye(4))
LR = QuantitativeMaps(data=np.ones((3, 12, 10, 8)), grid=GRID.with_shape((12, 10, 8)))


def image(shape):
    return WeightedImage(data=np.ones(shape), grid=GRID.with_shape(shape), name="guide")


COARSE, FINE = image((12, 10, 16)), image(GRID.shape)


def test_the_grid_is_that_of_the_finest_guide_or_of_the_reference():
    assert choose_hr_grid(LR, [COARSE, FINE], None, None) is FINE.grid
    assert choose_hr_grid(LR, [COARSE, FINE], None, 0) is COARSE.grid
    assert choose_hr_grid(LR, [], None, None) is LR.grid
    assert reference_index([COARSE, FINE], None) == 1


def test_other_voxels_keep_the_field_of_view():
    assert choose_hr_grid(LR, [], 0.5, None).shape == (48, 40, 32)
    grid = choose_hr_grid(LR, [COARSE, FINE], (2, 1, 4), 0)
    assert grid.shape == (12, 20, 4)
    np.testing.assert_allclose(grid.voxel_size, (2, 1, 4))
    np.testing.assert_allclose(grid.field_of_view, GRID.field_of_view)


def test_a_reference_that_is_no_guide_is_refused():
    with pytest.raises(ValueError, match="the reference must be a guide from 0 to 1, but it is 2"):
        choose_hr_grid(LR, [COARSE, FINE], None, 2)
