"""Masks and labels come to the voxels of another image by their affines, or are refused with a distance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from volume_cases import AFFINE, CODES, SHAPE, numbered, rotation, stored_as, volume

from napari_swig_qmri.data.labels import check_place, labels_on, mask_on
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

HEAD = VoxelGrid((30, 36, 28), np.diag([6.0, 6.0, 6.0, 1.0]))


def moved(grid: VoxelGrid, *mm: float) -> VoxelGrid:
    shift = np.eye(4)
    shift[:3, 3] = mm
    return VoxelGrid(grid.shape, shift @ grid.affine)


def block(grid: VoxelGrid, **more: object) -> Volume:
    """A mask of the middle of a grid."""
    data = np.zeros(grid.shape, np.float32)
    data[tuple(slice(n // 4, n - n // 4) for n in grid.shape)] = 1
    return Volume(**{"data": data, "grid": grid, "name": "mask"} | more)  # type: ignore[arg-type]


@pytest.mark.parametrize("tilt", [(0, 0, 0), (5, -3, 5), (12, 9, -14)])
def test_labels_stored_in_any_order_lie_at_the_same_place(tilt: tuple[float, float, float]) -> None:
    affine = rotation(tilt) @ AFFINE
    for code in CODES:
        image = stored_as(code, affine)
        labels = volume(data=np.asarray(image.dataobj), affine=image.affine)
        np.testing.assert_array_equal(labels_on(labels, VoxelGrid(SHAPE, affine)), numbered())
        assert mask_on(labels, VoxelGrid(SHAPE, affine), "the maps")[0].all()


def test_a_mask_is_brought_by_its_affine_and_that_is_told() -> None:
    fine = HEAD.with_shape((60, 72, 56))
    inside, notices = mask_on(block(HEAD), fine, "the result")
    np.testing.assert_array_equal(inside, np.kron(block(HEAD).data, np.ones((2, 2, 2))) > 0)
    assert notices == ("The mask was brought to the voxels of the result by its affine.",)
    shifted = mask_on(block(moved(HEAD, 30, 0, 0)), HEAD, "the result")[0]
    np.testing.assert_array_equal(shifted, np.roll(block(HEAD).data, 5, axis=0) > 0)
    assert mask_on(block(HEAD), HEAD, "the result")[1] == ()


@pytest.mark.parametrize(("place", "mm"), [((400, 0, 0), 400), ((0, -230, 0), 230), ((0, 120, 160), 200)])
def test_a_mask_from_elsewhere_is_refused_with_its_distance(place: tuple[float, float, float], mm: int) -> None:
    mask = block(moved(HEAD, *place), path=Path("a", "tumour.nii.gz"))
    with pytest.raises(ValueError, match=rf"mask tumour.nii.gz and the result .* overlap: .* lie {mm} mm apart"):
        mask_on(mask, HEAD, "the result")


def test_a_slab_of_the_head_takes_the_mask_of_the_whole_head() -> None:
    slab = HEAD.box((0, 0, 18), (30, 36, 3))
    assert mask_on(block(HEAD), slab, "the result")[0].any()
    assert mask_on(block(slab), HEAD, "the result")[0].any()


def test_series_and_vanishing_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the mask has the shape .* three axes"):
        mask_on(volume(data=np.ones((3, 4, 5, 2)), name="mask"), HEAD, "the result")
    speck = np.zeros((60, 72, 56), np.float32)
    speck[30, 30, 30] = 1
    with pytest.raises(ValueError, match="no voxel of the result has its centre in it"):
        mask_on(Volume(data=speck, grid=HEAD.with_shape((60, 72, 56)), name="speck"), HEAD, "the result")


def test_images_that_share_some_extent_may_be_compared() -> None:
    check_place("T1w", moved(HEAD, 170, 0, 0), HEAD, "the maps")
    with pytest.raises(ValueError, match="T1w and the maps do not overlap: their centres lie 190 mm apart"):
        check_place("T1w", moved(HEAD, 190, 0, 0), HEAD, "the maps")
