"""The HR grid: that of a guide where this is possible, else parallel to the maps and as fine as the guides per axis."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import from_matvec
from nibabel.orientations import axcodes2ornt, inv_ornt_aff
from volume_cases import CODES, rotation

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.super_resolution.preparation.hr_grid import choose_hr_grid, hr_grid_notices, reference_index

GRID = VoxelGrid((24, 20, 16), np.eye(4))
LR = QuantitativeMaps(data=np.ones((3, 12, 10, 8)), grid=GRID.with_shape((12, 10, 8)))


def image(grid, name="guide"):
    return WeightedImage(data=np.ones(grid.shape), grid=grid, name=name)


def tilted(grid, degrees, about=(11.5, 9.5, 7.5)):
    """Grid turned about a point of the world."""
    turn = rotation(degrees)
    return VoxelGrid(
        grid.shape, from_matvec(np.eye(3), about) @ turn @ from_matvec(np.eye(3), -np.array(about)) @ grid.affine
    )


COARSE, FINE = image(GRID.with_shape((12, 10, 16))), image(GRID)
THICK = image(GRID.with_shape((48, 40, 4)), "thick")  # 0.5 x 0.5 x 4 mm


def test_the_grid_is_that_of_the_finest_guide_or_of_the_reference():
    assert choose_hr_grid(LR, [COARSE, FINE], None, None) is FINE.grid
    assert choose_hr_grid(LR, [COARSE, FINE], None, 0) is COARSE.grid
    assert choose_hr_grid(LR, [], None, None) is LR.grid
    assert reference_index([COARSE, FINE], None) == 1
    assert hr_grid_notices(LR, [COARSE, FINE], FINE.grid) == ()


@pytest.mark.parametrize("codes", CODES)
def test_a_parallel_guide_keeps_its_grid_in_any_storage_order(codes):
    orientation = axcodes2ornt(codes)
    shape = tuple(GRID.shape[i] for i in np.argsort(orientation[:, 0]))
    grid = VoxelGrid(shape, GRID.affine @ inv_ornt_aff(orientation, GRID.shape))
    assert choose_hr_grid(LR, [image(grid)], None, None) is grid


def test_each_axis_has_the_voxels_of_the_guide_that_is_finest_along_it_but_none_coarser_than_the_maps():
    both = choose_hr_grid(LR, [FINE, THICK], None, None)
    assert both.is_aligned_with(GRID.with_shape((48, 40, 16)))
    alone = choose_hr_grid(LR, [THICK], None, None)
    assert alone.is_aligned_with(GRID.with_shape((48, 40, 8)))  # 2 mm, that of the maps
    assert choose_hr_grid(LR, [FINE, THICK], None, 1).is_aligned_with(alone)
    assert choose_hr_grid(LR, [FINE, THICK], None, 0) is FINE.grid
    seen = hr_grid_notices(LR, [FINE, THICK], both)
    assert "No guide has the voxels of the result, 0.5 × 0.5 × 1 mm" in seen[0]
    assert "thick has voxels of 0.5 × 0.5 × 4 mm, the maps of 2 × 2 × 2 mm" in seen[1]


def test_samples_of_the_finest_guide_are_kept_in_the_field_of_view_of_the_reference():
    """z positions 0.3, 1.3, ... of the fine guide inside 2 to 14 mm of the reference."""
    fine = VoxelGrid((24, 20, 30), from_matvec(np.eye(3), [0, 0, -4.7]))
    thick = VoxelGrid((96, 80, 3), from_matvec(np.diag([0.25, 0.25, 4]), [-0.375, -0.375, 4]))
    grid = choose_hr_grid(LR, [image(fine), image(thick)], None, None)
    np.testing.assert_allclose(grid.voxel_size, (0.25, 0.25, 1))
    np.testing.assert_allclose(grid.world(np.zeros(3)), (-0.375, -0.375, 2.3))
    assert grid.shape == (96, 80, 12)


@pytest.mark.parametrize("codes", ["RAS", "LSA", "PIR"])
def test_beside_a_tilted_guide_the_grid_follows_the_maps_in_the_storage_order_of_the_guide(codes):
    orientation = axcodes2ornt(codes)
    turned = tilted(GRID, (4, 3, 6))
    shape = tuple(GRID.shape[i] for i in np.argsort(orientation[:, 0]))
    guide = image(VoxelGrid(shape, turned.affine @ inv_ornt_aff(orientation, GRID.shape)))
    grid = choose_hr_grid(LR, [guide], None, None)
    stored = VoxelGrid(shape, GRID.affine @ inv_ornt_aff(orientation, GRID.shape))
    assert grid.is_aligned_with(stored, 1e-6)  # what the maps cover: the guide reaches beyond at every side
    (notice,) = hr_grid_notices(LR, [guide], grid)
    assert notice.startswith("Tilted against the maps: guide by 7.")
    finer = choose_hr_grid(LR, [guide], (1.5, 0.5, 2), None)
    np.testing.assert_allclose(finer.voxel_size, (1.5, 0.5, 2), rtol=0.04)


def test_a_tilted_guide_of_a_part_gives_its_bounding_box_on_whole_voxels():
    part = image(tilted(VoxelGrid((8, 8, 8), from_matvec(np.eye(3), [8, 6, 4])), (0, 0, 10)))
    grid = choose_hr_grid(LR, [part], None, None)
    assert grid.shape == (10, 10, 8)  # 8 (cos 10 + sin 10) = 9.3 mm
    np.testing.assert_allclose(grid.world(np.zeros(3)) % 1, 0, atol=1e-9)


def test_voxels_of_a_guide_along_the_maps_are_kept_beside_a_tilted_one():
    thick = image(tilted(THICK.grid, (4, 3, 6)), "thick")
    grid = choose_hr_grid(LR, [FINE, thick], None, None)
    assert grid.is_aligned_with(GRID.with_shape((48, 40, 16)), 1e-6)
    assert choose_hr_grid(LR, [FINE, thick], None, 0) is FINE.grid


def test_other_voxels_keep_the_field_of_view():
    assert choose_hr_grid(LR, [], 0.5, None).shape == (48, 40, 32)
    grid = choose_hr_grid(LR, [COARSE, FINE], (2, 1, 4), 0)
    assert grid.shape == (12, 20, 4)
    np.testing.assert_allclose(grid.voxel_size, (2, 1, 4))
    np.testing.assert_allclose(grid.field_of_view, GRID.field_of_view)


def of_a_part(shape, corner, *, padded=False):
    """LR maps of a box of the head; padded ones have the whole field of view, and no value outside the box."""
    data = np.full(LR.data.shape, np.nan)
    box = (slice(None), *(slice(first, first + n) for first, n in zip(corner, shape, strict=True)))
    data[box] = 1
    if padded:
        return QuantitativeMaps(data=data, grid=LR.grid)
    return QuantitativeMaps(data=data[box], grid=LR.grid.box(corner, shape))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(
    ("shape", "corner"), [((12, 10, 3), (0, 0, 2)), ((3, 10, 8), (9, 0, 0)), ((8, 2, 7), (1, 0, 1))]
)
@pytest.mark.parametrize("codes", ["RAS", "LSA", "PIR"])
@pytest.mark.parametrize("voxel_size", [None, 1.0])
def test_where_the_maps_end_inside_the_head_the_grid_ends_one_voxel_of_them_further(
    shape, corner, padded, codes, voxel_size
):
    orientation = axcodes2ornt(codes)
    stored = tuple(GRID.shape[i] for i in np.argsort(orientation[:, 0]))
    guide = image(VoxelGrid(stored, GRID.affine @ inv_ornt_aff(orientation, GRID.shape)))
    maps = of_a_part(shape, corner, padded=padded)
    grid = choose_hr_grid(maps, [guide], voxel_size, None)
    first, last = (grid.world(each) for each in (np.zeros(3), np.array(grid.shape) - 1))
    low, high = 2 * np.array(corner) - 2, 2 * (np.array(corner) + shape) + 1  # centres of the outer voxels in mm
    np.testing.assert_allclose(np.minimum(first, last), np.maximum(low, 0), atol=1e-6)
    np.testing.assert_allclose(np.maximum(first, last), np.minimum(high, np.array(GRID.shape) - 1), atol=1e-6)
    assert guide.grid.has_voxels_of(grid)
    (notice,) = hr_grid_notices(maps, [guide], grid)
    assert notice.startswith("The low-resolution maps cover ")
    assert notice.endswith(" in guide: the result ends where they do.")


def test_the_grid_beside_a_tilted_guide_ends_with_the_maps_as_well():
    maps = of_a_part((12, 10, 3), (0, 0, 2), padded=True)
    grid = choose_hr_grid(maps, [image(tilted(GRID, (4, 3, 6)))], None, None)
    assert grid.shape == (24, 20, 10)
    np.testing.assert_allclose(grid.world(np.zeros(3)), (0, 0, 2), atol=1e-6)


def test_maps_that_leave_out_air_or_little_of_the_head_keep_the_grid_of_the_guide():
    head = image(GRID)
    head.data[:, :, 12:] = 0.01
    assert choose_hr_grid(of_a_part((12, 10, 6), (0, 0, 0)), [head], None, None) is head.grid
    assert choose_hr_grid(of_a_part((11, 10, 8), (1, 0, 0)), [FINE], None, None) is FINE.grid


def test_a_reference_that_is_no_guide_is_refused():
    with pytest.raises(ValueError, match="the reference must be a guide from 0 to 1, but it is 2"):
        choose_hr_grid(LR, [COARSE, FINE], None, 2)
