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


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: anatomy(), id="measured as stored"),
        pytest.param(lambda: anatomy() * HEAD, id="stripped"),
        pytest.param(lambda: np.stack([zoom(each[::2, ::2, ::2], 2, order=1) for each in anatomy()]), id="linear"),
        pytest.param(lambda: np.stack([zoom(each[::2, ::2, ::2], 2, order=3) for each in anatomy()]), id="cubic"),
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
