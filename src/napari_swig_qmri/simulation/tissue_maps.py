"""Random PD, T1 and T2 maps of an anatomy, with texture and lesions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, VoxelGrid
from napari_swig_qmri.simulation.label_maps import LABELLED_TISSUES, Anatomy, halved, labels_of

Range = tuple[float, float]

FIELD_STRENGTHS = (1.5, 3.0, 7.0)  # T

# PD relative to water, T1 and T2 in s at 1.5, 3 and 7 T. Brain at 1.5 T spans BrainWeb, at 3 T values
# taken second-hand, attributed to Zhu 2014, Stanisz 2005 and ICBM 2009a; 7 T and tissues outside the brain are guesses.
# Ranges, since networks train on them; the digital head has one value per tissue (`phantom.PAINTED_TISSUES`).
TISSUE_RANGES: Mapping[str, tuple[Range, tuple[Range, Range, Range], tuple[Range, Range, Range]]] = {
    "white": ((0.62, 0.8), ((0.5, 0.75), (0.75, 1.15), (1.05, 1.45)), ((0.065, 0.09), (0.055, 0.11), (0.04, 0.065))),
    "grey": ((0.74, 0.92), ((0.8, 1.15), (1.2, 1.9), (1.7, 2.3)), ((0.078, 0.11), (0.07, 0.12), (0.045, 0.075))),
    "deep grey": ((0.72, 0.88), ((0.65, 1.0), (0.95, 1.5), (1.3, 1.9)), ((0.065, 0.095), (0.05, 0.095), (0.03, 0.06))),
    "csf": ((0.92, 1.0), ((2.4, 4.2), (2.8, 4.5), (3.5, 4.6)), ((0.33, 2.2), (0.3, 2.0), (0.3, 1.5))),
    "fat": ((0.8, 1.0), ((0.24, 0.38), (0.3, 0.5), (0.35, 0.6)), ((0.06, 0.1), (0.06, 0.1), (0.04, 0.08))),
    "muscle": ((0.65, 0.85), ((0.8, 1.1), (0.95, 1.45), (1.3, 1.9)), ((0.035, 0.055), (0.03, 0.05), (0.02, 0.04))),
    "bone": ((0.05, 0.2), ((0.3, 0.9), (0.4, 1.0), (0.5, 1.2)), ((0.008, 0.025), (0.008, 0.025), (0.006, 0.02))),
    "dura": ((0.55, 0.75), ((0.7, 1.1), (0.8, 1.3), (1.0, 1.6)), ((0.045, 0.075), (0.04, 0.07), (0.03, 0.06))),
    "blood": ((0.8, 0.95), ((1.3, 1.7), (1.5, 2.0), (2.0, 2.6)), ((0.1, 0.28), (0.06, 0.18), (0.02, 0.1))),
}


def random_maps(
    anatomy: Anatomy, field_strength: float, generator: np.random.Generator
) -> tuple[QuantitativeMaps, QuantitativeMaps, FloatArray]:
    """Random maps of an anatomy at a field strength of 1.5, 3 or 7 T.

    PD, T1 and T2 of each tissue are drawn from `TISSUE_RANGES`, texture is added, and the maps are averaged over
    2 x 2 x 2 voxels of the anatomy.

    Returns
    -------
    healthy, ill
        Maps ``(3, X, Y, Z)`` without and with lesions.
    lesions
        Share of lesion in each voxel, ``(X, Y, Z)``.
    """
    table = np.zeros((3, 1 + len(LABELLED_TISSUES)))
    for label, tissue in enumerate(LABELLED_TISSUES, 1):
        table[:, label] = _drawn(tissue, field_strength, generator)
    rates = table.astype(np.float32)[:, anatomy.labels]
    amplitudes = np.array([0.02, 0.04, 0.05]) * generator.uniform(0.3, 2.0)
    common = _texture(anatomy.labels.shape, generator)
    correlation = generator.uniform(0, 0.8)
    for volume, amplitude in zip(rates, amplitudes, strict=True):
        individual = _texture(anatomy.labels.shape, generator)
        volume *= 1 + amplitude * (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * individual)
    healthy = _halved_maps(rates, anatomy)
    lesions = _random_lesions(anatomy, generator)
    for volume, factor in zip(rates, _lesion_factors(generator), strict=True):
        volume *= 1 + (factor - 1) * lesions
    return healthy, _halved_maps(rates, anatomy), halved(lesions)


def _halved_maps(rates: FloatArray, anatomy: Anatomy) -> QuantitativeMaps:
    """Maps of voxels twice as large from PD, R1 and R2 ``(3, 2X, 2Y, 2Z)``; rates are averaged with PD as weight."""
    pd, rate1, rate2 = rates
    weight = halved(pd)
    safe = np.maximum(weight, 1e-6)
    times = [safe / np.maximum(halved(pd * rate), 1e-6) for rate in (rate1, rate2)]
    data = np.stack([weight, *(np.where(weight > 1e-3, time, 0) for time in times)]).astype(np.float32)
    nx, ny, nz = weight.shape
    grid = VoxelGrid((2 * nx, 2 * ny, 2 * nz), anatomy.grid.affine).with_shape((nx, ny, nz))
    return QuantitativeMaps(data=data, grid=grid)


def _drawn(tissue: str, field_strength: float, generator: np.random.Generator) -> tuple[float, float, float]:
    """Random PD, R1 and R2 of one tissue."""
    pd, t1, t2 = TISSUE_RANGES[tissue]
    index = FIELD_STRENGTHS.index(field_strength)
    return (
        generator.uniform(*pd),
        1 / generator.uniform(*t1[index]),
        1 / math.exp(generator.uniform(*np.log(t2[index]))),
    )


def _texture(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """Random field of unit standard deviation with fine and coarse detail."""
    total = np.zeros(shape, np.float32)
    for width in (generator.uniform(0.8, 2), generator.uniform(3, 8)):
        part = gaussian_filter(generator.standard_normal(shape, dtype=np.float32), width)
        total += part / (part.std() + 1e-12)
    return total / math.sqrt(2)


def _random_lesions(anatomy: Anatomy, generator: np.random.Generator) -> FloatArray:
    """Share of lesion ``(2X, 2Y, 2Z)``: up to four ellipsoids with soft edges, centred in brain tissue."""
    share = np.zeros(anatomy.labels.shape, np.float32)
    tissue = np.flatnonzero(np.isin(anatomy.labels, labels_of(("white", "grey", "deep grey"))))
    if not len(tissue):
        return share
    axes = [np.arange(size) for size in anatomy.grid.shape]
    for voxel in generator.choice(tissue, generator.integers(0, 5)):
        centre = np.unravel_index(voxel, share.shape)
        radius = generator.uniform(3, 10)
        stretch = generator.uniform(0.7, 1.4, 3)
        near = [np.flatnonzero(np.abs(axis - c) < 2.5 * radius) for axis, c in zip(axes, centre, strict=True)]
        offsets = np.meshgrid(*[(i - c) * s for i, c, s in zip(near, centre, stretch, strict=True)], indexing="ij")
        distance = np.sqrt(sum(offset**2 for offset in offsets))
        box = np.ix_(*near)
        share[box] = np.maximum(share[box], 1 / (1 + np.exp((distance - radius) * generator.uniform(0.7, 2))))
    share[anatomy.labels == 0] = 0
    return share


def _lesion_factors(generator: np.random.Generator) -> tuple[float, float, float]:
    """Factors of PD, R1 and R2 in lesions: mostly longer T1 and T2, rarely a long T2 with a short T1, or iron."""
    kind = generator.uniform()
    if kind < 0.7:
        return 1 + generator.uniform(0, 0.15), generator.uniform(0.5, 0.9), generator.uniform(0.3, 0.8)
    if kind < 0.85:
        return 1 + generator.uniform(0, 0.1), generator.uniform(1.1, 2.0), generator.uniform(0.4, 0.8)
    return 1.0, generator.uniform(0.9, 1.2), generator.uniform(1.2, 2.5)
