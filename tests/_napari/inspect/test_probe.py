"""A voxel is read at one place in all maps, however each of them is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from volume_cases import AFFINE, CODES, numbered, small_run, stored_as
from widget_cases import add

from napari_swig_qmri._napari.inspect.probe import errors_beside, probe_of
from napari_swig_qmri._napari.parts.map_sets import sources_among
from napari_swig_qmri._napari.reader import read
from napari_swig_qmri._napari.result_layers import result_layers
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

VOXEL = (3, 1, 5)
SUFFIXES = {"sub-1 PDmap": "PDmap", "sub-1 T1map": "T1map", "sub-1 T2map": "T2map", "sub-1 T2starmap": "T2starmap"}


@pytest.mark.parametrize("first", range(2))
def test_maps_and_standard_errors_are_read_at_one_place(viewer: ViewerModel, first: int) -> None:
    codes = iter(CODES[first::9])
    for name, suffix in {**SUFFIXES, "T1 standard error": None}.items():
        image = stored_as(next(codes), AFFINE)
        data = np.asarray(image.dataobj) / np.float32(100)
        grid = VoxelGrid(data.shape, image.affine)
        add(
            viewer,
            Volume(data=data, grid=grid, name=name, suffix=suffix, unit="s" if suffix != "PDmap" else "arbitrary"),
        )
    (source,), _ = sources_among(viewer.layers[:4])
    probe = probe_of(source, viewer)
    where = probe.voxel((AFFINE @ (*VOXEL, 1))[:3])
    assert where is not None
    tissue = probe.tissue(where, "here")
    expected = numbered()[VOXEL] / 100
    assert [tissue.pd, tissue.t1, tissue.t2, tissue.t2star] == pytest.approx([expected] * 4)
    assert probe.standard_errors(where)["T1"] == pytest.approx(expected)


def test_layers_of_a_run_tell_errors_and_evidence_also_when_opened_again(viewer: ViewerModel, tmp_path: Path) -> None:
    result = small_run()
    for layer in result_layers(result):
        viewer.add_layer(Layer.create(*layer))
    result.save(tmp_path)
    reopened = ViewerModel()
    for layer in read(str(tmp_path)):
        reopened.add_layer(Layer.create(*layer))
    for model in (viewer, reopened):
        source = next(each for each in sources_among(model.layers)[0] if "SR" in each.layers["T1"].name)
        probe = probe_of(source, model)
        expected = result.standard_errors
        assert expected is not None
        assert probe.standard_errors((1, 2, 3)) == pytest.approx(
            {name: expected[name][1, 2, 3] for name in expected.names}
        )
        assert probe.evidence_text((1, 2, 3)) == "\nFrom the LR maps: PD 20 %, T1 30 %, T2 40 %"
        errors = errors_beside(source.layers["T1"], model)
        assert errors is not None
        np.testing.assert_allclose(errors().data, expected["T1"], rtol=1e-5)
