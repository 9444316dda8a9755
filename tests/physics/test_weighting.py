"""Names of contrasts by their sequence, and of models by their guides as in the publication."""

from __future__ import annotations

import pytest

from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho, TurboSpinEcho
from napari_swig_qmri.physics.weighting import display_name, model_label, weighting_of

T1W = ("spin-echo", "mprage", "mp2rage-uni", "spgr", "ir-se", "psir")


def test_usual_protocols_have_their_contrast() -> None:
    expected = dict.fromkeys(SEQUENCES, "mine") | dict.fromkeys(T1W, "T1w") | {"tse": "T2w", "t2-flair": "FLAIR"}
    usual = {name: sequence.from_typical() for name, sequence in SEQUENCES.items()}
    assert {name: weighting_of(sequence, "sub-01 mine") for name, sequence in usual.items()} == expected
    assert display_name(usual["mp2rage-uni"], "mine") == "UNIT1"
    assert display_name(usual["stir"], "mine") == "STIR"  # its title instead of the name of the image


def test_spin_echoes_are_weighted_by_their_times() -> None:
    assert weighting_of(TurboSpinEcho(echo_time=0.012, repetition_time=0.6), "x") == "T1w"
    assert weighting_of(SpinEcho(echo_time=0.09, repetition_time=2.5), "x") == "T2w"
    proton_density = SpinEcho(echo_time=0.015, repetition_time=2.5)
    assert weighting_of(proton_density, "sub-01 mine") == "mine"
    assert display_name(proton_density, "sub-01 mine") == "PDw"


def test_an_image_without_sequence_is_named_by_its_last_word() -> None:
    assert [weighting_of(None, name) for name in ("a b", " ")] == ["b", "image"]
    assert display_name(None, "sub-01 T2w") == "T2w"


@pytest.mark.parametrize(
    ("contrasts", "label"),
    [
        ([], "no guide"),
        (["T1w"], "M_1 (T1w)"),
        (["T2w", "T1w"], "M_12 (T2w + T1w)"),
        (["T1w", "T2w", "FLAIR"], "M_12F (T1w + T2w + FLAIR)"),
        (["T1w", "T1w", "T2w"], "M_112 (T1w + T1w + T2w)"),
        (["STIR", "T1w"], "M_1,STIR (STIR + T1w)"),
        (["STIR"], "M_STIR (STIR)"),
    ],
)
def test_models_are_named_by_their_guides(contrasts: list[str], label: str) -> None:
    assert model_label(contrasts) == label
