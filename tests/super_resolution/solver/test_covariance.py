"""The variance of the solution against the inverse of the whole curvature."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_cases import objective

from napari_swig_qmri.data.truncation import SeparableOperator
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.covariance import curvature_at

SHAPE = (6, 4, 4)


def dense_variance(posterior, log_maps):
    """Diagonal ``(3, X, Y, Z)`` of the inverse of the Gauss-Newton matrix, by automatic derivatives."""
    n = log_maps.numel()
    system = posterior.prior_precision
    whole = torch.kron(system, torch.eye(n // 3, dtype=log_maps.dtype))
    maps = log_maps.exp()
    for model, _, precision in posterior.guide_terms():
        slope = torch.autograd.functional.jacobian(lambda x, model=model: model(*x.exp()).flatten(), log_maps)
        slope = slope.reshape(-1, n)
        whole = whole + float(precision) * slope.T @ slope
    for each in posterior.observations:
        slope = torch.autograd.functional.jacobian(lambda x, each=each: each.expected(x.exp()).flatten(), log_maps)
        slope = slope.reshape(-1, n)
        whole = whole + slope.T @ (slope / each.variance.flatten()[:, None])
    assert maps.isfinite().all()
    return torch.linalg.inv(whole).diagonal().view(log_maps.shape)


def curvature(posterior, n_planes=100):
    return drained(curvature_at(posterior, posterior.prior_mean, n_planes=n_planes))


def test_without_truncation_the_variance_is_exact():
    posterior = objective(SHAPE, factor=1)[0]
    torch.testing.assert_close(curvature(posterior).variance, dense_variance(posterior, posterior.prior_mean))


@pytest.mark.parametrize("n_guides", [1, 2])
def test_with_truncation_it_is_that_of_the_whole_system_to_some_percent(n_guides):
    posterior = objective(SHAPE, n_guides=n_guides)[0]
    ratio = curvature(posterior).variance / dense_variance(posterior, posterior.prior_mean)
    assert abs(float(ratio.mean()) - 1) < 0.03
    assert float(ratio.min()) > 0.75
    assert float(ratio.max()) < 1.25


def test_images_leave_less_variance_than_guides_and_prior_alone():
    found = curvature(objective(SHAPE)[0])
    assert (found.variance < found.without_images).all()
    assert (found.variance > 0).all()


def test_without_weight_the_images_explain_nothing():
    posterior = objective(SHAPE)[0]
    unseen = replace(posterior, lr=replace(posterior.lr, variance=torch.full_like(posterior.lr.variance, 1e12)))
    found = curvature(unseen)
    torch.testing.assert_close(found.variance, found.without_images, rtol=1e-6, atol=0)


def test_slabs_change_nothing():
    posterior = objective(SHAPE)[0]
    whole, slabs = curvature(posterior), curvature(posterior, n_planes=2)
    for name in ("variance", "without_images", "pull"):
        torch.testing.assert_close(getattr(slabs, name), getattr(whole, name))


def test_the_pull_is_the_step_of_guides_and_prior_alone():
    posterior = objective(SHAPE)[0]
    _, _, step = posterior.linearised(posterior.prior_mean)
    torch.testing.assert_close(curvature(posterior).pull, step)


def test_an_observation_of_a_signal_counts_like_one_of_maps():
    posterior = objective(SHAPE, factor=1, n_guides=1)[0]
    identity = SeparableOperator(tuple(torch.eye(n, dtype=torch.float64) for n in SHAPE))
    as_observed = replace(posterior, lr=replace(posterior.lr, operator=identity))
    torch.testing.assert_close(curvature(as_observed).variance, curvature(posterior).variance)
