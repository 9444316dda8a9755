"""LR maps that were fitted to the truncated signals of a box with tissue and CSF."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from engine_cases import degraded, textured
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.observations.lr_signals import generic_signals, lr_signals
from napari_swig_qmri.super_resolution.preparation.problem import Problem, prepare

if TYPE_CHECKING:
    from torch import Tensor

SHAPE = (40, 24, 16)
SIGNALS = lr_signals("unknown")


@cache
def truth() -> Tensor:
    """Tissue with a block of CSF, whose border is where averages of maps and of signals differ."""
    fluid = np.zeros(SHAPE)
    fluid[8:21, 5:16, 3:10] = 1
    fluid = gaussian_filter(fluid, 0.8)
    maps = (1 - fluid) * textured(SHAPE) + fluid * np.array([1.0, 4.0, 1.0])[:, None, None, None]
    return torch.as_tensor(maps, dtype=torch.float32)


@cache
def averaged() -> Problem:
    """LR maps that are truncated maps of the truth, without noise."""
    maps = QuantitativeMaps(data=truth().numpy(), grid=VoxelGrid(SHAPE, np.eye(4)))
    lr_maps, guides = degraded(maps)
    return drained(prepare(lr_maps, guides, maps.grid))


@cache
def fitted() -> Problem:
    """LR maps that are fitted to the truncated signals of the truth, without error."""
    case = averaged()
    pd, *weighted = case.truncate(generic_signals(*truth()))
    times = [1.5 / (pd / weighted[0]).log(), 0.08 / (pd / weighted[1]).log()]
    return replace(case, lr_maps=torch.stack([pd, *times]) / case.map_units, lr_signals=SIGNALS)
