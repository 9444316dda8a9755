"""A voxel is read at one place in all maps, however each of them is stored."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from volume_cases import AFFINE, CODES, numbered, stored_as
from widget_cases import add

from napari_swig_qmri._napari.inspect.probe import probe_of
from napari_swig_qmri._napari.parts.map_sets import sources_among
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
