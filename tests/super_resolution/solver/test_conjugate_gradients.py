"""Conjugate gradients against a direct solution."""

from __future__ import annotations

import torch

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.numerics.conjugate_gradients import conjugate_gradients


def system(n=6):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return root @ root.T + n * torch.eye(n, dtype=torch.float64), torch.arange(1.0, n + 1, dtype=torch.float64)


def solved(matrix, target, n_iterations, **options):
    def product(vector):
        yield
        return matrix @ vector

    return drained(conjugate_gradients(product, lambda v: v / matrix.diagonal(), target, n_iterations, **options))


def test_as_many_iterations_as_unknowns_solve_the_system():
    matrix, target = system()
    torch.testing.assert_close(solved(matrix, target, 6), torch.linalg.solve(matrix, target))


def test_a_start_at_the_solution_stays_there():
    matrix, target = system()
    solution = torch.linalg.solve(matrix, target)
    torch.testing.assert_close(solved(matrix, target, 1, start=solution), solution)
