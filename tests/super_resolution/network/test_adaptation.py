"""Adaptation to one scan: it helps where it can, never makes things worse by its own measure, and can be undone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_cases import TINY, scan, trained_network

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.adaptation import AdaptationSettings, adapt, cross_scale_error
from napari_swig_qmri.super_resolution.network.features import NetworkInput
from napari_swig_qmri.super_resolution.network.losses import self_supervised_loss
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.solver.head_box import HEAD

QUICK = AdaptationSettings(n_steps=6, check_every=2, patch=16)


@pytest.mark.slow
def test_a_bad_network_gets_better_in_the_same_way_every_time_and_stays_itself():
    network = trained_network()
    torch.nn.init.constant_(network.tail.bias, 2.0)
    given = {name: value.clone() for name, value in network.state_dict().items()}
    settings = replace(QUICK, learning_rate=3e-3)
    first, second = (drained(adapt(network, scan(), settings=settings)) for _ in range(2))
    assert first.after < 0.97 * first.before
    assert all(torch.equal(value, given[name]) for name, value in network.state_dict().items())
    adapted, again = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(adapted[name], again[name]) for name in adapted)
    assert not torch.equal(adapted["tail.bias"], given["tail.bias"])


def test_errors_are_those_of_planes_that_training_does_not_see():
    seen = []

    def noted_loss(network, example, generator, edge):
        seen.append((example.coarse_target.shape[1], edge))
        return self_supervised_loss(network, example, generator, edge)

    settings = replace(QUICK, n_steps=2, learning_rate=0.0)
    found = drained(adapt(trained_network(), scan(), settings=settings, loss=noted_loss))
    n_kept, edge = seen[0]
    assert edge == QUICK.patch
    coarse, target = scan().coarse, scan().coarse_target[:, n_kept:]
    share = float((target[0] > HEAD).sum() / (scan().coarse_target[0] > HEAD).sum())
    assert 0.1 < share < 0.45  # planes are whole, and few
    others = NetworkInput(
        log_maps=coarse.log_maps[:, n_kept:],
        volumes=coarse.volumes[:, n_kept:],
        levels=coarse.levels,
        unit=coarse.unit[:, n_kept:],
    )
    assert found.before == cross_scale_error(trained_network(), replace(scan(), coarse=others, coarse_target=target))


def test_training_that_does_not_help_stops_early_and_is_undone():
    def wrong_loss(network, example, generator, edge):
        output = network(example.coarse.volumes[None].float(), example.coarse.levels[None])
        return {"wrong": (output - 10).square().mean()}

    network, steps = SwigNet(TINY), []
    adapting = adapt(network, scan(), settings=replace(QUICK, learning_rate=1e-2), loss=wrong_loss)
    found = drained(adapting, steps.append)
    assert found.network is network
    assert found.after == found.before
    assert len(steps) == QUICK.patience * QUICK.check_every < QUICK.n_steps


@pytest.mark.parametrize("target", [torch.zeros_like(scan().coarse_target), scan().coarse_target[:, :1]])
def test_without_a_head_to_check_on_nothing_is_trained(target):
    network = trained_network()
    found = drained(adapt(network, replace(scan(), coarse_target=target), settings=QUICK))
    assert found.network is network
    assert found.after == found.before


def test_an_untrained_network_has_the_error_of_the_uncorrected_maps():
    assert cross_scale_error(SwigNet(TINY), scan()) == pytest.approx(1)
