"""Signal of a few tissues, voxels or regions as a function of one setting of a sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.physics.sequence import Contrast, SignalModel

IntArray = npt.NDArray[np.integer[Any]]

CURVE_SETTINGS = (  # that can be the horizontal axis of a curve
    *("echo_time", "repetition_time", "inversion_time", "second_inversion_time"),
    *("flip_angle", "second_flip_angle"),
)
N_POINTS = 61  # of a curve whose points are computed together
N_SEPARATE_POINTS = 31  # of a curve whose points are computed one by one; fewer, so that it follows the cursor
N_CANDIDATES = 200  # values of a setting tested for whether the sequence can be played out
CURVE_REACH = 3.0  # upper end of a curve over the usual or the present setting, whichever is larger
LEAST_SHARE = 0.05  # of a value that is left, however large its standard error
LEAST_REACH = {"echo_time": 0.25}  # s; a curve shows the decay of tissue, however short the echo time


@dataclass(frozen=True, kw_only=True)
class TissueValues:
    """PD, T1, T2 and T2* of a tissue, a voxel or the mean of a region."""

    name: str
    pd: float  # unit of the PD map
    t1: float  # s
    t2: float  # s
    t2star: float | None = None  # s; T2 is used if None

    @property
    def gradient_decay(self) -> float:
        """Decay time of gradient echoes in s: T2*, NaN if it is not positive, or T2 if T2* is None."""
        if self.t2star is None:
            return self.t2
        return self.t2star if self.t2star > 0 else math.nan

    @property
    def is_measured(self) -> bool:
        """Whether PD, T1 and T2 are finite and the times positive."""
        return all(map(math.isfinite, (self.pd, self.t1, self.t2))) and self.t1 > 0 and self.t2 > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep:
    """A sequence with one setting varied over some values, ready to be evaluated for changing tissues.

    The settings are checked at construction, so that a call with other tissues is fast.
    """

    setting: str  # name of the field of the sequence
    values: FloatArray  # (value,) in s or rad, rising
    sequences: tuple[tuple[Contrast, IntArray], ...]  # each with the indices of the values that it computes

    def __call__(self, tissues: Sequence[TissueValues]) -> FloatArray:
        """Signals ``(tissue, value)`` in the unit of PD; NaN where the sequence cannot be played out."""
        result = np.full((len(tissues), len(self.values)), np.nan)
        for sequence, indices in self.sequences:
            result[:, indices] = _signals(sequence, tissues)
        return result


def movable_settings(sequence: Contrast) -> dict[str, Field[Any]]:
    """Fields of the times and angles of a sequence that a curve can vary, by name.

    Of an equation, only those that it mentions.
    """
    in_use = {each.name: each for each in sequence.settings_in_use}
    return {name: in_use[name] for name in CURVE_SETTINGS if name in in_use}


def with_settings(sequence: Contrast, **settings: float) -> Contrast | None:
    """The sequence with other settings; None if it cannot be played out with them."""
    try:
        return replace(sequence, **settings)
    except ValueError:
        return None


def signals(sequence: Contrast, tissues: Sequence[TissueValues]) -> FloatArray:
    """Signal ``(tissue,)`` of each tissue in the unit of PD; NaN for tissues that are not measured."""
    return _signals(sequence, tissues)[:, 0]


def sweep(sequence: Contrast, setting: str, values: FloatArray) -> Sweep:
    """Vary one setting of a sequence over `values` ``(value,)`` in s or rad.

    All values of a time are computed in one evaluation of the signal equation, those of an angle one by one, since the
    equations take angles as numbers.
    """
    steps = [with_settings(sequence, **{setting: float(value)}) for value in values]
    possible = np.flatnonzero([step is not None for step in steps])
    if isinstance(sequence, SignalModel) and _takes_tensor(sequence, setting):
        import torch  # kept out of start-up: it takes over a second to load

        together = sequence.unchecked(**{setting: torch.from_numpy(np.asarray(values, dtype=float)[possible])})
        return Sweep(setting=setting, values=values, sequences=((together, possible),) if len(possible) else ())
    sequences = tuple((step, np.array([index])) for index, step in enumerate(steps) if step is not None)
    return Sweep(setting=setting, values=values, sequences=sequences)


def setting_values(sequence: Contrast, setting: str, n: int | None = None) -> FloatArray:
    """Values ``(n,)`` in s or rad for a curve over a setting, evenly spaced.

    They cover the values that can be played out up to three times the usual or the present setting, whichever is
    larger, and echo times up to at least 250 ms. `n` is 61 by default, or 31 where points are computed one by one.
    ValueError if the sequence has no such setting.
    """
    if setting not in movable_settings(sequence):
        known = ", ".join(movable_settings(sequence))
        raise ValueError(f"{sequence.title} has no setting {setting!r}: choose one of {known}.")
    low, high = movable_settings(sequence)[setting].metadata["range"]
    present = getattr(sequence, setting)
    reach = max(
        CURVE_REACH * sequence.typical.get(setting, present), CURVE_REACH * present, LEAST_REACH.get(setting, 0.0)
    )
    candidates = np.linspace(low, min(high, reach), N_CANDIDATES)
    playable = [float(value) for value in candidates if with_settings(sequence, **{setting: float(value)}) is not None]
    ends = (min(*playable, present), max(*playable, present)) if playable else (low, min(high, reach))
    return np.linspace(*ends, n or (N_POINTS if _takes_tensor(sequence, setting) else N_SEPARATE_POINTS))


def signal_error(sequence: Contrast, tissue: TissueValues, errors: Mapping[str, float]) -> float | None:
    """Standard error of the signal of a tissue, in the unit of PD, from those of its PD, T1 and T2.

    Half the difference of the signals one standard error above and below each value; errors of different maps are taken
    for independent.

    Parameters
    ----------
    errors
        By quantity, PD in its unit and times in s.

    Returns
    -------
    float or None
        None without errors, or if the signal is not defined there.

    Examples
    --------
    >>> from napari_swig_qmri.physics.signal_models import SpinEcho
    >>> from napari_swig_qmri.synthesis.curves import TissueValues, signal_error
    >>> tissue = TissueValues(name="white matter", pd=0.7, t1=0.9, t2=0.08)
    >>> error = signal_error(SpinEcho(echo_time=0.08, repetition_time=20.0), tissue, {"T2": 0.004})
    >>> round(error, 4)  # 0.7 exp(-1) x 5 %
    0.0129
    """
    if not errors:
        return None
    moved = [_with_change(tissue, name, sign * error) for name, error in errors.items() for sign in (1, -1)]
    found = signals(sequence, moved).reshape(-1, 2)
    error = float(np.sqrt((((found[:, 0] - found[:, 1]) / 2) ** 2).sum()))
    return error if math.isfinite(error) else None


def _with_change(tissue: TissueValues, name: str, change: float) -> TissueValues:
    """Tissue with another PD, T1 or T2, which stays positive."""
    values = {"PD": tissue.pd, "T1": tissue.t1, "T2": tissue.t2}
    values[name] = max(values[name] + change, LEAST_SHARE * values[name])
    return replace(tissue, pd=values["PD"], t1=values["T1"], t2=values["T2"])


def _signals(sequence: Contrast, tissues: Sequence[TissueValues]) -> FloatArray:
    """Signals ``(tissue, value)`` of a sequence; one of its settings may be a tensor of values."""
    import torch  # kept out of start-up: it takes over a second to load

    rows = [
        (each.pd, each.t1, each.t2, each.gradient_decay) if each.is_measured else (math.nan,) * 4 for each in tissues
    ]
    with torch.inference_mode():
        signal = sequence(*torch.tensor(rows, dtype=torch.float64).reshape(-1, 4, 1).unbind(1))
    result: FloatArray = signal.numpy()
    return result


def _takes_tensor(sequence: Contrast, setting: str) -> bool:
    """Whether the signal equation takes a tensor of values for a setting; extended phase graphs need numbers."""
    is_phase_graph = setting == "echo_time" and getattr(sequence, "refocusing_angle", math.pi) < math.pi
    is_time = movable_settings(sequence)[setting].metadata["unit"] == "s"
    return is_time and not is_phase_graph and isinstance(sequence, SignalModel)
