"""Shares of the head that maps and guides have in common, in numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from volume_cases import rotation

from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage
from napari_swig_qmri.super_resolution.preparation.coverage import head_notices, tissue_notices

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


def test_less_than_half_of_the_tissue_is_refused_and_the_rest_is_told():
    with pytest.raises(ValueError, match=r"T1w covers only 40% of the tissue .*, but at least 50% are needed"):
        about_tissue([guide(4, 20)])
    (notice,) = about_tissue([guide(0, 24)])
    assert notice.startswith("T1w covers only 60% of the tissue of the low-resolution maps")
    with pytest.raises(ValueError, match=r"T1w covers only 2.% of the tissue"):  # the part inside the HR grid counts
        about_tissue([guide(0, 40)], HR.box((0, 0, 0), (40, 40, 10)))


def test_guides_count_together_and_each_needs_a_tenth():
    first, second = about_tissue([guide(0, 24, "T1w"), guide(20, 40, "T2w")])
    assert first == (
        "T1w covers only 60% of the tissue of the low-resolution maps; elsewhere the other guides add the detail."
    )
    assert second.startswith("T2w covers only 50% of the tissue")
    with pytest.raises(ValueError, match=r"T2w covers only 5% of the tissue .*, but at least 10% are needed"):
        about_tissue([guide(0, 40), guide(20, 22, "T2w")])


def test_a_slice_between_the_centres_of_lr_voxels_is_not_nothing():
    """1 of 40 mm, the upper half of a plane."""
    with pytest.raises(ValueError, match=r"T1w covers only 2\.5% of the tissue"):
        about_tissue([WeightedImage(data=np.ones((40, 40, 1)), grid=HR.box((0, 0, 21), (40, 40, 1)), name="T1w")])


def test_a_tilted_slab_counts_by_what_it_shows_and_not_by_its_bounding_box():
    with pytest.raises(ValueError, match=r"T1w covers only [12]\d% of the tissue"):
        about_tissue([guide(10, 20, tilt=(35, 0, 0))])


def about_head(seen, head=slice(4, 36)):
    image = torch.zeros((1, *HR.shape))
    image[:, :, :, head] = 1
    return tuple(head_notices(seen, LR, HR, image, torch.ones_like(image, dtype=torch.bool), ["T1w"]))


@pytest.mark.parametrize(("axis", "along"), [(0, "left to right"), (1, "back to front"), (2, "foot to head")])
def test_maps_of_few_planes_are_refused_with_their_share_of_the_head(axis, along):
    seen = torch.zeros_like(TISSUE)
    seen.movedim(axis, 0)[9:10] = True  # 2 of 40 mm, or of 32 where the head ends
    share = "6.2%" if axis == 2 else "5%"
    with pytest.raises(ValueError, match=f"maps cover {share} of the head in T1w from {along}, but at least 50%"):
        about_head(seen)


def test_maps_of_a_part_are_told_and_the_whole_is_not():
    assert about_head(TISSUE) == ()
    seen = TISSUE.clone()
    seen[:, :, 12:] = False  # 24 of 40 mm, of which the head takes 20 of 32
    assert about_head(seen) == (
        "The low-resolution maps cover 62% of the head in T1w from foot to head; the result is 0 elsewhere.",
    )


def test_a_brain_that_ends_by_itself_is_not_cut_off():
    x, y, z = np.meshgrid(*[np.arange(20) - 9.5] * 3, indexing="ij")
    ball = torch.as_tensor(x**2 + y**2 + z**2 < 6.1**2)
    assert about_head(ball) == ()
    ball[:, :, 8:] = False
    with pytest.raises(ValueError, match="from foot to head"):
        about_head(ball)
