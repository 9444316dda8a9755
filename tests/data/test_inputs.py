"""Subjects that files name."""

from __future__ import annotations

from pathlib import Path

import pytest
from volume_cases import volume

from napari_swig_qmri.data.inputs import subject_of


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("anna_T1map.nii.gz", "anna_PDmap.nii.gz"), "sub-anna"),
        (("patient7-t2-map-final.nii",), "sub-patient7final"),
        (("anna_ses-2_acq-x_T1map.hdr",), "sub-anna_ses-2"),
        (("other_PDmap.nii", "sub-04_ses-1_T1map.nii"), "sub-04_ses-1"),
        (("anna-miller_desc-lr_T2map.nii",), "sub-annamiller"),
        (("qT1.nii.gz",), "sub-unnamed"),
    ],
)
def test_results_are_of_the_subject_that_the_files_name(names: tuple[str, ...], stem: str) -> None:
    assert subject_of([volume(path=Path("somewhere") / name) for name in names]) == stem
