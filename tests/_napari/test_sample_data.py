"""Sample data opens as layers that the plugin itself can read back and use."""

import numpy as np
import pytest

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.sample_data import low_resolution_case, phantom_layers
from napari_swig_qmri.data.interpretation import as_guide, as_maps
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES
from napari_swig_qmri.simulation.phantom import make_phantom


@pytest.fixture(scope="module")
def case():
    layers = low_resolution_case(extent=((-80, 80), (-110, 86), (0, 8)))
    return [from_layer(data, attributes) for data, attributes, _ in layers]


def test_phantom_layers_are_maps_in_ms_and_hidden_labels():
    *maps, (labels, attributes, kind) = phantom_layers(make_phantom(4.0, extent=((-80, 80), (-110, 86), (0, 24))))
    assert [attributes["name"] for _, attributes, _ in maps] == ["PD phantom", "T1 phantom (ms)", "T2 phantom (ms)"]
    assert kind == "labels"
    assert not attributes["visible"]
    assert set(np.unique(labels)) == set(range(7))
    t1 = maps[1][0]
    assert 800 < np.median(t1[labels == 3]) < 950  # white matter at 3 T
    assert all(data.shape == labels.shape for data, _, _ in maps)


def test_low_resolution_case_has_coarse_maps_and_fine_guides(case):
    guides, maps = case[:3], case[3:]
    assert [volume.suffix for volume in case] == ["T1w", "T2w", "FLAIR", "PDmap", "T1map", "T2map"]
    assert all(volume.grid.voxel_size == pytest.approx((1, 1, 1)) for volume in guides)
    assert all(volume.grid.voxel_size == pytest.approx((2, 2, 2)) for volume in maps)
    assert all(volume.grid.field_of_view == pytest.approx((160, 196, 8)) for volume in case)


def test_low_resolution_case_can_be_super_resolved_as_it_is(case):
    maps = as_maps(case[3:])
    assert maps.names == ("PD", "T1", "T2")
    for volume in case[:3]:
        guide, _ = as_guide(volume)
        assert guide.sequence == USUAL_GUIDES[volume.suffix]


def test_low_resolution_case_is_noisy_and_in_scanner_units(case):
    t1w = case[0].data
    assert np.median(t1w[t1w > 50]) > 100
    assert t1w[:3, :3].std() > 0  # noise in air
