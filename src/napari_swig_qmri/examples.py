"""What networks are trained on: solved problems of simulated subjects, with something to compare the result with.

A network that is to learn without HR maps must not see the noise that it is compared with, or it learns to keep it.
So a subject y is given as y + alpha z, with known noise z of the level that is there, and compared with y - z / alpha:
both have the same anatomy, and their noise is independent (Pang et al. 2021, "Recorrupted-to-Recorrupted"). One scale
up the LR maps themselves are the target, and their truncation the input.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.engine import HEAD, find_optimum
from napari_swig_qmri.features import features_of
from napari_swig_qmri.network import read_tensors, write_tensors
from napari_swig_qmri.operators import KSpaceTruncation
from napari_swig_qmri.prediction import (
    MIN_GUIDE_NOISE,
    MIN_LR_NOISE,
    lr_variance,
    posterior_of,
    predict,
    scale_above,
)
from napari_swig_qmri.preparation import prepare
from napari_swig_qmri.signal_models import SEQUENCES
from napari_swig_qmri.steps import drained
from napari_swig_qmri.volumes import QuantitativeMaps, WeightedImage

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.prediction import Noise
    from napari_swig_qmri.preparation import Problem
    from napari_swig_qmri.signal_models import SignalModel
    from napari_swig_qmri.subjects import Subject
    from napari_swig_qmri.volumes import VoxelGrid

ALPHA = 0.7  # noise that is added over noise that is there
MORE_NOISE = (1 + 1 / ALPHA**2) ** 0.5  # of what the result is compared with, over the noise that is there
N_PLANES = 32
NAME_OF_MODEL = {model: name for name, model in SEQUENCES.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """A solved problem as the network sees it; PD relative to water."""

    log_maps: Tensor  # (3, X, Y, Z)
    volumes: Tensor  # (N_FEATURES, X, Y, Z), float16
    levels: Tensor  # (N_LEVELS,)
    unit: Tensor  # (3, X, Y, Z), float16


@dataclass(frozen=True, eq=False, kw_only=True)
class Example:
    """One subject; every target has noise of its own, which the scene beside it does not know."""

    scene: Scene
    truth: Tensor  # (3, X, Y, Z)
    brain: Tensor  # (X, Y, Z) bool
    again: Scene  # the same subject, corrupted once more
    guides: Tensor  # (guide, X, Y, Z), in units of PD
    guide_deviation: Tensor  # (guide,), of what is left when they are compared
    lr_maps: Tensor  # (3, x, y, z)
    lr_deviation: Tensor  # (3, x, y, z)
    coarse: Scene  # on the LR grid
    coarse_target: Tensor  # (3, x, y, z), the LR maps
    noise: Tensor  # (2,), relative, of maps and guides
    sequences: tuple[SignalModel, ...]

    def to(self, device: torch.device) -> Example:
        """The same on a device."""
        moved: dict[str, Any] = {each.name: _moved(getattr(self, each.name), device) for each in fields(self)}
        return Example(**moved)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        models = [[NAME_OF_MODEL[type(each)], asdict(each)] for each in self.sequences]
        write_tensors(path, _flat(self), {"sequences": json.dumps(models)})

    @classmethod
    def load(cls, path: Path) -> Example:
        """Read what `save` wrote."""
        tensors, about = read_tensors(path)
        parts: dict[str, Any] = {
            name: Scene(**{each.name: tensors.pop(f"{name}.{each.name}") for each in fields(Scene)})
            for name in ("scene", "again", "coarse")
        }
        sequences = tuple(SEQUENCES[name](**settings) for name, settings in json.loads(about["sequences"]))
        return cls(**parts, **tensors, sequences=sequences)  # type: ignore[arg-type]


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Scene):
        return Scene(**{each.name: getattr(value, each.name).to(device) for each in fields(Scene)})
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _flat(example: Example) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for each in fields(example):
        value = getattr(example, each.name)
        if isinstance(value, Scene):
            tensors |= {f"{each.name}.{part.name}": getattr(value, part.name).contiguous() for part in fields(Scene)}
        elif isinstance(value, torch.Tensor):
            tensors[each.name] = value.contiguous()
    return tensors


def make_example(subject: Subject, seed: int) -> Example:
    """Solve a subject as it is, corrupted once more, and that one scale up.

    Raises
    ------
    ValueError
        If there is too little tissue, or a guide that shows none of it.
    """
    generator = np.random.default_rng((seed, 1))
    grid = subject.truth.grid
    problem, noise, scene = _solved(subject.lr_maps, subject.guides, grid, subject.gains)
    truth = torch.as_tensor(subject.truth.data) / _units(problem)
    corrupted, lr_target = _maps_twice(subject, generator)
    images, targets, deviations = _guides_twice(subject, generator)
    problem, noise, again = _solved(corrupted, images, grid, subject.gains)
    gains = torch.tensor(subject.gains) * problem.gain_units
    least = torch.maximum(torch.tensor(deviations), MIN_GUIDE_NOISE * problem.guide_levels)
    relative = torch.full((3,), max(subject.map_noise, MIN_LR_NOISE))
    known = replace(noise, lr_maps=MORE_NOISE * relative)
    lr_grid = problem.lr_grid
    upper = scale_above(problem)
    above = QuantitativeMaps(data=KSpaceTruncation(lr_grid, upper)(torch.as_tensor(corrupted.data)).numpy(), grid=upper)
    lr_images = [replace(i, data=d.numpy(), grid=lr_grid) for i, d in zip(images, problem.lr_guides, strict=True)]
    coarse_problem, _, coarse = _solved(above, lr_images, lr_grid, subject.gains)
    return Example(
        scene=scene,
        truth=truth,
        brain=torch.as_tensor(subject.mask),
        again=again,
        guides=torch.as_tensor(np.stack(targets)) / gains.view(-1, 1, 1, 1),
        guide_deviation=MORE_NOISE * least / gains,
        lr_maps=lr_target / _units(problem),
        lr_deviation=lr_variance(problem, known).sqrt(),
        coarse=coarse,
        coarse_target=lr_target / _units(coarse_problem),
        noise=torch.tensor([subject.map_noise, subject.guide_noise]),
        sequences=problem.sequences,
    )


def _solved(
    maps: QuantitativeMaps, guides: Sequence[WeightedImage], grid: VoxelGrid, gains: Sequence[float]
) -> tuple[Problem, Noise, Scene]:
    problem = drained(prepare(maps, guides, grid))
    prediction = drained(predict(problem))
    posterior = posterior_of(problem, prediction, torch.tensor(gains) * problem.gain_units)
    solving = find_optimum(problem, posterior, prediction.noise, device=torch.device("cpu"), n_planes=N_PLANES)
    optimum = drained(solving)
    features = features_of(
        optimum.posterior, problem.truncate, optimum.log_maps, optimum.noise, prediction.noise.lr_maps
    )
    scene = Scene(
        log_maps=optimum.log_maps,
        volumes=features.volumes.half(),
        levels=features.levels,
        unit=features.unit.half(),
    )
    return problem, prediction.noise, scene


def _units(problem: Problem) -> Tensor:
    """What PD, T1 and T2 are divided by to be those of a problem."""
    return torch.tensor([problem.pd_unit, 1.0, 1.0]).view(-1, 1, 1, 1)


def _maps_twice(subject: Subject, generator: np.random.Generator) -> tuple[QuantitativeMaps, Tensor]:
    """LR maps with more noise, and with less of the same noise than none: independent of it."""
    maps = subject.lr_maps.data
    extra = subject.map_noise * np.abs(maps) * generator.standard_normal(maps.shape, dtype=np.float32)
    return replace(subject.lr_maps, data=_float32(maps + ALPHA * extra)), torch.as_tensor(
        _float32(maps - extra / ALPHA)
    )


def _guides_twice(
    subject: Subject, generator: np.random.Generator
) -> tuple[list[WeightedImage], list[np.ndarray[Any, Any]], list[float]]:
    """The same for guides; and the noise that was there, in scanner units."""
    images, targets, deviations = [], [], []
    head = subject.truth.data[0] > HEAD
    for guide in subject.guides:
        deviation = subject.guide_noise * float(np.median(np.abs(guide.data[head])))
        extra = deviation * generator.standard_normal(guide.data.shape, dtype=np.float32)
        images.append(replace(guide, data=_float32(guide.data + ALPHA * extra)))
        targets.append(_float32(guide.data - extra / ALPHA))
        deviations.append(deviation)
    return images, targets, deviations


def _float32(data: Any) -> Any:
    return np.asarray(data, np.float32)
