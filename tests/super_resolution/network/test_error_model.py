"""Standard errors: what they are read from, and that they cover the errors of heads that the model never saw."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.network.error_features import N_ERROR_FEATURES
from napari_swig_qmri.super_resolution.network.error_model import (
    LARGEST_ERROR,
    N_ERROR_LEVELS,
    ErrorModel,
    error_levels,
)
from napari_swig_qmri.super_resolution.network.tensor_files import write_tensors
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve
from napari_swig_qmri.super_resolution.plan import plan


@cache
def run(noise=0.01, method="posterior"):
    maps, guides = degraded(slab().maps, map_noise=noise, guide_noise=0.01)
    return super_resolve(maps, guides, Options(method=method))


def covered(result, times):
    """Share of the errors in the brain within `times` standard errors, per map."""
    truth, inside = slab().maps, slab().mask
    return {
        name: float(
            np.mean(np.abs(result.maps[name] - truth[name])[inside] < times * result.standard_errors[name][inside])
        )
        for name in result.standard_errors.names
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", ["posterior", "network"])
def test_one_standard_error_covers_two_thirds_of_the_errors_of_the_phantom(method):
    for share, all_but_few in zip(
        covered(run(0.01, method), 1).values(), covered(run(0.01, method), 2).values(), strict=True
    ):
        assert 0.5 < share < 0.9
        assert all_but_few > 0.85


@pytest.mark.slow
def test_noisier_maps_have_larger_standard_errors():
    inside = slab().mask
    for name in ("PD", "T1", "T2"):
        few, many = (np.median(run(noise).standard_errors[name][inside]) for noise in (0.01, 0.08))
        assert many > 1.2 * few


@pytest.mark.slow
def test_voxels_with_larger_standard_errors_have_larger_errors():
    result, truth, inside = run(), slab().maps, slab().mask
    for name in result.standard_errors.names:
        stated = result.standard_errors[name][inside]
        errors = np.abs(result.maps[name] - truth[name])[inside]
        fifths = np.array_split(errors[np.argsort(stated)], 5)
        sizes = [np.sqrt(np.mean(fifth**2)) for fifth in fifths]
        assert sizes[-1] > 2 * sizes[0]


def test_regression_and_interpolation_have_none():
    maps, guides = degraded(slab().maps)
    assert super_resolve(maps, guides, Options(method="regression")).standard_errors is None
    assert super_resolve(maps, (), Options(method="posterior", voxel_size=3.0)).standard_errors is None


def test_only_measured_maps_have_standard_errors():
    maps, guides = degraded(slab().maps)
    two = {name: (maps[name], maps.grid.affine) for name in ("PD", "T1")}
    result = super_resolve(two, guides, Options(method="posterior", all_maps=True), units="s")
    assert result.maps.names == ("PD", "T1", "T2")
    assert result.standard_errors.names == ("PD", "T1")


def test_features_are_those_of_every_voxel_and_finite():
    maps, guides = degraded(slab().maps)
    kept = []

    def record(features, levels):
        kept.append(features)
        assert levels.shape == (N_ERROR_LEVELS,)
        return features[:3]

    planned = plan(maps, guides, Options(method="posterior"))
    solution = drained(solve(replace(planned, error_model=record)))
    whole = torch.cat(kept, 1)
    assert whole.shape[0] == N_ERROR_FEATURES
    assert whole.isfinite().all()
    assert (solution.errors >= 0).all()
    assert solution.errors.max() <= LARGEST_ERROR


def test_what_was_not_measured_counts_as_very_noisy():
    levels = error_levels(torch.tensor([0.01, torch.nan, 0.5]), (True, False, True), (1.0, 0.0, 0.5))
    torch.testing.assert_close(levels, torch.tensor([np.log(0.01), 0, np.log(0.5), 1, 0, 0.5], dtype=torch.float32))


def test_a_model_is_saved_and_read(tmp_path):
    model, features = ErrorModel(width=4), torch.randn(N_ERROR_FEATURES, 2, 3, 4)
    model.save(tmp_path / "model.safetensors")
    again = ErrorModel.load(tmp_path / "model.safetensors")
    levels = torch.zeros(N_ERROR_LEVELS)
    torch.testing.assert_close(again(features, levels), model(features, levels))


def test_a_file_of_something_else_is_refused(tmp_path):
    write_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(3)}, {})
    with pytest.raises(ValueError, match="no model of standard errors"):
        ErrorModel.load(tmp_path / "other.safetensors")
