"""Sequences and typed equations as tables of TOML files."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, SpinEcho, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.sequence_tables import contrast_from_table, sequence_key, shown_settings

EQUATION = UserEquation(text="PD * exp(-TE/T2) * cos(FA)", echo_time=0.033, flip_angle=math.radians(12))
TYPICAL = [kind.from_typical() for kind in SEQUENCES.values()]
SPIN_ECHO = {"repetition_time": 500, "echo_time": 15.0}


@pytest.mark.parametrize(
    "sequence", [*(kind.from_typical() for kind in SEQUENCES.values()), EQUATION], ids=sequence_key
)
def test_a_table_reads_as_the_sequence_it_was_written_from(sequence: Contrast) -> None:
    text = sequence.text if isinstance(sequence, UserEquation) else None
    read = contrast_from_table(sequence_key(sequence), shown_settings(sequence), text)
    assert type(read) is type(sequence)
    for field in fields(sequence):
        before, after = getattr(sequence, field.name), getattr(read, field.name)
        assert type(after) is type(before)
        assert after == (before if isinstance(before, str) else pytest.approx(before, rel=1e-9))


def test_settings_are_in_ms_and_degrees() -> None:
    shown = shown_settings(Mprage.from_typical(repetition_time=2.3, flip_angle=math.radians(9)))
    assert (shown["repetition_time"], shown["flip_angle"], shown["n_partitions"]) == (2300.0, 9.0, 176)
    assert shown_settings(EQUATION) == {"echo_time": 33.0, "flip_angle": 12.0}  # those that it mentions


def test_settings_with_a_default_may_be_left_out() -> None:
    table = {"echo_time": 120, "repetition_time": 9000, "inversion_time": 2500}
    assert contrast_from_table("t2-flair", table) == T2Flair.from_typical()
    exact = contrast_from_table("spin-echo", SPIN_ECHO | {"refocused_recovery": True})
    assert exact == SpinEcho(echo_time=0.015, repetition_time=0.5, refocused_recovery=True)


@pytest.mark.parametrize(
    ("key", "settings", "equation", "message"),
    [
        ("epi", {}, None, "sequence 'epi' is unknown: choose one of spin-echo, tse"),
        (["tse"], {}, None, "is unknown"),
        (None, {}, None, "sequence is missing: choose one of spin-echo, tse"),
        ("equation", {}, None, "the text of the equation is missing"),
        ("spin-echo", SPIN_ECHO, "PD", "spin-echo takes no equation"),
        ("equation", {}, 3, "equation must be text, but it is 3"),
        ("equation", {}, "PD * T3", "the equation cannot be read at position 6: unknown"),
        ("equation", {"repetition_times": 1}, "PD", "User equation has no setting 'repetition_times'"),
        (
            "spin-echo",
            SPIN_ECHO | {"inversion_time": 1},
            None,
            "Spin echo has no setting 'inversion_time'",
        ),
        ("spin-echo", {"repetition_time": 500}, None, "Spin echo needs echo_time among its settings"),
        ("spin-echo", SPIN_ECHO | {"echo_time": "15 ms"}, None, "echo_time must be a number, but it is '15 ms'"),
        ("spin-echo", SPIN_ECHO | {"echo_time": True}, None, "echo_time must be a number, but it is True"),
        ("spin-echo", SPIN_ECHO | {"refocused_recovery": 1}, None, "refocused_recovery must be true or false"),
        ("spin-echo", SPIN_ECHO | {"echo_time": 600}, None, "TE 600 ms is not shorter than TR 500 ms"),
        ("spin-echo", SPIN_ECHO | {"echo_time": math.inf}, None, "must be between 0 ms and 2000 ms"),
    ],
)
def test_wrong_tables_are_refused(key: object, settings: dict[str, Any], equation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contrast_from_table(key, settings, equation)
