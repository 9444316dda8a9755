"""LR maps along the axes of the HR grid: exchanged and flipped exactly, or resampled where they are rotated."""

from __future__ import annotations

import numpy as np
import pytest
from engine_cases import textured
from laws import blob
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff
from volume_cases import rotation

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.alignment import align_axes

HR = VoxelGrid((24, 20, 16), from_matvec(np.eye(3), [5, 6, 7]))
LR = HR.with_shape((12, 10, 8))


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIL", "RAS"])
def test_maps_get_the_order_and_direction_of_the_axes_of_the_hr_grid(codes):
    maps, orientation = textured(LR.shape), axcodes2ornt(codes)
    data = np.stack([apply_orientation(volume, orientation) for volume in maps])
    grid = VoxelGrid(data.shape[1:], LR.affine @ inv_ornt_aff(orientation, LR.shape))
    back = drained(align_axes(QuantitativeMaps(data=data, grid=grid), HR, notices := []))
    np.testing.assert_array_equal(back.data, maps)
    np.testing.assert_allclose(back.grid.affine, LR.affine, atol=1e-12)
    assert notices == []


def test_rotated_maps_are_resampled_to_where_they_are_in_the_world():
    """A blob on a rotated grid around the HR grid, with a voxel that was not measured."""
    affine = rotation((0, 0, 7)) @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -2, -4, -1
    turned, centre = VoxelGrid((20, 18, 16), affine), np.array([18.0, 15.0, 14.0])
    data = np.stack([offset + blob(turned, centre, 5).numpy() for offset in (1, 2, 3)])
    data[:, 0, 0, 0] = np.nan
    aligned = drained(align_axes(QuantitativeMaps(data=data, grid=turned), HR, notices := []))
    assert notices == [
        "The maps are rotated by more than 0.5 degrees against the high-resolution grid and were resampled to its axes "
        "at their own voxel size."
    ]
    relative_axes(HR, aligned.grid)  # parallel axes of the same order
    assert aligned.grid.shape == (12, 10, 8)
    np.testing.assert_allclose(aligned.grid.voxel_size, 2)
    expected = blob(aligned.grid, centre, 5).numpy()
    for volume, offset in zip(aligned.data, (1, 2, 3), strict=True):
        np.testing.assert_allclose(volume, offset + expected, atol=0.01)
