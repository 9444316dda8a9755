"""The result of a run belongs to its inputs, and says what was done and what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import slab
from run_cases import NAMES, case, errors, relative, solved, tissue, usual, zero_filled

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.outcome import result_of
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.solver.one_scale_up import Unrehearsed
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS


@pytest.mark.slow
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


@pytest.mark.slow
def test_evidence_adds_up_in_tissue_and_its_means_are_among_the_parameters():
    evidence = usual().evidence
    assert (evidence.maps, evidence.sources) == (NAMES, ("LR maps", "T1w", "T2w", "regression"))
    for shares in (evidence.information, evidence.detail):
        assert np.abs(shares[:, :, tissue()].sum(1, dtype=int) - 100).max() <= 2  # rounded
        assert (shares.max(axis=(0, 2, 3, 4)) > 0).tolist() == [shares is evidence.information, True, True, True]
    means = usual().parameters["evidence"]
    for name, of_kinds in evidence.means(tissue()).items():
        for kind, of_sources in of_kinds.items():
            assert means[name][kind] == pytest.approx(of_sources, abs=10)  # over tissue as the run sees it
    here = evidence.at("T1", tuple(np.argwhere(tissue())[0]))
    assert sum(here["detail"].values()) == pytest.approx(100, abs=2)
    assert here["detail"]["LR maps"] == 0


def test_the_share_of_a_guide_falls_with_its_noise():
    lr, guides = case()
    t1w, t2w = (float(np.median(guide.data[tissue()])) for guide in guides)
    usual_noise, noisier = (
        solved(lr, guides, method="posterior", guide_noise=[0.1 * t1w, level * t2w]).parameters["evidence"]["T2"]
        for level in (0.1, 10.0)
    )
    assert usual_noise["detail"]["T2w"] > 50
    assert noisier["detail"]["T2w"] < 1


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


@pytest.mark.slow
@pytest.mark.parametrize("names", [("T1",), ("PD", "T2"), ("T2", "PD"), ("T1", "T2"), ("PD",)])
def test_a_subset_of_the_maps(names):
    lr, guides = case()
    subset = QuantitativeMaps(data=np.stack([lr[name] for name in names]), grid=lr.grid, names=names)
    result = solved(subset, guides)
    assert set(result.maps.names) == set(names)
    assert result.lr_residual.names == result.maps.names
    assert result.parameters["method"] == "posterior"
    assert set(result.parameters["lr_noise"]) == set(names)
    assert result.estimated == {}
    assert any("network is left out" in notice for notice in result.notices)
    for missing in set(NAMES) - set(names):
        assert any(f"no {missing} map" in notice for notice in result.notices)
    interpolated = zero_filled(lr, result.maps.grid)
    for name, ours in zip(result.maps.names, errors(result.maps, where=tissue()), strict=True):
        assert ours < errors(interpolated, where=tissue())[NAMES.index(name)]


@pytest.mark.slow
def test_outside_the_mask_the_maps_are_zero():
    mask = slab().mask
    result = solved(*case(), mask=mask)
    assert result.parameters["mask"] == f"{mask.sum()} voxels"
    assert (result.maps.data[:, ~mask] == 0).all()
    assert relative(result.maps, usual().maps, share=0.9) < 0.01


def with_echo_time(guide, seconds):
    return replace(guide, sequence=replace(guide.sequence, echo_time=seconds))


def test_a_result_without_a_number_is_never_returned():
    planned = plan(*case(), Options(method="regression"))
    solution, untested = drained(solve(planned)), Unrehearsed("nothing was tried")
    assert np.isfinite(result_of(solution, untested, planned).maps.data).all()
    with pytest.raises(ValueError, match="the run found no value of PD"):
        result_of(replace(solution, maps=torch.full_like(solution.maps, torch.nan)), untested, planned)
