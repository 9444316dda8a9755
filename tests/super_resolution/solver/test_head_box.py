"""The box of the head: what it holds, and that solving inside it is solving the whole."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab
from scipy import ndimage
from volume_cases import rotation

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution import engine
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve
from napari_swig_qmri.super_resolution.solver.head_box import HEAD, MARGIN, Box, crop_to_box, find_head_box, insert_box
from napari_swig_qmri.super_resolution.solver.prediction import make_posterior, predict
from napari_swig_qmri.super_resolution.solver.problem import prepare

AIR = 24  # voxels added around the slab of the head


@cache
def in_air(air=0.0):
    """The slab of the head in the middle of a field of view that is mostly `air`."""
    truth = slab().maps
    width = ((0, 0), (AIR, AIR), (AIR, AIR), (0, 0))
    x, y, z = truth.grid.shape
    grid = truth.grid.box((-AIR, -AIR, 0), (x + 2 * AIR, y + 2 * AIR, z))
    return QuantitativeMaps(data=np.pad(truth.data, width, constant_values=air), grid=grid)


@cache
def problem():
    maps, guides = degraded(in_air())
    return drained(prepare(maps, guides, guides[0].grid))


@cache
def prediction():
    return drained(predict(problem()))


def errors(maps, planes=slice(None)):
    """Median relative error per map over brain tissue of these planes."""
    inside = np.pad(slab().mask & (slab().maps["T2"] < 0.12), ((AIR, AIR), (AIR, AIR), (0, 0)))[planes]
    truth = [in_air()[name][planes][inside] for name in maps.names]
    found = [maps[name][inside] for name in maps.names]
    assert np.isfinite(found).all()
    return np.array([np.median(np.abs(each / true - 1)) for each, true in zip(found, truth, strict=True)])


def solved(maps, guides):
    return super_resolve(maps, guides, Options(method="posterior")).maps


def everything(case):
    return Box(*(tuple(slice(0, n) for n in grid.shape) for grid in (case.hr_grid, case.lr_grid)))


def test_the_box_holds_the_head_and_little_else():
    case, box = problem(), find_head_box(problem())
    head = case.lr_maps[0] > HEAD
    for axis, (n_lr, part) in enumerate(zip(case.lr_grid.shape, box.lr, strict=True)):
        there = head.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        assert part.start <= max(0, there[0] - MARGIN + 1)
        assert part.stop >= min(n_lr, there[-1] + MARGIN)
        assert part.stop - part.start <= len(there) + 2 * MARGIN + 2
    sizes = [part.stop - part.start for part in box.hr]
    assert np.prod(sizes) < 0.5 * np.prod(case.hr_grid.shape)


def test_both_grids_of_the_box_stay_where_they_are_in_the_world():
    case, box = problem(), find_head_box(problem())
    part, _ = crop_to_box(case, prediction(), box)
    for grid, whole, slices in ((part.hr_grid, case.hr_grid, box.hr), (part.lr_grid, case.lr_grid, box.lr)):
        assert grid.shape == tuple(each.stop - each.start for each in slices)
        np.testing.assert_allclose(grid.world(np.zeros(3)), whole.world(np.array([each.start for each in slices])))


def test_without_a_head_the_box_is_everything_that_was_measured():
    case = problem()
    empty = replace(case, lr_maps=torch.zeros_like(case.lr_maps))
    assert find_head_box(empty) == everything(case)
    seen = torch.zeros_like(case.lr_valid)
    seen[20:24, :, :] = True
    assert find_head_box(replace(empty, lr_valid=seen)).lr[0] == slice(20 - MARGIN, 24 + MARGIN)


def test_inside_the_box_the_lr_residual_is_that_of_the_whole():
    """Whatever the maps in the box are: what lies outside is accounted for."""
    case, found, box = problem(), prediction(), find_head_box(problem())
    part, inside = crop_to_box(case, found, box)
    changed = inside.maps * torch.linspace(0.8, 1.2, inside.maps.shape[1])[:, None, None]
    gains = torch.ones(2)
    residual = make_posterior(part, inside, gains).lr_residual(changed.log())
    whole = make_posterior(case, found, gains).lr_residual(insert_box(changed, box, found.maps.clone()).log())
    seen = part.lr_valid
    torch.testing.assert_close(residual[:, seen], whole[(slice(None), *box.lr)][:, seen], rtol=0, atol=2e-5)


def test_interpolation_in_the_box_needs_nothing_outside():
    case, box = problem(), find_head_box(problem())
    part, _ = crop_to_box(case, prediction(), box)
    ramp = torch.arange(case.lr_grid.shape[0], dtype=torch.float32)[:, None, None].expand(case.lr_grid.shape)
    torch.testing.assert_close(part.interpolate(ramp[box.lr]), case.interpolate(ramp)[box.hr])


def masked(maps):
    """Without measurements off the head, as after skull stripping."""
    off = ndimage.binary_dilation(maps["PD"] > HEAD, iterations=1)
    return replace(maps, data=np.where(off, maps.data, np.nan))


def in_noise(maps):
    """Fits of noise off the head."""
    off = maps["PD"] < 0.02
    junk = np.random.default_rng(0).uniform([[0.0], [0.1], [0.01]], [[0.02], [4.0], [0.5]], (3, int(off.sum())))
    data = maps.data.copy()
    data[:, off] = junk
    return replace(maps, data=data)


@pytest.mark.parametrize("around", [lambda maps: maps, masked, in_noise], ids=["air", "masked", "noise"])
def test_solving_in_the_box_is_solving_the_whole(monkeypatch, around):
    """As exact in brain tissue, and with masked maps more so."""
    maps, guides = degraded(in_air(), map_noise=0.01, guide_noise=0.01)
    maps = around(maps)
    inside = solved(maps, guides)
    monkeypatch.setattr(engine, "find_head_box", everything)
    whole = solved(maps, guides)
    assert (errors(inside) < 1.1 * errors(whole)).all()


@pytest.mark.parametrize("planes", [slice(34, 64), slice(40, 96), slice(0, 50)])
def test_a_head_that_the_guides_hold_a_part_of_is_solved_there(monkeypatch, planes):
    """Head off the guides, in the LR maps alone: no voxel is asked for that is not there."""
    maps, guides = degraded(in_air())
    cut = []
    for guide in guides:
        grid = guide.grid.box((planes.start, 0, 0), (planes.stop - planes.start, *guide.grid.shape[1:]))
        cut.append(replace(guide, data=guide.data[planes], grid=grid))
    box = find_head_box(drained(prepare(maps, cut, cut[0].grid)))
    assert box.hr[0].start >= 0
    assert box.hr[0].stop <= planes.stop - planes.start
    inside = solved(maps, cut)
    monkeypatch.setattr(engine, "find_head_box", everything)
    whole = solved(maps, cut)
    assert (errors(inside, planes) < 1.05 * errors(whole, planes)).all()


@pytest.mark.parametrize("factor", [(1, 1, 4), (2, 2, 1), (1.5, 3, 2)])
def test_the_box_lies_between_the_centres_of_its_lr_voxels(factor):
    hr = VoxelGrid((40, 36, 32), rotation((4, -7, 11)).astype(np.float32))
    lr = hr.with_shape(tuple(round(n / each) for n, each in zip(hr.shape, factor, strict=True)))
    x, y, z = lr.shape
    pd = torch.zeros(3, x, y, z)
    pd[0, x // 2 : x // 2 + 2, y // 2 : y // 2 + 2, : z // 4] = 1
    case = SimpleNamespace(hr_grid=hr, lr_grid=lr, lr_maps=pd, lr_valid=torch.ones(x, y, z, dtype=torch.bool))
    box = find_head_box(case)
    spacing, first = relative_axes(hr, lr)
    for axis in range(3):
        low, high = box.lr[axis].start, box.lr[axis].stop
        inside = np.arange(hr.shape[axis])
        begin, end = first[axis] + spacing[axis] * low, first[axis] + spacing[axis] * (high - 1)
        inside = inside[(inside >= begin - 1e-3) | (low == 0)]
        inside = inside[(inside <= end + 1e-3) | (high == lr.shape[axis])]
        assert (box.hr[axis].start, box.hr[axis].stop) == (inside[0], inside[-1] + 1)
    assert box.lr[2].start == 0
    assert box.lr[0].stop < x


@pytest.mark.parametrize("shape", [(), (3,)])
def test_what_was_outside_stays(shape):
    outside, box = torch.full((*shape, 4, 5, 6), 7.0), Box((slice(1, 3), slice(0, 5), slice(2, 4)), (slice(0, 1),) * 3)
    put = insert_box(torch.ones(*shape, 2, 5, 2), box, outside)
    assert (put[(..., *box.hr)] == 1).all()
    assert (put == 7).sum() == put.numel() - 20 * math.prod(shape)
    assert (outside == 7).all()
