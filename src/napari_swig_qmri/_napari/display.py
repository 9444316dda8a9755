"""Colour maps and contrast limits of volumes, as plain values that a viewer accepts.

Relaxation times are shown in ms. Colours follow Fuderer et al., Magn Reson Med 2025, doi 10.1002/mrm.30290: Lipari for
T1 and Navia for T2, reversed for rates; linear in the value up to a knee at upper limit / e and logarithmic above; the
first colour is black, for voxels without a valid value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from cmap import Colormap

from napari_swig_qmri.data.recognition.sidecars import field_strength_of
from napari_swig_qmri.data.recognition.suffixes import EVIDENCE, RESIDUAL_UNITS
from napari_swig_qmri.data.recognition.units import display_unit
from napari_swig_qmri.synthesis.brightness import rounded_up

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, Volume

N_COLOURS = 256
_DIVERGING = "crameri:vik"
_DARK_DIVERGING = "crameri:berlin"
_RESIDUALS = ("residual", *RESIDUAL_UNITS)
_WITHOUT_UNIT = ("PDmap", "M0map", "S0map")
_LONG_TAIL = 5  # times the median
_SAMPLE = 500_000  # voxels that contrast limits are computed from
_BASES = {  # suffix -> colour map, whether it is a rate
    **{"T1map": ("crameri:lipari", False), "R1map": ("crameri:lipari", True)},
    **{"T2map": ("crameri:navia", False), "R2map": ("crameri:navia", True)},
    **{"T2starmap": ("crameri:navia", False), "R2starmap": ("crameri:navia", True)},
}
_USUAL_T1 = {1.5: (200.0, 2000.0), 3.0: (400.0, 2500.0), 7.0: (600.0, 3500.0)}  # field strength in T -> ms
_USUAL_T2 = (20.0, 180.0)  # ms, at every field strength
_COMMON_FIELD = 3.0  # T, assumed for maps of unknown field strength
_OVERLAP = 0.1  # least share of the positive values inside the usual range for which that range is used
_PLAUSIBLE = {"T1map": (100, 6000), "T2map": (10, 4000)}  # ms; air and truncation artefacts lie outside


def appearance(volume: Volume, limits: tuple[float, float]) -> dict[str, Any]:
    """Contrast limits, colour map and blending of a volume."""
    blending = {"blending": "additive"} if volume.suffix == "conflict" else {}
    return {"contrast_limits": limits, "colormap": colormap(volume, limits), **blending}


def contrast_limits(volume: Volume) -> tuple[float, float]:
    """Lower and upper limit in the displayed unit, never equal.

    T1 and T2 have the usual range of the brain at their field strength (3 T if unknown), so that all maps of a quantity
    look alike. Other volumes, and maps with hardly a value in that range, have the 0.5th and 99.5th percentile of a
    sample of plausible relaxation times or positive rates, or the range of tissue if fluid moves the upper percentile
    far from the median. PD starts at 0 and ends at the next round number, so that a map and its super-resolved version
    look alike. Residuals are symmetric about 0, conflicts lie between 0 and 1, and evidence between 0 and
    100 %.
    """
    if volume.suffix == "conflict":
        return 0.0, 1.0
    if volume.suffix in EVIDENCE:
        return 0.0, 100.0
    sample = _sample(volume.data, is_positive=volume.suffix in _BASES) * display_unit(volume)[1]
    if sample.size == 0:
        return 0.0, 1.0
    if volume.suffix in _RESIDUALS:
        top = float(np.percentile(np.abs(sample), 99.5))
        return (-top, top) if top > 0 else (-1.0, 1.0)
    usual = _usual_limits(volume)
    if usual and np.mean((sample > usual[0]) & (sample < usual[1])) > _OVERLAP:
        return usual
    if volume.unit == "s" and volume.suffix in _PLAUSIBLE:
        shortest, longest = _PLAUSIBLE[volume.suffix]
        plausible = sample[(sample > shortest) & (sample < longest)]
        sample = plausible if plausible.size else sample
    low, median, high = (float(value) for value in np.percentile(sample, (0.5, 50, 99.5)))
    if volume.suffix in _BASES and high > _LONG_TAIL * median:  # with fluid in the range, tissue would be dark
        low, high = max(low, median / _LONG_TAIL), median * _LONG_TAIL / 2
    if volume.suffix in _WITHOUT_UNIT:
        low, high = 0.0, rounded_up(high)
    return (low, high) if high > low else _around(sample)


def colormap(volume: Volume, limits: tuple[float, float]) -> str | dict[str, Any]:
    """Colour map of a volume shown between `limits`: a name, or a dict of a name and colours."""
    if volume.suffix in _RESIDUALS:
        return {"colors": np.asarray(Colormap(_DIVERGING).lut(N_COLOURS + 1)), "name": "Vik (residual)"}
    if volume.suffix not in _BASES:
        return "magenta" if volume.suffix == "conflict" else "gray"
    base, is_rate = _BASES[volume.suffix]
    unit = display_unit(volume)[0]
    name = f"{base.split(':')[1].title()} {volume.suffix[:-3]} {limits[0]:.4g}-{limits[1]:.4g} {unit}"
    return {"colors": log_adapted(base, limits, is_rate), "name": name}


def difference_colormap() -> dict[str, Any]:
    """Diverging colour map for differences of grey images, black at zero."""
    colours = np.array(Colormap(_DARK_DIVERGING).lut(N_COLOURS + 1))
    nearness = 1 - np.abs(np.linspace(-1, 1, N_COLOURS + 1))[:, None]
    colours[:, :3] = np.clip(colours[:, :3] - nearness * colours[N_COLOURS // 2, :3], 0, 1)
    return {"colors": colours, "name": "Berlin (difference)"}


def log_adapted(base: str, limits: tuple[float, float], is_rate: bool = False) -> FloatArray:
    """Colours ``(256, 4)`` for equal steps of the value between `limits`, linear at first and logarithmic above a knee.

    With upper limit u, lower limit l and knee k = u/e, the position in the base map rises linearly from l to k and as
    ln(value / k) from k to u, with a continuous slope at k. Index 0 is black, for voxels without a valid value.
    """
    colours = np.asarray(Colormap(base).lut(N_COLOURS), dtype=float)
    if is_rate:
        colours = colours[::-1]
    index = np.rint(1 + (N_COLOURS - 2) * _position(np.linspace(*limits, N_COLOURS), *limits)).astype(int)
    adapted: FloatArray = colours[index]
    adapted[0] = (0, 0, 0, 1)
    return adapted


def _position(values: FloatArray, lower: float, upper: float) -> FloatArray:
    """Position 0 to 1 in a colour map of values between `lower` and `upper`."""
    knee = max(upper / math.e, lower)
    linear_part = (knee - lower) / (2 * knee - lower)
    rising = linear_part * (values - lower) / max(knee - lower, 1e-12)
    logarithm = np.log(np.maximum(values, knee) / knee) / math.log(upper / knee)
    position: FloatArray = np.where(values < knee, rising, linear_part + (1 - linear_part) * logarithm)
    return np.clip(position, 0, 1)


def _usual_limits(volume: Volume) -> tuple[float, float] | None:
    """Usual range of T1 (at the nearest of 1.5, 3 and 7 T) or T2 in a brain, in ms; None for other volumes."""
    if volume.suffix == "T2map":
        return _USUAL_T2
    if volume.suffix != "T1map":
        return None
    field_strength = field_strength_of(volume.sidecar) or _COMMON_FIELD
    return _USUAL_T1[min(_USUAL_T1, key=lambda usual: abs(usual - field_strength))]


def _sample(data: FloatArray, is_positive: bool) -> FloatArray:
    """Finite values of a regular sample of the voxels."""
    step = max(1, math.ceil((data.size / _SAMPLE) ** (1 / data.ndim)))
    sample = data[(slice(None, None, step),) * data.ndim].ravel()
    sample = sample[np.isfinite(sample)]
    return sample[sample > 0] if is_positive else sample


def _around(sample: FloatArray) -> tuple[float, float]:
    """Limits for values that hardly differ: their range, or one unit above the value."""
    low, high = float(sample.min()), float(sample.max())
    return (low, high) if high > low else (min(low, 0.0), max(high, min(low, 0.0) + 1.0))
