"""A synthetic contrast as an array that computes only the slices somebody looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.lazy_array import LazyArray
from napari_swig_qmri.rendering import Rendering, reference_level, voxel_numbers

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.sequence import Contrast
    from napari_swig_qmri.volumes import FloatArray

LARGEST_SLICE = 512 * 512  # voxels; more are a volume
PLAIN = Rendering()
PIECE = 32_000  # voxels of a slice that torch keeps on one thread; waking others takes longer than the work


@dataclass(frozen=True, eq=False)
class Tissue:
    """Maps ready for a signal model: 1 where there is no measurement."""

    valid: Tensor  # of the shape of the maps
    maps: tuple[Tensor, ...]  # PD, T1, T2 and perhaps T2*, float32, in a row

    @classmethod
    def of(cls, pd: FloatArray, *times: FloatArray) -> Tissue:
        """That of PD and relaxation times in s; not measured is what is not finite, and times of zero or less."""
        import torch  # kept out of start-up: it takes over a second to load

        valid = np.isfinite(pd)
        for time in times:
            valid &= np.isfinite(time) & (time > 0)
        maps = (torch.from_numpy(np.where(valid, values, 1).astype(np.float32).ravel()) for values in (pd, *times))
        return cls(torch.from_numpy(np.asarray(valid)), tuple(maps))

    def signal(self, sequence: Contrast, rendering: Rendering) -> FloatArray:
        """Signal with its sign and without noise, float32, of the shape of the maps; 0 without a measurement."""
        import torch

        size = PIECE if self.valid.numel() <= LARGEST_SLICE else self.valid.numel()
        signal_of = sequence if rendering == PLAIN else partial(rendering.signal, sequence)
        with torch.no_grad():
            pieces = zip(*(torch.split(each, size) for each in self.maps), strict=True)
            signal = torch.cat([signal_of(*piece) for piece in pieces]).nan_to_num_().reshape(self.valid.shape)
            shown: FloatArray = torch.where(self.valid, signal, 0.0).numpy()
        return shown


def synthesise(
    sequence: Contrast,
    pd: FloatArray,
    t1: FloatArray,
    t2: FloatArray,
    t2star: FloatArray | None = None,
    *,
    rendering: Rendering = PLAIN,
) -> FloatArray:
    """Signal of `sequence` in the unit of `pd`, float32, of the shape of the maps (T1, T2 and T2* in s).

    Voxels without a measurement (not finite, or a relaxation time of zero or less) give 0. Of a `rendering` that
    is not plain it is the signal with its sign, to which `Rendering.image` adds noise.
    """
    return Tissue.of(pd, t1, t2, *([] if t2star is None else [t2star])).signal(sequence, rendering)


def noiseless(
    sequence: Contrast, pd: FloatArray, t1: FloatArray, t2: FloatArray, *, rendering: Rendering = PLAIN
) -> FloatArray:
    """What a rendering shows of a contrast but for its noise; arguments as of `synthesise`."""
    signal = synthesise(sequence, pd, t1, t2, rendering=rendering)
    return signal if rendering.is_signed(sequence) else np.abs(signal)


@dataclass(frozen=True, eq=False)
class LazyTissue(LazyArray):
    """`Tissue` of the indexed voxels of maps, the last few at hand: maps may lie across the memory."""

    maps: tuple[FloatArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.maps[0].shape)

    def _computed(self, key: Any) -> Tissue:
        return Tissue.of(*(np.asarray(values[key]) for values in self.maps))


@dataclass(frozen=True, eq=False, kw_only=True)
class LazyContrast(LazyArray):
    """Contrast of `sequence` from PD, T1 and T2 arrays of one shape, T1 and T2 in seconds.

    The signal is elementwise, so the order of axes is whatever the maps have.
    """

    sequence: Contrast
    pd: FloatArray
    t1: FloatArray
    t2: FloatArray
    t2star: FloatArray | None = None  # T2* in s; taken as T2 without
    rendering: Rendering = PLAIN

    def __post_init__(self) -> None:
        shapes = {tuple(values.shape) for values in self._maps()}
        if len(shapes) > 1:
            raise ValueError(
                f"a contrast needs PD, T1 and T2 on one grid, but they have the shapes "
                f"{', '.join(map(str, sorted(shapes)))}: choose three maps from the same set."
            )
        if self.rendering != PLAIN:
            self.rendering.check(self.sequence)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.t1.shape)

    @property
    def slab_axis(self) -> int:
        """Axis across which the maps lie in memory."""
        return int(np.argmax(np.abs(self.t1.strides))) if isinstance(self.t1, np.ndarray) else 0

    @cached_property
    def noise_deviation(self) -> float:
        """Standard deviation of the noise of each channel, from voxels spread over the volume; 0 without noise."""
        if not self.rendering.has_noise:
            return 0.0
        pd = np.asarray(self.pd[self.sample])
        is_signal = self.rendering.noise_reference == "signal"
        return reference_level(self._signal(self.sample) if is_signal else pd) / self.rendering.snr

    def with_sequence(self, sequence: Contrast, rendering: Rendering | None = None) -> LazyContrast:
        """Same maps under other acquisition parameters, and otherwise rendered if told how."""
        changed = replace(self, sequence=sequence, rendering=self.rendering if rendering is None else rendering)
        changed.__dict__["_tissue"] = self._tissue  # what was looked at is looked at again
        return changed

    @cached_property
    def _tissue(self) -> LazyTissue:
        return LazyTissue(self._maps())

    def _maps(self) -> tuple[FloatArray, ...]:
        return (self.pd, self.t1, self.t2, *(() if self.t2star is None else (self.t2star,)))

    def _signal(self, key: Any) -> FloatArray:
        tissue: Tissue = self._tissue[key]
        return tissue.signal(self.sequence, self.rendering)

    def _computed(self, key: Any) -> FloatArray:
        signal = self._signal(key)
        if self.rendering == PLAIN:
            return signal
        voxels = voxel_numbers(self.shape, key) if self.rendering.has_noise else np.zeros((), np.uint64)
        return self.rendering.image(self.sequence, signal, voxels, self.noise_deviation)
