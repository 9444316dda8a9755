"""A result shows itself in one line, and gives its maps as images and as files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fnmatch import fnmatch

import nibabel as nib
import numpy as np
import pytest
from volume_cases import small_run

from napari_swig_qmri.data.interpretation import as_maps
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.storage.files import read_folder
from napari_swig_qmri.super_resolution.results import Verdict, save_super_resolution


def test_the_repr_is_one_line():
    assert repr(small_run()) == (
        "<SuperResolution: PD, T1, T2 on 4 x 6 x 8 voxels of 2 x 1.5 x 3 mm, method posterior, "
        "guides sub-01 T1w, sub-01 T2w; verdict good>"
    )


def test_maps_become_nifti_images_in_seconds_that_say_they_are_synthetic():
    result = small_run()
    images = result.to_nifti()
    assert tuple(images) == result.maps.names
    for name, image in images.items():
        np.testing.assert_allclose(image.get_fdata(), result.maps[name], rtol=1e-6)
        np.testing.assert_array_equal(image.affine, result.maps.grid.affine)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        assert bytes(image.header["descrip"]).decode().startswith(RESEARCH_NOTICE)


def test_a_result_saves_itself(tmp_path):
    result = small_run()
    paths = result.save(tmp_path, stem="sub-02")
    saved = {path.name: path for path in paths}
    np.testing.assert_allclose(
        nib.load(saved["sub-02_desc-swig_T1map.nii.gz"]).get_fdata(), result.maps["T1"], rtol=1e-6
    )
    with pytest.raises(FileExistsError, match="`overwrite`"):
        result.save(tmp_path, stem="sub-02")
    assert set(result.save(tmp_path, stem="sub-02", overwrite=True)) <= set(paths)


def test_assumptions_and_verdict_are_saved(tmp_path):
    run = replace(small_run(), verdict=Verdict("look", ("The guides disagree.",)))
    sidecar = json.loads(save_super_resolution(run, tmp_path / "out")[1].read_text())
    assert sidecar["Assumed"] == list(run.notices)
    assert (sidecar["Verdict"], sidecar["Reasons"]) == ("look", ["The guides disagree."])


@pytest.mark.parametrize(
    ("sources", "stem"),
    [
        (["maps/T1map.nii", "raw/sub-07_ses-2_T1w.nii.gz", "sub-08.nii"], "sub-07_ses-2"),
        (["in/sub-08.nii"], "sub-08"),
        (["T1.nii"], "sub-01"),
    ],
)
def test_files_are_named_by_the_subject_of_the_sources(tmp_path, sources, stem):
    paths = save_super_resolution(small_run(), tmp_path / "out", sources=[tmp_path / source for source in sources])
    assert paths[0].name.startswith(f"{stem}_desc-swig")


def test_results_without_a_bids_name_are_in_bidsignore(tmp_path):
    (tmp_path / ".bidsignore").write_text("mine/")
    paths = save_super_resolution(small_run(), tmp_path)
    first, *lines = (tmp_path / ".bidsignore").read_text().splitlines()
    assert first == "mine/"
    ignored = {path.name for path in paths if any(fnmatch(path.name, line) for line in lines)}
    assert {name for name in ignored if name.endswith(".nii.gz")} == {
        path.name for path in paths if re.search(r"_(\w*residual|\w*evidence|conflict|weighted)\.nii\.gz$", path.name)
    }
    assert ignored
    assert not any("map" in name for name in ignored)


def test_a_run_becomes_a_derivative_dataset(tmp_path):
    run = small_run()
    paths = save_super_resolution(run, tmp_path / "out", sources=[tmp_path / "raw" / "sub-01_T1map.nii.gz"])
    anat = tmp_path / "out" / "sub-01" / "anat"
    names = {path.name for path in paths}
    assert {"sub-01_desc-swig_T1map.nii.gz", "sub-01_desc-swigsynth_T2w.nii.gz"} <= names
    assert {"sub-01_desc-swig_T1residual.nii.gz", "sub-01_desc-swig_conflict.nii.gz"} <= names
    described = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "napari-swig-qmri"
    sidecar = json.loads((anat / "sub-01_desc-swig_T1map.json").read_text())
    assert sidecar["Units"] == "s"
    assert sidecar["Notice"] == "synthetic: research use"
    assert sidecar["Parameters"] == run.parameters
    assert sidecar["Sources"] == ["../../../raw/sub-01_T1map.nii.gz"]
    assert sidecar["PackageVersions"]["numpy"] == np.__version__
    stored = nib.load(anat / "sub-01_desc-swig_T1map.nii.gz")
    assert stored.header["descrip"].item() == b"synthetic: research use"
    np.testing.assert_array_equal(np.asarray(stored.dataobj), run.maps["T1"])


def test_a_result_without_finite_values_is_not_saved(tmp_path):
    run = small_run()
    run.maps["T1"][:] = np.nan
    with pytest.raises(ValueError, match="T1 hold no finite value, so nothing was saved"):
        save_super_resolution(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_saved_run_reads_back_and_is_not_overwritten(tmp_path):
    run = small_run()
    save_super_resolution(run, tmp_path, stem="sub-02_ses-1")
    found = read_folder(tmp_path)
    assert [v.suffix for v in found[:3]] == ["PDmap", "T1map", "T2map"]
    assert not any(v.notices for v in found)
    np.testing.assert_array_equal(as_maps(found[:3]).data, run.maps.data)
    with pytest.raises(FileExistsError, match="use `overwrite`"):
        save_super_resolution(run, tmp_path, stem="sub-02_ses-1")
    assert save_super_resolution(run, tmp_path, stem="sub-02_ses-1", overwrite=True)
    with pytest.raises(FileExistsError, match="is a file, but the results go into a folder"):
        save_super_resolution(run, tmp_path / "dataset_description.json")


def test_standard_errors_are_saved_beside_the_maps_and_are_no_maps_when_read(tmp_path):
    result = small_run()
    files = {path.name: path for path in result.save(tmp_path)}
    stored = files["sub-01_desc-swigsd_T1map.nii.gz"]
    np.testing.assert_allclose(nib.load(stored).get_fdata(), result.standard_errors["T1"], rtol=1e-6)
    sidecar = json.loads(files["sub-01_desc-swigsd_T1map.json"].read_text())
    assert sidecar["Units"] == "s"
    assert "Standard error" in sidecar["Description"]
    kinds = {volume.name: volume.suffix for volume in read_folder(tmp_path)}
    assert kinds["sub-01 desc-swigsd T1map"] == "T1error"
    assert sorted(kind for kind in kinds.values() if kind == "T1map") == ["T1map"]


def test_evidence_of_the_lr_maps_is_saved_in_percent_and_is_no_map_when_read(tmp_path):
    files = {path.name: path for path in small_run().save(tmp_path)}
    np.testing.assert_array_equal(nib.load(files["sub-01_desc-swig_T2evidence.nii.gz"]).get_fdata(), 40)
    assert json.loads(files["sub-01_desc-swig_T2evidence.json"].read_text())["Description"].endswith("in percent")
    kinds = {volume.name: volume.suffix for volume in read_folder(tmp_path)}
    assert kinds["sub-01 desc-swig T2evidence"] == "T2evidence"
    assert sorted(kind for kind in kinds.values() if kind == "T2map") == ["T2map"]
