"""What one scan gives a network to learn from."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.progress import Progress, between, drained, mapped, staged
from napari_swig_qmri.super_resolution.network.features import compute_features
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.solver.devices import planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.map_estimate import estimate_maps
from napari_swig_qmri.super_resolution.solver.prediction import (
    MIN_GUIDE_NOISE,
    MIN_LR_NOISE,
    Noise,
    grid_one_scale_up,
    lr_variance,
    make_posterior,
    predict,
)
from napari_swig_qmri.super_resolution.solver.problem import prepare

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import VoxelGrid
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.super_resolution.solver.map_estimate import MapEstimate
    from napari_swig_qmri.super_resolution.solver.problem import Problem

ALPHA = 0.7  # noise that is added over noise that is there
MORE_NOISE = (1 + 1 / ALPHA**2) ** 0.5  # of what the result is compared with, over the noise that is there

NAME_OF_MODEL = {model: name for name, model in SEQUENCES.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkInput:
    """A solved problem as the network sees it; PD relative to water."""

    log_maps: Tensor  # (3, X, Y, Z)
    volumes: Tensor  # (N_FEATURES, X, Y, Z), float16
    levels: Tensor  # (N_LEVELS,)
    unit: Tensor  # (3, X, Y, Z), float16


class StoredTensors:
    """Parts that can be moved to a device and kept in a file."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return replace(self, **{each.name: _moved(getattr(self, each.name), device) for each in fields(self)})  # type: ignore[arg-type, type-var]

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        models = [[NAME_OF_MODEL[type(each)], asdict(each)] for each in getattr(self, "sequences", ())]
        write_tensors(path, _flat(self), {"sequences": json.dumps(models)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        tensors, about = read_tensors(path)
        parts: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if "." not in name}
        for name in {name.split(".")[0] for name in tensors if "." in name}:
            parts[name] = NetworkInput(**{each.name: tensors[f"{name}.{each.name}"] for each in fields(NetworkInput)})
        if models := json.loads(about["sequences"]):
            parts["sequences"] = tuple(SEQUENCES[name](**settings) for name, settings in models)
        return cls(**parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class ScanExample(StoredTensors):
    """What one scan gives to learn from; every target has noise of its own, which the scene beside it does not know."""

    again: NetworkInput  # the subject, corrupted once more
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_weight: Tensor  # (guide, X, Y, Z), float16, 0 where a guide saw nothing or contradicts the LR maps
    guide_deviation: Tensor  # (guide,), of what is left when they are compared
    lr_maps: Tensor  # (3, x, y, z)
    lr_deviation: Tensor  # (3, x, y, z)
    rows_x: Tensor  # (x, X), and so on: the truncation, one matrix along each axis
    rows_y: Tensor
    rows_z: Tensor
    coarse: NetworkInput  # on the LR grid
    coarse_target: Tensor  # (3, x, y, z), the LR maps, 0 where there is no measurement
    noise: Tensor  # (2,), relative, of maps and guides
    sequences: tuple[SignalModel, ...]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, NetworkInput):
        return NetworkInput(**{each.name: getattr(value, each.name).to(device) for each in fields(NetworkInput)})
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _flat(example: Any) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for each in fields(example):
        value = getattr(example, each.name)
        if isinstance(value, NetworkInput):
            tensors |= {
                f"{each.name}.{part.name}": getattr(value, part.name).contiguous() for part in fields(NetworkInput)
            }
        elif isinstance(value, torch.Tensor):
            tensors[each.name] = value.contiguous()
    return tensors


def make_scan_example(
    problem: Problem, gains: Tensor, noise: Noise, generator: np.random.Generator
) -> Generator[Progress, None, ScanExample]:
    """Solve a problem corrupted once more, and that one scale up.

    Parameters
    ----------
    gains
        ``(guide,)``, scanner units per unit of PD of the problem.
    noise
        What is there.
    """
    gains, deviation = gains.float(), noise.lr_maps.view(-1, 1, 1, 1) * problem.lr_maps.abs()
    corrupted, lr_target = recorrupt(problem.lr_maps, deviation, generator)
    corrupted[:, ~problem.lr_seen] = torch.nan
    images, targets = recorrupt(problem.guides, noise.guides.view(-1, 1, 1, 1), generator)
    images[~problem.guide_valid] = torch.nan
    again = yield from _prepared(problem, corrupted, problem.lr_grid, images, problem.hr_grid)
    own = gains * again.gain_units
    optimum, found = yield from mapped(solve_maps(again, own), between(0, 0.75))
    scene = yield from mapped(make_network_input(again, optimum, found), between(0.75, 0.8))
    guide_weight = (problem.guide_valid * (1 - optimum.conflict)).half()
    del optimum
    upper = grid_one_scale_up(problem)
    above = yield from _prepared(
        problem, KSpaceTruncation(problem.lr_grid, upper)(again.lr_maps), upper, again.lr_guides, problem.lr_grid
    )
    upper_optimum, upper_noise = yield from mapped(solve_maps(above, own * above.gain_units), between(0.8, 1))
    relative = noise.lr_maps.clamp(min=MIN_LR_NOISE)
    least = torch.maximum(noise.guides, MIN_GUIDE_NOISE * again.guide_levels)
    return ScanExample(
        again=scene,
        guides=targets / own.view(-1, 1, 1, 1),
        guide_weight=guide_weight,
        guide_deviation=MORE_NOISE * least / own,
        lr_maps=lr_target / again.map_units,
        lr_deviation=lr_variance(again, replace(found, lr_maps=MORE_NOISE * relative)).sqrt(),
        rows_x=again.truncate.matrices[0].float(),
        rows_y=again.truncate.matrices[1].float(),
        rows_z=again.truncate.matrices[2].float(),
        coarse=drained(make_network_input(above, upper_optimum, upper_noise)),
        coarse_target=lr_target / again.map_units / above.map_units * problem.lr_valid,
        noise=torch.stack([noise.lr_maps.mean(), (noise.guides / problem.guide_levels).mean()]),
        sequences=problem.sequences,
    )


def _prepared(
    problem: Problem, lr_maps: Tensor, lr_grid: VoxelGrid, guides: Tensor, hr_grid: VoxelGrid
) -> Generator[Progress, None, Problem]:
    """A problem of the same sequences with other volumes."""
    maps = QuantitativeMaps(data=lr_maps.numpy(), grid=lr_grid)
    images = [
        WeightedImage(data=guide.numpy(), grid=hr_grid, name=f"guide {number}", sequence=sequence)
        for number, (guide, sequence) in enumerate(zip(guides, problem.sequences, strict=True), start=1)
    ]
    return (yield from mapped(prepare(maps, images, hr_grid), lambda _: Progress(0.0, "preparing")))


def solve_maps(problem: Problem, gains: Tensor) -> Generator[Progress, None, tuple[MapEstimate, Noise]]:
    """Most probable maps of a problem with known gains ``(guide,)``, and the noise they were found with."""
    started = Progress(0.0, "local regression on the guides")
    prediction = yield from mapped(predict(problem), lambda _: started)
    posterior, device = make_posterior(problem, prediction, gains), torch.device("cpu")
    planes = planes_of_a_slab(problem.hr_grid.shape, device, None)
    optimum = yield from estimate_maps(problem, posterior, prediction.noise, device=device, n_planes=planes)
    return optimum, prediction.noise


def make_network_input(problem: Problem, optimum: MapEstimate, noise: Noise) -> Generator[Progress, None, NetworkInput]:
    """Input of the network for a solved problem."""
    looking = compute_features(optimum.posterior, problem.truncate, optimum.log_maps, optimum.noise, noise.lr_maps)
    features = yield from staged(looking, 0.0, 1.0, "preparing for the network")
    return NetworkInput(
        log_maps=optimum.log_maps,
        volumes=features.volumes.half(),
        levels=features.levels,
        unit=features.unit.half(),
    )


def recorrupt(volumes: Tensor, deviation: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Volumes with more noise, and with less of the same noise than none, which is independent of it; float32.

    `deviation` is that of the noise which is there, and the new noise has it too.
    """
    extra = deviation * torch.as_tensor(generator.standard_normal(volumes.shape, dtype=np.float32))
    return (volumes + ALPHA * extra).float(), (volumes - extra / ALPHA).float()


def solve_network_input(problem: Problem, gains: Tensor) -> NetworkInput:
    """Input of the network for a problem with known gains ``(guide,)``."""
    return drained(make_network_input(problem, *drained(solve_maps(problem, gains))))
