"""Small super-resolution problems for the tests: a slab of the phantom, and boxes of textured tissue."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.simulation.phantom import Phantom, make_phantom
from napari_swig_qmri.super_resolution.observations.lr_signals import generic_signals, lr_signals
from napari_swig_qmri.super_resolution.preparation.problem import Problem, prepare
from napari_swig_qmri.super_resolution.solver.observation import Observation
from napari_swig_qmri.super_resolution.solver.posterior import NegativeLogPosterior

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray, WeightedImage

GAINS = (812.0, 95.0, 300.0)  # scanner units
FLUID_SHAPE = (40, 24, 16)
GENERIC = lr_signals("unknown")
WHITE, GREY = (0.70, 0.88, 0.068), (0.82, 1.42, 0.092)


@cache
def slab() -> Phantom:
    """A slab of the head through the ventricles, 3 mm voxels, (48, 56, 24)."""
    return make_phantom(3.0, extent=((-72, 72), (-84, 84), (-30, 42)))


def degraded(
    truth: QuantitativeMaps, n_guides: int = 2, factor: float = 2.0, **options: float
) -> tuple[QuantitativeMaps, list[WeightedImage]]:
    """LR maps and the first of T1w, T2w and FLAIR, in scanner units."""
    sequences = dict(list(USUAL_GUIDES.items())[:n_guides])
    return degrade(truth, factor, sequences, gains=GAINS[:n_guides], **options)


def textured(shape: tuple[int, int, int], seed: int = 0) -> FloatArray:
    """Maps ``(3, x, y, z)`` of white and grey matter with a wavy border and texture of a few percent."""
    x, y, z = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    grey = 1 / (1 + np.exp(-(x - shape[0] / 2 + 1.5 * np.sin(0.9 * y) + np.cos(0.7 * z)) / 0.5))
    means = (1 - grey) * np.array(WHITE)[:, None, None, None] + grey * np.array(GREY)[:, None, None, None]
    noise = np.random.default_rng(seed).standard_normal((3, *shape))
    maps: FloatArray = means * np.exp(np.array([0.02, 0.04, 0.05])[:, None, None, None] * noise)
    return maps


def objective(
    shape: tuple[int, int, int], factor: int = 2, n_guides: int = 3
) -> tuple[NegativeLogPosterior, VoxelGrid, VoxelGrid]:
    """The posterior of a textured box in float64, exact LR maps and guides, and its HR and LR grids."""
    hr = VoxelGrid(shape, np.eye(4))
    nx, ny, nz = (n // factor for n in shape)
    lr = hr.with_shape((nx, ny, nz))
    truth = torch.as_tensor(textured(shape))
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    sequences = tuple(USUAL_GUIDES.values())[:n_guides]
    guides = torch.stack([sequence(*truth) for sequence in sequences]) if sequences else truth[:0]
    lr_maps = truncate(truth)
    precision = (0.01 * guides.mean((1, 2, 3))).square().reciprocal()
    return (
        NegativeLogPosterior(
            sequences=sequences,
            guides=guides,
            guide_precision=precision.view(-1, 1, 1, 1),
            lr=Observation(values=lr_maps, variance=(0.01 * lr_maps).square(), operator=truncate),
            prior_mean=truncate.zero_filled(lr_maps).log(),
            prior_precision=torch.diag(torch.tensor([0.03, 0.05, 0.06], dtype=torch.float64).square().reciprocal()),
        ),
        hr,
        lr,
    )


def with_lr_maps(posterior: NegativeLogPosterior, lr_maps: Tensor) -> NegativeLogPosterior:
    """Posterior with other LR maps ``(3, x, y, z)``."""
    return replace(posterior, lr=replace(posterior.lr, values=lr_maps))


@cache
def tissue_and_fluid() -> Tensor:
    """Tissue with a block of CSF, whose border is where averages of maps and of signals differ."""
    fluid = np.zeros(FLUID_SHAPE)
    fluid[8:21, 5:16, 3:10] = 1
    fluid = gaussian_filter(fluid, 0.8)
    maps = (1 - fluid) * textured(FLUID_SHAPE) + fluid * np.array([1.0, 4.0, 1.0])[:, None, None, None]
    return torch.as_tensor(maps, dtype=torch.float32)


@cache
def averaged() -> Problem:
    """LR maps that are truncated maps of the truth, without noise."""
    maps = QuantitativeMaps(data=tissue_and_fluid().numpy(), grid=VoxelGrid(FLUID_SHAPE, np.eye(4)))
    lr_maps, guides = degraded(maps)
    return drained(prepare(lr_maps, guides, maps.grid))


@cache
def fitted() -> Problem:
    """LR maps that are fitted to the truncated signals of the truth, without error."""
    case = averaged()
    pd, *weighted = case.truncate(generic_signals(*tissue_and_fluid()))
    times = [1.5 / (pd / weighted[0]).log(), 0.08 / (pd / weighted[1]).log()]
    return replace(case, lr_maps=torch.stack([pd, *times]) / case.map_units, lr_signals=GENERIC)
