"""Arrays that compute their voxels when they are indexed, for viewers and writers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from napari_swig_qmri.progress import drained, mapped

T = TypeVar("T")

CACHED_SLICES = 8  # the slice on display, its neighbours, and the thumbnail
SAMPLES_PER_AXIS = 32  # of the voxels that stand for the whole array


class SliceCache(Generic[T]):
    """What was computed for the last few indices of an array.

    Only indices of whole numbers and slices are cached, and none that covers the whole array.
    """

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Any, shape: tuple[int, ...], compute: Callable[[Any], T]) -> T:
        """Cached value of an index into an array of `shape`, or else ``compute(key)``."""
        name = _index_name(key, shape)
        if name is None or _covers_all(key, shape):
            return compute(key)
        value = self._values.pop(name, None)
        value = compute(key) if value is None else value
        self._values[name] = value
        while len(self._values) > CACHED_SLICES:
            self._values.popitem(last=False)
        return value


@dataclass(eq=False)
class LazyArray(ABC):
    """Base class of arrays that compute the indexed voxels on request and cache the last few slices.

    A lazy array has a shape, is indexed like a numpy array, and ``numpy.asarray`` computes all of its values. A 3D
    viewer requests all values repeatedly. They come from the volume passed to `keep`, if there is one. Until then a
    coarse volume is returned while the condition passed to `allow_coarse_while` holds.
    """

    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    _slices: SliceCache[Any] = field(default_factory=SliceCache, init=False, repr=False)
    _volume: npt.NDArray[Any] | None = field(default=None, init=False, repr=False)
    _may_be_coarse: Callable[[], bool] | None = field(default=None, init=False, repr=False)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Number of voxels per axis."""

    @abstractmethod
    def compute(self, key: Any) -> Any:
        """Values of the indexed voxels, computed without any cache."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def sample(self) -> tuple[slice, ...]:
        """Index of voxels spread evenly over the array, about `SAMPLES_PER_AXIS` per axis."""
        return tuple(slice(None, None, max(1, length // SAMPLES_PER_AXIS)) for length in self.shape)

    @property
    def is_kept(self) -> bool:
        """Whether all values are in memory."""
        return self._volume is not None

    def keep(self, values: npt.NDArray[Any] | None) -> None:
        """Return these values, computed by `rendered`, from now on; None discards them."""
        self._volume = values

    def allow_coarse_while(self, condition: Callable[[], bool]) -> None:
        """Return `coarse` values for an index of the whole array while `condition` is true."""
        self._may_be_coarse = condition

    def coarse(self) -> npt.NDArray[Any]:
        """Array of the full shape made from the voxels of `sample`, each repeated up to the next one."""
        values: npt.NDArray[Any] = self.compute(self.sample)
        for axis, (part, length) in enumerate(zip(self.sample, self.shape, strict=True)):
            values = np.repeat(values, part.step, axis=axis)[(*(slice(None),) * axis, slice(length))]
        return values

    @property
    def slab_axis(self) -> int:
        """Axis whose slices are computed one after the other by `rendered`."""
        return 0

    def rendered(self) -> Generator[float, None, npt.NDArray[Any]]:
        """Compute all values slice by slice; yields the completed fraction and returns the array."""
        axis = self.slab_axis
        n_slabs, *rest = self.shape[axis], *self.shape[:axis], *self.shape[axis + 1 :]
        slabs = np.empty((n_slabs, *rest), self.dtype)
        for index in range(n_slabs):
            slabs[index] = self.compute((*(slice(None),) * axis, index))
            yield (index + 1) / n_slabs
        return np.moveaxis(slabs, 0, axis)

    def __getitem__(self, key: Any) -> Any:
        """Values of the indexed voxels."""
        if self._volume is not None:
            return self._volume[key]
        if self._may_be_coarse is not None and _covers_all(key, self.shape) and self._may_be_coarse():
            return self.coarse()
        return self._slices.get(key, self.shape, self.compute)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All values, computed unless they are in memory."""
        if copy is False:
            raise ValueError("the values of this array are computed on request: ask for a copy (copy=None or True).")
        values = drained(self.rendered()) if self._volume is None else self._volume.copy()
        return values if dtype is None else values.astype(dtype, copy=False)


def all_rendered(arrays: Sequence[LazyArray]) -> Generator[float, None, list[npt.NDArray[Any]]]:
    """Compute all values of each array; yields the completed fraction and returns the arrays."""
    volumes = []
    for number, array in enumerate(arrays):
        volumes.append((yield from mapped(array.rendered(), partial(_overall_fraction, number, len(arrays)))))
    return volumes


def _overall_fraction(n_completed: int, n_arrays: int, fraction: float) -> float:
    return (n_completed + fraction) / n_arrays


def _covers_all(key: Any, shape: tuple[int, ...]) -> bool:
    """Whether an index of slices selects a whole array of `shape`, in order."""
    name = _index_name(key, shape)
    return name is not None and name == _index_name((), shape)


def _index_name(key: Any, shape: tuple[int, ...]) -> Hashable | None:
    """Hashable form of an index of whole numbers and slices into an array of `shape`; None for any other index.

    Indices of the same voxels, such as ``3`` and ``(3, slice(None))``, have the same form.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > len(shape):
        return None
    names: list[Hashable] = []
    whole = [slice(None)] * (len(shape) - len(parts))
    for part, length in zip((*parts, *whole), shape, strict=True):
        if isinstance(part, slice):
            names.append(("slice", *part.indices(length)))
        elif isinstance(part, int | np.integer) and -length <= part < length:
            names.append(int(part) % length)
        else:
            return None
    return tuple(names)
