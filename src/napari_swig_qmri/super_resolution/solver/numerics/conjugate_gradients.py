"""Conjugate gradients with a preconditioner, for products that take long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Generator[None, None, Tensor]],
    preconditioned: Callable[[Tensor], Tensor],
    target: Tensor,
    n_iterations: int,
    start: Tensor | None = None,
) -> Generator[None, None, Tensor]:
    """Solve a symmetric positive definite system; yields as often as its products do.

    Parameters
    ----------
    product
        Matrix times a vector, as a generator that returns it.
    preconditioned
        An approximate inverse of the matrix, times a vector.
    target
        Right-hand side; a tensor of any shape counts as one vector.
    start
        First guess; 0 if None.
    """
    tiny = torch.finfo(target.dtype).tiny
    solution, residual = torch.zeros_like(target) if start is None else start, target
    if solution.any():
        residual = residual - (yield from product(solution))
    direction = step = preconditioned(residual)
    size = (residual * step).sum()
    for _ in range(n_iterations):
        image = yield from product(direction)
        length = size / (direction * image).sum().clamp(min=tiny)
        solution = solution + length * direction
        residual = residual - length * image
        step = preconditioned(residual)
        previous, size = size, (residual * step).sum()
        direction = step + size / previous.clamp(min=tiny) * direction
    return solution
