"""Fields of view that end in tissue: what lies beyond is allowed for, and other fields of view stay as they are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from engine_cases import averaged, degraded, textured

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination.open_ends import ends_in_tissue, with_open_ends
from napari_swig_qmri.super_resolution.preparation.problem import prepare

WHOLE, FIRST, N_PLANES = 96, 32, 32  # planes of the head, first plane of the slab, planes of the slab
FACTOR = 4


@cache
def anatomy():
    """Tissue in blocks of several levels along z, as sulci and nuclei are, on (16, 16, 96)."""
    levels = np.random.default_rng(3).uniform(0.85, 1.15, (4, 4, WHOLE // 3))
    maps = textured((16, 16, WHOLE)) * np.kron(levels, np.ones((4, 4, 3))) ** np.array([1, 2, 2])[:, None, None, None]
    return QuantitativeMaps(data=maps.astype(np.float32), grid=VoxelGrid((16, 16, WHOLE), np.eye(4)))


def part(image, first, n):
    """Planes of maps or of a guide."""
    shape = (*image.grid.shape[:2], n)
    return replace(image, data=image.data[..., first : first + n], grid=image.grid.box((0, 0, first), shape))


@cache
def slab(cut_after_truncation=True):
    """Problem of a slab whose LR maps were truncated with the whole head, or by themselves."""
    whole = anatomy() if cut_after_truncation else part(anatomy(), FIRST, N_PLANES)
    lr_maps, guides = degraded(whole, factor=(1, 1, FACTOR))
    if cut_after_truncation:
        lr_maps = part(lr_maps, FIRST // FACTOR, N_PLANES // FACTOR)
        guides = [part(guide, FIRST, N_PLANES) for guide in guides]
    return drained(prepare(lr_maps, guides, guides[0].grid))


def test_the_operator_explains_the_lr_maps_better():
    """What is left of the LR maps for the true HR maps, against truncation that joins the ends."""
    opened = drained(with_open_ends(slab()))
    truth = torch.as_tensor(part(anatomy(), FIRST, N_PLANES).data) / opened.map_units
    before, after = (each.lr_maps - each.truncate(truth) for each in (slab(), opened))
    assert opened.open_axes == (2,)
    assert (after.flatten(1).norm(dim=1) < 0.7 * before.flatten(1).norm(dim=1)).all()


def test_the_covariance_is_about_that_of_what_is_left():
    """Square of what is left of the LR maps for the true HR maps, over the variance, in all maps together."""
    opened = drained(with_open_ends(slab()))
    truth = torch.as_tensor(part(anatomy(), FIRST, N_PLANES).data) / opened.map_units
    left = opened.lr_maps - opened.truncate(truth)
    assert 0.3 < (left.square() / opened.unseen.diagonal()).mean() < 3


def test_measured_maps_and_a_notice_are_kept():
    opened = drained(with_open_ends(slab()))
    torch.testing.assert_close(opened.measured_lr_maps, slab().lr_maps)
    assert opened.notices[-1].startswith("The low-resolution maps end in tissue from foot to head")


def test_a_slab_that_was_truncated_by_itself_stays_as_it_is():
    alone = slab(cut_after_truncation=False)
    assert all(all(ends) for ends in ends_in_tissue(alone))
    assert drained(with_open_ends(alone)) is alone


def test_ends_in_air_stay_as_they_are():
    tissue = torch.zeros_like(averaged().tissue)
    tissue[2:-2, 2:-2, 2:-2] = True
    inside = replace(averaged(), tissue=tissue)
    assert not any(any(ends) for ends in ends_in_tissue(inside))
    assert drained(with_open_ends(inside)) is inside


@pytest.mark.parametrize("measured", [(True, True, False), (True, False, True)])
def test_what_was_not_measured_is_left_alone(measured):
    opened = drained(with_open_ends(replace(slab(), measured=measured)))
    missing = [not each for each in measured]
    assert torch.equal(opened.lr_maps[missing], slab().lr_maps[missing])
