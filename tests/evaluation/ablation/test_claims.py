"""Claims about the models are confirmed by scores that say so, and refuted by those that say the opposite."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.evaluation.ablation.claims import (
    BASELINE,
    BOTH_BEST,
    CLAIMS,
    LEAST_SUBJECTS,
    LEVEL,
    MAINLY_T1,
    NEEDS_INPUT,
    VERDICTS,
    Score,
    paired_tests,
    verdicts,
)

MAPS = ("PD", "T1", "T2")
METHODS = (BASELINE, *(f"M{guides}{signs}" for guides in ("1", "2", "12") for signs in ("++", "+-", "-+", "--")))


def scores_of(errors, n: int = 8):
    """Scores with these errors by method and map, 0.2 if not said, spread over subjects."""
    generator = np.random.default_rng(0)
    return [
        Score(method=method, subject=str(k), quantity=name, ssim=1 - error * spread, hfen=error * spread**2)
        for method in METHODS
        for name in MAPS
        for error in [errors.get((method, name), 0.2)]
        for k in range(n)
        for spread in [generator.uniform(0.97, 1.03)]
    ]


def as_claimed():
    errors = {(f"M{g}{s}", name): 0.5 for g in ("1", "2", "12") for s in ("-+", "--") for name in MAPS}
    errors |= {("M1++", "T1"): 0.1, ("M2++", "T2"): 0.1}
    return errors | {("M12++", name): 0.05 for name in MAPS}


def test_scores_as_claimed_confirm_everything():
    comparisons = paired_tests(scores_of(as_claimed()))
    assert len(comparisons) == 2 * len(CLAIMS)
    assert {each.verdict for each in comparisons} == {"confirmed"}
    assert all(each.n == 8 and each.p == pytest.approx(2 / 2**8) for each in comparisons)
    assert all(said.startswith("confirmed (all") for said in verdicts(comparisons).values())
    first = next(each for each in comparisons if (each.better, each.worse) == ("M1++ T1", "zero filling T1"))
    assert first.effect == pytest.approx(0.5, rel=0.05)


def test_the_opposite_refutes_them():
    errors = {key: 0.04 / error for key, error in as_claimed().items()}
    assert set(verdicts(paired_tests(scores_of(errors))).values()) == {
        f"refuted (all {2 * sum(claim.text == text for claim in CLAIMS)})"
        for text in dict.fromkeys(claim.text for claim in CLAIMS)
    }


def test_no_difference_is_undecided_and_some_is_told_apart():
    without = verdicts(paired_tests(scores_of({})))
    assert not any(said.startswith(("confirmed", "refuted")) for said in without.values())
    found = verdicts(
        paired_tests(scores_of({(f"M{g}-{s}", n): 0.5 for g in ("1", "2", "12") for s in "+-" for n in MAPS}))
    )
    assert found[NEEDS_INPUT] == "confirmed (all 36)"
    assert found[BOTH_BEST] == without[BOTH_BEST]
    assert found[MAINLY_T1] == without[MAINLY_T1]


def test_fewer_subjects_could_never_confirm():
    """The least p of a two-sided signed-rank test is 2 / 2^n."""
    for n, possible in ((LEAST_SUBJECTS, True), (LEAST_SUBJECTS - 1, False)):
        ps = [each.p for each in paired_tests(scores_of(as_claimed(), n))]
        assert (min(ps) < LEVEL) == possible
    assert set(VERDICTS) == {"confirmed", "refuted", "undecided"}
