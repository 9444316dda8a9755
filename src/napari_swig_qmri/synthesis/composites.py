"""Arrays computed slice by slice from two others, for comparisons: differences, curtains and checkerboards.

Arrays have the axes of the display, ``(S, A, R)``: superior, anterior, right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from napari_swig_qmri.data.volumes import BoolArray, FloatArray
from napari_swig_qmri.synthesis.lazy_array import LazyArray

ByteArray = npt.NDArray[np.uint8]

SPLINE_MARGIN = 6  # slices on either side that a cubic spline between slices is computed from
LINE = (255, 196, 0)  # colour of the edge of a curtain


class ArrayLike(Protocol):
    """Anything indexed like an array of numbers, such as a numpy array or a `LazyArray`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels per axis."""

    def __getitem__(self, key: Any, /) -> Any:
        """Values of the indexed voxels."""


@dataclass(eq=False)
class Scaled(LazyArray):
    """An array divided by a number, such as an image in scanner units by its gain."""

    data: ArrayLike
    divisor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.data.shape)

    def compute(self, key: Any) -> FloatArray:
        """Quotient at the indexed voxels."""
        return np.asarray(self.data[key], np.float32) / np.float32(self.divisor)


@dataclass(eq=False)
class Difference(LazyArray):
    """First minus second array of one shape; 0 where either is NaN.

    ValueError if the shapes differ.
    """

    first: ArrayLike
    second: ArrayLike

    def __post_init__(self) -> None:
        if tuple(self.first.shape) != tuple(self.second.shape):
            raise ValueError(
                f"a difference needs two arrays of one shape, but their shapes are {tuple(self.first.shape)} and "
                f"{tuple(self.second.shape)}: resample one of them first."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of both arrays."""
        return tuple(self.first.shape)

    def compute(self, key: Any) -> FloatArray:
        """Difference at the indexed voxels."""
        difference: FloatArray = np.nan_to_num(self.first[key] - self.second[key])
        return difference


@dataclass(eq=False, kw_only=True)
class OnGrid(LazyArray):
    """An array interpolated by cubic splines onto another grid with parallel axes; 0 outside its field of view.

    Along each axis, voxel ``i`` of the new grid lies at the position ``offset + step * i`` of the old one.
    """

    data: ArrayLike
    grid_shape: tuple[int, int, int]
    step: FloatArray  # (3,) voxels
    offset: FloatArray  # (3,) voxels

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the new grid."""
        return self.grid_shape

    def compute(self, key: Any) -> FloatArray:
        """Interpolated values of the indexed voxels."""
        indices = _voxel_indices(key, self.grid_shape)
        slab, starts, sizes = [], [], []
        for axis, along in enumerate(indices):
            positions = self.offset[axis] + self.step[axis] * np.atleast_1d(along)
            low = int(np.clip(np.floor(positions.min()) - SPLINE_MARGIN, 0, self.data.shape[axis] - 1))
            high = int(np.clip(np.ceil(positions.max()) + SPLINE_MARGIN + 1, low + 1, self.data.shape[axis]))
            slab.append(slice(low, high))
            starts.append(positions[0] - low)
            sizes.append(len(positions))
        steps = np.asarray([self.step[axis] * _stride(along) for axis, along in enumerate(indices)])
        values = np.asarray(self.data[tuple(slab)], np.float32)
        moved = affine_transform(values, steps, starts, output_shape=tuple(sizes), order=3, mode="constant")
        result: FloatArray = moved.reshape([n for n, along in zip(sizes, indices, strict=True) if np.ndim(along)])
        return result


@dataclass(frozen=True, eq=False, kw_only=True)
class Pane:
    """One of the two images of a composite: values, colours and position."""

    data: ArrayLike  # (S, A, R)
    colours: ByteArray  # (colour, 3), red, green and blue from the lower limit to the upper one
    limits: tuple[float, float]  # values of the first and the last colour
    scale: tuple[float, float, float]  # mm, edges of a voxel
    translate: tuple[float, float, float]  # mm, position of the first voxel

    def coloured(self, values: FloatArray) -> ByteArray:
        """Colours ``(..., 3)`` of values ``(...)``; NaN has the colour of the lower limit."""
        low, high = self.limits
        position = (np.asarray(values, np.float32) - low) / max(high - low, 1e-12)
        last = len(self.colours) - 1
        index = np.clip(np.nan_to_num(position * last), 0, last).round().astype(int)
        colours: ByteArray = self.colours[index]
        return colours


class Pattern(Protocol):
    """Selection of the voxels in which a composite shows its second image."""

    def shows_second(self, indices: list[Any], scale: tuple[float, float, float]) -> BoolArray:
        """True where the second image is shown.

        `indices` are the voxel indices per axis, whole numbers or arrays that broadcast; `scale` is the edge of a voxel
        along each axis in mm.
        """


@dataclass(frozen=True)
class Curtain:
    """The second image lies beyond a position along one axis, or before it."""

    axis: int
    position: float  # voxels of the composite
    before: bool = False

    def shows_second(self, indices: list[Any], _scale: tuple[float, float, float]) -> BoolArray:
        """True on the side of the second image."""
        return np.asarray((indices[self.axis] > self.position) != self.before)


@dataclass(frozen=True)
class Checkerboard:
    """Squares that show the first and the second image in turn."""

    edge: float = 20.0  # mm

    def shows_second(self, indices: list[Any], scale: tuple[float, float, float]) -> BoolArray:
        """True in every other square of the displayed plane."""
        shown = [index * size // self.edge for index, size in zip(indices, scale, strict=True) if np.ndim(index)]
        return np.asarray(sum(shown) % 2 == 1)


@dataclass(frozen=True)
class Whole:
    """Only one of the images, for switching between the two."""

    second: bool = False

    def shows_second(self, indices: list[Any], _scale: tuple[float, float, float]) -> BoolArray:
        """True everywhere or nowhere."""
        return np.asarray(np.broadcast_to(self.second, np.broadcast_shapes(*(np.shape(i) for i in indices))))


@dataclass(eq=False, kw_only=True)
class Composite(LazyArray):
    """Two images combined into one colour image ``(S, A, R, 3)`` on the grid of the image with finer voxels.

    The other image is interpolated by the nearest voxel and is black outside its field of view.
    """

    dtype = np.dtype(np.uint8)

    first: Pane
    second: Pane
    pattern: Pattern

    @property
    def base(self) -> Pane:
        """The image with finer voxels, whose grid the composite has."""
        return min((self.first, self.second), key=lambda pane: float(np.prod(pane.scale)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the finer image, and three colours."""
        return (*self.base.data.shape, 3)

    def with_pattern(self, pattern: Pattern) -> Composite:
        """The same images in another pattern."""
        return replace(self, pattern=pattern)

    def compute(self, key: Any) -> ByteArray:
        """Colours of the indexed voxels."""
        parts = key if isinstance(key, tuple) else (key,)
        indices = _voxel_indices(parts[:3], self.base.data.shape)
        mesh = _open_mesh(indices)
        shows_second = self.pattern.shows_second(mesh, self.base.scale)
        second, first = self._colours(self.second, indices), self._colours(self.first, indices)
        colours = np.where(shows_second[..., None], second, first)
        if isinstance(self.pattern, Curtain) and np.ndim(indices[self.pattern.axis]):
            edge = mesh[self.pattern.axis] == int(self.pattern.position)
            colours = np.where(edge[..., None], np.asarray(LINE, np.uint8), colours)
        return colours[(..., *parts[3:])]

    def _colours(self, pane: Pane, indices: list[Any]) -> ByteArray:
        """Colours of an image at voxels of the composite."""
        if pane is self.base:
            return pane.coloured(pane.data[tuple(_as_key(along) for along in indices)])
        nearest, inside = [], []
        for axis, along in enumerate(indices):
            world = self.base.translate[axis] + self.base.scale[axis] * np.asarray(along)
            voxel = np.rint((world - pane.translate[axis]) / pane.scale[axis]).astype(int)
            n = pane.data.shape[axis]
            inside.append((voxel >= 0) & (voxel < n))
            nearest.append(np.clip(voxel, 0, n - 1))
        low = [int(np.min(along)) for along in nearest]
        key = tuple(slice(start, int(np.max(along)) + 1) for start, along in zip(low, nearest, strict=True))
        block = np.asarray(pane.data[key])
        values = block[tuple(_open_mesh([along - start for start, along in zip(low, nearest, strict=True)]))]
        is_inside = np.asarray(np.prod(np.broadcast_arrays(*_open_mesh(inside)), axis=0), bool)
        colours: ByteArray = pane.coloured(values) * is_inside[..., None].astype(np.uint8)
        return colours


def _voxel_indices(key: Any, shape: tuple[int, ...]) -> list[Any]:
    """Indices along each axis that a key selects: a whole number, or an array for a slice."""
    parts = key if isinstance(key, tuple) else (key,)
    parts = (*parts, *(slice(None),) * (len(shape) - len(parts)))
    return [
        np.arange(n)[part] if isinstance(part, slice) else int(range(n)[int(part)])
        for part, n in zip(parts, shape, strict=True)
    ]


def _as_key(indices: Any) -> Any:
    """Slice that selects evenly spaced indices, for arrays that support no other key; whole numbers stay."""
    if not np.ndim(indices):
        return indices
    step = _stride(indices)
    last = int(indices[-1]) + (1 if step > 0 else -1)
    return slice(int(indices[0]), None if last < 0 else last, step)


def _stride(indices: Any) -> int:
    return int(indices[1] - indices[0]) if np.ndim(indices) and len(indices) > 1 else 1


def _open_mesh(indices: list[Any]) -> list[Any]:
    """Indices that broadcast to the selected voxels; whole numbers add no axis."""
    arrays = iter(np.meshgrid(*(along for along in indices if np.ndim(along)), indexing="ij", sparse=True))
    return [next(arrays) if np.ndim(along) else np.asarray(along) for along in indices]
