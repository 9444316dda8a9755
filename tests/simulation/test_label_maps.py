"""Label maps as tissues, and random crops."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.simulation.label_maps import (
    BRAINWEB_LABELS,
    FREESURFER_LABELS,
    LABELLED_TISSUES,
    Anatomy,
    anatomy_of,
    crop_of_maps,
    labels_of,
    random_crop,
)

GRID = VoxelGrid((2, 2, 2), np.eye(4))


@pytest.mark.parametrize(
    ("scheme", "labels", "expected"),
    [
        (BRAINWEB_LABELS, (0, 1, 2, 3, 4, 5, 7, 99), ("", "csf", "grey", "white", "fat", "muscle", "bone", "")),
        (
            FREESURFER_LABELS,
            (0, 2, 41, 3, 43, 10, 24, 17),
            ("", "white", "white", "grey", "csf", "deep grey", "csf", "grey"),
        ),
    ],
)
def test_labels_become_tissues(scheme: dict[int, str], labels: tuple[int, ...], expected: tuple[str, ...]) -> None:
    anatomy = anatomy_of(np.array(labels).reshape(2, 2, 2), GRID, scheme)
    assert tuple(LABELLED_TISSUES[label - 1] if label else "" for label in anatomy.labels.ravel()) == expected


def test_labels_of_another_scheme_are_refused() -> None:
    with pytest.raises(ValueError, match="has no label of the scheme"):
        anatomy_of(np.full((2, 2, 2), 77), GRID, BRAINWEB_LABELS)


def test_the_brain_mask_has_the_voxels_that_are_mostly_brain(layered_anatomy: Anatomy) -> None:
    (white, fat) = labels_of(("white", "fat"))
    labels = np.zeros((4, 2, 2), np.uint8)
    labels[0] = labels[1, 0] = labels[3, 0] = white
    labels[3, 1] = fat
    mask = Anatomy(labels, VoxelGrid((4, 2, 2), np.eye(4))).brain_mask
    assert mask.ravel().tolist() == [True, False]
    assert layered_anatomy.brain_mask.shape == (24, 20, 16)


def test_a_crop_keeps_its_position_in_the_world(layered_anatomy: Anatomy) -> None:
    part = layered_anatomy.crop((3, 4, 5), (8, 6, 4))
    np.testing.assert_array_equal(part.labels, layered_anatomy.labels[6:22, 8:20, 10:18])
    np.testing.assert_allclose(part.grid.world(np.zeros(3)), layered_anatomy.grid.world(np.array([6, 8, 10])))


def test_random_crops_lie_inside_and_hold_brain(layered_anatomy: Anatomy) -> None:
    part = random_crop(layered_anatomy, 12, 0)
    assert part.labels.shape == (24, 24, 24)
    assert np.array_equal(part.labels, random_crop(layered_anatomy, 12, 0).labels)
    assert part.is_brain.mean() > 0.3
    assert random_crop(layered_anatomy, 100, 0).labels.shape == layered_anatomy.labels.shape


def test_random_crops_of_maps_keep_their_position_and_hold_tissue() -> None:
    grid = VoxelGrid((40, 32, 24), np.diag([2.0, 1.0, 1.0, 1.0]))
    pd = np.zeros(grid.shape, np.float32)
    pd[20:] = np.linspace(0.7, 0.9, 20)[:, None, None]
    maps = QuantitativeMaps(data=np.stack([pd, 1 + pd, pd / 10]), grid=grid)
    crop = crop_of_maps(maps, 16, 1)
    assert crop.grid.shape == (16, 16, 16)
    assert (crop.data[0] > 0).mean() > 0.3
    corner = np.round(np.linalg.inv(grid.affine) @ crop.grid.affine[:, 3])[:3].astype(int)
    x, y, z = (slice(first, first + 16) for first in corner)
    np.testing.assert_array_equal(crop.data, maps.data[:, x, y, z])


def test_a_crop_without_tissue_is_taken_in_the_end() -> None:
    maps = QuantitativeMaps(data=np.zeros((3, 12, 12, 12)), grid=VoxelGrid((12, 12, 12), np.eye(4)))
    assert crop_of_maps(maps, 8, 0).grid.shape == (8, 8, 8)
