"""Arrays that compute only what somebody looks at, for viewers and writers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.progress import drained, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Sequence

    import numpy.typing as npt

CACHED_PARTS = 8  # the slice on show, its neighbours, and the thumbnail
SAMPLES_PER_AXIS = 32  # of the whole, where a part of the voxels is enough


class LazyArray(ABC):
    """An array that computes the voxels it is asked for, and keeps the last few answers, but not the whole.

    It has a shape, is indexed like an array, and ``numpy.asarray`` computes all of it. A viewer in 3D asks for all
    of it again and again, and is answered from what `keep` was given; until then, if `may_be_coarse` says so at that
    very moment, from a few voxels.
    """

    dtype: np.dtype[Any] = np.dtype(np.float32)
    may_be_coarse: Callable[[], bool] | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Number of voxels per axis."""

    @abstractmethod
    def _computed(self, key: Any) -> Any:
        """Values of the indexed voxels, computed."""

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
        """Index of voxels spread over the array."""
        return tuple(slice(None, None, max(1, length // SAMPLES_PER_AXIS)) for length in self.shape)

    @property
    def is_kept(self) -> bool:
        """Whether all values are at hand."""
        return self._whole is not None

    def watch(self, may_be_coarse: Callable[[], bool]) -> None:
        """Ask this whenever all voxels are wanted by their index, and answer coarsely if it says so."""
        self.__dict__["may_be_coarse"] = may_be_coarse

    def coarse(self) -> npt.NDArray[Any]:
        """Values of voxels spread over the array, each repeated up to the next one."""
        values: npt.NDArray[Any] = self._computed(self.sample)
        for axis, (part, length) in enumerate(zip(self.sample, self.shape, strict=True)):
            values = np.repeat(values, part.step, axis=axis)[(*(slice(None),) * axis, slice(length))]
        return values

    def keep(self, values: npt.NDArray[Any] | None) -> None:
        """Answer from these values, what `rendered` returned, from now on; None forgets them."""
        self.__dict__["_whole"] = values

    @property
    def slab_axis(self) -> int:
        """Axis across which all is computed fastest."""
        return 0

    def rendered(self) -> Generator[float, None, npt.NDArray[Any]]:
        """All of it, slab by slab; yields the share that is done."""
        axis = self.slab_axis
        n_slabs, *rest = self.shape[axis], *self.shape[:axis], *self.shape[axis + 1 :]
        slabs = np.empty((n_slabs, *rest), self.dtype)
        for index in range(n_slabs):
            slabs[index] = self._computed((*(slice(None),) * axis, index))
            yield (index + 1) / n_slabs
        return np.moveaxis(slabs, 0, axis)

    def __getitem__(self, key: Any) -> Any:
        """Values of the indexed voxels."""
        if self._whole is not None:
            return self._whole[key]
        name = _hashable(key, self.shape)
        if name is None:
            return self._computed(key)
        if name == _hashable((), self.shape):
            is_coarse = self.may_be_coarse is not None and self.may_be_coarse()
            return self.coarse() if is_coarse else self._computed(key)
        parts: OrderedDict[Hashable, Any] = self.__dict__.setdefault("_parts", OrderedDict())
        part = parts.pop(name, None)
        part = self._computed(key) if part is None else part
        parts[name] = part
        while len(parts) > CACHED_PARTS:
            parts.popitem(last=False)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All of it, computed anew unless it is kept."""
        if copy is False:
            raise ValueError("this array is computed on request: ask for a copy (copy=None or True).")
        values = drained(self.rendered()) if self._whole is None else self._whole.copy()
        return values if dtype is None else values.astype(dtype, copy=False)

    @property
    def _whole(self) -> npt.NDArray[Any] | None:
        return self.__dict__.get("_whole")


def all_rendered(arrays: Sequence[LazyArray]) -> Generator[float, None, list[npt.NDArray[Any]]]:
    """All values of each array; yields the share that is done of them all."""
    volumes = []
    for number, array in enumerate(arrays):
        volumes.append((yield from mapped(array.rendered(), partial(_share, number, len(arrays)))))
    return volumes


def _share(n_done: int, n_all: int, share: float) -> float:
    return (n_done + share) / n_all


def _hashable(key: Any, shape: tuple[int, ...]) -> Hashable | None:
    """Name of an index of whole numbers and slices for the cache; None for any other index.

    Indices of the same voxels, such as ``3`` and ``(3, slice(None))``, have the same name.
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
