"""Maps whose header is off by a part of a voxel are told from guides that moved together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab

from napari_swig_qmri import Options, plan
from napari_swig_qmri.super_resolution.examination.header_shift import header_shift, with_shifted_header
from napari_swig_qmri.super_resolution.examination.pose import Pose

SHIFT = np.array([1.5, -1.5, 1.5])


def pose(shift):
    affine = np.eye(4)
    affine[:3, 3] = shift
    return Pose(affine, np.asarray(shift))


def test_maps_that_end_where_the_guides_end_but_for_their_shift_have_a_wrong_header():
    maps, images = degraded(slab().maps)
    found = header_shift(with_shifted_header(maps, SHIFT), images, [pose(SHIFT + 0.1), pose(SHIFT - 0.1)])
    np.testing.assert_allclose(found, -SHIFT, atol=1e-6)


@pytest.mark.parametrize(
    ("of_maps", "moves"),
    [
        ([0, 0, 0], [SHIFT, SHIFT]),  # the fields of view agree: the head moved
        (SHIFT, [1.6 * SHIFT, 0.4 * SHIFT]),  # the guides moved differently
        (SHIFT, [SHIFT, [0, 0, 0]]),  # one did not move
        (SHIFT, [2 * SHIFT, 2 * SHIFT]),  # moved back by this, the maps end elsewhere
    ],
)
def test_other_moves_are_those_of_heads(of_maps, moves):
    maps, images = degraded(slab().maps)
    assert header_shift(with_shifted_header(maps, np.asarray(of_maps)), images, [pose(move) for move in moves]) is None


def test_maps_of_a_smaller_field_of_view_and_runs_without_poses_are_left_alone():
    maps, images = degraded(slab().maps)
    shape = (maps.grid.shape[0], maps.grid.shape[1], maps.grid.shape[2] - 2)
    cut = replace(maps, data=maps.data[..., :-2], grid=maps.grid.box((0, 0, 0), shape))
    assert header_shift(with_shifted_header(cut, SHIFT), images, [pose(SHIFT)] * 2) is None
    assert header_shift(maps, images, None) is None
    assert header_shift(maps, (), ()) is None


def test_a_plan_moves_the_maps_back_and_says_so():
    maps, images = degraded(slab().maps)
    planned = plan(with_shifted_header(maps, SHIFT), images[:2], Options(method="regression"))
    np.testing.assert_allclose(planned.maps.grid.affine, maps.grid.affine, atol=1e-6)
    assert not any(each.is_corrected for each in planned.poses)
    assert sum("header of the maps" in notice for notice in planned.notices) == 1
    planned = plan(with_shifted_header(maps, SHIFT), images[:2], Options(method="regression", pose=False))
    np.testing.assert_allclose(planned.maps.grid.affine[:3, 3], maps.grid.affine[:3, 3] + SHIFT, atol=1e-6)
