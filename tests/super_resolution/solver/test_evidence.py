"""Shares of sources against the whole system, and their limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_cases import objective

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.evidence import evidence_at

SHAPE = (6, 4, 4)


def evidence(posterior, n_planes=100):
    return drained(evidence_at(posterior, posterior.prior_mean, n_planes=n_planes))


def dense_sources(posterior):
    """Information matrices ``(n, n)`` of LR maps, guides and prior, by automatic derivatives."""
    log_maps = posterior.prior_mean
    n = log_maps.numel()

    def information(expected, precision):
        slope = torch.autograd.functional.jacobian(lambda x: expected(x.exp()).flatten(), log_maps).reshape(-1, n)
        return slope.T @ (slope * precision.flatten()[:, None])

    yield information(posterior.lr.expected, 1 / posterior.lr.variance)
    for model, image, precision in posterior.guide_terms():
        yield information(lambda maps, model=model: model(*maps), precision.expand(image.shape))
    yield torch.kron(posterior.prior_precision, torch.eye(n // 3, dtype=log_maps.dtype))


def dense_shares(posterior, read=None):
    """Shares ``(3, source)`` of the variance of maps, or of what `read` ``(n, voxel)`` takes of each, on average."""
    sources = list(dense_sources(posterior))
    covariance = torch.linalg.inv(sum(sources))
    n = len(covariance) // 3
    read = torch.eye(n, dtype=covariance.dtype) if read is None else read
    whole = torch.block_diag(read, read, read)
    of_sources = torch.stack([(whole @ covariance @ each @ covariance @ whole.T).diagonal() for each in sources])
    of_maps = of_sources.view(len(sources), 3, -1)
    return (of_maps / of_maps.sum(0)).mean(-1).T


def mean_shares(volumes):
    return volumes.double().mean((2, 3, 4)) / 100


@pytest.mark.parametrize("n_guides", [0, 1, 2, 3])
def test_without_truncation_the_shares_are_exact(n_guides):
    posterior = objective(SHAPE, factor=1, n_guides=n_guides)[0]
    torch.testing.assert_close(
        mean_shares(evidence(posterior).information), dense_shares(posterior), atol=0.005, rtol=0
    )


@pytest.mark.parametrize("n_guides", [1, 2])
def test_with_truncation_they_are_those_of_means_over_lr_voxels(n_guides):
    shape = (10, 6, 6)  # LR grid of odd sizes, which has no frequency that truncation halves
    posterior = objective(shape, n_guides=n_guides)[0]
    read = torch.stack([posterior.lr.operator(each.view(shape)).flatten() for each in torch.eye(360).double()], 1)
    found, true = mean_shares(evidence(posterior).information), dense_shares(posterior, read)
    torch.testing.assert_close(found, true, atol=0.03, rtol=0)


def test_of_detail_the_lr_maps_know_nothing():
    posterior = objective(SHAPE)[0]
    found = evidence(posterior)
    assert not found.detail[:, 0].any()
    alone = replace(posterior, lr=replace(posterior.lr, variance=1e12 * posterior.lr.variance))
    assert torch.equal(found.detail, evidence(alone).information)


def test_shares_add_up_and_slabs_agree():
    posterior = objective(SHAPE)[0]
    whole, parts = evidence(posterior), evidence(posterior, n_planes=2)
    for name in ("information", "detail"):
        shares = getattr(whole, name)
        assert shares.dtype == torch.uint8
        assert (shares.int().sum(1) - 100).abs().max() <= 2  # rounded
        assert (shares.int() - getattr(parts, name).int()).abs().max() <= 1


def test_a_guide_that_is_not_used_has_no_share():
    posterior = objective(SHAPE, n_guides=2)[0]
    precision = posterior.guide_precision.clone()
    precision[1] = 0
    found = evidence(replace(posterior, guide_precision=precision))
    assert not found.information[:, 2].any()
    assert found.information[:, 1].any()
