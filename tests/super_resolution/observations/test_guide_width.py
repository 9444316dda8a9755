import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.blur import gaussian_blur
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.super_resolution.observations.guide_width import fitted_width

SHAPE = (30, 32, 28)
GRID = VoxelGrid(SHAPE, np.eye(4))
EVERYWHERE = np.ones(SHAPE, bool)


def scene():
    """Blobs with edges, as anatomy has."""
    field = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 1.5)
    return 1 + 0.5 * (field > 0)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("lr_noise", [0.0, 0.1])
def test_width_is_found_and_noise_is_no_blur(axis, lr_noise):
    expected = scene()
    noisy = expected + lr_noise * np.random.default_rng(1).standard_normal(SHAPE)
    assert abs(fitted_width(noisy, expected, EVERYWHERE, axis).fwhm) < 0.3
    widths = [0.0, 0.0, 0.0]
    widths[axis] = 1.25
    blurred = gaussian_blur(GRID, widths, torch.float64)(torch.as_tensor(expected)).numpy()
    found = fitted_width(noisy, blurred, EVERYWHERE, axis)
    assert found.fwhm == pytest.approx(1.25, rel=0.15)
    assert found.gain > 0
