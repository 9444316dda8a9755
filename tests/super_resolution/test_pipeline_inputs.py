"""Whole runs on maps and guides with gaps, lesions, and grids of their own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import GAINS, degraded, slab, textured
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff
from run_cases import NAMES, case, errors, relative, solved, tissue, usual, zero_filled
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.phantom import make_phantom

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_voxels_in_maps_are_reported_and_stay_where_they_are(bad):
    lr, guides = case()
    data = lr.data.copy()
    data[1, 10:12, 14, 6] = bad
    result = solved(replace(lr, data=data), guides)
    assert any(notice.startswith("2 voxels of the low-resolution maps") for notice in result.notices)
    assert np.isfinite(result.maps.data).all()
    assert np.isnan(result.lr_residual.data[:, 10:12, 14, 6]).all()
    far = tissue().copy()
    far[12:32, 20:38, 4:22] = False  # four LR voxels around
    assert relative(result.maps, usual().maps, far, share=0.99) < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_voxels_in_guides_are_reported_and_stay_where_they_are(bad):
    lr, guides = case()
    data = guides[0].data.copy()
    data[20:22, 28, 12] = bad
    result = solved(lr, [replace(guides[0], data=data), guides[1]])
    assert any(notice.startswith("2 voxels of T1w") for notice in result.notices)
    assert np.isfinite(result.maps.data).all()
    far = tissue().copy()
    far[12:30, 20:37, 4:21] = False
    assert relative(result.maps, usual().maps, far, share=0.99) < 0.01


def apart_from(cut, axis, distance):
    """Tissue at least `distance` voxels away from planes that are cut out of an axis."""
    voxels = np.arange(tissue().shape[axis])
    away = (voxels < cut.start - distance) | (voxels >= cut.stop + distance)
    return tissue() & np.moveaxis(away[:, None, None], 0, axis)


def median_error(maps, where, name="T1"):
    return float(np.median(np.abs(maps[name][where] / slab().maps[name][where] - 1)))


@pytest.mark.parametrize("n_guides", [0, 2])
@pytest.mark.parametrize("bad", [np.nan, 0])
def test_planes_without_a_value_do_not_ring_into_tissue(bad, n_guides):
    lr, guides = case()
    data = lr.data.copy()
    data[:, :, 12:16] = bad
    cut, options = slice(24, 32), {} if n_guides else {"voxel_size": 3.0}
    whole, gappy = (solved(maps, guides[:n_guides], **options).maps for maps in (lr, replace(lr, data=data)))
    assert np.isfinite(gappy.data).all()
    for distance, name, times in ((8, "T1", 1.15), (0, "PD", 1.25)):
        where = apart_from(cut, 1, distance)
        assert median_error(gappy, where, name) < times * median_error(whole, where, name)


@pytest.mark.parametrize("bad", [np.nan, 0])
def test_planes_of_a_guide_without_a_value_do_not_ring_into_tissue(bad):
    lr, guides = case()
    data = guides[0].data.copy()
    data[..., 8:12] = bad
    result = solved(lr, [replace(guides[0], data=data), guides[1]])
    where = apart_from(slice(8, 12), 2, 0)
    assert median_error(result.maps, where) < 1.05 * median_error(usual().maps, where)
    assert (result.guides[0].data[..., 8:12] == 0).all()


def test_guides_may_cover_less_than_the_maps():
    """LR voxels beyond the guides have no counterpart in them: truncation would wrap around to the other end."""
    lr, guides = case()
    grid = guides[0].grid
    cut = VoxelGrid((48, 56, 14), from_matvec(grid.affine[:3, :3], grid.world(np.array([0.0, 0, 6]))))
    result = solved(lr, [replace(guide, data=guide.data[..., 6:20], grid=cut) for guide in guides])
    assert any(notice.startswith("T1w and T2w cover only ") for notice in result.notices)
    np.testing.assert_allclose(result.gains, GAINS[:2], rtol=0.01)
    where = tissue()[..., 6:20]
    assert (result.maps.data[:, where] > 0).all()
    for name in NAMES:
        error = np.abs(result.maps[name][where] / slab().maps[name][..., 6:20][where] - 1)
        assert np.median(error) < 0.03


def test_zeros_around_the_head_are_no_measurement():
    lr, guides = case()
    data = lr.data.copy()
    data[:, :6] = 0
    result = solved(replace(lr, data=data), guides)
    assert np.isfinite(result.maps.data).all()
    cut = tissue().shape[0] - result.maps.grid.shape[0]
    assert cut == 10  # of the empty planes one LR voxel is kept
    assert (result.maps.data[:, 0] == 0).all()
    assert np.isnan(result.lr_residual.data[:, :6]).all()
    far = tissue()[20:]
    truth, interpolated = (maps.data[:, 20:][:, far] for maps in (slab().maps, zero_filled(lr, slab().maps.grid)))
    found, before = (
        np.median(np.abs(maps / truth - 1), axis=1) for maps in (result.maps.data[:, 20 - cut :][:, far], interpolated)
    )
    assert (found < 0.5 * before).all()


def test_guides_on_another_grid_are_resampled():
    lr, guides = case()
    shift = 0.5  # voxels
    grid = guides[1].grid
    moved = VoxelGrid(grid.shape, from_matvec(grid.affine[:3, :3], grid.world(np.full(3, shift))))
    shifted = KSpaceTruncation(grid, moved)(torch.as_tensor(guides[1].data)).numpy()
    result = solved(lr, [guides[0], replace(guides[1], data=shifted, grid=moved)], reference=0)
    assert result.maps.grid.is_aligned_with(guides[0].grid)
    assert any("T2w" in notice and "resampled" in notice for notice in result.notices)
    inner = np.zeros_like(tissue())
    inner[3:-3, 3:-3, 3:-3] = tissue()[3:-3, 3:-3, 3:-3]
    for ours, interpolated in zip(
        errors(result.maps, where=inner), errors(zero_filled(lr, grid), where=inner), strict=True
    ):
        assert ours < interpolated


@pytest.mark.parametrize("codes", ["LPS", "ASR", "SRP"])
def test_the_order_in_which_axes_are_stored_does_not_matter(codes):
    lr, guides = case()
    orientation = axcodes2ornt(codes)
    data = np.stack([apply_orientation(volume, orientation) for volume in lr.data])
    grid = VoxelGrid(data.shape[1:], lr.grid.affine @ inv_ornt_aff(orientation, lr.grid.shape))
    result = solved(QuantitativeMaps(data=data, grid=grid), guides)
    assert result.maps.grid.is_aligned_with(slab().maps.grid)
    np.testing.assert_allclose(result.maps.data, usual().maps.data, rtol=1e-4, atol=1e-4)


def test_oblique_grids_need_nothing_when_they_are_parallel():
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [10, 25, -15], degrees=True).as_matrix()
    lr, guides = case()
    turned = replace(lr, grid=VoxelGrid(lr.grid.shape, turn @ lr.grid.affine))
    guides = [replace(g, grid=VoxelGrid(g.grid.shape, turn @ g.grid.affine)) for g in guides]
    result = solved(turned, guides)
    assert not any("rotated" in notice for notice in result.notices)
    np.testing.assert_allclose(result.maps.data, usual().maps.data, rtol=1e-2, atol=1e-3)


def corner_in(whole, part):
    """Voxel of a grid at which a part of it begins."""
    return np.rint(np.linalg.inv(whole.affine) @ part.affine[:, 3])[:3].astype(int)


def test_beside_guides_turned_against_the_maps_the_result_follows_the_maps_and_it_is_said():
    """Smooth maps, so that what counts is where things are."""
    truth = slab().maps
    turn = from_matvec(Rotation.from_euler("xyz", [5, -4, 8], degrees=True).as_matrix(), [1.0, -2.0, 0.5])
    hr = VoxelGrid((40, 40, 40), from_matvec(np.eye(3) * 2.0, [-39.0, -39.0, -39.0]))
    lr_grid = VoxelGrid((24, 24, 24), turn @ from_matvec(np.eye(3) * 4.0, [-46.0, -46.0, -46.0]))
    position = lambda grid: grid.world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))  # noqa: E731

    def maps_on(grid):
        x, y, z = np.moveaxis(position(grid), -1, 0)
        grey = 0.5 + 0.45 * np.sin(x / 9) * np.cos(y / 11 + 0.4) * np.cos(z / 10)
        data = np.stack([0.7 + 0.12 * grey, 0.9 + 0.5 * grey, 0.07 + 0.02 * grey])
        return QuantitativeMaps(data=data.astype(np.float32), grid=grid, names=truth.names)

    _, guides = degraded(maps_on(hr))
    result = solved(maps_on(lr_grid), guides, resolution=False)  # smooth maps look like maps of coarser voxels
    assert any(notice.startswith("Tilted against the maps: ") for notice in result.notices)
    grid, whole = result.maps.grid, lr_grid.with_shape((48, 48, 48))
    assert grid.voxel_size == pytest.approx((2, 2, 2))
    assert grid.is_aligned_with(whole.box(tuple(corner_in(whole, grid)), grid.shape), 1e-6)
    expected, inner = maps_on(grid), np.abs(position(grid)).max(axis=-1) < 27
    for name in NAMES:
        assert np.abs(result.maps[name] / expected[name] - 1)[inner].max() < 0.03


def test_guides_tilted_by_a_few_degrees_cost_little():
    """The guides of the slab, resampled to a tilted grid that reaches beyond it at every side."""
    lr, guides = case()
    grid = guides[0].grid
    turn = Rotation.from_euler("xyz", [4, 3, 6], degrees=True).as_matrix()
    middle = grid.world((np.array(grid.shape) - 1) / 2)
    shape = (56, 66, 40)
    edges = turn @ grid.affine[:3, :3]
    around = VoxelGrid(shape, from_matvec(edges, middle - edges @ ((np.array(shape) - 1) / 2)))
    everywhere = np.ones(grid.shape, bool)
    tilted = [
        replace(guide, data=drained(resampled(guide.data, everywhere, grid, around))[0], grid=around)
        for guide in guides
    ]
    result = solved(lr, tilted)
    assert result.maps.grid.is_aligned_with(grid)
    assert result.verdict.word != "do not use"
    away = np.zeros_like(tissue())
    away[3:-3, 3:-3, 3:-3] = tissue()[3:-3, 3:-3, 3:-3]
    for tilt, none, interpolated in zip(
        *(errors(maps, where=away) for maps in (result.maps, usual().maps, zero_filled(lr, grid))), strict=True
    ):
        assert tilt < none + 0.25 * (interpolated - none)


def test_guides_may_reach_far_beyond_the_maps():
    """The LR maps cover the lower half of a tall guide: blocks without an LR voxel are left out."""
    box = QuantitativeMaps(data=textured((24, 24, 240)), grid=VoxelGrid((24, 24, 240), np.eye(4)))
    lr, guides = degraded(box)
    bottom = QuantitativeMaps(data=lr.data[..., :65], grid=VoxelGrid((12, 12, 65), lr.grid.affine))
    result = solved(bottom, guides)
    np.testing.assert_allclose(result.gains, GAINS[:2], rtol=0.01)
    height = result.maps.grid.shape[2]
    assert height == 132  # the maps and one LR voxel
    covered = np.zeros(result.maps.grid.shape, bool)
    covered[..., 2:126] = True
    part = QuantitativeMaps(data=box.data[..., :height], grid=box.grid.with_shape((24, 24, height)))
    assert relative(result.maps, part, covered, share=0.5) < 0.03
    assert (result.maps.data[..., 131:] == 0).all()


@pytest.mark.parametrize("voxel_size", [2.0, (3.0, 3.0, 4.0), 2.6])
def test_an_asked_voxel_size(voxel_size):
    result = solved(*case(), voxel_size=voxel_size)
    grid = result.maps.grid
    asked = np.broadcast_to(voxel_size, 3)
    np.testing.assert_allclose(grid.field_of_view, slab().maps.grid.field_of_view)
    assert (np.abs(np.array(grid.shape) - np.array(grid.field_of_view) / asked) <= 0.5).all()
    assert np.isfinite(result.maps.data).all()


@cache
def lesion():
    """A slab with and without a ball of 18 mm in flat white matter, its T1 and T2 long, and where it is."""
    healthy = make_phantom(2.0, extent=((-50, 50), (-70, 50), (0, 60)), lesion=False).maps
    white = np.zeros(healthy.grid.shape, bool)
    white[4:-4, 4:-4, 4:-4] = ((healthy["T1"] < 0.95) & (healthy["T2"] < 0.08))[4:-4, 4:-4, 4:-4]
    depth = distance_transform_edt(white)
    centre = np.unravel_index(depth.argmax(), depth.shape)
    voxels = np.stack(np.meshgrid(*map(np.arange, depth.shape), indexing="ij"), -1)
    ball = np.linalg.norm(voxels - np.array(centre), axis=-1) <= 4.5
    ill = healthy.data * np.where(ball, np.array([1.1, 1.5, 1.8]).reshape(3, 1, 1, 1), 1)
    return healthy, QuantitativeMaps(data=ill.astype(np.float32), grid=healthy.grid), ball


def lesion_change(in_maps, in_guides):
    """Share of the change of T1 and T2 that is found, and conflict, with a lesion in LR maps or guides or both."""
    healthy, ill, ball = lesion()
    lr, _ = degraded(ill if in_maps else healthy)
    _, guides = degraded(ill if in_guides else healthy)
    result = solved(lr, guides)
    changed = [
        float(np.median(((result.maps[n] - healthy[n])[ball]) / (ill[n] - healthy[n])[ball])) for n in ("T1", "T2")
    ]
    return changed, result, ball


def test_a_lesion_that_only_the_maps_know_is_kept():
    changed, result, ball = lesion_change(in_maps=True, in_guides=False)
    assert min(changed) > 0.9
    assert np.median(result.conflict[ball]) == 1
    assert any("disagree" in notice for notice in result.notices)


def test_a_lesion_that_only_the_guides_know_is_left_out():
    changed, result, ball = lesion_change(in_maps=False, in_guides=True)
    assert max(np.abs(changed)) < 0.1
    assert np.median(result.conflict[ball]) == 1


def test_a_lesion_that_both_know_is_no_conflict():
    changed, result, ball = lesion_change(in_maps=True, in_guides=True)
    np.testing.assert_allclose(changed, 1, atol=0.03)
    assert not result.conflict[ball].any()
