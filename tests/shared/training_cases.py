"""A small head, examples made of it, and small networks, for the tests of training."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.simulation.label_maps import BRAINWEB_LABELS, Anatomy, anatomy_of
from napari_swig_qmri.simulation.subjects import random_subject
from napari_swig_qmri.super_resolution.network.examples import label_subject, scan_subject
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet

if TYPE_CHECKING:
    from napari_swig_qmri.simulation.subjects import Subject
    from napari_swig_qmri.super_resolution.network.examples import LabelledExample
    from napari_swig_qmri.super_resolution.network.self_supervision import ScanExample

EDGE = 24  # HR voxels
TINY = NetworkConfig(width=4, n_blocks=1)


def labels() -> np.ndarray:
    """White matter with folds of grey matter and a ventricle, in air."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 2 * EDGE)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    found = np.where(radius < 1.2, 3, 0)
    found[(radius < 1.2) & (np.sin(9 * x) + np.sin(9 * y) > 0.8)] = 2
    found[radius < 0.3] = 1
    return found.astype(np.uint8)


def folded_labels() -> Anatomy:
    return anatomy_of(labels(), VoxelGrid((2 * EDGE,) * 3, np.diag([0.5, 0.5, 0.5, 1.0])), BRAINWEB_LABELS)


@cache
def subject() -> Subject:
    return random_subject(folded_labels(), 2, 2)


@cache
def labelled() -> LabelledExample:
    return label_subject(subject())


@cache
def scan() -> ScanExample:
    return scan_subject(subject(), 0)


def trained_network(seed: int = 0) -> SwigNet:
    """A tiny network that changes something."""
    torch.manual_seed(seed)
    network = SwigNet(TINY)
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network
