"""Super-resolve cases through the command line, score them, and print one Markdown table.

    python benchmarks/cases.py --score SCRIPT CASE... [--output FOLDER] [--into docs/results.md] [--json FILE]

A case is a folder with ``lr/``, ``guides/``, ``truth/``, ``mask.nii.gz`` and ``baselines.json``; lesion cases come as
two folders ``...-absent-from-guides`` and ``...-only-in-guides`` with ``lesions.nii.gz``. ``SCRIPT score CASE FOLDER``
must print ssim, hfen, median_ape and bias (both in %) per map as JSON. With ``--into`` the table replaces the text
between ``<!-- cases -->`` and ``<!-- /cases -->`` of a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from napari_swig_qmri import as_guide, read_volume

MAPS = ("PD", "T1", "T2")
MEASURES = ("ssim", "hfen", "median_ape", "bias")
TWO, THREE = ("T1w", "T2w"), ("T1w", "T2w", "FLAIR")
POSTERIOR = ("--method", "posterior")
SELF_SUPERVISED = ("--method", "network", "--weights", "self-supervised")
SUPERVISED = ("--method", "network", "--weights", "supervised")
RUNS = {  # guides and options
    "regression": (TWO, ("--method", "regression")),
    "one guide": (("T1w",), POSTERIOR),
    "two guides": (TWO, POSTERIOR),
    "two guides, self-supervised": (TWO, SELF_SUPERVISED),
    "two guides, supervised": (TWO, SUPERVISED),
    "two guides, self-supervised and adapted": (TWO, (*SELF_SUPERVISED, "--adapt")),
    "two guides, supervised and adapted": (TWO, (*SUPERVISED, "--adapt")),
    "three guides": (THREE, POSTERIOR),
    "three guides, self-supervised": (THREE, SELF_SUPERVISED),
    "three guides, supervised": (THREE, SUPERVISED),
}
GIVEN = ("(zero fill)", "(cubic)")
BASELINES_OF = {  # runs with the same guides, or without guides, that a run has to beat
    "one guide": GIVEN,
    "two guides": (*GIVEN, "(guided regression)", "regression"),
    "two guides, self-supervised": ("two guides",),
    "two guides, supervised": ("two guides",),
    "two guides, self-supervised and adapted": ("two guides, self-supervised",),
    "two guides, supervised and adapted": ("two guides, supervised",),
    "three guides": (*GIVEN, "(guided regression)"),
    "three guides, self-supervised": ("three guides",),
    "three guides, supervised": ("three guides",),
}
TARGETS: Mapping[tuple[str, str], Mapping[str, tuple[float, float, float]]] = {
    ("clean", "two guides"): {
        "ssim": (0.987, 0.997, 0.9985),
        "hfen": (0.066, 0.032, 0.024),
        "median_ape": (0.6, 0.7, 0.5),
        "bias": (0.1, 0.1, 0.1),
    },
    ("noisy", "two guides"): {"ssim": (0.958, 0.971, 0.978)},
    ("thick", "two guides"): {"ssim": (0.976, 0.992, 0.9955)},
    ("inplane", "two guides"): {"ssim": (0.967, 0.990, 0.995)},
    ("clean", "three guides"): {"ssim": (0.997, 0.999, 0.999)},
    ("noisy", "three guides"): {"ssim": (0.960, 0.976, 0.987)},
}
OF_NETWORK: Mapping[tuple[str, str], Mapping[str, tuple[float, float, float]]] = {
    ("clean", "two guides"): {"ssim": (0.988, 0.998, 0.9988), "hfen": (0.062, 0.027, 0.021)},
    ("noisy", "two guides"): {"ssim": (0.966, 0.976, 0.984)},
    ("thick", "two guides"): {"ssim": (0.979, 0.993, 0.9965)},
    ("inplane", "two guides"): {"ssim": (0.971, 0.991, 0.9955)},
    ("clean", "three guides"): {"ssim": (0.998, 0.9995, 0.9995)},
    ("noisy", "three guides"): {"ssim": (0.968, 0.982, 0.990)},
}
GAIN_TARGET = 0.3  # %
KEPT_TARGET, LEFT_TARGET = 90.0, 10.0  # % of the change of T1 and T2 in a lesion
LESION = 0.8  # lesion content of the voxels that count
ABSENT, ONLY = "absent-from-guides", "only-in-guides"  # from the guides, in the guides
START, END = "<!-- cases -->", "<!-- /cases -->"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run, or one baseline, on one case."""

    case: str
    run: str
    scores: Mapping[str, Mapping[str, float]]  # per map and measure
    gain_errors: Mapping[str, float]  # %, per guide
    lesions: tuple[float, ...]  # % of the change of PD, T1 and T2 in lesions
    seconds: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", type=Path, metavar="CASE")
    parser.add_argument("--score", type=Path, required=True, metavar="SCRIPT")
    usual = [run for run in RUNS if not run.endswith("adapted")]
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=usual, help="all but the adapted ones by default")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="keep the maps here")
    parser.add_argument("--into", type=Path, metavar="FILE", help="replace the table of this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases:
            outcomes += baselines(case)
            for run in options.runs:
                folder = (options.output or Path(scratch)) / case.name / run.replace(", ", "-").replace(" ", "-")
                outcomes.append(resolve(case, run, folder, options.score))
                print(row(outcomes[-1]), file=sys.stderr, flush=True)
    text = "\n".join([*table(outcomes), "", *verdict(outcomes)])
    print(text)
    if options.into:
        before, _, rest = options.into.read_text().partition(START)
        options.into.write_text(f"{before}{START}\n{text}\n{END}{rest.partition(END)[2]}")
    if options.json:
        options.json.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=1))


def resolve(case: Path, run: str, folder: Path, script: Path) -> Outcome:
    """Run the command on a case and score its output."""
    guides, options = RUNS[run]
    paths = {name: next((case / "guides").glob(f"*_{name}.nii.gz")) for name in guides}
    words = [str(Path(sys.executable).with_name("swig-qmri")), "super-resolve", str(case / "lr"), "-o", str(folder)]
    words += [*options, "--overwrite", "--json"]
    for path in paths.values():
        words += ["--guide", str(path)]
    report = json.loads(output_of(words))
    scores = json.loads(output_of([sys.executable, str(script), "score", str(case), str(folder)]))
    found = zip(paths.items(), report["gains"].values(), strict=True)
    return Outcome(
        case=case.name.removeprefix("dev-"),
        run=run,
        scores=scores,
        gain_errors={name: 100 * (gain / true_gain(case, path) - 1) for (name, path), gain in found},
        lesions=lesion_change(case, folder),
        seconds=report["seconds"],
    )


def output_of(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def baselines(case: Path) -> Iterator[Outcome]:
    """Return the scores of the baselines that came with a case."""
    for name, scores in json.loads((case / "baselines.json").read_text()).items():
        title = f"({name.replace('_', ' ')})"
        yield Outcome(
            case=case.name.removeprefix("dev-"), run=title, scores=scores, gain_errors={}, lesions=(), seconds=None
        )


def load(folder: Path, name: str) -> NDArray[np.float32]:
    """Return the newest map with the given name in a folder."""
    return np.asarray(nib.load(sorted(folder.rglob(f"*{name}map.nii*"))[-1]).dataobj, np.float32)


def true_gain(case: Path, guide_path: Path) -> float:
    """Return the median ratio of a guide to the signal of the true maps over tissue."""
    guide, _ = as_guide(read_volume(guide_path))
    maps = torch.stack([torch.as_tensor(load(case / "truth", name)) for name in MAPS])
    inside = torch.as_tensor(np.asarray(nib.load(case / "mask.nii.gz").dataobj) > 0.5) & (maps[2] < 0.15)
    signal = guide.sequence(*maps[:, inside])
    return float((torch.as_tensor(guide.data)[inside] / signal).median())


def lesion_change(case: Path, folder: Path) -> tuple[float, ...]:
    """Return how much of the change of PD, T1 and T2 in lesions a result shows, in %, median over voxels."""
    if not (case / "lesions.nii.gz").exists():
        return ()
    stem = case.name.removesuffix(ABSENT).removesuffix(ONLY)
    truths = {kind: case.with_name(stem + kind) / "truth" for kind in (ABSENT, ONLY)}
    where = np.asarray(nib.load(case / "lesions.nii.gz").dataobj) > LESION
    change = []
    for name in MAPS:
        result, healthy, lesioned = (load(f, name)[where] for f in (folder, truths[ONLY], truths[ABSENT]))
        change.append(100 * float(np.median((result - healthy) / (lesioned - healthy))))
    return tuple(change)


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Return a table of all runs with their baselines and targets."""
    yield "| case | run | SSIM PD / T1 / T2 | HFEN | median error, % | bias, % | gain error, % | lesion change, % | s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for outcome in outcomes:
        yield row(outcome)
        target = target_of(outcome)
        if target:
            cells = [joined(target.get(measure, ()), measure) for measure in MEASURES]
            yield f"| | *target* | {' | '.join(cells)} | {GAIN_TARGET:g} | | |"


def target_of(outcome: Outcome) -> Mapping[str, tuple[float, float, float]]:
    """Return the targets of a run by measure; networks have separate targets."""
    guides, _, weights = outcome.run.partition(", ")
    return (OF_NETWORK if weights else TARGETS).get((outcome.case, guides), {})


def row(outcome: Outcome) -> str:
    cells = [joined([outcome.scores[name][measure] for name in MAPS], measure) for measure in MEASURES]
    gains = ", ".join(f"{name} {error:+.2f}" for name, error in outcome.gain_errors.items())
    lesions = " / ".join(f"{change:.0f}" for change in outcome.lesions)
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
    return f"| {outcome.case} | {outcome.run} | {' | '.join(cells)} | {gains} | {lesions} | {seconds} |"


def joined(values: Any, measure: str) -> str:
    form = {"ssim": "{:.4f}", "hfen": "{:.3f}", "median_ape": "{:.2f}", "bias": "{:+.2f}"}[measure]
    return " / ".join(form.format(value) for value in values)


def verdict(outcomes: list[Outcome]) -> Iterator[str]:
    """Return one line for each missed target."""
    missed = [line for outcome in outcomes if outcome.seconds is not None for line in misses(outcome, outcomes)]
    yield f"Targets missed: {len(missed)} (lesion, gain, score, or behind a baseline in a score)."
    if missed:
        yield ""
        yield from (f"- {line}" for line in missed)


def misses(outcome: Outcome, outcomes: list[Outcome]) -> Iterator[str]:
    """Return the targets that a run misses, and the baselines of the same case that are better."""
    where = f"{outcome.case}, {outcome.run}"
    others = [o for o in outcomes if o.case == outcome.case and o.run in BASELINES_OF.get(outcome.run, ())]
    for i, name in enumerate(MAPS):
        for measure in MEASURES:
            value = outcome.scores[name][measure]
            target = target_of(outcome).get(measure)
            if target and is_worse(value, target[i], measure):
                yield f"{where}: {measure} of {name} is {value:.4f}, target {target[i]:g}"
            if measure == "bias":
                continue
            for other in others:
                reference = other.scores[name][measure]
                if is_worse(value, reference, measure):
                    yield f"{where}: {measure} of {name} is {value:.4f}, {other.run} has {reference:.4f}"
    if outcome.run == "regression":
        return
    for guide, error in outcome.gain_errors.items():
        if abs(error) > GAIN_TARGET:
            yield f"{where}: the gain of {guide} is {error:+.2f} % off, target {GAIN_TARGET:g} %"
    for name, change in zip(MAPS[1:], outcome.lesions[1:], strict=False):
        if outcome.case.endswith(ABSENT) and change < KEPT_TARGET:
            yield f"{where}: {change:.0f} % of the change of {name} in lesions is kept, target {KEPT_TARGET:g} %"
        if outcome.case.endswith(ONLY) and abs(change) > LEFT_TARGET:
            yield f"{where}: {change:.0f} % of the change of {name} in lesions is left, target {LEFT_TARGET:g} %"


def is_worse(value: float, reference: float, measure: str) -> bool:
    return value < reference if measure == "ssim" else abs(value) > abs(reference)


if __name__ == "__main__":
    main()
