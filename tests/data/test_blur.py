import numpy as np
import pytest
import torch

from napari_swig_qmri.data.blur import gaussian_blur
from napari_swig_qmri.data.volumes import VoxelGrid

GRID = VoxelGrid((24, 17, 20), np.diag([1.0, 0.5, 2.0, 1.0]))


@pytest.fixture
def blur():
    return gaussian_blur(GRID, (2.0, 1.5, 5.0), torch.float64)


def test_adjoint_and_constants(blur):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn((2, *GRID.shape), generator=generator, dtype=torch.float64)
    torch.testing.assert_close((blur(x) * y).sum(), (x * blur.adjoint(y)).sum())
    torch.testing.assert_close(blur(torch.ones_like(x)), torch.ones_like(x))


def test_a_point_keeps_its_place_and_gets_the_width(blur):
    point = torch.zeros(GRID.shape, dtype=torch.float64)
    point[12, 8, 10] = 1
    image = blur(point)
    assert float(image.sum()) == pytest.approx(1)
    for axis, (place, fwhm) in enumerate(zip((12, 8, 10), (2.0, 1.5, 5.0), strict=True)):
        profile = image.sum([each for each in range(3) if each != axis])
        offset = (torch.arange(len(profile)) - place) * GRID.voxel_size[axis]
        assert float((profile * offset).sum()) == pytest.approx(0, abs=0.02)
        assert float((profile * offset**2).sum().sqrt()) * 2.3548 == pytest.approx(fwhm, rel=0.05)


def test_no_width_is_no_blur():
    image = torch.rand(GRID.shape, dtype=torch.float64)
    torch.testing.assert_close(gaussian_blur(GRID, (0, 0, 0), torch.float64)(image), image)
