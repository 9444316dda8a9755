"""Tables of a study: CSV files, and a summary as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.storage.output import write_text
from napari_swig_qmri.data.wording import csv_text
from napari_swig_qmri.evaluation.ablation.claims import MEASURES, PairedTest, Score, paired_tests, verdicts
from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from napari_swig_qmri.evaluation.ablation.study import Study

SCORES_FILE, CLAIMS_FILE = "ablation.csv", "claims.csv"


def write_tables(folder: Path, study: Study) -> list[Path]:
    """Write the scores of every method, subject and map, and the paired tests; returns the files."""
    scores = [(each.method, each.subject, each.quantity, each.ssim, each.hfen) for each in study.scores]
    tests = [asdict(test) for test in paired_tests(study.scores)]
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_text(csv_text([("model", "subject", "map", "SSIM", "HFEN"), *scores]), folder / SCORES_FILE),
        write_text(csv_text([tuple(tests[0]), *(tuple(test.values()) for test in tests)]), folder / CLAIMS_FILE),
    ]


def study_text(study: Study) -> str:
    """Summary of a study as text: means over subjects, paired tests, verdicts and budget."""
    tests = paired_tests(study.scores)
    n = len({score.subject for score in study.scores})
    claims = [
        f"{claim}: {verdict}; p from {min(ps):.2g} to {max(ps):.2g}"
        for claim, verdict in verdicts(tests).items()
        if (ps := [test.p for test in tests if test.claim == claim])
    ]
    return "\n".join(
        [
            *_mean_lines(study.scores),
            "",
            f"Mean over {n} simulated test subjects; SSIM and HFEN of axial planes over the brain.",
            *_test_lines(tests),
            "",
            "Claims (Wilcoxon signed-rank test over subjects, two-sided, not corrected for the number of tests):",
            *claims,
            "",
            f"Budget: {study.budget}.",
            f"These maps are {RESEARCH_NOTICE}.",
        ]
    )


def _mean_lines(scores: Iterable[Score]) -> list[str]:
    values: dict[str, dict[tuple[str, str], list[float]]] = {}
    for score in scores:
        columns = values.setdefault(score.method, {})
        for measure, value in zip(MEASURES, (score.ssim, score.hfen), strict=True):
            columns.setdefault((measure, score.quantity), []).append(value)
    heads = [(measure, name) for measure in MEASURES for name in QUANTITIES]
    lines = ["model         " + " ".join(f"{measure + ' ' + name:>8}" for measure, name in heads)]
    lines += [
        f"{method:13} " + " ".join(f"{np.mean(columns[head]):8.4f}" for head in heads)
        for method, columns in values.items()
    ]
    return lines


def _test_lines(tests: Sequence[PairedTest]) -> list[str]:
    lines = ["", "claimed better    than              measure   n   less error        p  verdict"]
    claim = ""
    for test in tests:
        if test.claim != claim:
            claim = test.claim
            lines.append(f"{claim}:")
        numbers = f"{test.n:3d} {100 * test.effect:10.1f} % {test.p:8.2g}"
        lines.append(f"{test.better:17} {test.worse:17} {test.measure:7} {numbers}  {test.verdict}")
    return lines
