"""Adapting a network to one scan: training it on that scan, for as long as it improves.

The loss is the self-supervised one, which needs no HR maps. Improvement is measured one scale coarser, where the LR
maps are the truth, in planes of the head that are not trained on.
"""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.optim import AdamW

from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.network.features import NetworkInput
from napari_swig_qmri.super_resolution.network.losses import (
    WHOLE,
    Loss,
    correct_patch,
    distance_to_lr_maps,
    self_supervised_loss,
)
from napari_swig_qmri.super_resolution.network.self_supervision import ScanExample
from napari_swig_qmri.super_resolution.solver.head_box import HEAD

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.network.model import SwigNet


@dataclass(frozen=True, kw_only=True)
class AdaptationSettings:
    """Settings of the training on one scan."""

    n_steps: int = 120
    check_every: int = 20  # steps
    patience: int = 2  # checks without a smaller error before the training stops
    learning_rate: float = 2e-4
    largest_gradient: float = 5.0  # norm
    patch: int = 48  # voxels along the edge of the patch of a step
    left_out: float = 0.25  # share of the head one scale up that only checks use


DEFAULT_SETTINGS = AdaptationSettings()


@dataclass(frozen=True, eq=False)
class Adaptation:
    """The best network of all checks, and cross-scale errors relative to that of the uncorrected maps."""

    network: SwigNet
    before: float
    after: float  # never above `before`


def adapt(
    network: SwigNet,
    example: ScanExample,
    *,
    settings: AdaptationSettings = DEFAULT_SETTINGS,
    loss: Loss = self_supervised_loss,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Generator[Progress, None, Adaptation]:
    """Train a copy of a network on one scan.

    Nothing is trained if the head of the scan is too small to leave a part of it out. The `seed` is that of the
    patches.
    """
    parts = _split(example.to(torch.device(device)), settings.left_out)
    if parts is None:
        return Adaptation(network, 1.0, 1.0)
    kept, check = parts
    trained = deepcopy(network).to(device).train()
    best, before, n_worse = network, cross_scale_error(trained, check), 0
    after = before
    optimiser, generator = AdamW(trained.parameters(), lr=settings.learning_rate), np.random.default_rng(seed)
    for step in range(1, settings.n_steps + 1):
        optimiser.zero_grad()
        terms = loss(trained, kept, generator, settings.patch)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        torch.nn.utils.clip_grad_norm_(trained.parameters(), settings.largest_gradient, error_if_nonfinite=True)
        optimiser.step()
        stage = f"adapting the network: cross-scale error {after / before:.1%} of that before"
        yield Progress(step / settings.n_steps, stage)
        if step % settings.check_every:
            continue
        error = cross_scale_error(trained, check)
        if error < after:
            best, after, n_worse = deepcopy(trained).eval(), error, 0
        else:
            n_worse += 1
        if n_worse == settings.patience:
            break
    return Adaptation(best, before, after)


def cross_scale_error(network: SwigNet, example: ScanExample) -> float:
    """Distance of the corrected coarse maps to the LR maps, relative to that of the uncorrected ones.

    Mean over PD, T1 and T2.
    """
    with torch.no_grad():
        corrected = distance_to_lr_maps(example, correct_patch(network, example.coarse, WHOLE), WHOLE)
    uncorrected = distance_to_lr_maps(example, example.coarse.log_maps, WHOLE)
    return float((corrected / uncorrected.clamp(min=1e-12)).mean())


def _split(example: ScanExample, left_out: float) -> tuple[ScanExample, ScanExample] | None:
    """The scan with the first and with the last planes of its coarse maps; None if the head is in a single plane."""
    head = (example.coarse_target[0] > HEAD).sum((1, 2)).cumsum(0)
    first = int((head <= (1 - left_out) * head[-1]).sum())
    if not 0 < int(head[first - 1]) < int(head[-1]):
        return None
    return _with_planes(example, slice(0, first)), _with_planes(example, slice(first, len(head)))


def _with_planes(example: ScanExample, planes: slice) -> ScanExample:
    """The scan with some planes of its coarse maps."""

    def part(volume: Tensor) -> Tensor:
        return volume[:, planes]

    coarse = example.coarse
    some = NetworkInput(
        log_maps=part(coarse.log_maps), volumes=part(coarse.volumes), levels=coarse.levels, unit=part(coarse.unit)
    )
    return replace(example, coarse=some, coarse_target=part(example.coarse_target))
