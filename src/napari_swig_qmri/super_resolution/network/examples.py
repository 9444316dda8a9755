"""What networks are trained on: solved problems of simulated subjects, with something to compare the result with.

A network that is to learn without HR maps must not see the noise that it is compared with, or it learns to keep it.
So a subject y is given as y + alpha z, with known noise z of the level that is there, and compared with y - z / alpha:
both have the same anatomy, and their noise is independent (Pang et al. 2021, "Recorrupted-to-Recorrupted"). One scale
up the LR maps themselves are the target, and their truncation the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.subjects import random_scan
from napari_swig_qmri.super_resolution.network.self_supervision import (
    StoredTensors,
    make_scan_example,
    solve_network_input,
)
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.prediction import (
    Noise,
)
from napari_swig_qmri.super_resolution.solver.problem import prepare

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.simulation.subjects import Subject
    from napari_swig_qmri.super_resolution.network.self_supervision import NetworkInput, ScanExample
    from napari_swig_qmri.super_resolution.solver.problem import Problem


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledExample(StoredTensors):
    """A solved subject with a truth to compare the correction with."""

    scene: NetworkInput
    truth: Tensor  # (3, X, Y, Z)
    brain: Tensor  # (X, Y, Z) bool


def label_subject(subject: Subject) -> LabelledExample:
    """Solve a subject.

    Raises
    ------
    ValueError
        If there is too little tissue, or a guide that shows none of it.
    """
    problem, gains = _problem_of(subject)
    scene = solve_network_input(problem, gains)
    truth = torch.as_tensor(subject.truth.data) / problem.map_units
    return LabelledExample(scene=scene, truth=truth, brain=torch.as_tensor(subject.mask))


def rescan(subject: Subject, seed: int | Sequence[int]) -> Subject:
    """What the posterior makes of a subject, scanned once more: its maps stand in for the truth.

    Nothing of them comes from HR maps. Errors as for `solved_subject`.
    """
    problem, gains = _problem_of(subject)
    scene = solve_network_input(problem, gains)
    maps = QuantitativeMaps(data=scene.log_maps.exp().numpy(), grid=problem.hr_grid)
    return replace(random_scan(maps, seed), mask=subject.mask)


def scan_subject(subject: Subject, seed: int) -> ScanExample:
    """What the scan of a subject gives to learn from; its noise levels are known. Errors as for `solved_subject`."""
    problem, gains = _problem_of(subject)
    head = torch.as_tensor(subject.truth.data[0]) / problem.pd_unit > HEAD
    deviations = subject.guide_noise * problem.guides[:, head].abs().median(1).values
    noise = Noise(lr_maps=torch.full((3,), subject.map_noise), guides=deviations)
    return drained(make_scan_example(problem, gains, noise, np.random.default_rng((seed, 1))))


def _problem_of(subject: Subject) -> tuple[Problem, Tensor]:
    """The problem of a subject, and its gains, scanner units per unit of PD of the problem."""
    problem = drained(prepare(subject.lr_maps, subject.guides, subject.truth.grid))
    return problem, torch.tensor(subject.gains) * problem.gain_units
