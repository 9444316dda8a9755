from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift, zoom

from napari_swig_qmri.data.truncation import truncation_matrix
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.super_resolution.observations.stored_resolution import at_measured_resolution

STORED = (72, 64, 48)
RATIOS = [(2, 2, 2), (1.5, 4 / 3, 1.5), (2, 2, 1), (1, 1, 3)]
HEAD = sum(((np.arange(n) - n / 2) / (0.42 * n)).reshape([-1 if i == j else 1 for j in range(3)]) ** 2
           for i, n in enumerate(STORED)) < 1  # fmt: skip


def anatomy(seed=0):
    """PD, T1 and T2 with regions of sharp edges and texture, on the stored voxels."""
    random = np.random.default_rng(seed)
    regions = np.digitize(gaussian_filter(random.standard_normal(STORED), 3), (-0.02, 0.02))
    texture = 1 + 0.2 * gaussian_filter(random.standard_normal((3, *STORED)), (0, 1, 1, 1))
    tissues = np.array([[0.7, 0.8, 1.0], [0.9, 1.4, 3.9], [0.07, 0.09, 1.2]])
    return tissues[:, regions] * texture


def along_each_axis(data, matrices):
    for axis, matrix in enumerate(matrices, start=1):
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return data


def measured(shape):
    """Maps of another resolution with the field of view of `anatomy`, and the same zero-filled to its voxels."""
    down = [truncation_matrix(n, m) for n, m in zip(STORED, shape, strict=True)]
    low = along_each_axis(anatomy(), down)
    up = [matrix.T * n / m for matrix, n, m in zip(down, STORED, shape, strict=True)]
    return low, along_each_axis(low, up)


def maps_of(data, size=(1.0, 1.0, 1.0)):
    return QuantitativeMaps(data=data, grid=VoxelGrid(data.shape[1:], np.diag([*size, 1.0])))


@pytest.mark.parametrize("ratio", RATIOS)
def test_zero_filled_maps_come_back(ratio):
    shape = tuple(round(n / r) for n, r in zip(STORED, ratio, strict=True))
    low, stored = measured(shape)
    found, notices = at_measured_resolution(maps_of(stored))
    assert found.grid.shape == shape
    np.testing.assert_allclose(found.grid.affine, VoxelGrid(STORED, np.eye(4)).with_shape(shape).affine, atol=1e-9)
    np.testing.assert_allclose(found.data, low, atol=0.002 * low.max())
    assert len(notices) == 1
    assert "stored with voxels of 1 × 1 × 1 mm" in notices[0]


@pytest.mark.parametrize(
    ("kind", "ratio"),
    [*product(["stripped", "cropped"], RATIOS), ("not a number outside", (2, 2, 2)), ("moved", (2, 2, 2))],
)
def test_the_limit_is_found_behind_edges_of_head_and_field_of_view(kind, ratio):
    shape = tuple(round(n / r) for n, r in zip(STORED, ratio, strict=True))
    _, stored = measured(shape)
    changed = {
        "stripped": lambda: stored * HEAD,
        "not a number outside": lambda: np.where(HEAD, stored, np.nan),
        "cropped": lambda: stored[:, 3:-4, 2:-5, 3:-2],
        "moved": lambda: np.stack([shift(each, (0.3, 0.4, 0.2), order=3, mode="grid-wrap") for each in stored]),
    }[kind]()
    found, _ = at_measured_resolution(maps_of(changed))
    np.testing.assert_allclose(found.grid.voxel_size, ratio, rtol=0.02)


CHANGES = {
    "in ms": lambda data: np.round(data, 3),
    "stripped": lambda data: np.where(HEAD, data, 0),
    "cropped": lambda data: data[:, 3:-4, 2:-5, 3:-2],
}
INTERPOLATED = [(1, (2, 2, 2)), (3, (2, 2, 2)), (1, (1, 1, 3)), (3, (1.5, 4 / 3, 1.5))]  # degree of splines, ratio


def interpolated(low, shape, order, aligned):
    """Maps on `shape` voxels by splines, with edges of the field of view aligned, or the centres of its end voxels."""
    factors = np.divide(shape, low.shape[1:])
    return np.stack([zoom(each, factors, order=order, grid_mode=aligned == "edges", mode="nearest") for each in low])


@pytest.mark.parametrize(
    ("order", "ratio", "change"),
    [
        *((*each, "in ms") for each in INTERPOLATED),
        *((*each, "stripped") for each in INTERPOLATED[:2]),
        *((*each, "cropped") for each in INTERPOLATED[2:]),
    ],
)
def test_interpolated_maps_come_back(order, ratio, change):
    shape = tuple(round(n / r) for n, r in zip(STORED, ratio, strict=True))
    low, _ = measured(shape)
    found, notices = at_measured_resolution(maps_of(CHANGES[change](interpolated(low, STORED, order, "edges"))))
    np.testing.assert_allclose(found.grid.voxel_size, ratio, rtol=1e-6)
    assert "interpolated" in notices[0]
    if change != "cropped":
        inside = (found.data != 0).all(axis=0)
        assert found.grid.shape == shape
        assert np.abs(found.data - low)[:, inside].mean() < 0.01 * low.std()


@pytest.mark.parametrize(("order", "ratio"), INTERPOLATED[1:3])
def test_maps_interpolated_between_their_end_voxels_come_back(order, ratio):
    shape = tuple(round(n / r) for n, r in zip(STORED, ratio, strict=True))
    low, _ = measured(shape)
    found, _ = at_measured_resolution(maps_of(interpolated(low, STORED, order, "centres")))
    np.testing.assert_allclose(found.grid.voxel_size, np.divide(np.array(STORED) - 1, np.array(shape) - 1))
    np.testing.assert_allclose(found.grid.centre, VoxelGrid(STORED, np.eye(4)).centre, atol=1e-9)
    np.testing.assert_allclose(found.data, low, atol=1e-6)


def test_interpolation_and_zero_filling_are_both_undone():
    low, stored = measured((36, 32, 48))
    stored = interpolated(stored[..., ::2], STORED, 1, "edges")
    found, notices = at_measured_resolution(maps_of(stored))
    np.testing.assert_allclose(found.data, low[..., ::2], atol=0.002 * low.max())
    assert "interpolated linearly and their spectrum ends there" in notices[0]


def test_a_map_without_a_value_takes_none_from_the_others():
    _, stored = measured(tuple(n // 2 for n in STORED))
    stored = np.where(HEAD, stored, 0)
    stored[2, 30:40, 28:36, 20:30] = 0  # a fit that failed
    found, _ = at_measured_resolution(maps_of(stored))
    hole = (slice(16, 19), slice(15, 17), slice(11, 14))
    assert (found.data[2][hole] == 0).all()
    assert (found.data[:2][(slice(None), *hole)] > 0).all()


def test_maps_of_a_head_alone_keep_their_values_and_places():
    low, stored = measured(tuple(n // 2 for n in STORED))
    found, _ = at_measured_resolution(maps_of(np.where(HEAD, stored, np.nan)))
    inside = np.isfinite(found.data).all(axis=0)
    assert inside.sum() == pytest.approx(HEAD.sum() / 8, rel=0.05)
    error = (found.data - low)[:, inside]
    assert np.abs(error).mean() < 0.02 * low.std()


def linear(data):
    """Every second voxel of maps, and values between them."""
    return interpolated(data[:, ::2, ::2, ::2], STORED, 1, "edges")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: anatomy(), id="measured as stored"),
        pytest.param(lambda: anatomy() * HEAD, id="stripped"),
        pytest.param(lambda: np.round(gaussian_filter(anatomy(), (0, 2, 2, 2)), 2), id="smooth and rounded"),
        pytest.param(
            lambda: np.stack([anatomy()[0], *(zoom(each[::2, ::2, ::2], 2, order=1) for each in anatomy()[1:])]),
            id="one map",
        ),
        pytest.param(lambda: np.clip(np.indices(STORED, dtype=float) / 20, 0.5, 1.2), id="ramps"),
        pytest.param(lambda: gaussian_filter(anatomy(), (0, 1, 1, 1)), id="smooth"),
        pytest.param(lambda: gaussian_filter(anatomy(), (0, 4, 4, 4))[:, ::2, ::2, ::2], id="smooth and coarse"),
        pytest.param(lambda: np.ones((3, *STORED)), id="constant"),
        pytest.param(lambda: anatomy()[:, :12, :12, :8], id="small"),
        pytest.param(lambda: np.zeros((3, *STORED)), id="empty"),
    ],
)
def test_other_maps_are_left_alone(data):
    given = maps_of(data())
    found, notices = at_measured_resolution(given)
    assert found is given
    assert notices == ()
