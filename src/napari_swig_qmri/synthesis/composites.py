"""Arrays made of two others while somebody looks at them: differences, curtains, checkerboards.

Arrays have the axes of the display, ``(S, A, R)``, and only the slices that are asked for are computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.ndimage import affine_transform

from napari_swig_qmri.synthesis.lazy_array import LazyArray

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray

    ByteArray = npt.NDArray[np.uint8]

MARGIN = 6  # slices on either side that a cubic spline between slices is computed from
LINE = (255, 196, 0)  # colour of the edge of a curtain


class ArrayLike(Protocol):
    """What can be indexed like an array of numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels per axis."""

    def __getitem__(self, key: Any, /) -> Any:
        """Values of the indexed voxels."""


@dataclass(frozen=True, eq=False)
class Scaled(LazyArray):
    """An array divided by a number, such as an image in scanner units by its gain."""

    data: ArrayLike
    divisor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array."""
        return tuple(self.data.shape)

    def _computed(self, key: Any) -> FloatArray:
        """Quotient at the indexed voxels."""
        return np.asarray(self.data[key], np.float32) / np.float32(self.divisor)


@dataclass(frozen=True, eq=False)
class Difference(LazyArray):
    """First minus second array; 0 where either has no value (NaN)."""

    first: ArrayLike
    second: ArrayLike

    def __post_init__(self) -> None:
        if tuple(self.first.shape) != tuple(self.second.shape):
            raise ValueError(
                f"a difference needs two arrays of one shape, but they have {tuple(self.first.shape)} and "
                f"{tuple(self.second.shape)} voxels: resample one of them first."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """That of both arrays."""
        return tuple(self.first.shape)

    def _computed(self, key: Any) -> FloatArray:
        """Difference at the indexed voxels."""
        difference: FloatArray = np.nan_to_num(self.first[key] - self.second[key])
        return difference


@dataclass(frozen=True, eq=False, kw_only=True)
class OnGrid(LazyArray):
    """An array on other voxels along the same axes, by cubic splines; 0 beyond its field of view.

    The voxel ``i`` of the new grid lies at the position ``offset + step * i`` of the old one, per axis.
    """

    data: ArrayLike
    grid_shape: tuple[int, int, int]
    step: FloatArray  # (3,) voxels
    offset: FloatArray  # (3,) voxels

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the new grid."""
        return self.grid_shape

    def _computed(self, key: Any) -> FloatArray:
        """Interpolated values of the indexed voxels."""
        picked = _picked(key, self.grid_shape)
        slab, begins, sizes = [], [], []
        for axis, indices in enumerate(picked):
            positions = self.offset[axis] + self.step[axis] * np.atleast_1d(indices)
            low = int(np.clip(np.floor(positions.min()) - MARGIN, 0, self.data.shape[axis] - 1))
            high = int(np.clip(np.ceil(positions.max()) + MARGIN + 1, low + 1, self.data.shape[axis]))
            slab.append(slice(low, high))
            begins.append(positions[0] - low)
            sizes.append(len(positions))
        steps = [self.step[axis] * _stride(indices) for axis, indices in enumerate(picked)]
        values = np.asarray(self.data[tuple(slab)], np.float32)
        moved = affine_transform(values, np.asarray(steps), begins, output_shape=tuple(sizes), order=3, mode="constant")
        flat: FloatArray = moved.reshape([n for n, indices in zip(sizes, picked, strict=True) if np.ndim(indices)])
        return flat


@dataclass(frozen=True, eq=False, kw_only=True)
class Pane:
    """One of the two images of a composite: values, how they are coloured, and where they lie."""

    data: ArrayLike  # (S, A, R)
    colours: ByteArray  # (n, 3), from the lower limit to the upper one
    limits: tuple[float, float]
    scale: tuple[float, float, float]  # mm
    translate: tuple[float, float, float]  # mm

    def coloured(self, values: FloatArray) -> ByteArray:
        """Red, green and blue of values; black where there is none."""
        low, high = self.limits
        position = (np.asarray(values, np.float32) - low) / max(high - low, 1e-12)
        last = len(self.colours) - 1
        index = np.clip(np.nan_to_num(position * last), 0, last).round().astype(int)
        colours: ByteArray = self.colours[index]
        return colours


class Pattern(Protocol):
    """Which of two images is seen where."""

    def shows_second(self, indices: list[Any], scale: tuple[float, float, float]) -> BoolArray:
        """True where the second is seen; `indices` broadcast to the voxels, `scale` is their edge in mm."""


@dataclass(frozen=True)
class Curtain:
    """The second image lies beyond a line across one axis, or, `before`, on the near side of it."""

    axis: int
    position: float  # voxels of the picture
    before: bool = False

    def shows_second(self, indices: list[Any], _scale: tuple[float, float, float]) -> BoolArray:
        """True on the side of the second image."""
        return np.asarray((indices[self.axis] > self.position) != self.before)


@dataclass(frozen=True)
class Checkerboard:
    """Squares of the one and of the other image."""

    edge: float = 20.0  # mm

    def shows_second(self, indices: list[Any], scale: tuple[float, float, float]) -> BoolArray:
        """True in every other square of the plane on show."""
        shown = [index * size // self.edge for index, size in zip(indices, scale, strict=True) if np.ndim(index)]
        return np.asarray(sum(shown) % 2 == 1)


@dataclass(frozen=True)
class Whole:
    """One of the images alone, for flickering between the two."""

    second: bool = False

    def shows_second(self, indices: list[Any], _scale: tuple[float, float, float]) -> BoolArray:
        """The same everywhere."""
        return np.asarray(np.broadcast_to(self.second, np.broadcast_shapes(*(np.shape(i) for i in indices))))


@dataclass(frozen=True, eq=False, kw_only=True)
class Composite(LazyArray):
    """Two images in one picture on the voxels of the finer one, ``(S, A, R, 3)`` bytes of red, green and blue.

    The other is shown by its voxel nearest to each position, as viewers do, and black beyond its field of view.
    """

    first: Pane
    second: Pane
    pattern: Pattern
    dtype: np.dtype[Any] = field(default=np.dtype(np.uint8), init=False)

    @property
    def base(self) -> Pane:
        """The image of finer voxels, whose grid is that of the picture."""
        return min((self.first, self.second), key=lambda pane: float(np.prod(pane.scale)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the finer image, and three colours."""
        return (*self.base.data.shape, 3)

    def with_pattern(self, pattern: Pattern) -> Composite:
        """Same images, seen in other places."""
        return replace(self, pattern=pattern)

    def _computed(self, key: Any) -> ByteArray:
        """Colours of the indexed voxels."""
        parts = key if isinstance(key, tuple) else (key,)
        picked = _picked(parts[:3], self.base.data.shape)
        indices = _open_mesh(picked)
        beyond = self.pattern.shows_second(indices, self.base.scale)
        colours = np.where(beyond[..., None], self._seen(self.second, picked), self._seen(self.first, picked))
        if isinstance(self.pattern, Curtain) and np.ndim(picked[self.pattern.axis]):
            edge = indices[self.pattern.axis] == int(self.pattern.position)
            colours = np.where(edge[..., None], np.asarray(LINE, np.uint8), colours)
        return colours[(..., *parts[3:])]

    def _seen(self, pane: Pane, picked: list[Any]) -> ByteArray:
        """Colours of an image at voxels of the picture."""
        if pane is self.base:
            return pane.coloured(pane.data[tuple(_as_key(part) for part in picked)])
        nearest, inside = [], []
        for axis, index in enumerate(picked):
            world = self.base.translate[axis] + self.base.scale[axis] * np.asarray(index)
            there = np.rint((world - pane.translate[axis]) / pane.scale[axis]).astype(int)
            n = pane.data.shape[axis]
            inside.append((there >= 0) & (there < n))
            nearest.append(np.clip(there, 0, n - 1))
        low = [int(np.min(index)) for index in nearest]
        key = tuple(slice(begin, int(np.max(index)) + 1) for begin, index in zip(low, nearest, strict=True))
        block = np.asarray(pane.data[key])
        values = block[tuple(_open_mesh([index - begin for begin, index in zip(low, nearest, strict=True)]))]
        seen = np.asarray(np.prod(np.broadcast_arrays(*_open_mesh(inside)), axis=0), bool)
        colours: ByteArray = pane.coloured(values) * seen[..., None].astype(np.uint8)
        return colours


def _picked(key: Any, shape: tuple[int, ...]) -> list[Any]:
    """Index per axis: a whole number, or the array of those that a slice picks."""
    parts = key if isinstance(key, tuple) else (key,)
    parts = (*parts, *(slice(None),) * (len(shape) - len(parts)))
    return [
        np.arange(n)[part] if isinstance(part, slice) else int(range(n)[int(part)])
        for part, n in zip(parts, shape, strict=True)
    ]


def _as_key(indices: Any) -> Any:
    """A slice for regular indices, for arrays that know only slices and numbers."""
    if not np.ndim(indices):
        return indices
    step = _stride(indices)
    last = int(indices[-1]) + (1 if step > 0 else -1)
    return slice(int(indices[0]), None if last < 0 else last, step)


def _stride(indices: Any) -> int:
    return int(indices[1] - indices[0]) if np.ndim(indices) and len(indices) > 1 else 1


def _open_mesh(indices: list[Any]) -> list[Any]:
    """Indices that broadcast to the picked voxels; whole numbers have no axis there."""
    arrays = [axis for axis, index in enumerate(indices) if np.ndim(index)]
    mesh = []
    for axis, index in enumerate(indices):
        if axis not in arrays:
            mesh.append(np.asarray(index))
            continue
        shape = [1] * len(arrays)
        shape[arrays.index(axis)] = -1
        mesh.append(np.asarray(index).reshape(shape))
    return mesh
