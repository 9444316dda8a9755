import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.truncation import truncation_matrix
from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.examination.stored_guides import guides_at_measured_resolution

STORED = (96, 88, 40)
GRID = VoxelGrid(STORED, np.diag([0.5, 0.5, 1.0, 1.0]))
T2W = SpinEcho(echo_time=0.09, repetition_time=5.0)
FINE_MAPS, COARSE_MAPS = VoxelGrid((24, 22, 20), np.diag([2.0, 2.0, 2.0, 1.0])), VoxelGrid((48, 44, 40), np.eye(4))


def anatomy():
    """Regions with sharp borders and texture in a head, with air around it."""
    random = np.random.default_rng(0)
    place = [(np.arange(n) - n / 2 + 0.5) / (0.42 * n) for n in STORED]
    head = sum(each**2 for each in np.meshgrid(*place, indexing="ij")) < 1
    regions = np.digitize(gaussian_filter(random.standard_normal(STORED), 2), (-0.03, 0.03))
    texture = 1 + 0.1 * gaussian_filter(random.standard_normal(STORED), 1)
    return np.array([100.0, 150.0, 260.0])[regions] * texture * head


def measured(shape, noise=0.0):
    """Image of another resolution, and the same zero-filled, with noise before or afterwards, as magnitudes."""
    low = stored = anatomy()
    for axis, (n, m) in enumerate(zip(STORED, shape, strict=True)):
        matrix = truncation_matrix(n, m)
        low = np.moveaxis(np.tensordot(matrix, low, axes=(1, axis)), 0, axis)
        stored = np.moveaxis(np.tensordot(matrix.T @ matrix * n / m, stored, axes=(1, axis)), 0, axis)
    return np.abs(low), np.abs(stored + noise * np.random.default_rng(1).standard_normal(STORED))


def guide(data, grid=GRID, name="T2w"):
    return WeightedImage(data=data.astype(np.float32), grid=grid, name=name, sequence=T2W)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_zero_filled_guides_come_back(noise):
    low, stored = measured((48, 44, 40), noise)
    (found,), notices = guides_at_measured_resolution([guide(stored)], FINE_MAPS)
    assert found.grid.shape == (48, 44, 40)
    np.testing.assert_allclose(found.grid.affine, GRID.with_shape((48, 44, 40)).affine)
    assert np.abs(found.data - low).mean() < 0.03 * low.std()
    assert len(notices) == 1
    assert "measured with 1 × 1 × 1 mm" in notices[0]


def test_a_guide_as_coarse_as_the_maps_comes_back_only_beside_a_finer_one():
    _, stored = measured((48, 44, 40))
    alone, _ = guides_at_measured_resolution([guide(stored)], COARSE_MAPS)
    beside, _ = guides_at_measured_resolution([guide(anatomy(), name="T1w"), guide(stored)], COARSE_MAPS)
    assert [each.grid.shape for each in alone] == [STORED]
    assert [each.grid.shape for each in beside] == [STORED, (48, 44, 40)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(anatomy, id="measured as stored"),
        pytest.param(lambda: anatomy() + np.random.default_rng(2).normal(0, 5, STORED), id="noisy"),
        pytest.param(lambda: gaussian_filter(anatomy(), 1.2), id="smooth"),
        pytest.param(lambda: np.ones(STORED), id="constant"),
        pytest.param(lambda: np.zeros(STORED), id="empty"),
        pytest.param(lambda: np.where(anatomy() > 0, anatomy(), np.nan), id="not a number outside"),
    ],
)
def test_other_guides_are_left_alone(data):
    given = guide(data())
    found, notices = guides_at_measured_resolution([given], FINE_MAPS)
    assert found[0] is given
    assert notices == ()
