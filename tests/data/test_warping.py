"""Warps: smooth displacements with which images are read."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.data.warping import Warp, spline_basis
from napari_swig_qmri.progress import drained

GRID = VoxelGrid((24, 20, 17), np.diag([-1.5, 2.0, 1.0, 1.0]))
BASES = tuple(spline_basis(np.arange(n, dtype=float), n, 7.0) for n in GRID.shape)
SHAPE = tuple(basis.shape[1] for basis in BASES)


@pytest.mark.parametrize(("n", "spacing"), [(1, 5.0), (2, 5.0), (11, 5.0), (40, 7.3)])
def test_splines_sum_to_one_and_places_beyond_the_ends_count_as_the_ends(n: int, spacing: float) -> None:
    basis = spline_basis(np.array([-3.0, 0, (n - 1) / 2, n - 1, n + 2]), n, spacing)
    np.testing.assert_allclose(basis.sum(axis=1), 1)
    np.testing.assert_array_equal(basis[0], basis[1])
    np.testing.assert_array_equal(basis[3], basis[4])
    np.testing.assert_allclose(basis[2], basis[2, ::-1], atol=1e-12)


def test_the_same_displacement_everywhere_is_a_shift_of_the_grid() -> None:
    shift = np.array([0.7, -1.1, 0.4])
    warp = Warp(np.tile(shift.reshape(3, 1, 1, 1), (1, *SHAPE)), BASES)
    image = np.random.default_rng(0).random(GRID.shape)
    seen = np.ones(GRID.shape, bool)
    seen[5:9, 4:8] = False
    affine = GRID.affine.copy()
    affine[:3, 3] -= shift
    moved = drained(resampled(image, seen, VoxelGrid(GRID.shape, affine), GRID, with_ends=True))
    warped = drained(resampled(image, seen, GRID, GRID, with_ends=True, warp=warp))
    np.testing.assert_allclose(warped[0], moved[0], atol=1e-5)
    np.testing.assert_array_equal(warped[1], moved[1])
    np.testing.assert_allclose(warp.displacement(slice(3, 5)), warp.displacement()[:, 3:5])
