"""What a run is given: the volumes of the chosen layers, with the units and sequences that were chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from widget_cases import HR, MEDIANS, case, layers_of, make_guide, make_map

from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot, SuperResolveInputs
from napari_swig_qmri.data.coercion import guides_from
from napari_swig_qmri.physics.signal_models import SpinEcho, T2Flair
from napari_swig_qmri.super_resolution.options import Options


def test_maps_are_in_seconds_and_guides_have_the_chosen_sequence() -> None:
    layers = layers_of(*case())
    (in_ms,) = layers_of(make_map("T2map", data=1000 * make_map("T2map").data, name="in ms"))
    inputs = SuperResolveInputs(
        maps={"T1": MapChoice(layers[1]), "T2": MapChoice(in_ms, "ms")},
        guides=(
            GuideChoice(layers[3], SpinEcho(echo_time=0.012, repetition_time=0.6)),
            GuideChoice(layers[4], T2Flair.from_typical()),
            GuideChoice(layers[4], is_used=False),
            GuideChoice(None),
        ),
    )
    snapshot = Snapshot.of(inputs)
    layers[3].name, layers[1].data = "renamed", 0 * layers[1].data  # too late
    given, guides, options = snapshot.arguments()
    maps, guides = given.maps, guides_from(guides)
    assert maps.names == ("T1", "T2")
    assert np.median(maps["T1"]) == pytest.approx(MEDIANS["T1map"], rel=0.1)
    assert np.median(maps["T2"]) == pytest.approx(MEDIANS["T2map"], rel=0.1)
    assert [(guide.name, guide.sequence) for guide in guides] == [
        ("sub-01 T1w", SpinEcho(echo_time=0.012, repetition_time=0.6)),
        ("sub-01 T2w", T2Flair.from_typical()),
    ]
    assert options == Options()
    assert snapshot.mask_volume() is None
    assert snapshot.adapting().arguments()[2].adapt
    assert inputs.effective == replace(inputs, guides=inputs.guides[:2])


@pytest.mark.parametrize("suffix", ["dseg", "mask", None])
def test_a_mask_has_its_own_grid(suffix: str | None) -> None:
    layers = layers_of(*case())
    labels = np.zeros(HR.shape, dtype=np.float32)
    labels[2:5, 3:9, 1:4] = 7
    labels[0, 0, :3] = 0.3, 0.5, 0.7
    (mask,) = layers_of(replace(make_guide("T1w"), data=labels, suffix=suffix, name="tissues", sidecar={}))
    snapshot = Snapshot.of(SuperResolveInputs(maps={"T1": MapChoice(layers[1])}, mask=mask))
    volume = snapshot.mask_volume()
    assert volume is not None
    np.testing.assert_array_equal(volume.data > 0.5, labels > 0.5)  # the rule of the engine
    np.testing.assert_array_equal(volume.grid.affine, HR.affine)


def test_changes_of_the_maps_are_notices() -> None:
    layers = layers_of(*case())
    (fine,) = layers_of(make_map("T1map", HR, name="fine T1map"))
    snapshot = Snapshot.of(SuperResolveInputs(maps={"PD": MapChoice(layers[0]), "T1": MapChoice(fine)}))
    assert "interpolated" in " ".join(snapshot.arguments()[0].notices)
