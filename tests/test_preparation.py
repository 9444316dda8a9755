"""Volumes of any grid, with gaps, made ready for the solvers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import degraded, textured
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff

from napari_swig_qmri.preparation import WATER_PD, choose_hr_grid, parallel, prepare, resampled
from napari_swig_qmri.volumes import QuantitativeMaps, VoxelGrid, WeightedImage


@pytest.fixture
def box():
    """LR maps and two guides of a box of tissue."""
    grid = VoxelGrid((24, 20, 16), from_matvec(np.eye(3), [5, 6, 7]))
    return degraded(QuantitativeMaps(data=textured(grid.shape), grid=grid))


def prepared(lr, guides, mask=None):
    return prepare(lr, guides, guides[0].grid, mask)


def test_pd_is_scaled_to_water_and_its_unit_is_kept(box):
    lr, guides = box
    scale = np.array([300.0, 1, 1]).reshape(3, 1, 1, 1)
    problem = prepared(replace(lr, data=lr.data * scale), guides)
    assert float(problem.lr_maps[0].median()) == pytest.approx(WATER_PD, rel=1e-3)
    np.testing.assert_allclose(problem.lr_maps[0] * problem.pd_unit, 300 * lr["PD"], rtol=1e-5)
    np.testing.assert_allclose(problem.lr_maps[1:], lr.data[1:], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gaps_are_marked_and_counted_and_hold_finite_numbers(box, bad):
    lr, guides = box
    data, image = lr.data.copy(), guides[0].data.copy()
    data[2, 3, 3, 3] = bad
    data[:, 5, 5, 5] = 0
    image[7, 8, 9] = bad
    problem = prepared(replace(lr, data=data), [replace(guides[0], data=image), guides[1]])
    gaps = set(map(tuple, np.argwhere(~problem.lr_valid.numpy()).tolist()))
    assert gaps == {(3, 3, 3), (5, 5, 5)}
    assert np.argwhere(~problem.guide_valid.numpy()).tolist() == [[0, 7, 8, 9]]
    assert torch.isfinite(problem.lr_maps).all()
    assert torch.isfinite(problem.guides).all()
    assert problem.notices == (
        "1 voxels of the low-resolution maps are not finite and count as not measured.",
        "1 voxels of T1w have no value and are not used.",
    )


def test_zeros_cut_away_around_a_guide_are_not_used(box):
    lr, guides = box
    image = guides[0].data.copy()
    image[:6] = 0
    problem = prepared(lr, [replace(guides[0], data=image), guides[1]])
    assert not problem.guide_valid[0, :6].any()
    assert problem.guide_valid[0, 6:].all()
    assert problem.guide_valid[1].all()


def test_a_mask_says_where_tissue_is_looked_for(box):
    lr, guides = box
    mask = np.zeros(guides[0].grid.shape)
    mask[:12] = 1
    tissue = prepared(lr, guides, mask).tissue
    assert tissue[:6].any()
    assert not tissue[7:].any()


def test_missing_maps_are_assumed_and_said(box):
    lr, guides = box
    problem = prepared(QuantitativeMaps(data=lr.data[1:2], grid=lr.grid, names=("T1",)), guides)
    assert problem.measured == (False, True, False)
    assert [notice.split(":")[0] for notice in problem.notices] == ["There is no PD map", "There is no T2 map"]
    assert problem.lr_maps[0].unique().numel() == 1


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIL", "RAS"])
def test_maps_get_the_order_and_direction_of_the_axes_of_the_hr_grid(box, codes):
    lr, guides = box
    orientation = axcodes2ornt(codes)
    data = np.stack([apply_orientation(volume, orientation) for volume in lr.data])
    grid = VoxelGrid(data.shape[1:], lr.grid.affine @ inv_ornt_aff(orientation, lr.grid.shape))
    back = parallel(QuantitativeMaps(data=data, grid=grid), guides[0].grid, notices := [])
    np.testing.assert_array_equal(back.data, lr.data)
    np.testing.assert_allclose(back.grid.affine, lr.grid.affine, atol=1e-12)
    assert notices == []


def ramp(grid, name="T2w"):
    """An image that is the world x position, offset to be positive."""
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    return WeightedImage(data=grid.world(voxels)[..., 0] + 100, grid=grid, name=name)


@pytest.mark.parametrize("size", [0.6, 1.0, 2.5])
def test_guides_are_resampled_to_where_they_are_in_the_world(size):
    target = VoxelGrid((12, 12, 12), np.eye(4))
    n = int(30 / size)
    source = VoxelGrid((n, n, n), from_matvec(np.eye(3) * size, [-9.3, -8.7, -9.1]))
    moved = resampled(ramp(source), target, notices := [])
    np.testing.assert_allclose(moved.data, ramp(target).data, atol=0.02)
    assert notices == ["T2w lies on another grid and was resampled to the high-resolution grid."]


def test_outside_the_guide_there_is_no_value():
    target = VoxelGrid((12, 12, 12), np.eye(4))
    source = VoxelGrid((6, 12, 12), from_matvec(np.eye(3), [0.5, 0.5, 0.5]))
    moved = resampled(ramp(source), target, [])
    assert np.isnan(moved.data[7:]).all()
    assert np.isfinite(moved.data[1:5, 1:11, 1:11]).all()


def test_a_guide_on_the_grid_is_left_as_it_is():
    image = ramp(VoxelGrid((6, 6, 6), np.eye(4)))
    nearly = VoxelGrid((6, 6, 6), from_matvec(np.eye(3), [0.001, 0, 0]))
    moved = resampled(image, nearly, notices := [])
    assert moved.data is image.data
    assert moved.grid is nearly
    assert notices == []


def test_the_hr_grid_is_that_of_the_finest_guide_or_as_asked(box):
    lr, guides = box
    coarse = replace(ramp(guides[0].grid.with_shape((12, 10, 16))), name="coarse")
    assert choose_hr_grid(lr, [coarse, guides[0]], None, None) is guides[0].grid
    assert choose_hr_grid(lr, [coarse, guides[0]], None, 0) is coarse.grid
    assert choose_hr_grid(lr, [], None, None) is lr.grid
    assert choose_hr_grid(lr, [], 0.5, None).shape == (48, 40, 32)
    asked = choose_hr_grid(lr, [coarse, guides[0]], (2, 1, 4), 0)
    assert asked.shape == (12, 20, 4)
    np.testing.assert_allclose(asked.voxel_size, (2, 1, 4))
    np.testing.assert_allclose(asked.field_of_view, guides[0].grid.field_of_view)
