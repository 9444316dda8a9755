"""Voxel grids, images of files, quantitative maps and weighted images.

Arrays are ``(x, y, z)`` in the voxel order of NIfTI files; affines map voxel indices to RAS+ world coordinates in mm.
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

BRIGHT = 0.3  # of the 99th percentile


@dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Number of voxels per axis, and the affine from voxel indices to world coordinates.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import VoxelGrid
    >>> VoxelGrid((64, 64, 20), np.diag([2.0, 2.0, 5.0, 1.0])).field_of_view
    (128.0, 128.0, 100.0)
    """

    shape: tuple[int, int, int]
    affine: FloatArray  # (4, 4), voxel index -> RAS+ mm of the voxel centre

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def field_of_view(self) -> tuple[float, float, float]:
        """Edge lengths of the grid in mm, between outer voxel edges."""
        x, y, z = (n * size for n, size in zip(self.shape, self.voxel_size, strict=True))
        return x, y, z

    @property
    def centre(self) -> FloatArray:
        """World coordinates ``(3,)`` of the middle of the field of view in mm."""
        return self.world((np.asarray(self.shape) - 1) / 2)

    def world(self, voxels: FloatArray) -> FloatArray:
        """World coordinates in mm of voxel coordinates, both ``(..., 3)``."""
        positions: FloatArray = apply_affine(self.affine, voxels)
        return positions

    def with_shape(self, shape: tuple[int, int, int]) -> VoxelGrid:
        """Grid with `shape` voxels and the same field of view."""
        ratio = np.asarray(self.shape) / np.asarray(shape)
        affine = self.affine.astype(float).copy()
        affine[:3, :3] = self.affine[:3, :3] * ratio
        affine[:3, 3] = self.world((ratio - 1) / 2)
        return VoxelGrid(shape, affine)

    def box(self, corner: tuple[int, int, int], shape: tuple[int, int, int]) -> VoxelGrid:
        """Part of the grid with `shape` voxels, starting at voxel `corner`."""
        affine = self.affine.astype(float).copy()
        affine[:3, 3] = self.world(np.asarray(corner, float))
        return VoxelGrid(shape, affine)

    def distance_to(self, other: VoxelGrid) -> float:
        """Largest distance in mm between corresponding corners of two grids; infinite if their shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), axis=-1)
        gap = self.world(corners) - other.world(corners)
        return float(np.linalg.norm(gap, axis=-1).max())

    def is_aligned_with(self, other: VoxelGrid, tolerance: float = 0.05) -> bool:
        """Whether both grids have the same shape and corners within `tolerance` mm."""
        return self.distance_to(other) <= tolerance

    def has_voxels_of(self, other: VoxelGrid, tolerance: float = 0.05) -> bool:
        """Whether the voxel centres of both grids coincide within `tolerance` mm where both have voxels.

        Storage order, direction of axes and field of view may differ.
        """
        between = np.linalg.inv(self.affine) @ other.affine
        whole = between.round()
        steps = np.abs(whole[:3, :3])
        if not ((steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) == 1).all()):
            return False
        off = np.abs(between - whole) @ [*other.shape, 1]
        return float(np.linalg.norm(np.abs(self.affine[:3, :3]) @ off[:3])) <= tolerance


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume:
    """An image from a file or a layer, with its unit and metadata.

    Raises TypeError if the array is complex.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid
    >>> grid = VoxelGrid((4, 4, 2), np.diag([2.0, 2.0, 5.0, 1.0]))
    >>> volume = Volume(data=np.full((4, 4, 2), 0.9), grid=grid, name="T1", suffix="T1map", unit="s")
    >>> float(volume.data.max())
    0.9
    """

    data: FloatArray  # (x, y, z) or (x, y, z, t, ...), in `unit`
    grid: VoxelGrid
    name: str
    suffix: str | None = None  # BIDS suffix: T1map, T2w, FLAIR, ...; None if unknown
    unit: str | None = None  # s, 1/s or arbitrary; None for weighted images
    file_unit: str | None = None  # unit of the numbers in the file: ms, 1/ms, ...; None if it is `unit`
    sidecar: Mapping[str, Any] = field(default_factory=dict)  # BIDS metadata, times in s and angles in degrees
    header: Any = None  # nibabel header of the file
    path: Path | None = None  # of the file
    notices: tuple[str, ...] = ()  # assumptions about the image, one sentence each

    def __post_init__(self) -> None:
        _check_real(self.data, f"image {self.name!r}")

    @property
    def source(self) -> str:
        """Name of the file, or of an image in memory, for messages."""
        return self.path.name if self.path else self.name


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantitativeMaps:
    """Maps of tissue quantities on one grid: PD in arbitrary units, T1 and T2 in s; NaN in voxels without a value.

    Raises ValueError if the shape of the array does not fit names and grid, TypeError if it is complex.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import QuantitativeMaps, VoxelGrid
    >>> maps = QuantitativeMaps(data=np.ones((3, 4, 4, 2)), grid=VoxelGrid((4, 4, 2), np.eye(4)))
    >>> maps["T1"].shape
    (4, 4, 2)
    """

    data: FloatArray  # (quantity, x, y, z)
    grid: VoxelGrid
    names: tuple[str, ...] = ("PD", "T1", "T2")  # quantities along the first axis, keys of `QUANTITIES`
    protocol: str | None = None  # that the maps were fitted to, by their files, a key of `PROTOCOLS`; None if unknown
    is_t2_star: bool = False  # whether the T2 map shows T2*, with which gradient echoes decay

    def __post_init__(self) -> None:
        _check_real(self.data, f"array of the maps {', '.join(self.names)}")
        if self.data.shape != (len(self.names), *self.grid.shape):
            raise ValueError(
                f"maps {', '.join(self.names)} on a grid of {self.grid.shape} voxels need an array of shape "
                f"{(len(self.names), *self.grid.shape)}, but the array is {self.data.shape}: stack one "
                "volume per map."
            )

    def __getitem__(self, name: str) -> FloatArray:
        """Map of one quantity by its name, ``(x, y, z)``."""
        return self.data[self.names.index(name)]  # type: ignore[no-any-return]

    @property
    def titles(self) -> tuple[str, ...]:
        """Names of the quantities that the maps show: T2* for a T2 map that shows it."""
        return tuple("T2*" if name == "T2" and self.is_t2_star else name for name in self.names)


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedImage:
    """A weighted image in scanner units and the sequence that acquired it.

    Raises ValueError if the shape of the array is not that of the grid, TypeError if it is complex.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import SpinEcho, VoxelGrid, WeightedImage
    >>> sequence = SpinEcho(echo_time=0.012, repetition_time=0.6)
    >>> grid = VoxelGrid((4, 4, 2), np.eye(4))
    >>> WeightedImage(data=np.ones((4, 4, 2)), grid=grid, name="T1w", sequence=sequence).sequence.title
    'Spin echo'
    """

    data: FloatArray  # (x, y, z)
    grid: VoxelGrid
    name: str
    sequence: SignalModel | None = None  # None if unknown
    notices: tuple[str, ...] = ()  # assumptions about image and sequence, one sentence each
    truncated_axes: tuple[int, ...] = ()  # along which voxels are known to be those of a truncated k-space

    def __post_init__(self) -> None:
        _check_real(self.data, f"weighted image {self.name!r}")
        if self.data.shape != self.grid.shape:
            raise ValueError(
                f"weighted image {self.name!r} has an array of shape {self.data.shape} on a grid of "
                f"{self.grid.shape} voxels: pass the grid that belongs to the array."
            )


def _check_real(data: npt.NDArray[Any], owner: str) -> None:
    """Raise TypeError for complex numbers, which would lose their imaginary part silently later."""
    if np.iscomplexobj(data):
        raise TypeError(f"the {owner} is complex, but real numbers are needed: pass np.abs(...) for its magnitude.")


def bright_voxels(values: FloatArray) -> BoolArray:
    """Mask of the voxels above 30 % of the 99th percentile, which are tissue in a PD map; False where NaN."""
    return np.asarray(np.nan_to_num(values) > BRIGHT * np.nanpercentile(values, 99))
