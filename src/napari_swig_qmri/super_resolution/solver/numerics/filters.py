"""Separable averages over the last three axes, edge values repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def gaussian_average(x: Tensor, sigma: float | Sequence[float]) -> Tensor:
    """Gaussian average ``(..., x, y, z)``, cut off at three standard deviations.

    `sigma` is the standard deviation in voxels, one number or one per axis.
    """
    sigmas = [sigma] * 3 if isinstance(sigma, int | float) else sigma
    for axis, width in zip((-3, -2, -1), sigmas, strict=True):
        radius, n = int(3 * width + 0.5), x.shape[axis]
        if not radius:
            continue
        taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / width) ** 2)
        weights = (taps / taps.sum()).tolist()
        padded = _edge_padded(x, axis, radius)
        x = weights[0] * padded.narrow(axis, 0, n)
        for tap, weight in enumerate(weights[1:], start=1):
            x = x.add(padded.narrow(axis, tap, n), alpha=weight)
    return x


def binomial_average(x: Tensor) -> Tensor:
    """Average ``(..., x, y, z)`` with weights 1 4 6 4 1 along each axis, which removes the highest frequency."""
    for axis in (-3, -2, -1):
        padded, n = _edge_padded(x, axis, 2), x.shape[axis]
        parts = [weight * padded.narrow(axis, tap, n) for tap, weight in enumerate((1, 4, 6, 4, 1))]
        x = sum(parts[1:], parts[0]) / 16
    return x


def _edge_padded(x: Tensor, axis: int, radius: int) -> Tensor:
    """Volumes with `radius` copies of the edge values at both ends of a negative `axis`."""
    n = x.shape[axis]
    index = torch.arange(-radius, n + radius, device=x.device).clamp(0, n - 1)
    return x.index_select(x.ndim + axis, index)
