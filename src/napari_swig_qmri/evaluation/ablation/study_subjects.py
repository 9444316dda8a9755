"""Simulated subjects of the study: a few axial planes of each, acquired with one protocol, and their true maps.

LR maps are truncated within axial planes only, so that the objective of a plane does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.simulation.tissue_maps import random_maps

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.simulation.label_maps import Anatomy

STUDY_PROTOCOL: Mapping[str, SignalModel] = USUAL_GUIDES  # guides of every subject
FIELD_STRENGTH = 3.0  # T
LR_FACTORS = (2, 2, 1)  # LR voxel edges in HR voxels
AIR_MARGIN = 4  # HR voxels of air around the head
CENTRE_RANGE = (0.4, 0.65)  # of the height of the brain; the middle of the planes is drawn from it


@dataclass(frozen=True, eq=False, kw_only=True)
class StudySubject:
    """A simulated subject, whose axes point to the right, to the front and upwards."""

    name: str
    truth: QuantitativeMaps
    lr_maps: QuantitativeMaps
    guides: tuple[WeightedImage, ...]  # in the order of `STUDY_PROTOCOL`, gains of 1
    mask: npt.NDArray[np.bool_]  # (X, Y, Z), brain and its CSF


def study_subject(
    anatomy: Anatomy, name: str, n_planes: int, map_noise: float, guide_noise: float, seed: int
) -> StudySubject:
    """Subject with random relaxation, texture and lesions.

    The axes of `anatomy` point to the right, to the front and upwards. Noise is relative as in `degrade`, `map_noise`
    to the value and `guide_noise` to the median over tissue. ValueError if the label map holds no brain.
    """
    generator = np.random.default_rng(seed)
    part = middle_of(anatomy, n_planes, generator)
    _, truth, _ = random_maps(part, FIELD_STRENGTH, generator)
    lr_maps, guides = degrade(
        truth, LR_FACTORS, STUDY_PROTOCOL, map_noise=map_noise, guide_noise=guide_noise, generator=generator
    )
    return StudySubject(name=name, truth=truth, lr_maps=lr_maps, guides=tuple(guides), mask=part.brain_mask)


def middle_of(anatomy: Anatomy, n_planes: int, generator: np.random.Generator) -> Anatomy:
    """Part of an anatomy: `n_planes` HR planes near the middle of the brain, cropped to the head with some air.

    The number of HR voxels along x and y is even. ValueError if the label map holds no brain.
    """
    heights = np.flatnonzero(anatomy.is_brain.any(axis=(0, 1)))
    if not heights.size:
        raise ValueError("the label map holds no brain: choose the scheme of its numbers.")
    low, high = heights[0] / 2, (heights[-1] + 1) / 2
    centre = low + generator.uniform(*CENTRE_RANGE) * (high - low)
    n_planes = min(n_planes, anatomy.labels.shape[2] // 2)
    first = int(np.clip(round(centre - n_planes / 2), 0, anatomy.labels.shape[2] // 2 - n_planes))
    head = anatomy.labels[:, :, 2 * first : 2 * (first + n_planes)] > 0
    x, y = (_span(np.asarray(head.any(axis=(other, 2)))) for other in (1, 0))
    return anatomy.crop((x[0], y[0], first), (x[1], y[1], n_planes))


def _span(inside: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """First HR voxel and even number of HR voxels along an axis that cover `inside` with the margin."""
    labelled = np.flatnonzero(inside)
    first = max(0, int(labelled[0]) // 2 - AIR_MARGIN)
    last = min(len(inside) // 2, int(labelled[-1]) // 2 + 1 + AIR_MARGIN)
    return first, (last - first) // 2 * 2
