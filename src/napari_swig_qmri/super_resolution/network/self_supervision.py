"""Self-supervision: examples that a single scan gives a network to learn from, without HR maps.

A network that is trained without HR maps must not see the noise of its targets, or it learns to keep that noise. So a
scan y is given as y + alpha z, with known noise z of the level that the scan has, and compared with y - z / alpha:
both have the same anatomy, and their noise is independent (Pang et al. 2021, "Recorrupted-to-Recorrupted"). One scale
up the LR maps themselves are the target, and their truncation the input.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import Progress, between, drained, mapped, staged
from napari_swig_qmri.super_resolution.network.features import NetworkInput, make_network_input
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.preparation.problem import Problem
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.lr_term import lr_variance
from napari_swig_qmri.super_resolution.solver.map_estimate import MapEstimate, estimate_maps
from napari_swig_qmri.super_resolution.solver.one_scale_up import prepare_like
from napari_swig_qmri.super_resolution.solver.prediction import (
    MIN_GUIDE_NOISE,
    MIN_LR_NOISE,
    Noise,
    grid_one_scale_up,
    make_posterior,
    predict,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.physics.signal_models import SignalModel

ALPHA = 0.7  # standard deviation of the added noise, over that of the scan
MORE_NOISE = (1 + 1 / ALPHA**2) ** 0.5  # standard deviation of the noise of targets, over that of the scan
PREPARING = Progress(0.0, "preparing")

NAME_OF_MODEL = {model: name for name, model in SEQUENCES.items()}


def named_tensors(example: Any) -> dict[str, Tensor]:
    """Tensors of an example by the names of its fields; those of a `NetworkInput` as ``field.log_maps`` and so on."""
    tensors: dict[str, Tensor] = {}
    for name, value in vars(example).items():
        if isinstance(value, NetworkInput):
            tensors |= {f"{name}.{part}": tensor for part, tensor in vars(value).items()}
        elif isinstance(value, torch.Tensor):
            tensors[name] = value
    return tensors


def named_input(tensors: Mapping[str, Tensor], prefix: str) -> NetworkInput:
    """The `NetworkInput` of a field, from the tensors ``field.log_maps`` and so on."""
    parts = {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }
    return NetworkInput(**parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class ScanExample:
    """One scan to learn from; every target has noise that is independent of the input."""

    fine: NetworkInput  # on the HR grid, of the scan with more noise
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_weight: Tensor  # (guide, X, Y, Z), float16, 0 where a guide was not measured or contradicts the LR maps
    guide_deviation: Tensor  # (guide,), standard deviation of the guide residuals
    lr_maps: Tensor  # (3, x, y, z)
    lr_deviation: Tensor  # (3, x, y, z), standard deviation of the LR residual
    rows_x: Tensor  # (x, X), matrix of the truncation along the first axis
    rows_y: Tensor  # (y, Y)
    rows_z: Tensor  # (z, Z)
    coarse: NetworkInput  # on the LR grid, of the truncated LR maps
    coarse_target: Tensor  # (3, x, y, z), the LR maps, 0 without a measurement
    noise: Tensor  # (2,), relative, of maps and guides
    sequences: tuple[SignalModel, ...]

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], sequences: tuple[SignalModel, ...]) -> ScanExample:
        """Inverse of `named_tensors`."""
        parts: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if "." not in name}
        parts |= {name: named_input(tensors, name) for name in ("fine", "coarse")}
        return cls(**parts, sequences=sequences)

    def to(self, device: torch.device) -> ScanExample:
        """Return the example on a device."""
        tensors = {name: tensor.to(device) for name, tensor in named_tensors(self).items()}
        return ScanExample.from_tensors(tensors, self.sequences)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        models = [[NAME_OF_MODEL[type(model)], asdict(model)] for model in self.sequences]
        write_tensors(path, named_tensors(self), {"sequences": json.dumps(models)})

    @classmethod
    def load(cls, path: Path) -> ScanExample:
        """Read a file that `save` wrote."""
        tensors, metadata = read_tensors(path)
        models = json.loads(metadata["sequences"])
        return cls.from_tensors(tensors, tuple(SEQUENCES[name](**settings) for name, settings in models))


def make_scan_example(
    problem: Problem, gains: Tensor, noise: Noise, generator: np.random.Generator
) -> Generator[Progress, None, ScanExample]:
    """Solve a problem after noise is added, and once more one scale up.

    Gains ``(guide,)`` are in scanner units per unit of PD of the problem; `noise` is that of the scan.
    """
    noisy, lr_target, guide_targets = yield from _recorrupt_problem(problem, noise, generator)
    gains = gains.float() * noisy.gain_units
    estimate, measured_noise = yield from mapped(solve_maps(noisy, gains), between(0, 0.75))
    fine = yield from mapped(make_stored_input(noisy, estimate, measured_noise), between(0.75, 0.8))
    guide_weight = (problem.guide_valid * (1 - estimate.conflict)).half()
    del estimate  # releases its volumes
    coarse, map_units = yield from mapped(_solve_one_scale_up(problem, noisy, gains), between(0.8, 1))
    relative = noise.lr_maps.clamp(min=MIN_LR_NOISE)
    least = torch.maximum(noise.guides, MIN_GUIDE_NOISE * noisy.guide_levels)
    rows_x, rows_y, rows_z = (matrix.float() for matrix in noisy.truncate.matrices)
    return ScanExample(
        fine=fine,
        guides=guide_targets / gains.view(-1, 1, 1, 1),
        guide_weight=guide_weight,
        guide_deviation=MORE_NOISE * least / gains,
        lr_maps=lr_target / noisy.map_units,
        lr_deviation=lr_variance(noisy, MORE_NOISE * relative).sqrt(),
        rows_x=rows_x,
        rows_y=rows_y,
        rows_z=rows_z,
        coarse=coarse,
        coarse_target=lr_target / noisy.map_units / map_units * problem.lr_valid,
        noise=torch.stack([noise.lr_maps.mean(), (noise.guides / problem.guide_levels).mean()]),
        sequences=problem.sequences,
    )


def _recorrupt_problem(
    problem: Problem, noise: Noise, generator: np.random.Generator
) -> Generator[Progress, None, tuple[Problem, Tensor, Tensor]]:
    """The problem with more noise, and targets with independent noise for its LR maps and its guides."""
    deviation = noise.lr_maps.view(-1, 1, 1, 1) * problem.lr_maps.abs()
    lr_maps, lr_target = recorrupt(problem.lr_maps, deviation, generator)
    lr_maps[:, ~problem.lr_seen] = torch.nan
    guides, guide_targets = recorrupt(problem.guides, noise.guides.view(-1, 1, 1, 1), generator)
    guides[~problem.guide_valid] = torch.nan
    preparing = prepare_like(problem, lr_maps, problem.lr_grid, guides, problem.hr_grid)
    noisy = yield from mapped(preparing, lambda _: PREPARING)
    return noisy, lr_target, guide_targets


def recorrupt(volumes: Tensor, deviation: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return y + alpha z and y - z / alpha for volumes y, in float32; their noise is independent.

    z is new noise with the standard deviation `deviation`, which is that of the noise of the volumes.
    """
    extra = deviation * torch.as_tensor(generator.standard_normal(volumes.shape, dtype=np.float32))
    return (volumes + ALPHA * extra).float(), (volumes - extra / ALPHA).float()


def _solve_one_scale_up(
    problem: Problem, noisy: Problem, gains: Tensor
) -> Generator[Progress, None, tuple[NetworkInput, Tensor]]:
    """Network input on the LR grid, from the truncated LR maps, and the units of its maps."""
    grid = grid_one_scale_up(problem)
    lr_maps = KSpaceTruncation(problem.lr_grid, grid)(noisy.lr_maps)
    preparing = prepare_like(problem, lr_maps, grid, noisy.lr_guides, problem.lr_grid)
    above = yield from mapped(preparing, lambda _: PREPARING)
    estimate, noise = yield from solve_maps(above, gains * above.gain_units)
    return drained(make_stored_input(above, estimate, noise)), above.map_units


def solve_maps(problem: Problem, gains: Tensor) -> Generator[Progress, None, tuple[MapEstimate, Noise]]:
    """Most probable maps of a problem with known gains ``(guide,)``, and its measured noise."""
    started = Progress(0.0, "local regression on the guides")
    prediction = yield from mapped(predict(problem), lambda _: started)
    posterior, device = make_posterior(problem, prediction, gains), torch.device("cpu")
    planes = planes_of_a_slab(problem.hr_grid.shape, device, None)
    estimate = yield from estimate_maps(problem, posterior, prediction.noise, device=device, n_planes=planes)
    return estimate, prediction.noise


def make_stored_input(problem: Problem, estimate: MapEstimate, noise: Noise) -> Generator[Progress, None, NetworkInput]:
    """Input of the network for a solved problem and its noise, with volumes and unit in float16."""
    posterior, log_maps = estimate.posterior, estimate.log_maps
    computing = make_network_input(posterior, problem.truncate, log_maps, estimate.noise, noise.lr_maps)
    inputs = yield from staged(computing, 0.0, 1.0, "preparing for the network")
    return replace(inputs, volumes=inputs.volumes.half(), unit=inputs.unit.half())
