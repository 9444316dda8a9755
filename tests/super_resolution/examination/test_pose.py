"""Poses of guides whose head was moved by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination import pose_fit
from napari_swig_qmri.super_resolution.examination.pose import found_poses, moved_guides, unmoved
from napari_swig_qmri.super_resolution.preparation.problem import prepare


def poses(images, maps):
    problem = drained(prepare(maps, images, images[0].grid))
    return drained(found_poses(problem, images))


def moved_image(image, affine):
    """The image after the head was moved by the inverse of `affine`, in mm."""
    between = np.linalg.inv(image.grid.affine) @ affine @ image.grid.affine
    data = affine_transform(image.data, between[:3, :3], between[:3, 3], order=5, mode="nearest")
    return replace(image, data=data.astype(np.float32))


def motion(shift, degrees, centre):
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.3, 0.2, 0.93]))
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix()
    affine[:3, 3] = centre + shift - turn.apply(centre)
    return affine


def test_guides_in_place_are_left_exactly_alone():
    maps, images = degraded(slab().maps)
    found = poses(images, maps)
    assert not any(pose.is_corrected for pose in found)
    assert all(np.array_equal(pose.affine, np.eye(4)) for pose in found)
    assert all(a is b for a, b in zip(moved_guides(images, found), images, strict=True))
    assert unmoved().to_json() == {"shift_mm": [0.0] * 3, "rotation_deg": 0.0, "affine": np.eye(4).tolist()}


@pytest.mark.parametrize("sign", [1, -1])
def test_known_moves_are_found_with_their_sign(sign):
    maps, images = degraded(slab().maps)
    true = motion(sign * np.array([1.6, 1.2, 0.0]), sign * 1.0, images[1].grid.centre)
    shading = np.linspace(0.8, 1.2, images[1].grid.shape[0])[:, None, None]
    turned = moved_image(images[1], true)
    first, second = poses([images[0], replace(turned, data=3 * shading * turned.data)], maps)
    assert not first.is_corrected
    points = images[1].grid.world(np.argwhere(slab().maps["PD"] > 0.5))
    error = apply_affine(second.affine, points) - apply_affine(true, points)
    assert np.sqrt((error**2).sum(axis=1).mean()) < 0.3  # a tenth of a voxel of 3 mm
    assert abs(second.degrees - 1.0) < 0.3
    assert np.dot(second.shift, sign * np.array([0.8, 0.6, 0.0])) > 1.5


def test_looking_at_few_voxels_first_finds_the_same_pose(monkeypatch):
    maps, images = degraded(slab().maps)
    turned = [images[0], moved_image(images[1], motion(np.array([1.6, 1.2, 0.0]), 1.0, images[1].grid.centre))]
    _, all_at_once = poses(turned, maps)
    monkeypatch.setattr(pose_fit, "PROBED", 100)
    first, second = poses(turned, maps)
    assert not first.is_corrected
    np.testing.assert_array_equal(second.affine, all_at_once.affine)


def test_small_and_flat_images_are_left_alone():
    maps, images = degraded(slab().maps)
    flat = replace(images[1], data=np.ones_like(images[1].data))
    assert not poses([images[0], flat], maps)[1].is_corrected
    small = replace(maps, data=maps.data[:, 8:16, 8:16, 2:10], grid=maps.grid.box((8, 8, 2), (8, 8, 8)))
    assert not any(pose.is_corrected for pose in poses(images, small))
