"""Whole runs on a slab of the phantom: accuracy, invariances, progress, and the call itself."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from engine_cases import GAINS, degraded, slab, textured
from laws import paced
from run_cases import NAMES, case, errors, relative, solved, tissue, usual, zero_filled

from napari_swig_qmri.data.coercion import Guide
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps, super_resolve
from napari_swig_qmri.super_resolution.plan import plan

FAST = Options(method="regression", device="cpu")


@pytest.mark.parametrize("n_guides", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_it_beats_zero_filling_in_every_map(n_guides):
    lr, _ = case(n_guides)
    result = usual(n_guides)
    assert result.maps.grid.is_aligned_with(slab().maps.grid)
    for ours, interpolated in zip(errors(result.maps), errors(zero_filled(lr, result.maps.grid)), strict=True):
        assert ours < (0.5 if n_guides > 1 else 1.0) * interpolated


@pytest.mark.parametrize("n_guides", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_refinement_beats_the_regression_it_starts_from(n_guides):
    regressed = solved(*case(n_guides), method="regression")
    assert regressed.conflict is None
    tissue_only = {"where": tissue()}
    assert sum(errors(usual(n_guides).maps, **tissue_only)) < sum(errors(regressed.maps, **tissue_only))


@pytest.mark.parametrize("n_guides", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_gains_in_scanner_units_are_found(n_guides):
    """In voxels of 6 mm little tissue is flat; at 2 mm the error is a tenth of this."""
    np.testing.assert_allclose(usual(n_guides).gains, GAINS[:n_guides], rtol=0.02)


@pytest.mark.slow
def test_the_scale_of_guides_and_pd_does_not_matter():
    lr, guides = case()
    scale = np.array([250.0, 1, 1], np.float32).reshape(3, 1, 1, 1)
    brighter = [replace(guide, data=40 * guide.data) for guide in guides]
    result = solved(replace(lr, data=lr.data * scale), brighter)
    assert relative(replace(result.maps, data=result.maps.data / scale), usual().maps) < 1e-3
    np.testing.assert_allclose(np.array(result.gains) * 250 / 40, usual().gains, rtol=1e-3)


@pytest.mark.slow
def test_the_input_is_left_alone():
    lr, guides = degraded(slab().maps)
    before = lr.data.copy(), [g.data.copy() for g in guides]
    solved(lr, guides)
    np.testing.assert_array_equal(lr.data, before[0])
    for guide, data in zip(guides, before[1], strict=True):
        np.testing.assert_array_equal(guide.data, data)


@pytest.mark.slow
def test_a_pd_that_was_not_measured_is_an_unknown_of_the_posterior():
    lr, guides = case()
    subset = QuantitativeMaps(data=lr.data[1:], grid=lr.grid, names=NAMES[1:])
    start, solution = (
        errors(solved(subset, guides, method=m).maps, where=tissue()) for m in ("regression", "posterior")
    )
    assert solution[0] < start[0]
    assert solution[1] < 0.5 * start[1]


@pytest.mark.slow
def test_given_gains_and_noise_are_taken():
    noise = {"PD": 0.01, "T1": 0.02, "T2": 0.03}
    result = solved(*case(), gains=(800.0, 90.0), lr_noise=noise, guide_noise=(3.0, 0.5))
    np.testing.assert_allclose(result.gains, (800, 90), rtol=1e-6)
    assert result.parameters["lr_noise"] == pytest.approx(noise)
    assert [guide["noise"] for guide in result.parameters["guides"]] == pytest.approx([3.0, 0.5])
    exact = solved(*case(), gains=GAINS[:2])
    assert relative(exact.maps, usual().maps, share=0.5) < 0.01


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_network_changes_the_maps_the_same_in_slabs_and_in_float64(weights):
    result = solved(*case(), method="network", weights=weights)
    assert 1e-3 < relative(result.maps, usual().maps) < 1
    parts = solved(*case(), method="network", weights=weights, memory_limit=1_000_000)
    assert relative(parts.maps, result.maps) < 1e-3
    exact = solved(*case(), method="network", weights=weights, dtype="float64")
    assert relative(exact.maps, result.maps, share=0.99) < 1e-3


@pytest.mark.slow
def test_a_network_counts_only_as_far_as_the_noise_is_like_that_of_its_training(weights):
    shares, changes = [], []
    for level in (0.03, 0.065, 0.1):
        noise = dict.fromkeys(NAMES, level)
        run = solved(*case(), lr_noise=noise, weights=weights, method="network")
        plain = solved(*case(), lr_noise=noise, method="posterior")
        shares.append(run.parameters["network_share"])
        changes.append(relative(run.maps, plain.maps))
        assert any("from 3% on its corrections help less" in notice for notice in run.notices) == (shares[-1]["T2"] < 1)
    assert [found["PD"] for found in shares] == [found["T1"] for found in shares] == pytest.approx([1, 0.5, 0])
    assert changes[0] > changes[1] > changes[2] == 0
    assert run.parameters["method"] == "posterior"


@pytest.mark.slow
def test_a_network_is_left_out_of_t2_alone_where_only_guides_are_noisy(weights):
    half = plan(*case(), FAST).problem.guide_levels / 2
    noise = {"lr_noise": dict.fromkeys(NAMES, 0.01), "guide_noise": tuple(half.tolist())}
    run = solved(*case(), **noise, weights=weights, method="network")
    plain = solved(*case(), **noise, method="posterior")
    assert run.parameters["network_share"] == {"PD": 1, "T1": 1, "T2": 0}
    assert [np.array_equal(run.maps[name], plain.maps[name]) for name in NAMES] == [False, False, True]
    left_out = [notice for notice in run.notices if "network was left out of T2: maps and guides hold 50" in notice]
    assert len(left_out) == 1


@pytest.mark.slow
def test_float64_gives_the_same_maps():
    result = solved(*case(), dtype="float64")
    assert result.maps.data.dtype == np.float64
    assert relative(result.maps, usual().maps, share=0.99) < 1e-3


@pytest.mark.slow
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


@pytest.mark.slow
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
@pytest.mark.parametrize(("options", "every"), [(Options(method="regression"), 1), (Options(method="posterior"), 9)])
def test_closing_it_anywhere_stops_it(options, every):
    inputs = small()
    for n in range(0, len(list(super_resolution_steps(*inputs, options))), every):
        steps = super_resolution_steps(*inputs, options)
        for _ in range(n):
            next(steps)
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)


def test_noise_is_asked_for_the_given_maps_only():
    lr, guides = case()
    only = QuantitativeMaps(data=lr.data[1:2], grid=lr.grid, names=("T1",))
    assert np.isfinite(solved(only, guides, lr_noise={"T1": 0.02}).maps.data).all()


def small():
    """LR maps and guides of a small box, which regression solves in a moment."""
    box = QuantitativeMaps(data=textured((16, 16, 12)), grid=VoxelGrid((16, 16, 12), np.diag([1.0, 1.0, 2.0, 1.0])))
    return degraded(box)


def test_the_call_and_the_steps_give_the_same_result():
    seen = []
    result = super_resolve(*small(), FAST, progress=seen.append)
    stepped, steps, _ = paced(super_resolution_steps(*small(), FAST))
    assert [step.stage for step in seen] == [step.stage for step in steps]
    np.testing.assert_array_equal(result.maps.data, stepped.maps.data)


def test_files_images_and_arrays_give_the_result_of_volumes(tmp_path):
    """The example of the README: maps by name, guides as files and as images with a sequence, units beside them."""
    maps, guides = small()
    expected = super_resolve(maps, guides, FAST)
    affine = maps.grid.affine
    nib.save(nib.Nifti1Image(maps["PD"], affine), tmp_path / "pd.nii.gz")
    in_ms = {name: (1000 * maps[name]).astype(np.float32) for name in ("T1", "T2")}
    t1w = Guide(nib.Nifti1Image(guides[0].data.astype(np.float32), guides[0].grid.affine), guides[0].sequence, "T1w")
    path = tmp_path / "T2w.nii.gz"
    nib.save(nib.Nifti1Image(guides[1].data.astype(np.float32), guides[1].grid.affine), path)
    (tmp_path / "T2w.json").write_text(json.dumps(to_sidecar(guides[1].sequence)))
    given = {"PD": tmp_path / "pd.nii.gz", "T1": nib.Nifti1Image(in_ms["T1"], affine), "T2": (in_ms["T2"], affine)}
    result = super_resolve(given, [t1w, path], FAST, units="ms")
    np.testing.assert_allclose(result.maps.data, expected.maps.data, rtol=1e-4)
    assert [guide.name for guide in result.guides] == ["T1w", "T2w"]
