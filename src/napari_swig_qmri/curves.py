"""The signal of a few tissues, voxels or regions, as one setting of a sequence changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import Field, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_swig_qmri.sequence import Contrast
    from napari_swig_qmri.volumes import FloatArray

SETTINGS = (  # that a curve can run over
    *("echo_time", "repetition_time", "inversion_time", "second_inversion_time"),
    *("flip_angle", "second_flip_angle"),
)
N_POINTS = 61  # of a curve
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

    @property
    def is_measured(self) -> bool:
        """Whether there is a signal to compute: finite values, and times above zero."""
        return all(map(math.isfinite, (self.pd, self.t1, self.t2))) and self.t1 > 0 and self.t2 > 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """Signals of some tissues over values of one setting; NaN where the sequence cannot be played out."""

    setting: str  # name of the field of the sequence
    values: FloatArray  # (value,) in s or rad, rising
    signals: FloatArray  # (tissue, value) in the unit of PD


def movable_settings(sequence: Contrast) -> dict[str, Field[Any]]:
    """Fields of a sequence that a curve can run over: times and angles, by name; those an equation mentions."""
    found = {each.name: each for each in sequence.settings_in_use}
    return {name: found[name] for name in SETTINGS if name in found}


def short_name(parameter: Field[Any]) -> str:
    """What a setting is called on an axis: TE, TR, TI, flip angle."""
    label = str(parameter.metadata["label"])
    return label.rpartition("(")[2].rstrip(")") if label.endswith(")") else label.lower()


def with_settings(sequence: Contrast, **settings: float) -> Contrast | None:
    """The sequence with other settings; None where it cannot be played out with them."""
    try:
        return replace(sequence, **settings)
    except ValueError:
        return None


def signals(sequence: Contrast, tissues: Sequence[TissueValues]) -> FloatArray:
    """Signal ``(tissue,)`` of each tissue in the unit of PD, NaN for one without a measurement."""
    import torch  # kept out of start-up: it takes over a second to load

    rows = [(each.pd, each.t1, each.t2) if each.is_measured else (math.nan,) * 3 for each in tissues]
    with torch.inference_mode():
        signal = sequence(*torch.tensor(rows, dtype=torch.float64).reshape(-1, 3).unbind(1))
    result: FloatArray = signal.numpy()
    return result


def curves(sequence: Contrast, setting: str, values: FloatArray, tissues: Sequence[TissueValues]) -> Curves:
    """Signals of `tissues` for each of `values` (s or rad) of one setting, the others as they are."""
    made = np.full((len(tissues), len(values)), np.nan)
    for index, value in enumerate(values):
        changed = with_settings(sequence, **{setting: float(value)})
        if changed is not None:
            made[:, index] = signals(changed, tissues)
    return Curves(setting=setting, values=np.asarray(values, dtype=float), signals=made)


def setting_values(sequence: Contrast, setting: str, n: int = N_POINTS) -> FloatArray:
    """Values ``(n,)`` in s or rad between the lowest and highest setting worth showing that can be played out.

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
    return np.linspace(*ends, n)
