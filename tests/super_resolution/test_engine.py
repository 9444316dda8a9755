"""The steps of the engine, one by one: slabs, smoothing, air, and what happens where guides are not followed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from engine_cases import degraded, objective, slab

from napari_swig_qmri.data.truncation import KSpaceTruncation, linear_interpolation
from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.engine import (
    AIR,
    air_off_the_head,
    network_shares,
    noise_levels,
    solve,
    without_air,
)
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.prediction import Noise, upper_limits_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def box():
    """Objective of a box, and what of its problem the engine reads."""
    posterior, hr, lr = objective((8, 8, 6), n_guides=2)
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    interpolate = linear_interpolation(hr, lr, dtype=torch.float64)
    problem = SimpleNamespace(
        measured=(True, True, True), truncate=truncate, interpolate=interpolate, lr_maps=posterior.lr.values
    )
    return posterior, problem


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


def test_air_keeps_pd_and_has_the_shortest_times(box):
    _, problem = box
    maps = torch.full((3, 8, 8, 6), 0.5, dtype=torch.float64)
    air = torch.zeros(8, 8, 6, dtype=torch.bool)
    air[:4] = True
    cleaned = without_air(maps, air, problem)
    assert cleaned[:, 0, 0, 0].tolist() == pytest.approx([0.5, T1.bounds[0], T2.bounds[0]])
    assert torch.equal(cleaned[:, 4:], maps[:, 4:])


def test_times_of_voxels_without_pd_do_not_exceed_those_of_the_lr_maps(box):
    _, problem = box
    problem.lr_maps = torch.full_like(problem.lr_maps, 0.3)
    maps = torch.full((3, 8, 8, 6), 4.0, dtype=torch.float64)
    maps[0, :4] = AIR / 2
    maps[1, 0], maps[2, 0] = 0.1, 0.1
    cleaned = without_air(maps, torch.zeros(8, 8, 6, dtype=torch.bool), problem)
    torch.testing.assert_close(cleaned[1:, 0], maps[1:, 0])
    torch.testing.assert_close(cleaned[1:, 1:4], torch.full_like(maps[1:, 1:4], 0.3))
    assert torch.equal(cleaned[:, 4:], maps[:, 4:])


def test_guides_count_only_for_the_corrections_of_t2():
    problem = SimpleNamespace(measured=(True, True, True), guide_levels=torch.tensor([10.0, 2.0]))
    noise = Noise(lr_maps=torch.tensor([0.03, 0.05, 0.09]), guides=torch.tensor([0.1, 0.08]))
    assert noise_levels(problem, noise) == pytest.approx((0.03, 0.03, 0.05))  # 0.08 / 2 is the noisier guide
    clean = replace(noise, guides=torch.zeros(2))
    assert noise_levels(problem, clean) == pytest.approx((0.03, 0.03, 0.03))


def test_corrections_count_in_full_at_3_percent_noise_by_half_between_and_not_at_all_at_10():
    assert network_shares((0.03, 0.065, 0.1)) == pytest.approx((1, 0.5, 0))
    assert network_shares((0, 0.01, 1)) == (1, 1, 0)


@pytest.mark.slow
def test_a_network_takes_nothing_above_what_is_highest(monkeypatch):
    def raised(_, features, **__):
        yield 1.0
        return features.log_maps + 10

    monkeypatch.setattr("napari_swig_qmri.super_resolution.engine.correct", raised)
    maps, guides = degraded(slab().maps)
    planned = plan(maps, guides, Options(device="cpu"))
    network = SwigNet(NetworkConfig(width=4, n_blocks=0)).eval()
    found = drained(solve(replace(planned, network=network))).maps
    upper_limits = torch.tensor(upper_limits_of(planned.problem)).view(3, 1, 1, 1)
    inside = planned.problem.interpolate(planned.problem.tissue.float()) > 0.5
    assert (found <= upper_limits * (1 + 1e-5))[:, inside].all()
    assert (found >= upper_limits * (1 - 1e-5))[:, inside].any()
