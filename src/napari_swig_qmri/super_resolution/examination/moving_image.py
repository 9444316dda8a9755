"""Guides that are moved or warped on the HR grid, and read on the LR grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform, map_coordinates, spline_filter

from napari_swig_qmri.data.truncation import EVERYWHERE, contract_axis
from napari_swig_qmri.super_resolution.preparation.problem import seen_share
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import SeparableOperator
    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, VoxelGrid
    from napari_swig_qmri.super_resolution.preparation.problem import Problem


LEAST_VALID = 0.95  # share of an LR voxel that a guide has measured


def mostly_valid(problem: Problem, valid: Tensor) -> BoolArray:
    """LR voxels ``(x, y, z)`` that a guide has measured, given its measured HR voxels ``(X, Y, Z)``."""
    share: FloatArray = seen_share(problem, valid).numpy()
    return share > LEAST_VALID


def lattice_step(where: BoolArray, most: int) -> int:
    """Distance in voxels along each axis of a lattice with about `most` of the voxels `where`; 1 if they are fewer."""
    return max(1, int((where.sum() / most) ** (1 / 3)))


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingImage:
    """A guide that is moved on the HR grid, and read on LR voxels."""

    image: FloatArray  # (X, Y, Z)
    grid: VoxelGrid
    truncate: SeparableOperator
    where: BoolArray  # (x, y, z)
    points: FloatArray  # (voxel, 3), centres of these LR voxels in mm
    margin: FloatArray  # (3,), of the field of view, in HR voxels

    @classmethod
    def of(cls, image: Tensor, problem: Problem, where: BoolArray, step: int = 1) -> MovingImage:
        """Image ``(X, Y, Z)`` on the HR grid of a problem, with a mean magnitude of 1.

        It is read on every `step`-th LR voxel along each axis, the same ones of which are `where` ``(x, y, z)``.
        """
        data = image.numpy() / float(image.abs().mean().clamp(min=1e-12))
        between = np.linalg.inv(problem.hr_grid.affine) @ problem.lr_grid.affine
        return cls(
            image=data,
            grid=problem.hr_grid,
            truncate=problem.truncate.restricted(EVERYWHERE, (slice(None, None, step),) * 3),
            where=where,
            points=apply_affine(problem.lr_grid.affine, step * np.argwhere(where)),
            margin=np.abs(np.diag(between)[:3]),
        )

    @cached_property
    def spline(self) -> FloatArray:
        """Coefficients ``(X, Y, Z)`` of the image."""
        spline: FloatArray = spline_filter(self.image, 3, self.image.dtype.type, "mirror")
        return spline

    @property
    def centre(self) -> FloatArray:
        """Mean ``(3,)`` of the points."""
        centre: FloatArray = self.points.mean(axis=0)
        return centre

    @property
    def offsets(self) -> FloatArray:
        """Points ``(voxel, 3)`` relative to their centre."""
        return self.points - self.centre

    def moved(self, affine: FloatArray) -> FloatArray:
        """Image ``(X, Y, Z)`` after a rigid move."""
        if np.array_equal(affine, np.eye(4)):
            return self.image
        between = np.linalg.inv(affine @ self.grid.affine) @ self.grid.affine
        options = {"order": 3, "mode": "nearest", "prefilter": False}
        moved: FloatArray = affine_transform(self.spline, between[:3, :3], between[:3, 3], **options)
        return moved

    def warped(self, displacement: FloatArray) -> FloatArray:
        """Image ``(X, Y, Z)`` read beside each voxel, by a displacement ``(3, X, Y, Z)`` in mm."""
        steps = np.tensordot(np.linalg.inv(self.grid.affine[:3, :3]), displacement, axes=1)
        places = steps + np.indices(self.grid.shape)
        warped: FloatArray = map_coordinates(self.spline, places, np.float32, 3, "nearest", prefilter=False)
        return warped

    def read(self, image: FloatArray, blur: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Image ``(X, Y, Z)`` on the LR voxels ``(voxel,)``, and its derivatives per mm ``(voxel, 3)``.

        It is blurred by some LR voxels.
        """
        volume = torch.as_tensor(image)
        plain = [matrix.to(volume.dtype) for matrix in self.truncate.matrices]
        slopes = [matrix @ torch.as_tensor(_differences(matrix.shape[1]), dtype=matrix.dtype) for matrix in plain]
        along_x, along_x_slope = (contract_axis(volume, each[0], 0) for each in (plain, slopes))
        along_xy = contract_axis(along_x, plain[1], 1)
        partial = contract_axis(along_x_slope, plain[1], 1), contract_axis(along_x, slopes[1], 1)
        small = torch.stack(
            [
                contract_axis(along_xy, plain[2], 2),
                *(contract_axis(each, plain[2], 2) for each in partial),
                contract_axis(along_xy, slopes[2], 2),
            ]
        )
        values: FloatArray = (gaussian_average(small, blur) if blur else small).numpy()[:, self.where].astype(float)
        gradient: FloatArray = values[1:].T @ np.linalg.inv(self.grid.affine[:3, :3])
        return values[0], gradient

    def is_seen(self, affine: FloatArray) -> BoolArray:
        """Whether the LR voxels lie in the field of view of the moved guide, ``(voxel,)``."""
        voxels = apply_affine(np.linalg.inv(affine @ self.grid.affine), self.points)
        inside = (voxels > self.margin - 0.5) & (voxels < np.asarray(self.grid.shape) - 0.5 - self.margin)
        return np.asarray(inside.all(axis=1))


def _differences(n: int) -> FloatArray:
    """Matrix ``(n, n)`` of central differences, one-sided at the ends."""
    return np.asarray(np.gradient(np.eye(n), axis=0))
