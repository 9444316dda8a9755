"""Derived DICOM, read back: where the slices lie, what the pixels mean, and what the tags say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from volume_cases import AFFINE, numbered, rotation, stored_as, volume

from napari_swig_qmri.data.storage.dicom_export import (
    BURNED_IN,
    LARGEST,
    DicomStudy,
    radiological_slices,
    with_text,
    write_series,
)
from napari_swig_qmri.data.volumes import VoxelGrid

pydicom = pytest.importorskip("pydicom")

OBLIQUE = rotation((12.0, -8.0, 5.0)) @ AFFINE
IDENTITY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ReferringPhysicianName", "StudyDate")


def written(folder: Path, description: str = "T2-FLAIR: TE 120 ms", **options: Any) -> list[Any]:
    image = volume(**{"name": "FLAIR"} | options)
    paths = write_series(image, folder, DicomStudy.new("Brain"), 3, description)
    return [pydicom.dcmread(path) for path in paths]


def signal(dataset: Any) -> np.ndarray:
    """Stored pixels as signal, by slope and intercept."""
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def lps(dataset: Any, row: int, column: int) -> np.ndarray:
    """Position of a pixel in mm by equation C.7.6.2.1-1 of DICOM PS3.3."""
    along_row, along_column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    row_spacing, column_spacing = (float(value) for value in dataset.PixelSpacing)
    first = np.array(dataset.ImagePositionPatient, float)
    return first + column * column_spacing * along_row + row * row_spacing * along_column


@pytest.mark.parametrize("code", ["RAS", "LPS", "PIR", "SAL", "ILA"])
@pytest.mark.parametrize("affine", [AFFINE, OBLIQUE], ids=["straight", "oblique"])
def test_every_voxel_lies_where_the_affine_says(tmp_path: Path, code: str, affine: np.ndarray) -> None:
    stored = stored_as(code, affine)
    data = np.asarray(stored.dataobj)
    datasets = written(tmp_path, data=data, affine=stored.affine)
    step = float(datasets[0].RescaleSlope)
    for i, j, k in np.ndindex(2, 2, 2):
        voxel = tuple(n - 1 if last else 1 for last, n in zip((i, j, k), data.shape, strict=True))
        world = (stored.affine @ [*voxel, 1])[:3] * [-1, -1, 1]  # RAS to LPS
        values = np.array([signal(dataset)[:6, :5] for dataset in datasets])  # without the text below
        z, row, column = np.argwhere(np.abs(values - data[voxel]) <= step)[0]
        np.testing.assert_allclose(lps(datasets[z], row, column), world, atol=1e-4)


def test_slices_are_shown_the_radiological_way(tmp_path: Path) -> None:
    datasets = written(tmp_path)
    np.testing.assert_allclose(np.array(datasets[0].ImageOrientationPatient, float), [1, 0, 0, 0, 1, 0])
    feet_up = [float(dataset.ImagePositionPatient[2]) for dataset in datasets]
    assert feet_up == sorted(feet_up)
    assert float(datasets[0].SpacingBetweenSlices) == pytest.approx(3.0)
    assert [float(value) for value in datasets[0].PixelSpacing] == pytest.approx([1.5, 2.0])


def test_slices_follow_each_other_along_their_normal() -> None:
    _, affine = radiological_slices(numbered(), VoxelGrid((5, 6, 7), OBLIQUE))
    columns, rows, normal = affine[:3, :3].T
    assert np.cross(columns, rows) @ normal > 0
    assert abs(columns[0]) > 0.9 * np.linalg.norm(columns)
    assert columns[0] > 0  # to the left


def test_pixels_become_signal_again_also_below_zero(tmp_path: Path) -> None:
    data = np.linspace(-0.2, 0.7, 5 * 6 * 7).reshape(5, 6, 7).astype(np.float32)
    datasets = written(tmp_path, data=data)
    expected, _ = radiological_slices(data, VoxelGrid(data.shape, AFFINE))
    for dataset, values in zip(datasets, expected, strict=True):
        np.testing.assert_allclose(signal(dataset)[:6, :5], values, atol=0.9 / LARGEST)


def test_every_image_says_that_it_is_synthetic(tmp_path: Path) -> None:
    for number, dataset in enumerate(written(tmp_path), start=1):
        assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
        assert dataset.BurnedInAnnotation == "YES"
        assert dataset.DerivationDescription == f"{BURNED_IN}. T2-FLAIR: TE 120 ms"
        assert dataset.SeriesDescription == "SYNTHETIC FLAIR"
        assert BURNED_IN in dataset.ImageComments
        assert (dataset.SeriesNumber, dataset.InstanceNumber) == (3, number)
        assert dataset.pixel_array[6:].max() == LARGEST


def test_no_patient_is_made_up(tmp_path: Path) -> None:
    (first, *_) = written(tmp_path)
    assert all(keyword in first and not first[keyword].value for keyword in IDENTITY)


def test_identifiers_are_new_and_join_what_belongs_together(tmp_path: Path) -> None:
    study = DicomStudy.new("Brain")
    series = [[pydicom.dcmread(p) for p in write_series(volume(), tmp_path / str(n), study, n, "")] for n in (1, 2)]
    every = [dataset for each in series for dataset in each]
    assert len({dataset.SOPInstanceUID for dataset in every}) == len(every)
    assert len({dataset.SeriesInstanceUID for dataset in every}) == 2
    assert len({dataset.StudyInstanceUID for dataset in every}) == 1
    assert len({dataset.FrameOfReferenceUID for dataset in every}) == 1
    assert DicomStudy.new("Brain").study != study.study
    assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in every)


@pytest.mark.parametrize("width", [5, 60, 200])
def test_text_is_burned_in_below_the_image(width: int) -> None:
    pixels = np.full((20, width), 7, np.uint16)
    burned = with_text(pixels)
    np.testing.assert_array_equal(burned[:20, :width], pixels)
    assert (burned[20:] == LARGEST).sum() > 50
    assert burned.shape[1] >= width
    assert len(burned) - 20 <= 4 * 13 + 2
    assert (burned[20:, -1] == 0).all()  # no letter is cut off


def test_a_sheared_grid_is_refused(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    with pytest.raises(ValueError, match="sheared grid"):
        written(tmp_path, affine=sheared)


def test_without_pydicom_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ModuleNotFoundError, match=r"napari-swig-qmri\[dicom\]"):
        DicomStudy.new("Brain")
