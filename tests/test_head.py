"""The box of the head: what it holds, and that solving inside it is solving the whole."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab

from napari_swig_qmri import engine
from napari_swig_qmri.head import HEAD, MARGIN, Box, box_of_head, cropped, restored
from napari_swig_qmri.pipeline import super_resolve
from napari_swig_qmri.prediction import posterior_of, predict
from napari_swig_qmri.preparation import prepare
from napari_swig_qmri.steps import drained
from napari_swig_qmri.volumes import QuantitativeMaps

AIR = 24  # voxels added around the slab of the head


@cache
def in_air():
    """The slab of the head in the middle of a field of view that is mostly air."""
    truth = slab().maps
    width = ((0, 0), (AIR, AIR), (AIR, AIR), (0, 0))
    x, y, z = truth.grid.shape
    grid = truth.grid.box((-AIR, -AIR, 0), (x + 2 * AIR, y + 2 * AIR, z))
    return QuantitativeMaps(data=np.pad(truth.data, width), grid=grid)


@cache
def problem():
    maps, guides = degraded(in_air())
    return drained(prepare(maps, guides, guides[0].grid))


@cache
def prediction():
    return drained(predict(problem()))


def everything(case):
    return Box(*(tuple(slice(0, n) for n in grid.shape) for grid in (case.hr_grid, case.lr_grid)))


def test_the_box_holds_the_head_and_little_else():
    case, box = problem(), box_of_head(problem())
    head = case.lr_maps[0] > HEAD
    for axis, (n_lr, part) in enumerate(zip(case.lr_grid.shape, box.lr, strict=True)):
        there = head.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        assert part.start <= max(0, there[0] - MARGIN + 1)
        assert part.stop >= min(n_lr, there[-1] + MARGIN)
        assert part.stop - part.start <= len(there) + 2 * MARGIN + 2
    sizes = [part.stop - part.start for part in box.hr]
    assert np.prod(sizes) < 0.5 * np.prod(case.hr_grid.shape)


def test_both_grids_of_the_box_stay_where_they_are_in_the_world():
    case, box = problem(), box_of_head(problem())
    part, _ = cropped(case, prediction(), box)
    for grid, whole, slices in ((part.hr_grid, case.hr_grid, box.hr), (part.lr_grid, case.lr_grid, box.lr)):
        assert grid.shape == tuple(each.stop - each.start for each in slices)
        np.testing.assert_allclose(grid.world(np.zeros(3)), whole.world(np.array([each.start for each in slices])))


def test_without_a_head_the_box_is_everything():
    case = problem()
    empty = replace(case, lr_maps=torch.zeros_like(case.lr_maps))
    assert box_of_head(empty) == everything(case)


def test_inside_the_box_the_lr_residual_is_that_of_the_whole():
    """Whatever the maps in the box are: what lies outside is accounted for."""
    case, found, box = problem(), prediction(), box_of_head(problem())
    part, inside = cropped(case, found, box)
    changed = inside.maps * torch.linspace(0.8, 1.2, inside.maps.shape[1])[:, None, None]
    gains = torch.ones(2)
    residual = posterior_of(part, inside, gains).lr_residual(changed.log())
    whole = posterior_of(case, found, gains).lr_residual(restored(changed, box, found.maps.clone()).log())
    seen = part.lr_valid
    torch.testing.assert_close(residual[:, seen], whole[(slice(None), *box.lr)][:, seen], rtol=0, atol=2e-5)


def test_interpolation_in_the_box_needs_nothing_outside():
    case, box = problem(), box_of_head(problem())
    part, _ = cropped(case, prediction(), box)
    ramp = torch.arange(case.lr_grid.shape[0], dtype=torch.float32)[:, None, None].expand(case.lr_grid.shape)
    torch.testing.assert_close(part.interpolate(ramp[box.lr]), case.interpolate(ramp)[box.hr])


def test_solving_in_the_box_is_solving_the_whole(monkeypatch):
    """But for what is measured over the whole field of view: noise and gains."""
    maps, guides = degraded(in_air(), map_noise=0.01, guide_noise=0.01)
    inside = drained(super_resolve(maps, guides, method="posterior")).maps
    monkeypatch.setattr(engine, "box_of_head", everything)
    whole = drained(super_resolve(maps, guides, method="posterior")).maps
    brain = np.pad(slab().mask & (slab().maps["T2"] < 0.12), ((AIR, AIR), (AIR, AIR), (0, 0)))
    for name in inside.names:
        change = np.abs(inside[name][brain] / whole[name][brain] - 1)
        assert np.median(change) < 0.001
        assert np.quantile(change, 0.999) < 0.01


@pytest.mark.parametrize("shape", [(), (3,)])
def test_what_was_outside_stays(shape):
    outside, box = torch.zeros(*shape, 4, 5, 6), Box((slice(1, 3), slice(0, 5), slice(2, 4)), (slice(0, 1),) * 3)
    put = restored(torch.ones(*shape, 2, 5, 2), box, outside)
    assert put.sum() == torch.ones(*shape, 2, 5, 2).sum()
    assert (put[(..., *box.hr)] == 1).all()
