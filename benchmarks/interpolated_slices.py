"""Scores with a T2-weighted guide of thick slices that was interpolated to thin ones, taken as stored and as found.

    python benchmarks/interpolated_slices.py [LABELS] [--thickness 3 4 5] [--voxel-size 2] [--noise 0.01]

LABELS is a BrainWeb label map at 0.5 mm, of which a slab of 1 mm is taken; without it the built-in head. Slices are
averages of HR planes, from the first on; splines through them fill the field of view. Noise is added to the slices.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from brains import cells, interpolated, solver_options, table
from scipy.ndimage import zoom
from tilted import HEADING, N_GUIDES, head_of, part_of, with_noise

from napari_swig_qmri import Options, WeightedImage, degrade, evaluate, super_resolve

AXIS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="?", type=Path, help="BrainWeb label map at 0.5 mm")
    parser.add_argument("--thickness", nargs="+", type=int, default=(3, 4, 5), help="in HR voxels (3 4 5)")
    parser.add_argument("--voxel-size", type=float, default=2.0, help="of the built-in head in mm (2)")
    parser.add_argument("--noise", type=float, default=0.01, help="of maps and guides, relative (0.01)")
    solver_options(parser)
    print(table((*HEADING, "told"), list(rows_of(parser.parse_args()))))


def rows_of(options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table: interpolation, and guides as they are stored and as they were measured."""
    truth, mask = part_of(*head_of(options.labels, options.voxel_size), 0)
    lr_maps, guides = degrade(truth, 2.0, map_noise=options.noise)
    for name, maps in interpolated(lr_maps, truth.grid).items():
        yield (f"none, {name}", *cells(evaluate(maps, truth, mask)), "", "")
    t1w, t2w = (with_noise(guide, options.noise) for guide in guides[:N_GUIDES])
    for thickness in options.thickness:
        for degree in (1, 3):
            stored = through_slices(t2w, thickness, degree)
            for name, resolution in (("as stored", False), ("as found", True)):
                run = Options(method=options.method, weights=options.weights, resolution=resolution)
                result = super_resolve(lr_maps, [t1w, stored], run)
                told = " ".join(notice for notice in result.notices if "between the slices" in notice)
                scores = cells(evaluate(result.maps, truth, mask))
                yield (f"{thickness} voxels, degree {degree}, {name}", *scores, result.verdict.word, told)


def through_slices(guide: WeightedImage, thickness: int, degree: int) -> WeightedImage:
    """Guide through whose slices of `thickness` voxels a spline of some degree was laid."""
    n = guide.grid.shape[AXIS] // thickness
    whole = guide.data[..., : n * thickness]
    slices = whole.reshape(*whole.shape[:AXIS], n, thickness).mean(-1)
    stored = zoom(slices, (1, 1, guide.grid.shape[AXIS] / n), order=degree, mode="nearest", grid_mode=True)
    return replace(guide, data=np.maximum(stored, 0).astype(np.float32))


if __name__ == "__main__":
    main()
