"""Signals in a transmit field (B1+) that varies from voxel to voxel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FIELD_LIMITS = (0.1, 2.0)  # fraction of the nominal field; values beyond are clipped
FIELD_STEP = 0.02  # between the transmit fields at which signals are computed; those in between are interpolated
LEAST_NODE_WEIGHT = 1e-5  # of an interpolation node; a field exactly on a node then uses that node alone


def in_field_map(signal: Callable[..., Tensor], maps: Sequence[Tensor], field: Tensor) -> Tensor:
    """Signal ``(voxel,)`` of voxels with a transmit field each, interpolated between multiples of `FIELD_STEP`.

    Cubic interpolation between four transmit fields costs about four times as much as one field for all voxels.

    Parameters
    ----------
    signal
        Function of one transmit field and the maps of some voxels that returns their signal.
    maps, field
        Maps and transmit field as a fraction of the nominal one, all ``(voxel,)``; clipped to `FIELD_LIMITS`.
    """
    position = field.clamp(*FIELD_LIMITS) / FIELD_STEP
    first = position.floor().long() - 1
    lowest = int(first.min())
    order = first.argsort()  # sorted by field, the voxels that use a node lie together
    first, position, sorted_maps = first[order], position[order], [each[order] for each in maps]
    ends = [0, *(first - lowest).bincount().cumsum(0).tolist()]
    total = position.new_zeros(position.shape)
    for node in range(len(ends) + 2):
        part = slice(ends[max(0, node - 3)], ends[min(len(ends) - 1, node + 1)])
        weight = _cubic_weight(lowest + node - first[part], position[part] - first[part])
        if (weight != 0).any():
            total[part] += weight * signal((lowest + node) * FIELD_STEP, *(each[part] for each in sorted_maps))
    unsorted = total.new_empty(total.shape)
    unsorted[order] = total
    return unsorted


def _cubic_weight(index: Tensor, position: Tensor) -> Tensor:
    """Weight of node `index` (0 to 3) in the cubic Lagrange interpolation at a position between nodes 1 and 2."""
    a, b, c, d = (position - node for node in range(4))
    shares = (-b * c * d / 6, a * c * d / 2, -a * b * d / 2, a * b * c / 6)
    weight = shares[0] * (index == 0)
    for node in (1, 2, 3):
        weight = weight + shares[node] * (index == node)
    return weight * (weight.abs() > LEAST_NODE_WEIGHT)
