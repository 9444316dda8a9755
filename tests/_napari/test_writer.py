"""Layers are saved as they were opened, under names that say what they are; no file is replaced unasked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from npe2.io_utils import read, write
from volume_cases import AFFINE, CODES, far_from, numbered, painted, rotation, small_run, stored_as, volume

from napari_swig_qmri._napari.layers import from_layer, to_layer_data
from napari_swig_qmri._napari.reader import get_reader
from napari_swig_qmri._napari.result_layers import result_layers
from napari_swig_qmri._napari.writer import write_layer, write_layers
from napari_swig_qmri.data.storage.files import read_volume, write_volume

PLUGIN = "napari-swig-qmri"
TILT = rotation((5, -3, 8))


def save(path: Path, data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(numbered() if data is None else data, affine), path)
    return str(path)


def layer_tuple(**options: object) -> tuple:
    """A layer as napari hands it to a writer."""
    return Layer.create(*to_layer_data(volume(**options))).as_layer_data_tuple()


@pytest.mark.parametrize("affine", [AFFINE, TILT @ AFFINE], ids=["straight", "tilted"])
@pytest.mark.filterwarnings("ignore:Slices tilted")
def test_the_writer_inverts_the_reader(tmp_path, affine):
    for code in CODES[::5]:
        path = str(tmp_path / f"{code}_T1w.nii")
        nib.save(stored_as(code, affine), path)
        ((data, attributes, kind),) = get_reader(path)(path)
        layer = Layer.create(data, attributes, kind)
        written = write_layer(tmp_path / f"{code}_again.nii.gz", *layer.as_layer_data_tuple()[:2])
        before, after = nib.load(path), nib.load(written[0])
        np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (5, 4)])
def test_series_and_single_slices_are_written_as_they_were(tmp_path, shape):
    path = save(tmp_path / "sub-1_T1w.nii", numbered(shape))
    ((data, attributes, kind),) = get_reader(path)(path)
    written = write_layer(tmp_path / "b.nii", *Layer.create(data, attributes, kind).as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(np.asarray(nib.load(written[0]).dataobj), numbered(shape))


def test_the_unit_the_sidecar_and_the_notice_are_kept(tmp_path):
    sidecar = {"Notice": "synthetic: research use", "EchoTime": 0.1}
    data, attributes, _ = layer_tuple(suffix="T1map", unit="s", file_unit="ms", sidecar=sidecar)
    image, json_file = write_layer(tmp_path / "a_T1map.nii", data, attributes)
    assert json.loads(Path(json_file).read_text()) == {**sidecar, "Units": "ms"}
    np.testing.assert_allclose(np.asarray(nib.load(image).dataobj), 1000 * numbered(), rtol=3e-7)
    assert nib.load(image).header["descrip"].item() == b"synthetic: research use"


def test_layers_from_elsewhere_get_an_affine_and_a_notice(tmp_path):
    data, attributes, _ = Image(numbered(), scale=(3, 2, 1), name="other").as_layer_data_tuple()
    with pytest.warns(UserWarning, match="not opened by this plugin"):
        (path,) = write_layer(tmp_path / "a.nii", data, attributes)
    np.testing.assert_allclose(nib.load(path).affine, np.diag([1, 2, 3, 1]))
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), numbered().transpose())


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int32])
def test_labels_stay_whole_numbers(tmp_path, dtype):
    data, attributes, _ = Labels(numbered(dtype=dtype)).as_layer_data_tuple()
    with pytest.warns(UserWarning, match="not opened by this plugin"):
        (path,) = write_layer(tmp_path / "a.nii", data, attributes)
    assert nib.load(path).get_data_dtype().kind in "iu"
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), numbered().transpose())


def test_a_chosen_file_is_replaced_with_a_warning_and_any_other_is_not(tmp_path):
    data, attributes, _ = layer_tuple()
    write_layer(tmp_path / "a.nii.gz", data, attributes)
    with pytest.warns(UserWarning, match=r"Replaced a\.nii\.gz"):
        write_layer(tmp_path / "a.nii.gz", 2 * data, attributes)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, 2 * numbered())
    with pytest.raises(FileExistsError, match=r"a\.nii\.gz"):
        write_layer(tmp_path / "a", data, attributes)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").data, 2 * numbered())


@pytest.mark.parametrize(("beside", "name"), [("a.json", "a.nii.gz"), ("a.img", "a.hdr"), ("a.nii.gz", "a")])
def test_a_file_that_no_dialog_asked_about_is_not_replaced(tmp_path, beside, name):
    (tmp_path / beside).write_text("{}")
    data, attributes, _ = layer_tuple(suffix="T1map", unit="s")
    with pytest.raises(FileExistsError, match=f"{beside} already in .*: choose another name or remove it"):
        write_layer(tmp_path / name, data, attributes)
    assert [path.name for path in tmp_path.iterdir()] == [beside]
    assert (tmp_path / beside).read_text() == "{}"


def test_several_layers_replace_no_sidecar_and_write_nothing_then(tmp_path):
    (tmp_path / "out_b.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"out_b\.json"):
        write_layers(tmp_path / "out.nii", [layer_tuple(name="a"), layer_tuple(name="b")])
    assert [path.name for path in tmp_path.iterdir()] == ["out_b.json"]


def test_an_unknown_extension_is_a_sentence(tmp_path):
    data, attributes, _ = layer_tuple()
    with pytest.raises(ValueError, match=r"'a\.png' does not end in one of \.nii\.gz"):
        write_layer(tmp_path / "a.png", data, attributes)
    assert list(tmp_path.iterdir()) == []


def test_several_layers_fill_a_folder_with_bids_like_names(tmp_path):
    layers = [
        layer_tuple(name="sub-1 T1map (lr)", suffix="T1map", unit="s"),
        layer_tuple(name="sub-1 T1map (truth)", suffix="T1map", unit="s"),
        layer_tuple(name="mine / yours"),
        layer_tuple(name="mine : yours"),
    ]
    written = write_layers(tmp_path / "out", layers)
    assert [Path(path).name for path in written if not path.endswith("json")] == [
        "sub-1_desc-lr_T1map.nii.gz",
        "sub-1_desc-truth_T1map.nii.gz",
        "mine_-_yours.nii.gz",
        "mine_-_yours-2.nii.gz",
    ]
    with pytest.raises(FileExistsError, match="sub-1_desc-lr_T1map"):
        write_layers(tmp_path / "out", layers)
    with pytest.raises(ValueError, match="select one or more"):
        write_layers(tmp_path / "none", [])


def test_several_layers_with_one_name_lie_beside_each_other(tmp_path):
    written = write_layers(tmp_path / "out.nii", [layer_tuple(name="a"), layer_tuple(name="b")])
    assert sorted(Path(path).name for path in written) == ["out_a.nii", "out_b.nii"]


@pytest.mark.parametrize(("suffix", "unit"), [("T1map", "s"), ("R2map", "1/s"), ("FLAIR", None)])
def test_a_free_name_keeps_the_kind_and_the_unit(tmp_path, suffix, unit):
    data, attributes, _ = layer_tuple(data=numbered() / 100, suffix=suffix, unit=unit)
    write_layer(tmp_path / "mine.nii.gz", data, attributes)
    again = read_volume(tmp_path / "mine.nii.gz")
    assert (again.suffix, again.unit, again.notices) == (suffix, unit, ())
    ((shown, *_),) = get_reader(str(tmp_path / "mine.nii.gz"))(tmp_path / "mine.nii.gz")
    np.testing.assert_allclose(shown, data, rtol=3e-7)


def run_layers(folder: Path) -> list[tuple]:
    """Layers of a run on files of a subject."""
    origin = {"Sources": [str(folder / "sub-07_ses-2_T1map.nii.gz"), str(folder / "sub-07_ses-2_T1w.nii.gz")]}
    return [Layer.create(*layer).as_layer_data_tuple() for layer in result_layers(small_run(), origin=origin)]


def image_names(written: list[str]) -> list[str]:
    return [Path(path).name for path in written if not path.endswith("json")]


def test_layers_of_a_run_are_saved_under_the_names_of_a_derivative(tmp_path):
    layers = run_layers(tmp_path)
    written = write_layers(tmp_path / "out", layers)
    assert image_names(written)[-11:] == [
        "sub-07_ses-2_desc-swig_T2residual.nii.gz",
        "sub-07_ses-2_desc-swig_conflict.nii.gz",
        *(f"sub-07_ses-2_desc-swigsd_{suffix}.nii.gz" for suffix in ("PDmap", "T1map", "T2map")),
        *(f"sub-07_ses-2_desc-swig_{suffix}.nii.gz" for suffix in ("PDevidence", "T1evidence", "T2evidence")),
        *(f"sub-07_ses-2_desc-swig_{suffix}.nii.gz" for suffix in ("PDmap", "T1map", "T2map")),
    ]
    maps = layers[-3:]
    typed = write_layers(tmp_path / "best try.nii.gz", maps)
    assert image_names(typed)[1] == "sub-07_ses-2_desc-swigbesttry_T1map.nii.gz"
    assert image_names(write_layers(tmp_path / "sub-08.nii", maps))[1] == "sub-08_desc-swig_T1map.nii"
    again = read_volume(typed[0])
    assert again.sidecar["Sources"] == ["sub-07_ses-2_T1map.nii.gz", "sub-07_ses-2_T1w.nii.gz"]


def test_sources_are_named_as_seen_from_the_new_file(tmp_path):
    (tmp_path / "deep").mkdir()
    first = write_layer(tmp_path / "deep" / "mine.nii", *run_layers(tmp_path)[-2][:2])
    assert read_volume(first[0]).sidecar["Sources"][0] == "../sub-07_ses-2_T1map.nii.gz"
    ((data, attributes, _),) = get_reader(first[0])(first[0])
    second = write_layer(tmp_path / "again.nii", data, attributes)
    assert read_volume(second[0]).sidecar["Sources"][0] == "sub-07_ses-2_T1map.nii.gz"


def test_a_second_run_is_saved_beside_the_first(tmp_path):
    run = replace(from_layer(*run_layers(tmp_path)[-2][:2]), name="T1 SR run 2")
    assert image_names(write_layers(tmp_path / "out", [to_layer_data(run)] * 2)) == [
        "sub-07_ses-2_desc-swig2_T1map.nii.gz",
        "sub-07_ses-2_desc-swig22_T1map.nii.gz",
    ]


def test_npe2_reads_and_writes_through_the_manifest(tmp_path, plugin):
    path = save(tmp_path / "sub-1_T2w.nii.gz")
    (layer,) = read([path], stack=False, plugin_name=PLUGIN)
    layer = Layer.create(*layer).as_layer_data_tuple()
    for name in ("b.nii", "c.nii.gz", "d"):
        assert write(str(tmp_path / name), [layer], plugin_name=PLUGIN)[0].startswith(str(tmp_path / name))
    assert len(write(str(tmp_path / "all"), [layer, layer], plugin_name=PLUGIN)) == 2
    assert (tmp_path / "all" / "sub-1_desc-2_T2w.nii.gz").exists()


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore:Slices tilted")
def test_a_real_window_shows_maps_in_colour_and_saves_them(tmp_path, plugin, make_napari_viewer_proxy):
    ramp = np.linspace(0.5, 2.0, 20 * 21 * 22, dtype=np.float32).reshape(20, 21, 22)
    t1 = volume(data=ramp, affine=TILT @ AFFINE, suffix="T1map", unit="s", name="t1")
    write_volume(t1, tmp_path / "sub-1_T1map.nii.gz")
    viewer = make_napari_viewer_proxy(show=True)
    (layer,) = viewer.open(tmp_path / "sub-1_T1map.nii.gz", plugin=PLUGIN)
    assert layer.name == "sub-1 T1map (ms)"
    assert layer.colormap.name.startswith("Lipari")
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    coloured = np.ptp(picture, axis=-1) > 20
    assert coloured.mean() > 0.05
    saved = viewer.layers.save(str(tmp_path / "copy_T1map.nii.gz"), plugin=PLUGIN)
    np.testing.assert_allclose(np.asarray(nib.load(saved[0]).dataobj), ramp, rtol=3e-7)
    np.testing.assert_allclose(nib.load(saved[0]).affine, TILT @ AFFINE, atol=1e-5)


@pytest.mark.gui
@pytest.mark.filterwarnings("ignore:Slices tilted")
def test_labels_drawn_in_two_windows_of_different_tilts_are_saved_where_they_were_drawn(
    tmp_path, plugin, make_napari_viewer_proxy
):
    viewers = {angle: make_napari_viewer_proxy() for angle in (8, -20)}
    drawn = {}
    for angle, viewer in viewers.items():
        (image,) = viewer.open(
            save(tmp_path / f"{angle}_T1w.nii", affine=rotation((angle, 0, 0)) @ AFFINE), plugin=PLUGIN
        )
        drawn[angle] = viewer.add_layer(painted(image, (3, 1, 5)))
    for angle, labels in drawn.items():
        (path, *_) = labels.save(str(tmp_path / f"labels{angle}.nii.gz"), plugin=PLUGIN)
        assert far_from(path, (rotation((angle, 0, 0)) @ AFFINE @ (3, 1, 5, 1))[:3]) < 0.75
