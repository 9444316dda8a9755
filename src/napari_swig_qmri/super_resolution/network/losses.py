"""Losses of a network on a patch of an example: distance to true maps, or misfit to guides and LR maps.

The self-supervised loss has the guide term and the LR term of `posterior`. In place of the prior it has a cross-scale
term: the distance of LR maps to their prediction from themselves truncated once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import huber_loss, smooth_l1_loss

from napari_swig_qmri.data.truncation import SeparableOperator, Slices
from napari_swig_qmri.super_resolution.network.features import NetworkInput
from napari_swig_qmri.super_resolution.network.self_supervision import MORE_NOISE, ScanExample
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.prediction import MIN_LR_NOISE

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from napari_swig_qmri.super_resolution.network.examples import LabelledExample

RANGE = ((0.05, 1.2), (0.1, 4.0), (0.01, 0.3))  # PD, T1 and T2 that are compared; others are clamped to it
OUTLIER = 5.0  # standard deviations from which errors count linearly
SMALL = 1e-3  # relative error below which errors count quadratically, and are as good as none
SMALL_PATCH = 40**3  # voxels
LOG_BOUNDS = (-7.0, 3.0)  # of log maps in training, wider than those of the quantities
LEAST_BRAIN = 0.25  # of a patch


Forward = Callable[["Tensor", "Tensor"], "Tensor"]  # a network: volumes and levels to corrections


@dataclass(frozen=True)
class Patch:
    """A box of voxels, and its axes that are flipped for the network."""

    box: Slices
    flips: tuple[int, ...] = ()  # of 1, 2 and 3

    @property
    def of_volumes(self) -> tuple[slice, ...]:
        """Index of the box in ``(n, X, Y, Z)``."""
        return (slice(None), *self.box)


WHOLE = Patch((slice(None), slice(None), slice(None)))


def random_patch(inside: Tensor, edge: int, generator: np.random.Generator) -> Patch:
    """A random box of at most `edge` voxels per axis; of 20 draws the first with 25 % `inside` ``(X, Y, Z)``."""
    for _ in range(20):
        starts = [2 * int(generator.integers(0, max(0, n - edge) // 2 + 1)) for n in inside.shape]
        x, y, z = (slice(start, min(start + edge, n)) for start, n in zip(starts, inside.shape, strict=True))
        if inside[x, y, z].float().mean() > LEAST_BRAIN:
            break
    return Patch((x, y, z), tuple(int(axis) for axis in (1, 2, 3) if generator.uniform() < 0.5))


def correct_patch(network: Forward, inputs: NetworkInput, patch: Patch) -> Tensor:
    """Corrected log maps ``(3, ...)`` in a patch."""
    volumes = inputs.volumes[patch.of_volumes].to(inputs.levels.dtype).flip(patch.flips)
    n = 2 if volumes[0].numel() < SMALL_PATCH else 1  # torch computes a single small volume with a slow convolution
    output = network(volumes.expand(n, *volumes.shape), inputs.levels.expand(n, -1))[0]
    change = inputs.unit[patch.of_volumes].to(output.dtype) * output.flip(patch.flips)
    return torch.clamp(inputs.log_maps[patch.of_volumes] + change, *LOG_BOUNDS)


def supervised_loss(
    network: Forward, example: LabelledExample, generator: np.random.Generator, edge: int
) -> dict[str, Tensor]:
    """Distance to the true maps over the brain, relative to that of the uncorrected maps."""
    patch = random_patch(example.brain, edge, generator)
    before = distance_to_truth(example, example.network_input.log_maps[patch.of_volumes], patch)
    after = distance_to_truth(example, correct_patch(network, example.network_input, patch), patch)
    return {"truth": (after / before.clamp(min=SMALL)).mean()}


def distance_to_truth(example: LabelledExample, log_maps: Tensor, patch: Patch) -> Tensor:
    """Mean absolute error ``(3,)`` over the brain of log maps ``(3, ...)`` clamped to `RANGE`."""
    truth = example.truth[patch.of_volumes].clamp(min=1e-6).log()
    error = (clamp_to_range(log_maps) - clamp_to_range(truth))[:, example.brain[patch.box]]
    return _mean_error(error, SMALL)


def self_supervised_loss(
    network: Forward, example: ScanExample, generator: np.random.Generator, edge: int
) -> dict[str, Tensor]:
    """Guide term and LR term relative to their sum for the uncorrected maps, and the relative cross-scale term."""
    inside = example.fine.log_maps[0] > math.log(HEAD)
    patch = random_patch(inside, edge, generator)
    before = misfit_terms(example, example.fine.log_maps[patch.of_volumes], inside, patch).sum()
    after = misfit_terms(example, correct_patch(network, example.fine, patch), inside, patch)
    guides, lr_maps = after / before.clamp(min=SMALL)
    patch = random_patch(example.coarse_target[0] > HEAD, edge, generator)
    before = distance_to_lr_maps(example, example.coarse.log_maps[patch.of_volumes], patch)
    after = distance_to_lr_maps(example, correct_patch(network, example.coarse, patch), patch)
    return {"guides": guides, "LR maps": lr_maps, "cross-scale": (after / before.clamp(min=SMALL)).mean()}


def misfit_terms(example: ScanExample, log_maps: Tensor, inside: Tensor, patch: Patch) -> Tensor:
    """Guide term and LR term ``(2,)`` of log maps ``(3, ...)`` in a patch, per HR voxel of the head.

    `inside` ``(X, Y, Z)`` is the head.
    """
    maps = log_maps.exp()
    guides = torch.stack([sequence(*maps) for sequence in example.sequences])
    misfit = (guides - example.guides[patch.of_volumes]) / example.guide_deviation.view(-1, 1, 1, 1)
    misfit = misfit * example.guide_weight[patch.of_volumes]
    hr_per_lr = inside.numel() / example.lr_maps[0].numel()
    residual = patch_lr_residual(example, maps, patch)
    return torch.stack([_robust_sum(misfit[:, inside[patch.box]]), _robust_sum(residual) / hr_per_lr])


def distance_to_lr_maps(example: ScanExample, log_maps: Tensor, patch: Patch) -> Tensor:
    """Mean absolute difference ``(3,)`` of log maps ``(3, ...)`` to the LR maps, on their grid and in `RANGE`.

    Differences are relative to the uncorrected maps. Differences of logarithms would be biased by noise.
    """
    target = example.coarse_target[patch.of_volumes]
    wanted = clamp_to_range(target.clamp(min=1e-6).log()).exp()
    uncorrected = clamp_to_range(example.coarse.log_maps[patch.of_volumes]).exp()
    error = (clamp_to_range(log_maps).exp() - wanted) / uncorrected
    return _mean_error(error[:, target[0] > HEAD], _target_noise(example))


def _target_noise(example: ScanExample) -> float:
    """Relative noise of LR targets. Smaller errors count quadratically, so that noise alone has no gradient."""
    level: float = MORE_NOISE * max(float(example.noise[0]), MIN_LR_NOISE)
    return level


def patch_lr_residual(example: ScanExample, maps: Tensor, patch: Patch) -> Tensor:
    """LR residual in standard deviations, ``(3, n)`` over the LR voxels of the head that lie in a patch.

    The maps are ``(3, ...)`` in the patch and the uncorrected ones outside.
    """
    truncate = SeparableOperator((example.rows_x, example.rows_y, example.rows_z))
    uncorrected = example.fine.log_maps.exp()
    x, y, z = (_rows_within(matrix, side) for matrix, side in zip(truncate.matrices, patch.box, strict=True))
    rows = (slice(None), x, y, z)
    change = truncate.restricted(patch.box, (x, y, z), maps.device)(maps - uncorrected[patch.of_volumes])
    residual = (example.lr_maps - truncate(uncorrected))[rows] - change
    return (residual / example.lr_deviation[rows])[:, example.lr_maps[0, x, y, z] > HEAD]


def _rows_within(matrix: Tensor, side: slice) -> slice:
    """Rows of a truncation matrix ``(x, X)`` whose centre lies in a side of a patch."""
    centres = matrix.abs().argmax(1)
    inside = torch.nonzero((centres >= side.start) & (centres < side.stop))[:, 0]
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def clamp_to_range(log_maps: Tensor) -> Tensor:
    """Log maps ``(3, ...)`` clamped to `RANGE`."""
    low, high = torch.tensor(RANGE, dtype=log_maps.dtype, device=log_maps.device).log().T.reshape(2, 3, 1, 1, 1)
    return log_maps.clamp(low, high)


def _mean_error(errors: Tensor, beta: float) -> Tensor:
    """Mean absolute error per image ``(image, n)``, quadratic below `beta`; 0 without voxels."""
    total = smooth_l1_loss(errors, torch.zeros_like(errors), beta=beta, reduction="none").sum(1)
    return total / max(1, errors.shape[1])


def _robust_sum(errors: Tensor) -> Tensor:
    """Sum over images of the mean over voxels ``(image, n)`` of half the square, linear beyond `OUTLIER`."""
    if not errors.numel():
        return errors.sum()
    return huber_loss(errors, torch.zeros_like(errors), delta=OUTLIER) * len(errors)


Loss = Callable[["Forward", Any, "np.random.Generator", int], dict[str, "Tensor"]]
TERMS = ("truth", "guides", "LR maps", "cross-scale")
LOSSES: dict[str, Loss] = {
    "supervised": supervised_loss,
    "bootstrapped": supervised_loss,  # on subjects whose truth is the posterior's maps of a first scan
    "self-supervised": self_supervised_loss,
}
