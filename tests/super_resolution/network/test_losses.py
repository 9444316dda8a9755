"""Losses: what they are for known maps, what they do not see, and that they train every weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import EDGE, TINY, labelled, scan, trained_network

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.super_resolution.network.losses import (
    WHOLE,
    Patch,
    correct_patch,
    distance_to_truth,
    misfit_terms,
    patch_lr_residual,
    random_patch,
    self_supervised_loss,
    supervised_loss,
)
from napari_swig_qmri.super_resolution.network.model import SwigNet

HR = VoxelGrid((EDGE,) * 3, np.eye(4))
BOTH = pytest.mark.parametrize(("loss", "example"), [(supervised_loss, labelled), (self_supervised_loss, scan)])


def test_distance_to_the_truth_is_the_error_of_the_log_maps():
    log_maps = labelled().truth.clamp(min=1e-6).log()
    assert distance_to_truth(labelled(), log_maps, WHOLE).max() == 0
    moved = distance_to_truth(labelled(), log_maps + 0.01, WHOLE)
    assert (moved < 0.0101).all()
    assert moved[1] > 0.005  # of T1, of which little is clamped


@BOTH
def test_losses_of_an_untrained_network_are_those_of_the_uncorrected_maps(loss, example):
    terms = loss(SwigNet(TINY), example(), np.random.default_rng(0), 16)
    total = float(sum(terms.values()).detach())
    assert total == pytest.approx(len(terms) - ("guides" in terms), rel=1e-4)


@BOTH
def test_losses_train_every_weight(loss, example):
    network = trained_network()
    sum(loss(network, example(), np.random.default_rng(0), 16).values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_patch_without_a_head_costs_nothing():
    """Instead of making every weight NaN."""
    fine = replace(scan().fine, log_maps=torch.full_like(scan().fine.log_maps, -5.0))
    empty = replace(
        scan(),
        fine=fine,
        lr_maps=torch.zeros_like(scan().lr_maps),
        coarse_target=torch.zeros_like(scan().coarse_target),
    )
    without_brain = replace(labelled(), brain=torch.zeros_like(labelled().brain))
    for loss, example in ((supervised_loss, without_brain), (self_supervised_loss, empty)):
        terms = loss(trained_network(), example, np.random.default_rng(0), 16)
        assert all(float(value.detach()) == 0 for value in terms.values())


def test_flips_are_undone():
    """A mirrored head is corrected as the head is, mirrored."""
    given = labelled().network_input
    mirrored = replace(
        given, log_maps=given.log_maps.flip(1, 3), volumes=given.volumes.flip(1, 3), unit=given.unit.flip(1, 3)
    )
    flipped = correct_patch(trained_network(), given, Patch(WHOLE.box, (1, 3)))
    torch.testing.assert_close(correct_patch(trained_network(), mirrored, WHOLE).flip(1, 3), flipped)


def test_patches_lie_inside_and_on_even_voxels():
    generator, inside = np.random.default_rng(0), torch.ones(25, 40, 10, dtype=torch.bool)
    for _ in range(50):
        patch = random_patch(inside, 16, generator)
        starts, stops = [side.start for side in patch.box], [side.stop for side in patch.box]
        assert all(start % 2 == 0 for start in starts)
        assert [b - a for a, b in zip(starts, stops, strict=True)] == [16, 16, 10]
        assert all(stop <= n for stop, n in zip(stops, inside.shape, strict=True))


def huber(errors):
    """Half the square, linear beyond 5 standard deviations."""
    size = errors.abs()
    return torch.where(size < 5, size.square() / 2, 5 * (size - 2.5))


def test_the_misfit_is_the_guide_term_and_the_lr_term_of_the_posterior():
    """Robust ones, per HR voxel of the head."""
    example, inside = scan(), torch.zeros(EDGE, EDGE, EDGE, dtype=torch.bool)
    inside[4:20] = True
    maps = example.fine.log_maps.exp()
    misfits = [
        weight * (sequence(*maps) - image) / deviation
        for sequence, image, deviation, weight in zip(
            example.sequences, example.guides, example.guide_deviation, example.guide_weight, strict=True
        )
    ]
    truncate = KSpaceTruncation(HR, HR.with_shape(tuple(example.lr_maps.shape[1:])))
    residual = (example.lr_maps - truncate(maps)) / example.lr_deviation
    lr_term = sum(huber(each[example.lr_maps[0] > 0.2]).mean() for each in residual)
    expected = [sum(huber(each[inside]).mean() for each in misfits), lr_term * example.lr_maps[0].numel() / EDGE**3]
    found = misfit_terms(example, example.fine.log_maps, inside, Patch((slice(0, EDGE),) * 3))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-3, atol=0)


def test_where_a_guide_has_no_weight_its_values_do_not_matter():
    """In gaps of guides, and where they contradict the LR maps."""
    inside, whole = torch.ones(EDGE, EDGE, EDGE, dtype=torch.bool), Patch((slice(0, EDGE),) * 3)
    weight, guides = scan().guide_weight.clone(), scan().guides.clone()
    weight[:, :12] = 0
    guides[:, :12] = 100.0
    first, second = (
        misfit_terms(replace(scan(), guide_weight=weight, guides=each), scan().fine.log_maps, inside, whole)
        for each in (scan().guides, guides)
    )
    torch.testing.assert_close(first, second)


def test_the_lr_residual_of_a_patch_is_that_of_the_whole_head():
    """With the maps changed in the patch alone."""
    example, patch = scan(), Patch((slice(4, 20), slice(2, 22), slice(0, 24)))
    log_maps = example.fine.log_maps.clone()
    log_maps[patch.of_volumes] += 0.05
    truncate = KSpaceTruncation(HR, HR.with_shape(tuple(example.lr_maps.shape[1:])))
    expected = ((example.lr_maps - truncate(log_maps.exp())) / example.lr_deviation)[:, example.lr_maps[0] > 0.2]
    whole = patch_lr_residual(example, log_maps.exp(), Patch((slice(0, EDGE),) * 3))
    torch.testing.assert_close(whole, expected, rtol=1e-3, atol=1e-3)
    part = patch_lr_residual(example, log_maps[patch.of_volumes].exp(), patch)
    missing = [(value - whole[0]).abs().min() for value in part[0][::17]]
    assert 0 < len(part[0]) < len(whole[0])
    assert max(missing) < 1e-3


def test_fields_of_view_may_differ():
    """Residuals of a patch are those of the truncation between grids that are shifted and of another size."""
    lr = VoxelGrid((10, 12, 9), np.diag([3.0, 2.0, 3.0, 1.0]))
    truncate = KSpaceTruncation(HR, lr)
    x, y, z = truncate.matrices
    maps = torch.ones(3, 10, 12, 9)
    moved = replace(scan(), rows_x=x, rows_y=y, rows_z=z, lr_maps=maps, lr_deviation=torch.ones_like(maps))
    given = scan().fine.log_maps.exp()
    residual = patch_lr_residual(moved, given, Patch((slice(0, EDGE),) * 3))
    torch.testing.assert_close(residual, (maps - truncate(given)).flatten(1), rtol=1e-4, atol=1e-4)
