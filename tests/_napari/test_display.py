"""Contrast limits and colours of volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cmap import Colormap
from napari.layers import Layer
from volume_cases import SHAPE, numbered, volume

from napari_swig_qmri._napari.display import appearance, contrast_limits, log_adapted
from napari_swig_qmri._napari.layers import to_layer_data, to_layers


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (np.zeros((4, 4, 4)), (0, 1)),
        (np.full((4, 4, 4), np.nan), (0, 1)),
        (np.full((4, 4, 4), 7.0), (0, 7)),
        (np.linspace(0, 1000, 125).reshape(5, 5, 5), (5, 995)),
    ],
)
def test_contrast_limits_are_percentiles_and_never_equal(data, limits):
    assert contrast_limits(volume(data=data)) == pytest.approx(limits)


def test_one_bright_voxel_does_not_set_the_limits():
    data = np.random.default_rng(0).uniform(0, 100, (60, 60, 60))
    data[3, 3, 3] = 1e6
    assert contrast_limits(volume(data=data))[1] < 101


@pytest.mark.parametrize(
    ("sidecar", "limits"),
    [
        ({}, (400, 2500)),
        ({"MagneticFieldStrength": 3}, (400, 2500)),
        ({"MagneticFieldStrength": "1.494"}, (200, 2000)),
        ({"MagneticFieldStrength": 7}, (600, 3500)),
    ],
)
def test_t1_has_the_usual_range_of_its_field_strength(sidecar, limits):
    t1 = volume(data=np.linspace(0.3, 3, 125).reshape(5, 5, 5), suffix="T1map", unit="s", sidecar=sidecar)
    assert contrast_limits(t1) == limits


def test_maps_of_one_quantity_look_alike_however_much_fluid_and_ringing_they_hold():
    tissue = np.linspace(0.05, 0.11, 4000).reshape(10, 20, 20)
    air = np.full((5, 20, 20), 0.003)
    fluid = np.full((5, 20, 20), 1.5)
    for parts in ([tissue], [tissue, air, air], [tissue, fluid, fluid]):
        assert contrast_limits(volume(data=np.concatenate(parts), suffix="T2map", unit="s")) == (20, 180)


def test_values_far_from_those_of_a_brain_have_limits_of_their_own():
    data = np.linspace(0.3, 3, 125).reshape(5, 5, 5)
    solution = volume(data=data / 30, suffix="T1map", unit="s", sidecar={"MagneticFieldStrength": "3"})
    assert contrast_limits(solution)[1] < 101
    water = volume(data=0.5 * data, suffix="T2map", unit="s")
    assert contrast_limits(water) == pytest.approx((157, 1493), abs=1)


def test_fluid_does_not_leave_tissue_dark():
    data = np.full((20, 20, 20), 0.04)
    data[:5] = 1.5
    data[5] = 0.012
    assert contrast_limits(volume(data=data, suffix="T2starmap", unit="s")) == pytest.approx((12, 100))


def test_ringing_in_air_does_not_saturate_tissue():
    data = np.full((20, 20, 20), 0.003)
    data[:5] = np.linspace(0.3, 0.5, 2000).reshape(5, 20, 20)
    low, high = contrast_limits(volume(data=data, suffix="T2map", unit="s"))
    assert low == pytest.approx(300, abs=2)
    assert high == pytest.approx(500, abs=2)


def test_limits_do_not_depend_on_the_other_images_that_are_opened():
    t1 = volume(data=np.linspace(0.3, 3, 210).reshape(SHAPE), suffix="T1map", unit="s")
    guide = volume(suffix="T1w", sidecar={"MagneticFieldStrength": 1.5})
    layers = {attributes["name"]: attributes for _, attributes, _ in to_layers([replace(t1, name="t1"), guide])}
    assert layers["t1 (ms)"]["contrast_limits"] == to_layers([t1])[0][1]["contrast_limits"]


@pytest.mark.parametrize(("top", "limit"), [(0.0123, 0.015), (0.93, 1), (1, 1), (1.03, 1.2), (812, 1000)])
def test_proton_density_is_shown_up_to_a_round_number(top, limit):
    density = volume(data=np.full((3, 3, 3), top), suffix="PDmap")
    slightly_sharper = replace(density, data=0.99 * density.data)
    assert contrast_limits(density) == contrast_limits(slightly_sharper) == (0, limit)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [("T1map", "lipari"), ("R1map", "lipari"), ("T2map", "navia"), ("T2starmap", "navia"), ("R2map", "navia")],
)
def test_maps_have_the_recommended_colours(suffix, name):
    is_rate = suffix.startswith("R")
    chosen = appearance(volume(suffix=suffix, unit="1/s" if is_rate else "s"), (1.0, 2.0))["colormap"]
    table = Colormap(f"crameri:{name}").lut(256)
    np.testing.assert_allclose(chosen["colors"][[1, -1]], table[[-1, 1]] if is_rate else table[[1, -1]], atol=0.02)
    np.testing.assert_allclose(chosen["colors"][0], (0, 0, 0, 1))
    assert chosen["name"].startswith(f"{name.title()} {suffix[:-3]} 1-2")


def test_limits_and_colours_arrive_in_the_layer():
    stored = volume(data=numbered() / 100, suffix="T1map", unit="s")
    layer = Layer.create(*to_layer_data(stored))
    table = Colormap("crameri:lipari").lut(256)
    np.testing.assert_allclose(layer.colormap.map(np.array([1 / 255, 1.0])), table[[1, -1]], atol=0.02)
    assert layer.colormap.name.startswith("Lipari")
    assert tuple(layer.contrast_limits) == tuple(contrast_limits(stored))


def test_colours_are_linear_below_a_third_and_logarithmic_above():
    """Worked by hand for limits 0 to e: half of the map at 1, then ln(value) / 2 more."""
    table = Colormap("crameri:lipari").lut(256)
    adapted = log_adapted("crameri:lipari", (0.0, np.e))
    values = np.linspace(0, np.e, 256)
    for value, position in [(0.5, 0.25), (1.0, 0.5), (2.0, 0.5 + np.log(2) / 2), (np.e, 1.0)]:
        index = int(np.abs(values - value).argmin())
        np.testing.assert_allclose(adapted[index], table[round(1 + 254 * position)], atol=0.02)


def test_maps_with_other_limits_have_colour_maps_of_other_names():
    t1 = volume(suffix="T1map", unit="s")
    names = {appearance(t1, limits)["colormap"]["name"] for limits in ((0.0, 1.0), (0.0, 2.0))}
    assert len(names) == 2  # napari takes a colour map with a known name for the known one


def test_proton_density_is_grey_and_residuals_lie_around_zero():
    pd = volume(data=numbered() / 100, suffix="PDmap", unit="arbitrary")
    assert appearance(pd, (0, 1))["colormap"] == "gray"
    assert contrast_limits(pd)[0] == 0
    residual = volume(data=numbered() - 100, suffix="T1residual", unit="s")
    low, high = contrast_limits(residual)
    assert low == -high
    assert appearance(residual, (low, high))["colormap"]["name"].startswith("Vik")
