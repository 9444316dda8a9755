"""A network trained on by what one scan tells of itself, for as long as that helps.

The loss is the self-supervised one, which needs no HR maps. Whether it helps is seen one scale up, where the LR maps
themselves are the answer, in a part of the head whose answers the network is not shown.
"""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.optim import AdamW

from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.network.losses import (
    Patch,
    correct_patch,
    distance_to_lr_maps,
    self_supervised_loss,
)
from napari_swig_qmri.super_resolution.network.self_supervision import NetworkInput
from napari_swig_qmri.super_resolution.solver.head_box import HEAD

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.network.model import SwigNet
    from napari_swig_qmri.super_resolution.network.self_supervision import ScanExample

N_STEPS, CHECK_EVERY = 120, 20
PATIENCE = 2  # checks without a gain before it is given up
LEARNING_RATE = 2e-4
LARGEST_GRADIENT = 5.0  # norm
PATCH = 48  # voxels along the edge of what a step sees
SHARE_LEFT_OUT = 0.25  # of the head one scale up, which only checks see


@dataclass(frozen=True, eq=False)
class Adaptation:
    """The best network that was met, and the cross-scale errors over that of the maps it corrects."""

    network: SwigNet
    before: float
    after: float  # never above `before`


def adapt(
    network: SwigNet, measured: ScanExample, *, seed: int = 0, device: torch.device | str = "cpu"
) -> Generator[Progress, None, Adaptation]:
    """Train a copy of a network on one scan; the network that came stays as it is.

    Parameters
    ----------
    measured
        The scan, corrupted once more. Where its head is too small to leave a part of it out, nothing is trained.
    seed
        Of the patches.
    """
    parts = _split(measured.to(torch.device(device)))
    if parts is None:
        return Adaptation(network, 1.0, 1.0)
    kept, check = parts
    trained = deepcopy(network).to(device).train()
    best, before = network, cross_scale_error(trained, check)
    after, waited = before, 0
    optimiser, generator = AdamW(trained.parameters(), lr=LEARNING_RATE), np.random.default_rng(seed)
    for step in range(1, N_STEPS + 1):
        optimiser.zero_grad()
        terms = self_supervised_loss(trained, kept, generator, PATCH)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        torch.nn.utils.clip_grad_norm_(trained.parameters(), LARGEST_GRADIENT, error_if_nonfinite=True)
        optimiser.step()
        yield Progress(step / N_STEPS, f"adapting the network: cross-scale error {after / before:.1%} of that before")
        if step % CHECK_EVERY:
            continue
        error = cross_scale_error(trained, check)
        waited += 1
        if error < after:
            best, after, waited = deepcopy(trained).eval(), error, 0
        if waited == PATIENCE:
            break
    return Adaptation(best, before, after)


def cross_scale_error(network: SwigNet, measured: ScanExample) -> float:
    """Distance of what the network makes of the coarse scene to the LR maps, over that of the scene itself.

    Mean over PD, T1 and T2.
    """
    whole = Patch((slice(None), slice(None), slice(None)))
    with torch.no_grad():
        found = distance_to_lr_maps(measured, correct_patch(network, measured.coarse, whole), whole)
    given = distance_to_lr_maps(measured, measured.coarse.log_maps, whole)
    return float((found / given.clamp(min=1e-12)).mean())


def _split(measured: ScanExample) -> tuple[ScanExample, ScanExample] | None:
    """The scan with the first and with the last planes of the head in its coarse scene, if there are enough."""
    head = (measured.coarse_target[0] > HEAD).sum((1, 2)).cumsum(0)
    first = int((head <= (1 - SHARE_LEFT_OUT) * head[-1]).sum())
    if not 0 < int(head[first - 1]) < int(head[-1]):
        return None
    return _with_planes(measured, slice(0, first)), _with_planes(measured, slice(first, len(head)))


def _with_planes(measured: ScanExample, planes: slice) -> ScanExample:
    def part(volume: Tensor) -> Tensor:
        return volume if volume.ndim == 1 else volume[:, planes]

    coarse = NetworkInput(**{each.name: part(getattr(measured.coarse, each.name)) for each in fields(NetworkInput)})
    return replace(measured, coarse=coarse, coarse_target=part(measured.coarse_target))
