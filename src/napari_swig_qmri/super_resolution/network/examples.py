"""Examples to train networks on: solved problems of simulated subjects, each with something to compare it with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.label_maps import crop_of_maps, random_crop
from napari_swig_qmri.simulation.subjects import Subject, random_scan, random_subject
from napari_swig_qmri.super_resolution.network.configuration import (
    HR_MAPS,
    Anatomies,
    file_identity,
    heads_of,
    read_anatomy,
    read_hr_maps,
)
from napari_swig_qmri.super_resolution.network.features import NetworkInput
from napari_swig_qmri.super_resolution.network.self_supervision import (
    ScanExample,
    make_scan_example,
    make_stored_input,
    named_input,
    named_tensors,
    solve_maps,
)
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.preparation.problem import Problem, prepare
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.prediction import Noise

if TYPE_CHECKING:
    from torch import Tensor


TRIES = 5  # seeds that are tried for a subject
EXAMPLES = 6  # version of the content of examples; files of other versions are not read


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledExample:
    """A solved subject with its true maps."""

    network_input: NetworkInput
    truth: Tensor  # (3, X, Y, Z)
    brain: Tensor  # (X, Y, Z) bool

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> LabelledExample:
        """Inverse of `named_tensors`."""
        inputs = named_input(tensors, "network_input")
        return cls(network_input=inputs, truth=tensors["truth"], brain=tensors["brain"])

    def to(self, device: torch.device) -> LabelledExample:
        """Return the example on a device."""
        return LabelledExample.from_tensors({name: each.to(device) for name, each in named_tensors(self).items()})

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, named_tensors(self), {})

    @classmethod
    def load(cls, path: Path) -> LabelledExample:
        """Read a file that `save` wrote."""
        return cls.from_tensors(read_tensors(path)[0])


Example = LabelledExample | ScanExample


def label_subject(subject: Subject) -> LabelledExample:
    """Solve a subject and keep its true maps.

    Raises
    ------
    ValueError
        If there is too little tissue, or a guide without signal in it.
    """
    problem, gains = _problem_of(subject)
    truth = torch.as_tensor(subject.truth.data) / problem.map_units
    return LabelledExample(network_input=_solve(problem, gains), truth=truth, brain=torch.as_tensor(subject.mask))


def rescan(subject: Subject, seed: int | Sequence[int]) -> Subject:
    """Scan the posterior's maps of a subject, which stand in for the truth; HR maps are not used.

    Raises the errors of `label_subject`.
    """
    problem, gains = _problem_of(subject)
    maps = QuantitativeMaps(data=_solve(problem, gains).log_maps.exp().numpy(), grid=problem.hr_grid)
    return replace(random_scan(maps, seed), mask=subject.mask)


def scan_subject(subject: Subject, seed: int) -> ScanExample:
    """Example of the scan of a subject, whose noise is known. Raises the errors of `label_subject`."""
    problem, gains = _problem_of(subject)
    head = torch.as_tensor(subject.truth.data[0]) / problem.pd_unit > HEAD
    deviations = subject.guide_noise * problem.guides[:, head].abs().median(1).values
    noise = Noise(lr_maps=torch.full((3,), subject.map_noise), guides=deviations)
    return drained(make_scan_example(problem, gains, noise, np.random.default_rng((seed, 1))))


def _problem_of(subject: Subject) -> tuple[Problem, Tensor]:
    """The problem of a subject, and its gains, scanner units per unit of PD of the problem."""
    problem = drained(prepare(subject.lr_maps, subject.guides, subject.truth.grid))
    return problem, torch.tensor(subject.gains) * problem.gain_units


def _solve(problem: Problem, gains: Tensor) -> NetworkInput:
    return drained(make_stored_input(problem, *drained(solve_maps(problem, gains))))


class ExampleDataset(Dataset[Example]):
    """Examples for a loss of `losses.LOSSES`, by number; simulated on first use and kept in a folder.

    Subjects of `crop` HR voxels per edge are made of the heads in turn. `folder` has a subfolder for every choice of
    settings.
    """

    def __init__(
        self, anatomies: Iterable[Anatomies], folder: Path, *, first_seed: int, n: int, crop: int, loss: str
    ) -> None:
        self.heads = heads_of(anatomies)
        self.first_seed, self.n, self.crop, self.loss = first_seed, n, crop, loss
        identities = [(file_identity(file), scheme) for file, scheme in self.heads]
        settings = json.dumps([EXAMPLES, crop, identities, loss])
        self.folder = folder / hashlib.sha256(settings.encode()).hexdigest()[:12]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Example:
        path = self.folder / f"{self.first_seed + index}.safetensors"
        if not path.exists():
            self._make(index).save(path)
        return ScanExample.load(path) if self.loss == "self-supervised" else LabelledExample.load(path)

    def _make(self, index: int) -> Example:
        """Simulate an example. Some draws have too little tissue or a guide without signal, and are repeated."""
        file, scheme = self.heads[index % len(self.heads)]
        seed = self.first_seed + index
        for attempt in range(TRIES):
            try:
                subject = _draw_subject(file, scheme, self.crop, (seed, attempt))
                if self.loss == "self-supervised":
                    return scan_subject(subject, seed)
                return label_subject(rescan(subject, (seed, attempt, 1)) if self.loss == "bootstrapped" else subject)
            except ValueError as error:
                refusal = error
        raise ValueError(f"no subject could be made of {file}, tried {TRIES} times: {refusal}") from refusal


def _draw_subject(file: str, scheme: str, crop: int, seed: tuple[int, int]) -> Subject:
    if scheme == HR_MAPS:
        return random_scan(crop_of_maps(read_hr_maps(file).maps, crop, seed), seed)
    return random_subject(random_crop(read_anatomy(file, scheme), crop, seed), seed)


class DrawnExamples(Dataset[tuple[Example, np.random.Generator]]):
    """Random examples with a generator each, by number; both depend on the number and the seed alone."""

    def __init__(self, examples: ExampleDataset, seed: int) -> None:
        self.examples, self.seed = examples, seed

    def __getitem__(self, index: int) -> tuple[Example, np.random.Generator]:
        generator = np.random.default_rng((self.seed, index))
        return self.examples[int(generator.integers(len(self.examples)))], generator
