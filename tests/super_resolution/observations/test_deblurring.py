import numpy as np
import torch

from napari_swig_qmri.data.blur import gaussian_blur
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.observations.deblurring import deblurred

GRID = VoxelGrid((24, 24, 24), np.eye(4))


def test_edges_come_back_and_sharp_images_stay_as_they_are():
    first = torch.ones(GRID.shape)
    first[8:16, 6:17, 7:18] = 1.5
    truth = torch.stack([first, 2.5 - first])
    blur = gaussian_blur(GRID, (2.0,) * 3)
    noise = 0.01 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    images = torch.stack([truth[0], blur(truth[1])]) + noise
    sharp = drained(deblurred(images, {1: blur}, torch.tensor([0.01, 0.01])))
    torch.testing.assert_close(sharp[0], images[0])
    assert (sharp[1] - truth[1]).square().mean() < 0.1 * (images[1] - truth[1]).square().mean()
