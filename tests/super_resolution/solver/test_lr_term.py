"""LR maps that were fitted to truncated signals, worked through where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_cases import FLUID_SHAPE, GAINS, GENERIC, fitted, tissue_and_fluid

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate, refine
from napari_swig_qmri.super_resolution.solver.head_box import Box, crop_to_box
from napari_swig_qmri.super_resolution.solver.lr_term import lr_observation, lr_reading, lr_residual, signal_residual
from napari_swig_qmri.super_resolution.solver.prediction import make_posterior, predict


def in_units(maps):
    return maps / fitted().map_units


def near_fluid():
    share = torch.zeros(FLUID_SHAPE)
    share[6:23, 3:18, 1:12] = 1
    return share.bool()


def test_at_the_truth_signals_leave_nothing_where_maps_do():
    left = signal_residual(fitted(), GENERIC, in_units(tissue_and_fluid()))
    assert left.abs().max() < 5e-3  # the table is interpolated
    of_maps = (fitted().lr_maps - fitted().truncate(in_units(tissue_and_fluid()))) / fitted().lr_maps
    assert of_maps[2].abs().max() > 0.3


def test_a_small_residual_of_signals_is_that_of_the_maps():
    """Where all maps are one per cent higher than the LR maps say, the residual is one per cent."""
    flat = replace(fitted(), lr_maps=torch.tensor([0.7, 0.9, 0.07]).view(3, 1, 1, 1).expand(3, 20, 12, 8).clone())
    hr = torch.tensor([0.7, 0.9, 0.07]).view(3, 1, 1, 1).expand(3, *FLUID_SHAPE)
    for i in range(3):
        higher = hr.clone()
        higher[i] *= 1.01
        expected = torch.zeros(3)
        expected[i] = -0.01
        relative = (lr_residual(flat, higher) / flat.lr_maps)[:, 5, 5, 5]
        torch.testing.assert_close(relative, expected, atol=1.5e-3, rtol=0)


def test_the_reading_inverts_the_slope_over_tissue():
    reading = lr_reading(fitted(), GENERIC)[..., 15, 5, 5]
    maps = fitted().lr_maps[:, 15:16, 5:6, 5:6]
    slope = GENERIC.linearised(maps)[1][..., 0, 0, 0] / maps.flatten()
    torch.testing.assert_close(reading @ slope, torch.eye(3), atol=0.05, rtol=0)


def errors(case):
    prediction = drained(predict(case))
    posterior = make_posterior(case, prediction, torch.tensor(GAINS[:2]) * case.gain_units)
    refining = refine(posterior, Iterate.at(posterior.prior_mean, posterior), n_steps=4, n_planes=100)
    ratio = drained(refining).log_maps.exp() / in_units(tissue_and_fluid())
    return ratio.log().abs()[:, near_fluid()].mean(1)


@pytest.mark.slow  # solves twice
def test_maps_near_fluid_are_better_when_their_signals_are_compared():
    plain = replace(fitted(), lr_signals=None, lr_outside=torch.zeros_like(fitted().lr_maps))
    compared, averaged = errors(fitted()), errors(plain)
    assert compared[2] < 0.25 * averaged[2]
    assert compared.sum() < 0.5 * averaged.sum()
    assert (compared < 1.3 * averaged).all()  # PD and T1, whose regression only averages correct by the LR residual


def test_a_box_holds_the_signals_outside_it():
    """The observation of a block, with the truth around it, leaves the residual of the whole."""
    prediction = replace(drained(predict(fitted())), maps=in_units(tissue_and_fluid()))
    box = Box((slice(0, 24), slice(0, 24), slice(0, 16)), (slice(0, 12), slice(0, 12), slice(0, 8)))
    part, inside = crop_to_box(fitted(), prediction, box)
    noise = torch.full((3,), 0.01)
    whole, block = (lr_observation(case, noise, noise) for case in (fitted(), part))
    expected = whole.residual(prediction.maps)[:, :12]
    torch.testing.assert_close(block.residual(inside.maps), expected, atol=1e-5, rtol=0)
