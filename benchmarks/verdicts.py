"""Verdicts on results and guides with one fault each, beside the errors that only a simulation knows.

    python benchmarks/verdicts.py [LABELS] [--only TEXT] [--voxel-size 2] [--method network]

LABELS is a BrainWeb label map at 0.5 mm, of which a slab of 1 mm is taken; without it the built-in head. Errors are
median percentage errors over those of cubic splines: above 1 a map is worse than an interpolated one.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from brains import interpolated, solver_options, table
from scipy.ndimage import shift
from tilted import head_of

from napari_swig_qmri import Options, QuantitativeMaps, WeightedImage, degrade, evaluate, super_resolve

Scan = tuple[QuantitativeMaps, list[WeightedImage]]
Fault = Callable[[QuantitativeMaps, WeightedImage, WeightedImage], Scan]
NOISE = 0.01  # relative, of maps and guides
NOISY: Mapping[str, Mapping[str, float]] = {  # noise other than `NOISE`
    "none": {},
    "maps with 5 % noise": {"map_noise": 0.05},
    "maps with 10 % noise": {"map_noise": 0.1},
    "guides with 10 % noise": {"guide_noise": 0.1},
}
HEADING = ("fault", "verdict", "error PD / T1 / T2", "guides")


def moved(voxels: float) -> Fault:
    return lambda lr, t1w, t2w: (lr, [t1w, replace(t2w, data=shift(t2w.data, (voxels, 0, 0), order=1, mode="nearest"))])


def with_settings(of_t1w: Mapping[str, float], of_t2w: Mapping[str, float]) -> Fault:
    """Return a fault in which settings are told wrong by factors."""

    def told(guide: WeightedImage, factors: Mapping[str, float]) -> WeightedImage:
        wrong: dict[str, Any] = {name: factor * getattr(guide.sequence, name) for name, factor in factors.items()}
        return replace(guide, sequence=replace(guide.sequence, **wrong))

    return lambda lr, t1w, t2w: (lr, [told(t1w, of_t1w), told(t2w, of_t2w)])


def exchanged(lr: QuantitativeMaps, t1w: WeightedImage, t2w: WeightedImage) -> Scan:
    return lr, [replace(t1w, sequence=t2w.sequence), replace(t2w, sequence=t1w.sequence)]


def turned_over(lr: QuantitativeMaps, t1w: WeightedImage, t2w: WeightedImage) -> Scan:
    return lr, [replace(guide, data=guide.data[:, ::-1].copy()) for guide in (t1w, t2w)]


def received(lr: QuantitativeMaps, t1w: WeightedImage, t2w: WeightedImage) -> Scan:
    """Return guides with receive fields of their own, between 0.7 and 1.3."""
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in t1w.data.shape], indexing="ij")
    return lr, [replace(t1w, data=t1w.data * (1 + 0.3 * x)), replace(t2w, data=t2w.data * (1 - 0.3 * y))]


def in_whole_seconds(lr: QuantitativeMaps, t1w: WeightedImage, t2w: WeightedImage) -> Scan:
    data = lr.data.copy()
    data[1] = data[1].round()
    return replace(lr, data=data), [t1w, t2w]


FAULTS: Mapping[str, Fault] = {
    "T2w half an LR voxel off": moved(1.0),
    "T2w two LR voxels off": moved(4.0),
    "TE of the T2w told as 0.7 of it": with_settings({}, {"echo_time": 0.7}),
    "TE of the T2w told as 1.7 of it": with_settings({}, {"echo_time": 1.7}),
    "TR of the T1w told as 1.3 of it": with_settings({"repetition_time": 1.3}, {}),
    "sequences exchanged": exchanged,
    "guides turned over": turned_over,
    "receive fields of 30 %": received,
    "T1 in whole seconds": in_whole_seconds,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="?", type=Path, help="BrainWeb label map at 0.5 mm")
    parser.add_argument("--only", default="", help="part of the names of the faults to try")
    parser.add_argument("--voxel-size", type=float, default=2.0, help="of the built-in head in mm (2)")
    solver_options(parser)
    options = parser.parse_args()
    truth, mask = head_of(options.labels, options.voxel_size)
    rows, words = [], Counter[str]()
    for name in (*NOISY, *FAULTS):
        if options.only not in name:
            continue
        noise = {"map_noise": NOISE, "guide_noise": NOISE} | NOISY.get(name, {})
        lr_maps, guides = degrade(truth, 2.0, **noise)
        lr_maps, used = FAULTS[name](lr_maps, *guides[:2]) if name in FAULTS else (lr_maps, guides[:2])
        result = super_resolve(lr_maps, used, Options(method=options.method, weights=options.weights))
        ours, theirs = (
            evaluate(maps, truth, mask) for maps in (result.maps, interpolated(lr_maps, truth.grid)["cubic"])
        )
        errors = " / ".join(f"{ours[each].median_ape / theirs[each].median_ape:.2f}" for each in ours)
        words[result.verdict.word] += 1
        of_guides = " ".join(guide["doctor"]["verdict"] for guide in result.parameters["guides"])
        rows.append((name, result.verdict.word, errors, of_guides))
    print(table(HEADING, rows))
    print(", ".join(f"{n} {word}" for word, n in words.items()))


if __name__ == "__main__":
    main()
