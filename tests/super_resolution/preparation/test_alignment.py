"""Grids with parallel axes in any order, and LR maps in the order of the axes of the HR grid."""

from __future__ import annotations

import numpy as np
import pytest
from engine_cases import textured
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff
from volume_cases import CODES, rotation

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.super_resolution.preparation.alignment import align_axes, is_parallel, reordered

HR = VoxelGrid((24, 20, 16), from_matvec(np.eye(3), [5, 6, 7]))
LR = HR.with_shape((12, 10, 8))


def stored(grid, codes):
    orientation = axcodes2ornt(codes)
    shape = tuple(grid.shape[i] for i in np.argsort(orientation[:, 0]))
    return VoxelGrid(shape, grid.affine @ inv_ornt_aff(orientation, grid.shape))


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIL", "RAS"])
def test_maps_get_the_order_and_direction_of_the_axes_of_the_hr_grid(codes):
    maps, orientation = textured(LR.shape), axcodes2ornt(codes)
    data = np.stack([apply_orientation(volume, orientation) for volume in maps])
    back = align_axes(QuantitativeMaps(data=data, grid=stored(LR, codes)), HR)
    np.testing.assert_array_equal(back.data, maps)
    np.testing.assert_allclose(back.grid.affine, LR.affine, atol=1e-12)


def test_axes_are_parallel_in_every_order_and_direction_but_not_when_tilted():
    tilt = rotation((0, 0.3, 0))  # 0.1 mm over 19 mm
    for codes in CODES:
        turned = stored(LR, codes)
        assert is_parallel(turned, HR)
        assert reordered(turned, HR).is_aligned_with(LR, 1e-9)
        assert not is_parallel(VoxelGrid(turned.shape, tilt @ turned.affine), HR)
        assert is_parallel(VoxelGrid(turned.shape, turned.affine.astype(np.float32)), HR)


def test_a_short_grid_is_not_parallel_to_a_long_one_that_leaves_its_axes():
    short, tilt = VoxelGrid((4, 4, 4), np.eye(4)), rotation((0, 0, 0.3))
    assert is_parallel(VoxelGrid((4, 4, 4), tilt), short)
    assert not is_parallel(short, VoxelGrid((200, 200, 4), tilt))
