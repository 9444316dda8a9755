"""Options of a synthetic contrast: transmit field, noise, and signed or magnitude image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.physics.sequence import Contrast, SignalModel
from napari_swig_qmri.physics.transmit_field import FIELD_LIMITS, in_field_map

if TYPE_CHECKING:
    from torch import Tensor

UInt64Array = np.ndarray[Any, np.dtype[np.uint64]]

IMAGE_SIGNS = ("usual", "magnitude", "signed")
NOISE_REFERENCES = ("signal", "proton density")
REFERENCE_PERCENTILE = 90  # of the non-zero magnitudes; the signal-to-noise ratio refers to it
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: separates neighbouring counters
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))  # SplitMix64, Steele et al. 2014


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """Options with which a contrast is computed; the defaults give the plain signal equation.

    The transmit field scales excitation, flip and refocusing angles of the whole image, on top of a map of it that a
    contrast may have; inversions are assumed adiabatic and are not scaled. Noise has the same standard deviation in
    the real and the imaginary channel, so it is Rician in a magnitude image and Gaussian in a signed one.

    ValueError if an option is out of its range.

    Examples
    --------
    A noisy, signed image in a transmit field that is 10 % too low:

    >>> from napari_swig_qmri import Rendering
    >>> Rendering(transmit_field=0.9, snr=20, sign="signed").words()
    ['B1+ 90 %', 'SNR 20', 'signed']
    """

    transmit_field: float = 1.0  # B1+ as a fraction of the nominal one
    transmit_map: str = ""  # name of the B1+ map of the contrast, for the sidecar; empty without one
    snr: float = math.inf  # 90th percentile of the `noise_reference` over the standard deviation of a channel
    noise_reference: str = "signal"  # "signal" of the contrast; "proton density" keeps the noise under all settings
    seed: int = 0  # of the noise
    sign: str = "usual"  # "usual" for the sequence, "magnitude" or "signed" (phase sensitive)

    def __post_init__(self) -> None:
        low, high = FIELD_LIMITS
        if not low <= self.transmit_field <= high:
            raise ValueError(
                f"the transmit field must be between {low:g} and {high:g}, but it is {self.transmit_field:g}."
            )
        if not self.snr > 0:
            raise ValueError(f"the signal-to-noise ratio must be above 0, but it is {self.snr:g}.")
        for value, allowed in ((self.sign, IMAGE_SIGNS), (self.noise_reference, NOISE_REFERENCES)):
            if value not in allowed:
                raise ValueError(f"{value!r} is none of {', '.join(allowed)}: choose one of these.")

    @property
    def has_noise(self) -> bool:
        """Whether noise is added."""
        return self.snr < math.inf

    def signed(self) -> Rendering:
        """The same transmit field, signed and without noise."""
        return Rendering(transmit_field=self.transmit_field, transmit_map=self.transmit_map, sign="signed")

    def with_map(self, name: str) -> Rendering:
        """The same options with another name of the B1+ map; empty for no map."""
        return replace(self, transmit_map=name)

    def check(self, sequence: Contrast, *, has_map: bool = False) -> None:
        """Raise a ValueError if the options do not apply to a contrast, with or without a map of the transmit field.

        Equations have no transmit field and no magnitude, ratios of images no noise and no magnitude, and scaled flip
        angles must stay in their range.
        """
        if not isinstance(sequence, SignalModel):
            if self.transmit_field != 1 or has_map or self.transmit_map or self.sign == "magnitude":
                raise ValueError(
                    f"{sequence.title} has no pulses that a transmit field could scale, and its sign is as typed: "
                    "leave the transmit field at 1 and the sign as usual."
                )
            return
        if self.has_noise and not sequence.is_scaled_by_pd:
            raise ValueError(f"{sequence.title} is a ratio of images, to which no noise can be added: switch it off.")
        if self.sign == "magnitude" and not sequence.is_scaled_by_pd:
            raise ValueError(f"{sequence.title} has no magnitude: choose the usual sign or signed.")
        sequence.in_field(self.transmit_field)

    def is_signed(self, sequence: Contrast) -> bool:
        """Whether the image keeps the sign of the signal."""
        return sequence.is_signed if self.sign == "usual" else self.sign == "signed"

    def signal(self, sequence: Contrast, *maps: Tensor, field: Tensor | None = None) -> Tensor:
        """Signed signal without noise, in the unit of PD.

        `maps` are PD, T1, T2 and perhaps T2*, times in s; `field` is a map of the transmit field. All are ``(voxel,)``.
        """
        if not isinstance(sequence, SignalModel):
            return sequence(*maps)
        if field is None:
            return sequence.signed(*maps, transmit_field=self.transmit_field)
        return in_field_map(
            lambda b1, *parts: sequence.signed(*parts, transmit_field=b1), maps, self.transmit_field * field
        )

    def image(self, sequence: Contrast, signal: FloatArray, voxels: UInt64Array, deviation: float) -> FloatArray:
        """Image of a signed signal: noise added, magnitude taken unless the image is signed.

        Parameters
        ----------
        sequence
            Sequence of the signal; decides about the magnitude where `sign` is "usual".
        signal
            Signed signal without noise, any shape, in the unit of PD.
        voxels
            Number of each voxel, of the same shape. The noise of a voxel depends on its number and the seed only.
        deviation
            Standard deviation of the noise of each channel, in the unit of PD.
        """
        keeps_sign = self.is_signed(sequence)
        if not (self.has_noise and deviation > 0):
            return signal if keeps_sign else np.abs(signal)
        real, imaginary = normal_pairs(voxels, self.seed)
        real = signal + np.float32(deviation) * real
        return real if keeps_sign else np.hypot(real, np.float32(deviation) * imaginary)

    def words(self) -> list[str]:
        """Options that differ from the defaults, in short form such as ``B1+ 90 %`` and ``SNR 20``."""
        field = f"B1+ {100 * self.transmit_field:.0f} %" if self.transmit_field != 1 else ""
        noise = f"SNR {self.snr:g}" if self.has_noise else ""
        words = (field, "B1+ map" if self.transmit_map else "", noise, self.sign if self.sign != "usual" else "")
        return [word for word in words if word]

    def to_sidecar(self) -> dict[str, Any]:
        """Sidecar entry of the options that differ from the defaults; empty if none does."""
        changed = {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}
        if not self.has_noise:
            changed = {name: value for name, value in changed.items() if name not in ("noise_reference", "seed")}
        elif changed:
            changed = {**changed, "noise_reference": self.noise_reference, "seed": self.seed}
        return {"Rendering": {_key(name): value for name, value in changed.items()}} if changed else {}

    @classmethod
    def from_sidecar(cls, sidecar: Mapping[str, Any]) -> Rendering:
        """Options recorded in a sidecar by `to_sidecar`."""
        entry = sidecar.get("Rendering", {})
        return cls(**{each.name: entry[_key(each.name)] for each in fields(cls) if _key(each.name) in entry})


PLAIN = Rendering()


def _key(name: str) -> str:
    return {"snr": "SNR"}.get(name, "".join(word.capitalize() for word in name.split("_")))


def reference_level(values: FloatArray) -> float:
    """Level that a signal-to-noise ratio refers to: the 90th percentile of the non-zero magnitudes; 0 if all are 0."""
    magnitudes = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.percentile(magnitudes, REFERENCE_PERCENTILE)) if magnitudes.size else 0.0


def voxel_numbers(shape: tuple[int, ...], key: Any = ...) -> UInt64Array:
    """Numbers (flat C-order indices) of the indexed voxels of an array of `shape`.

    Computed from the numbers along each axis, so that no array of all voxels is needed.
    """
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.uint64)) for axis in range(len(shape))]
    numbers = np.zeros((), np.uint64)
    for axis, (length, stride) in enumerate(zip(shape, strides, strict=True)):
        along = np.arange(length, dtype=np.uint64) * np.uint64(stride)
        along = along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        numbers = numbers + np.broadcast_to(along, shape)[key]
    return np.asarray(numbers, np.uint64)


def normal_pairs(voxels: UInt64Array, seed: int) -> tuple[FloatArray, FloatArray]:
    """Two independent standard normal numbers, float32, for each voxel number; the same at every call.

    The voxel numbers are hashed (SplitMix64, Steele et al. 2014), and the two halves of each hash become two normal
    numbers (Box and Muller 1958).
    """
    with np.errstate(over="ignore"):
        start = _mixed(np.asarray([seed], np.uint64) * _GOLDEN + _GOLDEN)
        bits = _mixed(np.asarray(voxels) * _GOLDEN + start)
    high, low = ((half.astype(np.float32) + np.float32(0.5)) / 2**32 for half in (bits >> 32, bits & 0xFFFFFFFF))
    radius = np.sqrt(-2 * np.log(np.minimum(high, np.float32(1 - 2**-24))))
    angle = np.float32(2 * math.pi) * low
    return radius * np.cos(angle), radius * np.sin(angle)


def _mixed(bits: UInt64Array) -> UInt64Array:
    for shift, factor in _MIX:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))
