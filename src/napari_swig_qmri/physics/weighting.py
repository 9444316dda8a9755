"""Weighting of a contrast (T1w, T2w, ...) and the names derived from it."""

from __future__ import annotations

from collections.abc import Sequence

from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import (
    InversionRecovery,
    Mp2rageUni,
    Mprage,
    Spgr,
    SpinEcho,
    T2Flair,
    TurboSpinEcho,
)

CODES = {"T1w": "1", "T2w": "2", "FLAIR": "F"}  # contrast -> its code in the name of a model
LONG_ECHO = 0.05  # s; spin echoes with TE from here on are T2-weighted (our choice)
SHORT_REPETITION = 1.2  # s; spin echoes with TR up to here are T1-weighted (our choice)

UNIFORM = "UNIT1"  # BIDS suffix of MP2RAGE UNI


def weighting_of(sequence: Contrast | None, name: str) -> str:
    """Weighting of a sequence, ``T1w``, ``T2w`` or ``FLAIR``; otherwise the last word of the image's `name`."""
    if isinstance(sequence, T2Flair):
        return "FLAIR"
    if isinstance(sequence, (Mprage, Mp2rageUni, Spgr, InversionRecovery)):
        return "T1w"
    if isinstance(sequence, (SpinEcho, TurboSpinEcho)):
        if sequence.echo_time >= LONG_ECHO:
            return "T2w"
        if sequence.repetition_time <= SHORT_REPETITION:
            return "T1w"
    return name.split()[-1] if name.strip() else "image"


def model_label(contrasts: Sequence[str]) -> str:
    """Name of the model with guides of these contrasts, ``M_12 (T1w + T2w)`` or ``M_1F,STIR (T1w + FLAIR + STIR)``."""
    if not contrasts:
        return "no guide"
    known = "".join(code for contrast, code in CODES.items() for each in contrasts if each == contrast)
    others = [contrast for contrast in contrasts if contrast not in CODES]
    return f"M_{','.join([*([known] if known else []), *others])} ({' + '.join(contrasts)})"


def display_name(sequence: Contrast | None, name: str) -> str:
    """Name of a contrast: ``T1w``, ``T2w``, ``PDw``, ``FLAIR`` or ``UNIT1``.

    For other sequences the last word of their title; without a sequence the last word of the image's `name`.
    """
    if isinstance(sequence, Mp2rageUni):
        return UNIFORM
    weighting = weighting_of(sequence, name if sequence is None else sequence.title)
    if isinstance(sequence, SpinEcho | TurboSpinEcho) and weighting not in CODES:
        return "PDw"
    return weighting
