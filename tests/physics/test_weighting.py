"""Names of results by their guides, as in the publication."""

from __future__ import annotations

import pytest

from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho, TurboSpinEcho
from napari_swig_qmri.physics.weighting import contrast_of, model_label


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        *(("spin-echo", "T1w"), ("mprage", "T1w"), ("mp2rage-uni", "T1w"), ("spgr", "T1w"), ("ir-se", "T1w")),
        *(("psir", "T1w"), ("tse", "T2w"), ("t2-flair", "FLAIR"), ("stir", "mine"), ("dir", "mine"), ("bssfp", "mine")),
    ],
)
def test_usual_protocols_have_their_contrast(name: str, contrast: str) -> None:
    assert contrast_of(SEQUENCES[name].from_typical(), "sub-01 mine") == contrast


def test_spin_echoes_are_told_apart_by_their_times() -> None:
    assert contrast_of(TurboSpinEcho(echo_time=0.012, repetition_time=0.6), "x") == "T1w"
    assert contrast_of(SpinEcho(echo_time=0.09, repetition_time=2.5), "x") == "T2w"
    assert contrast_of(SpinEcho(echo_time=0.015, repetition_time=2.5), "sub-01 PDw") == "PDw"


def test_an_unknown_image_goes_by_its_name() -> None:
    assert [contrast_of(None, name) for name in ("a b", " ")] == ["b", "image"]


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
