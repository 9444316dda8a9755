"""The signal of a few tissues, voxels or regions, as one setting of a sequence changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import Field, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.physics.user_equation import UserEquation

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.sequence import Contrast

    IntArray = npt.NDArray[np.integer[Any]]

SETTINGS = (  # that a curve can run over
    *("echo_time", "repetition_time", "inversion_time", "second_inversion_time"),
    *("flip_angle", "second_flip_angle"),
)
N_POINTS = 61  # of a curve whose points are computed together
N_APART = 31  # of one whose points are computed one by one, which follows the cursor too
N_TRIED = 200  # settings tried to find which can be played out
REACH = 3.0  # times the usual or the present setting; how far a curve goes
LEAST_REACH = {"echo_time": 0.25}  # s; the decay of tissue is seen, however short the echo time


@dataclass(frozen=True, kw_only=True)
class TissueValues:
    """What the signal equations need of a voxel or of the mean of a region."""

    name: str
    pd: float  # unit of the PD map
    t1: float  # s
    t2: float  # s
    t2star: float | None = None  # s; T2 stands in for it where it is not known

    @property
    def gradient_decay(self) -> float:
        """Time in s with which gradient echoes decay: T2*, NaN where it was not measured, or T2 without a map of it."""
        if self.t2star is None:
            return self.t2
        return self.t2star if self.t2star > 0 else math.nan

    @property
    def is_measured(self) -> bool:
        """Whether there is a signal to compute: finite values, and times above zero."""
        return all(map(math.isfinite, (self.pd, self.t1, self.t2))) and self.t1 > 0 and self.t2 > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep:
    """A sequence with one setting running over values; its checks are made, so that tissues can change quickly."""

    setting: str  # name of the field of the sequence
    values: FloatArray  # (value,) in s or rad, rising
    played: tuple[tuple[Contrast, IntArray], ...]  # a sequence and the values that it stands for, those possible

    def __call__(self, tissues: Sequence[TissueValues]) -> FloatArray:
        """Signals ``(tissue, value)`` in the unit of PD; NaN where the sequence cannot be played out."""
        made = np.full((len(tissues), len(self.values)), np.nan)
        for sequence, where in self.played:
            made[:, where] = _signals(sequence, tissues)
        return made


def movable_settings(sequence: Contrast) -> dict[str, Field[Any]]:
    """Fields of a sequence that a curve can run over: times and angles, by name; those an equation mentions."""
    found = {each.name: each for each in sequence.settings_in_use}
    return {name: found[name] for name in SETTINGS if name in found}


def with_settings(sequence: Contrast, **settings: float) -> Contrast | None:
    """The sequence with other settings; None where it cannot be played out with them."""
    try:
        return replace(sequence, **settings)
    except ValueError:
        return None


def signals(sequence: Contrast, tissues: Sequence[TissueValues]) -> FloatArray:
    """Signal ``(tissue,)`` of each tissue in the unit of PD, NaN for one without a measurement."""
    return _signals(sequence, tissues)[:, 0]


def sweep(sequence: Contrast, setting: str, values: FloatArray) -> Sweep:
    """A sequence with `setting` at each of `values` (s or rad), the others as they are.

    Equations take all values of a time at once; angles one by one, for their sines are those of numbers.
    """
    steps = [with_settings(sequence, **{setting: float(value)}) for value in values]
    possible = np.flatnonzero([step is not None for step in steps])
    if _goes_together(sequence, setting):
        import torch  # kept out of start-up: it takes over a second to load

        together = copy(sequence)
        vars(together)[setting] = torch.from_numpy(np.asarray(values, dtype=float)[possible])
        return Sweep(setting=setting, values=values, played=((together, possible),) if len(possible) else ())
    played = tuple((step, np.array([index])) for index, step in enumerate(steps) if step is not None)
    return Sweep(setting=setting, values=values, played=played)


def setting_values(sequence: Contrast, setting: str, n: int | None = None) -> FloatArray:
    """Values ``(n,)`` in s or rad between the lowest and highest setting worth showing that can be played out.

    As many as a curve has points, unless `n` is given.
    They end at three times the usual or present setting, echo times not before 250 ms.
    """
    if setting not in movable_settings(sequence):
        known = ", ".join(movable_settings(sequence))
        raise ValueError(f"{sequence.title} has no setting {setting!r}: choose one of {known}.")
    low, high = movable_settings(sequence)[setting].metadata["range"]
    present = getattr(sequence, setting)
    reach = max(REACH * sequence.typical.get(setting, present), REACH * present, LEAST_REACH.get(setting, 0.0))
    tried = np.linspace(low, min(high, reach), N_TRIED)
    playable = [float(value) for value in tried if with_settings(sequence, **{setting: float(value)}) is not None]
    ends = (min(*playable, present), max(*playable, present)) if playable else (low, min(high, reach))
    return np.linspace(*ends, n or (N_POINTS if _goes_together(sequence, setting) else N_APART))


def _signals(sequence: Contrast, tissues: Sequence[TissueValues]) -> FloatArray:
    """Signals ``(tissue, value)`` of a sequence, one of whose settings may be a tensor of values."""
    import torch  # kept out of start-up: it takes over a second to load

    rows = [
        (each.pd, each.t1, each.t2, each.gradient_decay) if each.is_measured else (math.nan,) * 4 for each in tissues
    ]
    with torch.inference_mode():
        signal = sequence(*torch.tensor(rows, dtype=torch.float64).reshape(-1, 4, 1).unbind(1))
    result: FloatArray = signal.numpy()
    return result


def _goes_together(sequence: Contrast, setting: str) -> bool:
    """Whether an equation takes many values of a setting at once; echoes of extended phase graphs need numbers."""
    is_graph = setting == "echo_time" and getattr(sequence, "refocusing_angle", math.pi) < math.pi
    is_time = movable_settings(sequence)[setting].metadata["unit"] == "s"
    return is_time and not is_graph and not isinstance(sequence, UserEquation)
