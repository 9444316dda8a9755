"""The ablation study: all models are trained with the same budget and scored, beside the baselines, on test subjects.

The planes of a training step depend only on its number and the seed, so that all models are trained on the same planes
in the same order.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, ValidationInfo
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from napari_swig_qmri.data.resampling import interpolated
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps
from napari_swig_qmri.evaluation.ablation.claims import BASELINE, LEAST_SUBJECTS, Score
from napari_swig_qmri.evaluation.ablation.published_network import (
    BOTH_GUIDES,
    MODELS,
    Model,
    Planes,
    ReferenceNet,
    loss_of,
    planes_of,
)
from napari_swig_qmri.evaluation.ablation.study_subjects import (
    FIELD_STRENGTH,
    LR_FACTORS,
    STUDY_PROTOCOL,
    StudySubject,
    study_subject,
)
from napari_swig_qmri.evaluation.scores import evaluate
from napari_swig_qmri.progress import Progress, between, mapped
from napari_swig_qmri.super_resolution.network.configuration import (
    Anatomies,
    LocalPath,
    as_json,
    check_counts,
    file_identity,
    heads_of,
    read_configuration,
    read_upright_anatomy,
    resolve_path,
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


MODEL_FOLDER = "models"  # subfolder of the output for trained models
VERSION = 1  # of the training; models trained by another version are not used
FIRST_TEST_SEED = 1_000_000  # of the first test subject
POSITIVE_SETTINGS = ("n_planes", "n_steps", "batch_size")
UNRELATED_SETTINGS = ("output", "test", "weights", "device")  # that trained models do not depend on
SIMULATED, TRAINED = 0.07, 0.85  # fraction of the work that is done after simulation, and after training
BASELINE_METHODS = ("regression", "posterior")  # of this package, with the guides of `BOTH_GUIDES`


def _resolve_weights(name: str, info: ValidationInfo) -> str:
    """Name of weights of this package or on a hub, or else a path relative to the configuration."""
    return name if name in WEIGHTS or name.startswith(HUB) else resolve_path(name, info)


StudyWeights = Annotated[str, AfterValidator(_resolve_weights)]


@dataclass(frozen=True, kw_only=True)
class AblationConfig:
    """Settings of a study."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    output: LocalPath  # folder of tables, figures and trained models
    train: tuple[Anatomies, ...]
    test: tuple[Anatomies, ...]
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(width=32, n_blocks=4))
    weights: tuple[StudyWeights, ...] = tuple(WEIGHTS)  # each is scored with the network of this package
    seed: int = 0
    n_planes: int = 20  # axial planes of each subject
    map_noise: float = 0.03  # relative to the value
    guide_noise: float = 0.03  # relative to the median over tissue
    n_steps: int = 1200  # training steps of each model
    batch_size: int = 1  # planes of a training step, all of one subject
    learning_rate: float = 4e-3
    warm_up: int = 50  # steps
    weight_decay: float = 1e-4
    largest_gradient: float = 1.0  # norm that gradients are clipped to
    device: str = "auto"

    def __post_init__(self) -> None:
        check_counts(self, POSITIVE_SETTINGS)
        for name in ("map_noise", "guide_noise"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, but it is {getattr(self, name)}.")
        training, testing = ([file for file, _ in heads_of(part)] for part in (self.train, self.test))
        if not training:
            raise ValueError("train needs a label map, but there is none.")
        if len(set(testing)) < LEAST_SUBJECTS:
            raise ValueError(
                f"the paired tests need {LEAST_SUBJECTS} or more different test subjects, but there are "
                f"{len(set(testing))}: add label maps to test."
            )
        if seen := sorted(set(training) & set(testing)):
            raise ValueError(f"{seen[0]} is in train and in test: leave it out of one of them.")


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyPicture:
    """Maps of one axial plane of one test subject by all methods."""

    subject: str
    mask: npt.NDArray[np.bool_]  # (X, Y)
    truth: FloatArray  # (3, X, Y)
    maps: Mapping[str, FloatArray]  # by method, (3, X, Y)
    scores: tuple[Score, ...]  # of this plane


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """Results of a study."""

    scores: tuple[Score, ...]
    picture: StudyPicture
    budget: str  # size, training and data of the models, in words


def read_ablation(path: Path) -> AblationConfig:
    """Read the settings of a study from a TOML file; raises the errors of `read_configuration`."""
    return read_configuration(path, AblationConfig, "study")


def run_study(config: AblationConfig) -> Generator[Progress, None, Study]:
    """Train the models that are not trained yet, and score all methods on the test subjects.

    Trained models are saved in the output folder and read from it when the study is continued.

    Raises
    ------
    ValueError
        If the output folder holds models of a study with other settings, or a file of weights cannot be read.
    FileNotFoundError
        If a file of weights does not exist.
    """
    for name in config.weights:
        SwigNet.from_pretrained(name)  # refused before hours of training, not after
    started, device = time.monotonic(), choose_device(config.device)
    networks = {model: saved for model in MODELS if (saved := _saved(model, config, device)) is not None}
    untrained = [model for model in MODELS if model not in networks]
    if untrained:
        networks |= yield from _trained(untrained, config, device)
    trained = time.monotonic() - started
    scores, picture = yield from mapped(_test_scores(config, networks, device), between(TRAINED, 1))
    training = f"{len(untrained)} of {len(MODELS)} models trained in {trained / 60:.1f} min"
    return Study(scores=scores, picture=picture, budget=f"{budget_of(config)}; {training}")


def _trained(
    models: Sequence[Model], config: AblationConfig, device: torch.device
) -> Generator[Progress, None, dict[Model, ReferenceNet]]:
    """Trained networks of models, all trained on the same subjects."""
    heads, planes = heads_of(config.train), []
    for index, (file, scheme) in enumerate(heads):
        yield Progress(SIMULATED * index / len(heads), f"simulating subject {index + 1} of {len(heads)}")
        subject = _subject(config, file, scheme, index)
        planes.append(planes_of(subject, config.map_noise, config.guide_noise).to(device))
    networks, share = {}, (TRAINED - SIMULATED) / len(models)
    for index, model in enumerate(models):
        first = SIMULATED + index * share
        training = train_model(model, planes, config)
        networks[model] = yield from mapped(training, between(first, first + share))
    return networks


def budget_of(config: AblationConfig) -> str:
    """Size and training of every model, and the data, in words."""
    n_train, n_test = (len(heads_of(part)) for part in (config.train, config.test))
    sequences = ", ".join(STUDY_PROTOCOL)
    return (
        f"each model: width {config.network.width}, {config.network.n_blocks} blocks, {config.n_steps} steps of "
        f"{config.batch_size} planes; {n_train} training and {n_test} test subjects of {config.n_planes} axial planes, "
        f"{FIELD_STRENGTH:g} T, {sequences}, truncation {' x '.join(map(str, LR_FACTORS))}, noise "
        f"{100 * config.map_noise:g} % in maps and {100 * config.guide_noise:g} % in guides"
    )


def _subject(config: AblationConfig, file: str, scheme: str, seed: int) -> StudySubject:
    anatomy, name = read_upright_anatomy(file, scheme), Path(file).name.split(".")[0]
    try:
        return study_subject(anatomy, name, config.n_planes, config.map_noise, config.guide_noise, config.seed + seed)
    except ValueError as error:
        raise ValueError(f"no subject can be simulated from {file}: {error}") from None


def train_model(
    model: Model, subjects: Sequence[Planes], config: AblationConfig
) -> Generator[Progress, None, ReferenceNet]:
    """Train a model on planes of subjects, save it in the output folder, and return it."""
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
        stage = f"{model.name}: step {step + 1} of {config.n_steps}, loss {float(loss.detach()):.4g}"
        yield Progress((step + 1) / config.n_steps, stage)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_tensors(_file_of(model, config), weights, {"settings": _training_settings(model, config)})
    return network


def start_network(model: Model, config: AblationConfig) -> ReferenceNet:
    """Untrained network, whose weights depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return ReferenceNet(model, config.network)


def drawn_planes(subjects: Sequence[Planes], n_planes: int, generator: np.random.Generator) -> Planes:
    """Random planes of one random subject, at most `n_planes`."""
    planes = subjects[int(generator.integers(len(subjects)))]
    chosen = generator.choice(len(planes), min(n_planes, len(planes)), replace=False)
    return planes.part(chosen.tolist())


def _saved(model: Model, config: AblationConfig, device: torch.device) -> ReferenceNet | None:
    """Network of a model that was trained earlier, or None; ValueError if its settings were others."""
    path = _file_of(model, config)
    if not path.exists():
        return None
    tensors, about = read_tensors(path)
    if about.get("settings") != _training_settings(model, config):
        raise ValueError(f"{path} belongs to a study with other settings: choose another output, or the same settings.")
    network = ReferenceNet(model, config.network).to(device)
    network.load_state_dict(tensors)
    return network


def _file_of(model: Model, config: AblationConfig) -> Path:
    return Path(config.output) / MODEL_FOLDER / f"{model.name}.safetensors"


def _training_settings(model: Model, config: AblationConfig) -> str:
    """Settings that a trained model depends on, as JSON."""
    train = [[file_identity(file), scheme] for file, scheme in heads_of(config.train)]
    return as_json(config, leave_out=UNRELATED_SETTINGS, train=train, model=asdict(model), study=VERSION)


def _test_scores(
    config: AblationConfig, networks: Mapping[Model, ReferenceNet], device: torch.device
) -> Generator[Progress, None, tuple[tuple[Score, ...], StudyPicture]]:
    """Scores of all methods on the test subjects, and a picture of the first subject."""
    scores: list[Score] = []
    pictures: list[StudyPicture] = []
    heads = heads_of(config.test)
    for index, (file, scheme) in enumerate(heads):
        yield Progress(index / len(heads), f"scoring test subject {index + 1} of {len(heads)}")
        subject = _subject(config, file, scheme, FIRST_TEST_SEED + index)
        maps = yield from _maps_by_method(subject, config, networks, device, index / len(heads))
        scores += _scores_of(subject, maps)
        if not pictures:
            pictures.append(_picture(subject, maps))
    return tuple(scores), pictures[0]


def _maps_by_method(
    subject: StudySubject,
    config: AblationConfig,
    networks: Mapping[Model, ReferenceNet],
    device: torch.device,
    fraction: float,
) -> Generator[Progress, None, dict[str, QuantitativeMaps]]:
    """Maps of a subject by every method, the baselines first."""
    planes = planes_of(subject, config.map_noise, config.guide_noise)
    zero_filled = planes.zero_filled.permute(0, 2, 3, 1).numpy()
    maps = {
        BASELINE: QuantitativeMaps(data=zero_filled, grid=subject.truth.grid),
        "cubic": interpolated(subject.lr_maps, subject.truth.grid),
    }
    for method in BASELINE_METHODS:
        yield Progress(fraction, f"{method} on {subject.name}")
        maps[method] = _super_resolved(subject, config, method=method)
    for name in config.weights:
        title = f"{name if name in WEIGHTS else '/'.join(Path(name).parts[-2:])} network"
        yield Progress(fraction, f"{title} on {subject.name}")
        maps[title] = _super_resolved(subject, config, method="network", weights=name)
    planes = planes.to(device)
    for model in MODELS:
        yield Progress(fraction, f"{model.name} on {subject.name}")
        maps[model.name] = networks[model].solve(subject, planes)
    return maps


def _super_resolved(subject: StudySubject, config: AblationConfig, **method: Any) -> QuantitativeMaps:
    """Maps by a method of this package, which is given the true gains of the guides, as the models are."""
    guides = [guide for guide in subject.guides if guide.name in BOTH_GUIDES]
    options = Options(gains=[1.0] * len(guides), device=config.device, **method)
    return super_resolve(subject.lr_maps, guides, options).maps


def _scores_of(subject: StudySubject, maps_by_method: Mapping[str, QuantitativeMaps]) -> list[Score]:
    return [
        Score(method=method, subject=subject.name, quantity=name, ssim=each.ssim, hfen=each.hfen)
        for method, maps in maps_by_method.items()
        for name, each in evaluate(maps, subject.truth, subject.mask).items()
    ]


def _picture(subject: StudySubject, maps_by_method: Mapping[str, QuantitativeMaps]) -> StudyPicture:
    """Maps and scores of the plane with the most brain."""
    plane = int(subject.mask.sum(axis=(0, 1)).argmax())
    planes = slice(plane, plane + 1)
    nx, ny, _ = subject.truth.grid.shape
    grid = replace(subject.truth.grid, shape=(nx, ny, 1))
    cut = {name: QuantitativeMaps(data=maps.data[..., planes], grid=grid) for name, maps in maps_by_method.items()}
    truth = QuantitativeMaps(data=subject.truth.data[..., planes], grid=grid)
    alone = replace(subject, truth=truth, mask=subject.mask[..., planes])
    return StudyPicture(
        subject=subject.name,
        mask=alone.mask[..., 0],
        truth=truth.data[..., 0],
        maps={name: maps.data[..., 0] for name, maps in cut.items()},
        scores=tuple(_scores_of(alone, cut)),
    )
