"""Floors, variances and the covariance of the prior, worked by hand or held against their laws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import degraded, textured

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES
from napari_swig_qmri.super_resolution.preparation.problem import FLOOR, GUIDE_FLOOR, log_with_floor, prepare
from napari_swig_qmri.super_resolution.solver.lr_term import MISSING_VARIANCE, lr_variance
from napari_swig_qmri.super_resolution.solver.prediction import (
    ABOVE_WATER,
    ONE_SCALE_DOWN,
    WATER,
    Noise,
    Prediction,
    cross_scale_covariance,
    guide_features,
    make_posterior,
    predict,
    show_t2_in_fluid,
    upper_limits_of,
)
from napari_swig_qmri.super_resolution.solver.regression import interpolate_with_floor

SHAPE = (24, 20, 16)
LEVELS = torch.tensor([0.01, 0.02, 0.03])
NOISE = Noise(lr_maps=LEVELS, guides=torch.tensor([8.0, 1.0]))


@cache
def truth_maps():
    """A box of tissue with a block of CSF."""
    data = textured(SHAPE)
    data[:, 18:] = np.array([1.0, 4.0, 2.0])[:, None, None, None]
    return QuantitativeMaps(data=data, grid=VoxelGrid(SHAPE, np.eye(4)))


@cache
def problem():
    """LR maps and two guides with noise of 1 %."""
    maps, guides = degraded(truth_maps(), map_noise=0.01, guide_noise=0.01)
    return drained(prepare(maps, guides, guides[0].grid))


def covariance_of(case, noise=NOISE):
    return drained(cross_scale_covariance(case, guide_features(case, case.lr_guides), noise))


def test_logarithms_have_a_floor():
    maps = torch.tensor([-1.0, 0.0, 1.0]).expand(3, 3)
    floor = torch.tensor(list(FLOOR.values()))
    expected = torch.stack([floor.log(), floor.log(), torch.zeros(3)], dim=1)
    torch.testing.assert_close(log_with_floor(maps), expected)


def test_features_are_logarithms_relative_to_tissue_with_a_floor():
    case = problem()
    images = torch.stack([torch.tensor([1.0, 2.0, -5.0]) * level for level in case.guide_levels])
    expected = torch.tensor([1.0, 2.0, GUIDE_FLOOR]).log().expand(2, 3)
    torch.testing.assert_close(guide_features(case, images), expected)


def test_features_of_signed_images_are_the_images_relative_to_tissue():
    uni = SEQUENCES["mp2rage-uni"].from_typical()
    case = replace(problem(), sequences=(problem().sequences[0], uni))
    images = torch.stack([torch.tensor([1.0, -2.0]) * level for level in case.guide_levels])
    torch.testing.assert_close(guide_features(case, images)[1], torch.tensor([1.0, -2.0]))


def truth_error(maps):
    truth = torch.as_tensor(truth_maps().data, dtype=torch.float32) / problem().map_units
    return (maps / truth - 1)[:, :16].abs().flatten(1).mean(1)


@pytest.mark.parametrize("noise", [None, NOISE])
def test_a_prediction_is_closer_to_the_truth_than_interpolation(noise):
    levels = (None, None) if noise is None else (noise.lr_maps, noise.guides)
    prediction = drained(predict(problem(), *levels))
    interpolated = interpolate_with_floor(problem().lr_maps, problem().truncate)
    assert (truth_error(prediction.maps) < 0.8 * truth_error(interpolated)).all()
    if noise is None:
        levels = prediction.noise.lr_maps
        assert ((levels > 0.008) & (levels < 0.03)).all()  # 1 %, and texture
    else:
        assert torch.equal(prediction.noise.lr_maps, noise.lr_maps)
        assert torch.equal(prediction.noise.guides, noise.guides)


def test_fluid_does_not_ring_into_the_t2_of_tissue():
    """Tissue within eight voxels of a block of CSF; the LR map itself is off by more than half there."""
    near = (slice(None), slice(10, 18))
    truth = torch.as_tensor(truth_maps().data[2], dtype=torch.float32)[near]
    prediction = drained(predict(problem())).maps[2][near]
    assert (problem().truncate.zero_filled(problem().lr_maps)[2][near] / truth - 1).abs().median() > 0.5
    assert (prediction / truth - 1).abs().median() < 0.04


def test_without_a_guide_the_prediction_is_the_interpolation_with_a_smaller_lr_residual():
    lr_maps, _ = degraded(truth_maps())
    case = drained(prepare(lr_maps, [], truth_maps().grid))
    prediction, interpolated = drained(predict(case)).maps, interpolate_with_floor(case.lr_maps, case.truncate)
    after, before = (
        (case.lr_maps - case.truncate(maps)).square().sum((1, 2, 3)) for maps in (prediction, interpolated)
    )
    assert (after < 0.9 * before).all()
    assert (prediction / interpolated - 1).abs().median() < 0.05


def test_lr_variance_is_relative_to_the_value_with_a_floor():
    case = problem()
    variance = lr_variance(case, NOISE.lr_maps)
    seen = case.lr_valid
    typical = case.lr_maps[:, case.tissue].abs().median(-1).values
    for i, level in enumerate(LEVELS.tolist()):
        least = (level * torch.maximum(case.lr_maps[i].abs(), 0.5 * typical[i])).square()
        assert (variance[i] >= least * (1 - 1e-5))[seen].all()
        bright = case.tissue & (case.lr_maps[i] > typical[i]) & seen
        torch.testing.assert_close(variance[i][bright], (level * case.lr_maps[i][bright]).square())


def test_what_was_not_measured_has_no_weight():
    seen = problem().lr_valid.clone()
    seen[3, 4, 5] = False
    variance = lr_variance(replace(problem(), lr_valid=seen, measured=(False, True, True)), NOISE.lr_maps)
    assert (variance[:, 3, 4, 5] == MISSING_VARIANCE).all()
    assert (variance[0] == MISSING_VARIANCE).all()
    assert (variance[1:, seen] < 1).all()


@pytest.mark.parametrize("level", [0.004, 0.03, 0.5])
def test_the_covariance_is_positive_definite_whatever_noise_is_taken_off(level):
    covariance = covariance_of(problem(), replace(NOISE, lr_maps=torch.full((3,), level)))
    torch.testing.assert_close(covariance, covariance.T)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def without(*names):
    maps, guides = degraded(truth_maps(), map_noise=0.01, guide_noise=0.01)
    kept = [name for name in maps.names if name not in names]
    subset = QuantitativeMaps(data=np.stack([maps[name] for name in kept]), grid=maps.grid, names=tuple(kept))
    return drained(prepare(subset, guides, guides[0].grid))


def test_what_was_not_measured_has_no_part_in_the_covariance_of_errors():
    covariance = covariance_of(without("T2"))
    assert (covariance[2] == 0).all()
    assert (covariance[:, 2] == 0).all()
    assert torch.linalg.eigvalsh(covariance[:2, :2]).min() > 0


def test_what_was_not_measured_has_a_wide_prior_of_its_own_in_every_voxel():
    """Wider at the border of CSF than in tissue, and around the values of tissue."""
    case = without("T2")
    prediction = drained(predict(case))
    posterior = make_posterior(case, prediction, torch.tensor([800.0, 100.0]))
    assert (posterior.prior_precision[2] == 0).all()
    spread = posterior.unmeasured_precision[0].rsqrt()
    assert spread[:14].median() == pytest.approx(0.3, abs=0.1)
    assert spread[17:19].median() > 2 * spread[:14].median()
    assert prediction.maps[2, :14].median() == pytest.approx(0.085, rel=0.15)
    assert prediction.maps[2, 19:].median() > 0.3


def test_the_objective_has_guides_in_units_of_pd_and_their_precision():
    case, gains = problem(), torch.tensor([800.0, 100.0])
    prediction = Prediction(maps=torch.ones(3, *case.hr_grid.shape), covariance=torch.eye(3), noise=NOISE)
    valid = case.guide_valid.clone()
    valid[1, 0, 0, 0] = False
    posterior = make_posterior(replace(case, guide_valid=valid), prediction, gains)
    torch.testing.assert_close(posterior.guides[1], case.guides[1] / 100)
    assert posterior.guide_precision[:, 0, 0, 0].tolist() == pytest.approx([100.0**2, 0])
    assert posterior.guide_precision[:, 5, 5, 5].tolist() == pytest.approx([100.0**2, 100.0**2])
    torch.testing.assert_close(posterior.prior_precision, torch.eye(3) / ONE_SCALE_DOWN)


def test_a_resampled_guide_counts_less_where_it_has_detail():
    """An edge of 100 in a guide of gain 100; the flat rest and the other guide keep their precision."""
    case, gains = problem(), torch.tensor([800.0, 100.0])
    guides = torch.full_like(case.guides, 400.0)
    guides[:, :12] = 500.0
    prediction = Prediction(maps=torch.ones(3, *case.hr_grid.shape), covariance=torch.eye(3), noise=NOISE)
    one, two = (
        make_posterior(replace(case, guides=guides, guide_resampled=which), prediction, gains).guide_precision
        for which in ((False, False), (False, True))
    )
    torch.testing.assert_close(two[0], one[0])
    torch.testing.assert_close(two[1, 20:], one[1, 20:])
    assert (two[1, 11:13] < 0.1 * one[1, 11:13]).all()  # an error near 0.2 / 2 against a noise of 0.01


@pytest.mark.parametrize("level", [0.01, 6.0])
def test_nothing_may_be_far_above_water_or_the_lr_maps(level):
    """Worked by hand: 1.1 times water, or 1.1 times a map that is brighter (a receive field, overshooting fits)."""
    flat = replace(problem(), lr_maps=torch.full_like(problem().lr_maps, level))
    assert upper_limits_of(flat) == pytest.approx([ABOVE_WATER * max(level, water) for water in WATER])


def test_what_was_not_measured_stays_below_water_except_pd_whose_scale_the_gains_set():
    limits = upper_limits_of(replace(problem(), measured=(False, False, False)))
    assert limits == (float("inf"), *(ABOVE_WATER * water for water in WATER[1:]))


@pytest.mark.parametrize(
    ("guides", "shown"),
    [("T1w T2w", True), ("T1w FLAIR", False), ("T1w T2w FLAIR", True), ("FLAIR", False), ("T1w", True)],
)
def test_a_flair_shows_no_t2_in_fluid_and_leaves_it_to_a_guide_that_depends_on_t2(guides, shown):
    assert show_t2_in_fluid([USUAL_GUIDES[name] for name in guides.split()]) is shown
