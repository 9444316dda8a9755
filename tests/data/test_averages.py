"""Averages over larger voxels: the laws of an operator, and slices worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import assert_adjoint, assert_linear, blob, centroid
from nibabel.affines import from_matvec

from napari_swig_qmri.data.averages import averaging_matrix, voxel_averages
from napari_swig_qmri.data.volumes import VoxelGrid

HR = VoxelGrid((16, 14, 24), from_matvec(np.diag([1.0, 1.0, 1.0]), [-20, 3, 7]))
GRIDS = {
    "slices of 3 mm": HR.with_shape((16, 14, 8)),
    "slices of 2.4 mm": HR.with_shape((16, 14, 10)),
    "shifted in plane": VoxelGrid((14, 12, 8), from_matvec(np.diag([1.0, 1.0, 3.0]), [-18.7, 4.4, 8.0])),
    "larger field of view": VoxelGrid((16, 14, 12), from_matvec(np.diag([1.0, 1.0, 3.0]), [-20, 3, 2.0])),
}
grids = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


@grids
def test_adjoint_linear_and_constants(grid):
    average, seen = voxel_averages(HR, grid, torch.float64)
    assert_adjoint(average, (2, *HR.shape), (2, *grid.shape))
    assert_linear(average, HR.shape)
    ones = average(torch.ones(HR.shape, dtype=torch.float64))
    torch.testing.assert_close(ones[seen], torch.ones(int(seen.sum()), dtype=torch.float64))


@grids
def test_a_blob_keeps_its_place_in_the_world(grid):
    image = blob(HR, HR.centre, 1.5)
    average, _ = voxel_averages(HR, grid, torch.float64)
    np.testing.assert_allclose(centroid(average(image), grid), HR.centre, atol=0.02)


def test_weights_are_the_share_of_each_hr_voxel():
    """Two voxels of 1.5 HR voxels, worked by hand; nothing is averaged over voxels that are hardly larger."""
    np.testing.assert_allclose(averaging_matrix(3, 2, 1.5, 0.25), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    np.testing.assert_allclose(averaging_matrix(5, 3, 1.0, 1.0), np.eye(5)[1:4], atol=1e-12)


def test_slices_that_leave_the_field_of_view_are_not_seen():
    """Slices of 3 mm with centres from -5 mm on, against HR voxels whose edges are at -0.5 and 23.5 mm."""
    _, seen = voxel_averages(HR, GRIDS["larger field of view"])
    np.testing.assert_array_equal(seen[0, 0], [False, False, *[True] * 8, False, False])
