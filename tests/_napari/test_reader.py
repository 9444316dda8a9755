"""Files and folders open as layers: named, in one display frame, with every assumption in a warning."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from npe2 import PluginManifest
from volume_cases import AFFINE, numbered, rotation, small_run

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.reader import Notice, get_reader
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.result_layers import result_layers
from napari_swig_qmri.super_resolution.results import save_super_resolution

PLUGIN = "napari-swig-qmri"
TILT = rotation((5, -3, 8))


def save(path: Path, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(numbered() if data is None else data, affine), path)
    return str(path)


@pytest.mark.parametrize("name", ["a_T1w.nii", "a_T1w.nii.gz", "a_T1w.NII.GZ", "my.scan_T1w.nii.gz", "a_T1w.img"])
def test_napari_finds_the_reader(tmp_path, plugin, name):
    path = tmp_path / name
    (nib.Nifti1Pair if name.endswith("img") else nib.Nifti1Image)(numbered(), AFFINE).to_filename(path)
    assert PLUGIN in {reader.plugin_name for reader in plugin.iter_compatible_readers([str(path)])}
    ((data, attributes, kind),) = get_reader(str(path))(str(path))
    assert (kind, data.shape) == ("image", (7, 6, 5))
    assert LayerRecord.of(attributes).volume.suffix == "T1w"


def test_napari_finds_the_reader_of_folders_only_where_there_are_images(tmp_path, plugin):
    save(tmp_path / "full" / "sub-1_T1w.nii")
    (tmp_path / "empty").mkdir()
    assert PLUGIN in {r.plugin_name for r in plugin.iter_compatible_readers([str(tmp_path / "full")])}
    assert get_reader(str(tmp_path / "full")) is not None
    assert get_reader(str(tmp_path / "empty")) is None


def test_other_files_are_left_to_others(tmp_path, plugin):
    (tmp_path / "a.tif").touch()
    assert not list(plugin.iter_compatible_readers([str(tmp_path / "a.tif")]))
    assert get_reader(str(tmp_path / "a.tif")) is None


def test_what_was_assumed_is_one_warning_with_every_sentence_once(tmp_path):
    paths = [save(tmp_path / f"{name}.nii", 1 / numbered()) for name in ("qT1", "sub-1_T2map")]
    with pytest.warns(UserWarning, match="Taken as") as seen:
        get_reader(paths)(paths)
    assert len(seen) == 1
    text = str(seen[0].message)
    assert "Taken as T1map because of its name, 'qT1'. (qT1 (ms))" in text
    assert text.count("No unit given: s assumed from the size of the values") == 1
    assert "(all 2 images)" in text


def test_tilted_paths_opened_together_share_a_frame_and_say_so(tmp_path):
    tilts = [TILT @ AFFINE, TILT @ np.diag([1, 2, 1, 1]) @ AFFINE, rotation((9, 0, 0)) @ AFFINE]
    paths = [save(tmp_path / f"sub-{i}_T1w.nii", affine=tilt) for i, tilt in enumerate(tilts)]
    with pytest.warns(Notice) as seen:
        layers = get_reader(paths)(paths)
    tilt, interpolated = (str(notice.message) for notice in seen)
    assert tilt.startswith("Slices tilted by 9.8 degrees are shown straight")
    assert interpolated.startswith("Interpolated")
    assert interpolated.endswith("(sub-2 T1w)")
    frames = [LayerRecord.of(attributes).frame for _, attributes, _ in layers]
    np.testing.assert_array_equal(frames[0], frames[2])


def test_a_tilt_is_told_once_and_in_one_line(tmp_path):
    one, two, other = (
        save(tmp_path / name, affine=rotation((angle, 0, 0)) @ AFFINE)
        for name, angle in (("1_T1w.nii", 11), ("2_T1w.nii", 11), ("3_T1w.nii", 12))
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for paths in ([one], [one, two], [two], [other]):
            get_reader(paths)(paths)
    assert [str(notice.message).split(" are ")[0] for notice in seen] == [
        "Slices tilted by 11.0 degrees",
        "Slices tilted by 12.0 degrees",
    ]
    shown = warnings.formatwarning(seen[0].message, seen[0].category, seen[0].filename, seen[0].lineno)
    assert shown.startswith("napari-swig-qmri:1: Notice: Slices")
    assert shown.count("\n") == 1


def test_files_of_one_name_from_two_folders_get_names_of_their_own(tmp_path):
    paths = [save(tmp_path / place / "sub-1_T1w.nii") for place in ("before", "after")]
    names = [attributes["name"] for _, attributes, _ in get_reader(paths)(paths)]
    assert names == ["sub-1 T1w (before)", "sub-1 T1w (after)"]


def test_a_saved_run_opens_as_it_was_after_the_run(tmp_path):
    run = small_run()
    save_super_resolution(run, tmp_path, stem="sub-07", field_strength=1.5)
    layers = get_reader(tmp_path)(tmp_path)
    after = {attributes["name"]: attributes for _, attributes, _ in result_layers(run)}
    names = [attributes["name"] for _, attributes, _ in layers]
    shown = [attributes["name"] for _, attributes, _ in layers if attributes.get("visible", True)]
    assert shown == names[-3:] == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert set(names) - set(after) == {"sub-07 T1w synthesised", "sub-07 T2w synthesised"}
    t1 = from_layer(*layers[-2][:2])
    np.testing.assert_allclose(t1.data, run.maps["T1"], rtol=2e-7)
    assert layers[-2][1]["contrast_limits"] == (200, 2000)


def test_saved_runs_of_two_subjects_stay_apart(tmp_path):
    for stem in ("sub-07", "sub-08"):
        save_super_resolution(small_run(), tmp_path, stem=stem)
    names = [attributes["name"] for _, attributes, _ in get_reader(tmp_path)(tmp_path)]
    assert "sub-07 desc-swig T1map (ms)" in names
    assert len(set(names)) == len(names)


def test_what_a_run_leaves_beside_its_maps_is_shown_when_opened_alone(tmp_path):
    save_super_resolution(small_run(), tmp_path)
    ((_, attributes, _),) = get_reader(tmp_path)(tmp_path / "sub-01" / "anat" / "sub-01_desc-swig_conflict.nii.gz")
    assert attributes.get("visible", True)


def test_every_command_of_the_manifest_exists():
    manifest = PluginManifest.from_distribution(PLUGIN)
    assert manifest.contributions.commands
    manifest.validate_imports()


def test_a_file_that_cannot_be_read_costs_the_others_a_notice(tmp_path):
    (tmp_path / "bad.nii").write_bytes(b"bad")
    paths = [save(tmp_path / "sub-1_T1w.nii"), str(tmp_path / "bad.nii")]
    with pytest.warns(Notice, match=r"bad\.nii could not be read"):
        assert len(get_reader(paths)(paths)) == 1
    with pytest.raises(ValueError, match=r"^bad\.nii could not be read"):
        get_reader(paths[1])(paths[1])


def test_notifications_hold_no_html(tmp_path):
    name = "<img src='x.png'>_T1w.nii"
    paths = [save(tmp_path / "sub-1_T1w.nii"), str(tmp_path / name)]
    (tmp_path / name).write_bytes(b"bad")
    for opened in (paths, [str(tmp_path)]):
        with pytest.warns(Notice) as seen:
            get_reader(opened)(opened)
        text = " ".join(str(notice.message) for notice in seen)
        assert "‹img src='x.png'›_T1w.nii could not be read" in text
        assert "<" not in text
    with pytest.raises(ValueError, match="‹img"):
        get_reader(paths[1])(paths[1])
