"""Grids: positions, fields of view, parts and alignment; shapes that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from volume_cases import AFFINE, numbered, rotation

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage, bright_voxels
from napari_swig_qmri.data.wording import joined, size_text

GRID = VoxelGrid((5, 6, 7), rotation((5, -10, 20)) @ AFFINE)


def outer_corners(grid: VoxelGrid) -> np.ndarray:
    return grid.world(np.array([[-0.5, -0.5, -0.5], np.array(grid.shape) - 0.5]))


def test_sizes() -> None:
    assert GRID.voxel_size == pytest.approx((2, 1.5, 3))
    assert GRID.field_of_view == pytest.approx((10, 9, 21))
    np.testing.assert_allclose(GRID.world(np.zeros((2, 3))), [GRID.affine[:3, 3]] * 2)


@pytest.mark.parametrize("shape", [(10, 12, 14), (3, 4, 5), (5, 6, 1)])
def test_another_shape_keeps_the_outer_edges(shape: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(outer_corners(GRID.with_shape(shape)), outer_corners(GRID), atol=1e-9)


def test_a_box_starts_at_its_corner() -> None:
    box = GRID.box((1, 2, 3), (2, 2, 2))
    np.testing.assert_allclose(box.world(np.array([1, 1, 1])), GRID.world(np.array([2, 3, 4])))
    assert box.shape == (2, 2, 2)


def test_alignment_is_the_distance_of_corners() -> None:
    shifted = VoxelGrid(GRID.shape, GRID.affine + np.diag([0, 0, 0, 0.0]))
    shifted.affine[:3, 3] += [0.03, 0, 0]
    assert GRID.distance_to(shifted) == pytest.approx(0.03)
    assert GRID.is_aligned_with(shifted)
    assert not GRID.is_aligned_with(shifted, tolerance=0.02)
    scaled = VoxelGrid(GRID.shape, GRID.affine @ np.diag([1.01, 1, 1, 1]))
    assert GRID.distance_to(scaled) == pytest.approx(0.01 * 2 * 4)  # the far corner
    assert GRID.distance_to(GRID.with_shape((5, 6, 8))) == np.inf


def test_arrays_must_fit_their_grid() -> None:
    maps = QuantitativeMaps(data=np.ones((2, *GRID.shape)), grid=GRID, names=("T1", "T2"))
    assert maps["T2"].shape == GRID.shape
    with pytest.raises(ValueError, match=r"maps PD, T1, T2 on a grid of .* need an array of shape \(3, 5, 6, 7\)"):
        QuantitativeMaps(data=np.ones((2, *GRID.shape)), grid=GRID)
    with pytest.raises(ValueError, match="weighted image 'x' has an array of shape"):
        WeightedImage(data=numbered((2, 2, 2)), grid=GRID, name="x")


def test_lists_and_sizes_as_text() -> None:
    assert [joined("abc"[:n], last="or") for n in (1, 2, 3)] == ["a", "a or b", "a, b or c"]
    assert size_text((0.9375, 1, 2.5)) == "0.938 × 1 × 2.5"


def test_bright_voxels_are_tissue() -> None:
    pd = np.concatenate([np.full(50, 0.8), np.full(49, 0.1), [np.nan]])
    np.testing.assert_array_equal(bright_voxels(pd), pd == 0.8)
