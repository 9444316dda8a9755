"""Inversion times at which a tissue gives no signal, and the T1 of tissues that are usually nulled.

Spin-echo sequences provide their nulling time themselves. For sequences with read-out trains it follows from the steady
state. A train is zero at the centre of k-space if it starts from x0 = m (1 - c^-b), with m the steady state of an
endless train, c = cos(a) E(ESP) and b the number of read-outs before the centre. After one repetition the magnetisation
before the inversion is A - B / u with u = E(gap between inversion and train), hence 1 - u - eta (A u - B) = x0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from napari_swig_qmri.physics.sequence import Contrast, ms
from napari_swig_qmri.physics.signal_models import DoubleInversionRecovery, Mp2rageUni, Mprage
from napari_swig_qmri.physics.spin_echoes import EchoTrain

SHORTEST = 1e-3  # s; lower limit of inversion times


@dataclass(frozen=True)
class NulledTissue:
    """T1 of a tissue by field strength: a usual value and a range of our choice."""

    name: str
    t1: Mapping[float, float]  # field strength in T -> s
    t1_range: Mapping[float, tuple[float, float]]  # field strength in T -> lower and upper limit in s
    source: str


def _tissue(name: str, source: str, **per_field: tuple[float, float, float]) -> NulledTissue:
    fields = {1.5: per_field["at_1_5"], 3.0: per_field["at_3"], 7.0: per_field["at_7"]}
    return NulledTissue(
        name,
        MappingProxyType({field: usual for field, (_, usual, _) in fields.items()}),
        MappingProxyType({field: (low, high) for field, (low, _, high) in fields.items()}),
        source,
    )


_WRIGHT = "Wright et al. 2008, doi 10.1007/s10334-008-0104-8 (abstract), four subjects, MPRAGE; the range is our choice"
NULLED_TISSUES: Mapping[str, NulledTissue] = MappingProxyType(
    {
        each.name: each
        for each in (
            _tissue(
                "CSF",
                "our choice for all fields, and so is the range; at 3 T 4.309 +- 0.147 s around the brain and 4.454 +- "
                "0.188 s in the ventricles were measured (PMC10696635)",
                at_1_5=(2.5, 4.163, 4.5),
                at_3=(3.0, 4.163, 4.5),
                at_7=(3.8, 4.163, 4.6),
            ),
            _tissue(
                "fat",
                "3 T: de Bazelaire et al. 2004 (abstract), subcutaneous, 382 +- 13 ms; 7 T: methylene in the liver, "
                "514 +- 25 ms (abstract, J Magn Reson Imaging, p. 1365); 1.5 T and the ranges are our choice",
                at_1_5=(0.24, 0.343, 0.38),
                at_3=(0.3, 0.382, 0.5),
                at_7=(0.45, 0.514, 0.6),
            ),
            _tissue("WM", _WRIGHT, at_1_5=(0.5, 0.646, 0.8), at_3=(0.75, 0.838, 1.1), at_7=(1.0, 1.126, 1.35)),
            _tissue("GM", _WRIGHT, at_1_5=(0.83, 1.197, 1.35), at_3=(1.2, 1.607, 1.85), at_7=(1.7, 1.939, 2.2)),
        )
    }
)


def nulled_time(contrast: type[Contrast] | Contrast) -> str | None:
    """Name of the inversion time that nulls a tissue; None if the contrast has no inversion."""
    kind = contrast if isinstance(contrast, type) else type(contrast)
    if issubclass(kind, DoubleInversionRecovery):
        return "second_inversion_time"
    has_null = issubclass(kind, Mprage | Mp2rageUni) or hasattr(kind, "nulling_inversion_time")
    return "inversion_time" if has_null else None


def nulled(sequence: Contrast, t1: float, t2: float | None = None) -> Contrast:
    """Return the sequence with the inversion time at which `t1` (s) gives no signal; see `nulled_from`."""
    return nulled_from(type(sequence), asdict(sequence), t1, t2)


def nulled_from(kind: type[Contrast], settings: Mapping[str, Any], t1: float, t2: float | None = None) -> Contrast:
    """Return a sequence of `kind` whose inversion time is set so that `t1` gives no signal.

    For double inversion recovery TI2 is set and TI kept; MP2RAGE is nulled in its first block.

    Parameters
    ----------
    kind
        Class of a sequence with an inversion.
    settings
        Settings by field name, in s and rad; the inversion time to set may be missing or impossible.
    t1
        T1 to null, in s.
    t2
        T2 of the same tissue, in s, for the longitudinal magnetisation left by echo trains that refocus below 180
        degrees; that magnetisation is taken as zero without it.

    Raises
    ------
    ValueError
        If the sequence has no inversion, or no inversion time nulls `t1`.
    """
    name = nulled_time(kind)
    if name is None:
        raise ValueError(f"{kind.title} has no inversion, so it can null no T1: choose a sequence with one.")
    if not 0 < t1 < math.inf:
        raise ValueError(f"a T1 to null must be above 0, but it is {ms(t1)}: choose a tissue or another voxel.")
    start = kind(**{**settings, name: _earliest(kind, settings)})
    time = _nulling_time(start, t1, t2)
    if not SHORTEST <= time < math.inf:
        raise ValueError(f"no {_label(name)} of {kind.title} nulls a T1 of {ms(t1)} here: change TR or the train.")
    try:
        return replace(start, **{name: time})
    except ValueError as error:
        reason = str(error).removesuffix("; change one of them.")
        raise ValueError(f"a T1 of {ms(t1)} would be nulled at {_label(name)} {ms(time)}, but {reason}.") from None


def doubly_nulled(
    settings: Mapping[str, Any], t1: float, other_t1: float, t2: float | None = None, other_t2: float | None = None
) -> Contrast:
    """Return a double inversion recovery whose TI and TI2 null two tissues at once.

    Parameters
    ----------
    settings
        Settings by field name, in s and rad; TI and TI2 may be missing.
    t1, other_t1
        T1 of the two tissues in s.
    t2, other_t2
        T2 of the two tissues in s, used as in `nulled_from`.

    Raises
    ------
    ValueError
        If no pair of inversion times nulls both.

    Notes
    -----
    At the TI that nulls the longer T1 without a second inversion, the TI2 that nulls the longer T1 is zero. For longer
    TI it rises and crosses the TI2 that nulls the shorter T1; bisection finds the crossing.
    """
    shorter, longer = sorted(((t1, t2), (other_t1, other_t2)), key=lambda tissue: tissue[0])
    names = ("inversion_time", "second_inversion_time")
    free = DoubleInversionRecovery(**{**settings, **dict.fromkeys(names, SHORTEST)})
    low, high = SHORTEST, free.repetition_time - free.train_duration - SHORTEST
    for _ in range(60):  # halves the interval below a nanosecond
        middle = (low + high) / 2
        late, early = (_nulling_time(replace(free, inversion_time=middle), *each) for each in (longer, shorter))
        low, high = (low, middle) if late > early else (middle, high)
    return nulled(replace(free, inversion_time=low), *shorter)


def _label(name: str) -> str:
    return "TI2" if name.startswith("second") else "TI"


def _earliest(kind: type[Contrast], settings: Mapping[str, Any]) -> float:
    """Shortest possible inversion time: the read-outs before the k-space centre must fit before it."""
    if not issubclass(kind, Mprage | Mp2rageUni):
        return SHORTEST
    defaults = {name: kind.__dataclass_fields__[name].default for name in ("n_partitions", "echo_spacing")}
    known = {**defaults, "centre_fraction": 0.5, **settings}
    before = int(known["n_partitions"] * known["centre_fraction"] + 1e-9)
    return max(SHORTEST, before * float(known["echo_spacing"]))


def _nulling_time(sequence: Any, t1: float, t2: float | None) -> float:
    """Inversion time in s that nulls `t1`; NaN or negative if none does."""
    try:
        if isinstance(sequence, Mprage | Mp2rageUni):
            return _of_readouts(sequence, t1)
        times = (t1, t2) if isinstance(sequence, EchoTrain) else (t1,)
        return float(sequence.nulling_inversion_time(*times))
    except (ValueError, ZeroDivisionError, OverflowError):  # logarithm of a number that no inversion time reaches
        return math.nan


def _of_readouts(sequence: Mprage | Mp2rageUni, t1: float) -> float:
    """Nulling time of the first read-out block, as derived in the module docstring."""
    n, before, eta = sequence.n_partitions, sequence.n_before_centre, sequence.inversion_efficiency
    train = _train_of(sequence.flip_angle, sequence.echo_spacing, t1)
    steady = train(0.0, math.inf)
    start = steady + (0.0 - steady) / (math.cos(sequence.flip_angle) * _decay(sequence.echo_spacing, t1)) ** before
    end = train(start, n)
    length = n * sequence.echo_spacing
    if isinstance(sequence, Mprage):
        offset, slope = 1.0, (1 - end) * _decay(sequence.repetition_time - length, t1)
    else:  # pause, second block and recovery follow the first block
        second = _train_of(sequence.second_flip_angle, sequence.echo_spacing, t1)
        centre = sequence.second_inversion_time
        rest = sequence.repetition_time - centre - (n - before) * sequence.echo_spacing
        pause = (1 - end) * _decay(centre - before * sequence.echo_spacing - length, t1)
        after, per_pause = second(1.0, n), second(1.0, n) - second(0.0, n)
        offset = 1 - (1 - after) * _decay(rest, t1)
        slope = per_pause * pause * _decay(rest, t1)
    gap = (1 - start + eta * slope) / (1 + eta * offset)
    return before * sequence.echo_spacing - t1 * math.log(gap)


def _train_of(flip_angle: float, spacing: float, t1: float) -> Callable[[float, float], float]:
    """Function of start value and n: magnetisation after n spoiled read-outs."""
    shrink = math.cos(flip_angle) * _decay(spacing, t1)
    steady = (1 - _decay(spacing, t1)) / (1 - shrink)
    return lambda start, n: steady + (start - steady) * shrink**n


def _decay(duration: float, t1: float) -> float:
    return math.exp(-duration / t1)
