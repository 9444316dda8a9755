import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.averages import averaging_matrix
from napari_swig_qmri.data.truncation import truncation_matrix, truncation_waves
from napari_swig_qmri.super_resolution.observations.lr_response import (
    LEAST_SHARPENED,
    fitted_responses,
    in_words,
    sharpening_matrix,
)

HR, LR = (48, 40, 32), (24, 20, 16)
AXES = [(n, m, n / m, (n / m - 1) / 2) for n, m in zip(HR, LR, strict=True)]
LEAST_GAIN = 0.2


def windowed(axis, weights):
    waves, frequencies = truncation_waves(*axis)
    return waves @ weights(frequencies) / axis[0]


OPERATORS = {
    "truncation": lambda axis: truncation_matrix(*axis),
    "average": lambda axis: averaging_matrix(*axis),
    "Hamming": lambda axis: windowed(axis, lambda f: 0.54 + 0.46 * np.cos(np.pi * f)),
    "Tukey": lambda axis: windowed(axis, lambda f: 0.5 * (1 + np.cos(np.pi * np.clip(2 * f - 1, 0, 1)))),
    "Gaussian": lambda axis: windowed(axis, lambda f: np.exp(-3 * f**2)),
}


def anatomy(seed=0):
    """Two tissues with sharp borders and texture, ``(3, X, Y, Z)``."""
    random = np.random.default_rng(seed)
    first = gaussian_filter(random.standard_normal(HR), 2) > 0
    texture = 1 + 0.1 * gaussian_filter(random.standard_normal((3, *HR)), (0, 1, 1, 1))
    tissues = np.array([[0.7, 0.82], [0.9, 1.4], [0.068, 0.092]])
    return tissues[:, first.astype(int)] * texture


def applied(volumes, names):
    for axis, name in enumerate(names):
        matrix = OPERATORS[name](AXES[axis])
        volumes = np.moveaxis(np.tensordot(matrix, volumes, axes=(1, axis + 1)), 0, axis + 1)
    return volumes


def responses(lr_maps, hr_maps, seed=1):
    """Responses found with HR maps that have errors of their own, and gains that are off."""
    random = np.random.default_rng(seed)
    hr_maps = hr_maps * np.array([0.95, 1.0, 1.02])[:, None, None, None] * (1 + 0.01 * random.standard_normal(HR))
    lr_maps = lr_maps * (1 + 0.01 * random.standard_normal(lr_maps.shape))
    return fitted_responses(hr_maps, lr_maps, np.ones(LR, bool), AXES, LEAST_GAIN)


@pytest.mark.parametrize(
    "names", [("Hamming",) * 3, ("Tukey", "truncation", "Gaussian"), ("truncation", "Hamming", "average")]
)
def test_what_was_done_along_each_axis_is_found(names):
    truth = anatomy()
    for axis, (name, response) in enumerate(zip(names, responses(applied(truth, names), truth), strict=True)):
        if name == "truncation":
            assert response is None
        else:
            np.testing.assert_allclose(response.matrix, OPERATORS[name](AXES[axis]), atol=0.03)
            assert response.is_average == (name == "average")


def test_nothing_is_found_in_truncated_maps():
    truth = anatomy()
    assert responses(applied(truth, ("truncation",) * 3), truth) == (None, None, None)


def test_nothing_is_found_in_maps_fitted_to_truncated_signals():
    """Where tissue meets fluid, they differ from truncated maps."""
    pd, t1, t2 = anatomy()
    fluid = gaussian_filter(np.random.default_rng(3).standard_normal(HR), 2) > 0.1
    pd, t1, t2 = (np.where(fluid, water, tissue) for water, tissue in ((1.0, pd), (3.0, t1), (0.3, t2)))
    signals = np.stack([pd, pd * np.exp(-1.0 / t1), pd * np.exp(-0.1 / t2)])
    low = applied(signals, ("truncation",) * 3)
    maps = np.stack([low[0], -1.0 / np.log(low[1] / low[0]), -0.1 / np.log(low[2] / low[0])])
    assert responses(maps, np.stack([pd, t1, t2])) == (None, None, None)


@pytest.mark.parametrize("name", ["Hamming", "Tukey", "Gaussian", "truncation"])
def test_sharpening_multiplies_a_frequency_by_what_a_wiener_filter_brings_back(name):
    n_hr, n_lr = HR[0], LR[0]
    truncation, response = truncation_matrix(n_hr, n_lr), OPERATORS[name](AXES[0])
    sharpen = sharpening_matrix(response, truncation)
    np.testing.assert_allclose(sharpen @ np.ones(n_lr), 1, rtol=1e-6)
    for k in range(n_lr // 2):
        wave = np.cos(2 * np.pi * k * np.arange(n_hr) / n_hr)
        plain, seen = truncation @ wave, response @ wave
        left = plain @ seen / (plain @ plain)
        back = left**2 * (1 + LEAST_SHARPENED**2) / (left**2 + LEAST_SHARPENED**2)
        np.testing.assert_allclose(sharpen @ seen, back * plain, atol=1e-6)


def test_axes_of_one_voxel_size_are_left_alone():
    truth = anatomy()
    axes = [AXES[0], AXES[1], (32, 32, 1.0, 0.0)]
    low = applied(truth, ("Hamming", "Hamming", "truncation"))
    same = np.repeat(low, 2, axis=3)
    found = fitted_responses(truth, same, np.ones((24, 20, 32), bool), axes, LEAST_GAIN)
    assert found[2] is None


def test_the_sentence_names_directions_together():
    truth = anatomy()
    found = responses(applied(truth, ("average", "average", "truncation")), truth)
    sentence = in_words(found, ("left to right", "back to front", "foot to head"))
    assert "their voxels are averages from left to right and from back to front" in sentence
