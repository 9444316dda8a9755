"""Training a network on simulated subjects, in steps that can be interrupted and resumed.

A step depends on its number and the seed alone. A killed run that is resumed from its last checkpoint ends with the
same weights, bit by bit on a CPU. Several processes share the examples of each step.
"""

from __future__ import annotations

import atexit
import csv
import json
import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic import ConfigDict
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from napari_swig_qmri.data.storage.output import check_output, write_text
from napari_swig_qmri.data.wording import csv_text
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.network.configuration import (
    Anatomies,
    LocalPath,
    as_json,
    check_counts,
    file_identity,
    read_configuration,
)
from napari_swig_qmri.super_resolution.network.examples import (
    EXAMPLES,
    DrawnExamples,
    Example,
    ExampleDataset,
    LabelledExample,
)
from napari_swig_qmri.super_resolution.network.losses import LOSSES, TERMS, WHOLE, correct_patch, distance_to_truth
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.weights import FILE

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Draw = tuple[Example, np.random.Generator]

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
COLUMNS = ("step", "rate", *TERMS, *QUANTITIES)  # of the log
FIRST_CHECK = 1_000_000  # seed of the first subject for validation
COUNTS = ("n_subjects", "n_validation", "crop", "patch", "n_steps", "batch_size", "checkpoint_every", "validate_every")
WITHOUT_EFFECT = ("output", "examples", "checkpoint_every", "validate_every", "n_workers", "device")  # on the weights


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of a training run."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    output: LocalPath  # folder of the log, the checkpoint and the weights
    examples: LocalPath  # folder of the simulated subjects
    train: tuple[Anatomies, ...]
    validation: tuple[Anatomies, ...]
    loss: str = "self-supervised"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    seed: int = 0
    n_subjects: int = 400
    n_validation: int = 16
    crop: int = 64  # HR voxels along the edge of a subject
    patch: int = 48  # HR voxels along the edge of the patch of a step
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
        check_counts(self, COUNTS)
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

    def dataset(self, *, validation: bool = False) -> ExampleDataset:
        """Examples to train on, or labelled ones to validate with."""
        return ExampleDataset(
            self.validation if validation else self.train,
            Path(self.examples),
            first_seed=FIRST_CHECK if validation else 0,
            n=self.n_validation if validation else self.n_subjects,
            crop=self.crop,
            loss="supervised" if validation else self.loss,
        )

    def of_weights(self) -> str:
        """Settings that the weights depend on, as JSON; files are identified by name and size."""
        heads = {
            part: [{"files": list(map(file_identity, each.files)), "scheme": each.scheme} for each in anatomies]
            for part, anatomies in (("train", self.train), ("validation", self.validation))
        }
        return as_json(self, leave_out=WITHOUT_EFFECT, examples=EXAMPLES, **heads)


def read_config(path: Path) -> TrainingConfig:
    """Read the settings of a run from a TOML file; raises the errors of `read_configuration`."""
    return read_configuration(path, TrainingConfig, "training")


@dataclass(eq=False)
class TrainingRun:
    """State of a training run."""

    config: TrainingConfig
    network: SwigNet
    average: AveragedModel
    optimiser: AdamW
    scheduler: LambdaLR
    step: int = 0

    @classmethod
    def start(cls, config: TrainingConfig, device: torch.device) -> TrainingRun:
        """Return a new run, whose weights depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = SwigNet(config.network).to(device)
        averaging = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
        optimiser = AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        scheduler = LambdaLR(optimiser, lambda step: learning_rate_factor(step, config.n_steps, config.warm_up))
        return cls(config, network, AveragedModel(network, multi_avg_fn=averaging), optimiser, scheduler)

    def save(self, folder: Path) -> None:
        """Write a checkpoint. There is no random state: draws depend on the number of the step."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
        pace = {name: value for name, value in self.scheduler.state_dict().items() if name != "lr_lambdas"}
        metadata = {"step": str(self.step), "config": self.config.of_weights()}
        metadata["pace"] = json.dumps(pace | {"lr_lambdas": [None]})
        write_tensors(folder / CHECKPOINT, tensors, metadata)

    def resume(self, folder: Path) -> None:
        """Load the checkpoint of a folder, if there is one.

        Raises
        ------
        ValueError
            If it belongs to a run with other settings.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            return
        tensors, metadata = read_tensors(path)
        if metadata.get("config") != self.config.of_weights():
            raise ValueError(f"{path} is of a run with other settings: choose another output, or the same settings.")
        try:
            self._load(tensors, metadata)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is no complete checkpoint: remove it, or choose another output.") from error

    def _load(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        self.network.load_state_dict(_named_below("network.", tensors))
        self.average.load_state_dict(_named_below("average.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _named_below("optimiser.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.scheduler.load_state_dict(json.loads(metadata["pace"]))
        for group, rate in zip(self.optimiser.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        self.step = int(metadata["step"])


def _named_below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def learning_rate_factor(step: int, n_steps: int, warm_up: int) -> float:
    """Learning rate relative to its largest: a linear warm-up, then half a cosine down to a hundredth."""
    warm = min(1.0, (step + 1) / max(1, warm_up))
    return warm * (0.505 + 0.495 * math.cos(math.pi * step / n_steps))


def train(config: TrainingConfig) -> Generator[Progress, None, Path]:
    """Train a network and return its weights file; resumes from a checkpoint in the output folder.

    Under ``torchrun`` every process takes its share of the examples of each step.

    Raises
    ------
    ValueError
        If processes cannot share a batch evenly, or the checkpoint belongs to a run with other settings.
    """
    rank, n_processes = _processes()
    if config.batch_size % n_processes:
        raise ValueError(
            f"{n_processes} processes cannot share batches of {config.batch_size} examples evenly: change one of them."
        )
    folder, device = Path(config.output), choose_device(config.device)
    if device.type == "cuda" and n_processes > 1:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    check_output(folder)
    run = TrainingRun.start(config, device)
    run.resume(folder)
    log = [] if rank else _logged(folder / LOG, run.step)
    model = DistributedDataParallel(run.network) if n_processes > 1 else run.network
    checks, validation = config.dataset(validation=True), ""
    started, first = time.monotonic(), run.step
    for draws in _batches(config, run.step, rank, n_processes):
        terms = take_step(run, model, draws)
        errors = {} if rank else _record_step(run, terms, checks, log)
        if errors:
            validation = f" (validation error: {_scores_text(errors)})"
        left = (config.n_steps - run.step) * (time.monotonic() - started) / (run.step - first)
        stage = f"step {run.step} of {config.n_steps}: {_scores_text(terms)}{validation}"
        yield Progress(run.step / config.n_steps, stage, left)
    return folder / FILE


def _batches(config: TrainingConfig, first_step: int, rank: int, n_processes: int) -> Iterator[list[Draw]]:
    """Draws of every remaining step, those of one process; draw n belongs to step n // batch size."""
    n_own = config.batch_size // n_processes
    steps = range(first_step, config.n_steps)
    numbers = [step * config.batch_size + rank * n_own + item for step in steps for item in range(n_own)]
    examples = DrawnExamples(config.dataset(), config.seed)
    draws = iter(DataLoader(examples, batch_size=None, sampler=numbers, num_workers=config.n_workers))
    for _ in steps:
        yield [next(draws) for _ in range(n_own)]


def take_step(run: TrainingRun, model: SwigNet | DistributedDataParallel, draws: Sequence[Draw]) -> dict[str, float]:
    """Take a step of the optimiser on the draws of this process, and return the terms of the loss."""
    config, loss = run.config, LOSSES[run.config.loss]
    device = next(run.network.parameters()).device
    totals: dict[str, float] = {}

    def forward(volumes: Tensor, levels: Tensor) -> Tensor:
        """Compute the network alone in low precision; physics and losses need more."""
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            output: Tensor = model(volumes, levels)
        return output.float()

    run.optimiser.zero_grad()
    for index, (example, generator) in enumerate(draws):
        is_delayed = isinstance(model, DistributedDataParallel) and index < len(draws) - 1
        with model.no_sync() if is_delayed else nullcontext():  # type: ignore[operator]
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


def _record_step(
    run: TrainingRun, terms: Mapping[str, float], checks: ExampleDataset, log: list[Sequence[Any]]
) -> dict[str, float]:
    """Validate and save after a step where that is due, and after the last; returns the validation errors.

    `log` gets a row, and is written whenever something else is.
    """
    config, folder = run.config, Path(run.config.output)
    is_last = run.step == config.n_steps
    errors = validate(run, checks) if is_last or run.step % config.validate_every == 0 else {}
    row = {"step": run.step, "rate": float(run.scheduler.get_last_lr()[0]), **terms, **errors}
    log.append([row.get(column, "") for column in COLUMNS])
    is_saved = is_last or run.step % config.checkpoint_every == 0
    if is_saved or errors:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(csv_text([COLUMNS, *log]), folder / LOG)
    if is_saved:
        run.save(folder)
        about = {"config": json.loads(config.of_weights()), "step": run.step}
        cast("SwigNet", run.average.module).save(folder / FILE, about)
    return errors


def validate(run: TrainingRun, checks: ExampleDataset) -> dict[str, float]:
    """Mean error of log maps over the brain relative to that of the uncorrected maps; geometric mean of subjects."""
    ratios, network = [], cast("SwigNet", run.average.module)
    for index in range(len(checks)):
        example = cast("LabelledExample", checks[index]).to(next(network.parameters()).device)
        with torch.no_grad():
            after = distance_to_truth(example, correct_patch(network, example.network_input, WHOLE), WHOLE)
            before = distance_to_truth(example, example.network_input.log_maps, WHOLE)
        ratios.append((after / before.clamp(min=1e-6)).log())
    mean = torch.stack(ratios).mean(0).exp()
    return dict(zip(QUANTITIES, mean.tolist(), strict=True))


def _processes() -> tuple[int, int]:
    """Rank and number of the processes that train together, as set by ``torchrun``."""
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group()
        atexit.register(distributed.destroy_process_group)
    if distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _logged(path: Path, step: int) -> list[Sequence[Any]]:
    """Rows of a log up to `step`; a killed run may have logged steps after its last checkpoint."""
    rows = csv.reader(path.read_text(encoding="utf-8").splitlines()[1:]) if path.exists() else ()
    return [row for row in rows if row and row[0].isdecimal() and int(row[0]) <= step]


def _scores_text(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
