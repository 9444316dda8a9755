"""Brain tissue: bright voxels with T1 and T2 of tissue, and what is taken where there are too few."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.super_resolution.preparation.tissue import find_tissue, head_brightness

SHAPE = (10, 8, 6)
EVERYWHERE = torch.ones(SHAPE, dtype=torch.bool)


def head():
    """PD, T1 and T2 of white matter, CSF in two planes and air in three."""
    maps = torch.tensor([0.7, 0.9, 0.07]).view(3, 1, 1, 1).expand(3, *SHAPE).clone()
    maps[:, 5:7] = torch.tensor([1.0, 4.0, 2.0]).view(3, 1, 1, 1)
    maps[0, 7:] = 0.05
    return maps


def test_tissue_is_bright_and_neither_csf_nor_air():
    tissue = find_tissue(head(), head()[0], EVERYWHERE)
    assert tissue[:5].all()
    assert not tissue[5:].any()


def test_without_enough_tissue_all_that_is_bright_is_taken_and_without_any_all_that_is_valid():
    maps = head()
    fluid = maps.clone()
    fluid[1:] = 4.0
    assert torch.equal(find_tissue(fluid, maps[0], EVERYWHERE), maps[0] > 0.35)
    dark = EVERYWHERE.clone()
    dark[1:] = False
    assert torch.equal(find_tissue(maps, torch.zeros(SHAPE), dark), dark)
    with pytest.raises(ValueError, match="the mask covers no voxel of the low-resolution maps"):
        find_tissue(maps, maps[0], ~EVERYWHERE)


def test_guides_of_any_gain_tell_head_from_air_without_pd():
    image = head()[0]
    first, second = (head_brightness(None, torch.stack([image, gain * image])) for gain in (1.0, -500.0))
    torch.testing.assert_close(first, second)
    assert torch.equal(find_tissue(head(), first, EVERYWHERE), find_tissue(head(), image, EVERYWHERE))
    assert (head_brightness(None, torch.zeros(0, *SHAPE)) == 1).all()
