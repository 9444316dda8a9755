"""What every sequence shares: echo and repetition time, checks of its settings, the decay up to the echo."""

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

SHOWN_PER_UNIT = {"s": 1e3, "rad": 180 / math.pi, "1": 1}  # what a person reads or types for one of a field's unit


def time_field(label: str, low: float, high: float, **options: Any) -> Any:
    """Time in s between `low` and `high`; required unless `options` hold a default."""
    return field(metadata={"label": label, "unit": "s", "range": (low, high)}, **options)


def angle_field(label: str, high: float = math.pi, **options: Any) -> Any:
    """Flip angle in rad up to `high`; required unless `options` hold a default."""
    return field(metadata={"label": label, "unit": "rad", "range": (math.radians(0.1), high)}, **options)


def plain_field(label: str, low: float, high: float, default: float | bool) -> Any:
    """Number, count or switch without a unit."""
    return field(default=default, metadata={"label": label, "unit": "1", "range": (low, high)})


def typical_settings(**values: float) -> Mapping[str, float]:
    """Settings of a usual protocol by field name, read-only."""
    return MappingProxyType(values)


def ms(seconds: float) -> str:
    """Time as people read it."""
    return f"{1e3 * seconds:.6g} ms"


def short_label(parameter: Field[Any]) -> str:
    """What a setting is called within a text: TE, TR, flip angle; its label where there is nothing shorter."""
    label = str(parameter.metadata["label"])
    return label.rpartition("(")[2].rstrip(")") if label.endswith(")") else label.lower()


def summary(model: Contrast) -> str:
    """One line for a person, such as ``T2-FLAIR: TE 120, TR 9000, TI 2500 ms``."""
    parts = []
    for each in model.settings_in_use:
        short = short_label(each)
        if short in {"TE", "TR", "TI", "TI2"}:
            parts.append(f"{short} {SHOWN_PER_UNIT['s'] * getattr(model, each.name):g}")
    return f"{model.title}: {', '.join(parts)} ms" if parts else model.title


def _shown(value: float, unit: str) -> str:
    if unit == "s":
        return ms(value)
    return f"{math.degrees(value):.4g} degrees" if unit == "rad" else f"{value:g}"


class PulseSequence(Protocol):
    """A dataclass of settings, made of the fields above."""

    title: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def settings_of(sequence: PulseSequence | type[PulseSequence]) -> tuple[Field[Any], ...]:
    """The fields that hold a number, with its label, unit and range as metadata."""
    return tuple(each for each in fields(sequence) if "range" in each.metadata)


def in_si_units(kind: type[PulseSequence], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in s and rad from those that a person reads or types, in ms and degrees, by field name."""
    known = {each.name: each for each in settings_of(kind)}
    per_unit = {name: SHOWN_PER_UNIT[known[name].metadata["unit"]] for name in shown}
    return {name: value if per_unit[name] == 1 else value / per_unit[name] for name, value in shown.items()}


def in_shown_units(sequence: PulseSequence) -> dict[str, Any]:
    """Settings of a sequence in ms and degrees by field name, to nine decimals."""
    shown = {}
    for each in settings_of(sequence):
        value, per_unit = getattr(sequence, each.name), SHOWN_PER_UNIT[each.metadata["unit"]]
        shown[each.name] = value if per_unit == 1 else round(value * per_unit, 9)
    return shown


def check_settings(sequence: PulseSequence) -> None:
    """Refuse with one sentence the first setting that is no number or out of its range."""
    for each in settings_of(sequence):
        value, (low, high), unit = getattr(sequence, each.name), each.metadata["range"], each.metadata["unit"]
        setting = f"{sequence.title}: {each.metadata['label']}"
        if not isinstance(value, Real):
            raise TypeError(f"{setting} must be a number, but it is {value!r}.")
        is_count = str(each.type) == "int"
        if not (low <= float(value) <= high and (not is_count or float(value).is_integer())):
            number = "a whole number between" if is_count else "between"
            allowed = f"{number} {_shown(low, unit)} and {_shown(high, unit)}"
            raise ValueError(f"{setting} must be {allowed}, but it is {_shown(float(value), unit)}.")


@dataclass(frozen=True, kw_only=True)
class Contrast(ABC):
    """What gives a weighted image from maps: settings with their checks, and a signal of PD, T1 and T2.

    `typical` holds the settings of a usual clinical protocol, a start for sliders and a stand-in for what a
    sidecar leaves out.
    """

    title: ClassVar[str]
    typical: ClassVar[Mapping[str, float]]
    is_signed: ClassVar[bool] = False  # whether the signal keeps its sign; else it is a magnitude
    is_gradient_echo: ClassVar[bool] = False  # whether it decays with T2*
    is_scaled_by_pd: ClassVar[bool] = True  # whether the signal is proportional to PD

    echo_time: float = time_field("Echo time (TE)", 0.0, 2.0)
    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0)

    def __post_init__(self) -> None:
        check_settings(self)
        problem = self._timing_problem()
        if problem:
            raise ValueError(f"{self.title} cannot be played out: {problem}; change one of them.")

    @abstractmethod
    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None) -> Tensor:
        """Signal in the unit of `pd`; t1, t2, t2star in s and > 0. T2* is taken as T2 unless given."""

    @abstractmethod
    def _timing_problem(self) -> str | None:
        """Which two settings exclude each other, with their values; None if the sequence can be played."""

    @property
    def settings_in_use(self) -> tuple[Field[Any], ...]:
        """Fields of the settings that change the signal."""
        return settings_of(self)

    @property
    def maps_in_use(self) -> tuple[str, ...]:
        """Maps that the signal depends on, of PD, T1, T2 and T2*, for which T2 may stand in."""
        return ("PD", "T1", "T2*" if self.is_gradient_echo else "T2")

    def _late_echo(self) -> str | None:
        if self.echo_time < self.repetition_time:
            return None
        return f"TE {ms(self.echo_time)} is not shorter than TR {ms(self.repetition_time)}"


@dataclass(frozen=True, kw_only=True)
class SignalModel(Contrast):
    """What all sequences share: the decay from excitation to echo.

    A class is named on the command line by its key in `SEQUENCES`.
    """

    @classmethod
    def from_typical(cls, **settings: float) -> SignalModel:
        """Sequence with its typical settings, but for those given."""
        return cls(**{**cls.typical, **settings})

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None) -> Tensor:
        """Signal in the unit of `pd`; t1, t2, t2star in s and > 0. T2* is taken as T2 unless given."""
        signal = self.signed(pd, t1, t2, t2star)
        return signal if self.is_signed else signal.abs()

    def signed(
        self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None, *, transmit_field: float = 1.0
    ) -> Tensor:
        """Signal with its sign, under a `transmit_field` (B1+) relative to that at which pulses have their angle.

        The field scales excitation and refocusing; inversions are taken as adiabatic and keep their efficiency.
        """
        decay_time = t2star if self.is_gradient_echo and t2star is not None else t2
        scaled = self._scaled(transmit_field)
        return pd * scaled._excited(t1, t2) * (-self.echo_time / decay_time).exp()

    def in_field(self, transmit_field: float) -> SignalModel:
        """The sequence with all its flip angles scaled; ValueError where one leaves its range."""
        angles = [each.name for each in fields(self) if each.metadata["unit"] == "rad"]
        return replace(self, **{name: transmit_field * getattr(self, name) for name in angles})

    def _scaled(self, transmit_field: float) -> SignalModel:
        """Like `in_field`, but also beyond the range of flip angles, which a field in a corner of a map may leave."""
        if transmit_field == 1:
            return self
        angles = [each.name for each in fields(self) if each.metadata["unit"] == "rad"]
        return self.unchecked(**{name: transmit_field * getattr(self, name) for name in angles})

    def unchecked(self, **settings: Any) -> SignalModel:
        """The sequence with other settings that are not checked: an angle out of its range, a tensor of times."""
        present = {each.name: getattr(self, each.name) for each in fields(self)}
        return _without_checks(type(self))(**{**present, **settings})

    @abstractmethod
    def _excited(self, t1: Tensor, t2: Tensor) -> Tensor:
        """Transverse magnetisation right after the excitation that makes the echo, for PD 1."""


@cache
def _without_checks(kind: type[SignalModel]) -> type[SignalModel]:
    """The class of a sequence without the checks of its settings."""
    return type(kind.__name__, (kind,), {"__post_init__": lambda _: None})
