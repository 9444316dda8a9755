"""Guides without their blur: images whose blurred versions are the measured ones, with as few edges as possible.

    |A u - w|^2 / sigma^2 + sum over voxels of |grad u| / b,    |grad u| of all guides together

An edge that one guide has costs little in the others, so that a sharp guide tells where those of a blurred one lie.
Minimised by least squares with weights 1 / |grad u| that follow the solution.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator

EDGE = 0.1  # b: usual difference of neighbouring voxels, relative to the level; .03 and .3 leave larger errors
ROUNDING = 0.3  # of EDGE, below which differences are penalised by their square
N_ROUNDS, N_ITERATIONS = 5, 8  # of the weights, and of conjugate gradients in each


def deblurred(
    images: Tensor, operators: Mapping[int, SeparableOperator], noise: Tensor
) -> Generator[None, None, Tensor]:
    """Images ``(image, X, Y, Z)`` of which those in `operators` have lost their blur; yields between the rounds.

    Parameters
    ----------
    images
        Relative to their level in tissue.
    operators
        Blur of images, by their position.
    noise
        ``(image,)``, standard deviation.
    """
    sharp = images.clone()
    for _ in range(N_ROUNDS):
        steepness = torch.stack([_steepness(image) for image in sharp]).sum(0)
        weight = 1 / (steepness / EDGE**2 + ROUNDING**2).sqrt()
        for position, operator in operators.items():
            yield
            system = _System(operator, weight * (float(noise[position]) / EDGE) ** 2)
            sharp[position] = system.solved(images[position], sharp[position])
    return sharp


def _steepness(image: Tensor) -> Tensor:
    """Sum of squared differences to the next voxels along all axes."""
    result = torch.zeros_like(image)
    for axis in range(image.ndim):
        result.narrow(axis, 0, image.shape[axis] - 1).add_(image.diff(dim=axis).square())
    return result


class _System:
    """Linear system A^T A u + grad^T (weight grad u) = A^T w."""

    def __init__(self, operator: SeparableOperator, weight: Tensor) -> None:
        self._operator, self._weight = operator, weight

    def _apply(self, image: Tensor) -> Tensor:
        result = self._operator.adjoint(self._operator(image))
        for axis, n in enumerate(image.shape):
            flow = self._weight.narrow(axis, 0, n - 1) * image.diff(dim=axis)
            result.narrow(axis, 1, n - 1).add_(flow)
            result.narrow(axis, 0, n - 1).sub_(flow)
        return result

    def solved(self, measured: Tensor, start: Tensor) -> Tensor:
        """Image after some conjugate gradients."""
        tiny = torch.finfo(start.dtype).tiny
        solution = start
        residual = self._operator.adjoint(measured) - self._apply(start)
        direction, size = residual, residual.square().sum()
        for _ in range(N_ITERATIONS):
            image = self._apply(direction)
            length = size / (direction * image).sum().clamp(min=tiny)
            solution, residual = solution + length * direction, residual - length * image
            previous, size = size, residual.square().sum()
            direction = residual + size / previous.clamp(min=tiny) * direction
        return solution
