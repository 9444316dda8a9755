"""Guides with thick slices as observations, in any storage order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from nibabel.affines import from_matvec
from volume_cases import rotation

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.preparation.coarse_guides import coarse_guide

HR = VoxelGrid((12, 10, 18), np.eye(4))
SLICES = HR.with_shape((12, 10, 6))


def guide(data, grid):
    return WeightedImage(data=data, grid=grid, name="T2w", sequence=SpinEcho.from_typical())


def test_it_is_the_average_of_the_image_that_was_sliced_in_any_storage_order():
    image = np.random.default_rng(0).uniform(1, 2, HR.shape)
    measured = image.reshape(12, 10, 6, 3).mean(-1)
    flipped = VoxelGrid((6, 10, 12), SLICES.affine @ from_matvec([[0, 0, 1], [0, -1, 0], [1, 0, 0]], [0, 9, 0]))
    for data, grid in ((measured, SLICES), (np.flip(measured.transpose(2, 1, 0), 1), flipped)):
        coarse = coarse_guide(1, guide(data, grid), HR, torch.float64)
        torch.testing.assert_close(coarse.average(torch.as_tensor(image)), torch.as_tensor(measured))
        torch.testing.assert_close(coarse.image, torch.as_tensor(measured))
        assert coarse.valid.all()


def test_that_of_a_truncated_k_space_is_the_truncated_image_in_any_storage_order():
    image = torch.as_tensor(np.random.default_rng(0).uniform(1, 2, HR.shape))
    small = HR.with_shape((6, 10, 18))
    truncated = KSpaceTruncation(HR, small, dtype=torch.float64)(image)
    turned = VoxelGrid((18, 10, 6), small.affine @ from_matvec([[0, 0, 1], [0, 1, 0], [1, 0, 0]]))
    for data, grid, axis in ((truncated.numpy(), small, 0), (truncated.numpy().transpose(2, 1, 0), turned, 2)):
        coarse = coarse_guide(1, replace(guide(data, grid), truncated_axes=(axis,)), HR, torch.float64)
        torch.testing.assert_close(coarse.average(image), truncated)
        torch.testing.assert_close(coarse.image, truncated)


def test_voxels_without_a_value_are_not_valid():
    measured = np.ones(SLICES.shape)
    measured[0, 0, 0] = np.nan
    coarse = coarse_guide(0, guide(measured, SLICES), HR, torch.float32)
    assert int((~coarse.valid).sum()) == 1
    assert torch.isfinite(coarse.image).all()


@pytest.mark.parametrize("degrees", [(2.0, 0.0, 0.0), (0.0, 20.0, 5.0)])
def test_a_tilted_guide_is_none(degrees):
    tilted = VoxelGrid(SLICES.shape, rotation(degrees) @ SLICES.affine)
    assert coarse_guide(0, guide(np.ones(SLICES.shape), tilted), HR, torch.float32) is None
