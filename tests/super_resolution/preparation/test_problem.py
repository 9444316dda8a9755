"""Volumes of any grid, with gaps, made ready for the solvers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import degraded, textured
from laws import paced
from nibabel.affines import from_matvec

from napari_swig_qmri.data.resampling import N_PLANES
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.super_resolution.preparation.problem import WATER_PD, prepare


@pytest.fixture
def box():
    """LR maps and two guides of a box of tissue."""
    grid = VoxelGrid((24, 20, 16), from_matvec(np.eye(3), [5, 6, 7]))
    return degraded(QuantitativeMaps(data=textured(grid.shape), grid=grid))


def prepared(lr, guides, mask=None):
    return drained(prepare(lr, guides, guides[0].grid, mask))


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


def test_with_a_mask_only_its_voxels_have_to_be_shared(box):
    lr, guides = box
    few = [replace(g, data=g.data[:2], grid=g.grid.box((0, 0, 0), (2, 20, 16))) for g in guides]
    with pytest.raises(ValueError, match=r"T1w and T2w cover only 8\..% of the tissue"):
        prepared(lr, few)
    assert prepared(lr, few, np.ones((2, 20, 16))).tissue[:1].any()


def test_missing_maps_are_assumed_and_said(box):
    lr, guides = box
    problem = prepared(QuantitativeMaps(data=lr.data[1:2], grid=lr.grid, names=("T1",)), guides)
    assert problem.measured == (False, True, False)
    assert [notice.split(":")[0] for notice in problem.notices] == ["There is no PD map", "There is no T2 map"]
    grey = problem.lr_maps[1] > 1.25
    pd, _, t2 = problem.lr_maps
    assert pd[grey].median() > 1.05 * pd[~grey].median()
    assert t2[grey].median() > t2[~grey].median()
    uniform = replace(guides[0], sequence=SEQUENCES["mp2rage-uni"].from_typical())
    without_pd = prepared(QuantitativeMaps(data=lr.data[1:2], grid=lr.grid, names=("T1",)), [uniform])
    assert not any("There is no" in notice for notice in without_pd.notices)


@pytest.mark.parametrize("name", ["T1", "T2"])
def test_without_pd_the_guides_tell_head_from_air(name):
    grid, maps = VoxelGrid((24, 20, 16), np.eye(4)), textured((24, 20, 16))
    maps[:, 12:] = 0
    lr, guides = degraded(QuantitativeMaps(data=maps, grid=grid), 3)
    air = lr["PD"] < 0.1
    data = lr[name].copy()
    data[air] = np.random.default_rng(0).uniform(0.01, 2 * np.median(data[~air]), air.sum())
    problem = prepared(QuantitativeMaps(data=data[None], grid=lr.grid, names=(name,)), guides)
    tissue = problem.tissue.numpy()
    assert tissue.sum() > 0.8 * prepared(lr, guides).tissue.sum()
    assert not (tissue & air).any()


def ramp(grid, name="T2w"):
    """An image that is the world x position, offset to be positive."""
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    return WeightedImage(data=grid.world(voxels)[..., 0] + 100, grid=grid, name=name)


def moved(guide, shift):
    """The same image on a grid that lies elsewhere by a part of a voxel."""
    grid = guide.grid
    return replace(guide, grid=VoxelGrid(grid.shape, from_matvec(grid.affine[:3, :3], grid.world(np.full(3, shift)))))


def test_guides_on_another_grid_are_resampled_and_it_is_said(box):
    lr, guides = box
    problem = prepared(lr, [guides[0], moved(guides[1], 0.3)])
    assert problem.notices == ("T2w lies on another grid and was resampled to the high-resolution grid.",)
    assert problem.guide_valid[1, 1:, 1:, 1:].all()


def test_preparing_yields_between_slabs_so_that_it_can_be_cancelled(box):
    lr, guides = box
    _, steps, _ = paced(prepare(lr, [guides[0], moved(guides[1], 0.3)], guides[0].grid))
    assert len(steps) > 4 + 2 * (24 // N_PLANES)  # an image and where it was seen


def test_gaps_in_a_guide_on_another_grid_are_not_measured_zeros(box):
    lr, guides = box
    image = guides[1].data.copy()
    image[10:14] = np.nan
    problem = prepared(lr, [guides[0], moved(replace(guides[1], data=image), 0.3)])
    valid = problem.guide_valid[1, 1:, 1:, 1:]
    assert not valid[10:13].any()
    assert valid[:8].all()
    assert valid[14:].all()
    whole = prepared(lr, [guides[0], moved(guides[1], 0.3)]).guides[1, 1:, 1:, 1:]
    beside = torch.cat([(problem.guides[1, 1:, 1:, 1:] / whole)[k] for k in (8, 14)])
    np.testing.assert_allclose(beside, 1, atol=0.1)  # zeros in the gap change it by half


def test_a_guide_on_the_grid_is_left_as_it_is(box):
    lr, guides = box
    nearly = moved(guides[1], 0.001)
    problem = prepared(lr, [guides[0], nearly])
    np.testing.assert_array_equal(problem.guides[1], nearly.data)
    assert problem.notices == ()


UNI = SEQUENCES["mp2rage-uni"].from_typical()


@pytest.fixture
def uniform():
    """LR maps, a T1w image and MP2RAGE UNI of a box of tissue."""
    grid = VoxelGrid((24, 20, 16), np.eye(4))
    lr, guides = degraded(QuantitativeMaps(data=textured(grid.shape), grid=grid), 1)
    _, uni = degrade(QuantitativeMaps(data=textured(grid.shape), grid=grid), 2, {"UNIT1": UNI})
    return lr, [*guides, *uni]


def test_uni_as_scanners_store_it_is_brought_to_the_range_of_its_equation(uniform):
    lr, (t1w, uni) = uniform
    stored = replace(uni, data=np.round((uni.data + 0.5) * 4095))
    stored.data[:4] = 0  # cut away
    problem = prepared(lr, [t1w, stored])
    np.testing.assert_allclose(problem.guides[1, 4:], uni.data[4:], atol=1e-3)
    assert not problem.guides[1, :4].any()
    assert problem.notices == ("UNIT1 is stored as 0 to 4095 and was brought to -0.5 to 0.5.",)
    assert prepared(lr, [t1w, uni]).notices == ()


def test_uni_of_no_known_range_is_refused(uniform):
    lr, (t1w, uni) = uniform
    with pytest.raises(ValueError, match=r"UNIT1 is an MP2RAGE UNI image, stored as -0\.5 to 0\.5 or as 0 to 4095"):
        prepared(lr, [t1w, replace(uni, data=30 * uni.data)])


def test_the_gain_of_an_image_without_pd_does_not_follow_the_unit_of_pd(uniform):
    lr, guides = uniform
    scale = np.array([300.0, 1, 1]).reshape(3, 1, 1, 1)
    problem = prepared(replace(lr, data=lr.data * scale), guides)
    np.testing.assert_allclose(problem.gain_units, [problem.pd_unit, 1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: 0 * data, "T2w holds no voxel with a value"),
        (lambda data: np.nan * data, "T2w holds no voxel with a value"),
        (lambda data: -data, "T2w has no positive signal over the tissue of the low-resolution maps"),
        (lambda data: np.where(np.arange(16) < 15, np.nan, data), "T2w has values in only 0.00% of the tissue"),
    ],
)
def test_guides_without_signal_are_refused_by_name(box, change, sentence):
    lr, guides = box
    with pytest.raises(ValueError, match=sentence):
        prepared(lr, [guides[0], replace(guides[1], data=change(guides[1].data))])


def test_signed_guides_may_be_negative(uniform):
    lr, (t1w, uni) = uniform
    dark = uni.data - 0.3
    assert float(np.median(dark)) < 0
    assert prepared(lr, [t1w, replace(uni, data=dark)]).guide_levels[1] > 0


def apart(guide, mm):
    grid = guide.grid
    return replace(guide, grid=VoxelGrid(grid.shape, from_matvec(np.eye(3), grid.affine[:3, 3] + mm)))


def test_images_that_hardly_overlap_are_refused(box):
    lr, guides = box
    with pytest.raises(ValueError, match=r"T1w covers nothing of the low-resolution maps; .* 500 mm apart"):
        prepared(lr, [apart(guide, [500, 0, 0]) for guide in guides])
    with pytest.raises(ValueError, match=r"T1w and T2w cover only 8\..% of the tissue .* at least 10% are needed"):
        prepared(lr, [apart(guide, [22, 0, 0]) for guide in guides])
    with pytest.raises(ValueError, match=r"T2w covers only 8\..% of the tissue .* at least 10% are needed"):
        prepared(lr, [guides[0], apart(guides[1], [22, 0, 0])])
    assert prepared(lr, [apart(guide, [10, 0, 0]) for guide in guides]).tissue.any()


def test_maps_beyond_the_hr_grid_are_not_compared_with_it(box):
    lr, guides = box
    problem = prepared(lr, [apart(guide, [10, 0, 0]) for guide in guides])
    assert problem.lr_seen.all()
    assert problem.lr_valid[5:].all()
    assert not problem.lr_valid[:5].any()


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((24, 20, 16)), "the mask is empty"),
        (np.ones((24, 20, 15)), r"the mask has the shape \(24, 20, 15\), but the result \(24, 20, 16\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(box, mask, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepared(*box, mask)


def test_a_mask_without_values_is_refused(box):
    lr, guides = box
    data = lr.data.copy()
    data[:, 6:] = 0
    mask = np.zeros((24, 20, 16))
    mask[16:] = 1
    with pytest.raises(ValueError, match="the mask covers no voxel of the low-resolution maps"):
        prepared(replace(lr, data=data), guides, mask)


def test_maps_in_another_unit_are_refused_over_tissue(box):
    lr, guides = box
    data = np.tile(lr.data, (1, 4, 1, 1)) * np.array([1, 1000, 1]).reshape(3, 1, 1, 1)  # T1 in ms
    data[0, 12:] = 1e-3
    data[1, 12:] = 0.5  # air, three quarters of the voxels
    grid = VoxelGrid(data.shape[1:], lr.grid.affine)
    with pytest.raises(
        ValueError, match=r"the T1 map has a median of .* s over tissue, but T1 lies between 0\.02 and 8"
    ):
        prepared(QuantitativeMaps(data=data, grid=grid), guides)


def test_a_guide_without_a_sequence_is_refused_by_name(box):
    lr, guides = box
    with pytest.raises(ValueError, match="the sequence of guide 'T2w' is not known"):
        prepared(lr, [guides[0], replace(guides[1], sequence=None)])


def head_in_air(n_guides=2):
    """LR maps and guides of a box of tissue in air that takes half of the field of view."""
    grid = VoxelGrid((48, 20, 16), np.eye(4))
    maps = np.zeros((3, *grid.shape))
    maps[:, 12:36] = textured((24, 20, 16))
    maps[1:, :12], maps[1:, 36:] = 0.01, 0.01
    return degraded(QuantitativeMaps(data=maps, grid=grid), n_guides)


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("size", [4, 30, 1000, -3])
def test_spikes_of_pd_change_neither_its_unit_nor_the_tissue(share, size):
    lr, guides = head_in_air()
    usual = prepared(lr, guides)
    data = lr.data.copy()
    spikes = np.random.default_rng(0).random(data.shape[1:]) < share
    data[0][spikes] *= size
    problem = prepared(replace(lr, data=data), guides)
    assert problem.pd_unit == pytest.approx(usual.pd_unit, rel=0.02)
    assert float((problem.tissue ^ usual.tissue).float().mean()) < 0.02
    bright = spikes & (lr["PD"] > 0.5)
    assert not problem.lr_valid[bright].any()
    np.testing.assert_allclose(problem.lr_maps[0][bright], usual.lr_maps[0][bright], rtol=0.35)  # filled by neighbours
    (notice,) = problem.notices
    assert notice.endswith("voxels of the PD map differ from their neighbours more than tissue can and are not used.")


@pytest.mark.parametrize("air", ["Rician", "uniform to 3", "a constant", "negative", "every map"])
def test_pd_in_air_changes_neither_its_unit_nor_the_tissue(air):
    lr, guides = head_in_air()
    usual, data, rng = prepared(lr, guides), lr.data.copy(), np.random.default_rng(1)
    outside = lr["PD"] < 0.05
    n = int(outside.sum())
    values = {
        "Rician": np.hypot(*rng.normal(0, 0.2, (2, n))),
        "uniform to 3": rng.uniform(0, 3, n),
        "a constant": np.full(n, 0.9),
        "negative": rng.normal(-1, 0.3, n),
        "every map": rng.uniform(0, 10, n),
    }
    data[0][outside] = values[air]
    if air == "every map":
        data[1][outside], data[2][outside] = rng.uniform(0.01, 5, n), rng.uniform(0.005, 0.5, n)
    problem = prepared(replace(lr, data=data), guides)
    assert problem.pd_unit == pytest.approx(usual.pd_unit, rel=0.03)
    assert not (problem.tissue & torch.as_tensor(outside)).any()
    assert float((problem.tissue ^ usual.tissue).float().mean()) < 0.02


def test_a_negative_pd_map_is_refused_by_name(box):
    lr, guides = box
    with pytest.raises(ValueError, match=r"the PD map has a median of -0\.\d+ over the head, but PD is above 0"):
        prepared(replace(lr, data=lr.data * np.array([-1, 1, 1]).reshape(3, 1, 1, 1)), guides)
