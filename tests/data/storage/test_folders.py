"""Folders of any size and with any links are searched in a moment, and the maps in them are found."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from volume_cases import AFFINE

from napari_swig_qmri.data.storage.files import read_folder
from napari_swig_qmri.data.storage.folders import find_images, has_dicom, has_images

IMAGE = nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), AFFINE).to_bytes()


def test_maps_come_before_other_images_where_there_are_too_many(tmp_path: Path) -> None:
    names = [f"sub-01_run-{n:03}_bar.nii" for n in range(60)] + [f"sub-01_run-{n}_mask.nii" for n in range(60)]
    names += ["sub-01_T1w.nii", "sub-01_T1map.nii", "zz_qT2.nii"]
    for name in names:
        (tmp_path / name).write_bytes(IMAGE)
    found, problems = find_images(tmp_path)
    assert {"sub-01_T1w.nii", "sub-01_T1map.nii", "zz_qT2.nii"} < {path.name for path in found}
    assert len(found) == 40
    assert not any("mask" in path.name for path in found)
    assert problems == ["83 of 123 images: open the folder of one subject to see the others."]


def test_every_folder_is_visited_once_wherever_links_lead(tmp_path: Path) -> None:
    (tmp_path / "other_T1w.nii").write_bytes(IMAGE)  # above the folder
    tmp_path = tmp_path / "folder"
    tmp_path.mkdir()
    (tmp_path / "sub-1_T1w.nii").write_bytes(IMAGE)
    (tmp_path / "up").symlink_to(tmp_path.parent)
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        for other in "abcdefgh":
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
        (tmp_path / name / "up").symlink_to(tmp_path)
        (tmp_path / name / "loop").symlink_to(tmp_path / name / "loop")
    started = time.process_time()
    assert [path.name for path in find_images(tmp_path)[0]] == ["sub-1_T1w.nii"]
    assert not has_dicom(tmp_path)
    assert time.process_time() - started < 0.5


def test_a_folder_of_five_thousand_images_opens_in_two_seconds(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    for number in range(5000):
        (tmp_path / f"sub-01_acq-{number}_T1w.nii").write_bytes(IMAGE)
    (tmp_path / "sub-01_T1map.nii").write_bytes(IMAGE)
    started = time.process_time()
    assert has_images(tmp_path)
    with pytest.warns(UserWarning, match="4961 of 5001 images"):
        assert "T1map" in {volume.suffix for volume in read_folder(tmp_path)}
    assert time.process_time() - started < 2
