"""Noise taken out of log maps: every voxel is averaged with those of its neighbours that hold the same tissue.

A bilateral filter (Tomasi and Manduchi 1998) over all three maps at once: the map that differs most decides. What
counts as the same is measured in the noise of the maps themselves, so that maps without noise stay as they are. How
far to go is a Wiener weight: the noise over what voxels differ by from their neighbours, which is noise and texture.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import product
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.solver.noise import robust_sd, subsample

if TYPE_CHECKING:
    from torch import Tensor

SIMILAR = 1.75  # times the noise, standard deviation of the weight of a difference
REACH = 2.0  # standard deviation of the spatial weight, in the smallest voxel edge
LEAST_NOISE = 1e-5
LEAST_WEIGHT = 0.5  # of all neighbours together, where differences to them are looked at
MIN_VOXELS = 100
STEPS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]  # half of the 26 neighbours

Pair = tuple[tuple[slice, ...], tuple[slice, ...]]


def denoise(
    log_maps: Tensor, flat: Tensor, noise: Tensor, voxel_size: Sequence[float], *, n_planes: int
) -> Generator[float, None, Tensor]:
    """Log maps ``(3, X, Y, Z)`` with less noise; yields the finished fraction.

    Parameters
    ----------
    flat
        Boolean ``(X, Y, Z)``, tissue without structure: there voxels differ by noise and texture alone.
    noise
        ``(3,)``, standard deviation of white noise in the log maps.
    voxel_size
        Edges in mm; far neighbours count less.
    n_planes
        Planes that are worked on at a time.
    """
    n = log_maps.shape[1]
    difference, weight = torch.empty_like(log_maps), log_maps.new_empty(log_maps.shape[1:])
    for first in range(0, n, n_planes):
        last, low = min(first + n_planes, n), max(0, first - 1)
        mean, total = average_neighbours(log_maps[:, low : min(n, last + 1)], noise, voxel_size)
        here = slice(first - low, last - low)
        difference[:, first:last] = mean[:, here] - log_maps[:, first:last]
        weight[first:last] = total[here]
        yield last / n
    share = noise_share(difference, weight, flat, noise)
    return difference.mul_(weight / (1 + weight)).mul_(share.view(-1, 1, 1, 1)).add_(log_maps)


def average_neighbours(log_maps: Tensor, noise: Tensor, voxel_size: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Mean of the 26 neighbours ``(3, X, Y, Z)``, weighted by likeness and nearness, and the sum of weights."""
    scaled = log_maps / (SIMILAR * noise.clamp(min=LEAST_NOISE)).view(-1, 1, 1, 1)
    total, weights = torch.zeros_like(log_maps), log_maps.new_zeros(log_maps.shape[1:])
    smallest = min(voxel_size)
    for step in STEPS:
        distance = sum((n * edge / smallest) ** 2 for n, edge in zip(step, voxel_size, strict=True))
        here, there = _pair(step)
        unlike = (scaled[here] - scaled[there]).square_().amax(0) / 2  # one map that differs is enough
        weight = unlike.neg_().sub_(distance / (2 * REACH**2)).exp_()
        total[here] += weight * log_maps[there]
        total[there] += weight * log_maps[here]
        weights[here[1:]] += weight
        weights[there[1:]] += weight
    return torch.where(weights > 0, total / weights, log_maps), weights


def noise_share(difference: Tensor, weight: Tensor, flat: Tensor, noise: Tensor) -> Tensor:
    """Share of the difference to the neighbours to go, per map ``(3,)``: that of the noise in its variance."""
    seen = flat & (weight > LEAST_WEIGHT)
    if int(seen.sum()) < MIN_VOXELS:
        return torch.zeros_like(noise)
    variance = robust_sd(subsample(difference[:, seen])).square()
    of_mean = float((1 / subsample(weight[seen])).median())  # noise that the mean has itself
    return (noise.square() * (1 + of_mean) / variance.clamp(min=LEAST_NOISE**2)).clamp(max=1)


def _pair(step: tuple[int, ...]) -> Pair:
    """Voxels of ``(3, X, Y, Z)`` that have a neighbour one `step` on, and these neighbours."""
    ends = {-1: (slice(1, None), slice(None, -1)), 0: (slice(None), slice(None)), 1: (slice(None, -1), slice(1, None))}
    here, there = zip(*(ends[n] for n in step), strict=True)
    return (slice(None), *here), (slice(None), *there)
