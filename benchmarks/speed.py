"""Time and peak memory of all methods on a whole head, and of cubic spline interpolation of the same maps.

    python benchmarks/speed.py [--maps FOLDER] [--rounds 3] [--json FILE]

The head has 197 x 233 x 189 voxels of 1 mm. Its PD, T1 and T2 maps are truncated to half the resolution along each
axis; the guides are a T1w and a T2w image. It is the built-in head unless a folder of maps is given. In every round
`scipy.ndimage.zoom(order=3)` of the three maps, the regression, the posterior, the network and the network adapted
to the head run one after another, each in a process of its own, and ratios are taken within the round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from napari_swig_qmri import (
    Options,
    QuantitativeMaps,
    VoxelGrid,
    WeightedImage,
    as_maps,
    degrade,
    make_phantom,
    read_folder,
    super_resolution_steps,
)
from napari_swig_qmri.data.interpretation import is_map
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES

SHAPE = (197, 233, 189)
FACTOR = 2.0
GUIDES = ("T1w", "T2w")
METHODS = ("zoom", "regression", "posterior", "network", "adapted")
TARGETS = {"regression": 1.0, "posterior": 4.0, "network": 5.0}  # times the seconds of zoom
ITSELF_TARGET, ADAPT_TARGET = 2.0, 180.0  # of the network without the posterior, times zoom; of adapting, s
MEMORY_TARGETS = {"regression": 2.5, "posterior": 2.5, "network": 3.0}  # GB
GB = 1e9
Measurement = dict[str, Any]
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="PD, T1 and T2 maps to take instead of the phantom")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (cpu)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--case", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.case, options.device)))
        return
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case.npz"
        make_case(options.maps, case)
        rounds = [one_round(case, options.device) for _ in range(options.rounds)]
    report = summary(rounds)
    print(as_text(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def make_case(folder: Path | None, path: Path) -> None:
    """Save LR maps and guides of a head of the benchmark's size."""
    maps = make_phantom(1.0).maps if folder is None else as_maps([v for v in read_folder(folder) if is_map(v)])
    data = np.stack([sized(volume) for volume in np.nan_to_num(maps.data)])
    grid = VoxelGrid(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
    sequences = {name: USUAL_GUIDES[name] for name in GUIDES}
    noise = {"map_noise": 0.01, "guide_noise": 0.01}
    truth = QuantitativeMaps(data=data, grid=grid, names=maps.names)
    lr_maps, guides = degrade(truth, FACTOR, sequences, **noise)
    np.savez(path, lr=lr_maps.data, lr_affine=lr_maps.grid.affine, guides=np.stack([guide.data for guide in guides]))


def sized(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Crop or pad with zeros to `SHAPE`, about the centre."""
    for axis, n in enumerate(SHAPE):
        surplus = volume.shape[axis] - n
        if surplus > 0:
            volume = volume.take(range(surplus // 2, surplus // 2 + n), axis)
        elif surplus < 0:
            width = [(0, 0)] * 3
            width[axis] = (-surplus // 2, -surplus - -surplus // 2)
            volume = np.pad(volume, width)
    return np.ascontiguousarray(volume, dtype=np.float32)


def one_round(case: Path, device: str) -> dict[str, Measurement]:
    """Run every method once, each in a fresh process."""
    measured = {}
    for method in METHODS:
        words = [sys.executable, __file__, "--one", method, "--case", str(case), "--device", device]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        measured[method] = json.loads(done.stdout.splitlines()[-1])
        print(f"{method}: {measured[method]['seconds']:.2f} s, {measured[method]['peak_gb']:.2f} GB", flush=True)
    return measured


def measure(method: str, case: Path, device: str) -> Measurement:
    """Return the seconds of one method without imports and reading, and the peak memory of the whole process."""
    with np.load(case) as stored:
        lr, lr_affine, images = stored["lr"], stored["lr_affine"], stored["guides"]
    steps = zooming(lr) if method == "zoom" else resolving(method, lr, lr_affine, images, device)
    stages: dict[str, float] = {}
    wall, cpu, stage, begun = time.perf_counter(), time.process_time(), "start", time.process_time()
    for following in chain(steps, ["end"]):
        if following != stage:
            stages[stage] = stages.get(stage, 0.0) + time.process_time() - begun
            stage, begun = following, time.process_time()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / GB,
        "stages_cpu_seconds": stages,
    }


def zooming(lr: NDArray[np.float32]) -> Iterator[str]:
    """Interpolate every map."""
    factors = np.array(SHAPE) / lr.shape[1:]
    for volume in lr:
        zoom(volume, factors, order=3, grid_mode=True, mode="nearest")
        yield "zoom"


def resolving(
    method: str, lr: NDArray[np.float32], lr_affine: NDArray[np.float64], images: NDArray[np.float32], device: str
) -> Iterator[str]:
    """Super-resolve, and yield the stage of every step."""
    hr_grid = VoxelGrid(SHAPE, np.eye(4))
    nx, ny, nz = lr.shape[1:]
    maps = QuantitativeMaps(data=lr, grid=VoxelGrid((nx, ny, nz), lr_affine))
    guides = [
        WeightedImage(data=image, grid=hr_grid, name=name, sequence=USUAL_GUIDES[name])
        for name, image in zip(GUIDES, images, strict=True)
    ]
    adapt = method == "adapted"
    options = Options(method="network" if adapt else method, adapt=adapt, device=device)
    for step in super_resolution_steps(maps, guides, options):
        yield step.stage


def summary(rounds: list[dict[str, Measurement]]) -> dict[str, Any]:
    """Return medians over rounds, and the ratios of every round."""
    return {
        "shape": SHAPE,
        "factor": FACTOR,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "seconds": {m: float(np.median([r[m]["seconds"] for r in rounds])) for m in METHODS},
        "cpu_seconds": {m: float(np.median([r[m]["cpu_seconds"] for r in rounds])) for m in METHODS},
        "stages_cpu_seconds": {m: rounds[-1][m]["stages_cpu_seconds"] for m in METHODS},
        "network_itself": [
            (r["network"]["seconds"] - r["posterior"]["seconds"]) / r["zoom"]["seconds"] for r in rounds
        ],
        "adapting": [r["adapted"]["seconds"] - r["network"]["seconds"] for r in rounds],
        "peak_gb": {m: max(r[m]["peak_gb"] for r in rounds) for m in METHODS},
        "ratios_to_zoom": {m: [r[m]["seconds"] / r["zoom"]["seconds"] for r in rounds] for m in TARGETS},
        "targets": {"ratios_to_zoom": TARGETS, "peak_gb": MEMORY_TARGETS},
    }


def as_text(report: dict[str, Any]) -> str:
    """Return the report as a Markdown table."""
    seconds, cpu, peaks, ratios = (report[k] for k in ("seconds", "cpu_seconds", "peak_gb", "ratios_to_zoom"))
    rows = [
        "| method | seconds | processor seconds | times zoom, every round | target | peak memory, GB | target |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        found = ", ".join(f"{ratio:.2f}" for ratio in ratios.get(method, ()))
        limits = (f"{TARGETS[method]:g}", f"{MEMORY_TARGETS[method]:g}") if method in TARGETS else ("", "")
        times = f"{seconds[method]:.1f} | {cpu[method]:.1f}"
        rows.append(f"| {method} | {times} | {found} | {limits[0]} | {peaks[method]:.2f} | {limits[1]} |")
    itself, adapting = (", ".join(f"{value:.2f}" for value in report[k]) for k in ("network_itself", "adapting"))
    line = f"The network itself: {itself} times zoom (target {ITSELF_TARGET:g}); adapting it: {adapting} s"
    rows += ["", f"{line} (target {ADAPT_TARGET:g})."]
    return "\n".join([f"{report['cores']} cores, {' x '.join(map(str, SHAPE))} voxels at factor {FACTOR:g}", "", *rows])


if __name__ == "__main__":
    main()
