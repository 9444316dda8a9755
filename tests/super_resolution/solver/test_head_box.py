"""The box of the head: what it holds, and that solving inside it is solving the whole."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from engine_cases import GAINS, degraded, slab, textured
from scipy import ndimage
from volume_cases import rotation

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.preparation.problem import prepare
from napari_swig_qmri.super_resolution.solver.head_box import (
    HEAD,
    HEAD_MARGIN,
    Box,
    crop_to_box,
    find_head_box,
    insert_box,
)
from napari_swig_qmri.super_resolution.solver.map_estimate import estimate_maps
from napari_swig_qmri.super_resolution.solver.prediction import make_posterior, predict

SHAPE = (64, 56, 10)
GRID = VoxelGrid(SHAPE, np.eye(4))
AIR = 16  # voxels around the slab of the phantom


def share_of_tissue():
    """A cylinder in the middle of the field of view with a blurred border, 0 to 1."""
    x, y, _ = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in SHAPE], indexing="ij")
    return 1 / (1 + np.exp(2 * (np.hypot(x, 1.2 * y) - 14)))


@cache
def truth():
    """Textured tissue in air, where T1 and T2 mean nothing."""
    share, maps = share_of_tissue(), textured(SHAPE)
    maps[0] *= share
    maps[1:, share < 0.05] = 0
    return QuantitativeMaps(data=maps, grid=GRID)


TISSUE = share_of_tissue() > 0.99


@cache
def problem():
    maps, guides = degraded(truth())
    return drained(prepare(maps, guides, GRID))


@cache
def prediction():
    return drained(predict(problem()))


def gains_of(case):
    return torch.tensor(GAINS[: len(case.sequences)]) * case.gain_units


def solved(case, box):
    """Maps solved inside a box, those of the prediction around it."""
    predicted = drained(predict(case))
    part, found = crop_to_box(case, predicted, box)
    posterior = make_posterior(part, found, gains_of(case))
    solving = estimate_maps(part, posterior, found.noise, device=torch.device("cpu"), n_planes=100)
    return insert_box(drained(solving).log_maps.exp(), box, predicted.maps) * case.map_units


def errors(maps, true, tissue):
    """Median relative error per map over tissue."""
    return (maps / torch.as_tensor(true) - 1)[:, torch.as_tensor(tissue)].abs().median(1).values


def everything(case):
    return Box(*(tuple(slice(0, n) for n in grid.shape) for grid in (case.hr_grid, case.lr_grid)))


def test_the_box_holds_the_head_and_little_else():
    case, box = problem(), find_head_box(problem())
    head = case.lr_maps[0] > HEAD
    for axis, (n_lr, part) in enumerate(zip(case.lr_grid.shape, box.lr, strict=True)):
        planes = head.movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        assert part.start <= max(0, planes[0] - HEAD_MARGIN + 1)
        assert part.stop >= min(n_lr, planes[-1] + HEAD_MARGIN)
        assert part.stop - part.start <= len(planes) + 2 * HEAD_MARGIN + 2
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
    seen[10:14, :, :] = True
    assert find_head_box(replace(empty, lr_valid=seen)).lr[0] == slice(10 - HEAD_MARGIN, 14 + HEAD_MARGIN)


def test_inside_the_box_the_lr_residual_is_that_of_the_whole():
    """For any maps in the box: the maps outside are accounted for."""
    case, found, box = problem(), prediction(), find_head_box(problem())
    part, cropped = crop_to_box(case, found, box)
    changed = cropped.maps * torch.linspace(0.8, 1.2, cropped.maps.shape[1])[:, None, None]
    gains = torch.ones(2)
    residual = make_posterior(part, cropped, gains).lr_residual(changed.log())
    whole = make_posterior(case, found, gains).lr_residual(insert_box(changed, box, found.maps).log())
    seen = part.lr_valid
    torch.testing.assert_close(residual[:, seen], whole[(slice(None), *box.lr)][:, seen], rtol=0, atol=2e-5)


def test_interpolation_in_the_box_needs_nothing_outside():
    case, box = problem(), find_head_box(problem())
    part, _ = crop_to_box(case, prediction(), box)
    ramp = torch.arange(case.lr_grid.shape[0], dtype=torch.float32)[:, None, None].expand(case.lr_grid.shape)
    torch.testing.assert_close(part.interpolate(ramp[box.lr]), case.interpolate(ramp)[box.hr])


def in_noise(maps):
    """Fits of noise off the head."""
    off = maps["PD"] < 0.02
    junk = np.random.default_rng(0).uniform([[0.0], [0.1], [0.01]], [[0.02], [4.0], [0.5]], (3, int(off.sum())))
    data = maps.data.copy()
    data[:, off] = junk
    return replace(maps, data=data)


@pytest.mark.parametrize("around", [lambda maps: maps, in_noise], ids=["air", "noise"])
def test_solving_in_the_box_is_solving_the_whole(around):
    """As exact in tissue."""
    maps, guides = degraded(truth(), map_noise=0.01, guide_noise=0.01)
    case = drained(prepare(around(maps), guides, GRID))
    inside, whole = (errors(solved(case, box), truth().data, TISSUE) for box in (find_head_box(case), everything(case)))
    assert (inside < 1.1 * whole).all()


@pytest.mark.slow
def test_solving_in_the_box_is_as_exact_where_only_the_head_was_measured():
    """A head after skull stripping; its border is too much of the small one above."""
    grid, (x, y, z) = slab().maps.grid, slab().maps.grid.shape
    wide = grid.box((-AIR, -AIR, 0), (x + 2 * AIR, y + 2 * AIR, z))
    width = ((AIR, AIR), (AIR, AIR), (0, 0))
    head = QuantitativeMaps(data=np.pad(slab().maps.data, ((0, 0), *width)), grid=wide)
    tissue = np.pad(slab().mask & (slab().maps["T2"] < 0.12), width)
    maps, guides = degraded(head, map_noise=0.01, guide_noise=0.01)
    stripped = np.where(ndimage.binary_dilation(maps["PD"] > HEAD), maps.data, np.nan)
    case = drained(prepare(replace(maps, data=stripped), guides, wide))
    inside, whole = (errors(solved(case, box), head.data, tissue) for box in (find_head_box(case), everything(case)))
    assert (inside < 1.1 * whole).all()


@pytest.mark.parametrize("planes", [slice(20, 42), slice(28, 64), slice(0, 34)])
def test_a_head_that_the_guides_hold_a_part_of_is_solved_there(planes):
    """The rest of the head is in the LR maps alone: no voxel beyond the guides is used."""
    maps, guides = degraded(truth())
    grid = GRID.box((planes.start, 0, 0), (planes.stop - planes.start, *SHAPE[1:]))
    cut = [replace(guide, data=guide.data[planes], grid=grid) for guide in guides]
    case = drained(prepare(maps, cut, grid))
    box = find_head_box(case)
    assert 0 <= box.hr[0].start < box.hr[0].stop <= planes.stop - planes.start
    inside, whole = (
        errors(solved(case, each), truth().data[:, planes], TISSUE[planes]) for each in (box, everything(case))
    )
    assert (inside < 1.05 * whole).all()


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
        voxels = np.arange(hr.shape[axis])
        begin, end = first[axis] + spacing[axis] * low, first[axis] + spacing[axis] * (high - 1)
        voxels = voxels[(voxels >= begin - 1e-3) | (low == 0)]
        voxels = voxels[(voxels <= end + 1e-3) | (high == lr.shape[axis])]
        assert (box.hr[axis].start, box.hr[axis].stop) == (voxels[0], voxels[-1] + 1)
    assert box.lr[2].start == 0
    assert box.lr[0].stop < x


@pytest.mark.parametrize("shape", [(), (3,)])
def test_values_outside_the_box_stay(shape):
    outside, box = torch.full((*shape, 4, 5, 6), 7.0), Box((slice(1, 3), slice(0, 5), slice(2, 4)), (slice(0, 1),) * 3)
    whole = insert_box(torch.ones(*shape, 2, 5, 2), box, outside)
    assert (whole[(..., *box.hr)] == 1).all()
    assert (whole == 7).sum() == whole.numel() - 20 * math.prod(shape)
    assert (outside == 7).all()
