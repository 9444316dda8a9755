"""Rigid pose of an image against the LR maps, by Gauss-Newton on the LR grid.

The guide, moved and truncated to the LR grid, is compared with a weighted sum of images that explain its contrast. The
weights, a smooth shading and the six parameters of the pose are solved for together, with Cauchy weights of the voxels.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, from_matvec
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from napari_swig_qmri.super_resolution.examination.moving_image import MovingImage, lattice_step, mostly_valid
from napari_swig_qmri.super_resolution.preparation.tissue import head_brightness, is_bright
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

    IntArray = npt.NDArray[np.intp]

N_STEPS = 20
N_REWEIGHTINGS = 4
CAUCHY = 2.4  # standard deviations of the residual at which a voxel has half its weight
SMALL_STEP = 0.03  # mm, RMS over the head, below which the fit has converged
UNMOVED = 0.05  # mm; a first step below it is not followed by another one
FAR = 0.4  # LR voxel edges; after a larger first step the fit starts on blurred images
COARSE_SCALE = 1.5  # LR voxels, standard deviation of the blur
LEAST_PD = 0.5  # relative to water, of voxels that are compared
MOST_MISFIT = 0.7  # share of the standard deviation of a guide that may stay unexplained
LARGEST_MOVE = 15.0  # mm, RMS over the head; the fit gives up beyond
MARGIN = 2  # LR voxels at the ends of the field of view that are not compared, where truncation rings
LEAST_VOXELS = 500  # LR voxels
BLOCK = 8  # LR voxels along the edge of the blocks whose disagreement gives the error
PROBED = 20_000  # LR voxels of a lattice that tells whether a guide in a large head has moved
DAMPING = 1e-6  # relative, for explaining images that depend on each other


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """Pose of a guide, and how well it is known."""

    affine: FloatArray  # (4, 4), from points of the guide to the same points in the maps, in mm
    points: FloatArray  # (voxel, 3), of the head, in mm
    error: float  # standard error of the displacement in mm, RMS over the head
    misfit: float  # share of the standard deviation of the guide that stays unexplained
    converged: bool

    @property
    def displacement(self) -> float:
        """Displacement of the head in mm, RMS over its voxels."""
        return rms(apply_affine(self.affine, self.points) - self.points)


def rms(vectors: FloatArray) -> float:
    """Root of the mean squared length of vectors ``(n, 3)``."""
    return float(np.sqrt((vectors**2).sum(axis=1).mean()))


def compared_voxels(problem: Problem) -> BoolArray:
    """LR voxels ``(x, y, z)`` of the head, away from air and from the ends of the field of view."""
    bright = problem.lr_maps[0] > LEAST_PD
    if not problem.measured[0]:
        bright = is_bright(head_brightness(None, problem.lr_guides), problem.lr_valid)
    inner = np.zeros(problem.lr_grid.shape, bool)
    inner[tuple(slice(MARGIN, -MARGIN) if n > 6 * MARGIN else slice(None) for n in inner.shape)] = True
    return np.asarray(binary_erosion((bright & problem.lr_valid).numpy(), border_value=1)) & inner


def fitted_pose(
    problem: Problem, image: Tensor, valid: Tensor, explaining: Tensor, head: BoolArray
) -> Generator[None, None, Fit | None]:
    """Pose of an image; None if it shares too few voxels with the maps. Yields between steps.

    In a large head a lattice of voxels is looked at first, and all of them if it has moved by these.

    Parameters
    ----------
    image, valid
        The guide on the HR grid and its measured voxels, both ``(X, Y, Z)``.
    explaining
        ``(n, x, y, z)``, images whose weighted sum explains the guide; the first one is the contrast that is shaded.
    head
        ``(x, y, z)``, LR voxels that are compared.
    """
    where = head & mostly_valid(problem, valid)
    if where.sum() < LEAST_VOXELS:
        return None
    if (step := lattice_step(where, PROBED)) > 1:
        lattice = (slice(None, None, step),) * 3
        few, blocks = where[lattice], blocks_of(np.argwhere(where[lattice]))
        moving = MovingImage.of(image, problem, few, step)
        fit = yield from _refined(np.eye(4), moving, explaining[(slice(None), *lattice)], blocks, 0.0, n_steps=1)
        if fit.displacement < UNMOVED:
            return replace(fit, converged=True)
    moving, blocks = MovingImage.of(image, problem, where), blocks_of(np.argwhere(where))
    if moving.is_seen(np.eye(4)).sum() < LEAST_VOXELS:
        return None
    fit = yield from _refined(np.eye(4), moving, explaining, blocks, 0.0, n_steps=1)
    if fit.displacement < UNMOVED:
        return replace(fit, converged=True)
    blurs = [0.0] if fit.displacement < FAR * float(np.mean(problem.lr_grid.voxel_size)) else [COARSE_SCALE, 0.0]
    found = yield from _through(blurs, moving, explaining, blocks)
    if found is not None and found.converged and found.misfit < MOST_MISFIT:
        return found
    return (yield from _through([2 * COARSE_SCALE, COARSE_SCALE, 0.0], moving, explaining, blocks))


def _through(
    blurs: Sequence[float], moving: MovingImage, explaining: Tensor, blocks: IntArray
) -> Generator[None, None, Fit | None]:
    """Pose found at one blur after the other; None if the image leaves the maps."""
    affine: FloatArray = np.eye(4)
    fit = None
    for blur in blurs:
        if moving.is_seen(affine).sum() < LEAST_VOXELS:
            return None
        fit = yield from _refined(affine, moving, explaining, blocks, blur, N_STEPS)
        affine = fit.affine
    return fit


def _refined(
    affine: FloatArray, moving: MovingImage, explaining: Tensor, blocks: IntArray, blur: float, n_steps: int
) -> Generator[None, None, Fit]:
    """Pose after at most `n_steps` from `affine` on, of images that are blurred by some LR voxels."""
    known = regressors(gaussian_average(explaining, blur) if blur else explaining, moving.where, moving.offsets)
    residual = None
    for _ in range(n_steps):
        yield
        seen = moving.is_seen(affine)
        if seen.sum() < LEAST_VOXELS and residual is not None:
            converged = False
            break
        image = moving.moved(affine)
        values, gradient = moving.read(image, blur)
        slopes = np.concatenate([-gradient, -np.cross(moving.offsets, gradient)], axis=1)
        step = _Step.of(values, slopes, known, seen, residual)
        residual = step.residual
        change = rigid(step.pose, moving.centre)
        affine = change @ affine
        length = rms(apply_affine(change, moving.points) - moving.points)
        converged = length < SMALL_STEP
        if converged or rms(apply_affine(affine, moving.points) - moving.points) > LARGEST_MOVE:
            break
    return Fit(
        affine=affine,
        points=moving.points,
        error=step.error(blocks, moving.offsets),
        misfit=step.misfit(values),
        converged=converged,
    )


def rigid(pose: FloatArray, centre: FloatArray) -> FloatArray:
    """Affine ``(4, 4)`` of a shift in mm and a rotation vector in rad about a centre, ``(6,)`` together."""
    turn = Rotation.from_rotvec(pose[3:]).as_matrix()
    affine: FloatArray = from_matvec(turn, centre + pose[:3] - turn @ centre)
    return affine


def regressors(explaining: Tensor, where: BoolArray, offsets: FloatArray) -> FloatArray:
    """Explaining images on the LR voxels and the shaded first one, ``(voxel, n + 3)``, of unit power."""
    images = explaining.numpy()[:, where].T.astype(float)
    shading = images[:, :1] * offsets / np.abs(offsets).max()
    columns = np.concatenate([images, shading], axis=1)
    powers = np.sqrt((columns**2).mean(axis=0))
    scaled: FloatArray = columns / np.maximum(powers, 1e-12)
    return scaled


def unexplained(values: FloatArray, known: FloatArray) -> FloatArray:
    """Part of values ``(voxel,)`` that no sum of known images ``(voxel, n)`` explains."""
    normal = known.T @ known
    normal[np.diag_indices(len(normal))] *= 1 + DAMPING
    normal[np.diag_indices(len(normal))] += 1e-12
    residual: FloatArray = values - known @ np.linalg.solve(normal, known.T @ values)
    return residual


def blocks_of(voxels: IntArray) -> IntArray:
    """Number of the block that each LR voxel lies in, ``(voxel,)``, from their indices ``(voxel, 3)``."""
    blocks = voxels // BLOCK
    return np.unique(np.ravel_multi_index(tuple(blocks.T), tuple(blocks.max(axis=0) + 1)), return_inverse=True)[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Step:
    """One step of Gauss-Newton: pose and weights of the explaining images."""

    pose: FloatArray  # (6,), shift in mm and rotation vector in rad
    residual: FloatArray  # (voxel,)
    weight: FloatArray  # (voxel,)
    columns: FloatArray  # (voxel, 6 + n)
    normal: FloatArray  # (6 + n, 6 + n)

    @classmethod
    def of(
        cls, values: FloatArray, slopes: FloatArray, known: FloatArray, seen: BoolArray, residual: FloatArray | None
    ) -> _Step:
        columns = np.concatenate([slopes, -known], axis=1)
        if residual is None:
            residual = unexplained(values, known)
        for _ in range(N_REWEIGHTINGS):
            level = 1.4826 * np.median(np.abs(residual[seen])) + 1e-9
            weight = seen / (1 + (residual / (CAUCHY * level)) ** 2)
            normal = columns.T @ (weight[:, None] * columns)
            normal[np.diag_indices(len(normal))] *= 1 + DAMPING
            normal[np.diag_indices(len(normal))] += 1e-12
            solution = -np.linalg.solve(normal, columns.T @ (weight * values))
            residual = values + columns @ solution
        return cls(pose=solution[:6], residual=residual, weight=weight, columns=columns, normal=normal)

    def misfit(self, values: FloatArray) -> float:
        """Unexplained share of the standard deviation of the guide, weighted."""
        mean = np.average(values, weights=self.weight)
        spread = np.average((values - mean) ** 2, weights=self.weight)
        return float(np.sqrt(np.average(self.residual**2, weights=self.weight) / max(spread, 1e-12)))

    def error(self, blocks: IntArray, offsets: FloatArray) -> float:
        """Standard error of the displacement in mm, RMS over the head.

        It follows from how much blocks of the head disagree (a sandwich estimate), so that it includes what the
        explaining images leave unexplained.
        """
        pull = (self.weight * self.residual)[:, None] * self.columns
        pulls = np.stack([np.bincount(blocks, each) for each in pull.T], axis=1)
        inverse = np.linalg.inv(self.normal)
        covariance = (inverse @ pulls.T @ pulls @ inverse)[:6, :6]
        lever = (offsets**2).sum(axis=0).sum() * np.eye(3) - offsets.T @ offsets
        turning = float(np.trace(covariance[3:, 3:] @ lever)) / len(offsets)
        return float(np.sqrt(max(np.trace(covariance[:3, :3]) + turning, 0.0)))
