"""Scores with guides that are smoothly warped against the maps, as they are and corrected.

    python benchmarks/warps.py [LABELS] [--strengths 0.5 1 2] [--local] [--voxel-size 2] [--noise 0.01]

LABELS is a BrainWeb label map at 0.5 mm, of which a slab of 1 mm is taken; without it the built-in head. Guides are
computed from the truth, read at displaced places by quintic splines, and get their noise there. The warp is a
product of sines with about one period across the head, or with ``--local`` a bump of 20 mm in one hemisphere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from brains import cells, interpolated, solver_options, table
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from tilted import HEADING, N_GUIDES, head_of, part_of, with_noise

from napari_swig_qmri import Options, VoxelGrid, WeightedImage, degrade, evaluate, super_resolve

MARGIN = 6  # voxels around the maps, from which warped guides take what lies beyond them
BUMP = 20.0  # mm, standard deviation of the local warp
PLACE = (-30.0, 0.0, 0.0)  # mm from the middle, of the local warp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="?", type=Path, help="BrainWeb label map at 0.5 mm")
    parser.add_argument("--strengths", nargs="+", type=float, default=(0.5, 1.0, 2.0), help="in mm (0.5 1 2)")
    parser.add_argument("--local", action="store_true", help="warp one place only")
    parser.add_argument("--voxel-size", type=float, default=2.0, help="of the built-in head in mm (2)")
    parser.add_argument("--noise", type=float, default=0.01, help="of maps and guides, relative (0.01)")
    solver_options(parser)
    print(table((*HEADING, "told"), list(rows_of(parser.parse_args()))))


def rows_of(options: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table: interpolation, guides that fit, and warped guides as they are and corrected."""
    slab, of_slab = head_of(options.labels, options.voxel_size)
    truth, mask = part_of(slab, of_slab, MARGIN)
    lr_maps, _ = degrade(truth, 2.0, map_noise=options.noise)
    wide = degrade(slab, 2.0)[1][:N_GUIDES]
    for name, maps in interpolated(lr_maps, truth.grid).items():
        yield (f"none, {name}", *cells(evaluate(maps, truth, mask)), "", "")
    for strength in (0.0, *options.strengths):
        guides = [part_of_guide(warped(guide, strength, options.local), truth.grid) for guide in wide]
        noisy = [with_noise(guide, options.noise) for guide in guides]
        for name, pose in (("as they are", False), ("corrected", True)):
            run = Options(method=options.method, weights=options.weights, pose=pose)
            result = super_resolve(lr_maps, noisy, run)
            told = " ".join(notice for notice in result.notices if "against the maps" in notice)
            scores = cells(evaluate(result.maps, truth, mask))
            yield (f"warped by {strength:g} mm, {name}", *scores, result.verdict.word, told)


def warped(guide: WeightedImage, strength: float, is_local: bool) -> WeightedImage:
    """Return a guide read at places that lie beside its voxels by up to about `strength` mm along each axis."""
    voxels = np.moveaxis(np.indices(guide.grid.shape), 0, -1)
    x, y, z = np.moveaxis(guide.grid.world(voxels) - guide.grid.centre, -1, 0)
    displacement = local(x, y, z) if is_local else smooth(x, y, z)
    displacement = np.tensordot(np.linalg.inv(guide.grid.affine[:3, :3]), strength * displacement, axes=1)
    places = np.indices(guide.grid.shape) + displacement
    return replace(guide, data=map_coordinates(guide.data, places, order=5, mode="nearest").clip(min=0))


def smooth(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a displacement ``(3, ...)`` of at most 1 along each axis, with wavelengths of about 15 cm."""
    x, y, z = x / 25, y / 25, z / 25
    return np.stack([np.sin(y + 1) * np.cos(z), np.cos(1.2 * x) * np.sin(y + 0.5), np.sin(x + y / 2)])


def local(x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a displacement ``(3, ...)`` of at most 1 along the second axis, at one place."""
    square = (x - PLACE[0]) ** 2 + (y - PLACE[1]) ** 2 + (z - PLACE[2]) ** 2
    return np.stack([np.zeros_like(x), np.exp(-square / (2 * BUMP**2)), np.zeros_like(x)])


def part_of_guide(guide: WeightedImage, grid: VoxelGrid) -> WeightedImage:
    """Return the voxels of a guide that lie in a grid without its margin."""
    x, y, z = (slice(MARGIN, MARGIN + n) for n in grid.shape)
    return replace(guide, data=guide.data[x, y, z], grid=grid)


if __name__ == "__main__":
    main()
