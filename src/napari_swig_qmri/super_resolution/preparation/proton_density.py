"""PD maps with spikes, noise or a constant in air: the level of tissue, and whether PD tells the head from air."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from napari_swig_qmri.super_resolution.preparation.tissue import MIN_TISSUE, TISSUE_PD, TISSUE_T1, TISSUE_T2

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps

WATER_PD = 0.8  # PD of brain tissue relative to water: PD maps are scaled so that their tissue has it
HIGHEST = 2.2  # PD over that of tissue: water is 1.4 times as bright, a receive field of 30 % makes it 2
ISOLATED = 1.8  # PD of a spike over the median of its neighbours
MOST_IN_AIR = 0.1  # of the voxels that are bright in PD


def tissue_level(maps: QuantitativeMaps, head: BoolArray) -> float:
    """Median PD of the voxels of a `head` ``(x, y, z)`` with T1 and T2 of tissue, where these maps are there.

    ValueError if it is not above 0.
    """
    tissue = head.copy()
    for name, (low, high) in (("T1", TISSUE_T1), ("T2", TISSUE_T2)):
        if name in maps.names:
            tissue &= (maps[name] > low) & (maps[name] < high)
    level = float(np.median(maps["PD"][tissue if tissue.sum() >= MIN_TISSUE else head]))
    if not level > 0:
        raise ValueError(
            f"the PD map has a median of {level:.3g} over the head, but PD is above 0: correct its sign, or leave it "
            "out."
        )
    return level


def spikes_of(pd: FloatArray, valid: BoolArray, level: float) -> BoolArray:
    """Single voxels ``(x, y, z)`` whose PD is impossible beside their neighbours and a `level` of tissue."""
    high, low = valid & (pd > HIGHEST * level), valid & (pd < -TISSUE_PD * level)  # ringing is far less negative
    if not (high.any() or low.any()):
        return high
    around = median_filter(np.where(valid, pd, 0), 3)
    return np.asarray((high & (pd > ISOLATED * around)) | (low & (around > TISSUE_PD * level)))


def is_bright_in_head(pd: FloatArray, valid: BoolArray, head: BoolArray, level: float) -> bool:
    """Whether PD has no high values besides those of fluid and is low in air, in `valid` voxels; all ``(x, y, z)``."""
    top = np.percentile(pd[valid], 99)
    bright = valid & (pd > TISSUE_PD * top)
    return bool(top <= HIGHEST * level and (bright & ~head).sum() <= MOST_IN_AIR * bright.sum())


def pd_of_water(values: FloatArray) -> float:
    """PD of water in the unit of PD values, which have 0.8 of it in brain tissue."""
    bright = values[values > TISSUE_PD * np.percentile(values, 99)]
    return float(np.median(bright)) / WATER_PD
