"""Super-resolution from volumes to results, on a slab of the phantom and on boxes of tissue."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import GAINS, degraded, slab, textured
from laws import paced
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.progress import Progress, drained
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.outcome import result_of
from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps, super_resolve
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.preflight import preflight
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.solver.problem import prepare
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

NAMES = ("PD", "T1", "T2")


def solved(maps, guides, *, mask=None, **options):
    return super_resolve(maps, guides, Options(**options), mask=mask)


@cache
def case(n_guides=2):
    return degraded(slab().maps, n_guides)


@cache
def usual(n_guides=2):
    """The result with all defaults, shared by the tests that vary one thing."""
    return solved(*case(n_guides))


def errors(maps, truth=None, where=None):
    """Normalised root mean square error per map over the brain."""
    truth = slab().maps if truth is None else truth
    where = slab().mask if where is None else where
    return [
        float(np.linalg.norm((maps[name] - truth[name])[where]) / np.linalg.norm(truth[name][where]))
        for name in maps.names
    ]


def zero_filled(lr, hr_grid):
    fine = KSpaceTruncation(hr_grid, lr.grid).zero_filled(torch.as_tensor(lr.data, dtype=torch.float32))
    return QuantitativeMaps(data=fine.numpy(), grid=hr_grid, names=lr.names)


def tissue():
    """Brain away from CSF, where a relative difference means something."""
    return slab().mask & (slab().maps["T2"] < 0.12)


def relative(maps, expected, where=None, share=1.0):
    """Relative difference that a `share` of the voxels of two sets of maps stays below, away from CSF and air."""
    where = tissue() if where is None else where
    differences = [np.abs(maps[name][where] / expected[name][where] - 1) for name in maps.names]
    return max(float(np.quantile(difference, share)) for difference in differences)


@pytest.mark.parametrize("n_guides", [1, 2, 3])
def test_it_beats_zero_filling_in_every_map(n_guides):
    lr, _ = case(n_guides)
    result = usual(n_guides)
    assert result.maps.grid.is_aligned_with(slab().maps.grid)
    for ours, interpolated in zip(errors(result.maps), errors(zero_filled(lr, result.maps.grid)), strict=True):
        assert ours < (0.5 if n_guides > 1 else 1.0) * interpolated


@pytest.mark.parametrize("n_guides", [2, 3])
def test_refinement_beats_the_regression_it_starts_from(n_guides):
    regressed = solved(*case(n_guides), method="regression")
    assert regressed.conflict is None
    tissue_only = {"where": tissue()}
    assert sum(errors(usual(n_guides).maps, **tissue_only)) < sum(errors(regressed.maps, **tissue_only))


@pytest.mark.parametrize("n_guides", [1, 2, 3])
def test_gains_in_scanner_units_are_found(n_guides):
    """In voxels of 6 mm little tissue is flat; at 2 mm the error is a tenth of this."""
    np.testing.assert_allclose(usual(n_guides).gains, GAINS[:n_guides], rtol=0.02)


def test_the_scale_of_guides_and_pd_does_not_matter():
    lr, guides = case()
    scale = np.array([250.0, 1, 1], np.float32).reshape(3, 1, 1, 1)
    brighter = [replace(guide, data=40 * guide.data) for guide in guides]
    result = solved(replace(lr, data=lr.data * scale), brighter)
    assert relative(replace(result.maps, data=result.maps.data / scale), usual().maps) < 1e-3
    np.testing.assert_allclose(np.array(result.gains) * 250 / 40, usual().gains, rtol=1e-3)


def test_what_comes_back_belongs_together():
    lr, guides = case()
    result = usual()
    assert result.maps.names == NAMES
    assert [g.name for g in result.guides] == ["T1w", "T2w"]
    truncate = KSpaceTruncation(result.maps.grid, lr.grid)
    left = lr.data - truncate(torch.as_tensor(result.maps.data)).numpy()
    inside = np.isfinite(result.lr_residual.data)
    np.testing.assert_allclose(result.lr_residual.data[inside], left[inside], atol=1e-3)
    for guide, synthetic, residual, gain in zip(
        guides, result.synthesised, result.guide_residuals, result.gains, strict=True
    ):
        expected = gain * guide.sequence(*torch.as_tensor(result.maps.data)[:, slab().mask]).numpy()
        np.testing.assert_allclose(synthetic.data[slab().mask], expected, rtol=1e-3)
        np.testing.assert_array_equal(residual, guide.data - synthetic.data)
        assert np.linalg.norm(residual[tissue()]) < 0.03 * np.linalg.norm(guide.data[tissue()])
    assert result.conflict.min() >= 0
    assert result.conflict.max() <= 1


def test_parameters_are_json_and_say_what_was_done():
    said = json.loads(json.dumps(usual().parameters))
    assert said["method"] == "network"
    assert said["weights"]["name"] == DEFAULT_WEIGHTS
    assert said["reference"] == "T1w"
    assert said["mask"] is None
    assert [guide["sequence"] for guide in said["guides"]] == ["SpinEcho", "TurboSpinEcho"]
    assert said["guides"][0]["gain"] == pytest.approx(usual().gains[0])
    assert said["hr_voxel_size"] == [3, 3, 3]
    assert set(said["lr_noise"]) == set(NAMES)
    assert "research" in said["notice"]


def test_the_input_is_left_alone():
    lr, guides = degraded(slab().maps)
    before = lr.data.copy(), [g.data.copy() for g in guides]
    solved(lr, guides)
    np.testing.assert_array_equal(lr.data, before[0])
    for guide, data in zip(guides, before[1], strict=True):
        np.testing.assert_array_equal(guide.data, data)


def test_without_guides_maps_are_interpolated_and_it_is_said():
    lr, _ = case()
    result = solved(lr, [], voxel_size=3.0)
    assert result.maps.grid.shape == slab().maps.grid.shape
    assert result.gains == ()
    assert any("only interpolated" in notice for notice in result.notices)
    assert (result.parameters["method"], result.parameters["reference"]) == ("interpolation", None)
    for ours, interpolated in zip(errors(result.maps), errors(zero_filled(lr, result.maps.grid)), strict=True):
        assert ours <= 1.02 * interpolated
    with pytest.raises(ValueError, match="nothing would change"):
        solved(lr, [])


def test_a_result_without_more_detail_is_refused():
    lr, guides = case()
    with pytest.raises(ValueError, match=f"the guide {guides[0].name!r} was given twice"):
        solved(lr, [guides[0], replace(guides[0], data=guides[0].data.copy())])
    edges = np.asarray(lr.grid.voxel_size) * (1, 1, 1.5)
    with pytest.raises(ValueError, match="mm would be coarser than those of the maps"):
        solved(lr, guides, voxel_size=edges)


@pytest.mark.parametrize("names", [("T1",), ("PD", "T2"), ("T2", "PD"), ("T1", "T2")])
def test_a_subset_of_the_maps(names):
    lr, guides = case()
    subset = QuantitativeMaps(data=np.stack([lr[name] for name in names]), grid=lr.grid, names=names)
    result = solved(subset, guides)
    assert set(result.maps.names) == set(names)
    assert result.lr_residual.names == result.maps.names
    assert result.parameters["method"] == ("posterior" if {"T1", "T2"} <= set(names) else "regression")
    assert any("from regression" in notice for notice in result.notices) == (not {"T1", "T2"} <= set(names))
    assert any("network was left out" in notice for notice in result.notices) == ({"T1", "T2"} <= set(names))
    for missing in set(NAMES) - set(names):
        assert any(missing in notice for notice in result.notices)
    interpolated = zero_filled(lr, result.maps.grid)
    for name, ours in zip(result.maps.names, errors(result.maps, where=tissue()), strict=True):
        assert ours < errors(interpolated, where=tissue())[NAMES.index(name)]


def test_a_pd_that_was_not_measured_is_an_unknown_of_the_posterior():
    lr, guides = case()
    subset = QuantitativeMaps(data=lr.data[1:], grid=lr.grid, names=NAMES[1:])
    start, solution = (
        errors(solved(subset, guides, method=m).maps, where=tissue()) for m in ("regression", "posterior")
    )
    assert solution[0] < start[0]
    assert solution[1] < 0.5 * start[1]


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
    cut = VoxelGrid((48, 56, 10), from_matvec(grid.affine[:3, :3], grid.world(np.array([0.0, 0, 8]))))
    result = solved(lr, [replace(guide, data=guide.data[..., 8:18], grid=cut) for guide in guides])
    np.testing.assert_allclose(result.gains, GAINS[:2], rtol=0.01)
    where = tissue()[..., 8:18]
    assert (result.maps.data[:, where] > 0).all()
    for name in NAMES:
        error = np.abs(result.maps[name][where] / slab().maps[name][..., 8:18][where] - 1)
        assert np.median(error) < 0.03


def test_zeros_around_the_head_are_no_measurement():
    lr, guides = case()
    data = lr.data.copy()
    data[:, :6] = 0
    result = solved(replace(lr, data=data), guides)
    assert np.isfinite(result.maps.data).all()
    assert (result.maps.data[:, :11] == 0).all()
    assert np.isnan(result.lr_residual.data[:, :6]).all()
    far = tissue().copy()
    far[:20] = False
    interpolated = zero_filled(lr, result.maps.grid)
    for ours, theirs in zip(errors(result.maps, where=far), errors(interpolated, where=far), strict=True):
        assert ours < 0.5 * theirs


def test_outside_the_mask_the_maps_are_zero():
    mask = slab().mask
    result = solved(*case(), mask=mask)
    assert result.parameters["mask"] == f"{mask.sum()} voxels"
    assert (result.maps.data[:, ~mask] == 0).all()
    assert relative(result.maps, usual().maps, share=0.9) < 0.01


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
    assert not any("turned" in notice for notice in result.notices)
    np.testing.assert_allclose(result.maps.data, usual().maps.data, rtol=1e-2, atol=1e-3)


def test_maps_turned_against_the_guides_are_resampled_and_it_is_said():
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

    expected = maps_on(hr)
    _, guides = degraded(expected)
    result = solved(maps_on(lr_grid), guides)
    assert any("turned" in notice for notice in result.notices)
    inner = np.zeros(hr.shape, bool)
    inner[6:-6, 6:-6, 6:-6] = True
    for name in NAMES:
        assert np.abs(result.maps[name] / expected[name] - 1)[inner].max() < 0.03


def test_guides_may_reach_far_beyond_the_maps():
    """The LR maps cover a slab of a tall guide: blocks without an LR voxel are left out."""
    box = QuantitativeMaps(data=textured((24, 24, 240)), grid=VoxelGrid((24, 24, 240), np.eye(4)))
    lr, guides = degraded(box)
    bottom = QuantitativeMaps(data=lr.data[..., :15], grid=VoxelGrid((12, 12, 15), lr.grid.affine))
    result = solved(bottom, guides)
    np.testing.assert_allclose(result.gains, GAINS[:2], rtol=0.01)
    covered = np.zeros(result.maps.grid.shape, bool)
    covered[..., 2:26] = True
    assert relative(result.maps, box, covered, share=0.5) < 0.03
    assert (result.maps.data[..., 31:] == 0).all()


@pytest.mark.parametrize("voxel_size", [2.0, (3.0, 3.0, 4.0), 2.6])
def test_an_asked_voxel_size(voxel_size):
    result = solved(*case(), voxel_size=voxel_size)
    grid = result.maps.grid
    asked = np.broadcast_to(voxel_size, 3)
    np.testing.assert_allclose(grid.field_of_view, slab().maps.grid.field_of_view)
    assert (np.abs(np.array(grid.shape) - np.array(grid.field_of_view) / asked) <= 0.5).all()
    assert np.isfinite(result.maps.data).all()


def test_a_given_reference_sets_the_grid():
    lr, guides = case()
    coarse = guides[1].grid.with_shape((24, 28, 12))
    smaller = KSpaceTruncation(guides[1].grid, coarse)(torch.as_tensor(guides[1].data)).numpy()
    pair = [guides[0], replace(guides[1], data=smaller, grid=coarse)]
    assert solved(lr, pair, method="regression").maps.grid is guides[0].grid
    assert solved(lr, pair, method="regression", reference=1).maps.grid is coarse


def test_given_gains_and_noise_are_taken():
    noise = {"PD": 0.01, "T1": 0.02, "T2": 0.03}
    result = solved(*case(), gains=(800.0, 90.0), lr_noise=noise, guide_noise=(3.0, 0.5))
    np.testing.assert_allclose(result.gains, (800, 90), rtol=1e-6)
    assert result.parameters["lr_noise"] == pytest.approx(noise)
    assert [guide["noise"] for guide in result.parameters["guides"]] == pytest.approx([3.0, 0.5])
    exact = solved(*case(), gains=GAINS[:2])
    assert relative(exact.maps, usual().maps, share=0.5) < 0.01


def with_echo_time(guide, seconds):
    return replace(guide, sequence=replace(guide.sequence, echo_time=seconds))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda lr, t1w, t2w: (lr, [t1w, with_echo_time(t2w, 0.03)]),
        lambda lr, t1w, t2w: (lr, [replace(t1w, sequence=t2w.sequence), replace(t2w, sequence=t1w.sequence)]),
        lambda lr, t1w, t2w: (lr, [replace(g, data=g.data[:, ::-1].copy()) for g in (t1w, t2w)]),
    ],
    ids=["echo time", "swapped", "upside down"],
)
def test_a_result_that_does_not_fit_the_maps_is_said(wrong):
    result = solved(*wrong(case()[0], *case()[1]))
    assert any(notice.startswith("The result does not fit the measured") for notice in result.notices)


@pytest.mark.parametrize("noise", [0.0, 0.08])
@pytest.mark.parametrize("domain", ["maps", "signals"])
@pytest.mark.parametrize("method", ["regression", "posterior"])
def test_a_result_that_fits_is_not_doubted(noise, domain, method):
    lr, guides = degraded(slab().maps, map_noise=noise, guide_noise=noise, domain=domain)
    assert not any("does not fit" in notice for notice in solved(lr, guides, method=method).notices)


def test_a_result_without_a_number_is_never_returned():
    planned = plan(*case(), Options(method="regression"))
    problem = drained(prepare(planned.maps, planned.guides, planned.hr_grid))
    solution = drained(solve(problem, planned))
    assert np.isfinite(result_of(problem, solution, planned).maps.data).all()
    with pytest.raises(ValueError, match="the run found no value of PD"):
        result_of(problem, replace(solution, maps=torch.full_like(solution.maps, torch.nan)), planned)


def test_noise_is_taken_out_unless_it_is_to_be_kept():
    maps, guides = degraded(slab().maps, 2, map_noise=0.03, guide_noise=0.03)
    kept, taken = (solved(maps, guides, method="posterior", keep_noise=keep) for keep in (True, False))
    assert all(after < before for after, before in zip(errors(taken.maps), errors(kept.maps), strict=True))
    assert (kept.parameters["keep_noise"], taken.parameters["keep_noise"]) == (True, False)


@pytest.fixture
def weights(tmp_path):
    """Weights of a small network that changes something."""
    torch.manual_seed(0)
    network = SwigNet(NetworkConfig(width=8, n_blocks=1))
    torch.nn.init.normal_(network.tail.weight, std=0.02)
    network.save(tmp_path / "weights.safetensors", {})
    return tmp_path / "weights.safetensors"


def test_an_untrained_network_gives_the_maps_of_the_posterior(tmp_path):
    SwigNet().save(tmp_path / "untrained.safetensors", {})
    result = solved(*case(), method="network", weights=tmp_path / "untrained.safetensors")
    np.testing.assert_allclose(result.maps.data, solved(*case(), method="posterior").maps.data, rtol=1e-5)
    assert result.parameters["method"] == "network"
    assert result.parameters["weights"]["name"].endswith("untrained.safetensors")
    assert len(result.parameters["weights"]["sha256"]) == 16


@pytest.mark.slow
def test_a_network_that_is_adapted_says_how_its_error_changed(weights):
    """Random weights are bad: any training helps."""
    result = solved(*case(), method="network", weights=weights, adapt=True)
    errors_of = result.parameters["adapted"]
    assert errors_of["error_after"] < errors_of["error_before"]
    plain = solved(*case(), method="network", weights=weights)
    assert plain.parameters["adapted"] is None
    assert errors(result.maps)[1] < errors(plain.maps)[1]


def test_a_network_changes_the_maps_the_same_in_slabs_and_in_float64(weights):
    result = solved(*case(), method="network", weights=weights)
    assert 1e-3 < relative(result.maps, usual().maps) < 1
    parts = solved(*case(), method="network", weights=weights, memory_limit=1_000_000)
    assert relative(parts.maps, result.maps) < 1e-3
    exact = solved(*case(), method="network", weights=weights, dtype="float64")
    assert relative(exact.maps, result.maps, share=0.99) < 1e-3


def test_float64_gives_the_same_maps():
    result = solved(*case(), dtype="float64")
    assert result.maps.data.dtype == np.float64
    assert relative(result.maps, usual().maps, share=0.99) < 1e-3


@pytest.mark.parametrize("memory_limit", [100_000, 1_000_000])
def test_a_memory_limit_gives_the_same_maps(memory_limit):
    result = solved(*case(), memory_limit=memory_limit)
    assert result.parameters["memory_limit"] == memory_limit
    assert relative(result.maps, usual().maps, where=slab().mask) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("memory_limit", [None, 1_000_000])
def test_a_cuda_device_gives_the_same_maps(memory_limit):
    result = solved(*case(), device="cuda", memory_limit=memory_limit)
    assert result.parameters["device"].startswith("cuda")
    assert relative(result.maps, usual().maps, where=slab().mask, share=0.999) < 1e-3


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


def test_progress_rises_and_says_what_is_done():
    _, steps, longest = paced(super_resolution_steps(*case()))
    assert all(isinstance(step, Progress) for step in steps)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert len({step.stage for step in steps}) >= 4
    assert any(step.seconds_left for step in steps)
    assert longest < 1.0  # s, the longest wait for a cancel


@pytest.mark.slow
def test_closing_it_anywhere_stops_it():
    n_steps = len(list(super_resolution_steps(*case())))
    for n in range(n_steps):
        steps = super_resolution_steps(*case())
        for _ in range(n):
            next(steps)
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)


T1W = SpinEcho(repetition_time=0.6, echo_time=0.012)


def guide(name="T1w", sequence=T1W):
    grid = VoxelGrid((8, 8, 8), np.eye(4))
    return WeightedImage(data=np.ones(grid.shape, np.float32), grid=grid, name=name, sequence=sequence)


def box(value=1.0):
    grid = VoxelGrid((4, 4, 4), from_matvec(np.eye(3) * 2, [0.5] * 3))
    return QuantitativeMaps(data=np.full((3, 4, 4, 4), value, np.float32), grid=grid)


def without(name, value):
    """Maps of which one has nothing but `value`."""
    data = box().data
    data[NAMES.index(name)] = value
    return replace(box(), data=data)


FAR = from_matvec(np.eye(3), [500, 0, 0])
FLAT = VoxelGrid((8, 8, 8), np.diag([1.0, 1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("maps", "guides", "options", "sentence"),
    [
        (box(), [guide()] * 6, {}, "up to 5 guides can be used, but 6 came"),
        (box(), [guide(sequence=None)], {}, "the sequence of guide 'T1w' is not known"),
        (box(), [guide()], {"gains": [1.0, 2.0]}, "1 guides need one gain each, but 2 came"),
        (box(), [guide()], {"gains": 812}, "1 guides need one gain each, but 812 came"),
        (box(), [guide()], {"guide_noise": []}, "1 guides need one noise level each, but 0 came"),
        (box(), [guide()], {"lr_noise": {"PD": 0.01}}, "T1 and T2 is missing"),
        (box(), [guide()], {"lr_noise": dict.fromkeys((*NAMES, "T3"), 0.01)}, "names T3, but there is no such map"),
        (without("PD", 0.0), [guide()], {}, "the PD map holds no value above 0"),
        (without("T2", -1.0), [guide()], {}, "the T2 map holds no value above 0"),
        (box(), [guide()], {"mask": np.zeros((8, 8, 8))}, "the mask is empty"),
        (box(), [guide()], {"mask": np.ones((8, 8, 7))}, r"the mask has the shape \(8, 8, 7\)"),
        (box(), [replace(guide(), data=np.zeros((8, 8, 8)))], {}, "T1w holds no voxel with a value"),
        (
            box(),
            [replace(guide(), grid=VoxelGrid((8, 8, 8), FAR))],
            {},
            "T1w covers nothing of the low-resolution maps",
        ),
        (box(), [replace(guide(), grid=FLAT)], {}, "the affine of T1w is singular"),
        (replace(box(), grid=VoxelGrid((4, 4, 4), FLAT.affine)), [guide()], {}, "the affine of the low-res.* singular"),
        (QuantitativeMaps(data=np.ones((0, 4, 4, 4)), grid=box().grid, names=()), [guide()], {}, "no map was given"),
        (box(), [guide()], {"reference": 3}, "the reference must be a guide from 0 to 0, but it is 3"),
        (box(0), [guide()], {}, "the low-resolution maps hold no voxel with a value"),
        (box(np.nan), [guide()], {}, "the low-resolution maps hold no voxel with a value"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_before_and_in_a_run(maps, guides, options, sentence):
    mask = options.pop("mask", None)
    with pytest.raises(ValueError, match=sentence):
        super_resolution_steps(maps, guides, Options(**options), mask=mask)  # before the first step
    (problem,) = preflight(maps, guides, Options(**options), mask=mask).problems
    assert re.search(sentence, problem)


def test_a_guide_without_a_signal_is_refused_in_the_run():
    dark = replace(guide(), data=-np.ones((8, 8, 8)))
    with pytest.raises(ValueError, match="T1w has no positive signal over the tissue"):
        solved(box(), [dark])
    (problem,) = preflight(box(), [dark]).problems
    assert "T1w has no positive signal over the tissue" in problem


def test_noise_is_asked_for_the_given_maps_only():
    lr, guides = case()
    only = QuantitativeMaps(data=lr.data[1:2], grid=lr.grid, names=("T1",))
    assert np.isfinite(solved(only, guides, lr_noise={"T1": 0.02}).maps.data).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_said():
    with pytest.raises(ValueError, match="there is no cuda device on this machine: choose 'auto' or 'cpu'"):
        choose_device("cuda")


def test_auto_finds_a_device():
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    assert choose_device("cpu") == torch.device("cpu")
