"""Guides as they would be in the nominal transmit field (B1+), given a map of it.

The map scales the pulses of every guide. The ratio of the signals in the measured and the nominal field depends on the
tissue, but much less than the signals do: the LR maps give it nearly, and the maps of a regression on guides that were
so corrected give it well.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.gaps import has_value
from napari_swig_qmri.data.interpretation import uniform_image
from napari_swig_qmri.data.resampling import on_grid
from napari_swig_qmri.data.transmit_field import transmit_field_on
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.transmit_field import in_field_map
from napari_swig_qmri.super_resolution.preparation.problem import with_floor

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid, WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

NEAR_NULL = 0.03  # of the median signal in the head, below which a signal is hardly corrected
HEAD = 0.3  # PD relative to water, above which a voxel belongs to the head
EXTREMES = (2, 98)  # percentiles over tissue that tell the range of the field
DECIMALS = 4  # of the numbers in the JSON


@dataclass(frozen=True)
class TransmitField:
    """Map of the transmit field that guides were corrected by."""

    name: str  # of the map
    lowest: float  # in tissue, as a fraction of the nominal field
    highest: float

    def to_json(self) -> dict[str, Any]:
        """Name of the map, and the range of the field in tissue."""
        return {"map": self.name, "range": [round(self.lowest, DECIMALS), round(self.highest, DECIMALS)]}


def transmit_field_in(problem: Problem, volume: Volume) -> Generator[None, None, TransmitField]:
    """Range of a B1+ map in the tissue of a problem; ValueError with the distance in mm if it lies elsewhere."""
    field = yield from transmit_field_on(volume, problem.lr_grid)
    low, high = np.percentile(field[problem.tissue.numpy()], EXTREMES)
    return TransmitField(volume.source, float(low), float(high))


def in_nominal_field(
    guides: Sequence[WeightedImage], maps: Tensor, grid: VoxelGrid, volume: Volume
) -> Generator[None, None, tuple[WeightedImage, ...]]:
    """Guides as the nominal field would have given them; yields between the steps.

    Parameters
    ----------
    maps
        ``(3, x, y, z)`` on `grid`, PD relative to water and times in s.
    volume
        Map of the transmit field.
    """
    corrected = []
    for guide in guides:
        field = yield from transmit_field_on(volume, guide.grid)
        here = [
            each if guide.grid.is_aligned_with(grid) else on_grid(each, grid, guide.grid, mode="nearest")
            for each in with_floor(maps).float().numpy()
        ]
        yield
        corrected.append(_corrected(guide, torch.as_tensor(np.stack(here)), torch.as_tensor(field)))
    return tuple(corrected)


def _corrected(guide: WeightedImage, maps: Tensor, field: Tensor) -> WeightedImage:
    """A guide given maps ``(3, x, y, z)`` and the transmit field ``(x, y, z)`` on its grid."""
    sequence = guide.sequence
    if sequence is None:
        return guide
    nominal, actual = _signals(sequence, maps, field)
    if sequence.is_scaled_by_pd:
        head = maps[0].numpy() > HEAD
        near = (NEAR_NULL * float(np.median(np.abs(nominal[head])))) ** 2 if head.any() else 1e-12
        data = guide.data / np.maximum((actual * nominal + near) / (nominal**2 + near), NEAR_NULL)
        return replace(guide, data=data.astype(np.float32))
    seen, told = has_value(guide.data), list(guide.notices)
    shown = np.where(seen, guide.data, 0).astype(np.float32)
    if isinstance(sequence, Mp2rageUni):
        shown = uniform_image(shown, seen, guide.name, told)
    changed = np.where(seen, shown + nominal - actual, guide.data)
    return replace(guide, data=changed.astype(np.float32), notices=tuple(told))


def _signals(sequence: SignalModel, maps: Tensor, field: Tensor) -> tuple[FloatArray, FloatArray]:
    """Signals ``(x, y, z)`` of a sequence in the nominal field and in another one ``(x, y, z)``."""
    voxels = [each.flatten() for each in maps]
    nominal = sequence.signed(*voxels)
    actual = in_field_map(lambda b1, *parts: sequence.signed(*parts, transmit_field=b1), voxels, field.flatten())
    return nominal.view(field.shape).numpy(), actual.view(field.shape).numpy()
