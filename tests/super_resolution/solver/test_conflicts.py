"""Conflicts: where the LR residual stands out, and what is followed there."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from engine_cases import objective, with_lr_maps

from napari_swig_qmri.data.open_ends import UnseenCovariance, unseen_covariance
from napari_swig_qmri.data.truncation import KSpaceTruncation, linear_interpolation
from napari_swig_qmri.super_resolution.observations.lr_signals import lr_signals
from napari_swig_qmri.super_resolution.solver.conflicts import find_conflict, follow_lr_maps, restart
from napari_swig_qmri.super_resolution.solver.gauss_newton import Iterate
from napari_swig_qmri.super_resolution.solver.prediction import Noise

SHAPE = (44, 40, 32)
LESION = (slice(5, 8), slice(5, 8), slice(4, 7))  # LR voxels
PD, T1, T2 = range(3)
NOISE = Noise(lr_maps=torch.full((3,), 0.01, dtype=torch.float64), guides=torch.ones(2))


@cache
def box():
    """Posterior of a box, and the part of its problem that conflicts depend on."""
    posterior, hr, lr = objective(SHAPE, n_guides=2)
    problem = SimpleNamespace(
        hr_grid=hr,
        lr_grid=lr,
        truncate=KSpaceTruncation(hr, lr, dtype=torch.float64),
        interpolate=linear_interpolation(hr, lr, dtype=torch.float64),
        lr_maps=posterior.lr.values,
        tissue=torch.ones(lr.shape, dtype=torch.bool),
        lr_valid=torch.ones(lr.shape, dtype=torch.bool),
        measured=(True, True, True),
    )
    return posterior, problem


def conflict_with(change, fluid=(), unseen=None):
    """Conflict on the LR grid of maps that fit up to noise of 1 % and a relative `change` ``(3, x, y, z)``.

    `fluid` are LR planes of CSF, and `unseen` is the covariance of what comes from beyond the ends.
    """
    posterior, problem = box()
    noise = 0.01 * torch.randn(change.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_maps = posterior.prior_mean
    fitted = posterior.lr.operator(log_maps.exp())
    measured = with_lr_maps(posterior, fitted * (1 + noise + change))
    measured = replace(measured, lr=replace(measured.lr, unseen=unseen))
    lr_maps = problem.lr_maps.clone()
    lr_maps[T2, list(fluid)] = 1.0
    problem = SimpleNamespace(**{**vars(problem), "lr_maps": lr_maps})
    return problem.truncate(find_conflict(problem, measured, NOISE, log_maps))


def lesion(quantity, size=0.2):
    change = torch.zeros_like(box()[0].lr.values)
    change[(quantity, *LESION)] = size
    return change


@pytest.mark.parametrize("quantity", [T1, T2])
def test_a_lesion_that_only_the_lr_maps_have_is_a_conflict(quantity):
    conflict = conflict_with(lesion(quantity))
    assert (conflict[LESION] > 0.9).all()
    far = torch.ones_like(conflict, dtype=torch.bool)
    far[2:11, 2:11, 1:10] = False
    assert conflict[far].abs().max() < 0.1


def test_a_single_voxel_of_another_t1_is_a_conflict_away_from_csf():
    voxel = (3, 3, 3)
    change = lesion(T1, 0.0)
    change[(T1, *voxel)] = 0.2
    assert conflict_with(change)[voxel] > 0.9
    assert conflict_with(change, (3, 4, 8, 9))[voxel] < 0.1


def alternating():
    parity = sum(torch.meshgrid(*(torch.arange(n // 2) for n in SHAPE), indexing="ij")) % 2
    change = lesion(T1, 0.2)
    return change * (1 - 2 * parity)


@pytest.mark.parametrize("change", [lesion(T1, 0.0), lesion(PD), alternating()], ids=["noise", "PD", "ringing"])
def test_noise_pd_and_ringing_are_no_conflict(change):
    assert conflict_with(change).abs().max() < 0.1


@pytest.mark.parametrize("plane", [0, -1])
def test_the_ends_of_the_field_of_view_are_no_conflict(plane):
    change = torch.zeros_like(box()[0].lr.values)
    change[T1, plane] = 0.2
    assert conflict_with(change)[plane].abs().max() < 0.1


def test_what_rings_in_from_beyond_ends_in_tissue_is_no_conflict():
    """Near the ends a residual of its size is usual; in the middle a larger one is not."""
    at_the_end, in_the_middle = (slice(5, 8), slice(5, 8), slice(1, 2)), (slice(14, 17), slice(12, 15), slice(7, 10))
    change = torch.zeros_like(box()[0].lr.values)
    change[(T1, *at_the_end)], change[(T1, *in_the_middle)] = 0.1, 0.3
    matrix = torch.as_tensor(unseen_covariance(SHAPE[2], SHAPE[2] // 2, 2.0, 0.5, (True, True)))
    others = (torch.zeros(n // 2, n // 2, dtype=torch.float64) for n in SHAPE[:2])
    variances = torch.zeros(3, 3, dtype=torch.float64)
    variances[2, T1] = 0.1**2 / matrix[1, 1]
    unseen = UnseenCovariance((*others, matrix), variances)
    before, after = conflict_with(change), conflict_with(change, unseen=unseen)
    assert before[at_the_end].max() > 0.9
    assert after[at_the_end].abs().max() < 0.1
    assert after[in_the_middle].max() > 0.9


def test_next_to_csf_only_a_larger_residual_of_t1_is_a_conflict():
    csf = (3, 4, 8, 9)
    small, large = 0.038, 0.2
    assert conflict_with(lesion(T1, small))[LESION].max() > 0.9
    assert conflict_with(lesion(T1, small), csf)[LESION].max() < 0.1
    assert conflict_with(lesion(T1, large), csf)[LESION].max() > 0.9
    assert conflict_with(lesion(T2, large), csf)[LESION].max() < 0.1


def signal_conflict_with(change, fluid=()):
    """Conflict as of `conflict_with`, where the maps were fitted to signals with noise of 0.5 % of water."""
    posterior, problem = box()
    signals, log_maps = lr_signals("mupa-zte", dtype=torch.float64), posterior.prior_mean
    average = posterior.lr.operator
    fitted = average(log_maps.exp())
    changed = signals(fitted * (1 + change)) - signals(fitted)
    noise = torch.randn(changed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = average(signals(log_maps.exp())) + changed + 0.005 * noise
    measured = replace(posterior, lr=replace(posterior.lr, values=values, signals=signals))
    lr_maps = problem.lr_maps.clone()
    lr_maps[T2, list(fluid)] = 1.0
    problem = SimpleNamespace(**{**vars(problem), "lr_maps": lr_maps})
    levels = replace(NOISE, lr_signals=torch.full((len(values),), 0.005, dtype=torch.float64))
    return problem.truncate(find_conflict(problem, measured, levels, log_maps))


@pytest.mark.parametrize("quantity", [T1, T2])
@pytest.mark.parametrize("fluid", [(), (3, 4, 8, 9)], ids=["tissue", "next to CSF"])
def test_a_lesion_in_the_signals_is_a_conflict_next_to_csf_too(quantity, fluid):
    conflict = signal_conflict_with(lesion(quantity, 0.4), fluid)
    assert conflict[LESION].max() > 0.9
    assert conflict[13:].abs().max() < 0.1


@pytest.mark.parametrize("change", [lesion(T1, 0.0), lesion(PD), alternating()], ids=["noise", "PD", "ringing"])
def test_noise_pd_and_ringing_of_signals_are_no_conflict(change):
    assert signal_conflict_with(change).abs().max() < 0.1


def test_without_a_conflict_guides_and_prior_stay():
    posterior, problem = box()
    followed = follow_lr_maps(posterior, problem, torch.zeros(SHAPE, dtype=torch.float64), posterior.prior_mean)
    assert torch.equal(followed.prior_mean, posterior.prior_mean)
    precision = posterior.guide_precision.expand(2, *SHAPE)
    assert torch.equal(followed.guide_precision.expand_as(precision), precision)


def test_in_a_conflict_guides_have_no_weight_and_the_lr_maps_are_the_prior():
    posterior, problem = box()
    conflict = torch.zeros(SHAPE, dtype=torch.float64)
    conflict[:3], conflict[3] = 1, 0.5
    moved = SimpleNamespace(**{**vars(problem), "lr_maps": 1.1 * problem.lr_maps})
    followed = follow_lr_maps(posterior, moved, conflict, posterior.prior_mean)
    assert (followed.guide_precision[:, :3] == 0).all()
    torch.testing.assert_close(followed.guide_precision[:, 3], posterior.guide_precision[:, 0].expand(2, 40, 32) / 4)
    expected = problem.truncate.zero_filled(moved.lr_maps).log()
    torch.testing.assert_close(followed.prior_mean[:, :3], expected[:, :3])
    assert torch.equal(followed.prior_mean[:, 4:], posterior.prior_mean[:, 4:])


def test_fluid_beside_a_conflict_does_not_ring_into_it():
    posterior, problem = box()
    maps = posterior.prior_mean.exp()
    maps[2, 8:12] = 1.4
    rung = SimpleNamespace(**{**vars(problem), "lr_maps": problem.truncate(maps)})
    conflict = torch.zeros(SHAPE, dtype=torch.float64)
    conflict[:6] = 1
    followed = follow_lr_maps(posterior, rung, conflict, maps.log()).prior_mean[2, :6]
    interpolated = problem.truncate.zero_filled(rung.lr_maps)[2, :6]
    assert (interpolated / maps[2, :6] - 1).abs().max() > 0.5
    assert (followed.exp() / maps[2, :6] - 1).abs().max() < 0.15


def test_a_restart_drops_log_maps_and_multipliers_in_a_conflict():
    posterior, _ = box()
    iterate = Iterate(posterior.prior_mean + 0.1, (torch.ones_like(posterior.lr.values),))
    kept = restart(iterate, posterior, torch.zeros(SHAPE, dtype=torch.float64))
    assert torch.equal(kept.log_maps, iterate.log_maps)
    assert (kept.multipliers[0] == 1).all()
    dropped = restart(iterate, posterior, torch.ones(SHAPE, dtype=torch.float64))
    torch.testing.assert_close(dropped.log_maps, posterior.prior_mean)
    assert (dropped.multipliers[0] == 0).all()
