"""Base classes of all sequences: settings with labels, units and ranges, their checks, and the signal.

Times are in s, angles in rad. Forms and messages show ms and degrees.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import cache
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

SHOWN_PER_UNIT = {"s": 1e3, "rad": 180 / math.pi, "1": 1}  # displayed value (ms, degrees) per value of a field
TIMING_TOLERANCE = 1e-9  # s; sums of settings such as 16 * 0.01 are not exact


def time_field(label: str, low: float, high: float, **options: Any) -> Any:
    """Dataclass field for a time in s between `low` and `high`; `options` as for `dataclasses.field`."""
    return field(metadata={"label": label, "unit": "s", "range": (low, high)}, **options)


def angle_field(label: str, high: float = math.pi, **options: Any) -> Any:
    """Dataclass field for an angle in rad from 0.1 degrees to `high`; `options` as for `dataclasses.field`."""
    return field(metadata={"label": label, "unit": "rad", "range": (math.radians(0.1), high)}, **options)


def plain_field(label: str, low: float, high: float, default: float | bool) -> Any:
    """Dataclass field for a number, count or switch without a unit."""
    return field(default=default, metadata={"label": label, "unit": "1", "range": (low, high)})


def typical_settings(**values: float) -> Mapping[str, float]:
    """Settings of a usual protocol by field name, read-only."""
    return MappingProxyType(values)


def ms(seconds: float) -> str:
    """Time as text in ms."""
    return f"{1e3 * seconds:.6g} ms"


def short_label(parameter: Field[Any]) -> str:
    """Short name of a setting: the abbreviation in its label (TE, TR), else the label in lower case."""
    label = str(parameter.metadata["label"])
    return label.rpartition("(")[2].rstrip(")") if label.endswith(")") else label.lower()


def summary(model: Contrast) -> str:
    """Title and times of a contrast in one line, such as ``T2-FLAIR: TE 120, TR 9000, TI 2500 ms``."""
    parts = []
    for each in model.settings_in_use:
        short = short_label(each)
        if short in {"TE", "TR", "TI", "TI2"}:
            parts.append(f"{short} {SHOWN_PER_UNIT['s'] * getattr(model, each.name):g}")
    return f"{model.title}: {', '.join(parts)} ms" if parts else model.title


def shown_setting(value: float, unit: str) -> str:
    """Value of a setting in a unit (s, rad or 1) as text, in ms or degrees."""
    if unit == "s":
        return ms(value)
    return f"{math.degrees(value):.4g} degrees" if unit == "rad" else f"{value:g}"


class PulseSequence(Protocol):
    """A dataclass whose settings are made by `time_field`, `angle_field` and `plain_field`."""

    title: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def settings_of(sequence: PulseSequence | type[PulseSequence]) -> tuple[Field[Any], ...]:
    """Numeric fields of a sequence, with label, unit and range in their metadata."""
    return tuple(each for each in fields(sequence) if "range" in each.metadata)


def in_si_units(kind: type[PulseSequence], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in s and rad by field name, from displayed ones in ms and degrees."""
    known = {each.name: each for each in settings_of(kind)}
    per_unit = {name: SHOWN_PER_UNIT[known[name].metadata["unit"]] for name in shown}
    return {name: value if per_unit[name] == 1 else value / per_unit[name] for name, value in shown.items()}


def in_shown_units(sequence: PulseSequence) -> dict[str, Any]:
    """Settings of a sequence in ms and degrees by field name, rounded to nine decimals."""
    shown = {}
    for each in settings_of(sequence):
        value, per_unit = getattr(sequence, each.name), SHOWN_PER_UNIT[each.metadata["unit"]]
        shown[each.name] = value if per_unit == 1 else round(value * per_unit, 9)
    return shown


def check_timing(title: str, problem: str | None) -> None:
    """Raise ValueError if a clause names settings of the sequence `title` that exclude each other."""
    if problem:
        raise ValueError(f"{title} cannot be played out: {problem}; change one of them.")


def check_settings(sequence: PulseSequence) -> None:
    """Raise TypeError if a setting is not a number, ValueError if it is out of range or a count is not whole."""
    for each in settings_of(sequence):
        value, (low, high), unit = getattr(sequence, each.name), each.metadata["range"], each.metadata["unit"]
        setting = f"{sequence.title}: {each.metadata['label']}"
        if not isinstance(value, Real):
            raise TypeError(f"{setting} must be a number, but it is {value!r}.")
        is_count = str(each.type) == "int"
        if not (low <= float(value) <= high and (not is_count or float(value).is_integer())):
            number = "a whole number between" if is_count else "between"
            allowed = f"{number} {shown_setting(low, unit)} and {shown_setting(high, unit)}"
            raise ValueError(f"{setting} must be {allowed}, but it is {shown_setting(float(value), unit)}.")


def relax(magnetisation: Tensor | float, duration: float, t1: Tensor) -> Tensor:
    """Longitudinal magnetisation after `duration` (s) of recovery to 1; `t1` in s, of any shape.

    Uses ``expm1``, which keeps float32 accurate where `duration` is much shorter than T1.
    """
    return magnetisation + (magnetisation - 1) * (-duration / t1).expm1()


@dataclass(frozen=True, kw_only=True)
class Contrast(ABC):
    """Base class of everything that computes a weighted image from PD, T1 and T2.

    Holds the settings of the acquisition and checks them. `typical` are the settings of a usual clinical protocol:
    defaults of forms, and replacements for what a sidecar leaves out. Raises TypeError if a setting is not a number,
    ValueError if it is out of range or two settings exclude each other.
    """

    title: ClassVar[str]
    typical: ClassVar[Mapping[str, float]]
    is_signed: ClassVar[bool] = False  # whether the signal keeps its sign; otherwise it is a magnitude
    is_gradient_echo: ClassVar[bool] = False  # whether the signal decays with T2*
    is_scaled_by_pd: ClassVar[bool] = True  # whether the signal is proportional to PD

    echo_time: float = time_field("Echo time (TE)", 0.0, 2.0)
    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0)

    def __post_init__(self) -> None:
        check_settings(self)
        check_timing(self.title, self._timing_problem())

    @abstractmethod
    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None) -> Tensor:
        """Signal in the unit of `pd`; arguments as of `SignalModel.__call__`."""

    @abstractmethod
    def _timing_problem(self) -> str | None:
        """Clause that names two settings that exclude each other, with their values; None if there are none."""

    @property
    def settings_in_use(self) -> tuple[Field[Any], ...]:
        """Fields of the settings that change the signal."""
        return settings_of(self)

    @property
    def maps_in_use(self) -> tuple[str, ...]:
        """Names of the maps that the signal depends on: PD, T1, T2, T2* (for which T2 can be used)."""
        return ("PD", "T1", "T2*" if self.is_gradient_echo else "T2")

    def _late_echo(self) -> str | None:
        if self.echo_time < self.repetition_time:
            return None
        return f"TE {ms(self.echo_time)} is not shorter than TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class SignalModel(Contrast):
    """Base class of all MR sequences: PD times transverse magnetisation times decay up to the echo.

    The key of a class in `SEQUENCES` is its name on the command line.
    """

    @classmethod
    def from_typical(cls, **settings: float) -> SignalModel:
        """Sequence with its typical settings, except those given (s, rad)."""
        return cls(**{**cls.typical, **settings})

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None) -> Tensor:
        """Signal in the unit of `pd`, a magnitude unless `is_signed`.

        Parameters
        ----------
        pd
            Proton density in any unit.
        t1, t2, t2star
            Relaxation times in s, > 0; T2* equals T2 if not given. All maps broadcast against each other.
        """
        signal = self.signed(pd, t1, t2, t2star)
        return signal if self.is_signed else signal.abs()

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Signal with its sign, in a given transmit field.

        Parameters
        ----------
        pd, t1, t2, t2star
            Maps as in `__call__`.
        transmit_field
            B1+ as a fraction of the nominal one. It scales excitation and refocusing angles; inversions are taken as
            adiabatic and keep their efficiency.
        """
        decay_time = t2star if self.is_gradient_echo and t2star is not None else t2
        return pd * self._excited(t1, t2, transmit_field) * (-self.echo_time / decay_time).exp()

    def in_field(self, transmit_field: float) -> SignalModel:
        """Sequence with all flip angles scaled by `transmit_field`; ValueError if one leaves its range."""
        angles = [each.name for each in fields(self) if each.metadata["unit"] == "rad"]
        return replace(self, **{name: transmit_field * getattr(self, name) for name in angles})

    def unchecked(self, **settings: Any) -> SignalModel:
        """Return the sequence with other settings, without checking them: a tensor of times is possible, too."""
        present = {each.name: getattr(self, each.name) for each in fields(self)}
        return _without_checks(type(self))(**{**present, **settings})

    @abstractmethod
    def _excited(self, t1: Tensor, t2: Tensor, transmit_field: float = 1.0) -> Tensor:
        """Transverse magnetisation right after the excitation of the measured echo, for PD 1."""


@cache
def _without_checks(kind: type[SignalModel]) -> type[SignalModel]:
    """Subclass of a sequence that does not check its settings."""
    return type(kind.__name__, (kind,), {"__post_init__": lambda _: None})
