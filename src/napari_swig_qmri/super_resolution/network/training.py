"""Training a network on simulated subjects: one loop, in steps that can be stopped and taken up again.

What happens in a step depends on its number and the seed alone, so that a run that was killed goes on from its last
checkpoint to the same weights, bit by bit on a CPU. Several processes share the examples of each step.
"""

from __future__ import annotations

import atexit
import csv
import hashlib
import json
import math
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from pydantic import ConfigDict
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.label_maps import crop_of_maps, random_crop
from napari_swig_qmri.simulation.subjects import random_scan, random_subject
from napari_swig_qmri.super_resolution.network.configuration import (
    MAPS,
    Anatomies,
    identity_of,
    label_maps,
    parsed,
    placed,
    read_anatomy,
    read_hr_maps,
)
from napari_swig_qmri.super_resolution.network.examples import LabelledExample, label_subject, rescan, scan_subject
from napari_swig_qmri.super_resolution.network.losses import LOSSES, TERMS, Patch, correct_patch, distance_to_truth
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.network.self_supervision import ScanExample
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.weights import FILE

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.simulation.subjects import Subject

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
FIRST_CHECK = 1_000_000  # seed of the first subject for validation
TRIES = 5  # seeds for a subject before it is given up
EXAMPLES = 5  # version of what examples hold: those of another one are made again
COUNTS = ("n_subjects", "n_validation", "crop", "patch", "n_steps", "batch_size", "checkpoint_every", "validate_every")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All that a run depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    output: str  # folder of the log, the checkpoint and the weights
    examples: str  # folder that simulated subjects are kept in
    train: tuple[Anatomies, ...]
    validation: tuple[Anatomies, ...]
    loss: str = "self-supervised"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    seed: int = 0
    n_subjects: int = 400
    n_validation: int = 16
    crop: int = 64  # HR voxels along the edge of a subject
    patch: int = 48  # along the edge of what a step sees of it
    n_steps: int = 2000
    batch_size: int = 4  # examples of a step, over all processes
    learning_rate: float = 4e-4
    warm_up: int = 50  # steps
    weight_decay: float = 1e-4
    largest_gradient: float = 5.0  # norm
    ema: float = 0.998
    terms: Mapping[str, float] = field(default_factory=dict)  # weights of the terms of the loss; 1 by default
    checkpoint_every: int = 100
    validate_every: int = 200
    n_workers: int = 0  # processes that simulate and load
    precision: str = "float32"  # or bfloat16
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, but it is {getattr(self, name)}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be at least 0 and below 1, but it is {self.ema}.")
        if unknown := set(self.terms) - set(TERMS):
            raise ValueError(f"terms must be among {', '.join(TERMS)}, but there is {', '.join(sorted(unknown))}.")
        if not all(any(each.files for each in part) for part in (self.train, self.validation)):
            raise ValueError("train and validation need a label map each, but there is none in one of them.")
        if self.loss not in LOSSES:
            raise ValueError(f"the loss must be one of {', '.join(LOSSES)}, but it is {self.loss!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"the precision must be float32 or bfloat16, but it is {self.precision!r}.")


def read_config(path: Path) -> TrainingConfig:
    """Settings of a TOML file; paths in it start from its folder.

    Raises
    ------
    ValueError
        If an entry is missing, unknown or of the wrong kind.
    """
    config, here = parsed(path, TrainingConfig, "training"), path.parent
    return replace(
        config,
        output=str(here / config.output),
        examples=str(here / config.examples),
        train=placed(config.train, here),
        validation=placed(config.validation, here),
    )


class ExampleDataset(Dataset["LabelledExample | ScanExample"]):
    """Examples for a loss by number, simulated when they are first asked for and kept in a folder."""

    def __init__(
        self, config: TrainingConfig, anatomies: Sequence[Anatomies], first_seed: int, n: int, loss: str
    ) -> None:
        self.labels = label_maps(anatomies)
        self.crop, self.first_seed, self.n, self.loss = config.crop, first_seed, n, loss
        heads = [(identity_of(file), scheme) for file, scheme in self.labels]
        made_of = json.dumps([EXAMPLES, self.crop, heads, loss])
        self.folder = Path(config.examples) / hashlib.sha256(made_of.encode()).hexdigest()[:12]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> LabelledExample | ScanExample:
        path = self.folder / f"{self.first_seed + index}.safetensors"
        if not path.exists():
            self._made(index).save(path)
        kind: type[LabelledExample] | type[ScanExample] = (
            ScanExample if self.loss == "self-supervised" else LabelledExample
        )
        return kind.load(path)

    def _made(self, index: int) -> LabelledExample | ScanExample:
        """Some draws hold too little tissue, or guides that show nothing: then another one is made."""
        file, scheme = self.labels[index % len(self.labels)]
        seed = self.first_seed + index
        for attempt in range(TRIES):
            try:
                subject = _subject(file, scheme, self.crop, (seed, attempt))
                if self.loss == "self-supervised":
                    return scan_subject(subject, seed)
                return label_subject(rescan(subject, (seed, attempt, 1)) if self.loss == "bootstrapped" else subject)
            except ValueError as error:
                refusal = error
        raise ValueError(f"no subject could be made of {file}, tried {TRIES} times: {refusal}") from refusal


def _subject(file: str, scheme: str, crop: int, seed: tuple[int, int]) -> Subject:
    if scheme == MAPS:
        return random_scan(crop_of_maps(read_hr_maps(file), crop, seed), seed)
    return random_subject(random_crop(read_anatomy(file, scheme), crop, seed), seed)


class DrawnExamples(Dataset[tuple["LabelledExample | ScanExample", "np.random.Generator"]]):
    """What the steps of a run see: draw n is example n % batch size of step n // batch size."""

    def __init__(self, subjects: ExampleDataset, seed: int) -> None:
        self.subjects, self.seed = subjects, seed

    def __getitem__(self, index: int) -> tuple[LabelledExample | ScanExample, np.random.Generator]:
        generator = np.random.default_rng((self.seed, index))
        return self.subjects[int(generator.integers(len(self.subjects)))], generator


@dataclass(eq=False)
class TrainingRun:
    """Everything that changes while training."""

    config: TrainingConfig
    network: SwigNet
    average: AveragedModel
    optimiser: AdamW
    scheduler: LambdaLR
    step: int = 0

    @classmethod
    def start(cls, config: TrainingConfig, device: torch.device) -> TrainingRun:
        """A fresh run; its weights depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = SwigNet(config.network).to(device)
        averaging = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
        average = AveragedModel(network, multi_avg_fn=averaging)
        optimiser = AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        return cls(
            config,
            network,
            average,
            optimiser,
            LambdaLR(optimiser, lambda step: learning_rate_factor(step, config.n_steps, config.warm_up)),
        )

    def save(self, folder: Path) -> None:
        """Checkpoint; draws depend on the number of the step, so that there is no other random state."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        kept = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        about = {"step": str(self.step), "config": _described(self.config), "pace": _json(self.scheduler.state_dict())}
        write_tensors(folder / CHECKPOINT, kept, about)

    def resume(self, folder: Path) -> None:
        """Go back to the checkpoint of a folder, if there is one.

        Raises
        ------
        ValueError
            If it is one of another configuration.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return
        tensors, about = read_tensors(path)
        if about["config"] != _described(self.config):
            raise ValueError(f"{path} is of a run with other settings: choose another output, or the same settings.")
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.network.load_state_dict(parts["network"])
        self.average.load_state_dict(parts["average"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.scheduler.load_state_dict(json.loads(about["pace"]))
        for group, rate in zip(self.optimiser.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        self.step = int(about["step"])


def learning_rate_factor(step: int, n_steps: int, warm_up: int) -> float:
    """Learning rate relative to its largest: a linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / max(1, warm_up))
    return warm * (0.505 + 0.495 * math.cos(math.pi * step / n_steps))


def train(config: TrainingConfig) -> Generator[Progress, None, Path]:
    """Train a network, or go on where the output folder's checkpoint stands; the weights file is returned.

    Under ``torchrun`` every process takes its share of the examples of each step.
    """
    rank, n_processes = _processes()
    if config.batch_size % n_processes:
        raise ValueError(
            f"{n_processes} processes cannot share batches of {config.batch_size} examples evenly: change one of them."
        )
    folder, device = Path(config.output), choose_device(config.device)
    if device.type == "cuda" and n_processes > 1:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    run = TrainingRun.start(config, device)
    run.resume(folder)
    if not rank:
        _cut_log(folder / LOG, run.step)
    model = DistributedDataParallel(run.network) if n_processes > 1 else run.network
    subjects = ExampleDataset(config, config.train, 0, config.n_subjects, config.loss)
    checks = ExampleDataset(config, config.validation, FIRST_CHECK, config.n_validation, "supervised")
    own = config.batch_size // n_processes
    draws = [
        step * config.batch_size + rank * own + item for step in range(run.step, config.n_steps) for item in range(own)
    ]
    loader = DataLoader(
        DrawnExamples(subjects, config.seed), batch_size=None, sampler=draws, num_workers=config.n_workers
    )
    batches, started, first = iter(loader), time.monotonic(), run.step
    checked = ""
    while run.step < config.n_steps:
        terms = take_step(run, model, [next(batches) for _ in range(own)])
        last = run.step == config.n_steps
        if not rank:
            ratios = validate(run, checks) if last or run.step % config.validate_every == 0 else {}
            if ratios:
                checked = f" (validation error: {_listed(ratios)})"
            _log(folder / LOG, {"step": run.step, "rate": float(run.scheduler.get_last_lr()[0]), **terms, **ratios})
            if last or run.step % config.checkpoint_every == 0:
                run.save(folder)
                about = {"config": json.loads(_described(config)), "step": run.step}
                cast("SwigNet", run.average.module).save(folder / FILE, about)
        left = (config.n_steps - run.step) * (time.monotonic() - started) / (run.step - first)
        stage = f"step {run.step} of {config.n_steps}: {_listed(terms)}{checked}"
        yield Progress(run.step / config.n_steps, stage, left)
    return folder / FILE


def take_step(
    run: TrainingRun,
    model: SwigNet | DistributedDataParallel,
    draws: Sequence[tuple[LabelledExample | ScanExample, np.random.Generator]],
) -> dict[str, float]:
    """One step of the optimiser on the draws of this process; the terms of the loss."""
    config, loss = run.config, LOSSES[run.config.loss]
    device = next(run.network.parameters()).device
    totals: dict[str, float] = {}

    def forward(volumes: Tensor, levels: Tensor) -> Tensor:
        """The network alone in low precision; physics and losses need more."""
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            output: Tensor = model(volumes, levels)
        return output.float()

    run.optimiser.zero_grad()
    for index, (example, generator) in enumerate(draws):
        together = isinstance(model, DistributedDataParallel) and index < len(draws) - 1
        with model.no_sync() if together else nullcontext():  # type: ignore[operator]
            terms = loss(forward, example.to(device), generator, config.patch)
            weighted = [config.terms.get(name, 1.0) * value for name, value in terms.items()]
            torch.autograd.backward(torch.stack(weighted).sum() / len(draws))
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach()) / len(draws)
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), config.largest_gradient, error_if_nonfinite=True)
    run.optimiser.step()
    run.scheduler.step()
    run.average.update_parameters(run.network)
    run.step += 1
    return totals


def validate(run: TrainingRun, checks: ExampleDataset) -> dict[str, float]:
    """Mean error of log maps over the brain, over that of the given solution; geometric mean of subjects."""
    ratios, network = [], cast("SwigNet", run.average.module)
    whole = Patch((slice(None), slice(None), slice(None)))
    for index in range(len(checks)):
        example = cast("LabelledExample", checks[index]).to(next(network.parameters()).device)
        with torch.no_grad():
            found = distance_to_truth(example, correct_patch(network, example.scene, whole), whole)
            given = distance_to_truth(example, example.scene.log_maps, whole)
        ratios.append((found / given.clamp(min=1e-6)).log())
    mean = torch.stack(ratios).mean(0).exp()
    return dict(zip(QUANTITIES, mean.tolist(), strict=True))


def _processes() -> tuple[int, int]:
    """Rank and number of the processes that train together, which ``torchrun`` says."""
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group()
        atexit.register(distributed.destroy_process_group)
    if distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _cut_log(path: Path, step: int) -> None:
    """Leave out what a killed run logged after its last checkpoint, and all of it if there was none."""
    if path.exists():
        head, *rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([head, *(row for row in rows if int(row.split(",", 1)[0]) <= step)]))


def _log(path: Path, row: Mapping[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    columns = ["step", "rate", *TERMS, *QUANTITIES]
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _described(config: TrainingConfig) -> str:
    """Settings that the weights depend on, without where things lie and how fast they go."""
    settings = asdict(config)
    for name in ("output", "examples", "checkpoint_every", "validate_every", "n_workers", "device"):
        del settings[name]
    for part in ("train", "validation"):
        settings[part] = [{**each, "files": [identity_of(file) for file in each["files"]]} for each in settings[part]]
    return json.dumps({**settings, "examples": EXAMPLES}, sort_keys=True)


def _listed(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())


def _json(state: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in state.items() if name != "lr_lambdas"} | {"lr_lambdas": [None]})
