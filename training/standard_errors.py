"""Train the model of standard errors on simulated scans, whose true maps are known.

    python training/standard_errors.py OUTPUT LABELS... [--scans 240] [--jobs 2]

LABELS are label maps of BrainWeb. Every scan is a random part of a head with random tissues, lesions, sequences, voxel
sizes and noise, and at random one thing that a scan may have and the equations do not: blurred, moved, shaded or thick
guides, a wrong echo time, windowed or fitted maps. It is super-resolved like any other scan, and the model
learns the size of the errors, as the scale of a Student's t distribution. OUTPUT keeps the scans, so that an
interrupted run goes on, and gets `standard-errors.safetensors`.
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, shift

from napari_swig_qmri import Options, QuantitativeMaps, WeightedImage, plan
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.label_maps import Anatomy, random_crop
from napari_swig_qmri.simulation.subjects import Subject, random_subject
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.network.configuration import read_upright_anatomy
from napari_swig_qmri.super_resolution.network.error_model import ERRORS_FILE, ErrorModel
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors

EDGE = 64  # HR voxels of a part of a head
VOXELS = 6000  # that are kept of a scan
N_STEPS, SCANS_PER_STEP, RATE = 3000, 8, 3e-3
FREEDOM = 8.0  # degrees of freedom of the distribution
COVERED = 0.6827  # of the errors by one standard error
DEPARTURES = ("none", "none", "none", "blur", "shift", "shading", "slices", "echo time", "window", "noise", "one map")
RESOLVED = (
    "blur",
    "slices",
    "window",
)  # of these, with which the resolution of images is examined, which takes longest


class Recorder:
    """Stands in for the model in a run, and keeps the features."""

    def __init__(self) -> None:
        self.features: list[torch.Tensor] = []
        self.levels = torch.zeros(0)

    def __call__(self, features: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Keep the features of a slab."""
        self.features.append(features)
        self.levels = levels
        return features[:3]


def main() -> None:
    """Simulate the scans and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("labels", nargs="+")
    parser.add_argument("--scans", type=int, default=240)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        paths = list(pool.map(partial(scan, options.output, options.labels), range(options.scans)))
    scans = [read_tensors(path)[0] for path in paths if path is not None]
    print(f"{len(scans)} scans")
    model = trained(scans)
    model.save(options.output / ERRORS_FILE)


def scan(folder: Path, labels: list[str], number: int) -> Path | None:
    """Super-resolve a simulated scan and keep features and errors of voxels; None if it holds too little tissue."""
    torch.set_num_threads(1)
    path = folder / f"{number:04d}.safetensors"
    if path.exists():
        return path
    generator = np.random.default_rng((9, number))
    anatomy = random_crop(anatomy_of(labels[number % len(labels)]), EDGE, (9, number))
    method = str(generator.choice(["network", "posterior"]))
    kind = str(generator.choice(DEPARTURES))
    try:
        subject = departed(random_subject(anatomy, (9, number)), kind, generator)
        planned = plan(subject.lr_maps, subject.guides, Options(method=method, resolution=kind in RESOLVED))
        recorder = Recorder()
        solution = drained(solve(replace(planned, error_model=recorder)))
    except ValueError as refusal:
        print(number, refusal)
        return None
    features = torch.cat(recorder.features, 1)
    shape = tuple(subject.truth.grid.shape)
    if tuple(features.shape[1:]) != shape or tuple(solution.maps.shape[1:]) != shape:
        return None  # only a part was solved
    truth = torch.as_tensor(subject.truth.data) / planned.problem.map_units
    errors = solution.maps.clamp(min=1e-4).log() - truth.clamp(min=1e-4).log()
    kept = chosen(subject, generator)
    levels = recorder.levels.clone()
    record = {"features": features[:, kept], "errors": errors[:, kept], "levels": levels}
    measured = torch.tensor([float(each) for each in planned.problem.measured])
    write_tensors(path, {name: each.contiguous() for name, each in {**record, "measured": measured}.items()}, {})
    return path


@lru_cache
def anatomy_of(labels: str) -> Anatomy:
    """Anatomy of a label map."""
    return read_upright_anatomy(labels, "brainweb")


def chosen(subject: Subject, generator: np.random.Generator) -> torch.Tensor:
    """Voxels to keep, ``(X, Y, Z)`` bool: a third each from the brain, from its edges, and from CSF and lesions."""
    log_maps = np.log(np.maximum(subject.truth.data, 1e-3))
    edge = sum(np.abs(np.gradient(log_map, axis=axis)) for log_map in log_maps for axis in range(3))
    brain = subject.mask
    rare = brain & ((subject.truth.data[2] > 0.3) | (subject.lesions > 0.5))
    steep = brain & (edge > np.quantile(edge[brain], 0.75))
    kept = np.zeros(brain.size, bool)
    for where in (brain, steep, rare):
        places = np.flatnonzero(where)
        kept[generator.choice(places, min(VOXELS // 3, len(places)), replace=False)] = True
    return torch.as_tensor(kept.reshape(brain.shape))


def departed(subject: Subject, kind: str, generator: np.random.Generator) -> Subject:
    """Subject with something that the equations do not know; see `DEPARTURES`."""
    guides, which = list(subject.guides), generator.integers(len(subject.guides))
    if kind == "blur":
        sigma = generator.uniform(0.4, 0.9)
        guides[which] = changed(guides[which], gaussian_filter(guides[which].data, sigma))
    elif kind == "shift":
        guides[which] = changed(
            guides[which], shift(guides[which].data, generator.uniform(-1, 1, 3), order=3, mode="nearest")
        )
    elif kind == "shading":
        field = gaussian_filter(generator.standard_normal(guides[which].data.shape), 20, mode="reflect")
        field *= generator.uniform(0.05, 0.2) / np.abs(field).max()
        guides[which] = changed(guides[which], guides[which].data * np.exp(field))
    elif kind == "slices":
        guides[which] = thick(guides[which], int(generator.choice([2, 4])))
    elif kind == "echo time":
        guides[which] = with_wrong_time(guides[which], generator)
    elif kind == "window":
        return replace(subject, lr_maps=windowed(subject.lr_maps))
    elif kind == "noise":
        noise = math.exp(generator.uniform(math.log(0.02), math.log(0.08)))
        level = noise * np.median(guides[which].data[subject.mask])
        guides[which] = changed(
            guides[which], guides[which].data + level * generator.standard_normal(subject.mask.shape)
        )
    elif kind == "one map":
        lost = int(generator.integers(3))
        names = tuple(name for number, name in enumerate(subject.lr_maps.names) if number != lost)
        data = np.delete(subject.lr_maps.data, lost, axis=0)
        return replace(subject, lr_maps=QuantitativeMaps(data=data, grid=subject.lr_maps.grid, names=names))
    return replace(subject, guides=tuple(guides))


def changed(guide: WeightedImage, data: np.ndarray) -> WeightedImage:
    """The guide with other values."""
    return replace(guide, data=data.astype(np.float32))


def thick(guide: WeightedImage, n: int) -> WeightedImage:
    """Guide with slices of `n` voxels along the last axis."""
    x, y, z = guide.data.shape
    data = guide.data[..., : z // n * n].reshape(x, y, -1, n).mean(-1)
    affine = guide.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (n - 1) / 2
    affine[:3, 2] *= n
    return replace(guide, data=data, grid=replace(guide.grid, shape=data.shape, affine=affine))


def with_wrong_time(guide: WeightedImage, generator: np.random.Generator) -> WeightedImage:
    """Guide whose echo or repetition time is said up to 15 % too long or too short."""
    name = str(generator.choice(["echo_time", "repetition_time"]))
    factor = 1 + generator.uniform(-0.15, 0.15)
    try:
        return replace(guide, sequence=replace(guide.sequence, **{name: factor * getattr(guide.sequence, name)}))
    except (ValueError, AttributeError, TypeError):  # the sequence has no such time, or cannot be played out with it
        return guide


def windowed(maps: QuantitativeMaps) -> QuantitativeMaps:
    """Maps with a Hamming window in k-space."""
    data = np.fft.fftn(maps.data, axes=(1, 2, 3))
    for axis in (1, 2, 3):
        frequency = 2 * np.abs(np.fft.fftfreq(data.shape[axis]))
        window = 0.54 + 0.46 * np.cos(np.pi * frequency)
        data *= window.reshape([-1 if each == axis else 1 for each in range(4)])
    return replace(maps, data=np.fft.ifftn(data, axes=(1, 2, 3)).real.astype(np.float32))


def trained(scans: list[dict[str, torch.Tensor]]) -> ErrorModel:
    """Model that minimises the negative log likelihood of the errors, then scaled to cover its share of them."""
    torch.manual_seed(0)
    generator, model = np.random.default_rng(0), ErrorModel()
    inputs = torch.cat(
        [torch.cat([each["features"].T, each["levels"].expand(each["features"].shape[1], -1)], 1) for each in scans]
    )
    model.usual.copy_(inputs.mean(0))  # type: ignore[operator]
    model.spread.copy_(inputs.std(0) + 0.3)  # type: ignore[operator]
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, N_STEPS)
    for _ in range(N_STEPS):
        losses = []
        for number in generator.choice(len(scans), min(SCANS_PER_STEP, len(scans)), replace=False):
            each = scans[number]
            log_errors = model(each["features"], each["levels"])
            squares = (each["errors"] / log_errors.exp()).square()
            loss = log_errors + (FREEDOM + 1) / 2 * torch.log1p(squares / FREEDOM)
            losses.append((loss.mean(1) * each["measured"]).sum())
        optimiser.zero_grad()
        torch.stack(losses).mean().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        model.layers[-1].bias += torch.log(usual_ratio(model, scans))
    print("loss", float(torch.stack(losses).mean()))
    return model


def usual_ratio(model: ErrorModel, scans: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Median over scans, per map ``(3,)``, of the ratio of errors that covers the share of a standard error."""
    ratios = []
    for each in scans:
        ratio = each["errors"].abs() / model(each["features"], each["levels"]).exp()
        found = ratio.quantile(COVERED, dim=1)
        ratios.append(torch.where(each["measured"] > 0, found, torch.nan))
    return torch.stack(ratios).nanmedian(0).values


if __name__ == "__main__":
    main()
