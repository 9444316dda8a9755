"""SSIM, HFEN and NRMSE against values worked out by hand."""

import numpy as np
import pytest

from napari_swig_qmri.metrics import hfen, nrmse, ssim

SHAPE = (24, 22, 20)
EVERYWHERE = np.ones(SHAPE, bool)


def test_similarity_of_two_constants_is_the_luminance_term():
    # SSIM of constants a and b: (2ab + C1) / (a^2 + b^2 + C1), C1 = (0.01 L)^2
    a, b, data_range = 0.4, 0.6, 1.2
    expected = (2 * a * b + 0.012**2) / (a**2 + b**2 + 0.012**2)
    image, reference = np.full(SHAPE, a), np.full(SHAPE, b)
    assert ssim(image, reference, EVERYWHERE, data_range) == pytest.approx(expected)


def test_hfen_of_a_point_follows_the_laplacian_of_a_gaussian():
    """Reference a point, image the point moved by one voxel: both norms from the sampled kernel itself."""
    offset = np.arange(-7, 8)
    gauss = np.exp(-(offset**2) / (2 * 1.5**2))
    gauss /= gauss.sum()
    second = (offset**2 / 1.5**4 - 1 / 1.5**2) * gauss
    kernel = np.zeros((15, 16))
    kernel[:, :15] = np.outer(second, gauss) + np.outer(gauss, second)
    expected = np.linalg.norm(np.roll(kernel, 1, axis=1) - kernel) / np.linalg.norm(kernel)
    reference, image = np.zeros((31, 31, 1)), np.zeros((31, 31, 1))
    reference[15, 15], image[15, 16] = 1, 1
    measured = hfen(image, reference, np.ones(image.shape, bool), 1.0)
    assert measured == pytest.approx(expected, rel=1e-3)  # scipy samples the same kernel, its sum set to zero


def test_nrmse_by_hand():
    image, reference = np.array([[[1.0, 2.0, 9.0]]]), np.array([[[1.0, 4.0, 5.0]]])
    mask = np.array([[[True, True, False]]])
    assert nrmse(image, reference, mask, 10.0) == pytest.approx(2 / 17**0.5)
    assert nrmse(image, reference, ~mask, 5.0) == 0  # both clipped to 5


def test_what_cannot_be_scored_is_refused():
    ones = np.ones((5, 9, 1))
    with pytest.raises(ValueError, match="mask is empty"):
        ssim(ones, ones, np.zeros(ones.shape, bool), 1.0)
    with pytest.raises(ValueError, match="at least 7 x 7"):
        ssim(ones, ones, np.ones(ones.shape, bool), 1.0)
