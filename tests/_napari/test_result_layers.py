"""The layers of a run: maps on top, the rest hidden, with their origin in every sidecar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Layer
from volume_cases import AFFINE, SHAPE, rotation, small_run, volume

from napari_swig_qmri._napari.display import contrast_limits
from napari_swig_qmri._napari.layers import from_layer, to_layer_data
from napari_swig_qmri._napari.placement import display_frame, same_frame
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.result_layers import origin_of, result_label, result_layers
from napari_swig_qmri._napari.writer import write_layers
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

TILT = rotation((5, -3, 8))


def test_a_run_becomes_layers_with_maps_on_top_and_the_rest_hidden() -> None:
    run = small_run(TILT @ AFFINE)
    layers = [Layer.create(*layer) for layer in result_layers(run)]
    assert [layer.name for layer in layers if layer.visible] == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert [layer.name for layer in layers if not layer.visible] == [
        "sub-01 T1w residual",
        "sub-01 T2w residual",
        "PD LR residual",
        "T1 LR residual (ms)",
        "T2 LR residual (ms)",
        "Conflict",
        "PD SR standard error",
        "T1 SR standard error (ms)",
        "T2 SR standard error (ms)",
        "PD evidence: LR maps (%)",
        "T1 evidence: LR maps (%)",
        "T2 evidence: LR maps (%)",
    ]
    for layer in layers:
        shown = LayerRecord.of(layer).volume
        assert shown.sidecar["Notice"] == "synthetic: research use"
        assert not shown.data.size  # not interpolated
        np.testing.assert_allclose(layer.extent.world.mean(axis=0), layers[0].extent.world.mean(axis=0), atol=1e-4)
    t1 = layers[-2]
    np.testing.assert_allclose(from_layer(*t1.as_layer_data_tuple()[:2]).data, run.maps["T1"], rtol=2e-7)
    assert LayerRecord.of(t1).volume.sidecar["Parameters"] == run.parameters


def only(maps: QuantitativeMaps, *names: str) -> QuantitativeMaps:
    return replace(maps, data=np.stack([maps[name] for name in names]), names=names)


def test_a_map_that_was_not_measured_says_so_as_layer_and_as_file(tmp_path: Path) -> None:
    run = small_run()
    measured = ("PD", "T1")
    run = replace(
        run, lr_maps=only(run.lr_maps, *measured), lr_residual=only(run.lr_residual, *measured), estimated={"T2": "T2"}
    )
    shown = [layer for layer in result_layers(run) if layer[1].get("visible", True)]
    assert [attributes["name"] for _, attributes, _ in shown] == [
        "PD SR",
        "T1 SR (ms)",
        "T2 estimate (not measured) (ms)",
    ]
    written = [Path(path).name for path in write_layers(tmp_path, shown) if path.endswith(".nii.gz")]
    assert [name.endswith("desc-swigestimated_T2map.nii.gz") for name in written] == [False, False, True]


def test_super_resolved_measured_and_reopened_maps_share_limits() -> None:
    run = small_run()
    field = {"MagneticFieldStrength": 1.5}
    lr = volume(data=run.lr_maps["T1"], affine=run.lr_maps.grid.affine, suffix="T1map", unit="s", sidecar=field)
    measured = to_layer_data(lr)[1]
    origin = origin_of([measured])
    assert origin == field
    layers = {layer[1]["name"]: layer for layer in result_layers(run, origin=origin)}
    assert layers["T1 SR (ms)"][1]["contrast_limits"] == measured["contrast_limits"] == (200, 2000)
    again = from_layer(*layers["T1 SR (ms)"][:2])
    assert contrast_limits(again) == (200, 2000)


def test_results_name_the_files_that_they_are_made_of(tmp_path: Path) -> None:
    maps, guide = (
        to_layer_data(volume(path=tmp_path / name, sidecar={"MagneticFieldStrength": tesla}))[1]
        for name, tesla in (("sub-01_T1map.nii", 3), ("sub-01_T1w.nii", 1.5))
    )
    unknown = to_layer_data(volume())[1]
    sources = [str(tmp_path / "sub-01_T1map.nii"), str(tmp_path / "sub-01_T1w.nii")]
    assert origin_of([maps, unknown], [guide]) == {"MagneticFieldStrength": 3, "Sources": sources}
    assert origin_of([unknown]) == {}
    unsaved = to_layer_data(volume(sidecar={"Sources": sources}))[1]
    assert origin_of([unsaved], [guide]) == {"Sources": sources}
    layers = result_layers(small_run(), origin=origin_of([maps], [guide]))
    assert all(from_layer(*layer[:2]).sidecar["Sources"] == sources for layer in layers)


def test_results_go_into_the_frame_of_the_layers_they_came_from() -> None:
    frame = display_frame(VoxelGrid(SHAPE, TILT @ AFFINE))
    layers = result_layers(small_run(), frame)
    assert all(same_frame(LayerRecord.of(attributes).frame, frame) for _, attributes, _ in layers)


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        ({"method": "posterior", "weights": None, "adapted": None}, "posterior"),
        ({"method": "network", "weights": {"name": DEFAULT_WEIGHTS}, "adapted": None}, "network"),
        ({"method": "network", "weights": {"name": "/data/a.safetensors"}, "adapted": None}, "network, a.safetensors"),
        ({"method": "network", "weights": {"name": DEFAULT_WEIGHTS}, "adapted": {}}, "network, adapted"),
    ],
)
def test_results_are_labelled_by_guides_and_method(parameters: dict[str, object], label: str) -> None:
    run = replace(small_run(), parameters=parameters)
    assert result_label(run) == f"M_11 (T1w + T1w), {label}"
    assert {LayerRecord.of(attributes).model for _, attributes, _ in result_layers(run)} == {result_label(run)}
