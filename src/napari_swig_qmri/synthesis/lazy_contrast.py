"""A synthetic contrast as an array that computes only the slices somebody looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.physics.sequence import SignalModel
from napari_swig_qmri.synthesis.contrast_maps import check_maps
from napari_swig_qmri.synthesis.lazy_array import LazyArray
from napari_swig_qmri.synthesis.rendering import Rendering, reference_level, voxel_numbers

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps


LARGEST_SLICE = 512 * 512  # voxels; more are a volume
PLAIN = Rendering()
PIECE = 32_000  # voxels of a slice that torch keeps on one thread; waking others takes longer than the work


@dataclass(frozen=True, eq=False)
class Tissue:
    """Maps ready for a signal model: 1 where there is no measurement."""

    valid: Tensor  # of the shape of the maps
    maps: tuple[Tensor, ...]  # PD, T1, T2 and perhaps T2*, float32, in a row
    transmit_field: Tensor | None = None  # B1+ as a fraction of the nominal one, in a row

    @classmethod
    def of(
        cls,
        pd: FloatArray | None,
        t1: FloatArray,
        t2: FloatArray | None,
        t2star: FloatArray | None = None,
        transmit_field: FloatArray | None = None,
    ) -> Tissue:
        """That of maps of one shape, times in s; not measured is what is not finite, and times of zero or less."""
        import torch  # kept out of start-up: it takes over a second to load

        times = [t1, t2] if t2star is None else [t1, t2, t2star]
        valid = np.ones(t1.shape, bool) if pd is None else np.isfinite(pd)
        for time in times:
            if time is not None:
                valid &= np.isfinite(time) & (time > 0)
        maps = tuple(_in_a_row(1 if values is None else values, valid) for values in (pd, *times))
        if transmit_field is None:
            return cls(torch.from_numpy(np.asarray(valid)), maps)
        known = valid & np.isfinite(transmit_field) & (transmit_field > 0)
        return cls(torch.from_numpy(np.asarray(valid)), maps, _in_a_row(transmit_field, known))

    def signal(self, sequence: Contrast, rendering: Rendering) -> FloatArray:
        """Signal without noise, float32, 0 where nothing was measured; with its sign unless the rendering is plain."""
        import torch

        with torch.no_grad():
            if self.transmit_field is None:
                signal = self._in_pieces(sequence, rendering)
            else:
                signal = rendering.signal(sequence, *self.maps, field=self.transmit_field)
            shown: FloatArray = torch.where(self.valid, signal.nan_to_num().reshape(self.valid.shape), 0.0).numpy()
        return shown

    def _in_pieces(self, sequence: Contrast, rendering: Rendering) -> Tensor:
        import torch

        size = PIECE if self.valid.numel() <= LARGEST_SLICE else self.valid.numel()
        signal_of = sequence if rendering == PLAIN else partial(rendering.signal, sequence)
        pieces = zip(*(torch.split(each, size) for each in self.maps), strict=True)
        return torch.cat([signal_of(*piece) for piece in pieces])


def _in_a_row(values: FloatArray | float, where: BoolArray) -> Tensor:
    """Values as a row of float32, 1 elsewhere."""
    import torch

    return torch.from_numpy(np.where(where, values, 1).astype(np.float32).ravel())


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
    return Tissue.of(pd, t1, t2, t2star, transmit_field).signal(sequence, rendering)


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


@dataclass(frozen=True, eq=False)
class LazyTissue(LazyArray):
    """`Tissue` of the indexed voxels of maps, the last few at hand: maps may lie across the memory."""

    maps: tuple[FloatArray | None, ...]  # PD, T1, T2, T2* and the transmit field

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return next(tuple(values.shape) for values in self.maps if values is not None)

    def _computed(self, key: Any) -> Tissue:
        pd, t1, t2, *beside = (None if values is None else np.asarray(values[key]) for values in self.maps)
        return Tissue.of(pd, np.asarray(t1), t2, *beside)


@dataclass(frozen=True, eq=False, kw_only=True)
class LazyContrast(LazyArray):
    """Contrast of `sequence` from PD, T1 and T2 arrays of one shape, T1 and T2 in seconds.

    PD and T2 may be missing where the sequence does not need them; an equation, which has no pulses, does not see the
    transmit field. The signal is elementwise, so the order of axes is
    whatever the maps have.
    """

    sequence: Contrast
    pd: FloatArray | None
    t1: FloatArray
    t2: FloatArray | None
    t2star: FloatArray | None = None  # T2* in s; taken as T2 without
    transmit_field: FloatArray | None = None  # map of B1+ as a fraction of the nominal one, times that of `rendering`
    field_sources: tuple[str, ...] = ()  # files of that map, for the record
    rendering: Rendering = PLAIN

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
        if self.rendering != PLAIN:
            self.rendering.check(self.sequence)

    @property
    def names(self) -> tuple[str, ...]:
        """The maps that are there, as sequences name them."""
        named = zip(("PD", "T1", "T2", "T2*"), (self.pd, self.t1, self.t2, self.t2star), strict=True)
        return tuple(name for name, values in named if values is not None)

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
        if self.pd is None or self.rendering.noise_reference == "signal":
            values = self._signal(self.sample)
        else:
            values = np.asarray(self.pd[self.sample])
        return reference_level(values) / self.rendering.snr

    def with_sequence(self, sequence: Contrast, rendering: Rendering | None = None) -> LazyContrast:
        """Same maps under other acquisition parameters, and otherwise rendered if told how."""
        changed = replace(self, sequence=sequence, rendering=self.rendering if rendering is None else rendering)
        if all(one is other for one, other in zip(changed._seen, self._seen, strict=True)):
            changed.__dict__["_tissue"] = self._tissue  # what was looked at is looked at again
        return changed

    def with_transmit_field(
        self, transmit_field: FloatArray | None, name: str = "", sources: tuple[str, ...] = ()
    ) -> LazyContrast:
        """Same maps, parameters and options in another map of the transmit field, of this name and files, or none."""
        rendering = self.rendering.with_map(name)
        return replace(self, transmit_field=transmit_field, field_sources=sources, rendering=rendering)

    @property
    def _seen(self) -> tuple[FloatArray | None, ...]:
        """Maps that the sequence sees: holes of T2 or T2* would be in the way of one that does not."""
        used = ("T2", "T2*") if self.t2star is None else self.sequence.maps_in_use
        t2, t2star = (values if name in used else None for name, values in (("T2", self.t2), ("T2*", self.t2star)))
        return self.pd, self.t1, t2, t2star, self.transmit_field if isinstance(self.sequence, SignalModel) else None

    @cached_property
    def _tissue(self) -> LazyTissue:
        return LazyTissue(self._seen)

    def noiseless(self, key: Any) -> FloatArray:
        """What is shown of the indexed voxels but for the noise; not kept."""
        signal = self._signal(key)
        return signal if self.rendering.is_signed(self.sequence) else np.abs(signal)

    def _signal(self, key: Any) -> FloatArray:
        tissue: Tissue = self._tissue[key]
        return tissue.signal(self.sequence, self.rendering)

    def _computed(self, key: Any) -> FloatArray:
        signal = self._signal(key)
        if self.rendering == PLAIN and self.transmit_field is None:
            return signal
        voxels = voxel_numbers(self.shape, key) if self.rendering.has_noise else np.zeros((), np.uint64)
        return self.rendering.image(self.sequence, signal, voxels, self.noise_deviation)
