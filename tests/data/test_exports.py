"""Maps of other tools: their files are recognised, in their units, and what was assumed is told."""

from __future__ import annotations

import numpy as np
import pytest
from export_cases import EXPORTS, Exported, truth, write
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.data.files import read_folder, read_volume, read_volumes
from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES, as_maps, is_map, quantity_values
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import SEQUENCES, Spgr, SpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast

KINDS = {
    "SyMRI": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary"},
    "SyMRI rates": {"R1map": "1/s", "R2map": "1/s", "PDmap": "arbitrary"},
    "MAGiC stack": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary"},
    "QALAS": {"T1map": "ms", "T2map": "ms", "PDmap": "arbitrary", "T1w": None},
    "MRF": {"T1map": "ms", "T2map": "ms", "M0map": "arbitrary"},
    "MP2RAGE": {"T1map": "ms", "UNIT1": None, "MP2RAGE": None},
    "hMRI": {"R1map": "1/s", "R2starmap": "1/s", "PDmap": "arbitrary", "TB1map": "percent"},
}


@pytest.mark.parametrize("tool", EXPORTS)
def test_kinds_and_units_are_found(tmp_path, tool):
    volumes = read_folder(write(tmp_path, *EXPORTS[tool]()))
    assert {volume.suffix: volume.file_unit for volume in volumes} == KINDS[tool]


@pytest.mark.parametrize("tool", EXPORTS)
def test_maps_come_in_seconds(tmp_path, tool):
    expected = truth()
    maps = as_maps([volume for volume in read_folder(write(tmp_path, *EXPORTS[tool]())) if is_map(volume)])
    tissue = (expected["T1"] > 0) & (expected["T1"] < 4)  # fluid is cut off in some
    for name in maps.names:
        if name == "PD":  # keeps its scale
            ratio = maps["PD"][tissue] / expected["PD"][tissue]
            np.testing.assert_allclose(ratio, ratio[0], rtol=0.01)  # whole percent
        else:
            np.testing.assert_allclose(maps[name][tissue], expected[name][tissue], rtol=1e-5)


@pytest.mark.parametrize("tool", EXPORTS)
def test_an_assumed_unit_is_told(tmp_path, tool):
    for volume in read_folder(write(tmp_path, *EXPORTS[tool]())):
        if volume.unit == "s":
            assert any("No unit given: ms assumed" in notice for notice in volume.notices), volume.name


def test_where_a_map_was_cut_off_is_told(tmp_path):
    told = {volume.suffix: " ".join(volume.notices) for volume in read_folder(write(tmp_path, *EXPORTS["SyMRI"]()))}
    assert "Cut off at 4000 ms: 20.0 % of its voxels" in told["T1map"]  # two rows of ten
    assert "Cut off at 1500 ms" in told["T2map"]
    assert "Cut off" not in told["PDmap"]


def test_the_maps_of_one_file_are_told_apart_by_name(tmp_path):
    q = truth()
    stack = np.stack([q["PD"], 1e3 * q["T1"]], axis=-1)
    write(tmp_path, Exported(name="anna_qmaps_PD_T1", values=stack), Exported(name="anna_PD_T1", values=stack))
    first, second = read_volumes(tmp_path / "anna_qmaps_PD_T1.nii.gz")
    assert (first.suffix, second.suffix, second.file_unit) == ("PDmap", "T1map", "ms")
    assert "taken as PDmap, T1map in this order" in second.notices[0]
    assert [volume.data.shape for volume in read_volumes(tmp_path / "anna_PD_T1.nii.gz")] == [stack.shape]


@pytest.mark.parametrize(
    ("suffix", "name", "factor", "unit"),
    [
        ("T1map", "T1", 1e4, "0.1 ms"),
        ("T1map", "T1", 1e6, "us"),
        ("T2map", "T2", 1e6, "us"),
        ("R1map", "R1", 1e3, "mHz"),
        ("TB1map", "B1", 1, "arbitrary"),
        ("TB1map", "B1", 100, "percent"),
    ],
)
def test_unusual_units_are_told_and_read(tmp_path, suffix, name, factor, unit):
    q = truth()
    values = np.divide(1, q["T1"], out=np.zeros(q["T1"].shape), where=q["T1"] > 0) if name == "R1" else q[name]
    write(tmp_path, Exported(name=f"sub-1_{suffix}", values=factor * values))
    found = read_volume(tmp_path / f"sub-1_{suffix}.nii.gz")
    assert found.file_unit == unit
    assert any("by the size of the values" in told or "from the size of the values" in told for told in found.notices)
    np.testing.assert_allclose(found.data, values, rtol=1e-5)


def test_a_t2_that_may_be_in_tenths_of_a_millisecond_is_doubted(tmp_path):
    write(tmp_path, Exported(name="sub-1_T2map", values=1e4 * truth()["T2"]))
    found = read_volume(tmp_path / "sub-1_T2map.nii.gz")
    assert found.file_unit == "ms"
    assert any('put "Units": "0.1 ms" into its sidecar' in notice for notice in found.notices)
    write(tmp_path, Exported(name="sub-2_T2map", values=1e4 * truth()["T2"], sidecar={"Units": "0.1 ms"}))
    np.testing.assert_allclose(read_volume(tmp_path / "sub-2_T2map.nii.gz").data, truth()["T2"], rtol=1e-5)


@pytest.mark.parametrize(
    ("image_type", "suffix"),
    [
        (["DERIVED", "PRIMARY", "T1"], "T1map"),
        (["DERIVED", "PRIMARY", "QMAP", "T2"], "T2map"),
        (["DERIVED", "PRIMARY", "M", "T2_STAR MAP", "ND"], "T2starmap"),
        (["DERIVED", "PRIMARY", "B1"], "TB1map"),
        ("DERIVED\\PRIMARY\\R1", "R1map"),
        (["DERIVED", "PRIMARY", "T1", "SYNTHETIC"], "T1w"),
        (["DERIVED", "PRIMARY", "T1W_SYNTHETIC"], "T1w"),
        (["DERIVED", "PRIMARY", "FLAIR", "SYNTHETIC"], "FLAIR"),
        (["DERIVED", "PRIMARY", "MYC", "T1"], None),  # a myelin map
        (["ORIGINAL", "PRIMARY", "M"], None),
    ],
)
def test_the_image_type_of_a_derived_series_tells_its_kind(tmp_path, image_type, suffix):
    write(tmp_path, Exported(name="series7", values=1e3 * truth()["T1"], sidecar={"ImageType": image_type}))
    assert read_volume(tmp_path / "series7.nii.gz").suffix == suffix


@pytest.mark.parametrize(
    ("stem", "kind", "suffix"),
    [
        ("anna_T1w_brain", "T1", "T1w"),
        ("t1_mprage_sag", "T1", "T1w"),
        ("anna_flair_reg", "T2", "FLAIR"),
        ("anna_T1w_T1map_brain", "T1", "T1map"),
        ("anna_t1_sag", "T1", "T1map"),
        ("anna_t2star_brain", "T2_STAR MAP", "T2starmap"),
        ("proton_density_syn", "PD", "PDmap"),
        ("t1_mp2rage_sag", "T1", "T1map"),
    ],
)
def test_a_contrast_that_a_name_spells_out_is_believed_before_the_image_type(tmp_path, stem, kind, suffix):
    sidecar = {"ImageType": ["DERIVED", "PRIMARY", kind]}
    write(tmp_path, Exported(name=stem, values=1e3 * truth()["T1"], sidecar=sidecar))
    assert read_volume(tmp_path / f"{stem}.nii.gz").suffix == suffix


@pytest.mark.parametrize(
    ("stem", "suffix"),
    [
        ("qmap_t1_bet", "T1map"),
        ("QALAS_T2", "T2map"),
        ("SyMaps_PD", "PDmap"),
        ("MRF_T1w", "T1w"),
        ("t1_mp2rage_sag_T1map_UNI-DEN", "UNIT1"),
        ("MP2RAGE_UNI", "UNIT1"),
        ("sa2rage_B1map", "TB1map"),
        ("R2star", "R2starmap"),
        ("uni_bonn_T1w", "T1w"),
    ],
)
def test_names_of_tools_tell_the_kind(tmp_path, stem, suffix):
    write(tmp_path, Exported(name=stem, values=truth()["B1"]))
    assert read_volume(tmp_path / f"{stem}.nii.gz").suffix == suffix


def test_a_folder_of_dicom_files_is_told(tmp_path):
    (tmp_path / "IM0001.dcm").write_bytes(b"DICM")
    with pytest.raises(ValueError, match="It holds DICOM files: convert them first"):
        read_folder(tmp_path)


@pytest.mark.parametrize("tool", EXPORTS)
def test_every_sequence_is_rendered_from_an_export_or_refused_in_one_sentence(tmp_path, tool):
    volumes = read_folder(write(tmp_path, *EXPORTS[tool]()))
    decay = [quantity_values(volume) for volume in volumes if volume.suffix in T2STAR_SUFFIXES]
    maps = as_maps([volume for volume in volumes if is_map(volume)])
    given = ContrastMaps(maps=maps, t2star=decay[0] if decay else None)
    enough = {"MP2RAGE": ["mp2rage-uni"], "hMRI": ["spgr", "mprage", "mp2rage-uni"]}.get(tool, list(SEQUENCES))
    for name, kind in SEQUENCES.items():
        if name not in enough:
            with pytest.raises(ValueError, match=f"{kind.title} needs .*: open .*, or choose .*MP2RAGE UNI"):
                lazy_contrast(given, kind.from_typical())
            continue
        signal = np.asarray(lazy_contrast(given, kind.from_typical()))
        assert np.isfinite(signal).all()
        assert np.abs(signal[2, 5, 3]) > 0  # white matter
        assert signal[0, 0, 0] == 0  # air


def test_a_signal_of_an_export_is_worked_out_by_hand(tmp_path):
    maps = as_maps(read_folder(write(tmp_path, *EXPORTS["SyMRI"]())))
    signal = lazy_contrast(ContrastMaps(maps=maps), SpinEcho(echo_time=0.02, repetition_time=0.6))
    by_hand = 70 * (1 - np.exp(-0.6 / 0.85)) * np.exp(-0.02 / 0.07)
    assert signal[2, 5, 3] == pytest.approx(by_hand, rel=1e-5)


def test_maps_without_t1_make_no_contrast():
    maps = QuantitativeMaps(data=np.ones((1, 2, 2, 2)), grid=VoxelGrid((2, 2, 2), np.eye(4)), names=("T2",))
    with pytest.raises(ValueError, match="every contrast needs a T1 map, but the only maps are T2: add a T1 map"):
        lazy_contrast(ContrastMaps(maps=maps), SpinEcho.from_typical())


def test_an_equation_needs_the_maps_that_it_mentions():
    t1 = np.full((2, 3, 4), 1.2)
    maps = QuantitativeMaps(data=t1[None], grid=VoxelGrid((2, 3, 4), np.eye(4)), names=("T1",))
    signal = lazy_contrast(ContrastMaps(maps=maps), UserEquation(text="1 - exp(-TR/T1)", repetition_time=0.6))
    np.testing.assert_allclose(signal[...], 1 - np.exp(-0.5), rtol=1e-6)
    with pytest.raises(ValueError, match="User equation needs T2\\* or T2 besides T1"):
        lazy_contrast(ContrastMaps(maps=maps), UserEquation(text="exp(-TE/T2s)*T1"))


def test_holes_in_a_map_that_a_sequence_does_not_see_leave_no_hole():
    data = np.stack([np.full((2, 2, 2), value) for value in (0.8, 1.2, 0.08)])
    maps = QuantitativeMaps(data=data, grid=VoxelGrid((2, 2, 2), np.eye(4)))
    holes = np.where(np.arange(8).reshape(2, 2, 2) == 3, np.nan, 0.04)
    both = ContrastMaps(maps=maps, t2star=holes)
    assert (np.asarray(lazy_contrast(both, SpinEcho.from_typical())) > 0).all()
    assert (np.asarray(lazy_contrast(both, Spgr.from_typical())) == 0).sum() == 1


@pytest.mark.parametrize("tool", EXPORTS)
def test_the_command_takes_an_export_and_tells_what_was_assumed(tmp_path, tool):
    folder = write(tmp_path / "export", *EXPORTS[tool]())
    words = ["--preset", "MP2RAGE UNI"] if tool in ("MP2RAGE", "hMRI") else ["--preset", "T2w TSE"]
    result = CliRunner().invoke(app, ["synthesize", str(folder), *words, "-o", str(tmp_path / "x.nii.gz")])
    assert result.exit_code == 0, result.stderr
    assert ("1/s" if tool in ("SyMRI rates", "hMRI") else "ms assumed") in result.stderr
    made = read_volume(tmp_path / "x.nii.gz").data
    assert np.abs(made[2, 5, 3]) > 0
    assert made[0, 0, 0] == 0


def test_rates_beside_their_times_are_left_out(tmp_path):
    folder = write(tmp_path / "both", *EXPORTS["SyMRI"](), *EXPORTS["SyMRI rates"]()[:2])
    arguments = ["synthesize", str(folder), "--preset", "T2w TSE", "-o", str(tmp_path / "x.nii.gz")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    assert "SyMRI R1: left out, because 501 SyMRI holds the same as times." in result.stderr
