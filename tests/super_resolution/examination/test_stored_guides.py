import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

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
    assert found.truncated_axes == tuple(axis for axis in range(3) if STORED[axis] > found.grid.shape[axis])
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


def detail_of_all_sizes():
    """Random image whose amplitude falls off with the square of the frequency, as that of heads does."""
    noise = np.fft.fftn(np.random.default_rng(2).standard_normal(STORED))
    frequencies = np.meshgrid(*[np.fft.fftfreq(n) for n in STORED], indexing="ij")
    field = np.fft.ifftn(noise / (sum(each**2 for each in frequencies) + 0.03**2)).real
    return 150 * np.exp(0.3 * field / field.std())


@pytest.mark.parametrize("degree", [1, 3])
@pytest.mark.parametrize(("axis", "factor"), [(0, 4), (1, 3), (2, 3)])
def test_slices_come_back_that_values_were_interpolated_between(axis, factor, degree):
    whole = np.moveaxis(detail_of_all_sizes(), axis, -1)
    n = whole.shape[-1] // factor
    slices = whole[..., : n * factor].reshape(*whole.shape[:2], n, factor).mean(-1)
    stored = zoom(slices, (1, 1, whole.shape[-1] / n), order=degree, mode="nearest", grid_mode=True)
    grid, maps = VoxelGrid(STORED, np.eye(4)), VoxelGrid((48, 44, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
    images = [guide(detail_of_all_sizes(), grid, "T1w"), guide(np.moveaxis(stored, -1, axis), grid)]
    (_, found), notices = guides_at_measured_resolution(images, maps)
    ratios = np.array(found.grid.voxel_size)
    assert ratios[axis] == pytest.approx(factor, rel=0.3)
    assert np.delete(ratios, axis).tolist() == [1, 1]
    read = np.moveaxis(found.data, axis, -1)
    expected = zoom(slices, (1, 1, read.shape[-1] / n), order=3, mode="nearest", grid_mode=True)
    assert np.abs(read - expected).mean() < 0.1 * slices.std()
    assert len(notices) == 1
    assert "T2w is stored with voxels of 1 × 1 × 1 mm, but was measured with" in notices[0]


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
