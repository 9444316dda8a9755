"""Table of a suite of departures from the ideal, before and after a change, in Markdown.

    python benchmarks/departures.py BEFORE AFTER [--verdicts FILE]

BEFORE and AFTER are tables (TSV) of scores with the columns case, method, map, ssim, hfen and seconds, in which the
methods zero_fill and cubic are interpolations. FILE has a JSON object per line with the seconds and the verdict of the
runs of AFTER.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path

from brains import table

from napari_swig_qmri.physics.quantities import QUANTITIES

INTERPOLATIONS = ("zero_fill", "cubic")
HEADING = ("case", "interpolation", "before", "after", "HFEN before", "HFEN after", "verdict")
TOLERANCE = 0.01  # relative, by which a score may be worse than that of interpolation

Scores = Mapping[str, Mapping[str, Mapping[str, str]]]  # by method and map


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--verdicts", type=Path)
    options = parser.parse_args()
    before, after = read(options.before), read(options.after)
    verdicts = verdicts_by_seconds(options.verdicts)
    rows, worse = [], []
    for case, scores in after.items():
        ours, earlier = of_product(scores), of_product(before.get(case, {}))
        runs = verdicts[next((float(row["seconds"]) for row in ours.values()), 0.0)]
        verdict = runs.popleft() if runs else ""
        rows.append(
            (
                case.replace("|", "/"),
                cell(interpolated(scores, "ssim"), 3),
                cell(values(earlier, "ssim"), 3),
                cell(values(ours, "ssim"), 3),
                cell(values(earlier, "hfen"), 2),
                cell(values(ours, "hfen"), 2),
                verdict,
            )
        )
        if found := worse_than_interpolation(scores):
            worse.append(f"{case} ({', '.join(found)}; verdict {verdict or 'unknown'})")
    print(table(HEADING, rows))
    print(
        f"\nWorse than the better interpolation by more than {TOLERANCE:.0%} in a score: {'; '.join(worse) or 'none'}."
    )


def read(path: Path) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    cases: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            cases.setdefault(row["case"], defaultdict(dict))[row["method"]][row["map"]] = row
    return cases


def verdicts_by_seconds(path: Path | None) -> defaultdict[float, deque[str]]:
    """Verdicts of runs that took so many seconds, in the order of the runs."""
    verdicts: defaultdict[float, deque[str]] = defaultdict(deque)
    for run in map(json.loads, path.read_text().splitlines() if path else ()):
        verdicts[round(run["seconds"], 2)].append(run["verdict"])
    return verdicts


def of_product(scores: Scores) -> Mapping[str, Mapping[str, str]]:
    """Rows by map of the first method that is no interpolation."""
    return next((rows for method, rows in scores.items() if method not in INTERPOLATIONS), {})


def values(rows: Mapping[str, Mapping[str, str]], score: str) -> dict[str, float]:
    return {name: float(rows[name][score]) for name in QUANTITIES if name in rows}


def interpolated(scores: Scores, score: str) -> dict[str, float]:
    """The better interpolation of each map."""
    best = max if score == "ssim" else min
    return {name: best(float(scores[each][name][score]) for each in INTERPOLATIONS) for name in QUANTITIES}


def worse_than_interpolation(scores: Scores) -> list[str]:
    found = []
    for score, sign in (("ssim", 1), ("hfen", -1)):
        theirs = interpolated(scores, score)
        found += [
            f"{score.upper()} of {name} {value:.3f} instead of {theirs[name]:.3f}"
            for name, value in values(of_product(scores), score).items()
            if sign * value < sign * theirs[name] * (1 - sign * TOLERANCE)
        ]
    return found


def cell(scores: Mapping[str, float], digits: int) -> str:
    shown = [f"{scores[name]:.{digits}f}".lstrip("0") if name in scores else "-" for name in QUANTITIES]
    return " / ".join(shown) if scores else "no result"


if __name__ == "__main__":
    main()
