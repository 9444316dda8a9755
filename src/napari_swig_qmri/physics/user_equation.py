"""Contrasts from an equation typed by the user. The text is parsed with its own grammar and never executed as code.

    sum     = product { ("+" | "-") product }
    product = signed { ("*" | "/") signed }
    signed  = { "+" | "-" } power
    power   = value [ "**" signed ]
    value   = number | name | function "(" sum { "," sum } ")" | "(" sum ")"

Names are those of `VARIABLES` (relaxation times and timing in s, flip angle in rad) and `FUNCTIONS`. Refused are texts
longer than `LONGEST` or nested more deeply than `DEEPEST`, powers of powers, and exponents above `LARGEST_POWER`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from napari_swig_qmri.physics.sequence import Contrast, angle_field, ms, settings_of, time_field, typical_settings

if TYPE_CHECKING:
    from torch import Tensor

EQUATION = "equation"  # name of a user equation in place of a key of `SEQUENCES`
MAPS = ("PD", "T1", "T2", "T2s")
SETTINGS = {"TE": "echo_time", "TR": "repetition_time", "TI": "inversion_time", "FA": "flip_angle"}
VARIABLES = (*MAPS, *SETTINGS)
FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: x.abs(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tan": lambda x: x.tan(),
    "minimum": lambda x, y: x.minimum(y),
    "maximum": lambda x, y: x.maximum(y),
}
OPERATORS: Mapping[str, Callable[..., Tensor]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "negative": lambda x: -x,
}
N_ARGUMENTS = {name: 2 if name in ("minimum", "maximum") else 1 for name in FUNCTIONS}
LONGEST = 500  # characters
DEEPEST = 30  # levels of nested brackets, signs and functions
LARGEST_POWER = 1000.0
LARGEST_NUMBER = 1e12
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_]\w*)|\*\*|[-+*/(),]"
)


@dataclass(frozen=True)
class Call:
    """An operator or function with its arguments: numbers, names and further calls."""

    name: str
    arguments: tuple[Expression, ...]


Expression = float | str | Call


@dataclass(frozen=True)
class _Token:
    kind: str  # number, name, sign or end
    text: str
    position: int  # of its first character, from 1


@lru_cache(maxsize=64)
def parse(text: str) -> Expression:
    """Parse an equation; ValueError with the position of the first error."""
    if len(text) > LONGEST:
        raise ValueError(f"an equation may have {LONGEST} characters, but this one has {len(text)}: shorten it.")
    parser = _Parser(list(_tokens(text)))
    expression = parser.sum(0)
    rest = parser.token
    if rest.kind != "end":
        raise _refusal(f"expected an operator, but found {rest.text!r}", rest)
    return expression


def names_in(expression: Expression) -> frozenset[str]:
    """Names of the variables in an expression."""
    if isinstance(expression, Call):
        return frozenset().union(*(names_in(each) for each in expression.arguments))
    return frozenset({expression} if isinstance(expression, str) else ())


def degree_in_pd(expression: Expression) -> float | None:
    """Power of PD to which an expression is proportional; None if it is proportional to none."""
    if not isinstance(expression, Call):
        return float(expression == "PD")
    degrees = [degree_in_pd(each) for each in expression.arguments]
    first, last = degrees[0], degrees[-1]
    if first is None or last is None:
        return None
    if expression.name in ("*", "/"):
        return first + last if expression.name == "*" else first - last
    if expression.name == "**":
        power = _constant(expression.arguments[1])
        return None if last or (first and power is None) else first * (power or 0.0)
    if expression.name == "sqrt":
        return first / 2
    if expression.name in ("+", "-", "minimum", "maximum", "abs", "negative"):
        return first if first == last else None
    return None if first else 0.0


def evaluate(expression: Expression, values: Mapping[str, Tensor]) -> Tensor:
    """Value of an expression; the tensors of its variables in `values` broadcast against each other."""
    if isinstance(expression, Call):
        function = FUNCTIONS.get(expression.name) or OPERATORS[expression.name]
        return function(*(evaluate(each, values) for each in expression.arguments))
    return values[expression] if isinstance(expression, str) else values["PD"].new_tensor(expression)


@dataclass(frozen=True, kw_only=True)
class UserEquation(Contrast):
    """Contrast given by an equation in PD, T1, T2, T2s, TE, TR, TI (times in s) and FA (rad).

    Settings that `text` does not mention have no effect. Voxels where the equation has no finite value are 0.
    Raises ValueError if the text is not an equation, or a setting is out of range.
    """

    title: ClassVar[str] = "User equation"
    typical: ClassVar[Mapping[str, float]] = typical_settings(
        echo_time=0.02, repetition_time=2.0, inversion_time=0.5, flip_angle=math.radians(30)
    )
    is_signed: ClassVar[bool] = True
    is_scaled_by_pd: ClassVar[bool] = False

    text: str = field(metadata={"label": "Equation"})
    echo_time: float = time_field("Echo time (TE)", 0.0, 2.0, default=0.02)
    repetition_time: float = time_field("Repetition time (TR)", 5e-4, 60.0, default=2.0)
    inversion_time: float = time_field("Inversion time (TI)", 0.0, 20.0, default=0.5)
    flip_angle: float = angle_field("Flip angle (FA)", default=math.radians(30))

    @property
    def expression(self) -> Expression:
        """Parsed equation."""
        return parse(self.text)

    @property
    def names(self) -> frozenset[str]:
        """Names of the variables in the equation."""
        return names_in(self.expression)

    @property
    def degree_in_pd(self) -> float | None:
        """Power of PD to which the equation is proportional: 1 for an image, 0 for a ratio of two; None for none."""
        return degree_in_pd(self.expression)

    @property
    def settings_in_use(self) -> tuple[Field[Any], ...]:
        """Fields of the settings in the equation; all fields if it mentions none."""
        return mentioned_settings(self.text) or settings_of(self)

    @property
    def maps_in_use(self) -> tuple[str, ...]:
        """Names of the maps in the equation."""
        return tuple({"T2s": "T2*"}.get(name, name) for name in MAPS if name in self.names)

    def __call__(self, pd: Tensor, t1: Tensor, t2: Tensor, t2star: Tensor | None = None) -> Tensor:
        """Value of the equation in the broadcast shape of all maps; arguments as of `SignalModel.__call__`.

        T2s in the equation is T2* if given, otherwise T2.
        """
        decay_time = t2 if t2star is None else t2star
        settings = {name: pd.new_tensor(getattr(self, setting)) for name, setting in SETTINGS.items()}
        value = evaluate(self.expression, dict(zip(MAPS, (pd, t1, t2, decay_time), strict=True)) | settings)
        return (value + 0 * (pd + t1 + t2)).nan_to_num(0.0, 0.0, 0.0)

    def _timing_problem(self) -> str | None:
        names = self.names  # raises ValueError if the text is not an equation
        if names >= {"TE", "TR"} and self._late_echo():
            return self._late_echo()
        if names >= {"TI", "TR"} and self.inversion_time >= self.repetition_time:
            return f"TI {ms(self.inversion_time)} is not shorter than TR {ms(self.repetition_time)}"
        return None


def mentioned_settings(text: str) -> tuple[Field[Any], ...]:
    """Fields of the settings in an equation; ValueError if it cannot be parsed."""
    wanted = {SETTINGS[name] for name in names_in(parse(text)) if name in SETTINGS}
    return tuple(each for each in fields(UserEquation) if each.name in wanted)


class _Parser:
    """Recursive-descent parser over the tokens of an equation."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    @property
    def token(self) -> _Token:
        """Next token."""
        return self._tokens[self._next]

    def sum(self, depth: int) -> Expression:
        """Parse a sum of products."""
        value = self._product(depth)
        while self.token.text in ("+", "-"):
            sign = self._take().text
            value = Call(sign, (value, self._product(depth)))
        return value

    def _product(self, depth: int) -> Expression:
        value = self._signed(depth)
        while self.token.text in ("*", "/"):
            sign = self._take().text
            value = Call(sign, (value, self._signed(depth)))
        return value

    def _signed(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise _refusal(f"brackets and signs may be {DEEPEST} deep, but here they are deeper", self.token)
        if self.token.text not in ("+", "-"):
            return self._power(depth)
        is_negative = self._take().text == "-"
        value = self._signed(depth + 1)
        return Call("negative", (value,)) if is_negative else value

    def _power(self, depth: int) -> Expression:
        base = self._value(depth)
        if self.token.text != "**":
            return base
        self._take()
        start = self.token
        exponent = self._signed(depth + 1)
        if _holds_power(exponent):
            raise _refusal("a power may not stand in an exponent", start)
        number = abs(_constant(exponent) or 0.0)
        if number > LARGEST_POWER:
            raise _refusal(f"an exponent may be at most {LARGEST_POWER:g}, but it is {number:g}", start)
        return Call("**", (base, exponent))

    def _value(self, depth: int) -> Expression:
        token = self._take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "name":
            return self._named(token, depth)
        if token.text != "(":
            raise _refusal(f"expected a number, a name or a bracket, but {_found(token)}", token)
        value = self.sum(depth + 1)
        self._close(token)
        return value

    def _named(self, token: _Token, depth: int) -> Expression:
        """Parse a variable, or a function with its arguments."""
        if token.text in VARIABLES:
            if self.token.text == "(":
                raise _refusal(f"{token.text} is no function: put * before the bracket", self.token)
            return token.text
        if token.text not in FUNCTIONS:
            raise _refusal(f"unknown name {token.text!r}; known are {', '.join((*VARIABLES, *FUNCTIONS))}", token)
        bracket = self._take()
        if bracket.text != "(":
            raise _refusal(f"{token.text} needs a bracket after it, but {_found(bracket)}", bracket)
        arguments = [self.sum(depth + 1)]
        while self.token.text == ",":
            self._take()
            arguments.append(self.sum(depth + 1))
        self._close(bracket)
        wanted = N_ARGUMENTS[token.text]
        if len(arguments) != wanted:
            raise _refusal(f"{token.text} takes {wanted}, but got {len(arguments)} between its brackets", token)
        return Call(token.text, tuple(arguments))

    def _close(self, opened: _Token) -> None:
        token = self._take()
        if token.text != ")":
            raise _refusal(f"expected ')' for the bracket at {opened.position}, but {_found(token)}", token)

    def _take(self) -> _Token:
        token = self.token
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        if text[place] in " \t\r\n":
            place += 1
            continue
        found = _TOKEN.match(text, place)
        if found is None:
            hint = ": write ** for a power" if text[place] == "^" else ""
            raise _refusal(f"{text[place]!r} is no part of an equation{hint}", _Token("sign", text[place], place + 1))
        yield _Token(found.lastgroup or "sign", found.group(), place + 1)
        place = found.end()
    yield _Token("end", "", len(text) + 1)


def _number(token: _Token) -> float:
    value = float(token.text)
    if value > LARGEST_NUMBER:
        raise _refusal(f"a number may be at most {LARGEST_NUMBER:g}, but found {token.text}", token)
    return value


def _constant(expression: Expression) -> float | None:
    """Value of a number with any signs; None for any other expression."""
    if isinstance(expression, Call):
        value = _constant(expression.arguments[0]) if expression.name == "negative" else None
        return None if value is None else -value
    return None if isinstance(expression, str) else expression


def _holds_power(expression: Expression) -> bool:
    return isinstance(expression, Call) and (
        expression.name == "**" or any(_holds_power(each) for each in expression.arguments)
    )


def _found(token: _Token) -> str:
    return "the equation ends" if token.kind == "end" else f"found {token.text!r}"


def _refusal(reason: str, token: _Token) -> ValueError:
    return ValueError(f"the equation cannot be read at position {token.position}: {reason}.")
