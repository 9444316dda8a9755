"""Volumes on voxel grids: what a file holds, quantitative maps and weighted images.

Arrays are ``(x, y, z)`` in the order a NIfTI file stores them; affines map voxel indices
to RAS+ world millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine, voxel_sizes

if TYPE_CHECKING:
    from pathlib import Path

    from napari_swig_qmri.physics.signal_models import SignalModel

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Where the voxels of a volume lie: their number per axis and a 4 x 4 affine to RAS+ mm."""

    shape: tuple[int, int, int]
    affine: FloatArray  # (4, 4), voxel index -> RAS+ mm, of voxel centres

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def field_of_view(self) -> tuple[float, float, float]:
        """Edge lengths of the whole grid in mm, outer voxel edges included."""
        x, y, z = (n * size for n, size in zip(self.shape, self.voxel_size, strict=True))
        return x, y, z

    def world(self, voxels: FloatArray) -> FloatArray:
        """World positions in mm of voxel positions, both ``(..., 3)``."""
        positions: FloatArray = apply_affine(self.affine, voxels)
        return positions

    def with_shape(self, shape: tuple[int, int, int]) -> VoxelGrid:
        """Grid of another number of voxels that spans the same field of view."""
        ratio = np.asarray(self.shape) / np.asarray(shape)
        affine = self.affine.astype(float).copy()
        affine[:3, :3] = self.affine[:3, :3] * ratio
        affine[:3, 3] = self.world((ratio - 1) / 2)
        return VoxelGrid(shape, affine)

    def box(self, corner: tuple[int, int, int], shape: tuple[int, int, int]) -> VoxelGrid:
        """The part of `shape` voxels whose first voxel is `corner`."""
        affine = self.affine.astype(float).copy()
        affine[:3, 3] = self.world(np.asarray(corner, float))
        return VoxelGrid(shape, affine)

    def distance_to(self, other: VoxelGrid) -> float:
        """Largest distance in mm between the corners of two grids; infinite if shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), axis=-1)
        gap = self.world(corners) - other.world(corners)
        return float(np.linalg.norm(gap, axis=-1).max())

    def is_aligned_with(self, other: VoxelGrid, tolerance: float = 0.05) -> bool:
        """Whether both grids have the same voxels, their corners within `tolerance` mm."""
        return self.distance_to(other) <= tolerance


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume:
    """One image as it came from a file or a layer, times in s and angles in degrees as BIDS has them."""

    data: FloatArray  # (x, y, z) or (x, y, z, t, ...)
    grid: VoxelGrid
    name: str
    suffix: str | None = None  # BIDS suffix: T1map, T2w, FLAIR, ...; None if unknown
    unit: str | None = None  # s, 1/s, arbitrary; None for weighted images
    file_unit: str | None = None  # of the numbers as stored: ms, 1/ms, ...; None as `unit`
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    header: Any = None  # the nibabel header, if it came from a file
    path: Path | None = None
    notices: tuple[str, ...] = ()  # what was assumed, one sentence each


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantitativeMaps:
    """Maps of tissue quantities on one grid: PD in arbitrary units, T1 and T2 in seconds.

    Voxels without a measurement are NaN.
    """

    data: FloatArray  # (quantity, x, y, z)
    grid: VoxelGrid
    names: tuple[str, ...] = ("PD", "T1", "T2")  # of the first axis, keys of `quantities.QUANTITIES`

    def __post_init__(self) -> None:
        if self.data.shape != (len(self.names), *self.grid.shape):
            raise ValueError(
                f"maps {', '.join(self.names)} on a grid of {self.grid.shape} voxels need an array of shape "
                f"{(len(self.names), *self.grid.shape)}, but the array is {self.data.shape}: stack one "
                "volume per map."
            )

    def __getitem__(self, name: str) -> FloatArray:
        """One map by name, ``(x, y, z)``."""
        return self.data[self.names.index(name)]  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedImage:
    """A weighted image in scanner units and the sequence that made it (None if unknown)."""

    data: FloatArray  # (x, y, z)
    grid: VoxelGrid
    name: str
    sequence: SignalModel | None = None
    notices: tuple[str, ...] = ()  # what was assumed about image and sequence, one sentence each

    def __post_init__(self) -> None:
        if self.data.shape != self.grid.shape:
            raise ValueError(
                f"weighted image {self.name!r} has an array of shape {self.data.shape} on a grid of "
                f"{self.grid.shape} voxels: pass the grid that belongs to the array."
            )
