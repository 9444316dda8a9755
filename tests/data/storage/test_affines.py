"""Affines of headers that are incomplete, or say two things."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from volume_cases import AFFINE, CODES, rotation, stored_as

from napari_swig_qmri.data.storage.affines import affine_of

SHAPE = (256, 300, 200)
LEFT_HANDED = np.diag([-1.0, 1.0, 1.0, 1.0])


def image(sform: np.ndarray | None, qform: np.ndarray | None = None, shape: tuple[int, ...] = SHAPE) -> nib.Nifti1Image:
    """An image whose header holds these affines as they are, zeros and NaN included."""
    made = nib.Nifti1Image(np.broadcast_to(np.uint8(0), shape), None)
    made.set_qform(qform, 0 if qform is None else 1)
    if sform is not None:
        for name, row in zip(("srow_x", "srow_y", "srow_z"), sform, strict=False):
            made.header[name] = row
        made.header["sform_code"] = 1
    return made


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gap", [0.0, np.nan])
@pytest.mark.parametrize("affine", [AFFINE, LEFT_HANDED @ AFFINE, rotation((5, -3, 20)) @ AFFINE])
def test_a_slice_without_a_normal_keeps_its_place(axis: int, gap: float, affine: np.ndarray) -> None:
    sform = affine.copy()
    sform[:3, axis] = gap
    shape = tuple(1 if each == axis else 9 for each in range(3))
    made = image(sform, shape=shape)
    made.header["pixdim"][1 + axis] = np.linalg.norm(affine[:3, axis])
    found, notices = affine_of(made)
    others = [each for each in range(4) if each != axis]
    np.testing.assert_allclose(found[:, others], affine[:, others], rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(found[:3, axis] @ affine[:3, axis]), affine[:3, axis] @ affine[:3, axis], rtol=1e-6
    )
    assert f"the {('first', 'second', 'third')[axis]} axis no direction" in notices[0]


def test_a_plane_without_a_thickness_has_one_of_a_millimetre() -> None:
    sform = rotation((0, 0, 30)) @ AFFINE
    sform[:3, 2] = 0
    made = image(sform, shape=(5, 6))
    made.header["pixdim"][3] = 0
    found, notices = affine_of(made)
    np.testing.assert_allclose(found[:3, 2], (0, 0, 1), atol=1e-6)
    np.testing.assert_allclose(found[:, [0, 1, 3]], sform[:, [0, 1, 3]], rtol=1e-6)
    assert "1 mm per voxel" in notices[0]


@pytest.mark.parametrize("damage", [(0, 3, np.nan), (1, 1, np.inf), (slice(0, 3), slice(0, 2), 0.0)])
def test_the_qform_replaces_an_sform_that_gives_no_place(damage: tuple) -> None:
    sform = AFFINE.copy()
    sform[damage[0], damage[1]] = damage[2]
    if damage[1] == 1:
        sform[:3, 2] = 0  # a second axis
    found, notices = affine_of(image(sform, AFFINE))
    np.testing.assert_allclose(found, AFFINE, atol=1e-5)
    assert notices == ("The sform of the header gives no place, so that the qform was taken.",)


@pytest.mark.parametrize("tilt", [(0, 0, 0), (0.02, 0, 0), (3, -2, 1), (15, 10, -170)])
def test_rounding_is_no_disagreement(tilt: tuple[float, float, float]) -> None:
    for code in CODES:
        affine = rotation(tilt) @ stored_as(code).affine
        assert affine_of(image(affine.astype(np.float32), affine))[1] == ()


@pytest.mark.parametrize(("shift", "turn", "mm"), [(0.5, 0.0, "0.5"), (4.3, 0.0, "4.3"), (0.0, 1.0, "11.9")])
def test_sform_and_qform_that_disagree_are_told(shift: float, turn: float, mm: str) -> None:
    moved = rotation((0, 0, turn)) @ AFFINE
    moved[1, 3] += shift
    found, notices = affine_of(image(moved, AFFINE))
    np.testing.assert_allclose(found, moved, rtol=1e-6)
    assert notices == (f"sform and qform of the header lie up to {mm} mm apart: the sform was taken.",)


@pytest.mark.parametrize("size", [1e303, 3e7, 1e-9])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_of_no_possible_size_have_no_place(axis: int, size: float) -> None:
    sform = AFFINE.copy()
    sform[axis, axis] = size
    made = nib.Nifti2Image(np.zeros((5, 6, 7), np.uint8), None)
    made.set_sform(sform, 1)
    made.header["pixdim"][1:4] = np.linalg.norm(AFFINE[:3, :3], axis=0)
    made.header["pixdim"][1 + axis] = size
    found, notices = affine_of(made)
    sizes = np.linalg.norm(AFFINE[:3, :3], axis=0)
    sizes[axis] = 1
    np.testing.assert_allclose(np.linalg.norm(found[:3, :3], axis=0), sizes)
    assert "position" in notices[-1] or "no direction" in notices[-1]


def test_an_image_far_from_the_origin_has_no_place() -> None:
    sform = AFFINE.copy()
    sform[1, 3] = 1e12
    assert "position" in affine_of(image(sform))[1][-1]
