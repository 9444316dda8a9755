"""The ablation study: every model trained on the same budget, and scored with the baselines on the same subjects.

What a step sees depends on its number and the seed alone, so that all models see the same planes in the same order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ConfigDict
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from napari_swig_qmri.data.resampling import interpolated
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.evaluation.ablation.claims import BASELINE, LEAST_SUBJECTS, Score
from napari_swig_qmri.evaluation.ablation.published_network import (
    BOTH,
    MODELS,
    Model,
    Planes,
    ReferenceNet,
    loss_of,
    planes_of,
)
from napari_swig_qmri.evaluation.ablation.study_subjects import (
    FACTORS,
    FIELD_STRENGTH,
    PROTOCOL,
    StudySubject,
    study_subject,
)
from napari_swig_qmri.evaluation.scores import evaluate
from napari_swig_qmri.progress import Progress, between, mapped
from napari_swig_qmri.super_resolution.network.configuration import (
    Anatomies,
    identity_of,
    label_maps,
    parsed,
    placed,
    read_upright_anatomy,
)
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.network.training import learning_rate_factor
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.weights import HUB, WEIGHTS

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray

FOLDER = "models"  # of the output, that trained models are kept in
STUDY = 1  # version of what models are trained on: those of another one are not taken up
FIRST_TEST = 1_000_000  # seed of the first test subject
COUNTS = ("n_planes", "n_steps", "batch_size")
SIMULATED, TRAINED = 0.07, 0.85  # fraction of the work that is done by then
METHODS = ("regression", "posterior")  # of the package, with the guides of `BOTH`


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """All that a study depends on."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    output: str  # folder of tables, figures and trained models
    train: tuple[Anatomies, ...]
    test: tuple[Anatomies, ...]
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(width=32, n_blocks=4))
    weights: tuple[str, ...] = tuple(WEIGHTS)  # of the package's own network, which is scored with each
    seed: int = 0
    n_planes: int = 20  # axial planes of each subject
    map_noise: float = 0.03  # relative to the value
    guide_noise: float = 0.03  # relative to the median over tissue
    n_steps: int = 1200  # of each model
    batch_size: int = 1  # planes of a step, all of one subject
    learning_rate: float = 4e-3
    warm_up: int = 50  # steps
    weight_decay: float = 1e-4
    largest_gradient: float = 1.0  # norm
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, but it is {getattr(self, name)}.")
        for name in ("map_noise", "guide_noise"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, but it is {getattr(self, name)}.")
        training, testing = ([file for file, _ in label_maps(part)] for part in (self.train, self.test))
        if not training:
            raise ValueError("train needs a label map, but there is none.")
        if len(set(testing)) < LEAST_SUBJECTS:
            raise ValueError(
                f"the paired tests need {LEAST_SUBJECTS} or more test subjects to tell anything, but there are "
                f"{len(set(testing))}: add label maps to test."
            )
        if seen := sorted(set(training) & set(testing)):
            raise ValueError(f"{seen[0]} is in train and in test: leave it out of one of them.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Picture:
    """One axial plane of one test subject by all methods."""

    subject: str
    mask: npt.NDArray[np.bool_]  # (X, Y)
    truth: FloatArray  # (3, X, Y)
    maps: Mapping[str, FloatArray]  # by method, (3, X, Y)
    scores: tuple[Score, ...]  # of this plane alone


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """What a study found."""

    scores: tuple[Score, ...]
    picture: Picture
    budget: str  # of each model, and what it was trained on; for a person


def read_ablation(path: Path) -> AblationConfig:
    """Settings of a TOML file; paths in it start from its folder.

    Raises
    ------
    ValueError
        If an entry is missing, unknown or of the wrong kind.
    """
    config, here = parsed(path, AblationConfig, "study"), path.parent
    return replace(
        config,
        output=str(here / config.output),
        weights=tuple(_placed_weights(name, here) for name in config.weights),
        train=placed(config.train, here),
        test=placed(config.test, here),
    )


def _placed_weights(name: str, folder: Path) -> str:
    """A name that the network knows, or else a file of the folder."""
    return name if name in WEIGHTS or name.startswith(HUB) else str(folder / name)


def run_study(config: AblationConfig) -> Generator[Progress, None, Study]:
    """Train what is not trained yet, and score everything on the test subjects.

    Trained models are kept in the output folder and taken up again.

    Raises
    ------
    ValueError
        If the output folder holds models of other settings, or a file is not one of weights.
    FileNotFoundError
        If there are no such weights.
    """
    for name in config.weights:
        SwigNet.from_pretrained(name)  # before hours of training
    started, device = time.monotonic(), choose_device(config.device)
    networks = {model: kept for model in MODELS if (kept := _kept(model, config, device)) is not None}
    missing = [model for model in MODELS if model not in networks]
    if missing:
        networks |= yield from _trained(missing, config, device)
    trained = time.monotonic() - started
    scores, picture = yield from mapped(_scored(config, networks, device), between(TRAINED, 1))
    said = f"{len(missing)} of {len(MODELS)} models trained in {trained / 60:.1f} min"
    return Study(scores=scores, picture=picture, budget=f"{budget_of(config)}; {said}")


def _trained(
    models: Sequence[Model], config: AblationConfig, device: torch.device
) -> Generator[Progress, None, dict[Model, ReferenceNet]]:
    """Train models one after another on the same subjects."""
    labels, planes = label_maps(config.train), []
    for index, (file, scheme) in enumerate(labels):
        yield Progress(SIMULATED * index / len(labels), f"simulating subject {index + 1} of {len(labels)}")
        subject = _subject(config, file, scheme, index)
        planes.append(planes_of(subject, config.map_noise, config.guide_noise).to(device))
    networks, share = {}, (TRAINED - SIMULATED) / len(models)
    for index, model in enumerate(models):
        first = SIMULATED + index * share
        training = train_model(model, planes, config)
        networks[model] = yield from mapped(training, between(first, first + share))
    return networks


def budget_of(config: AblationConfig) -> str:
    """Size and training of every model, and the data, for a person."""
    n_train, n_test = (len(label_maps(part)) for part in (config.train, config.test))
    sequences = ", ".join(PROTOCOL)
    return (
        f"each model: width {config.network.width}, {config.network.n_blocks} blocks, {config.n_steps} steps of "
        f"{config.batch_size} planes; {n_train} training and {n_test} test subjects of {config.n_planes} axial planes, "
        f"{FIELD_STRENGTH:g} T, {sequences}, truncation {' x '.join(map(str, FACTORS))}, noise "
        f"{100 * config.map_noise:g} % in maps and {100 * config.guide_noise:g} % in guides"
    )


def _subject(config: AblationConfig, file: str, scheme: str, seed: int) -> StudySubject:
    anatomy, name = read_upright_anatomy(file, scheme), Path(file).name.split(".")[0]
    try:
        return study_subject(anatomy, name, config.n_planes, config.map_noise, config.guide_noise, config.seed + seed)
    except ValueError as error:
        raise ValueError(f"no subject can be made of {file}: {error}") from None


def train_model(
    model: Model, subjects: Sequence[Planes], config: AblationConfig
) -> Generator[Progress, None, ReferenceNet]:
    """Train a model on planes of subjects, and keep it in the output folder."""
    network = start_network(model, config).to(subjects[0].truth.device)
    optimiser = AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = LambdaLR(optimiser, lambda step: learning_rate_factor(step, config.n_steps, config.warm_up))
    for step in range(config.n_steps):
        planes = drawn_planes(subjects, config.batch_size, np.random.default_rng((config.seed, step)))
        optimiser.zero_grad()
        loss = loss_of(model, network(planes), planes)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.largest_gradient, error_if_nonfinite=True)
        optimiser.step()
        scheduler.step()
        said = f"{model.name}: step {step + 1} of {config.n_steps}, loss {float(loss.detach()):.4g}"
        yield Progress((step + 1) / config.n_steps, said)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(_file_of(model, config), weights, {"settings": _described(model, config)})
    return network


def start_network(model: Model, config: AblationConfig) -> ReferenceNet:
    """A fresh network; its weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ReferenceNet(model, config.network)


def drawn_planes(subjects: Sequence[Planes], n_planes: int, generator: np.random.Generator) -> Planes:
    """Some planes of one subject."""
    planes = subjects[int(generator.integers(len(subjects)))]
    chosen = generator.choice(len(planes), min(n_planes, len(planes)), replace=False)
    return planes.part(chosen.tolist())


def _kept(model: Model, config: AblationConfig, device: torch.device) -> ReferenceNet | None:
    """The model of an earlier run with the same settings, if there is one."""
    path = _file_of(model, config)
    if not path.exists():
        return None
    tensors, about = read_tensors(path)
    if about.get("settings") != _described(model, config):
        raise ValueError(f"{path} is of a study with other settings: choose another output, or the same settings.")
    network = ReferenceNet(model, config.network).to(device)
    network.load_state_dict(tensors)
    return network


def _file_of(model: Model, config: AblationConfig) -> Path:
    return Path(config.output) / FOLDER / f"{model.name}.safetensors"


def _described(model: Model, config: AblationConfig) -> str:
    """Settings that a trained model depends on."""
    settings = asdict(config)
    for name in ("output", "test", "weights", "device"):
        del settings[name]
    settings["train"] = [[identity_of(file), scheme] for file, scheme in label_maps(config.train)]
    return json.dumps({**settings, "model": asdict(model), "study": STUDY}, sort_keys=True)


def _scored(
    config: AblationConfig, networks: Mapping[Model, ReferenceNet], device: torch.device
) -> Generator[Progress, None, tuple[tuple[Score, ...], Picture]]:
    scores: list[Score] = []
    pictures: list[Picture] = []
    labels = label_maps(config.test)
    for index, (file, scheme) in enumerate(labels):
        yield Progress(index / len(labels), f"scoring test subject {index + 1} of {len(labels)}")
        subject = _subject(config, file, scheme, FIRST_TEST + index)
        solved = yield from _solved(subject, config, networks, device, index / len(labels))
        scores += _scores_of(subject, solved)
        if not pictures:
            pictures.append(_picture(subject, solved))
    return tuple(scores), pictures[0]


def _solved(
    subject: StudySubject,
    config: AblationConfig,
    networks: Mapping[Model, ReferenceNet],
    device: torch.device,
    fraction: float,
) -> Generator[Progress, None, dict[str, QuantitativeMaps]]:
    """Maps of a subject by every method, the baselines first."""
    planes = planes_of(subject, config.map_noise, config.guide_noise)
    zero_filled = planes.zero_filled.permute(0, 2, 3, 1).numpy()
    found = {
        BASELINE: QuantitativeMaps(data=zero_filled, grid=subject.truth.grid),
        "cubic": interpolated(subject.lr_maps, subject.truth.grid),
    }
    for method in METHODS:
        yield Progress(fraction, f"{method} on {subject.name}")
        found[method] = _super_resolved(subject, config, method=method)
    for name in config.weights:
        title = f"{name if name in WEIGHTS else '/'.join(Path(name).parts[-2:])} network"
        yield Progress(fraction, f"{title} on {subject.name}")
        found[title] = _super_resolved(subject, config, method="network", weights=name)
    planes = planes.to(device)
    for model in MODELS:
        yield Progress(fraction, f"{model.name} on {subject.name}")
        found[model.name] = networks[model].solve(subject, planes)
    return found


def _super_resolved(subject: StudySubject, config: AblationConfig, **how: Any) -> QuantitativeMaps:
    """Maps by a method of the package, which is told the gains, as the models are."""
    guides = [guide for guide in subject.guides if guide.name in BOTH]
    options = Options(gains=[1.0] * len(guides), device=config.device, **how)
    return super_resolve(subject.lr_maps, guides, options).maps


def _scores_of(subject: StudySubject, solved: Mapping[str, QuantitativeMaps]) -> list[Score]:
    return [
        Score(method=method, subject=subject.name, quantity=name, ssim=each.ssim, hfen=each.hfen)
        for method, maps in solved.items()
        for name, each in evaluate(maps, subject.truth, subject.mask).items()
    ]


def _picture(subject: StudySubject, solved: Mapping[str, QuantitativeMaps]) -> Picture:
    """The plane with the most brain."""
    plane = int(subject.mask.sum(axis=(0, 1)).argmax())
    here = slice(plane, plane + 1)
    nx, ny, _ = subject.truth.grid.shape
    grid = replace(subject.truth.grid, shape=(nx, ny, 1))
    cut = {name: QuantitativeMaps(data=maps.data[..., here], grid=grid) for name, maps in solved.items()}
    truth = QuantitativeMaps(data=subject.truth.data[..., here], grid=grid)
    alone = replace(subject, truth=truth, mask=subject.mask[..., here])
    return Picture(
        subject=subject.name,
        mask=alone.mask[..., 0],
        truth=truth.data[..., 0],
        maps={name: maps.data[..., 0] for name, maps in cut.items()},
        scores=tuple(_scores_of(alone, cut)),
    )
