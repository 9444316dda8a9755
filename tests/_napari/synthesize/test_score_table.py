"""Table of the scores of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_swig_qmri._napari.layers import to_layer_data
from napari_swig_qmri._napari.synthesize.score_table import scores_table, was_guide
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.evaluation.comparison import ContrastComparison, ContrastScores
from napari_swig_qmri.physics.signal_models import SpinEcho

GRID = VoxelGrid((2, 2, 2), np.eye(4))


def layer(name: str, path: str | None, **sidecar: Any) -> Image:
    volume = Volume(data=np.ones(GRID.shape), grid=GRID, name=name, path=path and Path(path), sidecar=sidecar)
    data, attributes, _ = to_layer_data(volume)
    return Image(data, **attributes)


@pytest.mark.parametrize(
    ("record", "path", "expected"),
    [
        ({"Guides": ["sub-01 T1w", "sub-01 T2w"]}, None, True),
        ({"Guides": ["sub-01 T1w"]}, None, False),
        ({"Sources": ["../guides/sub-01_T2w.nii.gz"]}, "case/guides/sub-01_T2w.nii.gz", True),
        ({"Sources": ["../guides/sub-02_T2w.nii.gz"]}, "case/guides/sub-01_T2w.nii.gz", False),
    ],
)
def test_a_guide_is_recognised_by_its_name_or_its_file(record: Any, path: Any, expected: bool) -> None:
    t1_map = layer("T1map SR", "case/out/sub-01_T1map.nii.gz", Parameters={}, **record)
    assert was_guide(layer("sub-01 T2w", path), t1_map) == expected


def test_scores_are_listed_by_map_set_and_region() -> None:
    scores = {"tissue": ContrastScores(n_voxels=8, ssim=0.91234, hfen=0.3, nrmse=0.0456)}
    comparison = ContrastComparison(
        sequence=SpinEcho.from_typical(), reference="acquired", scores={"LR": scores, "SR": scores}, gains={}, notes=()
    )
    table = scores_table(comparison, ["SR"])
    for text in ("LR against acquired", "SR against acquired", "brain tissue", "0.912", "0.300", "4.6 %"):
        assert text in table
    assert "The image was a guide of SR" in table
    assert "guide of LR" not in table
