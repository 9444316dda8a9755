"""Gains of the guides in scanner units, from a start in closed form to the solution's own LR residual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import GAINS, degraded, slab

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.super_resolution.solver.gains import find_gains, richest_blocks, start_gains
from napari_swig_qmri.super_resolution.solver.prediction import predict
from napari_swig_qmri.super_resolution.solver.problem import prepare


def problem_of(n_guides=2, **options):
    lr, guides = degraded(slab().maps, n_guides, **options)
    return drained(prepare(lr, guides, guides[0].grid))


def found(problem):
    return drained(find_gains(problem, drained(predict(problem)), "cpu")) / problem.pd_unit


@pytest.mark.parametrize("n_guides", [1, 2, 3])
def test_exact_data_give_the_gains(n_guides):
    """In voxels of 6 mm little tissue is flat; at 2 mm the error is a tenth of this."""
    np.testing.assert_allclose(found(problem_of(n_guides)), GAINS[:n_guides], rtol=0.02)


def test_noise_moves_them_little():
    problem = problem_of(2, map_noise=0.03, guide_noise=0.03, generator=np.random.default_rng(1))
    np.testing.assert_allclose(found(problem), GAINS[:2], rtol=0.03)


def test_the_start_is_a_few_percent_off_at_most():
    problem = problem_of(3)
    np.testing.assert_allclose(start_gains(problem) / problem.pd_unit, GAINS, rtol=0.05)


def test_without_guides_there_are_none():
    lr, _ = degraded(slab().maps)
    problem = drained(prepare(lr, [], slab().maps.grid))
    assert start_gains(problem).shape == (0,)


def test_a_sequence_without_pd_has_no_gain():
    uni = SEQUENCES["mp2rage-uni"].from_typical()
    lr, guides = degrade(slab().maps, 2, {"T1w": USUAL_GUIDES["T1w"], "UNIT1": uni}, gains=[812.0, 1.0])
    gains = start_gains(drained(prepare(lr, guides, guides[0].grid)))
    assert float(gains[1]) == 1


def test_gains_come_from_blocks_that_hold_tissue():
    problem = problem_of()
    bottom = torch.zeros_like(problem.tissue)
    bottom[..., :2] = problem.tissue[..., :2]
    problem = replace(problem, tissue=bottom)
    counts = [int(bottom[lr].sum()) for _, lr in richest_blocks(problem)]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) > 0


@pytest.mark.parametrize("edge", [5, 10, 1000])
@pytest.mark.parametrize("n_lr", [(10, 9, 8), (20, 6, 24), (5, 5, 5)])
def test_blocks_cover_both_grids_once(edge, n_lr, monkeypatch):
    monkeypatch.setattr("napari_swig_qmri.super_resolution.solver.gains.EDGE", edge)
    monkeypatch.setattr("napari_swig_qmri.super_resolution.solver.gains.N_BLOCKS", 1000)
    hr = VoxelGrid((20, 18, 24), np.eye(4))
    lr = hr.with_shape(n_lr)
    problem = replace(problem_of(), hr_grid=hr, lr_grid=lr, tissue=torch.ones(n_lr, dtype=torch.bool))
    of_hr, of_lr = np.zeros(hr.shape), np.zeros(n_lr)
    for hr_block, lr_block in richest_blocks(problem):
        of_hr[hr_block] += 1
        of_lr[lr_block] += 1
        for inside, rows, n, n_rows in zip(hr_block, lr_block, hr.shape, n_lr, strict=True):
            centres = (np.arange(rows.start, rows.stop) + 0.5) * n / n_rows - 0.5
            assert ((centres > inside.start - 1) & (centres < inside.stop)).all()
    assert (of_lr == 1).all()
    assert of_hr.max() == 1
