"""How volumes look: colour maps and contrast limits, as plain values that a viewer accepts.

Relaxation times are shown in ms. Colours follow Fuderer et al., Magn Reson Med 2025, doi 10.1002/mrm.30290:
Lipari for T1, Navia for T2, reversed for rates, linear in the value up to upper/e and logarithmic above, the
first colour black for voxels without a valid value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from cmap import Colormap

from napari_swig_qmri.bids import RESIDUAL_UNITS

if TYPE_CHECKING:
    from napari_swig_qmri.volumes import FloatArray, Volume

N_COLOURS = 256
_DIVERGING = "crameri:vik"
_RESIDUALS = ("residual", *RESIDUAL_UNITS)
_LONG_TAIL = 5  # times the median
_SAMPLE = 500_000  # voxels that contrast limits are taken from
_BASES = {  # suffix -> colour map, whether it is a rate
    **{"T1map": ("crameri:lipari", False), "R1map": ("crameri:lipari", True)},
    **{"T2map": ("crameri:navia", False), "R2map": ("crameri:navia", True)},
    **{"T2starmap": ("crameri:navia", False), "R2starmap": ("crameri:navia", True)},
}
_USUAL_LIMITS = {  # (suffix, field strength in T) -> ms
    **{
        ("T1map", 1.5): (200, 2000),
        ("T1map", 3.0): (400, 2500),
        ("T1map", 7.0): (600, 3500),
    },
    ("T2map", 3.0): (20, 180),
}

_PLAUSIBLE = {"T1map": (100, 6000), "T2map": (10, 4000)}  # ms; truncation rings outside of it where there is air


def display_unit(volume: Volume) -> tuple[str | None, float]:
    """Unit in which a volume is shown, and the factor from the volume's own unit."""
    return ("ms", 1e3) if volume.unit == "s" else (volume.unit, 1.0)


def appearance(volume: Volume, limits: tuple[float, float]) -> dict[str, Any]:
    """Contrast limits, colour map and blending of a volume."""
    blending = {"blending": "additive"} if volume.suffix == "conflict" else {}
    return {"contrast_limits": limits, "colormap": colormap(volume, limits), **blending}


def contrast_limits(volume: Volume, field_strength: float | None = None) -> tuple[float, float]:
    """Lower and upper limit in the displayed unit, never equal.

    T1 and T2: the usual range at the sidecar's (else the given) field strength in T if the values lie in it.
    Otherwise the 0.5th and 99.5th percentile of a sample: of plausible relaxation times,
    of positive rates; where fluid draws the upper one far from the median, the range of tissue. Residuals lie around
    zero, conflicts between 0 and 1.
    """
    if volume.suffix == "conflict":
        return 0.0, 1.0
    sample = _sample(volume.data, is_positive=volume.suffix in _BASES) * display_unit(volume)[1]
    if sample.size == 0:
        return 0.0, 1.0
    if volume.suffix in _RESIDUALS:
        top = float(np.percentile(np.abs(sample), 99.5))
        return (-top, top) if top > 0 else (-1.0, 1.0)
    if volume.unit == "s" and volume.suffix in _PLAUSIBLE:
        shortest, longest = _PLAUSIBLE[volume.suffix]
        plausible = sample[(sample > shortest) & (sample < longest)]
        sample = plausible if plausible.size else sample
    usual = _usual_limits(volume.suffix, field_strength_of(volume) or field_strength)
    if usual and usual[0] < np.median(sample) < usual[1]:
        return usual
    low, median, high = (float(value) for value in np.percentile(sample, (0.5, 50, 99.5)))
    if volume.suffix in _BASES and high > _LONG_TAIL * median:  # fluid would leave tissue dark
        low, high = max(low, median / _LONG_TAIL), median * _LONG_TAIL / 2
    if volume.suffix in ("PDmap", "M0map", "S0map"):
        low = 0.0
    return (low, high) if high > low else _around(sample)


def colormap(volume: Volume, limits: tuple[float, float]) -> str | dict[str, Any]:
    """Colour map of a volume shown between `limits`: a name, or a dict of name and colours."""
    if volume.suffix in _RESIDUALS:
        return {"colors": np.asarray(Colormap(_DIVERGING).lut(N_COLOURS + 1)), "name": "Vik (residual)"}
    if volume.suffix not in _BASES:
        return "magenta" if volume.suffix == "conflict" else "gray"
    base, is_rate = _BASES[volume.suffix]
    unit = display_unit(volume)[0]
    name = f"{base.split(':')[1].title()} {volume.suffix[:-3]} {limits[0]:.4g}-{limits[1]:.4g} {unit}"
    return {"colors": log_adapted(base, limits, is_rate), "name": name}


def log_adapted(base: str, limits: tuple[float, float], is_rate: bool = False) -> FloatArray:
    """``(256, 4)`` colours for equal steps of the value between positive `limits`, black first.

    With upper u, lower l and knee k = u/e: the position in the base map rises linearly from l to k and as
    ln(value / k) from k to u, with one slope at k. Below l the first valid colour is meant, at index 0 none.
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


def field_strength_of(volume: Volume) -> float | None:
    """Field strength in T from the sidecar, None if it has none."""
    try:
        return float(volume.sidecar["MagneticFieldStrength"])
    except (KeyError, TypeError, ValueError):
        return None


def _usual_limits(suffix: str | None, field_strength: float | None) -> tuple[float, float] | None:
    if field_strength is None:
        return None
    fitting = (
        limits
        for (name, tesla), limits in _USUAL_LIMITS.items()
        if name == suffix and abs(tesla - field_strength) < 0.25
    )
    return next(fitting, None)


def _sample(data: FloatArray, is_positive: bool) -> FloatArray:
    """Finite values of a regular sample of the voxels."""
    step = max(1, math.ceil((data.size / _SAMPLE) ** (1 / data.ndim)))
    sample = data[(slice(None, None, step),) * data.ndim].ravel()
    sample = sample[np.isfinite(sample)]
    return sample[sample > 0] if is_positive else sample


def _around(sample: FloatArray) -> tuple[float, float]:
    """Limits for values that hardly differ: their whole range, else one unit above."""
    low, high = float(sample.min()), float(sample.max())
    return (low, high) if high > low else (min(low, 0.0), max(high, min(low, 0.0) + 1.0))
