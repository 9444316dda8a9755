"""How the contrast of a sequence is weighted, and the names that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_swig_qmri.physics.signal_models import (
    InversionRecovery,
    Mp2rageUni,
    Mprage,
    Spgr,
    SpinEcho,
    T2Flair,
    TurboSpinEcho,
)

if TYPE_CHECKING:
    from napari_swig_qmri.physics.sequence import Contrast

CODES = {"T1w": "1", "T2w": "2", "FLAIR": "F"}  # contrast -> what stands for it in the name of a model
LONG_ECHO = 0.05  # s; spin echoes from here on show T2 (our choice)
SHORT_REPETITION = 1.2  # s; spin echoes up to here show T1 (our choice)

UNIFORM = "UNIT1"  # BIDS suffix of MP2RAGE UNI


def contrast_of(sequence: Contrast | None, name: str) -> str:
    """T1w, T2w or FLAIR, whichever a sequence is like; else the last word of the image's name."""
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
    """Name of the model with guides of these contrasts: ``M_12 (T1w + T2w)``, ``M_1F,STIR (T1w + FLAIR + STIR)``."""
    if not contrasts:
        return "no guide"
    known = "".join(code for contrast, code in CODES.items() for each in contrasts if each == contrast)
    others = [contrast for contrast in contrasts if contrast not in CODES]
    return f"M_{','.join([*([known] if known else []), *others])} ({' + '.join(contrasts)})"


def contrast_name(sequence: Contrast | None, name: str) -> str:
    """T1w, T2w, PDw, FLAIR or UNIT1, else the last word of the title of the sequence, or of the image's name."""
    if isinstance(sequence, Mp2rageUni):
        return UNIFORM
    found = contrast_of(sequence, name if sequence is None else sequence.title)
    if isinstance(sequence, SpinEcho | TurboSpinEcho) and found not in CODES:
        return "PDw"
    return found
