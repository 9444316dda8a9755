"""Protocols as TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from napari_swig_qmri.physics.signal_models import Mprage, T2Flair
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.protocol import (
    NamedContrast,
    Protocol,
    described,
    from_content,
    read_protocol,
    to_content,
    write_protocol,
)
from napari_swig_qmri.synthesis.rendering import Rendering

NOISY = {"transmit_field": 0.9, "snr": 20, "seed": 4, "sign": "signed"}
MIXED = Protocol(
    contrasts=(
        NamedContrast(name="noisy", sequence=T2Flair.from_typical(), rendering=Rendering(**NOISY)),  # type: ignore[arg-type]
        NamedContrast(name="plain", sequence=Mprage.from_typical()),
        NamedContrast(name="mine", sequence=UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03)),
    ),
    title="Mixed",
)
FLAIR = to_content(Protocol(contrasts=(NamedContrast(name="F", sequence=T2Flair.from_typical()),)))["contrasts"][0]


def test_a_written_protocol_reads_the_same(tmp_path: Path) -> None:
    assert read_protocol(write_protocol(MIXED, tmp_path / "all.toml")) == MIXED
    assert read_protocol(write_protocol(Protocol.usual(), tmp_path / "usual.toml")) == Protocol.usual()


def test_a_file_holds_settings_in_ms_and_the_options_that_differ_from_their_defaults(tmp_path: Path) -> None:
    text = write_protocol(MIXED, tmp_path / "mixed.toml").read_text()
    assert text.startswith("#")
    noisy, plain, mine = tomllib.loads(text)["contrasts"]
    assert noisy["rendering"] == NOISY
    assert (plain["name"], plain["sequence"], plain["echo_time"]) == ("plain", "mprage", 3.0)
    assert "rendering" not in plain
    assert mine == {"name": "mine", "sequence": "equation", "equation": "PD * exp(-TE/T2)", "echo_time": 30.0}


def test_a_map_of_the_transmit_field_is_not_part_of_a_protocol() -> None:
    mapped = NamedContrast(name="F", sequence=T2Flair.from_typical(), rendering=Rendering(transmit_map="b1"))
    (read,) = from_content(to_content(Protocol(contrasts=(mapped,)))).contrasts
    assert read.rendering == Rendering()


def test_a_contrast_is_described_in_one_line() -> None:
    assert described(MIXED.contrasts[0]) == "T2-FLAIR: TE 120, TR 9000, TI 2500 ms, B1+ 90 %, SNR 20, signed"


def test_the_usual_protocol_has_four_contrasts() -> None:
    assert [each.name for each in Protocol.usual().contrasts] == ["T1w", "T2w", "FLAIR", "DIR"]


def test_a_contrast_without_a_name_is_called_like_its_sequence() -> None:
    (contrast,) = from_content({"contrasts": [FLAIR | {"name": " "}]}).contrasts
    assert contrast.name == "T2-FLAIR"


EQUATION = {"name": "U", "sequence": "equation", "equation": "PD"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "has no contrast"),
        ({"contrasts": [FLAIR, FLAIR]}, "called 'F'"),
        ({"colour": 1, "contrasts": [FLAIR]}, "not 'colour'"),
        ({"contrasts": ["FLAIR"]}, r"\[\[contrasts\]\]"),
        ({"contrasts": [FLAIR | {"sequence": "epi"}]}, "contrast 'F': sequence 'epi' is unknown"),
        ({"contrasts": [{"echo_time": 120}]}, "contrast number 1: sequence is missing"),
        ({"contrasts": [FLAIR | {"inversion_time": 9500}]}, "contrast 'F': .* cannot be played out"),
        ({"contrasts": [FLAIR | {"rendering": 3}]}, "contrast 'F': rendering must be a table, but it is 3"),
        ({"contrasts": [FLAIR | {"rendering": {"b1": 0.9}}]}, "a rendering has no b1; it has transmit_field, snr"),
        ({"contrasts": [FLAIR | {"rendering": {"snr": "20"}}]}, "contrast 'F': snr must be a number, but it is '20'"),
        ({"contrasts": [FLAIR | {"rendering": {"seed": 1.5}}]}, "seed must be a whole number"),
        ({"contrasts": [FLAIR | {"rendering": {"sign": 1}}]}, "sign must be text, but it is 1"),
        ({"contrasts": [FLAIR | {"rendering": {"transmit_field": 90}}]}, "'F': the transmit field must be between"),
        (
            {"contrasts": [EQUATION | {"rendering": {"transmit_field": 0.9}}]},
            "'U': User equation has no pulses",
        ),
    ],
)
def test_what_is_no_protocol_is_refused_in_a_sentence(content: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_content(content)


def test_a_contrast_of_a_protocol_needs_a_name() -> None:
    with pytest.raises(ValueError, match="has no name: give it one"):
        Protocol(contrasts=(NamedContrast(name=" ", sequence=T2Flair.from_typical()),))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    for text, message in (("title = ", "is not TOML"), ("title = 'empty'", "has no contrast")):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"broken\.toml.*{message}"):
            read_protocol(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_protocol(tmp_path / "none.toml")
