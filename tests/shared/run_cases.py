"""Whole runs on a slab of the phantom, and how far their maps are from the truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from engine_cases import degraded, slab

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve

NAMES = ("PD", "T1", "T2")


def solved(maps, guides, *, mask=None, **options):
    return super_resolve(maps, guides, Options(**options), mask=mask)


@cache
def case(n_guides=2):
    return degraded(slab().maps, n_guides)


@cache
def usual(n_guides=2):
    """The result with all defaults, shared by the tests that vary one thing."""
    return solved(*case(n_guides))


def errors(maps, truth=None, where=None):
    """Normalised root mean square error per map over the brain."""
    truth = slab().maps if truth is None else truth
    where = slab().mask if where is None else where
    return [
        float(np.linalg.norm((maps[name] - truth[name])[where]) / np.linalg.norm(truth[name][where]))
        for name in maps.names
    ]


def zero_filled(lr, hr_grid):
    fine = KSpaceTruncation(hr_grid, lr.grid).zero_filled(torch.as_tensor(lr.data, dtype=torch.float32))
    return QuantitativeMaps(data=fine.numpy(), grid=hr_grid, names=lr.names)


def tissue():
    """Brain away from CSF, where a relative difference means something."""
    return slab().mask & (slab().maps["T2"] < 0.12)


def relative(maps, expected, where=None, share=1.0):
    """Relative difference that a `share` of the voxels of two sets of maps stays below, away from CSF and air."""
    where = tissue() if where is None else where
    differences = [np.abs(maps[name][where] / expected[name][where] - 1) for name in maps.names]
    return max(float(np.quantile(difference, share)) for difference in differences)
