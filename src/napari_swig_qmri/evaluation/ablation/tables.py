"""What a study found, as CSV files and as text."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.evaluation.ablation.claims import MEASURES, Comparison, Score, compared, verdicts
from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from napari_swig_qmri.evaluation.ablation.study import Study

SCORES, CLAIMS = "ablation.csv", "claims.csv"


def write_tables(folder: Path, study: Study) -> list[Path]:
    """Write the scores of every method, subject and map, and the paired tests; the files."""
    rows = [
        {"model": each.method, "subject": each.subject, "map": each.quantity, "SSIM": each.ssim, "HFEN": each.hfen}
        for each in study.scores
    ]
    return [
        _written(folder / SCORES, rows),
        _written(folder / CLAIMS, [asdict(each) for each in compared(study.scores)]),
    ]


def study_text(study: Study) -> str:
    """Means over subjects, claims and budget, for a person."""
    comparisons = compared(study.scores)
    n = len({score.subject for score in study.scores})
    claims = [
        f"{claim}: {verdict}; p from {min(ps):.2g} to {max(ps):.2g}"
        for claim, verdict in verdicts(comparisons).items()
        if (ps := [each.p for each in comparisons if each.claim == claim])
    ]
    return "\n".join(
        [
            *_mean_lines(study.scores),
            "",
            f"Mean over {n} simulated test subjects; SSIM and HFEN of axial planes over the brain.",
            *_comparison_lines(comparisons),
            "",
            "Claims (Wilcoxon signed-rank test over subjects, two-sided, not corrected for the number of tests):",
            *claims,
            "",
            f"Budget: {study.budget}.",
            f"These maps are {RESEARCH_NOTICE}.",
        ]
    )


def _mean_lines(scores: Iterable[Score]) -> list[str]:
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for score in scores:
        values = found.setdefault(score.method, {})
        for measure, value in zip(MEASURES, (score.ssim, score.hfen), strict=True):
            values.setdefault((measure, score.quantity), []).append(value)
    heads = [(measure, name) for measure in MEASURES for name in QUANTITIES]
    lines = ["model         " + " ".join(f"{measure + ' ' + name:>8}" for measure, name in heads)]
    lines += [
        f"{method:13} " + " ".join(f"{np.mean(values[head]):8.4f}" for head in heads)
        for method, values in found.items()
    ]
    return lines


def _comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    lines = ["", "claimed better    than              measure   n   less error        p  verdict"]
    claim = ""
    for each in comparisons:
        if each.claim != claim:
            claim = each.claim
            lines.append(f"{claim}:")
        numbers = f"{each.n:3d} {100 * each.effect:10.1f} % {each.p:8.2g}"
        lines.append(f"{each.better:17} {each.worse:17} {each.measure:7} {numbers}  {each.verdict}")
    return lines


def _written(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
