"""Maps, guides and masks from files and folders, and the subject in their names."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from export_cases import EXPORTS, write
from volume_cases import AFFINE, numbered, volume

from napari_swig_qmri.data.inputs import read_guides, read_inputs, read_maps, subject_of
from napari_swig_qmri.data.volumes import VoxelGrid

GRID = VoxelGrid(numbered().shape, AFFINE)


def save(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """T1 and T2 maps in ms, and two weighted images."""
    for name, scale in (("T1map", 8), ("T2map", 0.5), ("T1w", 1), ("T2w", 1)):
        save(tmp_path / "in" / f"sub-07_{name}.nii.gz", scale * numbered())
    return tmp_path / "in"


def test_maps_of_a_folder_are_read_and_other_images_ignored(folder: Path) -> None:
    given = read_maps([folder], "ms")
    assert given.maps.names == ("T1", "T2")
    assert [path.name for path in given.paths] == ["sub-07_T1map.nii.gz", "sub-07_T2map.nii.gz"]
    np.testing.assert_allclose(given.maps["T1"], 8e-3 * numbered(), rtol=1e-5)
    assert given.notices == ()
    assert any("ms assumed" in notice for notice in read_maps([folder]).notices)


def test_a_named_file_is_the_map_that_it_is_named_whatever_its_own_name(folder: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "sub-9_T1w (copy).nii", 9 * numbered())
    given = read_maps([folder], "ms", {"T1": other})
    assert (given.maps.names, given.paths[0]) == (("T1", "T2"), other)
    np.testing.assert_allclose(given.maps["T1"], 9e-3 * numbered(), rtol=1e-5)
    rates = save(tmp_path / "R1map.nii", 100 / (1 + numbered()))
    np.testing.assert_allclose(read_maps([], "s", {"T1": rates}).maps["T1"], (1 + numbered()) / 100, rtol=1e-5)
    (notice,) = read_maps([], "ms", {"T1": folder / "sub-07_T2map.nii.gz"}).notices
    assert "Taken as a T1 map as you say, although it looks like a T2map." in notice


def test_files_that_are_no_maps_are_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.nii does not exist"):
        read_inputs([Path("no.nii")])
    with pytest.raises(ValueError, match=r"is a T1w, not a PD, T1 or T2 map: .* name it as `guide`"):
        read_inputs([folder / "sub-07_T1w.nii.gz"])
    with pytest.raises(ValueError, match="no PD, T1 or T2 map in "):
        read_maps([save(folder.parent / "only" / "sub-1_T1w.nii", numbered()).parent])


def test_rates_beside_their_times_are_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "both", *EXPORTS["SyMRI"](), *EXPORTS["SyMRI rates"]()[:2])
    given = read_maps([folder])
    assert given.maps.names == ("PD", "T1", "T2")
    assert "SyMRI R1: left out, because 501 SyMRI holds the same as times." in given.notices


def test_guides_are_the_weighted_images_each_once(folder: Path, tmp_path: Path) -> None:
    assert [guide.name for guide in read_guides([folder])] == ["sub-07 T1w", "sub-07 T2w"]
    with pytest.raises(ValueError, match=r"the guide sub-07_T1w.nii.gz was given twice"):
        read_guides([folder, folder / "sub-07_T1w.nii.gz"])
    save(tmp_path / "maps" / "sub-1_T1map.nii", 8 * numbered())
    with pytest.raises(ValueError, match="no weighted image in "):
        read_guides([tmp_path / "maps"])


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        ([], "sub-unnamed"),
        (["qT1.nii.gz"], "sub-unnamed"),
        (["sub-01_ses-2_acq-x_T1map.nii.gz"], "sub-01_ses-2"),
        (["other_PDmap.nii", "sub-04_ses-1_T1map.nii"], "sub-04_ses-1"),
        (["anna_T1map.nii.gz", "anna_PDmap.nii.gz"], "sub-anna"),
        (["patient7-t2-map-final.nii"], "sub-patient7final"),
        (["anna_ses-2_acq-x_T1map.hdr"], "sub-anna_ses-2"),
        (["anna-miller_desc-lr_T2map.nii"], "sub-annamiller"),
    ],
)
def test_the_subject_in_file_names(names: list[str], subject: str) -> None:
    assert subject_of([volume(path=Path("folder") / name) for name in names]) == subject


def test_maps_of_two_subjects_are_refused_or_told(folder: Path) -> None:
    other = save(folder.parent / "more" / "sub-08_PDmap.nii.gz", numbered())
    about = "sub-07 T1map: Of sub-07 by its name, but the first map is of sub-08: check that they show the same head."
    assert about in read_maps([other, folder], "ms").notices
    save(folder / "sub-08" / "sub-08_T1map.nii.gz", 8 * numbered())
    with pytest.raises(ValueError, match=r"in holds maps of 2 subjects, sub-07 and sub-08 among them: choose the"):
        read_maps([folder], "ms")


def test_results_beside_measured_maps_are_left_out_unless_they_are_named(folder: Path) -> None:
    made = {"GeneratedBy": [{"Name": "napari-swig-qmri"}], "Parameters": {}}
    result = save(folder / "sub-07_desc-swig_T1map.nii.gz", 9 * numbered())
    for name in ("desc-swig_T1map", "desc-swigsynth_T1w"):
        (folder / f"sub-07_{name}.json").write_text(json.dumps(made))
    save(folder / "sub-07_desc-swigsynth_T1w.nii.gz", numbered())
    given = read_maps([folder], "ms")
    np.testing.assert_allclose(given.maps["T1"], 8e-3 * numbered(), rtol=1e-5)
    assert "sub-07 desc-swig T1map: left out, because it is a result of this software and" in given.notices[0]
    np.testing.assert_allclose(read_maps([result], "ms").maps["T1"], 9e-3 * numbered(), rtol=1e-5)
    with pytest.raises(ValueError, match="one map per quantity"):
        read_maps([folder, result], "ms")
    with pytest.warns(UserWarning, match="Left out of in: sub-07 desc-swigsynth T1w, computed by this software"):
        assert [guide.name for guide in read_guides([folder])] == ["sub-07 T1w", "sub-07 T2w"]
    for path in folder.glob("sub-07_T*map*"):
        path.unlink()
    np.testing.assert_allclose(read_maps([folder], "ms").maps["T1"], 9e-3 * numbered(), rtol=1e-5)


def test_a_folder_gives_ordinary_guides_only(folder: Path) -> None:
    """Phases are no weighted images, and enhanced ones and single inversions are guides only by name."""
    names = ("ce-gadolinium_T1w", "part-phase_T1w", "inv-1_MP2RAGE")
    others = [save(folder / f"sub-07_{name}.nii.gz", numbered()) for name in names]
    with pytest.warns(UserWarning, match="Left out: sub-07 ce-gadolinium T1w .* sub-07 inv-1 MP2RAGE .*by its name"):
        guides = read_guides([folder])
    assert [guide.suffix for guide in guides] == ["T1w", "T2w"]
    assert read_guides([others[0]])[0].suffix == "T1w"


def test_maps_that_are_not_used_are_mentioned(folder: Path) -> None:
    save(folder / "sub-07_R2starmap.nii.gz", 20 + 0.01 * numbered())
    save(folder.parent / "fmap" / "sub-07_TB1map.nii.gz", np.ones_like(numbered()))
    notices = read_maps([folder], "ms").notices
    assert any("sub-07 R2starmap: left out" in notice for notice in notices)
    assert any("sub-07_TB1map.nii.gz: a map of the transmit field, not used here" in notice for notice in notices)
