"""Volumes of any grid made ready for the solvers: one HR grid, one parallel LR grid, gaps marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.processing import resample_from_to
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.operators import MAX_ANGLE, KSpaceTruncation, linear_interpolation, relative_axes
from napari_swig_qmri.quantities import QUANTITIES
from napari_swig_qmri.volumes import QuantitativeMaps, VoxelGrid, WeightedImage

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_swig_qmri.operators import SeparableOperator
    from napari_swig_qmri.signal_models import SignalModel
    from napari_swig_qmri.volumes import FloatArray

WATER_PD = 0.8  # PD of brain tissue relative to water: PD maps are scaled so that their tissue has it
TYPICAL = {"PD": WATER_PD, "T1": 1.2, "T2": 0.08}  # of brain tissue, for a map that was not measured
TISSUE_T1 = (0.2, 2.5)  # s, brain tissue without CSF
TISSUE_T2 = (0.02, 0.15)  # s
TISSUE_PD = 0.35  # of the 99th percentile
FLOOR = {"PD": 0.02, "T1": 0.02, "T2": 0.02}  # below, a map has no logarithm worth using
GUIDE_FLOOR = 0.03  # of the median over tissue
ALIASING = 1.25  # ratio of voxel edges from which a finer guide is smoothed before it is resampled


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """One super-resolution problem in tensors: maps relative to water and in s, guides in scanner units."""

    hr_grid: VoxelGrid
    lr_grid: VoxelGrid
    lr_maps: Tensor  # (3, x, y, z); a map that was not measured is constant
    measured: tuple[bool, ...]  # per quantity
    lr_valid: Tensor  # (x, y, z) bool, voxels with a measurement
    guides: Tensor  # (guide, X, Y, Z)
    guide_valid: Tensor  # (guide, X, Y, Z) bool
    sequences: tuple[SignalModel, ...]
    pd_unit: float  # unit of the PD map relative to water
    truncate: KSpaceTruncation
    interpolate: SeparableOperator
    tissue: Tensor  # (x, y, z) bool, brain tissue away from CSF
    notices: tuple[str, ...]

    @cached_property
    def lr_guides(self) -> Tensor:
        """The guides truncated to the LR grid, ``(guide, x, y, z)``."""
        return self.truncate(self.guides)

    @cached_property
    def guide_levels(self) -> Tensor:
        """Median magnitude of each guide over tissue, ``(guide,)``."""
        return self.lr_guides[:, self.tissue].abs().median(-1).values.clamp(min=1e-12)


def prepare(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    hr_grid: VoxelGrid,
    mask: FloatArray | None,
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """Bring maps and guides together; see `Problem`.

    Raises
    ------
    ValueError
        If the maps hold no tissue or a guide has no sequence.
    """
    notices: list[str] = []
    lr = parallel(maps, hr_grid, notices)
    data, valid, pd_unit = _clean_maps(lr, notices)
    images, images_valid = [], []
    for guide in guides:
        on_grid = resampled(guide, hr_grid, notices)
        finite = np.isfinite(on_grid.data)
        n_bad = int((~finite).sum())
        if n_bad:
            notices.append(f"{n_bad} voxels of {guide.name} have no value and are not used.")
        images.append(np.where(finite, on_grid.data, 0).astype(np.float32))
        images_valid.append(finite & (on_grid.data != 0) if _is_masked(on_grid.data) else finite)
    truncate = KSpaceTruncation(hr_grid, lr.grid, dtype=dtype)
    inside = torch.as_tensor(valid)
    if mask is not None:
        inside = inside & (truncate(torch.as_tensor(np.asarray(mask, np.float32))) > 0.5)
    return Problem(
        hr_grid=hr_grid,
        lr_grid=lr.grid,
        lr_maps=data.to(dtype),
        measured=tuple(name in maps.names for name in QUANTITIES),
        lr_valid=torch.as_tensor(valid),
        guides=_stacked(images, hr_grid, dtype),
        guide_valid=_stacked(images_valid, hr_grid, torch.bool),
        sequences=tuple(_sequence_of(guide) for guide in guides),
        pd_unit=pd_unit,
        truncate=truncate,
        interpolate=linear_interpolation(hr_grid, lr.grid, dtype=dtype),
        tissue=_tissue(data, inside),
        notices=tuple(notices),
    )


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
    if guides:
        if reference is None:
            reference = int(np.argmin([np.prod(guide.grid.voxel_size) for guide in guides]))
        if reference not in range(len(guides)):
            raise ValueError(f"the reference must be a guide from 0 to {len(guides) - 1}, but it is {reference}.")
        grid = guides[reference].grid
    else:
        grid = maps.grid
    if voxel_size is None:
        return grid
    if np.shape(voxel_size) not in ((), (3,)):
        raise ValueError(f"the voxel size must be one number or three, but it is {voxel_size}.")
    sizes = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError(f"the voxel size must be above 0 mm, but it is {voxel_size}.")
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(grid.field_of_view, sizes, strict=True))
    return grid.with_shape((x, y, z))


def parallel(maps: QuantitativeMaps, hr_grid: VoxelGrid, notices: list[str]) -> QuantitativeMaps:
    """Maps with the axes of the HR grid: axes permuted and flipped, turned maps resampled band-limited."""
    between = np.linalg.inv(hr_grid.affine) @ maps.grid.affine
    orientation = io_orientation(between)
    data = np.stack([apply_orientation(volume, orientation) for volume in maps.data])
    nx, ny, nz = data.shape[1:]
    grid = VoxelGrid((nx, ny, nz), maps.grid.affine @ inv_ornt_aff(orientation, maps.grid.shape))
    turned = QuantitativeMaps(data=data, grid=grid, names=maps.names)
    try:
        relative_axes(hr_grid, grid)
    except ValueError:
        notices.append(
            f"The maps are turned by more than {MAX_ANGLE} degrees against the high-resolution grid and were "
            f"resampled to its axes at their own voxel size."
        )
        return _turned_to(turned, hr_grid)
    return turned


def _turned_to(maps: QuantitativeMaps, hr_grid: VoxelGrid) -> QuantitativeMaps:
    """Maps at their own voxel size along the axes of the HR grid, by sinc and then spline interpolation."""
    sizes = np.asarray(maps.grid.voxel_size)
    x, y, z = (max(1, round(extent / size)) for extent, size in zip(hr_grid.field_of_view, sizes, strict=True))
    target = hr_grid.with_shape((x, y, z))
    nx, ny, nz = (2 * n for n in maps.grid.shape)
    fine = maps.grid.with_shape((nx, ny, nz))
    missing = ~np.isfinite(maps.data)
    dense = KSpaceTruncation(maps.grid, fine)(torch.as_tensor(np.where(missing, 0, maps.data), dtype=torch.float32))
    data = np.stack([_spline(volume, fine, target) for volume in dense.numpy()])
    gaps = np.stack([_spline(m.astype(np.float32), maps.grid, target, order=1) for m in missing])
    data[~(gaps < 0.5)] = np.nan
    return QuantitativeMaps(data=data, grid=target, names=maps.names)


def resampled(guide: WeightedImage, grid: VoxelGrid, notices: list[str]) -> WeightedImage:
    """A guide on another grid by cubic splines, smoothed first where its voxels are finer; NaN outside of it."""
    if guide.grid.is_aligned_with(grid):
        return replace(guide, grid=grid)
    notices.append(f"{guide.name} lies on another grid and was resampled to the high-resolution grid.")
    between = np.linalg.inv(guide.grid.affine) @ grid.affine
    coarser = np.linalg.norm(between[:3, :3], axis=1)  # HR voxel edge in guide voxels, per guide axis
    data = np.asarray(guide.data, np.float32)
    if coarser.max() > ALIASING:
        sigma = 0.4 * np.sqrt(np.maximum(coarser**2 - 1, 0))
        data = gaussian_filter(np.nan_to_num(data), sigma)
    return replace(guide, data=_spline(data, guide.grid, grid), grid=grid)


def _spline(data: FloatArray, source: VoxelGrid, target: VoxelGrid, order: int = 3) -> FloatArray:
    image = nib.Nifti1Image(np.nan_to_num(data).astype(np.float32), source.affine)
    moved = resample_from_to(image, (target.shape, target.affine), order=order, cval=np.nan)
    result: FloatArray = np.asarray(moved.dataobj, dtype=np.float32)
    return result


def _clean_maps(maps: QuantitativeMaps, notices: list[str]) -> tuple[Tensor, FloatArray, float]:
    """All three quantities, PD relative to water, with invalid voxels at the floor and marked."""
    finite = np.isfinite(maps.data).all(axis=0)
    valid = finite & (maps.data != 0).any(axis=0)
    n_bad = int((~finite).sum())
    if n_bad:
        notices.append(f"{n_bad} voxels of the low-resolution maps are not finite and count as not measured.")
    pd_unit = 1.0
    data = np.empty((len(QUANTITIES), *maps.grid.shape), np.float32)
    for i, name in enumerate(QUANTITIES):
        if name not in maps.names:
            data[i] = TYPICAL[name]
            notices.append(
                f"There is no {name} map: signal models cannot be used, so the other maps come from regression on the "
                f"guides alone; the guides are synthesised with a {name} of {TYPICAL[name]:g}."
            )
            continue
        volume = maps[name]
        if name == "PD":
            bright = volume[valid & (volume > TISSUE_PD * np.percentile(volume[valid], 99))]
            pd_unit = float(np.median(bright)) / WATER_PD
            volume = volume / pd_unit
        data[i] = np.where(valid, volume, FLOOR[name])
    return torch.as_tensor(data), valid, pd_unit


def _tissue(lr_maps: Tensor, valid: Tensor) -> Tensor:
    """Voxels of brain tissue without CSF; all of `valid` where there are next to none."""
    pd, t1, t2 = lr_maps
    bright = pd > TISSUE_PD * pd[valid].quantile(0.99) if int(valid.sum()) < 10_000_000 else pd > 0.3
    found = valid & bright
    for volume, (low, high) in ((t1, TISSUE_T1), (t2, TISSUE_T2)):
        found = found & (volume > low) & (volume < high)
    return found if int(found.sum()) >= 100 else valid


def _is_masked(data: FloatArray) -> bool:
    """Whether a tenth or more of an image is exactly zero: its surroundings were cut away."""
    return float((data == 0).mean()) >= 0.1


def _sequence_of(guide: WeightedImage) -> SignalModel:
    if guide.sequence is None:
        raise ValueError(
            f"the sequence of guide {guide.name!r} is not known: give its type, TR and TE (and TI), in a sidecar or in "
            f"the acquisition table."
        )
    return guide.sequence
