"""Locked maps explain the LR maps to the noise, and change no more than that takes."""

from __future__ import annotations

from functools import cache

import torch
from engine_cases import averaged, fitted, tissue_and_fluid

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.lr_lock import LOCKED, WITHIN, locked
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual, lr_variance

NOISE = torch.tensor([0.01, 0.01, 0.01])


@cache
def truth():
    return tissue_and_fluid() / averaged().map_units


def lock(problem, maps, errors=None):
    return drained(locked(problem, maps, torch.full_like(maps, 0.02) if errors is None else errors, NOISE))


def beyond(problem, maps, row):
    """Share of the values of an LR map that differ by more than the noise from the measured ones."""
    residual = lr_residual(problem, maps)[row].abs() / lr_variance(problem, NOISE)[row].sqrt()
    return float((residual > LOCKED).float().mean())


def test_maps_that_explain_the_lr_maps_stay():
    maps, is_locked = lock(averaged(), truth())
    assert is_locked == (True, True, True)
    torch.testing.assert_close(maps, truth())


def test_maps_off_by_a_factor_are_brought_to_within_the_noise():
    wrong = truth() * torch.tensor([1.05, 1.05, 1.0]).view(3, 1, 1, 1)
    maps, is_locked = lock(averaged(), wrong)
    assert is_locked[:2] == (True, True)
    for row in range(2):
        assert beyond(averaged(), wrong, row) > 0.9
        assert beyond(averaged(), maps, row) < 0.05
    ratio = (maps / truth())[:2].median()
    assert abs(float(ratio) - (1 + 0.01 * WITHIN)) < 0.004  # no further than into the noise


def test_voxels_that_are_certain_do_not_change():
    errors = torch.full_like(truth(), 0.02)
    errors[:, :10] = 0
    wrong = truth() * 1.05
    maps, _ = lock(averaged(), wrong, errors)
    torch.testing.assert_close(maps[:, :10], wrong[:, :10])
    assert (maps[0, 20:] < wrong[0, 20:]).float().mean() > 0.9


def test_a_map_that_cannot_be_locked_is_left_as_it_was():
    errors = torch.zeros_like(truth())
    errors[0] = 0.02
    wrong = truth() * 1.05
    maps, is_locked = lock(averaged(), wrong, errors)
    assert is_locked == (True, False, False)
    torch.testing.assert_close(maps[1:], wrong[1:])


def test_maps_that_were_fitted_to_signals_are_locked_too():
    problem = fitted()
    wrong = truth() * torch.tensor([1.04, 1.0, 1.0]).view(3, 1, 1, 1)
    maps, is_locked = lock(problem, wrong)
    assert is_locked[0]
    assert beyond(problem, maps, 0) < beyond(problem, wrong, 0) / 4
