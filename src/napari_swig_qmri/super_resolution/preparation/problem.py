"""Super-resolution problems: LR maps and guides on any grids, brought to one HR grid and one parallel LR grid."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.data.gaps import enclosed, filled, has_value
from napari_swig_qmri.data.truncation import (
    EVERYWHERE,
    KSpaceTruncation,
    SeparableOperator,
    TruncationOperator,
    linear_interpolation,
)
from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.preparation.alignment import align_axes
from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide, coarse_guide
from napari_swig_qmri.super_resolution.preparation.coverage import LEAST_OF_A_GUIDE, tissue_notices
from napari_swig_qmri.super_resolution.preparation.guide_stack import stack_guides
from napari_swig_qmri.super_resolution.preparation.proton_density import (
    WATER_PD,
    is_bright_in_head,
    pd_of_water,
    spikes_of,
    tissue_level,
)
from napari_swig_qmri.super_resolution.preparation.sequence_doubt import SequenceDoubt
from napari_swig_qmri.super_resolution.preparation.tissue import AIR, find_tissue, head_brightness, is_bright
from napari_swig_qmri.super_resolution.preparation.tissue_prior import TissuePrior, tissue_prior

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_swig_qmri.data.open_ends import UnseenCovariance
    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.data.warping import Warp
    from napari_swig_qmri.physics.signal_models import SignalModel
    from napari_swig_qmri.physics.signals import NamedSignals

FLOOR = {"PD": 0.02, "T1": 0.02, "T2": 0.02}  # lowest values whose logarithm is taken
GUIDE_FLOOR = 0.03  # of the median over tissue


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """One super-resolution problem in tensors: maps relative to water and in s, guides in scanner units."""

    hr_grid: VoxelGrid
    lr_grid: VoxelGrid
    lr_maps: Tensor  # (3, x, y, z), gaps filled; usual values of tissue for what was not measured; without `lr_unseen`
    measured: tuple[bool, ...]  # per quantity
    lr_signals: NamedSignals | None  # that the LR maps were fitted to; None: they are averages of the HR maps
    lr_outside: Tensor  # (n, x, y, z), contribution of voxels outside the HR grid to the LR maps or their signals
    lr_seen: Tensor  # (x, y, z) bool, voxels with a measurement
    lr_valid: Tensor  # (x, y, z) bool, those of them inside the HR grid, which the solution is compared with
    guides: Tensor  # (guide, X, Y, Z), gaps filled
    lr_guides: Tensor  # (guide, x, y, z), the guides truncated to the LR grid
    guide_valid: Tensor  # (guide, X, Y, Z) bool
    guide_resampled: tuple[bool, ...]  # per guide, whether it was interpolated
    coarse: tuple[CoarseGuide, ...]  # guides with thick slices as measured; `guides` holds them sharpened
    sequences: tuple[SignalModel, ...]
    pd_unit: float  # PD of water in the unit of the PD map
    truncate: TruncationOperator
    interpolate: SeparableOperator
    tissue: Tensor  # (x, y, z) bool, brain tissue without CSF
    notices: tuple[str, ...]
    prior: TissuePrior | None = None  # of what was not measured; None if everything was
    lr_unseen: Tensor | None = None  # (3, x, y, z), what came into the LR maps from beyond ends in tissue, as estimated
    unseen: UnseenCovariance | None = None  # of the error of that estimate, in the LR maps or their signals
    doubts: tuple[SequenceDoubt | None, ...] = ()  # per guide, of its sequence; () for none
    sharpen: SeparableOperator | None = None  # of LR images, what windows and averages took; None: only truncated
    is_t2_star: bool = False  # whether the third map is that of T2*

    @property
    def measured_lr_maps(self) -> Tensor:
        """LR maps ``(3, x, y, z)`` with what came into them from beyond ends in tissue."""
        return self.lr_maps if self.lr_unseen is None else self.lr_maps + self.lr_unseen

    @property
    def open_axes(self) -> tuple[int, ...]:
        """Axes along which the field of view ends in tissue, so that truncation does not join its ends."""
        return () if self.unseen is None else self.unseen.axes

    @property
    def guide_levels(self) -> Tensor:
        """Median magnitude of each guide over tissue, ``(guide,)``."""
        return self.lr_guides[:, self.tissue].abs().median(-1).values.clamp(min=1e-12)

    @property
    def gain_units(self) -> Tensor:
        """Gain per unit of PD relative to water over gain per unit of the PD map, ``(guide,)``: 1 without PD."""
        units = [self.pd_unit if sequence.is_scaled_by_pd else 1.0 for sequence in self.sequences]
        return torch.tensor(units, dtype=self.lr_maps.dtype)

    @property
    def map_units(self) -> Tensor:
        """Factors ``(3, 1, 1, 1)`` from the maps of the problem to those that were measured."""
        return torch.tensor([self.pd_unit, 1.0, 1.0]).view(-1, 1, 1, 1)


def prepare(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    hr_grid: VoxelGrid,
    mask: npt.NDArray[Any] | None = None,
    dtype: torch.dtype = torch.float32,
    as_measured: Sequence[WeightedImage] | None = None,
    lr_signals: NamedSignals | None = None,
    warps: Sequence[Warp | None] | None = None,
) -> Generator[None, None, Problem]:
    """Bring maps and guides to one HR and one LR grid; yields between volumes.

    `mask` ``(X, Y, Z)`` on the HR grid holds the voxels that may be tissue, where it exceeds 0.5. `as_measured` are the
    guides before some of them were sharpened, `lr_signals` the signals that the maps were fitted to, and `warps` the
    displacements of the HR voxels with which guides are read.

    ValueError if maps, guides and mask do not fit together.
    """
    check_mask(mask, hr_grid)
    for guide in guides:
        check_guide(guide, maps.grid)
    about_maps: list[str] = []
    about_guides: list[str] = []
    lr = align_axes(maps, hr_grid)
    truncate = KSpaceTruncation(hr_grid, lr.grid, dtype=dtype)
    warps = warps or [None] * len(guides)
    images, guide_valid = yield from stack_guides(guides, warps, hr_grid, dtype, about_guides)
    yield
    lr_guides = images.new_zeros((len(images), *lr.grid.shape))
    for lr_guide, image in zip(lr_guides, images, strict=True):
        lr_guide.copy_(truncate(image))
    yield
    within = _within(lr.grid, hr_grid)
    of_t2_star = maps.is_t2_star or sees_t2_star(guides)
    clean = _clean_maps(maps, lr, lr_guides, within, about_maps, of_t2_star=of_t2_star)
    lr_maps, seen = clean.data, torch.as_tensor(clean.seen)
    measured = tuple(name in maps.names for name in QUANTITIES)
    allowed = seen
    if mask is not None:
        inside = torch.as_tensor(np.asarray(mask) > 0.5)
        in_mask = (truncate(inside.to(dtype)) > 0.5) & torch.as_tensor(within)  # truncation repeats it beyond the grid
        allowed = seen & in_mask
    has_clear_pd = clean.shows_head or (measured[0] and not guides)
    brightness = lr_maps[0] if has_clear_pd else head_brightness(None, lr_guides) * torch.as_tensor(within)
    tissue = find_tissue(lr_maps, brightness, allowed)
    about_maps += _missing_notices(maps.names, guides)
    about_guides += tissue_notices(tissue, lr.grid, hr_grid, guides)
    problem = Problem(
        hr_grid=hr_grid,
        lr_grid=lr.grid,
        lr_maps=lr_maps.to(dtype),
        lr_signals=lr_signals,
        lr_outside=torch.zeros_like((lr_maps if lr_signals is None else lr_signals(lr_maps)).to(dtype)),
        measured=measured,
        lr_seen=seen,
        lr_valid=seen & torch.as_tensor(within & ~clean.spikes),
        guides=images,
        lr_guides=lr_guides,
        guide_valid=guide_valid,
        guide_resampled=tuple(
            warp is not None or not guide.grid.has_voxels_of(hr_grid) for guide, warp in zip(guides, warps, strict=True)
        ),
        coarse=_coarse_guides(guides, as_measured or guides, hr_grid, dtype),
        sequences=tuple(_sequence_of(guide) for guide in guides),
        pd_unit=clean.pd_unit,
        truncate=truncate,
        interpolate=linear_interpolation(hr_grid, lr.grid, dtype=dtype),
        tissue=tissue & torch.as_tensor(within),
        notices=(*about_maps, *about_guides),
        prior=clean.prior,
        is_t2_star=maps.is_t2_star,
    )
    yield
    _check_fit(problem, [guide.name for guide in guides])
    return problem


def _coarse_guides(
    guides: Sequence[WeightedImage], as_measured: Sequence[WeightedImage], hr_grid: VoxelGrid, dtype: torch.dtype
) -> tuple[CoarseGuide, ...]:
    """Those guides as measured that were sharpened, along the axes of the HR grid."""
    found = [
        coarse_guide(number, measured, hr_grid, dtype)
        for number, (guide, measured) in enumerate(zip(guides, as_measured, strict=True))
        if guide is not measured
    ]
    return tuple(each for each in found if each is not None)


@dataclass(frozen=True, eq=False, kw_only=True)
class _CleanMaps:
    """LR maps without gaps."""

    data: Tensor  # (3, x, y, z), PD relative to water
    seen: BoolArray  # (x, y, z), measured voxels
    spikes: BoolArray  # (x, y, z), those of them whose PD is impossible
    pd_unit: float  # PD of water in the unit of the PD map
    shows_head: bool  # whether there is a PD map that is high in the head and low in air
    prior: TissuePrior | None  # of what was not measured; None if everything was


def _clean_maps(
    maps: QuantitativeMaps,
    lr: QuantitativeMaps,
    lr_guides: Tensor,
    within: BoolArray,
    notices: list[str],
    *,
    of_t2_star: bool,
) -> _CleanMaps:
    """All three quantities on the LR grid, of which the voxels `within` the HR grid show what the guides show.

    Gaps in the head and spikes of PD are filled, air is at the floor, and a quantity that was not measured has the
    value that tissues with these maps usually have.
    """
    valid = np.isfinite(lr.data).all(axis=0) & (lr.data != 0).any(axis=0)
    n_bad = int((~np.isfinite(maps.data)).any(axis=0).sum())
    if n_bad:
        notices.append(f"{n_bad} voxels of the low-resolution maps are not finite and count as not measured.")
    pd_unit, spikes, shows_head = 1.0, np.zeros_like(valid), False
    known = valid & within
    if "PD" in lr.names and known.any():
        head = known & is_bright(head_brightness(None, lr_guides), torch.as_tensor(known), AIR).numpy()
        level = tissue_level(lr, head)
        spikes = spikes_of(lr["PD"], valid, level)
        shows_head = is_bright_in_head(lr["PD"], known & ~spikes, head, level)
        pd_unit = pd_of_water(lr["PD"][valid & ~spikes]) if shows_head else level / WATER_PD
    if spikes.any():
        notices.append(
            f"{int(spikes.sum())} voxels of the PD map differ from their neighbours more than tissue can and are not "
            "used."
        )
    data = np.empty((len(QUANTITIES), *lr.grid.shape), np.float32)
    for i, name in enumerate(QUANTITIES):
        if name in lr.names:
            volume = lr[name] / pd_unit if name == "PD" else lr[name]
            data[i] = np.where(valid, volume, FLOOR[name])
        else:
            data[i] = 1
    gaps = enclosed(~valid, valid)
    if gaps.any():
        gaps &= is_bright(head_brightness(None, lr_guides), torch.as_tensor(valid)).numpy()
    whole = torch.as_tensor(filled(data, gaps | spikes, valid & ~spikes, lr.grid.voxel_size))
    prior = None
    if len(lr.names) < len(QUANTITIES):
        head = valid & is_bright(head_brightness(None, lr_guides), torch.as_tensor(valid), AIR).numpy()
        measured = [name in lr.names for name in QUANTITIES]
        whole, prior = with_usual_values(whole, torch.as_tensor(head), measured, of_t2_star=of_t2_star)
    return _CleanMaps(data=whole, seen=valid, spikes=spikes, pd_unit=pd_unit, shows_head=shows_head, prior=prior)


def with_usual_values(
    lr_maps: Tensor, head: Tensor, measured: Sequence[bool], *, of_t2_star: bool
) -> tuple[Tensor, TissuePrior]:
    """LR maps ``(3, x, y, z)`` with usual values of tissue for what was not measured, and the prior they are from.

    The voxels of the `head` ``(x, y, z)`` tell the field strength. With `of_t2_star` T2 stands for T2*.
    """
    log_maps = log_with_floor(lr_maps)
    prior = tissue_prior(log_maps[:, head if head.any() else torch.ones_like(head)], measured, of_t2_star=of_t2_star)
    missing = ~torch.tensor(list(measured))
    filled_in = lr_maps.clone()
    filled_in[missing] = prior.moments(log_maps, measured)[0].exp()[missing]
    return filled_in, prior


def seen_share(problem: Problem, valid: Tensor, rows: Slices = EVERYWHERE) -> Tensor:
    """Share of LR voxels in `rows` that was measured by a guide, given its measured HR voxels ``(X, Y, Z)``."""
    truncate = problem.truncate.restricted(EVERYWHERE, rows)
    if valid.all():  # constants stay constant
        return torch.ones([len(matrix) for matrix in truncate.matrices], dtype=problem.guides.dtype)
    return truncate(valid.to(problem.guides.dtype))


def with_floor(maps: Tensor) -> Tensor:
    """Maps ``(3, ...)`` with a floor for values that truncation made negative."""
    return torch.stack([volume.clamp(min=floor) for volume, floor in zip(maps, FLOOR.values(), strict=True)])


def log_with_floor(maps: Tensor) -> Tensor:
    """Logarithms of maps ``(3, ...)``, with a floor for values that truncation made negative."""
    return with_floor(maps).log_()


def sees_t2_star(guides: Sequence[WeightedImage]) -> bool:
    """Whether T2 stands for T2*, because the guides that depend on either are gradient echoes."""
    in_use = {name for guide in guides if guide.sequence for name in guide.sequence.maps_in_use}
    return "T2*" in in_use and "T2" not in in_use


def _missing_notices(names: Sequence[str], guides: Sequence[WeightedImage]) -> list[str]:
    """Sentence for each quantity that guides depend on and that was not measured."""
    in_use = {name for guide in guides if guide.sequence for name in guide.sequence.maps_in_use}
    called = {name: "T2*" if name == "T2" and sees_t2_star(guides) else name for name in QUANTITIES}
    return [
        f"There is no {name} map: {called[name]} is solved for as an unknown with the usual values of tissue, on which "
        "the gains of the guides rest."
        for name in QUANTITIES
        if name not in names and called[name] in in_use
    ]


def _within(grid: VoxelGrid, other: VoxelGrid) -> BoolArray:
    """Voxels ``(x, y, z)`` of `grid` whose centres lie in the field of view of another grid."""
    between = np.linalg.inv(other.affine) @ grid.affine
    voxels = apply_affine(between, np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    return np.asarray(((voxels >= -0.5) & (voxels < np.array(other.shape) - 0.5)).all(axis=-1))


def _sequence_of(guide: WeightedImage) -> SignalModel:
    if guide.sequence is None:
        raise ValueError(
            f"the sequence of guide {guide.name!r} is not known: give its type, TR and TE (and TI), in a sidecar or in "
            f"the acquisition table."
        )
    return guide.sequence


def check_guide(guide: WeightedImage, lr_grid: VoxelGrid) -> None:
    """Refuse a guide without any value, or away from the LR maps."""
    if not has_value(guide.data).any():
        raise ValueError(f"{guide.name} holds no voxel with a value: choose another image.")
    if not (_within(lr_grid, guide.grid).any() or _within(guide.grid, lr_grid).any()):
        distance = np.linalg.norm(guide.grid.centre - lr_grid.centre)
        raise ValueError(
            f"{guide.name} covers nothing of the low-resolution maps; their centres lie {distance:.0f} mm apart: "
            "choose images of the same head in the same place."
        )


def check_mask(mask: npt.NDArray[Any] | None, grid: VoxelGrid) -> None:
    """Refuse a mask that has not the voxels of the result, or is empty."""
    if mask is None:
        return
    if np.shape(mask) != grid.shape:
        raise ValueError(
            f"the mask has the shape {np.shape(mask)}, but the result {grid.shape}: resample it to the voxels of the "
            "result."
        )
    if not (np.asarray(mask) > 0.5).any():
        raise ValueError("the mask is empty: choose one that covers the brain, or none.")


def _check_fit(problem: Problem, names: Sequence[str]) -> None:
    """Refuse maps with impossible values over tissue, and guides that cover little of it or have no signal there."""
    for (name, quantity), volume, measured in zip(QUANTITIES.items(), problem.lr_maps, problem.measured, strict=True):
        middle, (low, high) = float(volume[problem.tissue].median()), quantity.bounds
        if measured and not low <= middle <= high:
            raise ValueError(
                f"the {name} map has a median of {middle:.3g} {quantity.unit} over tissue, but {name} lies between "
                f"{low:g} and {high:g} {quantity.unit}: correct its unit, or choose another image."
            )
    for name, sequence, image, valid in zip(
        names, problem.sequences, problem.lr_guides, problem.guide_valid, strict=True
    ):
        used = problem.tissue & (seen_share(problem, valid) > 0.5)
        share = int(used.sum()) / int(problem.tissue.sum())
        if share < LEAST_OF_A_GUIDE:
            raise ValueError(
                f"{name} has values in only {share:.2%} of the tissue of the low-resolution maps, but at least "
                f"{LEAST_OF_A_GUIDE:.0%} are needed: choose images of the same head in the same place."
            )
        level = float((image.abs() if sequence.is_signed else image)[used].median())
        if not level > 0:
            raise ValueError(
                f"{name} has no positive signal over the tissue of the low-resolution maps (median {level:.3g}): "
                "choose another image, or correct its sign."
            )
