"""The grammar of user equations, what it refuses, and the contrast it gives."""

from __future__ import annotations

import math

import pytest
import torch

from napari_swig_qmri.physics.signal_models import Spgr, SpinEcho
from napari_swig_qmri.physics.user_equation import (
    DEEPEST,
    LONGEST,
    VARIABLES,
    UserEquation,
    degree_in_pd,
    evaluate,
    mentioned_settings,
    names_in,
    parse,
)

VALUES = {name: torch.tensor(0.5 + 0.25 * k, dtype=torch.float64) for k, name in enumerate(VARIABLES)}
SPIN_ECHO = "PD * (1 - exp(-TR/T1)) * exp(-TE/T2)"


def value_of(text: str) -> float:
    return evaluate(parse(text), VALUES).item()


ARITHMETIC = {
    "2 - 3 - 4": -5,
    "12 / 3 / 2": 2,
    "2 + 3 * 4": 14,
    "(2 + 3) * 4": 20,
    "-2**2": -4,
    "2**-2": 0.25,
    "(2**3)**2": 64,
    "- -3": 3,
    "2*-3": -6,
    "1.5e-3 * .5 + 2.": 2.00075,
    "exp(1) + log(2)": math.e + math.log(2),
    "sqrt(9) + abs(-2)": 5,
    "sin(0.5)**2 + cos(0.5)**2": 1,
    "tan(0.5) - sin(0.5)/cos(0.5)": 0,
    "minimum(2, 3) + maximum(2, 3)*10": 32,
    "PD + T1 - T2 * T2s": 0.5 + 0.75 - 1.0 * 1.25,
    "TE + TR + TI + FA": 1.5 + 1.75 + 2.0 + 2.25,
    " \tPD\n ": 0.5,
}


def test_values_are_those_of_arithmetic() -> None:
    assert {text: value_of(text) for text in ARITHMETIC} == pytest.approx(ARITHMETIC, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "the equation ends"),
        ("PD *", 5, "the equation ends"),
        ("PD T1", 4, "expected an operator, but found 'T1'"),
        ("PD * (T1 + 2", 13, "for the bracket at 6, but the equation ends"),
        ("PD)", 3, "found ')'"),
        ("exp T1", 5, "exp needs a bracket after it, but found 'T1'"),
        ("exp(1, 2)", 1, "exp takes 1, but got 2"),
        ("minimum(1)", 1, "minimum takes 2, but got 1"),
        ("PD(T1)", 3, "put * before the bracket"),
        ("PD * t1", 6, "unknown name 't1'; known are PD, T1, T2, T2s, TE, TR, TI, FA, exp"),
        ("PD^2", 3, "write ** for a power"),
        ("PD * (1 - exp(-TE/T2*))", 22, "expected a number, a name or a bracket, but found ')'"),
        ("1e999", 1, "a number may be at most"),
    ],
)
def test_errors_are_one_sentence_with_the_position(text: str, position: int, words: str) -> None:
    with pytest.raises(ValueError, match=f"at position {position}: ") as refusal:
        parse(text)
    assert words in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


NOT_ARITHMETIC = (
    "__import__('os').system('true')",
    "PD.__class__",
    "T1.numpy()",
    "eval(1)",
    "open(1)",
    "lambda: 1",
    "PD if T1 else T2",
    "[PD for PD in T1]",
    "PD = 1",
    "PD; T1",
    "PD[0]",
    "{PD}",
    "PD @ T1",
    "'a' * 9",
    "0x10",
    "1_000",
    "1j",
    "²",
    "Ｐ",
    "PD // T1",
    "PD % T1",
    "exp(*T1)",
    "exp(x=1)",
    "PD\x00",
)


def test_python_beyond_arithmetic_is_refused() -> None:
    for text in NOT_ARITHMETIC:
        with pytest.raises(ValueError, match="cannot be read at position"):
            parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9**9**9**9", "a power may not stand in an exponent"),
        ("9**(9**9)", "a power may not stand in an exponent"),
        ("T1**-(2*exp(2**2))", "a power may not stand in an exponent"),
        ("T1**99999", "an exponent may be at most 1000"),
        ("T1**-99999", "an exponent may be at most 1000"),
        ("(" * (DEEPEST + 1) + "PD" + ")" * (DEEPEST + 1), f"may be {DEEPEST} deep"),
        ("-" * (DEEPEST + 1) + "PD", f"may be {DEEPEST} deep"),
        ("(" * LONGEST, f"may be {DEEPEST} deep"),
        ("abs(" * 100, f"may be {DEEPEST} deep"),
        ("PD+" * 200 + "PD", f"may have {LONGEST} characters, but this one has 602"),
        ("1" * 10**6, f"may have {LONGEST} characters"),
    ],
)
def test_equations_that_could_exhaust_the_machine_are_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="equation") as refusal:
        parse(text)
    assert words in str(refusal.value)


def test_the_longest_and_deepest_equations_can_be_computed() -> None:
    chain = "+".join(["1"] * (LONGEST // 2))
    assert value_of(chain) == LONGEST // 2
    assert value_of("(" * DEEPEST + "PD" + ")" * DEEPEST) == 0.5
    assert value_of("cos(0.1)**176") == pytest.approx(math.cos(0.1) ** 176)


def test_names_and_settings_in_an_equation() -> None:
    assert names_in(parse("PD * exp(-TE/T2) + 0*minimum(FA, 1)")) == {"PD", "TE", "T2", "FA"}
    assert [each.name for each in mentioned_settings("FA + TE * T1")] == ["echo_time", "flip_angle"]


def test_the_equation_of_a_sequence_gives_its_signal() -> None:
    pd, t1, t2 = (torch.rand(3, 4, 5, dtype=torch.float64, generator=torch.manual_seed(k)) + 0.1 for k in range(3))
    typed = UserEquation(text=SPIN_ECHO, echo_time=0.015, repetition_time=0.5)
    torch.testing.assert_close(typed(pd, t1, t2), SpinEcho(echo_time=0.015, repetition_time=0.5)(pd, t1, t2))
    text = "PD * sin(FA) * (1 - exp(-TR/T1)) / (1 - cos(FA) * exp(-TR/T1)) * exp(-TE/T2s)"
    settings = {"echo_time": 0.003, "repetition_time": 0.02, "flip_angle": 0.35}
    typed, real = UserEquation(text=text, **settings), Spgr(**settings)
    torch.testing.assert_close(typed(pd, t1, t2, t2 / 2), real(pd, t1, t2, t2 / 2))
    torch.testing.assert_close(typed(pd, t1, t2), real(pd, t1, t2))


def test_signs_are_kept_and_values_that_are_not_finite_are_zero() -> None:
    one, zero = torch.ones(2, 3), torch.zeros(2, 3)
    assert (UserEquation(text="PD - 3")(one, one, one) == -2).all()
    assert (UserEquation(text="2")(one, one, one) == 2).all()  # in the shape of the maps
    for text in ("1/PD", "log(PD)", "0/PD", "sqrt(PD - 1)"):
        assert (UserEquation(text=text)(zero, one, one) == 0).all()


def test_settings_that_exclude_each_other_are_refused_where_both_are_mentioned() -> None:
    with pytest.raises(ValueError, match="TE 600 ms is not shorter than TR 500 ms"):
        UserEquation(text=SPIN_ECHO, echo_time=0.6, repetition_time=0.5)
    with pytest.raises(ValueError, match="TI 600 ms is not shorter than TR 500 ms"):
        UserEquation(text="PD*(1 - 2*exp(-TI/T1) + exp(-TR/T1))", inversion_time=0.6, repetition_time=0.5)
    assert UserEquation(text="PD * exp(-TE/T2)", echo_time=0.6, repetition_time=0.5).echo_time == 0.6
    with pytest.raises(ValueError, match="must be between 0 ms and 2000 ms"):
        UserEquation(text="PD * exp(-TE/T2)", echo_time=3.0)
    with pytest.raises(ValueError, match="position 4"):
        UserEquation(text="PD*")


def test_t2s_is_t2star_or_t2_without_it() -> None:
    one = torch.ones(2, 2)
    equation = UserEquation(text="T2 - 10*T2s")
    assert (equation(one, one, 0.5 * one, 0.25 * one) == -2).all()
    assert (equation(one, one, 0.5 * one) == -4.5).all()


DEGREES: dict[str, float | None] = {
    SPIN_ECHO: 1,
    "abs(PD - 2 * PD * exp(-TI/T1))": 1,
    "sqrt((PD * exp(-TE/T2))**2 + (PD / 10)**2)": 1,
    "-PD**2 / (4 * PD)": 1,
    "maximum(PD, 2 * PD)": 1,
    "PD**-2": -2,
    "sqrt(PD)": 0.5,
    "exp(-TE/T2)": 0,
    "exp(PD / PD)": 0,
    "T1**T2": 0,
    "PD + 1": None,
    "exp(PD)": None,
    "PD**TE": None,
    "2**PD": None,
    "PD / (1 + PD)": None,
}


def test_the_power_of_pd_is_that_of_the_values() -> None:
    for text, degree in DEGREES.items():
        assert degree_in_pd(parse(text)) == degree
        if degree is None:
            continue
        twice = evaluate(parse(text), VALUES | {"PD": 2 * VALUES["PD"]}).item()
        assert twice == pytest.approx(2**degree * value_of(text))
