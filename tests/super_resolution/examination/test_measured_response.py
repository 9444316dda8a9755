from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab

from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

POSTERIOR = Options(method="posterior")


def planned(change=lambda data: data, options=POSTERIOR):
    maps, guides = degraded(slab().maps, 2, map_noise=0.01, guide_noise=0.01)
    return plan(replace(maps, data=change(maps.data)), guides, options)


def windowed(data, axis):
    """Hamming window of k-space along an axis."""
    shape = [-1 if each == axis + 1 else 1 for each in range(4)]
    weights = 0.54 + 0.46 * np.cos(2 * np.pi * np.fft.fftfreq(data.shape[axis + 1])).reshape(shape)
    return np.fft.ifft(np.fft.fft(data, axis=axis + 1) * weights, axis=axis + 1).real.astype(np.float32)


def test_truncated_maps_are_compared_with_truncation():
    found, taken = planned(), planned(options=replace(POSTERIOR, resolution=False))
    for matrix, other in zip(found.problem.truncate.matrices, taken.problem.truncate.matrices, strict=True):
        np.testing.assert_array_equal(matrix, other)
    assert found.notices == taken.notices


@pytest.mark.parametrize("axis", [0, 1])
def test_windowed_maps_are_compared_with_windowed_ones(axis):
    plain, found = planned(options=replace(POSTERIOR, resolution=False)), planned(lambda data: windowed(data, axis))
    assert any("not only truncated" in notice for notice in found.notices)
    for other in range(3):
        matrix, truncation = found.problem.truncate.matrices[other], plain.problem.truncate.matrices[other]
        if other != axis:
            np.testing.assert_array_equal(matrix, truncation)
        else:
            expected = windowed(truncation.numpy().T[None, :, :, None], 1)[0, :, :, 0].T
            np.testing.assert_allclose(matrix, expected, atol=0.05)
    guides = found.problem.truncate(found.problem.guides)
    np.testing.assert_allclose(found.problem.lr_guides, guides, rtol=1e-5)


def test_the_regression_sees_windowed_maps_sharpened():
    plain, found = planned(options=replace(POSTERIOR, resolution=False)), planned(lambda data: windowed(data, 0))
    assert plain.problem.sharpen is None
    problem, tissue = found.problem, plain.problem.tissue
    before, after = (
        (maps - plain.problem.lr_maps)[:2, tissue].square().mean(1)
        for maps in (problem.lr_maps, problem.sharpen(problem.lr_maps))
    )
    assert (after < 0.65 * before).all()
