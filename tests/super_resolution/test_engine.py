"""The steps of the engine, one by one: slabs, smoothing, air, and what happens where guides are not followed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engine_cases import degraded, objective, slab

from napari_swig_qmri.data.truncation import KSpaceTruncation, linear_interpolation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.engine import AIR, air_off_the_head, solve, without_air
from napari_swig_qmri.super_resolution.network.model import LARGEST_CORRECTION, NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.solver.conflicts import follow_lr_maps, restart
from napari_swig_qmri.super_resolution.solver.devices import BYTES_PER_VOXEL, CPU_SLAB, planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.map_estimate import measure_noise_of_maps
from napari_swig_qmri.super_resolution.solver.prediction import upper_limits_of
from napari_swig_qmri.super_resolution.solver.problem import prepare

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def box():
    """Objective of a box, and what of its problem the engine reads."""
    posterior, hr, lr = objective((8, 8, 6), n_guides=2)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    interpolate = linear_interpolation(hr, lr, dtype=torch.float64)
    problem = SimpleNamespace(truncate=truncate, interpolate=interpolate, lr_maps=posterior.lr_maps)
    return posterior, problem


@pytest.mark.parametrize(
    ("shape", "device", "limit", "n_planes"),
    [
        ((200, 100, 100), CPU, None, CPU_SLAB // 10_000),
        ((20, 10, 10), CPU, None, 20),  # all there are
        ((200, 100, 100), CPU, 7 * 10_000 * BYTES_PER_VOXEL, 7),
        ((200, 100, 100), CPU, 1, 1),  # one at least
        ((200, 1000, 1000), CPU, None, 1),
        ((200, 100, 100), CUDA, None, 200),
    ],
)
def test_planes_of_a_slab(shape, device, limit, n_planes):
    assert planes_of_a_slab(shape, device, limit) == n_planes


def test_without_pure_tissue_there_is_no_noise_to_take_out(box):
    """Single voxels of tissue are mixed on the HR grid."""
    posterior, problem = box
    problem.lr_guides = torch.rand(2, *posterior.lr_maps.shape[1:], dtype=torch.float64)
    problem.guide_levels = torch.ones(2, dtype=torch.float64)
    problem.tissue = torch.zeros(posterior.lr_maps.shape[1:], dtype=torch.bool)
    problem.tissue[1, 1, 1] = True
    flat, level = measure_noise_of_maps(problem, posterior.prior_mean)
    assert not flat.any()
    assert (level == 0).all()


def test_the_noise_of_the_result_is_measured_in_flat_tissue():
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
    flat, level = measure_noise_of_maps(problem, log_maps)
    torch.testing.assert_close(level, noise, rtol=0.05, atol=0)
    assert flat.any()
    assert not flat[:12].any()


def test_air_is_dark_and_off_the_head(box):
    _, problem = box
    problem.lr_maps = torch.zeros_like(problem.lr_maps)
    problem.lr_maps[0, 0] = 2 * HEAD
    pd = torch.full((8, 8, 6), AIR / 2, dtype=torch.float64)
    pd[7, 7, 5] = 2 * AIR
    air = air_off_the_head(problem, pd)
    assert not air[:4].any()  # the head, and the LR voxels beside it
    assert not air[7, 7, 5]
    assert air[7, :7].all()


def test_air_keeps_pd_and_has_the_shortest_times():
    maps = torch.full((3, 2, 2, 2), 0.5)
    air = torch.zeros(2, 2, 2, dtype=torch.bool)
    air[0] = True
    cleaned = without_air(maps, air)
    assert cleaned[:, 0, 0, 0].tolist() == pytest.approx([0.5, T1.bounds[0], T2.bounds[0]])
    assert torch.equal(cleaned[:, 1], maps[:, 1])


def test_without_a_conflict_guides_and_prior_stay(box):
    posterior, problem = box
    followed = follow_lr_maps(posterior, problem, torch.zeros(8, 8, 6, dtype=torch.float64))
    assert torch.equal(followed.prior_mean, posterior.prior_mean)
    assert torch.equal(
        followed.guide_precision.expand_as(posterior.guides), posterior.guide_precision.expand(2, 8, 8, 6)
    )


def test_in_a_conflict_no_guide_counts_and_the_lr_maps_are_the_prior(box):
    posterior, problem = box
    conflict = torch.zeros(8, 8, 6, dtype=torch.float64)
    conflict[:3] = 1
    moved = SimpleNamespace(**{**vars(problem), "lr_maps": 1.1 * problem.lr_maps})
    followed = follow_lr_maps(posterior, moved, conflict)
    assert (followed.guide_precision[:, :3] == 0).all()
    expected = problem.truncate.zero_filled(moved.lr_maps).log()
    torch.testing.assert_close(followed.prior_mean[:, :3], expected[:, :3])
    assert torch.equal(followed.prior_mean[:, 3:], posterior.prior_mean[:, 3:])


def test_a_restart_forgets_what_led_to_a_conflict(box):
    posterior, _ = box
    here = Iterate(posterior.prior_mean + 0.1, torch.ones_like(posterior.lr_maps))
    conflict = torch.zeros(8, 8, 6, dtype=torch.float64)
    assert torch.equal(restart(here, posterior, conflict).log_maps, here.log_maps)
    assert (restart(here, posterior, conflict).multipliers == 1).all()
    again = restart(here, posterior, torch.ones_like(conflict))
    torch.testing.assert_close(again.log_maps, posterior.prior_mean)
    assert (again.multipliers == 0).all()


def test_a_network_takes_nothing_above_what_is_highest():
    maps, guides = degraded(slab().maps)
    planned = plan(maps, guides, Options(device="cpu"))
    problem = drained(prepare(maps, guides, planned.hr_grid))
    network = SwigNet(NetworkConfig(width=4, n_blocks=0)).eval()
    torch.nn.init.constant_(network.tail.bias, LARGEST_CORRECTION)
    found = drained(solve(problem, replace(planned, network=network))).maps
    upper_limits = torch.tensor(upper_limits_of(problem)).view(3, 1, 1, 1)
    inside = problem.interpolate(problem.tissue.float()) > 0.5
    assert (found <= upper_limits * (1 + 1e-5))[:, inside].all()
    assert (found >= upper_limits * (1 - 1e-5))[:, inside].any()
