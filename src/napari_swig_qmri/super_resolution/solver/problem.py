"""Volumes of any grid made ready for the solvers: one HR grid, one parallel LR grid, gaps marked."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nibabel.affines import apply_affine

from napari_swig_qmri.data.gaps import enclosed, filled, gaps_of, has_value
from napari_swig_qmri.data.interpretation import uniform_image
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.truncation import KSpaceTruncation, TruncationOperator, linear_interpolation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.super_resolution.solver.alignment import align_axes

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.physics.signal_models import SignalModel

WATER_PD = 0.8  # PD of brain tissue relative to water: PD maps are scaled so that their tissue has it
TYPICAL = {"PD": WATER_PD, "T1": 1.2, "T2": 0.08}  # of brain tissue, for a map that was not measured
TISSUE_T1 = (0.2, 2.5)  # s, brain tissue without CSF
TISSUE_T2 = (0.02, 0.15)  # s
TISSUE_PD = 0.35  # of the 99th percentile
FLOOR = {"PD": 0.02, "T1": 0.02, "T2": 0.02}  # below, a map has no logarithm worth using
MIN_TISSUE = 100  # LR voxels
GUIDE_FLOOR = 0.03  # of the median over tissue
LEAST_OVERLAP = 0.1  # share of the tissue that each image must cover


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """One super-resolution problem in tensors: maps relative to water and in s, guides in scanner units."""

    hr_grid: VoxelGrid
    lr_grid: VoxelGrid
    lr_maps: Tensor  # (3, x, y, z), gaps filled; a map that was not measured is constant
    measured: tuple[bool, ...]  # per quantity
    lr_outside: Tensor  # (3, x, y, z), what voxels off the HR grid add to the LR maps
    lr_seen: Tensor  # (x, y, z) bool, voxels with a measurement
    lr_valid: Tensor  # (x, y, z) bool, those of them that lie in the HR grid: only they can be compared
    guides: Tensor  # (guide, X, Y, Z), gaps filled
    lr_guides: Tensor  # (guide, x, y, z), the guides truncated to the LR grid
    guide_valid: Tensor  # (guide, X, Y, Z) bool
    sequences: tuple[SignalModel, ...]
    pd_unit: float  # unit of the PD map relative to water
    truncate: TruncationOperator
    interpolate: SeparableOperator
    tissue: Tensor  # (x, y, z) bool, brain tissue away from CSF
    notices: tuple[str, ...]

    @cached_property
    def guide_levels(self) -> Tensor:
        """Median magnitude of each guide over tissue, ``(guide,)``."""
        return self.lr_guides[:, self.tissue].abs().median(-1).values.clamp(min=1e-12)

    @property
    def gain_units(self) -> Tensor:
        """Gain per unit of PD relative to water over gain per unit of the PD map, ``(guide,)``: 1 without PD."""
        units = [self.pd_unit if sequence.is_scaled_by_pd else 1.0 for sequence in self.sequences]
        return torch.tensor(units, dtype=self.lr_maps.dtype)


def prepare(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    hr_grid: VoxelGrid,
    mask: npt.NDArray[Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Generator[None, None, Problem]:
    """Bring maps and guides together; see `Problem`. Yields between volumes.

    Raises
    ------
    ValueError
        If maps, guides and mask do not fit together.
    """
    check_mask(mask, hr_grid)
    for guide in guides:
        check_guide(guide, maps.grid)
    about_maps: list[str] = []
    about_guides: list[str] = []
    lr = yield from align_axes(maps, hr_grid, about_maps)
    truncate = KSpaceTruncation(hr_grid, lr.grid, dtype=dtype)
    images, images_seen = [], []
    for guide in guides:
        yield
        image, seen = yield from _on_grid(guide, hr_grid, about_guides)
        images.append(image)
        images_seen.append(seen)
    yield
    stacked = _stacked(images, hr_grid, dtype)
    lr_guides = (
        torch.stack([truncate(image) for image in stacked]) if images else stacked.new_zeros((0, *lr.grid.shape))
    )
    guide_valid = _stacked(images_seen, hr_grid, torch.bool)
    yield
    data, valid, pd_unit = _clean_maps(maps, lr, lr_guides, about_maps)
    inside = torch.as_tensor(valid)
    if mask is not None:
        inside = inside & (truncate(torch.as_tensor(np.asarray(mask) > 0.5, dtype=dtype)) > 0.5)
    within = _within(lr.grid, hr_grid)
    measured = tuple(name in maps.names for name in QUANTITIES)
    tissue = _tissue(data, _brightness(data[0] if measured[0] else None, lr_guides), inside)
    problem = Problem(
        hr_grid=hr_grid,
        lr_grid=lr.grid,
        lr_maps=data.to(dtype),
        lr_outside=torch.zeros(data.shape, dtype=dtype),
        measured=measured,
        lr_seen=torch.as_tensor(valid),
        lr_valid=torch.as_tensor(valid & within),
        guides=stacked,
        lr_guides=lr_guides,
        guide_valid=guide_valid,
        sequences=tuple(_sequence_of(guide) for guide in guides),
        pd_unit=pd_unit,
        truncate=truncate,
        interpolate=linear_interpolation(hr_grid, lr.grid, dtype=dtype),
        tissue=_covered(tissue, within),
        notices=(*about_maps, *about_guides),
    )
    yield
    _check_fit(problem, [guide.name for guide in guides])
    return problem


def _stacked(arrays: Sequence[npt.NDArray[Any]], grid: VoxelGrid, dtype: torch.dtype) -> Tensor:
    """Volumes as one tensor ``(volume, X, Y, Z)``, also if there are none."""
    if not arrays:
        return torch.zeros((0, *grid.shape), dtype=dtype)
    return torch.as_tensor(np.stack(arrays), dtype=dtype)


def choose_hr_grid(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    voxel_size: float | Sequence[float] | None,
    reference: int | None,
) -> VoxelGrid:
    """The grid of the reference guide (the finest by default), or its field of view in asked voxels (mm)."""
    grid = guides[reference_index(guides, reference)].grid if guides else maps.grid
    if voxel_size is None:
        return grid
    if np.shape(voxel_size) not in ((), (3,)):
        raise ValueError(f"the voxel size must be one number or three, but it is {voxel_size}.")
    sizes = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError(f"the voxel size must be above 0 mm, but it is {voxel_size}.")
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(grid.field_of_view, sizes, strict=True))
    return grid.with_shape((x, y, z))


def reference_index(guides: Sequence[WeightedImage], asked: int | None) -> int:
    """Index of the guide whose grid the result gets: the one asked for, or the finest."""
    if asked is None:
        return int(np.argmin([np.prod(guide.grid.voxel_size) for guide in guides]))
    if asked not in range(len(guides)):
        raise ValueError(f"the reference must be a guide from 0 to {len(guides) - 1}, but it is {asked}.")
    return int(asked)


def check_guide(guide: WeightedImage, lr_grid: VoxelGrid) -> None:
    """A guide has values, and lies where the maps are."""
    if not has_value(guide.data).any():
        raise ValueError(f"{guide.name} holds no voxel with a value: choose another image.")
    if not _within(lr_grid, guide.grid).any():
        raise ValueError(
            f"{guide.name} covers nothing of the low-resolution maps: choose images of the same head in the same place."
        )


def _on_grid(
    guide: WeightedImage, grid: VoxelGrid, notices: list[str]
) -> Generator[None, None, tuple[FloatArray, BoolArray]]:
    """A guide on the HR grid with its gaps filled, 0 where there is nothing to fill them with, and its seen voxels."""
    data = np.asarray(guide.data, np.float32)
    seen = has_value(data)
    gaps = gaps_of(data, seen)
    n_bad = int((gaps | ~np.isfinite(data)).sum())
    if n_bad:
        notices.append(f"{n_bad} voxels of {guide.name} have no value and are not used.")
    data = np.where(seen, data, 0)
    if isinstance(guide.sequence, Mp2rageUni):
        data = uniform_image(data, seen, guide.name, notices)
    data = filled(data, gaps, seen, guide.grid.voxel_size)
    if not guide.grid.is_aligned_with(grid):
        notices.append(f"{guide.name} lies on another grid and was resampled to the high-resolution grid.")
    return (yield from resampled(data, seen, guide.grid, grid))


def _clean_maps(
    maps: QuantitativeMaps, lr: QuantitativeMaps, lr_guides: Tensor, notices: list[str]
) -> tuple[Tensor, BoolArray, float]:
    """All three quantities, PD relative to water, gaps filled and air at the floor; where they were measured."""
    valid = np.isfinite(lr.data).all(axis=0) & (lr.data != 0).any(axis=0)
    n_bad = int((~np.isfinite(maps.data)).any(axis=0).sum())
    if n_bad:
        notices.append(f"{n_bad} voxels of the low-resolution maps are not finite and count as not measured.")
    pd_unit = 1.0
    data = np.empty((len(QUANTITIES), *lr.grid.shape), np.float32)
    for i, name in enumerate(QUANTITIES):
        if name not in lr.names:
            data[i] = TYPICAL[name]
            notices.append(
                f"There is no {name} map: the gains of the guides are found with a {name} of {TYPICAL[name]:g}, which "
                "makes them uncertain."
            )
            continue
        volume = lr[name]
        if name == "PD":
            bright = volume[valid & (volume > TISSUE_PD * np.percentile(volume[valid], 99))]
            pd_unit = float(np.median(bright)) / WATER_PD
            volume = volume / pd_unit
        data[i] = np.where(valid, volume, FLOOR[name])
    gaps = enclosed(~valid, valid)
    if gaps.any():
        gaps &= _is_bright(_brightness(None, lr_guides), torch.as_tensor(valid)).numpy()
    return torch.as_tensor(filled(data, gaps, valid, lr.grid.voxel_size)), valid, pd_unit


def _within(grid: VoxelGrid, other: VoxelGrid) -> BoolArray:
    """Voxels of `grid` whose centres lie in the field of view of another grid; ``(x, y, z)``."""
    between = np.linalg.inv(other.affine) @ grid.affine
    voxels = apply_affine(between, np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    return np.asarray(((voxels >= -0.5) & (voxels < np.array(other.shape) - 0.5)).all(axis=-1))


def _brightness(pd: Tensor | None, lr_guides: Tensor) -> Tensor:
    """What tells head from air ``(x, y, z)``: the PD map, or else the guides together."""
    if pd is not None:
        return pd
    if not len(lr_guides):
        return torch.ones(lr_guides.shape[1:])
    sizes = lr_guides.abs()
    return torch.stack([size / _top(size.flatten()).clamp(min=1e-12) for size in sizes]).mean(0)


def _is_bright(brightness: Tensor, valid: Tensor) -> Tensor:
    return brightness > TISSUE_PD * _top(brightness[valid])


def _top(values: Tensor) -> Tensor:
    """The 99th percentile, of some 100 000 values."""
    return values[:: max(1, len(values) // 100_000)].quantile(0.99)


def _tissue(lr_maps: Tensor, brightness: Tensor, valid: Tensor) -> Tensor:
    """Voxels of brain tissue without CSF; where there are next to none, all bright ones of `valid`."""
    if not valid.any():
        raise ValueError("the mask covers no voxel of the low-resolution maps that has a value: choose another one.")
    bright = valid & _is_bright(brightness, valid)
    found = bright
    for volume, (low, high) in ((lr_maps[1], TISSUE_T1), (lr_maps[2], TISSUE_T2)):
        found = found & (volume > low) & (volume < high)
    if int(found.sum()) >= MIN_TISSUE:
        return found
    return bright if bright.any() else valid


def _covered(tissue: Tensor, within: BoolArray) -> Tensor:
    """Tissue within the HR grid."""
    covered = tissue & torch.as_tensor(within)
    share = int(covered.sum()) / int(tissue.sum())
    if share < LEAST_OVERLAP:
        raise ValueError(
            f"only {share:.0%} of the tissue of the low-resolution maps lies in the high-resolution grid: choose "
            "images of the same head in the same place."
        )
    return covered


def _check_fit(problem: Problem, names: Sequence[str]) -> None:
    """Maps have possible values over tissue, and every guide covers enough of it and is bright there."""
    for (name, quantity), volume, measured in zip(QUANTITIES.items(), problem.lr_maps, problem.measured, strict=True):
        middle, (low, high) = float(volume[problem.tissue].median()), quantity.bounds
        if measured and not low <= middle <= high:
            raise ValueError(
                f"the {name} map has a median of {middle:.3g} {quantity.unit} over tissue, but {name} lies between "
                f"{low:g} and {high:g} {quantity.unit}: correct its unit, or choose another image."
            )
    covered = problem.truncate(problem.guide_valid.to(problem.lr_maps.dtype)) > 0.5
    for name, sequence, image, seen in zip(names, problem.sequences, problem.lr_guides, covered, strict=True):
        used = problem.tissue & seen
        if int(used.sum()) < LEAST_OVERLAP * int(problem.tissue.sum()):
            raise ValueError(
                f"{name} covers less than {LEAST_OVERLAP:.0%} of the tissue of the low-resolution maps: choose images "
                "of the same head in the same place."
            )
        level = float((image.abs() if sequence.is_signed else image)[used].median())
        if not level > 0:
            raise ValueError(
                f"{name} has no positive signal over the tissue of the low-resolution maps (median {level:.3g}): "
                "choose another image, or correct its sign."
            )


def _sequence_of(guide: WeightedImage) -> SignalModel:
    if guide.sequence is None:
        raise ValueError(
            f"the sequence of guide {guide.name!r} is not known: give its type, TR and TE (and TI), in a sidecar or in "
            f"the acquisition table."
        )
    return guide.sequence


def check_mask(mask: npt.NDArray[Any] | None, grid: VoxelGrid) -> None:
    """The mask, if there is one, has the voxels of the result and is not empty."""
    if mask is None:
        return
    if np.shape(mask) != grid.shape:
        raise ValueError(
            f"the mask has the shape {np.shape(mask)}, but the result {grid.shape}: resample it to the voxels of the "
            "result."
        )
    if not (np.asarray(mask) > 0.5).any():
        raise ValueError("the mask is empty: choose one that covers the brain, or none.")
