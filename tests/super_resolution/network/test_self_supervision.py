"""Examples of a scan: independent noise in input and target, on their grids, and the same after they were stored."""

from __future__ import annotations

import numpy as np
import torch
from training_cases import EDGE, scan

from napari_swig_qmri.super_resolution.network.self_supervision import (
    ALPHA,
    MORE_NOISE,
    ScanExample,
    named_tensors,
    recorrupt,
)


def test_noise_of_input_and_target_is_independent():
    """Both are unbiased, and their noise has the standard deviation that the losses assume."""
    noise = 0.05
    measured = 1 + noise * torch.randn(3, 40, 40, 40, generator=torch.Generator().manual_seed(0))
    noisier, target = recorrupt(measured, noise * torch.ones(1), np.random.default_rng(1))
    given, wanted = (noisier.numpy() - 1).ravel(), (target.numpy() - 1).ravel()
    assert abs(np.corrcoef(given, wanted)[0, 1]) < 0.01
    assert abs(given.mean()) < 1e-3
    assert abs(wanted.mean()) < 1e-3
    np.testing.assert_allclose(given.std(), noise * np.sqrt(1 + ALPHA**2), rtol=0.02)
    np.testing.assert_allclose(wanted.std(), noise * MORE_NOISE, rtol=0.02)


def test_inputs_and_targets_lie_on_their_grids():
    example = scan()
    assert example.fine.log_maps.shape == (3, EDGE, EDGE, EDGE)
    assert example.guides.shape == example.guide_weight.shape == (2, EDGE, EDGE, EDGE)
    assert example.coarse.log_maps.shape == example.coarse_target.shape == example.lr_maps.shape
    head = example.lr_maps[0] > 0.2
    for log_maps, target in ((example.coarse.log_maps, example.coarse_target),):
        error = (log_maps - target.clamp(min=1e-6).log())[:, head].abs().median(1).values
        assert error.max() < 0.15  # the same head in the same unit


def test_a_scan_comes_back_from_its_file(tmp_path):
    scan().save(tmp_path / "scan.safetensors")
    again = ScanExample.load(tmp_path / "scan.safetensors")
    assert again.sequences == scan().sequences
    stored, expected = named_tensors(again), named_tensors(scan())
    assert stored.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(stored[name], tensor), name
        assert stored[name].dtype == tensor.dtype, name
