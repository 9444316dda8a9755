"""Scores with guides that are turned against the maps, and with guides that are not.

    python benchmarks/tilted.py [LABELS] [--degrees 4 3 6] [--voxel-size 2] [--noise 0.01] [--method network]

LABELS is a BrainWeb label map at 0.5 mm, of which a slab of 1 mm is taken; without it the built-in head. Guides are
computed from the truth, resampled once to the turned grid by quintic splines, and get their noise there. The maps cover
a part of the slab that the turned guides cover as well. Where a guide ends inside the maps, detail is missing whatever
the interpolation: with ``--margin 0`` this is measured, in the whole brain and in the part that turned guides reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from brains import brains_of, cells, interpolated, solver_options, table
from nibabel.affines import apply_affine, from_matvec
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_swig_qmri import (
    Options,
    QuantitativeMaps,
    VoxelGrid,
    WeightedImage,
    degrade,
    evaluate,
    make_phantom,
    super_resolve,
)
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.progress import drained

SLAB = ((-72, 72), (-84, 84), (-30, 42))  # mm of the built-in head
N_GUIDES = 2  # T1w and T2w
HEADING = ("guides", "SSIM PD / T1 / T2", "HFEN", "median error, %", "verdict")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="?", type=Path, help="BrainWeb label map at 0.5 mm")
    parser.add_argument("--degrees", nargs=3, type=float, default=(4.0, 3.0, 6.0), help="about x, y and z (4 3 6)")
    parser.add_argument("--voxel-size", type=float, default=2.0, help="of the built-in head in mm (2)")
    parser.add_argument("--noise", type=float, default=0.01, help="of maps and guides, relative (0.01)")
    parser.add_argument("--margin", type=int, default=6, help="voxels of turned guides around the maps, even (6)")
    solver_options(parser)
    options = parser.parse_args()
    slab, of_slab = head_of(options.labels, options.voxel_size)
    truth, mask = part_of(slab, of_slab, options.margin)
    lr_maps, guides = degrade(truth, 2.0, map_noise=options.noise)
    wide = degrade(slab, 2.0)[1]
    cubic = interpolated(lr_maps, truth.grid)["cubic"]
    rows = [("none, cubic splines", *cells(evaluate(cubic, truth, mask)), "")]
    turn = "turned by {:g}, {:g} and {:g} degrees".format(*options.degrees)
    tilted = [turned(guide, options.degrees) for guide in wide]
    seen = seen_by(tilted[0].grid, truth.grid)
    for name, images in (("along the maps", guides), (turn, tilted)):
        noisy = [with_noise(guide, options.noise) for guide in images[:N_GUIDES]]
        result = super_resolve(lr_maps, noisy, Options(method=options.method, weights=options.weights))
        rows.append((name, *cells(evaluate(result.maps, truth, mask)), result.verdict.word))
        if not seen[mask].all():
            where = f"{name}, in the {100 * seen[mask].mean():.1f} % of the brain in the turned guides"
            rows.append((where, *cells(evaluate(result.maps, truth, mask & seen)), ""))
    print(table(HEADING, rows))


def head_of(labels: Path | None, voxel_size: float) -> tuple[QuantitativeMaps, NDArray[np.bool_]]:
    """Return true maps and the mask of the brain."""
    if labels is None:
        head = make_phantom(voxel_size, extent=SLAB)
        return head.maps, head.mask
    (brain,) = brains_of([labels])
    return brain.truth, brain.mask


def part_of(maps: QuantitativeMaps, mask: NDArray[np.bool_], margin: int) -> tuple[QuantitativeMaps, NDArray[np.bool_]]:
    """Return maps and a mask without so many voxels at each side."""
    x, y, z = (n - 2 * margin for n in mask.shape)
    inside = (slice(margin, margin + x), slice(margin, margin + y), slice(margin, margin + z))
    grid = maps.grid.box((margin, margin, margin), (x, y, z))
    return QuantitativeMaps(data=maps.data[(slice(None), *inside)], grid=grid, names=maps.names), mask[inside]


def turned(guide: WeightedImage, degrees: Sequence[float]) -> WeightedImage:
    """Return a guide on its grid turned about its centre, without noise; NaN beyond the guide."""
    centre, turn = guide.grid.centre, Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    affine = from_matvec(turn, centre - turn @ centre) @ guide.grid.affine
    grid = VoxelGrid(guide.grid.shape, affine)
    data, seen = drained(resampled(guide.data, np.ones(guide.grid.shape, bool), guide.grid, grid))
    return replace(guide, data=np.where(seen, np.maximum(data, 0), np.nan), grid=grid)


def seen_by(guide: VoxelGrid, grid: VoxelGrid) -> NDArray[np.bool_]:
    """Return the voxels of a grid whose centres lie between voxels of a guide."""
    voxels = np.moveaxis(np.indices(grid.shape), 0, -1)
    places = apply_affine(np.linalg.inv(guide.affine) @ grid.affine, voxels)
    return np.all((places >= 0) & (places <= np.subtract(guide.shape, 1)), axis=-1)


def with_noise(guide: WeightedImage, noise: float) -> WeightedImage:
    """Return a guide with Gaussian noise, relative to its median where it is not dark."""
    sigma = noise * np.median(guide.data[guide.data > 0.2 * np.nanpercentile(guide.data, 99)])
    drawn = np.random.default_rng(0).standard_normal(guide.data.shape)
    return replace(guide, data=np.where(guide.data == 0, 0, np.abs(guide.data + sigma * drawn)))


if __name__ == "__main__":
    main()
