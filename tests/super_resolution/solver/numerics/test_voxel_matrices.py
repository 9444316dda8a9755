"""Small matrices per voxel against torch.linalg."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import (
    invert_voxelwise,
    multiply_voxelwise,
    solve_voxelwise,
)


def positive_definite(n, shape=(3, 4, 5)):
    """Symmetric matrices ``(n, n, *shape)`` with eigenvalues of 0.1 and more."""
    root = torch.randn(*shape, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    return (root @ root.mT + 0.1 * torch.eye(n, dtype=torch.float64)).movedim((-2, -1), (0, 1))


def as_batch(matrix):
    return matrix.movedim((0, 1), (-2, -1))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_solve_inverse_and_apply_agree_with_linalg(n):
    matrix = positive_definite(n)
    vector = torch.randn(n, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    several = torch.randn(n, 2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.linalg.solve(as_batch(matrix), vector.movedim(0, -1)[..., None])[..., 0].movedim(-1, 0)
    torch.testing.assert_close(solve_voxelwise(matrix, vector), expected)
    expected = torch.linalg.solve(as_batch(matrix), several.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))
    torch.testing.assert_close(solve_voxelwise(matrix, several), expected)
    torch.testing.assert_close(as_batch(invert_voxelwise(matrix)), torch.linalg.inv(as_batch(matrix)))
    torch.testing.assert_close(multiply_voxelwise(matrix, vector), torch.einsum("mn...,n...->m...", matrix, vector))


def test_a_field_of_one_matrix_serves_every_voxel():
    one = positive_definite(3, (1, 1, 1))
    vector = torch.rand(3, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(multiply_voxelwise(one, vector), multiply_voxelwise(one.expand(3, 3, 4, 5, 6), vector))
    torch.testing.assert_close(multiply_voxelwise(one, solve_voxelwise(one, vector)), vector)


def test_nothing_is_changed_in_place():
    matrix, vector = positive_definite(3), torch.rand(3, 3, 4, 5, dtype=torch.float64)
    before = matrix.clone(), vector.clone()
    solve_voxelwise(matrix, vector)
    invert_voxelwise(matrix)
    assert torch.equal(matrix, before[0])
    assert torch.equal(vector, before[1])
