"""Contrasts from settings in ms and degrees."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from napari_swig_qmri.cli.contrast_options import OPTION_OF_FIELD, defaults_of, sequence_with
from napari_swig_qmri.physics.sequence import in_shown_units
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage


def test_times_are_in_ms_and_angles_in_degrees() -> None:
    given = {"repetition_time": 2300, "echo_time": 3, "inversion_time": 900, "flip_angle": 9.0}
    model = sequence_with(Mprage, given)
    assert model == Mprage(repetition_time=2.3, echo_time=0.003, inversion_time=0.9, flip_angle=np.radians(9))


@pytest.mark.parametrize("name", SEQUENCES)
def test_typical_settings_of_every_sequence_can_be_given(name: str) -> None:
    kind = SEQUENCES[name]
    usual = kind.from_typical()
    shown = {option: value for option, value in in_shown_units(usual).items() if option in OPTION_OF_FIELD}
    model = sequence_with(kind, shown)
    for field in fields(kind):
        assert getattr(model, field.name) == pytest.approx(getattr(usual, field.name), rel=1e-9)
    assert defaults_of(model, shown) == ()


@pytest.mark.parametrize(
    ("name", "given", "train"),
    [
        ("tse", {"repetition_time": 5000, "echo_time": 200}, (20, 0.01)),
        ("t2-flair", {"repetition_time": 9000, "echo_time": 165, "inversion_time": 2500}, (17, 0.01)),
        ("tse", {"repetition_time": 5000, "echo_time": 200, "echo_train_length": 8}, (8, 0.025)),
        ("tse", {"repetition_time": 5000, "echo_time": 200, "echo_spacing": 4}, (50, 0.004)),
        ("tse", {"repetition_time": 5000, "echo_time": 90}, (16, 0.01)),
    ],
)
def test_an_echo_train_that_is_not_given_reaches_te(
    name: str, given: dict[str, float], train: tuple[int, float]
) -> None:
    model = sequence_with(SEQUENCES[name], given)
    assert (model.echo_train_length, model.echo_spacing) == pytest.approx(train)


def test_settings_that_were_not_given_are_named_unless_their_default_is_the_ideal() -> None:
    given = {"repetition_time": 5000, "echo_time": 200, "echo_spacing": 10}
    assert defaults_of(sequence_with(SEQUENCES["tse"], given), given) == (
        "Not given, so the usual settings are assumed: --echo-train-length 20.",
    )
