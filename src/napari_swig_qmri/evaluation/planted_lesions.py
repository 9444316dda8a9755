"""Lesions planted in the images of a run: where, what shape, and how they change maps and guides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.super_resolution.preparation.problem import with_floor
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.lr_term import lr_reading
from napari_swig_qmri.super_resolution.solver.numerics.noise_statistics import flattest
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import multiply_voxelwise
from napari_swig_qmri.super_resolution.solver.prediction import lr_structure

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

BOTH, MAPS, GUIDES, NEITHER = "both", "maps", "guides", "neither"  # images that show a lesion
STEEPNESS = 3.0  # of the border, per half of the smallest HR voxel edge
FINER = (-0.25, 0.25)  # HR voxels, places of the samples of a voxel along an axis
FREE_OF_CONFLICT = 0.05  # conflict below which guides and LR maps agree
RELAXED = (1.0, 0.5, 0.25, 0.0)  # shares of the wanted distances that are tried one after the other
FIT_ROUNDS = 8  # of the fit of maps to changed signals; the residual falls by more than half in each


def sphere(grid: VoxelGrid, centre: Sequence[float], radius: float) -> Tensor:
    """Share ``(X, Y, Z)`` of a soft sphere in the voxels of a grid, averaged over two samples per axis.

    `centre` is in voxels, `radius` in mm.
    """
    share = np.zeros(grid.shape)
    edges, step = grid.affine[:3, :3], STEEPNESS / (min(grid.voxel_size) / 2)
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1) - np.asarray(centre)
    for offset in product(FINER, repeat=3):
        distance = np.linalg.norm((voxels + offset) @ edges.T, axis=-1)
        share += 1 / (1 + np.exp(np.clip((distance - radius) * step, -50, 50)))
    return torch.as_tensor(share / len(FINER) ** 3, dtype=torch.float32)


def changed(maps: Tensor, share: Tensor, change: Sequence[float]) -> Tensor:
    """Maps ``(3, X, Y, Z)`` with PD, R1 and R2 multiplied by the factors `change` where `share` ``(X, Y, Z)`` is 1."""
    pd, r1, r2 = (1 + (factor - 1) * share.to(maps.dtype) for factor in change)
    return torch.stack([maps[0] * pd, maps[1] / r1, maps[2] / r2])


def with_lesion(problem: Problem, kind: str, solved: Tensor, lesioned: Tensor, gains: Tensor) -> Problem:
    """Problem of a box whose guides, LR maps or both show the change from `solved` to `lesioned` ``(3, X, Y, Z)``.

    Guides change by their contrast, times the gains ``(guide,)``; guides with thick slices show the average over their
    slices. LR maps change by what truncation leaves of the change, or of that of the signals that they were fitted to.
    """
    if kind in (BOTH, GUIDES):
        problem = _with_guides(problem, solved, lesioned, gains)
    if kind in (BOTH, MAPS):
        problem = replace(problem, lr_maps=_lr_maps(problem, solved, lesioned))
    return problem


def _with_guides(problem: Problem, solved: Tensor, lesioned: Tensor, gains: Tensor) -> Problem:
    coarse = {each.guide: each for each in problem.coarse}
    changes = torch.zeros_like(problem.guides)
    for number, (sequence, gain) in enumerate(zip(problem.sequences, gains, strict=True)):
        change = gain * (sequence(*lesioned) - sequence(*solved))
        if number in coarse:
            average, image = coarse[number].average, coarse[number].image
            coarse[number] = replace(coarse[number], image=image + average(change))
            whole = average.adjoint(torch.ones_like(image)).clamp(min=1e-6)
            change = average.adjoint(average(change)) / whole
        changes[number] = change
    return replace(
        problem,
        guides=problem.guides + changes,
        lr_guides=problem.lr_guides + problem.truncate(changes),
        coarse=tuple(coarse[each.guide] for each in problem.coarse),
    )


def _lr_maps(problem: Problem, solved: Tensor, lesioned: Tensor) -> Tensor:
    """LR maps ``(3, x, y, z)`` with the change, where they were measured."""
    signals, measured = problem.lr_signals, torch.tensor(problem.measured).view(-1, 1, 1, 1)
    if signals is None:
        return problem.lr_maps + problem.truncate(lesioned - solved) * measured
    wanted = signals(problem.lr_maps) + problem.truncate(signals(lesioned) - signals(solved))
    return torch.where(measured, fitted_maps(problem, wanted), problem.lr_maps)


def fitted_maps(problem: Problem, wanted: Tensor) -> Tensor:
    """LR maps ``(3, x, y, z)`` fitted to LR signals ``(n, x, y, z)``, from those of the problem on."""
    signals = problem.lr_signals
    if signals is None:
        raise ValueError("the maps of this run were not fitted to signals.")
    maps = with_floor(problem.lr_maps)
    for _ in range(FIT_ROUNDS):
        reading = lr_reading(replace(problem, lr_maps=maps), signals)
        maps = with_floor(maps + multiply_voxelwise(reading, wanted - signals(maps)))
    return maps


def find_places(
    problem: Problem, conflict: Tensor | None, largest: float, n_places: int, seed: int
) -> list[tuple[float, float, float]]:
    """Places in flat tissue, in voxels of the HR grid, at random.

    The largest sphere stays in the head and the field of view. Where there is room, its whole volume is tissue without
    a `conflict` ``(X, Y, Z)``, and places are two of its diameters apart; else these distances are smaller.

    Parameters
    ----------
    largest
        Radius of the largest sphere in mm.

    Raises
    ------
    ValueError
        If there is no place.
    """
    edges, rng = problem.lr_grid.voxel_size, np.random.default_rng(seed)
    head = binary_fill_holes((problem.lr_valid & (problem.lr_maps[0] > HEAD)).numpy())
    tissue = problem.tissue & problem.lr_valid
    if conflict is not None:
        tissue = tissue & (problem.truncate(conflict) < FREE_OF_CONFLICT)
    if not tissue.any():
        raise ValueError("the maps hold no tissue where guides and maps agree: a lesion cannot be planted.")
    flat = flattest(tissue, lr_structure(problem)).numpy()
    reach = max(edges)
    flat &= _depth(head, edges) >= largest + reach
    candidates, depth = rng.permutation(np.argwhere(flat)), _depth(tissue.numpy(), edges)
    chosen: list[FloatArray] = []
    for share in RELAXED:
        deep = [each for each in candidates if depth[tuple(each)] >= share * largest + reach]
        chosen = _apart(deep, np.asarray(edges), 4 * largest * share, n_places)
        if len(chosen) == n_places:
            break
    if not chosen:
        raise ValueError(
            f"flat tissue of the head has no room for a lesion with a `radius` of {largest:g} mm: choose a smaller one."
        )
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    places = [first + spacing * (each + rng.uniform(-0.5, 0.5, 3)) for each in chosen]
    return [(float(x), float(y), float(z)) for x, y, z in places]


def _depth(inside: BoolArray, edges: Sequence[float]) -> FloatArray:
    """Distance ``(x, y, z)`` in mm to the nearest voxel that is not inside, or beyond the field of view."""
    padded = np.pad(inside, 1)
    depth: FloatArray = distance_transform_edt(padded, sampling=edges)[1:-1, 1:-1, 1:-1]
    return depth


def _apart(candidates: Sequence[FloatArray], edges: FloatArray, distance: float, most: int) -> list[FloatArray]:
    """First candidates, in voxels with `edges` in mm, that are at least a distance in mm apart."""
    chosen: list[FloatArray] = []
    for each in candidates:
        if len(chosen) == most:
            break
        if all(np.linalg.norm((each - other) * edges) >= distance for other in chosen):
            chosen.append(each)
    return chosen
