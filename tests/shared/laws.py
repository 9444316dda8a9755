"""Laws that operators and runs obey, for any operator and any run."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

if TYPE_CHECKING:
    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import FloatArray, VoxelGrid

T = TypeVar("T")


def assert_adjoint(operator: SeparableOperator, n_in: tuple[int, ...], n_out: tuple[int, ...], seed: int = 0) -> None:
    """<A x, y> = <x, A' y> in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_in, generator=generator, dtype=torch.float64)
    y = torch.randn(n_out, generator=generator, dtype=torch.float64)
    left, right = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    scale = operator(x).norm() * y.norm()
    assert abs(left - right) <= 1e-13 * scale  # rounding of a few thousand additions


def assert_linear(operator: SeparableOperator, n_in: tuple[int, ...], seed: int = 0) -> None:
    """A(a x + b y) = a A x + b A y in float64."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn((2, *n_in), generator=generator, dtype=torch.float64)
    torch.testing.assert_close(operator(2.5 * x - 0.3 * y), 2.5 * operator(x) - 0.3 * operator(y))


def blob(grid: VoxelGrid, centre: FloatArray, width: float) -> torch.Tensor:
    """Gaussian of standard deviation `width` mm around a world position, sampled on a grid."""
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid.world(voxels.astype(float)) - centre, axis=-1)
    return torch.as_tensor(np.exp(-0.5 * (distance / width) ** 2))


def centroid(image: torch.Tensor, grid: VoxelGrid) -> FloatArray:
    """World position in mm of the centre of mass."""
    mass = image.sum()
    voxel = []
    for axis, n in enumerate(grid.shape):
        shape = [n if i == axis else 1 for i in range(3)]
        voxel.append(float((image * torch.arange(n, dtype=image.dtype).view(shape)).sum() / mass))
    return grid.world(np.array(voxel))


def paced(steps: Generator[Any, None, T]) -> tuple[T, list[Any], float]:
    """What a generator returns, all it yielded, and the longest time between two yields, in s of its thread's work."""
    seen, longest, started = [], 0.0, time.thread_time()
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stopped:
            return stopped.value, seen, max(longest, time.thread_time() - started)
        longest = max(longest, time.thread_time() - started)
        started = time.thread_time()
