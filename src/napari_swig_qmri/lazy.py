"""A synthetic contrast as an array that computes only the slices somebody looks at."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.contrast_maps import check_maps
from napari_swig_qmri.rendering import Rendering, reference_level, voxel_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import Tensor

    from napari_swig_qmri.contrast_maps import ContrastMaps
    from napari_swig_qmri.sequence import Contrast
    from napari_swig_qmri.volumes import FloatArray

CACHED_PARTS = 8  # the slice on show, its neighbours, and the thumbnail
LARGEST_SLICE = 512 * 512  # voxels; more are a volume
SAMPLES_PER_AXIS = 32  # of the volume, to find the level of the noise
PLAIN = Rendering()
PIECE = 32_000  # voxels of a slice that torch keeps on one thread; waking others takes longer than the work


def synthesise(
    sequence: Contrast,
    pd: FloatArray | None,
    t1: FloatArray,
    t2: FloatArray | None,
    t2star: FloatArray | None = None,
    *,
    transmit_field: FloatArray | None = None,
    rendering: Rendering = PLAIN,
) -> FloatArray:
    """Signal of `sequence` in the unit of `pd`, float32, of the shape of the maps (T1, T2 and T2* in s).

    PD and T2 may be left out where the sequence does not see them. Voxels without a measurement (not finite, or a
    relaxation time of zero or less) give 0. Of a `rendering` that is not plain, and with a map of the transmit field
    (1 where it is not finite or not positive), it is the signal with its sign, to which `Rendering.image` adds noise.
    """
    import torch  # kept out of start-up: it takes over a second to load

    times = [t1, t2] if t2star is None else [t1, t2, t2star]
    valid = np.ones(t1.shape, bool) if pd is None else np.isfinite(pd)
    for time in times:
        if time is not None:
            valid &= np.isfinite(time) & (time > 0)
    whole = [np.where(valid, 1 if values is None else values, 1) for values in (pd, *times)]
    maps = [torch.from_numpy(values.astype(np.float32).ravel()) for values in whole]
    size = PIECE if valid.size <= LARGEST_SLICE else valid.size
    signal_of: Callable[..., Tensor] = sequence if rendering == PLAIN else partial(rendering.signal, sequence)
    if transmit_field is not None:
        known = valid & np.isfinite(transmit_field) & (transmit_field > 0)
        maps = [torch.from_numpy(np.where(known, transmit_field, 1).astype(np.float32).ravel()), *maps]
        signal_of, size = partial(_in_map, rendering, sequence), valid.size
    with torch.no_grad():
        pieces = [signal_of(*piece) for piece in zip(*(torch.split(values, size) for values in maps), strict=True)]
    signal = torch.cat(pieces).numpy().reshape(valid.shape)
    return np.where(valid, np.nan_to_num(signal), 0).astype(np.float32, copy=False)


def _in_map(rendering: Rendering, sequence: Contrast, field: Tensor, *maps: Tensor) -> Tensor:
    return rendering.signal(sequence, *maps, field=field)


def lazy_contrast(maps: ContrastMaps, sequence: Contrast, rendering: Rendering = PLAIN) -> LazyContrast:
    """Contrast of a set of maps; ValueError with one sentence where it lacks one that the sequence needs."""
    given = maps.arrays
    if "T1" not in given:
        raise ValueError(f"every contrast here starts from T1, but there is only {', '.join(given)}: add a T1 map.")
    return LazyContrast(
        sequence=sequence,
        pd=given.get("PD"),
        t1=given["T1"],
        t2=given.get("T2"),
        t2star=given.get("T2*"),
        transmit_field=maps.transmit_field,
        rendering=rendering.with_map(maps.transmit_map),
    )


class OfMaps:
    """What an array that is computed from maps voxel by voxel has of theirs."""

    t1: FloatArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.t1.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def sample(self) -> tuple[slice, ...]:
        """Index of voxels spread over the volume."""
        return tuple(slice(None, None, max(1, length // SAMPLES_PER_AXIS)) for length in self.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class LazyContrast(OfMaps):
    """Contrast of `sequence` from PD, T1 and T2 arrays of one shape, T1 and T2 in seconds.

    PD and T2 may be missing where the sequence does not need them.

    Behaves like an array for viewers and writers: it has a shape, is indexed like one, and
    ``numpy.asarray`` computes all of it. The signal is elementwise, so the order of axes is
    whatever the maps have.
    """

    sequence: Contrast
    pd: FloatArray | None
    t1: FloatArray
    t2: FloatArray | None
    t2star: FloatArray | None = None  # T2* in s; taken as T2 without
    transmit_field: FloatArray | None = None  # map of B1+ as a fraction of the nominal one, times that of `rendering`
    rendering: Rendering = PLAIN
    _parts: OrderedDict[Hashable, FloatArray] = field(default_factory=OrderedDict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pd is None or self.t2 is None:
            check_maps(self.sequence, self.names)
        given = (self.pd, self.t1, self.t2, self.t2star, self.transmit_field)
        shapes = {tuple(values.shape) for values in given if values is not None}
        if len(shapes) > 1:
            raise ValueError(
                f"a contrast needs PD, T1 and T2 on one grid, but they have the shapes "
                f"{', '.join(map(str, sorted(shapes)))}: choose three maps from the same set."
            )
        has_map = self.transmit_field is not None
        if has_map or self.rendering != PLAIN:
            self.rendering.check(self.sequence, has_map=has_map)

    @property
    def names(self) -> tuple[str, ...]:
        """The maps that are there, as sequences name them."""
        named = zip(("PD", "T1", "T2", "T2*"), (self.pd, self.t1, self.t2, self.t2star), strict=True)
        return tuple(name for name, values in named if values is not None)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Always float32."""
        return np.dtype(np.float32)

    @cached_property
    def noise_deviation(self) -> float:
        """Standard deviation of the noise of each channel, from voxels spread over the volume; 0 without noise."""
        if not self.rendering.has_noise:
            return 0.0
        if self.pd is None or self.rendering.noise_reference == "signal":
            values = self._signal(self.sample)
        else:
            values = np.asarray(self.pd[self.sample])
        return reference_level(values) / self.rendering.snr

    def with_sequence(self, sequence: Contrast, rendering: Rendering | None = None) -> LazyContrast:
        """Same maps under other acquisition parameters, and otherwise rendered if told how."""
        return replace(self, sequence=sequence, rendering=self.rendering if rendering is None else rendering)

    def with_transmit_field(self, transmit_field: FloatArray | None, rendering: Rendering) -> LazyContrast:
        """Same maps and parameters in another map of the transmit field, or none."""
        return replace(self, transmit_field=transmit_field, rendering=rendering)

    def __getitem__(self, key: Any) -> FloatArray:
        """Signal of the indexed voxels only; the last few answers are kept."""
        name = _hashable(key, self.shape)
        if name is None:
            return self._compute(key)
        part = self._parts.pop(name, None)
        part = self._compute(key) if part is None else part
        self._parts[name] = part
        while len(self._parts) > CACHED_PARTS:
            self._parts.popitem(last=False)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        """Whole volume, computed slab by slab and not kept."""
        if copy is False:
            raise ValueError("a synthetic contrast is computed on request: ask for a copy (copy=None or True).")
        volume = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for index in range(self.shape[0]):
            volume[index] = self._compute(index)
        return volume

    def noiseless(self, key: Any) -> FloatArray:
        """What is shown of the indexed voxels but for the noise; not kept."""
        signal = self._signal(key)
        return signal if self.rendering.is_signed(self.sequence) else np.abs(signal)

    def _signal(self, key: Any) -> FloatArray:
        t2, t2star = self.t2, self.t2star
        if t2star is not None:  # whichever the sequence does not see is left out: its holes would be in the way
            used = self.sequence.maps_in_use
            t2, t2star = t2 if "T2" in used else None, t2star if "T2*" in used else None
        wanted = (self.pd, t2, t2star, self.transmit_field)
        pd, t2, t2star, field = (None if values is None else np.asarray(values[key]) for values in wanted)
        t1, how = np.asarray(self.t1[key]), self.rendering
        return synthesise(self.sequence, pd, t1, t2, t2star, transmit_field=field, rendering=how)

    def _compute(self, key: Any) -> FloatArray:
        signal = self._signal(key)
        if self.rendering == PLAIN and self.transmit_field is None:
            return signal
        voxels = voxel_numbers(self.shape, key) if self.rendering.has_noise else np.zeros((), np.uint64)
        return self.rendering.image(self.sequence, signal, voxels, self.noise_deviation)


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
