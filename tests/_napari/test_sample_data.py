"""Sample data opens as layers that the plugin itself can read back and use."""

from __future__ import annotations

import numpy as np
import pytest
from widget_cases import LR, lr_maps

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.sample_data import low_resolution_case, phantom_layers
from napari_swig_qmri.data.interpretation import as_guide, as_maps
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES
from napari_swig_qmri.simulation.phantom import CLASSES, Phantom


def test_phantom_layers_are_maps_in_ms_and_hidden_labels() -> None:
    labels = np.arange(np.prod(LR.shape)).reshape(LR.shape) % (1 + len(CLASSES))
    fractions = (1 + np.arange(len(CLASSES))[:, None, None, None] == labels).astype(np.float32)
    phantom = Phantom(maps=lr_maps(), fractions=fractions, field_strength=3.0)
    *maps, (data, attributes, kind) = phantom_layers(phantom)
    assert [attributes["name"] for _, attributes, _ in maps] == ["PD phantom", "T1 phantom (ms)", "T2 phantom (ms)"]
    np.testing.assert_allclose(maps[1][0], 1000 * phantom.maps["T1"].transpose(), rtol=1e-6)
    assert (kind, attributes["visible"]) == ("labels", False)
    np.testing.assert_array_equal(data, labels.transpose())


@pytest.mark.slow
def test_the_low_resolution_case_can_be_super_resolved_as_it_is() -> None:
    layers = low_resolution_case(extent=((-80, 80), (-110, 86), (0, 8)))
    volumes = [from_layer(data, attributes) for data, attributes, _ in layers]
    assert [volume.suffix for volume in volumes] == ["T1w", "T2w", "FLAIR", "PDmap", "T1map", "T2map"]
    assert [volume.grid.voxel_size[0] for volume in volumes] == pytest.approx([1, 1, 1, 2, 2, 2])
    assert all(volume.grid.field_of_view == pytest.approx((160, 196, 8)) for volume in volumes)
    assert as_maps(volumes[3:]).names == ("PD", "T1", "T2")
    for volume in volumes[:3]:
        assert as_guide(volume)[0].sequence == USUAL_GUIDES[volume.suffix or ""]
    t1w = volumes[0].data
    assert np.median(t1w[t1w > 50]) > 100  # scanner units
    assert t1w[:3, :3].std() > 0  # noise in air
