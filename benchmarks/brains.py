"""Helpers of the benchmarks on label maps: test brains, interpolation, options of the solver, rows of scores."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi
import torch
from numpy.typing import NDArray

from napari_swig_qmri import KSpaceTruncation, Options, QuantitativeMaps, VoxelGrid, WeightedImage, super_resolve
from napari_swig_qmri.evaluation.scores import MapScores
from napari_swig_qmri.simulation.label_maps import BRAINWEB_LABELS, anatomy_of
from napari_swig_qmri.simulation.tissue_maps import random_maps
from napari_swig_qmri.super_resolution.options import AUTO, DEFAULT_METHOD, METHODS

FIELD_STRENGTH = 3.0  # T
CORNER, SHAPE = (20, 20, 60), (140, 180, 64)  # of the slab, in voxels of 1 mm
HEADING = ("SSIM PD / T1 / T2", "HFEN", "median error, %")


@dataclass(frozen=True, kw_only=True)
class Brain:
    """Simulated maps of one label map, 1 mm, with texture and lesions."""

    name: str
    truth: QuantitativeMaps
    mask: NDArray[np.bool_]


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of every benchmark on test brains."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("labels", nargs="+", type=Path, metavar="LABELS", help="BrainWeb label maps at 0.5 mm")
    solver_options(parser)
    parser.add_argument("--guide-noise", type=float, default=0.02, help="of guides, relative to tissue (0.02)")
    return parser


def solver_options(parser: argparse.ArgumentParser) -> None:
    """Return method and weights as options of `super_resolve`."""
    parser.add_argument("--method", choices=METHODS, default=DEFAULT_METHOD)
    parser.add_argument("--weights", metavar="FILE", help="of the method network")


def brains_of(paths: Sequence[Path]) -> Iterator[Brain]:
    """Return one brain per label map, drawn from published ranges at 3 T; the same file gives the same brain."""
    for path in paths:
        image = nib.load(path)
        whole = anatomy_of(np.asarray(image.dataobj).astype(int), VoxelGrid(image.shape, image.affine), BRAINWEB_LABELS)
        anatomy = whole.crop(CORNER, SHAPE)
        seed = [ord(letter) for letter in path.name]
        _, truth, _ = random_maps(anatomy, FIELD_STRENGTH, np.random.default_rng(seed))
        yield Brain(name=path.name.split("_")[0], truth=truth, mask=anatomy.brain_mask)


def resolved(
    lr_maps: QuantitativeMaps, guides: Sequence[WeightedImage], options: argparse.Namespace, maps_from: str = AUTO
) -> QuantitativeMaps:
    """Return SR maps by the chosen method, of LR maps that were fitted to `maps_from`."""
    return super_resolve(
        lr_maps, guides, Options(method=options.method, weights=options.weights, maps_from=maps_from)
    ).maps


def interpolated(lr_maps: QuantitativeMaps, grid: VoxelGrid) -> Mapping[str, QuantitativeMaps]:
    """Interpolate maps to a finer grid of the same field of view, by cubic splines and by zero filling."""
    zoom = np.divide(grid.shape, lr_maps.grid.shape)
    cubic = np.stack([ndi.zoom(v, zoom, order=3, grid_mode=True, mode="nearest") for v in lr_maps.data])
    filled = KSpaceTruncation(grid, lr_maps.grid).zero_filled(torch.as_tensor(lr_maps.data)).numpy()
    return {
        "cubic": QuantitativeMaps(data=cubic, grid=grid, names=lr_maps.names),
        "zero filling": QuantitativeMaps(data=filled, grid=grid, names=lr_maps.names),
    }


def cells(scores: Mapping[str, MapScores]) -> list[str]:
    """Return one table cell per measure of `HEADING`."""
    return [
        " / ".join(f"{score.ssim:.4f}" for score in scores.values()),
        " / ".join(f"{score.hfen:.3f}" for score in scores.values()),
        " / ".join(f"{score.median_ape:.2f}" for score in scores.values()),
    ]


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(heading), *rows))
