"""Synthetic contrasts: the signal of a sequence computed from maps, all at once or slice by slice on request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps
from napari_swig_qmri.physics.sequence import Contrast, SignalModel
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, require_maps
from napari_swig_qmri.synthesis.lazy_array import LazyArray, SliceCache
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering, reference_level, voxel_numbers

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_SLICE = 512 * 512  # voxels; more count as a volume
PIECE = 32_000  # voxels of a slice per call: torch computes so few on one thread, without the cost of waking others


@dataclass(frozen=True, eq=False)
class VoxelTissue:
    """PD, T1, T2 and perhaps T2* and B1+ of some voxels, as float32 tensors for a signal model."""

    is_measured: Tensor  # boolean, of the shape of the indexed maps
    maps: tuple[Tensor, ...]  # PD, T1, T2 and perhaps T2*, each (voxel,); 1 in voxels without a measurement
    transmit_field: Tensor | None = None  # (voxel,), B1+ as a fraction of the nominal one

    @classmethod
    def of(
        cls,
        pd: FloatArray | None,
        t1: FloatArray,
        t2: FloatArray | None,
        t2star: FloatArray | None = None,
        transmit_field: FloatArray | None = None,
    ) -> VoxelTissue:
        """Tissue of maps of one shape, times in s.

        Voxels with a value that is not finite, or with a time of zero or less, count as not measured.
        """
        import torch  # kept out of start-up: it takes over a second to load

        times = [t1, t2] if t2star is None else [t1, t2, t2star]
        is_measured = np.ones(t1.shape, bool) if pd is None else np.isfinite(pd)
        for time in times:
            if time is not None:
                is_measured &= np.isfinite(time) & (time > 0)
        maps = tuple(_flat_tensor(1 if values is None else values, is_measured) for values in (pd, *times))
        if transmit_field is None:
            return cls(torch.from_numpy(np.asarray(is_measured)), maps)
        has_field = is_measured & np.isfinite(transmit_field) & (transmit_field > 0)
        return cls(torch.from_numpy(np.asarray(is_measured)), maps, _flat_tensor(transmit_field, has_field))

    def signal(self, sequence: Contrast, rendering: Rendering) -> FloatArray:
        """Signal without noise, float32, 0 in voxels without a measurement.

        Signed unless the rendering is plain and no transmit field is given.
        """
        import torch

        with torch.no_grad():
            if self.transmit_field is None:
                signal = self._signal_in_pieces(sequence, rendering)
            else:
                signal = rendering.signal(sequence, *self.maps, field=self.transmit_field)
            signal = signal.nan_to_num().reshape(self.is_measured.shape)
            masked: FloatArray = torch.where(self.is_measured, signal, 0.0).numpy()
        return masked

    def _signal_in_pieces(self, sequence: Contrast, rendering: Rendering) -> Tensor:
        import torch

        size = PIECE if self.is_measured.numel() <= LARGEST_SLICE else self.is_measured.numel()
        signal_of = sequence if rendering == PLAIN else partial(rendering.signal, sequence)
        pieces = zip(*(torch.split(each, size) for each in self.maps), strict=True)
        return torch.cat([signal_of(*piece) for piece in pieces])


def _flat_tensor(values: FloatArray | float, where: BoolArray) -> Tensor:
    """Flattened values as float32, 1 outside `where`."""
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
    """Signal of a sequence, computed voxel by voxel from maps.

    Parameters
    ----------
    sequence
        A pulse sequence or a typed equation.
    pd, t1, t2, t2star
        Arrays of one shape, times in s. PD and T2 may be None where the signal does not depend on them. Gradient
        echoes decay with T2*, or with T2 where `t2star` is None.
    transmit_field
        B1+ as a fraction of the nominal one, of the same shape; taken as 1 where it is not finite or not positive.
    rendering
        Transmit field of the whole image. Its noise is not added: see `Rendering.image`.

    Returns
    -------
    FloatArray
        Signal in the unit of `pd`, float32. It is what the sequence shows (a magnitude for most sequences) if
        `rendering` is plain and `transmit_field` None, and the signed signal otherwise. Voxels with a value that is
        not finite, or with a time of zero or less, are 0.

    Examples
    --------
    White matter and CSF at 3 T under a spin echo with TE 80 ms and TR 3 s:

    >>> import numpy as np
    >>> from napari_swig_qmri import SpinEcho, synthesise
    >>> pd, t1, t2 = np.array([0.7, 1.0]), np.array([0.9, 4.0]), np.array([0.07, 1.5])
    >>> signal = synthesise(SpinEcho(echo_time=0.08, repetition_time=3.0), pd, t1, t2)
    >>> [round(float(each), 3) for each in signal]
    [0.215, 0.5]
    """
    return VoxelTissue.of(pd, t1, t2, t2star, transmit_field).signal(sequence, rendering)


def lazy_contrast(
    maps: QuantitativeMaps | ContrastMaps, sequence: Contrast, rendering: Rendering = PLAIN
) -> LazyContrast:
    """Contrast of a set of maps as an array that computes its slices when they are indexed.

    Parameters
    ----------
    maps
        T1 in s, and PD and T2 where the signal depends on them; `ContrastMaps` may add T2* and the transmit field.
    sequence
        A pulse sequence or a typed equation.
    rendering
        Transmit field, noise and sign of the image.

    Returns
    -------
    LazyContrast
        Array of the shape of the maps, float32, in the unit of PD. ``numpy.asarray`` computes all of it.

    Raises
    ------
    ValueError
        If a map that the sequence needs is missing, or if the rendering does not apply to the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import QuantitativeMaps, Rendering, T2Flair, VoxelGrid, lazy_contrast
    >>> data = np.ones((3, 4, 5, 6)) * np.reshape([0.7, 0.9, 0.07], (3, 1, 1, 1))  # PD, T1 and T2 of white matter
    >>> maps = QuantitativeMaps(data=data, grid=VoxelGrid((4, 5, 6), np.eye(4)))
    >>> contrast = lazy_contrast(maps, T2Flair.from_typical(), Rendering(snr=20))
    >>> contrast.shape, contrast[:, :, 3].shape
    ((4, 5, 6), (4, 5))
    """
    if isinstance(maps, QuantitativeMaps):
        maps = ContrastMaps(maps=maps)
    given = maps.arrays
    if "T1" not in given:
        raise ValueError(f"every contrast needs a T1 map, but the only maps are {', '.join(given)}: add a T1 map.")
    return LazyContrast(
        sequence=sequence,
        pd=given.get("PD"),
        t1=given["T1"],
        t2=given.get("T2"),
        t2star=given.get("T2*"),
        transmit_field=maps.transmit_field,
        rendering=rendering.with_map(maps.transmit_map),
    )


class PreparedMaps:
    """Maps of one shape that are converted to `VoxelTissue` slice by slice; the last few slices are cached.

    The maps are PD, T1, T2, T2* and the transmit field, None where missing. Converting a slice takes long when its
    voxels are far apart in memory.
    """

    def __init__(self, maps: tuple[FloatArray | None, ...] = ()) -> None:
        self._maps = maps
        self._slices: SliceCache[VoxelTissue] = SliceCache()

    def for_maps(self, maps: tuple[FloatArray | None, ...]) -> PreparedMaps:
        """These prepared maps, with their cache, if they were made from the same arrays, else new ones."""
        is_same = len(maps) == len(self._maps) and all(a is b for a, b in zip(maps, self._maps, strict=True))
        return self if is_same else PreparedMaps(maps)

    def tissue(self, key: Any, shape: tuple[int, ...]) -> VoxelTissue:
        """Tissue of the indexed voxels of maps of `shape`."""
        return self._slices.get(key, shape, self._convert)

    def _convert(self, key: Any) -> VoxelTissue:
        pd, t1, t2, *others = (None if values is None else np.asarray(values[key]) for values in self._maps)
        return VoxelTissue.of(pd, np.asarray(t1), t2, *others)


@dataclass(eq=False, kw_only=True)
class LazyContrast(LazyArray):
    """Contrast of a sequence from maps of one shape, in any order of axes, computed slice by slice on request.

    PD and T2 may be None where the signal does not depend on them. The transmit field has no effect on a typed
    equation, which has no pulses. Attributes are not changed after construction: `with_sequence` and
    `with_transmit_field` return new contrasts, which share `prepared` as long as the same maps are in use.
    """

    sequence: Contrast
    pd: FloatArray | None
    t1: FloatArray  # s
    t2: FloatArray | None  # s
    t2star: FloatArray | None = None  # s; T2 is used if None
    transmit_field: FloatArray | None = None  # B1+ as a fraction of the nominal one, times that of `rendering`
    field_sources: tuple[str, ...] = ()  # files of the transmit field, for the sidecar
    rendering: Rendering = PLAIN
    prepared: PreparedMaps = field(default_factory=PreparedMaps, repr=False)

    def __post_init__(self) -> None:
        if self.pd is None or self.t2 is None:
            require_maps(self.sequence, self.names)
        given = (self.pd, self.t1, self.t2, self.t2star, self.transmit_field)
        shapes = {tuple(values.shape) for values in given if values is not None}
        if len(shapes) > 1:
            raise ValueError(
                f"a contrast needs PD, T1 and T2 on one grid, but they have the shapes "
                f"{', '.join(map(str, sorted(shapes)))}: choose three maps from the same set."
            )
        if self.rendering != PLAIN:
            self.rendering.check(self.sequence)
        self.prepared = self.prepared.for_maps(self._maps_in_use())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the given maps: PD, T1, T2 and T2*."""
        named = zip(("PD", "T1", "T2", "T2*"), (self.pd, self.t1, self.t2, self.t2star), strict=True)
        return tuple(name for name, values in named if values is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps."""
        return tuple(self.t1.shape)

    @property
    def slab_axis(self) -> int:
        """Axis with the largest stride of the maps, so that each slice is contiguous in memory."""
        return int(np.argmax(np.abs(self.t1.strides))) if isinstance(self.t1, np.ndarray) else 0

    @cached_property
    def noise_deviation(self) -> float:
        """Standard deviation of the noise of each channel, in the unit of PD; 0 without noise.

        The reference level of the signal-to-noise ratio is estimated from voxels spread over the volume.
        """
        if not self.rendering.has_noise:
            return 0.0
        if self.pd is None or self.rendering.noise_reference == "signal":
            values = self._signal(self.sample)
        else:
            values = np.asarray(self.pd[self.sample])
        return reference_level(values) / self.rendering.snr

    def with_sequence(self, sequence: Contrast, rendering: Rendering | None = None) -> LazyContrast:
        """Contrast of another sequence from the same maps, with the same rendering unless one is given."""
        return replace(self, sequence=sequence, rendering=self.rendering if rendering is None else rendering)

    def with_transmit_field(
        self, transmit_field: FloatArray | None, name: str = "", sources: tuple[str, ...] = ()
    ) -> LazyContrast:
        """The same contrast in another map of the transmit field, with its name and files; None for no map."""
        rendering = self.rendering.with_map(name)
        return replace(self, transmit_field=transmit_field, field_sources=sources, rendering=rendering)

    def noiseless(self, key: Any) -> FloatArray:
        """Image at the indexed voxels without the noise; not cached."""
        signal = self._signal(key)
        return signal if self.rendering.is_signed(self.sequence) else np.abs(signal)

    def compute(self, key: Any) -> FloatArray:
        """Image at the indexed voxels."""
        signal = self._signal(key)
        if self.rendering == PLAIN and self.transmit_field is None:
            return signal
        voxels = voxel_numbers(self.shape, key) if self.rendering.has_noise else np.zeros((), np.uint64)
        return self.rendering.image(self.sequence, signal, voxels, self.noise_deviation)

    def _signal(self, key: Any) -> FloatArray:
        return self.prepared.tissue(key, self.shape).signal(self.sequence, self.rendering)

    def _maps_in_use(self) -> tuple[FloatArray | None, ...]:
        """PD, T1, T2, T2* and the transmit field, None where the signal does not depend on them.

        So voxels without a T2 or T2* still have a signal under a sequence that does not decay with it.
        """
        names = ("T2", "T2*") if self.t2star is None else self.sequence.maps_in_use
        t2, t2star = (values if name in names else None for name, values in (("T2", self.t2), ("T2*", self.t2star)))
        transmit_field = self.transmit_field if isinstance(self.sequence, SignalModel) else None
        return self.pd, self.t1, t2, t2star, transmit_field
