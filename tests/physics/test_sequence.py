"""Settings of sequences: ranges, units for display, short texts, and impossible timings."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch

from napari_swig_qmri.physics.sequence import in_shown_units, in_si_units, ms, settings_of, short_label, summary
from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho, T2Flair

REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("spin-echo", {"echo_time": 0.6}, "TE 600 ms is not shorter than TR 500 ms"),
    ("spin-echo", {"echo_time": -0.01}, "Echo time (TE) must be between 0 ms and 2000 ms, but it is -10 ms"),
    ("spin-echo", {"repetition_time": math.nan}, "but it is nan ms"),
    ("spin-echo", {"repetition_time": math.inf}, "but it is inf ms"),
    ("spin-echo", {"repetition_time": 500.0}, "but it is 500000 ms"),
    ("tse", {"echo_time": 0.2}, "TE 200 ms lies outside the echo train of 16 x 10 ms = 160 ms"),
    ("tse", {"repetition_time": 0.15}, "does not fit into the 150 ms left in TR 150 ms"),
    ("tse", {"echo_train_length": 2.5}, "a whole number between 1 and 1024, but it is 2.5"),
    ("ir-se", {"inversion_time": 4.0}, "TI 4000 ms and TE 15 ms do not fit into TR 4000 ms"),
    ("psir", {"inversion_efficiency": 1.2}, "Inversion efficiency must be between 0 and 1, but it is 1.2"),
    ("t2-flair", {"inversion_time": 9.0}, "TI 9000 ms is not shorter than TR 9000 ms"),
    ("t2-flair", {"inversion_time": 8.9}, "does not fit into the 100 ms left in TR 9000 ms"),
    (
        "stir",
        {"inversion_time": -0.2},
        "Inversion time (TI) must be between 1 ms and 20000 ms, but it is -200 ms",
    ),
    ("dir", {"inversion_time": 8.6}, "TI 8600 ms and TI2 450 ms do not fit into TR 9000 ms"),
    ("dir", {"inversion_time": 8.5}, "does not fit into the 50 ms left in TR 9000 ms"),
    ("spgr", {"echo_time": 0.03}, "TE 30 ms is not shorter than TR 20 ms"),
    ("spgr", {"flip_angle": 20.0}, "must be between 0.1 degrees and 180 degrees, but it is 1146 degrees"),
    ("bssfp", {"repetition_time": 0.0}, "but it is 0 ms"),
    ("mprage", {"inversion_time": 0.3}, "begins at -316 ms, but the inversion is at 0 ms"),
    ("mprage", {"repetition_time": 1.2}, "ends at 1516 ms, after TR 1200 ms"),
    ("mprage", {"echo_time": 0.008}, "TE 8 ms is not shorter than the read-out spacing 7 ms"),
    (
        "mp2rage-uni",
        {"second_inversion_time": 1.0},
        "begins at 384 ms, but the block before it ends at 1316 ms",
    ),
    ("mp2rage-uni", {"n_partitions": 0}, "a whole number between 1 and 2048, but it is 0"),
]


def refusal_of(name: str, **settings: Any) -> str:
    """Message with which a sequence refuses settings: one sentence that starts with its title."""
    with pytest.raises(ValueError, match=f"^{SEQUENCES[name].title}") as refusal:
        SEQUENCES[name].from_typical(**settings)
    sentence = str(refusal.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def with_setting(setting: str) -> list[str]:
    return [name for name, sequence in SEQUENCES.items() if setting in {field.name for field in fields(sequence)}]


@pytest.mark.parametrize(("name", "settings", "words"), REFUSALS)
def test_impossible_settings_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    assert words in refusal_of(name, **settings)


@pytest.mark.parametrize("name", SEQUENCES)
def test_echo_inversion_and_train_must_fit_into_the_repetition(name: str) -> None:
    usual = SEQUENCES[name].from_typical()
    inversions = [each for each in ("inversion_time", "second_inversion_time") if name in with_setting(each)]
    for more in (0.0, 0.1):
        early = dict.fromkeys(inversions, 1e-3)
        late_echo = refusal_of(name, repetition_time=0.04, echo_time=0.04 + more, **early)
        assert f"TE {40 + 1e3 * more:g} ms" in late_echo
        for setting in inversions:
            assert "TI" in refusal_of(name, **{setting: usual.repetition_time + more})
    for length in ("echo_train_length", "n_partitions"):
        if name in with_setting(length):
            spacing = usual.repetition_time / 100
            too_long = refusal_of(name, **{length: 101, "echo_spacing": spacing})
            assert f"101 x {1e3 * spacing:.6g} ms" in too_long
            assert too_long.endswith("; change one of them.")


@pytest.mark.parametrize("degrees", [0.0, 181.0])
def test_impossible_refocusing_angles_are_refused(degrees: float) -> None:
    for name in with_setting("refocusing_angle"):
        sentence = refusal_of(name, refocusing_angle=math.radians(degrees))
        assert "Refocusing angle must be between 0.1 degrees and 180 degrees" in sentence


def test_text_instead_of_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a number, but it is '90'"):
        SpinEcho(echo_time="90", repetition_time=5.0)  # type: ignore[arg-type]


def test_settings_survive_the_change_to_shown_units_and_back() -> None:
    for kind in SEQUENCES.values():
        sequence = kind.from_typical()
        shown = in_shown_units(sequence)
        assert shown["echo_time"] == pytest.approx(1e3 * sequence.echo_time)
        assert kind(**in_si_units(kind, shown)) == sequence
    assert in_shown_units(SEQUENCES["spgr"].from_typical())["flip_angle"] == 20


def test_texts() -> None:
    assert ms(0.0123) == "12.3 ms"
    assert summary(T2Flair.from_typical()) == "T2-FLAIR: TE 120, TR 9000, TI 2500 ms"
    labels = [short_label(each) for each in settings_of(T2Flair)]
    assert labels[:3] == ["TE", "TR", "ETL"]
    assert "inversion efficiency" in labels


def test_a_setting_can_be_a_tensor_without_checks() -> None:
    times = torch.tensor([0.01, 0.05, 0.2], dtype=torch.float64)
    pd, t1, t2 = (torch.tensor(x, dtype=torch.float64) for x in (0.8, 1.2, 0.08))
    flair = T2Flair.from_typical(echo_time=0.01)
    curve = flair.unchecked(echo_time=times)(pd, t1, t2)
    torch.testing.assert_close(curve, flair(pd, t1, t2) * (-(times - 0.01) / t2).exp())
