"""Claims of the publication about its models, tested by paired comparisons over subjects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import wilcoxon

from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

LEAST_SUBJECTS = 6  # with fewer, a two-sided signed-rank test cannot reach p < 0.05
LEVEL = 0.05
BASELINE = "zero filling"
MEASURES = ("SSIM", "HFEN")
VERDICTS = ("confirmed", "refuted", "undecided")
LEAST_ERROR = 1e-12  # so that errors have a logarithm


@dataclass(frozen=True, kw_only=True)
class Score:
    """Scores of one map of one subject by one method."""

    method: str
    subject: str
    quantity: str
    ssim: float
    hfen: float


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Test of the claim that `better` has a smaller error than `worse`, each a method and a map.

    Errors are 1 - SSIM and HFEN, divided by the error of the LR baseline for the same map, so that different maps can
    be compared.
    """

    claim: str
    better: str
    worse: str
    measure: str
    n: int  # subjects
    effect: float  # median over subjects of 1 - (error of `better`) / (error of `worse`)
    p: float  # Wilcoxon signed-rank test, two-sided, not corrected for the number of tests
    verdict: str  # one of `VERDICTS`


@dataclass(frozen=True)
class Claim:
    """Two methods for one map or one method for two maps, and which of them is claimed to be better."""

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
        Claim(text, (model, quantity), (method, other))
        for text, model, quantity, rival in ((MAINLY_T1, "M1++", "T1", "M2++"), (MAINLY_T2, "M2++", "T2", "M1++"))
        for method, other in (
            (BASELINE, quantity),
            (rival, quantity),
            *((model, name) for name in names if name != quantity),
        )
    ]
    best = [Claim(BOTH_BEST, ("M12++", name), (model, name)) for model in ("M1++", "M2++") for name in names]
    fail = [
        Claim(NEEDS_INPUT, (BASELINE, name), (f"{guides}{signs}", name))
        for guides in ("M1", "M2", "M12")
        for signs in ("-+", "--")
        for name in names
    ]
    return (*mainly, *best, *fail)


CLAIMS = _claims()


def paired_tests(scores: Iterable[Score]) -> list[PairedTest]:
    """Tests of all claims, by SSIM and by HFEN."""
    errors = _errors(scores)
    return [_paired_test(claim, measure, errors) for claim in CLAIMS for measure in MEASURES]


def verdicts(tests: Sequence[PairedTest]) -> dict[str, str]:
    """Verdict on each claim in words: that of its tests if they agree, else the number of tests with each verdict."""
    summary = {}
    for claim in dict.fromkeys(test.claim for test in tests):
        results = [test.verdict for test in tests if test.claim == claim]
        counts = {verdict: results.count(verdict) for verdict in VERDICTS if verdict in results}
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        summary[claim] = f"{results[0]} (all {len(results)})" if len(counts) == 1 else f"in part ({listed})"
    return summary


def _errors(scores: Iterable[Score]) -> Mapping[tuple[str, str, str], FloatArray]:
    """Errors ``(subject,)`` by method, quantity and measure."""
    lists: dict[tuple[str, str, str], list[float]] = {}
    for score in scores:
        for measure, error in zip(MEASURES, (1 - score.ssim, score.hfen), strict=True):
            lists.setdefault((score.method, score.quantity, measure), []).append(error)
    return {key: np.maximum(errors, LEAST_ERROR) for key, errors in lists.items()}


def _paired_test(claim: Claim, measure: str, errors: Mapping[tuple[str, str, str], FloatArray]) -> PairedTest:
    better, worse = (
        errors[(*side, measure)] / errors[(BASELINE, side[1], measure)] for side in (claim.better, claim.worse)
    )
    difference = np.log(worse / better)
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    verdict = "undecided" if p >= LEVEL else "confirmed" if np.median(difference) > 0 else "refuted"
    return PairedTest(
        claim=claim.text,
        better=" ".join(claim.better),
        worse=" ".join(claim.worse),
        measure=measure,
        n=len(difference),
        effect=float(np.median(1 - better / worse)),
        p=p,
        verdict=verdict,
    )
