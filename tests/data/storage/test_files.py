"""Volumes and folders: files of any tool read with kind and unit, and writing then reading is the identity."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from export_cases import EXPORTS, Exported, truth, write
from volume_cases import AFFINE, numbered, volume

from napari_swig_qmri.data.interpretation import as_maps, is_map
from napari_swig_qmri.data.recognition.units import with_kind
from napari_swig_qmri.data.storage.files import (
    describe_dataset,
    ignore_in_dataset,
    read_folder,
    read_volume,
    read_volumes,
    write_volume,
)

KINDS = {
    "SyMRI": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary"},
    "SyMRI rates": {"R1map": "1/s", "R2map": "1/s", "PDmap": "arbitrary"},
    "MAGiC stack": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary"},
    "QALAS": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary", "T1w": None},
    "MRF": {"T1map": "ms", "T2map": "ms", "M0map": "arbitrary"},
    "MP2RAGE": {"T1map": "ms", "UNIT1": None, "MP2RAGE": None},
    "hMRI": {"R1map": "1/s", "R2starmap": "1/s", "PDmap": "arbitrary", "TB1map": "percent"},
}
T1 = np.linspace(0.8, 1.2, 60, dtype=np.float32).reshape(5, 4, 3)  # s


def save(path: Path, data: np.ndarray, sidecar: dict | None = None) -> Path:
    """Store an image and its sidecar, and make the folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    if sidecar is not None:
        path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(sidecar))
    return path


@pytest.mark.parametrize("tool", EXPORTS)
def test_maps_of_other_tools_read_with_their_kind_in_seconds(tmp_path, tool):
    volumes = read_folder(write(tmp_path, *EXPORTS[tool]()))
    assert {each.suffix: each.file_unit for each in volumes} == KINDS[tool]
    maps, expected = as_maps([each for each in volumes if is_map(each)]), truth()
    tissue = (expected["T1"] > 0) & (expected["T1"] < 4)  # fluid is clipped in some
    for name in maps.names:
        values, reference = maps[name][tissue], expected[name][tissue]
        if name == "PD":  # keeps its scale
            np.testing.assert_allclose(values / reference, values[0] / reference[0], rtol=0.01)  # whole percent
        else:
            np.testing.assert_allclose(values, reference, rtol=1e-5)
    for each in volumes:
        assert each.unit != "s" or any("No unit given: ms assumed" in notice for notice in each.notices)


def test_several_maps_in_one_file_are_separated(tmp_path):
    stack = np.stack([truth()["PD"], 1e3 * truth()["T1"]], axis=-1)
    write(tmp_path, Exported(name="anna_qmaps_PD_T1", values=stack), Exported(name="anna_PD_T1", values=stack))
    first, second = read_volumes(tmp_path / "anna_qmaps_PD_T1.nii.gz")
    assert (first.suffix, second.suffix, second.file_unit) == ("PDmap", "T1map", "ms")
    assert "taken as PDmap, T1map in this order" in second.notices[0]
    assert [each.data.shape for each in read_volumes(tmp_path / "anna_PD_T1.nii.gz")] == [stack.shape]


def test_the_header_text_tells_kind_and_unit(tmp_path):
    image = nib.Nifti1Image(1000 * T1, AFFINE)
    image.header["descrip"] = b"T1 map (ms)"
    nib.save(image, tmp_path / "x.nii")
    found = read_volume(tmp_path / "x.nii")
    assert (found.suffix, found.file_unit) == ("T1map", "ms")
    np.testing.assert_allclose(found.data, T1, rtol=1e-6)


def test_clipping_is_stated(tmp_path):
    assert "Cut off at 1.1 s" in read_volume(save(tmp_path / "sub-1_T1map.nii", clipped())).notices[-1]


def clipped() -> np.ndarray:
    values = np.full((10, 10, 10), 0.5, np.float32)
    values[:, :, :2] = 1.1
    return values


def test_a_given_unit_applies_to_times_and_rates_of_a_folder(tmp_path):
    for suffix, data in (("PDmap", T1), ("R1map", 1e-3 / T1), ("T2map", 100 * T1)):
        save(tmp_path / f"sub-1_{suffix}.nii", data)
    units = {each.suffix: each.file_unit for each in read_folder(tmp_path, time_unit="ms")}
    assert units == {"PDmap": "arbitrary", "R1map": "1/ms", "T2map": "ms"}


def test_the_unit_of_the_file_is_kept_when_writing(tmp_path):
    found = read_volume(save(tmp_path / "sub-1_T1map.nii", 1000 * T1))
    image, sidecar = write_volume(found, tmp_path / "copy_T1map.nii")
    np.testing.assert_allclose(np.asarray(nib.load(image).dataobj), 1000 * T1, rtol=1e-6)
    assert json.loads(sidecar.read_text()) == {"Units": "ms"}
    np.testing.assert_array_equal(read_volume(image).data, found.data)


def test_the_sidecar_states_the_kind_if_the_name_does_not(tmp_path):
    spread = read_volume(save(tmp_path / "T1map_SD.nii", T1))
    assert spread.suffix is None
    write_volume(with_kind(spread, "T1map"), tmp_path / "T1map_SD.nii", overwrite=True)
    assert read_volume(tmp_path / "T1map_SD.nii").suffix == "T1map"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.hdr"])
def test_files_are_only_overwritten_on_request(tmp_path, name):
    write_volume(volume(), tmp_path / name)
    with pytest.raises(FileExistsError, match="choose another name or use `overwrite`"):
        write_volume(volume(), tmp_path / name)
    write_volume(volume(data=2 * numbered()), tmp_path / name, overwrite=True)
    np.testing.assert_array_equal(read_volume(tmp_path / name).data, 2 * numbered())


def test_the_sidecar_of_another_image_is_protected_and_replaced(tmp_path):
    (tmp_path / "a.json").write_text('{"Units": "ms"}')
    with pytest.raises(FileExistsError, match=r"a\.json"):
        write_volume(volume(), tmp_path / "a.nii")
    write_volume(volume(), tmp_path / "a.nii", overwrite=True)
    assert json.loads((tmp_path / "a.json").read_text()) == {}


def test_unknown_extensions_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="only NIfTI files"):
        write_volume(volume(), tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="make it first"):
        write_volume(volume(), tmp_path / "no" / "a.nii")


def test_a_dataset_opens_sorted_and_with_inherited_settings(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "T1w.json").write_text('{"EchoTime": 0.01, "RepetitionTime": 2}')
    anat = tmp_path / "sub-01" / "ses-1" / "anat"
    save(anat / "sub-01_ses-1_T1w.nii.gz", T1, sidecar={"RepetitionTime": 0.6})
    save(anat / "sub-01_ses-1_T2map.nii.gz", 0.1 * T1, sidecar={"Units": "s"})
    save(anat / "sub-01_ses-1_T1map.nii.gz", T1, sidecar={"Units": "s"})
    save(tmp_path / "derivatives/x/sub-01/anat/sub-01_desc-brain_mask.nii", (numbered() > 9).astype(np.uint8))
    found = read_folder(tmp_path)
    assert [each.suffix for each in found] == ["T1map", "T2map", "T1w", "mask"]
    assert found[0].name == "sub-01 ses-1 T1map"
    assert found[2].sidecar == {"EchoTime": 0.01, "RepetitionTime": 0.6}


def test_repeated_names_get_their_folder_and_broken_files_are_left_out(tmp_path):
    for place in ("lr", "truth"):
        save(tmp_path / place / "sub-01_T1map.nii", T1, sidecar={"Units": "s"})
    (tmp_path / "broken.nii").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"Left out of .*broken\.nii could not be read"):
        found = read_folder(tmp_path)
    assert [each.name for each in found] == ["sub-01 T1map (lr)", "sub-01 T1map (truth)"]


def test_the_number_of_images_is_limited(tmp_path):
    for number in range(42):
        save(tmp_path / f"sub-{number:02}_func-x_T1w.nii", np.zeros((2, 2, 2), np.uint8))
    save(tmp_path / "func" / "sub-01_bold.nii", np.zeros((2, 2, 2, 2), np.uint8))
    with pytest.warns(UserWarning, match="1 images that are not anatomical. 2 of 42 images"):
        assert len(read_folder(tmp_path)) == 40


def test_missing_deep_and_hidden_files_are_skipped(tmp_path):
    save(tmp_path / "sub-1_T1w.nii", numbered())
    save(tmp_path / ".git" / "sub-1_T2w.nii", numbered())
    save(tmp_path.joinpath(*"abcdefgh") / "sub-1_FLAIR.nii", numbered())
    (tmp_path / "sub-3_T1w.hdr").write_bytes(b"")  # without its .img
    (tmp_path / "sub-2_T1w.nii").symlink_to(tmp_path / "not-fetched")
    with pytest.warns(UserWarning, match=r"sub-2_T1w\.nii does not exist"):
        assert [each.name for each in read_folder(tmp_path)] == ["sub-1 T1w"]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"It holds no file that ends in \.nii"):
        read_folder(tmp_path)
    (tmp_path / "IM0001.dcm").write_bytes(b"DICM")
    with pytest.raises(ValueError, match="It holds DICOM files: convert them first"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        read_folder(tmp_path / "no")


def test_datasets_are_described_once_and_ignored_patterns_added(tmp_path):
    assert ignore_in_dataset(tmp_path, ["*_conflict.*"]) == []  # not a dataset
    (path,) = describe_dataset(tmp_path, "Maps")
    described = json.loads(path.read_text())
    assert (described["Name"], described["DatasetType"]) == ("Maps (synthetic: research use)", "derivative")
    assert describe_dataset(tmp_path, "Other") == []
    (tmp_path / ".bidsignore").write_text("mine/")
    assert ignore_in_dataset(tmp_path, ["*_conflict.*", "mine/"])
    assert ignore_in_dataset(tmp_path, ["*_conflict.*"]) == []
    assert (tmp_path / ".bidsignore").read_text() == "mine/\n*_conflict.*\n"
