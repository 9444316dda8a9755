"""Longest time between two steps of a run, during which it cannot be cancelled, on the built-in head at 1 mm."""

from __future__ import annotations

import argparse
import time

from napari_swig_qmri import Options, degrade, make_phantom, super_resolution_steps
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES

GUIDES = ("T1w", "T2w")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxel-size", type=float, default=1.0, metavar="MM")
    parser.add_argument("--show", type=int, default=5, metavar="N", help="waits to list, the longest first")
    options = parser.parse_args()
    truth = make_phantom(options.voxel_size)
    maps, guides = degrade(truth.maps, 2.0, {name: USUAL_GUIDES[name] for name in GUIDES})
    waits, stage, last = [], "start", time.perf_counter()
    for step in super_resolution_steps(maps, guides, Options(device="cpu")):
        waits.append((time.perf_counter() - last, stage))
        stage, last = f"after {step.fraction:.0%}, {step.stage}", time.perf_counter()
    waits.append((time.perf_counter() - last, stage))
    print(f"{' x '.join(map(str, truth.maps.grid.shape))} voxels, {len(waits) - 1} steps, {len(GUIDES)} guides")
    for seconds, where in sorted(waits, reverse=True)[: options.show]:
        print(f"{seconds:.2f} s {where}")


if __name__ == "__main__":
    main()
