"""Blocks do not show in the result, and running out of memory makes them smaller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import objective
from laws import drained

from napari_swig_qmri.posterior import NegativeLogPosterior
from napari_swig_qmri.refine import Blocking, refine
from napari_swig_qmri.volumes import VoxelGrid


@pytest.fixture(scope="module")
def case():
    posterior, hr, lr = objective((40, 36, 20), n_guides=2)
    return posterior, Blocking(hr, lr)


def refined(case, blocks, n_steps=4):
    posterior, blocking = case
    return drained(refine(posterior, posterior.prior_mean, blocking, blocks, n_steps=n_steps))


@pytest.mark.parametrize("edge", [8, 16, 1000])
@pytest.mark.parametrize("n_lr", [(10, 9, 8), (20, 6, 24), (5, 5, 5)])
def test_cores_cover_the_grid_once_and_blocks_hold_their_lr_voxels(edge, n_lr):
    hr = VoxelGrid((20, 18, 24), np.eye(4))
    covered = np.zeros(hr.shape, int)
    lr = hr.with_shape(n_lr)
    for block in Blocking(hr, lr).cut(edge):
        covered[block.core] += 1
        padded = np.zeros(hr.shape)
        padded[block.padded] = 1
        assert padded[block.padded][block.core_in_padded].shape == padded[block.core].shape
        for axis, rows in enumerate(block.lr):
            spacing = hr.shape[axis] / lr.shape[axis]
            centres = (np.arange(lr.shape[axis]) + 0.5) * spacing - 0.5
            inside = (centres >= block.padded[axis].start - 0.5) & (centres < block.padded[axis].stop - 0.5)
            assert list(np.flatnonzero(inside)) == list(range(rows.start, rows.stop))
    assert (covered == 1).all()


def test_blocks_hardly_show_in_the_result(case):
    """LR voxels beyond the halo are not seen by a block; in tissue their pull is below a thousandth."""
    _, blocking = case
    whole, blocks = blocking.cut(1000), blocking.cut(16)
    assert (len(whole), len(blocks)) == (1, 18)
    difference = refined(case, whole) - refined(case, blocks)
    assert difference.square().mean().sqrt() < 1e-3
    assert difference.abs().max() < 1e-2


def test_progress_rises_to_one_and_the_start_is_left_alone(case):
    posterior, blocking = case
    start = posterior.prior_mean.clone()
    fractions = list(refine(posterior, posterior.prior_mean, blocking, blocking.cut(20), n_steps=2))
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1.0
    assert torch.equal(posterior.prior_mean, start)


def test_voxels_outside_all_blocks_keep_their_value(case):
    posterior, blocking = case
    first = blocking.cut(16)[0]
    solved = refined(case, [first], n_steps=1)
    changed = solved != posterior.prior_mean
    assert changed[(slice(None), *first.core)].any()
    changed[(slice(None), *first.core)] = False
    assert not changed.any()


def out_of_memory_above(limit, monkeypatch):
    """Gauss-Newton steps fail for blocks of more than `limit` voxels; returns the sizes that were tried."""
    tried = []
    step = NegativeLogPosterior.gauss_newton_step

    def limited(self, log_maps, *args):
        tried.append(log_maps[0].numel())
        if tried[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, log_maps, *args)

    monkeypatch.setattr(NegativeLogPosterior, "gauss_newton_step", limited)
    return tried


def test_out_of_memory_halves_the_blocks_and_goes_on(case, monkeypatch):
    _, blocking = case
    expected = refined(case, blocking.cut(1000))
    tried = out_of_memory_above(40 * 36 * 20 // 2, monkeypatch)
    solved = refined(case, blocking.cut(1000))
    assert max(tried) == 40 * 36 * 20
    assert min(tried) < 40 * 36 * 20 / 2
    assert (solved - expected).square().mean().sqrt() < 1e-3


def test_out_of_memory_of_the_smallest_block_is_raised(case, monkeypatch):
    _, blocking = case
    tried = out_of_memory_above(0, monkeypatch)
    with pytest.raises(torch.OutOfMemoryError):
        refined(case, blocking.cut(1000))
    assert len(tried) > 3


def test_halves_share_the_core_along_its_longest_edge(case):
    _, blocking = case
    (whole,) = blocking.cut(1000)
    left, right = blocking.halves(whole)
    assert left.core == (slice(0, 20), *whole.core[1:])
    assert right.core == (slice(20, 40), *whole.core[1:])
    assert blocking.halves(blocking.block((slice(0, 15), slice(0, 8), slice(0, 8)))) == []


def test_a_block_without_lr_voxels_is_solved_from_guides_and_prior():
    """Where the guides reach beyond the LR maps."""
    posterior, hr, lr = objective((16, 16, 16))
    blocking = Blocking(hr, lr)
    block = replace(blocking.cut(8)[0], lr=(slice(0, 0), slice(0, 2), slice(0, 0)))
    solved = refined((posterior, blocking), [block], n_steps=2)
    assert torch.isfinite(solved).all()
    assert (solved != posterior.prior_mean)[(slice(None), *block.core)].any()
