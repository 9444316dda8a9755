"""Scores of maps: what each must be blind or sensitive to."""

import json

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.evaluation.scores import (
    agreement,
    evaluate,
    format_scores,
    positive_voxels,
    tissue_errors,
    tissue_masks,
    variant,
)

GRID = VoxelGrid((24, 22, 20), np.diag([3.0, 3.0, 3.0, 1.0]))


@pytest.fixture
def reference() -> QuantitativeMaps:
    """White matter, grey matter and CSF in thirds along x, with texture."""
    rng = np.random.default_rng(3)
    tissues = np.array([[0.7, 0.9, 0.07], [0.8, 1.4, 0.09], [1.0, 3.9, 1.4]])
    data = np.repeat(tissues, 8, axis=0).T[:, :, None, None] * np.ones((3, *GRID.shape))
    return QuantitativeMaps(data=data * (1 + 0.02 * rng.standard_normal(data.shape)), grid=GRID)


def changed(maps: QuantitativeMaps, data: np.ndarray, grid: VoxelGrid = GRID) -> QuantitativeMaps:
    return QuantitativeMaps(data=data, grid=grid, names=maps.names)


def everywhere() -> np.ndarray:
    return np.ones(GRID.shape, bool)


def test_equal_maps_score_perfectly(reference):
    for scores in evaluate(reference, reference, everywhere()).values():
        assert scores.ssim == pytest.approx(1)
        assert (scores.hfen, scores.nrmse, scores.median_ape, scores.bias) == (0, 0, 0, 0)


def test_a_scaled_map_has_the_errors_of_its_scale(reference):
    scores = evaluate(changed(reference, 1.05 * reference.data), reference, everywhere())["T1"]
    # T1 stays below the clipping level of 4 s for tissue; 5 % is 5 % in every voxel
    assert scores.median_ape == pytest.approx(5)
    assert scores.bias == pytest.approx(5)
    assert scores.limits == pytest.approx((5, 5))


def test_hfen_and_bias_part_edges_from_offsets(reference):
    mask = everywhere()
    lifted = evaluate(changed(reference, reference.data + 0.01), reference, mask)["PD"]
    assert lifted.hfen < 0.01 < lifted.bias / 100
    noise = np.random.default_rng(5).standard_normal(reference.data.shape)
    rough = evaluate(changed(reference, reference.data + 0.02 * noise), reference, mask)["PD"]
    assert rough.hfen > 0.1 > abs(rough.bias)


def test_agreement_by_hand():
    reference = np.array([[[1.0, 2.0, 4.0, 0.0]]])
    image = np.array([[[1.1, 1.8, 4.8, 7.0]]])  # +10, -10, +20 % and a voxel without reference
    found = agreement(image, reference, np.ones(reference.shape, bool))
    assert found.n_voxels == 3
    assert found.median_ape == pytest.approx(10)
    assert found.bias == pytest.approx(10)
    assert found.mean_difference == pytest.approx(20 / 3)
    spread = 1.96 * np.std([10, -10, 20])
    assert found.limits == pytest.approx((20 / 3 - spread, 20 / 3 + spread))


def test_csf_does_not_count_as_tissue(reference):
    data = reference.data.copy()
    data[:, 16:] *= 2  # only CSF is wrong
    scores = evaluate(changed(reference, data), reference, everywhere())
    assert scores["PD"].median_ape == 0
    assert tissue_errors(changed(reference, data), reference, everywhere())["T2"]["CSF"].bias == (pytest.approx(100))


def test_tissues_are_found_without_labels(reference):
    masks = tissue_masks(reference, everywhere())
    for i, name in enumerate(("WM", "GM", "CSF")):
        expected = np.zeros(GRID.shape, bool)
        expected[8 * i : 8 * i + 8] = True
        np.testing.assert_array_equal(masks[name], expected)


def test_given_labels_are_used_inside_the_mask_only(reference):
    mask = everywhere()
    mask[:, :, :10] = False
    lesion = np.zeros(GRID.shape, bool)
    lesion[:4] = True
    errors = tissue_errors(reference, reference, mask, {"lesion": lesion})
    assert errors["T1"]["lesion"].n_voxels == 4 * 22 * 10


def test_a_mask_with_its_grid_is_brought_to_that_of_the_reference(reference):
    inside = everywhere()
    inside[:, :6] = False
    flipped = GRID.affine @ np.diag([1, -1, 1, 1.0])
    flipped[1, 3] += 3.0 * (GRID.shape[1] - 1)
    stored = Volume(data=inside[:, ::-1].astype(np.float32), grid=VoxelGrid(GRID.shape, flipped), name="mask")
    maps = changed(reference, 1.05 * reference.data)
    assert evaluate(maps, reference, stored) == evaluate(maps, reference, inside)
    assert tissue_errors(maps, reference, stored) == tissue_errors(maps, reference, inside)


def test_small_slices_are_left_out(reference):
    mask = everywhere()
    mask[:, :, 0] = False
    mask[5:8, 5:8, 0] = True  # 81 mm^2, below the 200 mm^2 that a slice needs
    data = reference.data.copy()
    data[..., 0] = 0
    scores = evaluate(changed(reference, data), reference, mask)["PD"]
    assert scores.ssim == pytest.approx(1)
    assert scores.nrmse > 0


def test_axial_slices_follow_the_affine(reference):
    """The same volume stored with its axes in another order scores the same."""
    noise = 0.05 * np.random.default_rng(1).standard_normal(reference.data.shape)
    noisy = changed(reference, reference.data + noise)
    expected = evaluate(noisy, reference, everywhere())["PD"]
    grid = VoxelGrid((20, 24, 22), GRID.affine[:, [2, 0, 1, 3]])
    turned = [changed(m, m.data.transpose(0, 3, 1, 2), grid) for m in (noisy, reference)]
    found = evaluate(*turned, np.ones(grid.shape, bool))["PD"]
    assert (found.ssim, found.hfen) == pytest.approx((expected.ssim, expected.hfen))


def test_missing_voxels_count_as_errors_and_missing_reference_does_not_count(reference):
    data = reference.data.copy()
    data[1, :4] = np.nan
    holes = changed(reference, data)
    assert evaluate(holes, reference, everywhere())["T1"].nrmse > 0.05
    assert evaluate(reference, holes, everywhere())["T1"].nrmse == 0


def test_one_map_alone_can_be_scored(reference):
    only = QuantitativeMaps(data=reference.data[1:2], grid=GRID, names=("T1",))
    assert list(evaluate(only, reference, everywhere())) == ["T1"]
    assert list(evaluate(reference, only, everywhere())) == ["T1"]


@pytest.mark.parametrize(("scale", "factor"), [(1, 1), (100, 0.01), (4000, None)])
def test_a_wrong_scale_of_pd_is_an_error_in_any_unit_of_the_reference(reference, scale, factor):
    unit = np.array([scale, 1, 1]).reshape(3, 1, 1, 1)
    wrong = np.array([1.1, 1, 1]).reshape(3, 1, 1, 1)
    stored = changed(reference, unit * reference.data)
    found = variant(stored)["pd_factor"]
    assert found == factor if factor else 0.8 < found * scale < 1.2
    scores = evaluate(changed(reference, unit * wrong * reference.data), stored, everywhere())
    assert scores["PD"].bias == pytest.approx(10)
    assert evaluate(stored, stored, everywhere())["PD"].ssim == pytest.approx(1)
    assert f"multiplied by {found:.4g}" in format_scores(scores, pd_factor=found) or scale == 1


def test_the_variant_is_json_and_names_what_the_table_prints(reference):
    said = json.loads(json.dumps(variant(reference)))
    assert said["data_range"] == {"PD": 1.2, "T1": 4.0, "T2": 0.3}
    assert (said["ssim_window"], said["hfen"]) == (7, {"sigma": 1.5, "window": 15})
    assert said["tissue_limits_s"] == {"T1": 2.2, "T2": 0.15}
    assert said["slice_axis"] == 2


def test_maps_that_cannot_be_compared_are_refused(reference):
    shifted = changed(reference, reference.data, VoxelGrid(GRID.shape, np.diag([3.0, 3.0, 4.0, 1.0])))
    smaller = QuantitativeMaps(data=reference.data[:, 1:], grid=VoxelGrid((23, 22, 20), GRID.affine))
    pd, t1 = (
        QuantitativeMaps(data=reference.data[i : i + 1], grid=GRID, names=(name,))
        for i, name in enumerate(("PD", "T1"))
    )
    for sr, ref, mask, message in (
        (shifted, reference, everywhere(), r"19\.00 mm apart: interpolate"),
        (smaller, reference, everywhere(), r"the maps have \(23, 22, 20\) voxels and the reference \(24, 22, 20\)"),
        (reference, reference, np.ones((2, 2, 2), bool), r"shape \(2, 2, 2\)"),
        (pd, t1, everywhere(), r"share no quantity"),
        (reference, reference, ~everywhere(), "mask is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(sr, ref, mask)


def test_without_relaxation_times_all_voxels_are_tissue_and_no_voxels_have_no_errors(reference):
    pd = QuantitativeMaps(data=reference.data[:1], grid=GRID, names=("PD",))
    errors = tissue_errors(pd, pd, everywhere())
    assert list(errors["PD"]) == ["tissue"]
    assert errors["PD"]["tissue"].n_voxels == GRID.shape[0] * GRID.shape[1] * GRID.shape[2]
    assert np.isnan(tissue_errors(pd, pd, ~everywhere())["PD"]["tissue"].bias)


def test_positive_voxels_have_a_value_above_zero_in_every_map(reference):
    data = reference.data.copy()
    data[0, 0], data[1, 1] = 0, np.nan
    assert positive_voxels(changed(reference, data)).sum() == reference.data[0, 2:].size


def test_table_names_ranges_tissues_and_variants(reference):
    scores = evaluate(reference, reference, everywhere())
    table = format_scores(scores, tissue_errors(reference, reference, everywhere()))
    for text in ("0-1.2", "0-4 s", "0-0.3 s", "7 x 7", "LoG 1.5", "GM", "limits of agreement", "T1 < 2.2 s"):
        assert text in table
    assert "nan" not in table
