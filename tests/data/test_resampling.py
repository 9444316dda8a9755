"""Images on another grid: positions in the world are kept, gaps stay gaps, and fine images are smoothed first."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import blob, centroid
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation
from volume_cases import CODES

from napari_swig_qmri.data.resampling import N_PLANES, interpolated, mostly_seen, on_grid, resampled
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained

OBLIQUE = Rotation.from_euler("xyz", [12, -20, 33], degrees=True).as_matrix()
AXES = {"straight": np.eye(3), "permuted": np.eye(3)[[2, 0, 1]], "mirrored": np.diag([-1, 1, -1]), "oblique": OBLIQUE}


def centred(axes: np.ndarray, shape: tuple[int, int, int], sizes: tuple[float, float, float], shift=0.0) -> VoxelGrid:
    """Grid whose centre lies at `shift` mm along every axis of the world."""
    matrix = axes @ np.diag(sizes)
    return VoxelGrid(shape, from_matvec(matrix, shift - matrix @ ((np.array(shape) - 1) / 2)))


def ramp(grid: VoxelGrid) -> np.ndarray:
    """Image that is linear in the world position."""
    return grid.world(np.moveaxis(np.indices(grid.shape), 0, -1)) @ [1.0, 0.5, -0.25] + 100


DIRECTIONS = dict(
    zip("RLASPI", np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1]]), strict=True)
)
FINE = centred(np.eye(3), (24, 22, 20), (1.0, 1.1, 1.2))


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_positions_in_the_world_are_kept(axes: np.ndarray) -> None:
    target = centred(axes, (9, 8, 7), (1.3, 0.9, 1.1), shift=0.4)
    np.testing.assert_allclose(on_grid(ramp(FINE), FINE, target), ramp(target), atol=1e-10)
    np.testing.assert_allclose(on_grid(ramp(FINE), FINE, target, order=3, mode="nearest"), ramp(target), atol=0.05)
    both = on_grid(np.stack([ramp(FINE), 2 * ramp(FINE)], axis=-1), FINE, target)
    np.testing.assert_allclose(both[..., 1], 2 * both[..., 0])
    np.testing.assert_allclose(on_grid(ramp(FINE), FINE, target, planes=slice(3, 6)), both[3:6, ..., 0])


@pytest.mark.parametrize("axes", [AXES["permuted"], AXES["mirrored"]])
def test_reordered_voxels_keep_their_values(axes: np.ndarray) -> None:
    labels = np.random.default_rng(0).integers(0, 9, FINE.shape)
    sizes = np.abs(np.linalg.inv(axes)) @ FINE.voxel_size
    shape = tuple(np.abs(np.linalg.inv(axes)).astype(int) @ FINE.shape)
    reordered = centred(axes, shape, sizes)
    there = on_grid(labels, FINE, reordered, order=0, decimals=9, mode="grid-constant", cval=-1)
    assert there.dtype == labels.dtype
    np.testing.assert_array_equal(on_grid(there, reordered, FINE, order=0, decimals=9, cval=-1), labels)


def test_beyond_the_image_there_is_no_value_or_the_given_one() -> None:
    shifted = VoxelGrid(FINE.shape, FINE.affine + from_matvec(np.zeros((3, 3)), [10, 0, 0]) - np.diag([0, 0, 0, 1]))
    moved = on_grid(ramp(FINE), FINE, shifted)
    assert np.isnan(moved[14:]).all()
    np.testing.assert_allclose(moved[:14], ramp(FINE)[10:])
    assert (on_grid(ramp(FINE), FINE, shifted, cval=0.0)[14:] == 0).all()


def test_maps_are_extended_beyond_their_edges_and_nan_counts_as_zero() -> None:
    data = np.ones((1, *FINE.shape))
    data[0, 5, 5, 5] = np.nan
    larger = centred(np.eye(3), (30, 22, 20), (1.0, 1.1, 1.2))
    maps = interpolated(QuantitativeMaps(data=data, grid=FINE, names=("T1",)), larger)
    np.testing.assert_allclose(maps["T1"][[0, -1]], 1, atol=1e-5)
    assert maps["T1"][8, 5, 5] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("size", [0.6, 1.0, 2.5])
def test_an_image_of_any_voxel_size_is_resampled_to_its_place(size: float) -> None:
    target, n = centred(np.eye(3), (12, 12, 12), (1, 1, 1)), int(30 / size)
    source = centred(np.eye(3), (n, n, n), (size, size, size), shift=0.3)
    data, seen = drained(resampled(ramp(source), np.ones(source.shape, bool), source, target))
    np.testing.assert_allclose(data, ramp(target), atol=0.03)  # repeated edges make the ramp end 4 voxels away
    assert seen.all()


def test_gaps_and_the_outside_stay_unseen_and_finite() -> None:
    target = centred(np.eye(3), (20, 20, 20), (1.5, 1.5, 1.5))
    data, seen = ramp(FINE), np.ones(FINE.shape, bool)
    seen[8:14], data[8:14] = False, np.nan
    moved, there = drained(resampled(data, seen, FINE, target))
    assert np.isfinite(moved).all()
    inside = np.abs(target.world(np.moveaxis(np.indices(target.shape), 0, -1)))
    assert not there[(inside > np.array([12, 12, 12])).any(axis=-1)].any()
    assert not there[9:11].any()
    np.testing.assert_array_equal(there, drained(mostly_seen(seen, FINE, target)))


def test_the_centre_of_mass_stays_in_its_place_in_every_storage_order_of_a_tilted_image() -> None:
    centre, turn = np.array([1.3, -0.8, 0.7]), Rotation.from_euler("xyz", (4, 3, 6), degrees=True).as_matrix()
    target = centred(np.eye(3), (18, 16, 18), (1.0, 1.1, 0.9))
    for code in CODES:
        axes = turn @ np.stack([DIRECTIONS[letter] for letter in code], axis=1)
        source = centred(axes, (20, 18, 16), (0.9, 1.0, 1.2), shift=0.2)
        moved, _ = drained(resampled(blob(source, centre, 1.5).numpy(), np.ones(source.shape, bool), source, target))
        np.testing.assert_allclose(centroid(torch.as_tensor(moved), target), centre, atol=0.01)


def wave(grid: VoxelGrid, wavelength: float, direction: np.ndarray) -> np.ndarray:
    """Plane wave with a wavelength in mm along a direction of the world."""
    place = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1).astype(float))
    return np.asarray(np.sin(2 * np.pi * place @ direction / wavelength + 0.4))


def inner(image: np.ndarray) -> np.ndarray:
    return image[8:-8, 8:-8, 8:-8]


@pytest.mark.parametrize("size", [1.0, 0.5])
def test_what_the_target_can_hold_is_reproduced_on_a_tilted_grid(size: float) -> None:
    """A wave of 3 mm in voxels of 1 mm, where cubic splines are off by 0.04; finer voxels are not smoothed either."""
    turn = Rotation.from_euler("xyz", (4, 3, 6), degrees=True).as_matrix()
    source, target = centred(turn, (40, 40, 40), (1, 1, 1)), centred(np.eye(3), (30, 30, 30), (size, size, size))
    for direction in np.eye(3):
        image = wave(source, 3.0, direction)
        moved, _ = drained(resampled(image, np.ones(image.shape, bool), source, target))
        assert np.sqrt(np.mean(np.square(inner(moved - wave(target, 3.0, direction))))) < 0.02


def test_coarser_voxels_hold_low_frequencies_and_no_aliases() -> None:
    """On voxels of 2 mm a wave of 6 mm is kept, and one of 2.5 mm is removed instead of becoming one of 10 mm."""
    turn = Rotation.from_euler("xyz", (4, 3, 6), degrees=True).as_matrix()
    source, target = centred(turn, (72, 72, 72), (0.7, 0.7, 0.7)), centred(np.eye(3), (22, 22, 22), (2, 2, 2))
    seen = np.ones(source.shape, bool)
    kept, removed = (drained(resampled(wave(source, w, np.eye(3)[0]), seen, source, target))[0] for w in (6.0, 2.5))
    np.testing.assert_allclose(inner(kept), inner(wave(target, 6.0, np.eye(3)[0])), atol=0.02)
    assert np.abs(inner(removed)).max() < 0.02


def test_the_outermost_voxels_continue_beyond_the_field_of_view_without_counting_as_measured() -> None:
    target = centred(np.eye(3), (40, 22, 20), (1.0, 1.1, 1.2))
    moved, seen = drained(resampled(np.full(FINE.shape, 7.0), np.ones(FINE.shape, bool), FINE, target))
    np.testing.assert_allclose(moved, 7, rtol=1e-5)
    assert seen[8:32].all()
    assert not seen[:8].any()
    assert not seen[32:].any()


@pytest.mark.parametrize(("shift", "n_seen"), [(0.3, 24), (0.8, 24), (0.97, 23)])
def test_with_ends_a_voxel_that_overlaps_the_field_of_view_is_measured_and_has_the_nearest_value(
    shift: float, n_seen: int
) -> None:
    moved_along_x = VoxelGrid(
        FINE.shape, FINE.affine + from_matvec(np.zeros((3, 3)), [shift, 0, 0]) - np.diag([0, 0, 0, 1])
    )
    image = ramp(FINE)
    moved, seen = drained(resampled(image, np.ones(FINE.shape, bool), FINE, moved_along_x, with_ends=True))
    assert seen.any(axis=(1, 2)).sum() == seen.all(axis=(1, 2)).sum() == n_seen
    np.testing.assert_allclose(moved[-1], image[-1], atol=0.1)


def test_voxels_that_coincide_keep_their_values_in_any_storage_order_and_field_of_view() -> None:
    data, seen = np.random.default_rng(0).random(FINE.shape), np.ones(FINE.shape, bool)
    seen[:, 0] = False
    part = FINE.box((3, 0, 2), (15, 25, 9))
    flipped = VoxelGrid(
        (9, 15, 25), part.affine @ np.array([[0, -1, 0, 14], [0, 0, 1, 0], [-1, 0, 0, 8], [0, 0, 0, 1]])
    )
    moved, there = drained(resampled(data, seen, FINE, flipped))
    expected = data[3:18, :, 2:11][::-1, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(moved[..., :22], expected)
    np.testing.assert_array_equal(moved[..., 22:], expected[..., -1:].repeat(3, axis=-1))
    assert there[..., 1:22].all()
    assert not there[..., 0].any()
    assert not there[..., 22:].any()


def test_what_was_cut_away_does_not_ring_into_what_was_measured() -> None:
    data, seen = np.full(FINE.shape, 7.0), np.ones(FINE.shape, bool)
    data[:9], seen[:9] = 0, False
    moved, there = drained(resampled(data, seen, FINE, centred(np.eye(3), (20, 18, 16), (1.0, 1.1, 1.2), shift=0.3)))
    np.testing.assert_allclose(moved[there], 7, rtol=1e-5)
    assert (moved[~there] == 0).all()


def test_aligned_images_are_returned_as_they_are_and_work_is_divided_into_steps() -> None:
    data = ramp(FINE)
    data[3, 3, 3] = np.nan
    same, seen = drained(resampled(data, np.isfinite(data), FINE, FINE))
    np.testing.assert_array_equal(same, np.nan_to_num(data))
    assert not seen[3, 3, 3]
    target = centred(np.eye(3), (2 * N_PLANES + 1, 4, 4), (0.5, 2, 2))
    assert len(list(resampled(data, seen, FINE, target))) >= 6
