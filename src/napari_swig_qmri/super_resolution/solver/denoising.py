"""Removing noise from log maps: every voxel is averaged with those of its neighbours that hold the same tissue.

A bilateral filter (Tomasi and Manduchi 1998) over all three maps at once: the map that differs most decides. Voxels
are alike if they differ by little more than the noise of the maps. The average is mixed with the voxel by a Wiener
weight: the variance of the noise over that of the differences to the neighbours, which have noise and texture, so that
maps without noise stay unchanged.

The measured noise is white. What the noise of LR maps adds to the solution is not, and it is larger where the guides
determine little: it widens what counts as alike, but does not raise the Wiener weight.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import robust_sd, subsample

if TYPE_CHECKING:
    from torch import Tensor

SIMILAR = 1.75  # standard deviation of the weight of a difference, in standard deviations of the noise
LR_NOISE_SHARE = 0.5  # of the noise of LR maps, the least that counts as alike; 0.3 to 1 are all better than none
REACH = 2.0  # standard deviation of the spatial weight, in units of the smallest voxel edge
LEAST_NOISE = 1e-5
LEAST_WEIGHT = 0.5  # sum over the neighbours that a voxel needs, for its differences to be measured
MIN_VOXELS = 100
NEIGHBOURS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]  # half of the 26 neighbours

Pair = tuple[tuple[slice, ...], tuple[slice, ...]]


def denoise(
    log_maps: Tensor,
    flat: Tensor,
    noise: Tensor,
    lr_noise: Tensor,
    voxel_size: Sequence[float],
    *,
    n_planes: int,
    compared: Sequence[bool] = (True, True, True),
) -> Generator[float, None, Tensor]:
    """Log maps ``(3, X, Y, Z)`` with less noise; yields the finished fraction.

    Parameters
    ----------
    flat
        ``(X, Y, Z)``, boolean: tissue without structure, where voxels differ by noise and texture alone.
    noise
        ``(3,)``, standard deviation of white noise in the log maps.
    lr_noise
        ``(3,)``, standard deviation of the noise of the LR maps, relative to their values.
    voxel_size
        Edges in mm. Distant neighbours get a smaller weight.
    n_planes
        Planes that are processed at a time.
    compared
        Maps by which voxels are found alike.
    """
    n, alike = log_maps.shape[1], torch.maximum(noise, LR_NOISE_SHARE * lr_noise)
    difference, weight = torch.empty_like(log_maps), log_maps.new_empty(log_maps.shape[1:])
    for first in range(0, n, n_planes):
        last, low = min(first + n_planes, n), max(0, first - 1)
        mean, total = average_neighbours(log_maps[:, low : min(n, last + 1)], alike, voxel_size, compared)
        inner = slice(first - low, last - low)
        difference[:, first:last] = mean[:, inner] - log_maps[:, first:last]
        weight[first:last] = total[inner]
        yield last / n
    share = noise_share(difference, weight, flat, noise)
    return difference.mul_(weight / (1 + weight)).mul_(share.view(-1, 1, 1, 1)).add_(log_maps)


def average_neighbours(
    log_maps: Tensor, noise: Tensor, voxel_size: Sequence[float], compared: Sequence[bool] = (True, True, True)
) -> tuple[Tensor, Tensor]:
    """Mean of the 26 neighbours ``(3, X, Y, Z)``, weighted by similarity and distance, and the sum of the weights.

    Arguments are those of `denoise`. Voxels without a similar neighbour keep their values.
    """
    used = torch.tensor(compared)
    scaled = log_maps[used] / (SIMILAR * noise[used].clamp(min=LEAST_NOISE)).view(-1, 1, 1, 1)
    total, weights = torch.zeros_like(log_maps), log_maps.new_zeros(log_maps.shape[1:])
    smallest = min(voxel_size)
    for step in NEIGHBOURS:
        distance = sum((n * edge / smallest) ** 2 for n, edge in zip(step, voxel_size, strict=True))
        voxel, neighbour = _pair(step)
        unlike = (scaled[voxel] - scaled[neighbour]).square_().amax(0) / 2  # the map that differs most decides
        weight = unlike.neg_().sub_(distance / (2 * REACH**2)).exp_()
        total[voxel] += weight * log_maps[neighbour]
        total[neighbour] += weight * log_maps[voxel]
        weights[voxel[1:]] += weight
        weights[neighbour[1:]] += weight
    return torch.where(weights > 0, total / weights, log_maps), weights


def noise_share(difference: Tensor, weight: Tensor, flat: Tensor, noise: Tensor) -> Tensor:
    """Wiener weight ``(3,)``: share of the noise in the variance of the differences to the neighbours, 0 to 1.

    `difference` is ``(3, X, Y, Z)``, and `weight` ``(X, Y, Z)`` the sum of the weights of the neighbours.
    """
    measured = flat & (weight > LEAST_WEIGHT)
    if int(measured.sum()) < MIN_VOXELS:
        return torch.zeros_like(noise)
    variance = robust_sd(subsample(difference[:, measured])).square()
    of_mean = float((1 / subsample(weight[measured])).median())  # noise variance of the mean, over that of a voxel
    return (noise.square() * (1 + of_mean) / variance.clamp(min=LEAST_NOISE**2)).clamp(max=1)


def _pair(step: tuple[int, ...]) -> Pair:
    """Index of the voxels of ``(3, X, Y, Z)`` that have a neighbour at `step`, and of these neighbours."""
    ends = {-1: (slice(1, None), slice(None, -1)), 0: (slice(None), slice(None)), 1: (slice(None, -1), slice(1, None))}
    voxel, neighbour = zip(*(ends[n] for n in step), strict=True)
    return (slice(None), *voxel), (slice(None), *neighbour)
