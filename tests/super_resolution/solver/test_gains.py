"""Gains of the guides in scanner units, from a start in closed form to the LR residual of the solution."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import GAINS, WHITE, degraded, slab, textured

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.super_resolution.preparation.problem import prepare
from napari_swig_qmri.super_resolution.solver.gains import find_gains, richest_blocks, start_gains
from napari_swig_qmri.super_resolution.solver.prediction import predict

GRID = VoxelGrid((32, 24, 20), np.eye(4))


@cache
def tissue(flat: int = 0) -> QuantitativeMaps:
    """Textured tissue whose first `flat` planes are plain white matter."""
    data = textured(GRID.shape)
    data[:, :flat] = np.array(WHITE)[:, None, None, None]
    return QuantitativeMaps(data=data, grid=GRID)


def problem_of(lr_maps, guides):
    return drained(prepare(lr_maps, guides, guides[0].grid))


def found(problem):
    return drained(find_gains(problem, drained(predict(problem)), "cpu")) / problem.pd_unit


@pytest.mark.parametrize("n_guides", [1, 2, 3])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_gains_are_found(n_guides, noise):
    levels = {"map_noise": noise, "guide_noise": noise, "generator": np.random.default_rng(1)}
    problem = problem_of(*degraded(tissue(), n_guides, **levels))
    np.testing.assert_allclose(found(problem), GAINS[:n_guides], rtol=0.01 if noise else 0.005)


@pytest.mark.parametrize(("n_guides", "wrong"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_a_start_that_the_solution_contradicts_is_corrected(n_guides, wrong, factor):
    """Flat tissue, where the start comes from, has a receive field that the rest has not."""
    lr_maps, guides = degraded(tissue(10), n_guides)
    image = guides[wrong].data.copy()
    image[:10] *= factor
    guides[wrong] = replace(guides[wrong], data=image)
    problem = problem_of(lr_maps, guides)
    assert float(start_gains(problem)[wrong] / problem.pd_unit) == pytest.approx(factor * GAINS[wrong], rel=0.01)
    np.testing.assert_allclose(found(problem), GAINS[:n_guides], rtol=0.035)


@pytest.mark.slow
def test_gains_of_a_head():
    """In voxels of 6 mm little tissue is flat; at 2 mm the error is a tenth of this."""
    problem = problem_of(*degraded(slab().maps, 3))
    np.testing.assert_allclose(start_gains(problem) / problem.pd_unit, GAINS, rtol=0.05)
    np.testing.assert_allclose(found(problem), GAINS, rtol=0.02)


def test_without_guides_there_are_no_gains():
    lr_maps, _ = degraded(tissue())
    problem = drained(prepare(lr_maps, [], GRID))
    assert start_gains(problem).shape == (0,)


@pytest.mark.parametrize("others", [{"T1w": USUAL_GUIDES["T1w"]}, {}])
def test_a_sequence_that_pd_does_not_scale_has_a_gain_of_one(others):
    sequences = {"UNIT1": SEQUENCES["mp2rage-uni"].from_typical(), **others}
    lr_maps, guides = degrade(tissue(), 2, sequences, gains=[1.0, *[812.0] * len(others)])
    problem = problem_of(lr_maps, guides)
    assert float(start_gains(problem)[0]) == 1
    assert float(drained(find_gains(problem, drained(predict(problem)), "cpu"))[0]) == 1


def test_gains_come_from_blocks_that_hold_tissue():
    problem = problem_of(*degraded(tissue()))
    bottom = torch.zeros_like(problem.tissue)
    bottom[..., :2] = problem.tissue[..., :2]
    counts = [int(bottom[lr].sum()) for _, lr in richest_blocks(replace(problem, tissue=bottom), edge=6)]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) > 0


@pytest.mark.parametrize("edge", [5, 10, 1000])
@pytest.mark.parametrize("n_lr", [(10, 9, 8), (20, 6, 24), (5, 5, 5)])
def test_blocks_cover_both_grids_once(edge, n_lr):
    hr = VoxelGrid((20, 18, 24), np.eye(4))
    lr = hr.with_shape(n_lr)
    problem = problem_of(*degraded(tissue()))
    problem = replace(problem, hr_grid=hr, lr_grid=lr, tissue=torch.ones(n_lr, dtype=torch.bool))
    of_hr, of_lr = np.zeros(hr.shape), np.zeros(n_lr)
    for hr_block, lr_block in richest_blocks(problem, edge, n_blocks=1000):
        of_hr[hr_block] += 1
        of_lr[lr_block] += 1
        for inside, rows, n, n_rows in zip(hr_block, lr_block, hr.shape, n_lr, strict=True):
            centres = (np.arange(rows.start, rows.stop) + 0.5) * n / n_rows - 0.5
            assert ((centres > inside.start - 1) & (centres < inside.stop)).all()
    assert (of_lr == 1).all()
    assert of_hr.max() == 1
