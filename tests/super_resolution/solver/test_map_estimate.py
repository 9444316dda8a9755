"""Most probable maps: closer to the truth than their prediction, in any slabs, and with noise that adds up."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from engine_cases import GAINS, degraded, textured

from napari_swig_qmri.data.truncation import linear_interpolation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.preparation.problem import prepare
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.map_estimate import estimate_maps, measure_noise_of_maps
from napari_swig_qmri.super_resolution.solver.prediction import make_posterior, predict

SHAPE = (28, 24, 20)
TRUTH = QuantitativeMaps(data=textured(SHAPE), grid=VoxelGrid(SHAPE, np.eye(4)))


@cache
def case():
    levels = {"map_noise": 0.01, "guide_noise": 0.01, "generator": np.random.default_rng(0)}
    lr_maps, guides = degraded(TRUTH, 2, **levels)
    problem = drained(prepare(lr_maps, guides, TRUTH.grid))
    return problem, drained(predict(problem))


def estimated(n_planes=100, keep_noise=False):
    problem, prediction = case()
    posterior = make_posterior(problem, prediction, torch.tensor(GAINS[:2]) * problem.gain_units)
    device = torch.device("cpu")
    return estimate_maps(problem, posterior, prediction.noise, device=device, n_planes=n_planes, keep_noise=keep_noise)


def test_the_estimate_minimises_its_posterior():
    """A few more steps change next to nothing."""
    estimate = drained(estimated(keep_noise=True))
    posterior, log_maps = estimate.posterior, estimate.log_maps
    assert posterior(log_maps) < posterior(posterior.prior_mean)
    more = drained(refine(posterior, Iterate.at(log_maps, posterior), n_steps=4, n_planes=100)).log_maps
    torch.testing.assert_close(log_maps, more, rtol=0, atol=2e-3)


def test_progress_rises_to_one_and_slabs_do_not_show():
    steps = []
    in_slabs = drained(estimated(n_planes=5), steps.append)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    torch.testing.assert_close(in_slabs.log_maps, drained(estimated()).log_maps, rtol=0, atol=1e-4)


def test_estimate_and_noise_add_up_to_the_estimate_that_keeps_its_noise():
    kept, smooth = drained(estimated(keep_noise=True)), drained(estimated())
    assert kept.noise.shape == ()
    assert smooth.noise.std() > 1e-3
    torch.testing.assert_close(smooth.log_maps + smooth.noise, kept.log_maps, rtol=0, atol=1e-6)


def test_without_pure_tissue_there_is_no_noise_to_remove():
    """Single voxels of tissue are mixed on the HR grid."""
    lr = VoxelGrid((4, 4, 3), np.diag([2.0, 2.0, 2.0, 1.0]))
    hr = lr.with_shape((8, 8, 6))
    tissue = torch.zeros(lr.shape, dtype=torch.bool)
    tissue[1, 1, 1] = True
    guides = torch.rand(2, *lr.shape, generator=torch.Generator().manual_seed(0))
    problem = SimpleNamespace(
        tissue=tissue, lr_guides=guides, guide_levels=torch.ones(2), interpolate=linear_interpolation(hr, lr)
    )
    flat, levels = measure_noise_of_maps(problem, torch.zeros(3, *hr.shape))
    assert not flat.any()
    assert (levels == 0).all()


def test_noise_of_maps_is_measured_in_flat_tissue():
    """White noise of 1 to 3 %, beside a block of CSF in the guide."""
    hr = VoxelGrid((40, 40, 40), np.eye(4))
    lr = hr.with_shape((20, 20, 20))
    tissue, guide = torch.ones(20, 20, 20, dtype=torch.bool), torch.ones(1, 20, 20, 20)
    tissue[:6], guide[:, :6] = False, 3.0
    noise = torch.tensor([0.01, 0.02, 0.03])
    log_maps = noise.view(-1, 1, 1, 1) * torch.randn(3, 40, 40, 40, generator=torch.Generator().manual_seed(0))
    log_maps[:, :12] += 1
    interpolate = linear_interpolation(hr, lr)
    problem = SimpleNamespace(tissue=tissue, lr_guides=guide, guide_levels=torch.ones(1), interpolate=interpolate)
    flat, levels = measure_noise_of_maps(problem, log_maps)
    torch.testing.assert_close(levels, noise, rtol=0.05, atol=0)
    assert flat.any()
    assert not flat[:12].any()
