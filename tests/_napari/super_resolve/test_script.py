"""Layers of a viewer are super-resolved without a click."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from paths import DOCS
from widget_cases import HR, MEDIANS, add, add_case, case, make_guide, make_map

from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.super_resolve.script import super_resolve_layers
from napari_swig_qmri.data.storage.files import write_volume
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

REGRESSION = Options(method="regression")
RESULTS = ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]


def test_layers_are_chosen_resolved_and_added() -> None:
    viewer = ViewerModel()
    layers = add_case(viewer)
    steps: list[Progress] = []
    added = super_resolve_layers(viewer, REGRESSION, progress=steps.append)
    assert list(viewer.layers) == [*layers, *added]
    assert [layer.name for layer in added if layer.visible] == RESULTS
    assert added[-1].data.shape == HR.shape[::-1]
    volume = LayerRecord.of(added[-1]).volume
    assert volume.sidecar["Guides"] == ["sub-01 T1w", "sub-01 T2w"]
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)


@pytest.mark.slow
def test_maps_guides_and_mask_can_be_named() -> None:
    viewer = ViewerModel()
    layers = add_case(viewer)
    guide = viewer.add_image(layers[3].data, scale=layers[3].scale, translate=layers[3].translate, name="other")
    mask = add(viewer, make_guide("mask", name="mask"))[0]
    sequence = SpinEcho(echo_time=0.012, repetition_time=0.6)
    added = super_resolve_layers(viewer, REGRESSION, maps={"T1": layers[1]}, guides=[(guide, sequence)], mask=mask)
    assert [layer.name for layer in added if layer.visible] == ["T1 SR (ms)"]
    sidecar = LayerRecord.of(added[-1]).volume.sidecar
    assert sidecar["Guides"] == ["other"]
    assert sidecar["Parameters"]["mask"] == f"{np.prod(HR.shape)} voxels"


def test_a_mask_drawn_on_an_image_stored_from_right_to_left_keeps_its_hemisphere() -> None:
    viewer = ViewerModel()
    add(viewer, make_map("T1map"))
    mirrored = HR.affine @ np.diag([-1, 1, 1, 1.0])
    mirrored[0, 3] += HR.shape[0] - 1
    guide = make_guide("T1w")
    stored = replace(guide, data=guide.data[::-1].copy(), grid=VoxelGrid(HR.shape, mirrored))
    (layer,) = add(viewer, stored)
    drawn = np.zeros(layer.data.shape, np.uint8)
    drawn[..., :4] = 1  # of 12 voxels from the patient's left to the right
    labels = viewer.add_labels(drawn, scale=layer.scale, translate=layer.translate, units=layer.units)
    added = super_resolve_layers(viewer, REGRESSION, mask=labels)
    np.testing.assert_array_equal(added[-1].data > 0, drawn > 0)
    labels.translate = np.add(labels.translate, (0, 0, 300))
    with pytest.raises(ValueError, match=r"do not overlap: their centres lie 29\d mm apart"):
        super_resolve_layers(viewer, REGRESSION, mask=labels)


@pytest.mark.parametrize("volumes", [[], [make_guide("T1w")]])
def test_without_maps_there_is_nothing_to_resolve(volumes: list[Image]) -> None:
    viewer = ViewerModel()
    add(viewer, *volumes)
    with pytest.raises(ValueError, match="no measured PD, T1 or T2 map"):
        super_resolve_layers(viewer, REGRESSION)
    assert len(viewer.layers) == len(volumes)


def test_what_is_no_layer_of_a_map_is_refused_in_a_sentence() -> None:
    viewer = ViewerModel()
    layers = add_case(viewer)
    with pytest.raises(ValueError, match="maps are named PD, T1 or T2, but 'R1' came"):
        super_resolve_layers(viewer, REGRESSION, maps={"R1": layers[1]})
    with pytest.raises(TypeError, match=r"image layers .* but 'T1' came: pass viewer.layers\['name'\]"):
        super_resolve_layers(viewer, REGRESSION, maps={"T1": "T1"})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="but 7 came"):
        super_resolve_layers(viewer, REGRESSION, guides=[7])  # type: ignore[list-item]


def test_assumptions_about_layers_are_those_of_a_plan() -> None:
    viewer = ViewerModel()
    volumes = [make_map("T1map"), make_guide("T2w", sidecar={})]
    assumed = ("sub-01 T1map: No unit given: s assumed.", "sub-01 T2w: No sidecar.")
    noted = [replace(each, notices=(text.split(": ", 1)[1],)) for each, text in zip(volumes, assumed, strict=True)]
    add(viewer, *noted)
    added = super_resolve_layers(viewer, REGRESSION)
    told = LayerRecord.of(added[-1]).volume.sidecar["Assumed"]
    assert set(assumed) <= set(told)
    assert len(set(told)) == len(told)
    planned = plan([noted[0]], [noted[1]], REGRESSION).notices
    assert tuple(told[: len(planned)]) == planned


def test_maps_without_a_layer_of_this_plugin_have_the_unit_of_their_values() -> None:
    viewer = ViewerModel()
    values = 1000 * make_map("T1map").data.transpose()
    t1 = viewer.add_image(values, scale=(2, 2, 2), translate=(0.5, 0.5, 0.5), name="t1")
    added = super_resolve_layers(viewer, Options(method="regression", voxel_size=1.0), maps={"T1": t1}, guides=[])
    assert np.median(added[-1].data) == pytest.approx(np.median(values), rel=0.05)


@pytest.mark.slow
@pytest.mark.gui
def test_a_session_opens_resolves_synthesises_and_saves_without_a_click(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    for volume in case():
        write_volume(volume, tmp_path / "case" / f"{volume.name.replace(' ', '_')}.nii.gz")
    words = ["case", "--output", "session", "--method", "regression", "--no-window"]
    done = subprocess.run(
        [sys.executable, str(DOCS / "examples" / "viewer_session.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "session").glob("*.nii.gz")}
    assert {f"sub-01_desc-swig_{suffix}.nii.gz" for suffix in MEDIANS} < names
    assert "T2-FLAIR_synthetic_desc-SR.nii.gz" in names
