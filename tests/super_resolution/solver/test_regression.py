"""Local regression: exact where maps follow the guides, blind to what carries no weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average
from napari_swig_qmri.super_resolution.solver.regression import (
    GROW,
    RATE_SPREAD,
    REGRESSION_WINDOW,
    RIDGE,
    SHRINK,
    add_lr_correction,
    distribute,
    fit_regression,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def everywhere(*shape):
    return torch.ones(*shape, dtype=torch.float64)


def test_a_linear_relation_is_found_up_to_the_ridge():
    guides = normal(2, 8, 9, 10)
    slope = torch.tensor([[1.0, -0.5], [0.2, 0.0], [-2.0, 0.7]], dtype=torch.float64)
    maps = torch.einsum("qg,gxyz->qxyz", slope, guides) + torch.tensor([0.1, 2.0, -1.0]).view(3, 1, 1, 1)
    fit = drained(fit_regression(maps, guides, everywhere(8, 9, 10)))
    predicted = fit.intercept + (fit.slope * guides).sum(1)
    assert (predicted - maps).abs().median() < 20 * RIDGE
    torch.testing.assert_close(fit.slope.flatten(2).median(-1).values, slope, rtol=0, atol=20 * RIDGE)


def test_flat_guides_leave_the_local_mean():
    maps = normal(3, 6, 6, 6)
    fit = drained(fit_regression(maps, torch.zeros(2, 6, 6, 6, dtype=torch.float64), everywhere(6, 6, 6)))
    assert fit.slope.abs().max() < 1e-12
    torch.testing.assert_close(fit.intercept, gaussian_average(maps, REGRESSION_WINDOW), rtol=1e-5, atol=1e-5)


def test_voxels_without_weight_do_not_count():
    maps, guides, weight = normal(3, 8, 8, 8), normal(1, 8, 8, 8, seed=1), everywhere(8, 8, 8)
    weight[4, 4, 4] = 0
    expected = drained(fit_regression(maps, guides, weight))
    maps[:, 4, 4, 4] = 1e3
    found = drained(fit_regression(maps, guides, weight))
    torch.testing.assert_close(found.slope, expected.slope)
    torch.testing.assert_close(found.intercept, expected.intercept)


def test_an_lr_correction_keeps_maps_positive_and_of_the_same_order():
    maps = torch.rand(3, 4, 4, 4) + 0.5
    corrected = add_lr_correction(maps, 10 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(0)))
    assert (corrected >= SHRINK * maps).all()
    assert (corrected <= GROW * maps).all()
    torch.testing.assert_close(add_lr_correction(maps, 0.01 * maps), 1.01 * maps)


def halved():
    hr = VoxelGrid((24, 4, 4), np.eye(4))
    return KSpaceTruncation(hr, hr.with_shape((12, 2, 2)), dtype=torch.float64)


@pytest.mark.parametrize("share", [1.0, 7.0])
def test_a_residual_is_zero_filled_where_all_take_the_same_share(share):
    residual = normal(12, 2, 2)
    change = distribute(halved(), residual, torch.full((24, 4, 4), share, dtype=torch.float64))
    torch.testing.assert_close(change, halved().zero_filled(residual))


def test_an_error_of_fluid_is_corrected_there_and_not_in_tissue():
    """Zero filling the residual of fluid that is 20 % off changes tissue beside it by a tenth and more."""
    t2 = torch.full((24, 4, 4), 0.08, dtype=torch.float64)
    t2[8:16] = 1.5
    truth = t2.clone()
    truth[8:16] = 1.8
    residual = halved()(truth - t2)
    change = distribute(halved(), residual, (t2 / 0.08) ** RATE_SPREAD) / t2
    assert (halved().zero_filled(residual) / t2)[:8].abs().max() > 0.1
    assert change[:8].abs().max() < 1e-3
    torch.testing.assert_close(change[10:14].mean(), change.new_tensor(0.2), rtol=0, atol=0.05)


def test_what_air_asks_for_does_not_change_tissue_beside_it():
    """Air takes no share, and LR voxels of air, whose T2 is noise, count little for the tissue beside them."""
    tissue = torch.zeros(24, 4, 4, dtype=torch.float64)
    tissue[:12] = 1
    residual = halved()((1 - tissue) * normal(24, 4, 4))
    change = distribute(halved(), residual, tissue)
    assert change[12:].abs().max() == 0
    assert change[:12].square().mean() < 0.25 * halved().zero_filled(residual)[12:].square().mean()
