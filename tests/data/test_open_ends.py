"""What truncation brings into a field of view that ends in tissue: a covariance, and its share of a residual."""

from __future__ import annotations

import numpy as np
import torch

from napari_swig_qmri.data.open_ends import UnseenCovariance, unseen_covariance
from napari_swig_qmri.data.truncation import open_matrix, truncation_matrix

SHAPE = (6, 5, 10)
N_HR, N_BEYOND = 40, 60


def covariance(dtype=torch.float64):
    """Both ends of z are open, and the first one of x."""
    x = unseen_covariance(24, SHAPE[0], 4.0, 1.5, (True, False))
    z = unseen_covariance(N_HR, SHAPE[2], 4.0, 1.5, (True, True))
    along = tuple(torch.as_tensor(each, dtype=dtype) for each in (x, np.zeros((5, 5)), z))
    return UnseenCovariance(along, torch.tensor([[0.3, 0.1], [0.0, 0.0], [1.0, 2.0]], dtype=dtype))


def matrix_of(operator):
    """Matrix of an operator on images ``(2, x, y, z)``."""
    size = 2 * int(np.prod(SHAPE))
    return torch.stack([operator(unit.view(2, *SHAPE)).flatten() for unit in torch.eye(size, dtype=torch.float64)])


def random_images(seed=0):
    return torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_a_covariance_with_this_diagonal():
    matrix = matrix_of(covariance())
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    torch.testing.assert_close(matrix.diagonal(), covariance().diagonal().flatten())
    assert covariance().axes == (0, 2)


def test_weighting_inverts_it_together_with_a_variance():
    residual, variance = random_images(), 0.05 + random_images(1).square()
    weighted = covariance().weighted(residual, variance)
    torch.testing.assert_close(covariance()(weighted) + variance * weighted, residual, rtol=0, atol=1e-5)
    torch.testing.assert_close(covariance().estimate(residual, variance), covariance()(weighted))


def test_a_part_is_that_of_its_voxels():
    rows = (slice(1, 4), slice(0, 2), slice(3, 9))
    images = torch.zeros(2, *SHAPE, dtype=torch.float64)
    images[:, 1:4, 0:2, 3:9] = random_images()[:, 1:4, 0:2, 3:9]
    part = covariance().restricted(rows)(images[:, 1:4, 0:2, 3:9])
    torch.testing.assert_close(part, covariance()(images)[:, 1:4, 0:2, 3:9])


def test_a_scaled_one_is_a_multiple():
    images = random_images()
    torch.testing.assert_close(covariance().scaled(0.5)(images), 0.5 * covariance()(images))


def test_it_finds_what_came_from_beyond_the_ends():
    """Random walks beyond both ends, truncated with the field of view in one piece."""
    generator = np.random.default_rng(0)
    steps = generator.standard_normal((30, N_HR + 2 * N_BEYOND))
    steps[:, N_BEYOND : N_BEYOND + N_HR] = 0
    walks = np.cumsum(steps, axis=1) - np.cumsum(steps, axis=1)[:, [N_BEYOND]]
    measured = walks @ truncation_matrix(walks.shape[1], 10, 4.0, N_BEYOND + 1.5).T
    unseen = measured - walks[:, N_BEYOND : N_BEYOND + N_HR] @ open_matrix(N_HR, 10, 4.0, 1.5).T
    along = (
        torch.zeros(30, 30),
        torch.zeros(1, 1),
        torch.as_tensor(unseen_covariance(N_HR, 10, 4.0, 1.5, (True,) * 2)),
    )
    found = UnseenCovariance(along, torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64))
    residual = torch.as_tensor(unseen)[None, :, None]
    estimate = found.estimate(residual, torch.full_like(residual, 0.01 * float(residual.square().mean())))
    assert (residual - estimate).norm() < 0.3 * residual.norm()
    assert not unseen_covariance(N_HR, 10, 4.0, 1.5, (False, False)).any()
