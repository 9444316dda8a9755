"""Networks of the published kind, the objective that they are trained on, and the models that the ablation compares.

A ResNet-like CNN maps axial planes of weighted images and LR maps to HR maps. It is trained without HR maps, on

    sum_k |f_k(Q) - W_k|^2 / sigma_k^2  +  |D Q - Q_lr|^2 / sigma_lr^2

Network size, sequences and noise levels are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import l1_loss, pad, pixel_shuffle, pixel_unshuffle, relu

from napari_swig_qmri.data.truncation import KSpaceTruncation, contract_axis
from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.evaluation.ablation.study_subjects import STUDY_PROTOCOL, StudySubject
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.weighting import CODES
from napari_swig_qmri.simulation.degradation import TRUE_TISSUE_PD
from napari_swig_qmri.super_resolution.network.features import TYPICAL_LOG_MAPS
from napari_swig_qmri.super_resolution.network.losses import clamp_to_range
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, ResidualBlock
from napari_swig_qmri.super_resolution.preparation.problem import log_with_floor
from napari_swig_qmri.super_resolution.solver.lr_term import noise_reference
from napari_swig_qmri.super_resolution.solver.prediction import MIN_GUIDE_NOISE, MIN_LR_NOISE

if TYPE_CHECKING:
    from torch import Tensor


N_FOLDED = 2  # voxels along each axis of a plane that become channels
LEAST_SIGNAL = 0.01  # per unit of PD; lower limit of guides before their logarithm is taken
MEAN_LOG_SIGNAL = -1.5  # rough mean of guides over tissue
LEAST_VALUE = 1e-6  # lower limit of maps, which are 0 in air, before their logarithm is taken


@dataclass(frozen=True)
class Model:
    """A model of the study: its guides, its inputs and its loss.

    The two signs in its name are our reading of the publication: LR maps are given to the network or not, and the
    loss has the LR term or not.
    """

    guides: tuple[str, ...]
    given_lr_maps: bool = True
    with_lr_term: bool = True
    sees_truth: bool = False  # trained on the true maps instead: the oracle

    @property
    def name(self) -> str:
        """Name in tables and files, such as M12++."""
        if self.sees_truth:
            return "oracle"
        signs = "".join("+" if sign else "-" for sign in (self.given_lr_maps, self.with_lr_term))
        return f"M{''.join(CODES[guide] for guide in self.guides)}{signs}"


SIGN_PAIRS = ((True, True), (True, False), (False, True), (False, False))
BOTH_GUIDES = ("T1w", "T2w")
MODELS = (
    *(Model(guides, *signs) for guides in (("T1w",), ("T2w",), BOTH_GUIDES) for signs in SIGN_PAIRS),
    Model((*BOTH_GUIDES, "FLAIR")),
    Model(BOTH_GUIDES, sees_truth=True),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Planes:
    """Axial planes of one subject; n planes lie along the second axis of arrays with four axes."""

    guides: Tensor  # (guide, n, X, Y), in units of PD, in the order of `STUDY_PROTOCOL`
    guide_deviation: Tensor  # (guide,)
    lr_maps: Tensor  # (3, n, x, y)
    lr_deviation: Tensor  # (3, n, x, y)
    zero_filled: Tensor  # (3, n, X, Y), LR maps on the HR grid
    truth: Tensor  # (3, n, X, Y), which only the oracle is trained on
    rows: Tensor  # (x, X), truncation along x
    columns: Tensor  # (y, Y), truncation along y

    def __len__(self) -> int:
        return self.lr_maps.shape[1]

    def part(self, planes: Sequence[int]) -> Planes:
        """The planes with these numbers."""
        tensors: dict[str, Tensor] = {each.name: getattr(self, each.name) for each in fields(self)}
        return Planes(**{name: value[:, planes] if value.ndim == 4 else value for name, value in tensors.items()})

    def to(self, device: torch.device) -> Planes:
        """Copy on a device."""
        moved: dict[str, Any] = {each.name: getattr(self, each.name).to(device) for each in fields(self)}
        return Planes(**moved)

    def truncated(self, maps: Tensor) -> Tensor:
        """Truncate maps ``(3, n, X, Y)`` in k-space to ``(3, n, x, y)``."""
        return contract_axis(contract_axis(maps, self.rows, 1), self.columns, 2)


def planes_of(subject: StudySubject, map_noise: float, guide_noise: float) -> Planes:
    """All planes of a subject; the relative noise levels are those it was simulated with."""
    truncate = KSpaceTruncation(subject.truth.grid, subject.lr_maps.grid)
    lr_maps, truth = (torch.as_tensor(maps.data) for maps in (subject.lr_maps, subject.truth))
    guides = torch.stack([torch.as_tensor(guide.data) for guide in subject.guides])
    tissue, lr_tissue = (pd > TRUE_TISSUE_PD * pd.max() for pd in (truth[0], lr_maps[0]))
    levels = guides[:, tissue].abs().median(-1).values
    return Planes(
        guides=_planes_first(guides),
        guide_deviation=max(guide_noise, MIN_GUIDE_NOISE) * levels,
        lr_maps=_planes_first(lr_maps),
        lr_deviation=_planes_first(max(map_noise, MIN_LR_NOISE) * noise_reference(lr_maps, lr_tissue)),
        zero_filled=_planes_first(truncate.zero_filled(lr_maps)),
        truth=_planes_first(truth),
        rows=truncate.matrices[0],
        columns=truncate.matrices[1],
    )


def _planes_first(volumes: Tensor) -> Tensor:
    """Move axes ``(volume, X, Y, Z)`` to ``(volume, Z, X, Y)``."""
    return volumes.permute(0, 3, 1, 2).contiguous()


class ReferenceNet(nn.Module):
    """Network that corrects the zero-filled LR maps of planes, or typical brain tissue if it is not given LR maps."""

    def __init__(self, model: Model, config: NetworkConfig) -> None:
        super().__init__()
        self.model = model
        self.guide_indices = [tuple(STUDY_PROTOCOL).index(guide) for guide in model.guides]
        n_inputs, n_voxels = len(model.guides) + len(QUANTITIES) * model.given_lr_maps, N_FOLDED**2
        self.head = nn.Conv2d(n_inputs * n_voxels, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(config.width, nn.Conv2d) for _ in range(config.n_blocks))
        self.tail = nn.Conv2d(config.width, len(QUANTITIES) * n_voxels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, planes: Planes) -> Tensor:
        """Maps ``(3, n, X, Y)`` within the bounds of their quantities."""
        typical = planes.guides.new_tensor(TYPICAL_LOG_MAPS).view(-1, 1, 1, 1)
        inputs = [planes.guides[self.guide_indices].clamp(min=LEAST_SIGNAL).log() - MEAN_LOG_SIGNAL]
        start = typical.expand(planes.truth.shape)
        if self.model.given_lr_maps:
            start = log_with_floor(planes.zero_filled)
            inputs.append(start - typical)
        correction = self._correction(torch.cat(inputs).transpose(0, 1))
        low, high = typical.new_tensor([each.bounds for each in QUANTITIES.values()]).log().T.reshape(2, 3, 1, 1, 1)
        return (start + correction.transpose(0, 1)).clamp(low, high).exp()

    def _correction(self, inputs: Tensor) -> Tensor:
        """Correction of log maps ``(n, 3, X, Y)`` from inputs ``(n, channel, X, Y)``."""
        x, y = inputs.shape[2:]
        even = pad(inputs, (0, y % N_FOLDED, 0, x % N_FOLDED))
        hidden = relu(self.head(pixel_unshuffle(even, N_FOLDED).contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            hidden = block(hidden)
        return pixel_shuffle(self.tail(hidden), N_FOLDED)[..., :x, :y]

    def solve(self, subject: StudySubject, planes: Planes) -> QuantitativeMaps:
        """Maps of a subject from its planes, one plane at a time."""
        with torch.inference_mode():
            maps = torch.cat([self(planes.part([index])) for index in range(len(planes))], dim=1)
        return QuantitativeMaps(data=maps.permute(0, 2, 3, 1).cpu().numpy(), grid=subject.truth.grid)


def loss_of(model: Model, maps: Tensor, planes: Planes) -> Tensor:
    """Training loss of a model for maps ``(3, n, X, Y)``.

    The loss is the objective per HR voxel, without the LR term if the model has none; for the oracle, it is the mean
    absolute difference of the log maps from the truth.
    """
    if model.sees_truth:
        log_maps, truth = (clamp_to_range(each.clamp(min=LEAST_VALUE).log()) for each in (maps, planes.truth))
        return l1_loss(log_maps, truth)
    total = guide_term(model, maps, planes)
    if model.with_lr_term:
        total = total + lr_term(maps, planes)
    return total / maps[0].numel()


def guide_term(model: Model, maps: Tensor, planes: Planes) -> Tensor:
    """Guide term of the objective, sum_k |f_k(Q) - W_k|^2 / sigma_k^2 over the guides of a model."""
    bounded = [
        part.clamp(0 if quantity.name == "PD" else quantity.bounds[0], quantity.bounds[1])
        for part, quantity in zip(maps, QUANTITIES.values(), strict=True)
    ]
    total = maps.new_zeros(())
    for name, image, deviation in zip(STUDY_PROTOCOL, planes.guides, planes.guide_deviation, strict=True):
        if name in model.guides:
            total = total + ((STUDY_PROTOCOL[name](*bounded) - image) / deviation).square().sum()
    return total


def lr_term(maps: Tensor, planes: Planes) -> Tensor:
    """LR term of the objective, |D Q - Q_lr|^2 / sigma_lr^2."""
    return ((planes.truncated(maps) - planes.lr_maps) / planes.lr_deviation).square().sum()
