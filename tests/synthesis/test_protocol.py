"""Protocol sheets as TOML."""

from __future__ import annotations

import math
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, T2Flair
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


def every_sequence() -> Protocol:
    return Protocol(contrasts=tuple(NamedContrast(name=n, sequence=k.from_typical()) for n, k in SEQUENCES.items()))


def test_a_written_protocol_reads_the_same(tmp_path: Path) -> None:
    protocol = every_sequence()
    read = read_protocol(write_protocol(protocol, tmp_path / "all.toml"))
    assert [each.name for each in read.contrasts] == list(SEQUENCES)
    for one, other in zip(protocol.contrasts, read.contrasts, strict=True):
        assert type(one.sequence) is type(other.sequence)
        for field in fields(one.sequence):
            before, after = getattr(one.sequence, field.name), getattr(other.sequence, field.name)
            assert after == pytest.approx(before, rel=1e-9)
            assert type(after) is type(before)


def test_the_file_is_in_ms_and_degrees(tmp_path: Path) -> None:
    contrast = NamedContrast(name="T1w", sequence=Mprage.from_typical(flip_angle=math.radians(9), repetition_time=2.3))
    path = write_protocol(Protocol(contrasts=(contrast,), title="One"), tmp_path / "one.toml")
    text = path.read_text()
    assert text.startswith("#")
    (table,) = tomllib.loads(text)["contrasts"]
    assert (table["repetition_time"], table["flip_angle"], table["n_partitions"]) == (2300.0, 9.0, 176)


def test_settings_with_a_default_may_be_left_out() -> None:
    table = {"name": "F", "sequence": "t2-flair", "echo_time": 120, "repetition_time": 9000, "inversion_time": 2500}
    (contrast,) = from_content({"contrasts": [table]}).contrasts
    assert contrast.sequence == T2Flair.from_typical()


FLAIR = to_content(Protocol(contrasts=(NamedContrast(name="F", sequence=T2Flair.from_typical()),)))["contrasts"][0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "has no contrast"),
        ({"contrasts": [FLAIR, FLAIR]}, "called 'F'"),
        ({"colour": 1, "contrasts": [FLAIR]}, "not 'colour'"),
        ({"contrasts": ["FLAIR"]}, r"\[\[contrasts\]\]"),
        ({"contrasts": [{**FLAIR, "sequence": "epi"}]}, "contrast 'F': sequence 'epi' is unknown"),
        ({"contrasts": [{"name": "F"}]}, "contrast 'F': sequence is missing: choose one of"),
        ({"contrasts": [{**FLAIR, "flip_angle": 90}]}, "T2-FLAIR has no setting 'flip_angle'"),
        ({"contrasts": [{"name": "F", "sequence": "t2-flair", "echo_time": 120}]}, "needs repetition_time"),
        ({"contrasts": [{**FLAIR, "echo_time": "120 ms"}]}, "echo_time must be a number"),
        ({"contrasts": [{**FLAIR, "inversion_time": 9500}]}, "cannot be played out"),
        ({"contrasts": [{**FLAIR, "rendering": 3}]}, "contrast 'F': rendering must be a table, but it is 3"),
        ({"contrasts": [{**FLAIR, "rendering": {"b1": 0.9}}]}, "a rendering has no b1; it has transmit_field, snr"),
        ({"contrasts": [{**FLAIR, "rendering": {"snr": "20"}}]}, "contrast 'F': snr must be a number, but it is '20'"),
        ({"contrasts": [{**FLAIR, "rendering": {"seed": 1.5}}]}, "seed must be a whole number"),
        ({"contrasts": [{**FLAIR, "rendering": {"transmit_field": 90}}]}, "'F': the transmit field must be between"),
        (
            {
                "contrasts": [
                    {"name": "U", "sequence": "equation", "equation": "PD", "rendering": {"transmit_field": 0.9}}
                ]
            },
            "contrast 'U': User equation has no pulses",
        ),
        ({"contrasts": [{**FLAIR, "echo_time": 0.12, "repetition_time": 9.0, "inversion_time": 2.5}]}, "contrast 'F'"),
    ],
)
def test_what_is_no_protocol_is_refused_in_a_sentence(content: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_content(content)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("title = ")
    with pytest.raises(ValueError, match=r"broken\.toml is not TOML"):
        read_protocol(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_protocol(tmp_path / "none.toml")


def test_the_usual_protocol_shows_four_contrasts() -> None:
    assert [each.name for each in Protocol.usual().contrasts] == ["T1w", "T2w", "FLAIR", "DIR"]


def test_a_typed_equation_is_kept(tmp_path: Path) -> None:
    equation = UserEquation(text="PD * exp(-TE/T2)", echo_time=0.03)
    path = write_protocol(Protocol(contrasts=(NamedContrast(name="mine", sequence=equation),)), tmp_path / "own.toml")
    (table,) = tomllib.loads(path.read_text())["contrasts"]
    assert table == {"name": "mine", "sequence": "equation", "equation": "PD * exp(-TE/T2)", "echo_time": 30.0}
    (read,) = read_protocol(path).contrasts
    assert read.sequence == equation
    with pytest.raises(ValueError, match="contrast 'mine'"):
        from_content({"contrasts": [{"name": "mine", "sequence": "equation"}]})


def test_options_are_kept_with_their_contrast(tmp_path: Path) -> None:
    noisy = Rendering(transmit_field=0.9, snr=20, seed=4, sign="signed", transmit_map="of a subject")
    contrasts = (
        NamedContrast(name="noisy", sequence=T2Flair.from_typical(), rendering=noisy),
        NamedContrast(name="plain", sequence=Mprage.from_typical()),
    )
    path = write_protocol(Protocol(contrasts=contrasts), tmp_path / "own.toml")
    first, second = tomllib.loads(path.read_text())["contrasts"]
    assert first["rendering"] == {"transmit_field": 0.9, "snr": 20, "seed": 4, "sign": "signed"}
    assert "rendering" not in second
    read = read_protocol(path).contrasts
    assert read[0].rendering == Rendering(transmit_field=0.9, snr=20, seed=4, sign="signed")
    assert read[1].rendering == Rendering()
    assert described(read[0]) == "T2-FLAIR: TE 120, TR 9000, TI 2500 ms, B1+ 90 %, SNR 20, signed"
