"""Shares of the head that maps and guides have in common, in numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from volume_cases import rotation

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.super_resolution.preparation.coverage import head_share, tissue_notices

HR = VoxelGrid((40, 40, 40), np.eye(4))
LR = HR.with_shape((20, 20, 20))
TISSUE = torch.ones(LR.shape, dtype=torch.bool)


def guide(start, stop, name="T1w", tilt=(0, 0, 0)):
    """Guide of the planes from `start` to `stop` along z."""
    grid = HR.box((0, 0, start), (40, 40, stop - start))
    return WeightedImage(data=np.ones(grid.shape), grid=VoxelGrid(grid.shape, rotation(tilt) @ grid.affine), name=name)


def about_tissue(guides, hr_grid=HR):
    return tuple(tissue_notices(TISSUE, LR, hr_grid, guides))


def test_nothing_is_told_of_guides_that_cover_the_maps():
    assert about_tissue([guide(0, 40)]) == ()
    assert about_tissue([guide(2, 39), guide(0, 40)]) == ()
    assert about_tissue([]) == ()


def test_less_than_a_tenth_of_the_tissue_is_refused_and_the_rest_is_told():
    with pytest.raises(ValueError, match=r"T1w covers only 7\.5% of the tissue .*, but at least 10% are needed"):
        about_tissue([guide(4, 7)])
    for stop, share in ((24, 60), (8, 20)):
        (notice,) = about_tissue([guide(0, stop)])
        assert notice.startswith(f"T1w covers only {share}% of the tissue of the low-resolution maps")
    with pytest.raises(ValueError, match=r"T1w covers only 2\.5% of the tissue"):  # the part inside the HR grid counts
        about_tissue([guide(0, 40)], HR.box((0, 0, 0), (40, 40, 1)))


def test_guides_count_together_and_each_needs_a_tenth():
    first, second = about_tissue([guide(0, 24, "T1w"), guide(20, 40, "T2w")])
    assert first == (
        "T1w covers only 60% of the tissue of the low-resolution maps; elsewhere the other guides add the detail."
    )
    assert second.startswith("T2w covers only 50% of the tissue")
    with pytest.raises(ValueError, match=r"T2w covers only 5% of the tissue .*, but at least 10% are needed"):
        about_tissue([guide(0, 40), guide(20, 22, "T2w")])
    small = guide(20, 22, "T2w")  # also where it decides the voxels of the result
    with pytest.raises(ValueError, match=r"^T2w covers only 5% of the tissue"):
        about_tissue([guide(0, 40), small], small.grid)


def test_a_slice_between_the_centres_of_lr_voxels_is_not_nothing():
    """1 of 40 mm, the upper half of a plane."""
    with pytest.raises(ValueError, match=r"T1w covers only 2\.5% of the tissue"):
        about_tissue([WeightedImage(data=np.ones((40, 40, 1)), grid=HR.box((0, 0, 21), (40, 40, 1)), name="T1w")])


def test_a_tilted_slab_counts_by_what_it_shows_and_not_by_its_bounding_box():
    (notice,) = about_tissue([guide(10, 20, tilt=(35, 0, 0))])
    assert notice.startswith(("T1w covers only 1", "T1w covers only 2"))


def share_of(seen):
    """Share of a head that takes 32 of the 40 mm along z."""
    image = guide(0, 40)
    image.data[:, :, :4] = image.data[:, :, 36:] = 0.01
    maps = np.where(seen, np.ones((3, *LR.shape)), np.nan)
    return head_share(QuantitativeMaps(data=maps, grid=LR), image)


@pytest.mark.parametrize(
    ("axis", "text"), [(0, "20% of the head from left to right"), (2, "25% of the head from foot")]
)
def test_maps_of_few_planes_have_their_share_of_the_head(axis, text):
    seen = np.zeros(LR.shape, bool)
    seen.swapaxes(axis, 0)[8:12] = True  # 8 of 40 mm, or of 32 where the head ends
    found = share_of(seen)
    assert found.is_part
    assert found.text.startswith(text)
    assert found.n_voxels == 4 * 20 * (20 if axis == 2 else 16)


def test_maps_of_the_whole_and_a_brain_that_ends_by_itself_are_no_part():
    assert share_of(np.ones(LR.shape, bool)).share == 1
    x, y, z = np.meshgrid(*[np.arange(20) - 9.5] * 3, indexing="ij")
    ball = x**2 + y**2 + z**2 < 6.1**2
    assert not share_of(ball).is_part
    ball[:, :, 8:] = False
    assert share_of(ball).is_part


def test_maps_that_hardly_share_anything_with_the_head_are_refused():
    seen = np.zeros(LR.shape, bool)
    seen[4:8, 4:8, 10:14] = True
    with pytest.raises(
        ValueError, match=r"cover only 20% of the head .* in T1w, 64 voxels, but at least 100 are needed"
    ):
        share_of(seen)
