"""Adaptation to one scan: it helps where it can, never makes things worse by its own measure, and can be undone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_cases import TINY, folded_labels, trained_network

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.subjects import random_subject
from napari_swig_qmri.super_resolution.network import adaptation
from napari_swig_qmri.super_resolution.network.adaptation import adapt, cross_scale_error
from napari_swig_qmri.super_resolution.network.examples import scan_subject
from napari_swig_qmri.super_resolution.network.losses import Patch, misfit_terms, patch_lr_residual
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.solver.head_box import HEAD


@pytest.fixture(scope="module")
def measured():
    return scan_subject(random_subject(folded_labels(), 2, 2), 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(adaptation, "N_STEPS", 6)
    monkeypatch.setattr(adaptation, "CHECK_EVERY", 2)
    monkeypatch.setattr(adaptation, "PATCH", 16)


def test_a_bad_network_gets_better_and_the_one_that_came_stays(measured, monkeypatch):
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 3e-3)
    network = trained_network()
    torch.nn.init.constant_(network.tail.bias, 2.0)
    given = {name: value.clone() for name, value in network.state_dict().items()}
    found = drained(adapt(network, measured))
    assert found.after < 0.97 * found.before
    assert found.network is not network
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, given[name], rtol=0, atol=0)


def test_errors_are_those_of_planes_that_training_does_not_see(measured, monkeypatch):
    seen = []

    def loss(network, example, generator, edge):
        seen.append(example.coarse_target)
        return {"none": sum(p.square().sum() for p in network.parameters())}

    monkeypatch.setattr(adaptation, "self_supervised_loss", loss)
    found = drained(adapt(trained_network(), measured))
    _, left_out = adaptation._split(measured)
    n = measured.coarse_target.shape[1]
    assert seen[0].shape[1] + left_out.coarse_target.shape[1] == n
    share = float((left_out.coarse_target[0] > HEAD).sum() / (measured.coarse_target[0] > HEAD).sum())
    assert 0.1 < share < 0.45  # planes are whole, and few
    torch.testing.assert_close(left_out.coarse_target, measured.coarse_target[:, seen[0].shape[1] :])
    assert cross_scale_error(found.network, left_out) == found.after


def test_what_does_not_help_is_given_up_and_taken_back(measured, monkeypatch):
    """A loss that asks for the wrong thing."""

    def wrong(network, example, generator, edge):
        output = network(example.coarse.volumes[None].float(), example.coarse.levels[None])
        return {"wrong": (output - 10).square().mean()}

    monkeypatch.setattr(adaptation, "self_supervised_loss", wrong)
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 1e-2)
    network, steps = SwigNet(TINY), []
    adapting = adapt(network, measured)
    try:
        while True:
            steps.append(next(adapting))
    except StopIteration as stopped:
        found = stopped.value
    assert found.network is network
    assert found.after == found.before
    assert len(steps) == 2 * adaptation.PATIENCE


def test_without_a_head_to_check_on_nothing_is_trained(measured):
    network = trained_network()
    for target in (torch.zeros_like(measured.coarse_target), measured.coarse_target[:, :1]):
        found = drained(adapt(network, replace(measured, coarse_target=target)))
        assert found.network is network
        assert found.after == found.before


def test_where_a_guide_counts_for_nothing_its_values_do_not_matter(measured):
    """Gaps of guides, and where they contradict the LR maps."""
    inside = torch.ones(measured.guides.shape[1:], dtype=torch.bool)
    whole = Patch((slice(0, 24),) * 3)
    weight = measured.guide_weight.clone()
    weight[:, :12] = 0
    guides = measured.guides.clone()
    guides[:, :12] = 100.0
    first, second = (
        misfit_terms(replace(measured, guide_weight=weight, guides=each), measured.again.log_maps, inside, whole)
        for each in (measured.guides, guides)
    )
    torch.testing.assert_close(first, second)


def test_fields_of_view_may_differ(measured):
    """Residuals of a patch are those of the truncation between the grids, shifted and of another size."""
    hr, lr = VoxelGrid((24,) * 3, np.eye(4)), VoxelGrid((10, 12, 9), np.diag([3.0, 2.0, 3.0, 1.0]))
    truncate = KSpaceTruncation(hr, lr)
    x, y, z = truncate.matrices
    maps = torch.ones(3, 10, 12, 9)
    moved = replace(measured, rows_x=x, rows_y=y, rows_z=z, lr_maps=maps, lr_deviation=torch.ones_like(maps))
    given = measured.again.log_maps.exp()
    expected = (maps - truncate(given)).flatten(1)
    torch.testing.assert_close(
        patch_lr_residual(moved, given, Patch((slice(0, 24),) * 3)), expected, rtol=1e-4, atol=1e-4
    )


def test_an_untrained_network_has_the_error_of_the_scene(measured):
    assert cross_scale_error(SwigNet(TINY), measured) == pytest.approx(1)


def test_the_same_seed_gives_the_same_network(measured):
    first, second = (drained(adapt(trained_network(), measured, seed=3)).network.state_dict() for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
