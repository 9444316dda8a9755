import numpy as np
import pytest
from nibabel.affines import from_matvec
from scipy.ndimage import center_of_mass, gaussian_filter

from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import Mp2rageUni, SpinEcho
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.observations.coarse_guides import sharpened_guides

HR = VoxelGrid((32, 28, 30), np.eye(4))
T1W, T2W = SpinEcho(echo_time=0.012, repetition_time=0.6), SpinEcho(echo_time=0.09, repetition_time=5.0)


def tissues(seed=0):
    """T1w and T2w image of two tissues with sharp borders, on the HR grid."""
    first = gaussian_filter(np.random.default_rng(seed).standard_normal(HR.shape), 3) > 0
    return np.where(first, 300.0, 200.0), np.where(first, 40.0, 60.0)


def sliced(data, n, axis=2):
    """Averages over slices of `n` voxels along an axis, and their grid."""
    shape = [m // n if i == axis else m for i, m in enumerate(data.shape)]
    split = [*data.shape[:axis], shape[axis], n, *data.shape[axis + 1 :]]
    return data.reshape(split).mean(axis + 1), HR.with_shape(tuple(shape))


def guide(data, grid, name="T2w", sequence=T2W):
    return WeightedImage(data=data, grid=grid, name=name, sequence=sequence)


def sharpened(*guides):
    return drained(sharpened_guides(guides, HR))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_get_the_detail_of_a_finer_guide(axis):
    t1w, t2w = tissues()
    n = 2 if axis < 2 else 3
    coarse, grid = sliced(t2w, n, axis)
    fine, sharp = sharpened(guide(t1w, HR, "T1w", T1W), guide(coarse, grid))
    assert fine.data is t1w
    assert sharp.grid.is_aligned_with(HR)
    left, before = (np.abs(image - t2w).mean() for image in (sharp.data, np.repeat(coarse, n, axis)))
    assert left < 0.2 * before


def test_averages_over_slices_stay_those_that_were_measured():
    t1w, t2w = tissues()
    random = np.random.default_rng(1)
    coarse, grid = sliced(t2w * (1 + 0.1 * gaussian_filter(random.standard_normal(HR.shape), 2)), 3)
    _, sharp = sharpened(guide(t1w, HR, "T1w", T1W), guide(coarse, grid))
    np.testing.assert_allclose(sliced(sharp.data, 3)[0], coarse, rtol=0.02)


def test_a_blob_keeps_its_place_whatever_the_storage_order_and_tilt():
    """The coarse guide is stored with other axes than the HR grid, and the fine one is tilted against it."""
    place = np.stack(np.meshgrid(*map(np.arange, HR.shape), indexing="ij"), -1)
    blob = 1 + np.exp(-((place - (14.0, 13.0, 16.0)) ** 2).sum(-1) / 40)
    coarse, grid = sliced(blob, 3)
    flipped = VoxelGrid((10, 28, 32), grid.affine @ from_matvec([[0, 0, 1], [0, -1, 0], [1, 0, 0]], [0, 27, 0]))
    stored = np.flip(coarse.transpose(2, 1, 0), 1)
    _, sharp = sharpened(guide(blob, HR, "T1w", T1W), guide(stored, flipped))
    centre = sharp.grid.world(np.array(center_of_mass(sharp.data - 1)))
    np.testing.assert_allclose(centre, (14, 13, 16), atol=0.1)


def test_values_stay_where_the_finer_guide_was_not_measured():
    t1w, t2w = tissues()
    coarse, grid = sliced(t2w, 3)
    part = np.where(np.arange(32)[:, None, None] < 16, t1w, np.nan)
    _, sharp = sharpened(guide(part, HR, "T1w", T1W), guide(coarse, grid))
    np.testing.assert_array_equal(sharp.data[20:], np.repeat(coarse, 3, 2)[20:].astype(np.float32))
    elsewhere = VoxelGrid(HR.shape, from_matvec(np.eye(3), [500, 0, 0]))
    _, sharp = sharpened(guide(t1w, elsewhere, "T1w", T1W), guide(coarse, grid))
    np.testing.assert_array_equal(sharp.data, np.repeat(coarse, 3, 2).astype(np.float32))


@pytest.mark.parametrize(
    "guides",
    [
        pytest.param(lambda t1, t2, c, g: (guide(t1, HR, "T1w", T1W), guide(t2, HR)), id="both fine"),
        pytest.param(lambda t1, t2, c, g: (guide(c, g),), id="alone"),
        pytest.param(
            lambda t1, t2, c, g: (guide(t1, HR, "T1w", T1W), guide(t2[:23], HR.with_shape((23, 28, 30)))),
            id="hardly coarser",
        ),
        pytest.param(lambda t1, t2, c, g: (guide(c, g), guide(c, g, "PDw")), id="both coarse"),
        pytest.param(
            lambda t1, t2, c, g: (guide(t1, HR, "UNI", Mp2rageUni.from_typical()), guide(c, g)), id="signed partner"
        ),
    ],
)
def test_other_guides_are_left_alone(guides):
    t1w, t2w = tissues()
    given = guides(t1w, t2w, *sliced(t2w, 3))
    result = sharpened(*given)
    assert all(one is other for one, other in zip(result, given, strict=True))
