"""What the publication claims of its models, put to paired tests over subjects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import wilcoxon

from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

LEAST_SUBJECTS = 6  # below, no order of paired differences has p < 0.05 in a two-sided test
LEVEL = 0.05
BASELINE = "zero filling"
MEASURES = ("SSIM", "HFEN")
VERDICTS = ("confirmed", "refuted", "undecided")
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Score:
    """Scores of one map of one subject by one method."""

    method: str
    subject: str
    quantity: str
    ssim: float
    hfen: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One paired test: `better` is claimed to have less error than `worse`.

    Errors are 1 - SSIM and HFEN, both over those of the LR baseline for the same map, so that maps can be compared.
    """

    claim: str
    better: str  # method and map
    worse: str
    measure: str
    n: int  # subjects
    effect: float  # share of the error of `worse` that `better` has less, median over subjects; negative for more
    p: float  # Wilcoxon signed-rank, two-sided, not corrected for the number of tests
    verdict: str  # of `VERDICTS`


@dataclass(frozen=True)
class Claim:
    """Two methods for one map, or one method for two maps."""

    text: str
    better: tuple[str, str]  # method, quantity
    worse: tuple[str, str]


MAINLY_T1 = "T1w guides mainly help T1"
MAINLY_T2 = "T2w guides mainly help T2"
BOTH_BEST = "both guides are best for all maps"
NEEDS_INPUT = "without LR input the maps fail"


def _claims() -> tuple[Claim, ...]:
    names = tuple(QUANTITIES)
    mainly = [
        Claim(text, (model, own), (other, which))
        for text, model, own, rival in ((MAINLY_T1, "M1++", "T1", "M2++"), (MAINLY_T2, "M2++", "T2", "M1++"))
        for other, which in (
            (BASELINE, own),
            (rival, own),
            *((model, name) for name in names if name != own),
        )
    ]
    best = [Claim(BOTH_BEST, ("M12++", name), (one, name)) for one in ("M1++", "M2++") for name in names]
    fail = [
        Claim(NEEDS_INPUT, (BASELINE, name), (f"{guides}{signs}", name))
        for guides in ("M1", "M2", "M12")
        for signs in ("-+", "--")
        for name in names
    ]
    return (*mainly, *best, *fail)


CLAIMS = _claims()


def compared(scores: Iterable[Score]) -> list[Comparison]:
    """Every claim by SSIM and by HFEN."""
    errors = _errors(scores)
    return [_comparison(claim, measure, errors) for claim in CLAIMS for measure in MEASURES]


def verdicts(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """What became of each claim: confirmed or refuted if all of its comparisons are, else how many were what."""
    found = {}
    for claim in dict.fromkeys(each.claim for each in comparisons):
        parts = [each.verdict for each in comparisons if each.claim == claim]
        counts = {verdict: parts.count(verdict) for verdict in VERDICTS if verdict in parts}
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        found[claim] = f"{next(iter(counts))} (all {len(parts)})" if len(counts) == 1 else f"in part ({listed})"
    return found


def _errors(scores: Iterable[Score]) -> Mapping[tuple[str, str, str], FloatArray]:
    """1 - SSIM or HFEN per subject, by method, quantity and measure."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for score in scores:
        for measure, error in zip(MEASURES, (1 - score.ssim, score.hfen), strict=True):
            found.setdefault((score.method, score.quantity, measure), []).append(error)
    return {key: np.maximum(errors, TINY) for key, errors in found.items()}


def _comparison(claim: Claim, measure: str, errors: Mapping[tuple[str, str, str], FloatArray]) -> Comparison:
    better, worse = (
        errors[(*side, measure)] / errors[(BASELINE, side[1], measure)] for side in (claim.better, claim.worse)
    )
    difference = np.log(worse / better)
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    verdict = "undecided" if p >= LEVEL else "confirmed" if np.median(difference) > 0 else "refuted"
    return Comparison(
        claim=claim.text,
        better=" ".join(claim.better),
        worse=" ".join(claim.worse),
        measure=measure,
        n=len(difference),
        effect=float(np.median(1 - better / worse)),
        p=p,
        verdict=verdict,
    )
