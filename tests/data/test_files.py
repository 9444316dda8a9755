"""Files: any NIfTI reads, what it holds is found, and writing then reading is the identity."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from volume_cases import AFFINE, CODES, numbered, rotation, small_run, stored_as, volume

from napari_swig_qmri.data.files import read_folder, read_volume, write_volume
from napari_swig_qmri.data.interpretation import as_guide, as_maps, map_notices
from napari_swig_qmri.data.units import with_kind
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.results import save_super_resolution

SHEAR = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, sidecar: dict | None = None) -> Path:
    """Store an image and its sidecar, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    if sidecar is not None:
        path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(sidecar))
    return path


def plausible(suffix: str) -> np.ndarray:
    """Values that could be a map of this kind, in s or 1/s."""
    centre = {"T1map": 1.0, "T2map": 0.08, "R1map": 1.0, "R2map": 12.0}.get(suffix, 0.8)
    return np.linspace(0.8, 1.2, 60, dtype=np.float32).reshape(5, 4, 3) * np.float32(centre)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4", "i8"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr", "a.NII.GZ"])
def test_any_type_and_byte_order_reads(tmp_path, dtype, name):
    data = numbered((5, 4, 3), np.dtype(dtype).newbyteorder("="))
    kind = nib.Nifti1Pair if name.endswith(".hdr") else nib.Nifti1Image
    image = kind(data, AFFINE, dtype=np.dtype(dtype))
    endian = ">" if dtype.startswith(">") else "<"
    image = kind(data, AFFINE, image.header.as_byteswapped(endian), dtype=np.dtype(dtype))
    image.to_filename(tmp_path / name)
    found = read_volume(tmp_path / name)
    np.testing.assert_array_equal(found.data, data)
    assert found.data.dtype in (np.float32, np.float64)
    assert found.data.dtype.isnative
    np.testing.assert_allclose(found.grid.affine, AFFINE, atol=1e-5)


def test_nifti_2_reads_and_stays_nifti_2(tmp_path):
    nib.save(nib.Nifti2Image(numbered(), AFFINE), tmp_path / "a.nii.gz")
    write_volume(read_volume(tmp_path / "a.nii.gz"), tmp_path / "b.nii")
    assert isinstance(nib.load(tmp_path / "b.nii"), nib.Nifti2Image)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    on_disk = nib.load(tmp_path / "a.nii")
    assert (on_disk.dataobj.slope, on_disk.dataobj.inter) == (0.5, -3)
    found = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.data, 0.5 * np.arange(60).reshape(5, 4, 3) - 3)
    write_volume(found, tmp_path / "b.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii").data, found.data)


def test_complex_values_become_their_magnitude(tmp_path):
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), 3 + 4j, np.complex64), AFFINE), tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.data, 5)
    assert any("magnitude" in notice for notice in found.notices)


def test_colours_become_grey(tmp_path):
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["G"] = 30, 60
    nib.save(nib.Nifti1Image(colours, AFFINE), tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.data, 30)
    assert any("colour" in notice for notice in found.notices)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ((5, 4), (5, 4, 1)),
        ((5, 4, 3), (5, 4, 3)),
        ((5, 4, 3, 1, 1), (5, 4, 3)),
        ((5, 4, 1, 2), (5, 4, 1, 2)),
        ((5, 4, 3, 1, 2), (5, 4, 3, 2)),
        ((5, 4, 3, 2, 2), (5, 4, 3, 2, 2)),
    ],
)
def test_two_to_five_axes(tmp_path, stored, shown):
    save(tmp_path / "a.nii", numbered(stored))
    found = read_volume(tmp_path / "a.nii")
    assert found.data.shape == shown
    write_volume(found, tmp_path / "b.nii")
    again = nib.load(tmp_path / "b.nii")
    assert again.shape == stored
    np.testing.assert_array_equal(np.asarray(again.dataobj), numbered(stored))


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1)])
def test_the_declared_affine_is_used(tmp_path, sform, qform):
    image = nib.Nifti1Image(numbered(), None)
    tilted = rotation((5, -10, 20)) @ AFFINE
    image.set_sform(tilted if sform else None, sform)
    image.set_qform(tilted if not sform else AFFINE, qform)
    nib.save(image, tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(found.grid.affine, tilted, atol=1e-4)
    write_volume(found, tmp_path / "b.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii").grid.affine, tilted, atol=1e-4)


@pytest.mark.parametrize("damage", ["no codes", "flat sform"])
def test_without_a_usable_affine_the_voxel_sizes_are_used_and_a_notice_says_so(tmp_path, damage):
    image = nib.Nifti1Image(numbered(), None)
    image.header.set_zooms((2, 3, 4))
    if damage == "flat sform":
        image.header["sform_code"] = 1
    nib.save(image, tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    assert found.grid.voxel_size == pytest.approx((2, 3, 4))
    np.testing.assert_allclose(found.grid.world(np.array([2, 2.5, 3])), 0, atol=1e-5)
    assert any("orientation" in notice for notice in found.notices)


def test_positions_in_micrometres_become_millimetres(tmp_path):
    image = nib.Nifti1Image(numbered(), np.diag([500.0, 500, 500, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    assert found.grid.voxel_size == pytest.approx((0.5, 0.5, 0.5))
    write_volume(found, tmp_path / "b.nii")
    assert read_volume(tmp_path / "b.nii").grid.voxel_size == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x1f\x8b broken"])
def test_a_broken_file_gives_a_sentence(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nii\.gz could not be read"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_truncated_file_gives_a_sentence(tmp_path):
    save(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="Is the file complete"):
        read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("stem", "suffix"),
    [
        ("sub-01_ses-2_T1map", "T1map"),
        ("sub-01_acq-space_T2w", "T2w"),
        ("sub-01_FLAIR", "FLAIR"),
        ("study1_T1W", "T1w"),
        ("my T1 map", "T1map"),
        ("patient7-t2-map-final", "T2map"),
        ("qT1", "T1map"),
        ("R1", "R1map"),
        ("PD_map", "PDmap"),
        ("t2_flair", "FLAIR"),
        ("MPRAGE_sag", "T1w"),
        ("T2", "T2w"),
        ("brainmask", "mask"),
        ("sub-01_desc-swig_T1residual", "T1residual"),
        ("scan0017", None),
        ("T1w_r2", "T1w"),
        ("sub-01_run-2_T1w_r1", "T1w"),
        ("T1_R2", "T1w"),
        ("study_R2", "R2map"),
        ("scan_r2", None),
        ("scan_s0", None),
        ("brain_m0", None),
        ("m0_map_2", "M0map"),
        ("T2_ms", "T2map"),
        ("T2_MS", "T2w"),  # multiple sclerosis
        ("T2_90ms", "T2w"),
        ("FLAIR_registered_to_T1", "FLAIR"),
        ("T2_reg_space-T1w_v2", "T2w"),
        ("MP2RAGE_T1_map_2", "T1map"),
        ("MP2RAGE_r2", "MP2RAGE"),
        ("T1map_SD", None),
        ("sub-01_desc-std_T1map", None),
        ("R1_map_error", None),
        ("sub-sd_T1map", "T1map"),
        ("T1w_std", "T1w"),  # in standard orientation
    ],
)
def test_names_tell_the_kind(tmp_path, stem, suffix):
    found = read_volume(save(tmp_path / f"{stem}.nii", plausible("")))
    assert found.suffix == suffix


def test_every_guess_from_a_free_name_is_told(tmp_path):
    assert any("its name" in n for n in read_volume(save(tmp_path / "qT1.nii", plausible("T1map"))).notices)
    assert not read_volume(save(tmp_path / "sub-1_T1w.nii", plausible(""))).notices


def test_the_spread_of_a_map_is_told_and_can_be_called_a_map(tmp_path):
    found = read_volume(save(tmp_path / "T1map_SD.nii", plausible("T1map")))
    assert "Not taken as T1map: its name, 'T1map_SD', describes its standard deviation or error." in found.notices
    write_volume(with_kind(found, "T1map"), tmp_path / "T1map_SD.nii", overwrite=True)
    assert read_volume(tmp_path / "T1map_SD.nii").suffix == "T1map"


@pytest.mark.parametrize(
    ("sidecar", "suffix"),
    [
        ({"Units": "ms"}, "T1map"),
        ({"SeriesDescription": "T1 map 3D"}, "T1map"),
        ({"SeriesDescription": "ax T1 TSE"}, "T1w"),
        ({}, "T1w"),
    ],
)
def test_the_sidecar_decides_about_a_bare_name(tmp_path, sidecar, suffix):
    assert read_volume(save(tmp_path / "T1.nii", plausible("T1map"), sidecar=sidecar)).suffix == suffix


def test_sidecar_then_header_then_values_tell_the_kind(tmp_path):
    told = read_volume(save(tmp_path / "a.nii", plausible("T2map"), sidecar={"ProtocolName": "T2 map"}))
    image = nib.Nifti1Image(plausible("T1map"), AFFINE)
    image.header["descrip"] = b"T1 map (ms)"
    nib.save(image, tmp_path / "b.nii")
    binary = read_volume(save(tmp_path / "c.nii", (numbered() > 30).astype(np.uint8)))
    assert (told.suffix, read_volume(tmp_path / "b.nii").suffix, binary.suffix) == ("T2map", "T1map", "mask")


@pytest.mark.parametrize(
    ("suffix", "units", "factor", "file_unit"),
    [
        ("T1map", "s", 1, "s"),
        ("T1map", "milliseconds", 1e3, "ms"),
        ("T1map", "msec", 1e3, "ms"),
        ("T2map", None, 1, "s"),
        ("T2map", None, 1e3, "ms"),
        ("R1map", None, 1, "1/s"),
        ("R1map", None, 1e-3, "1/ms"),
        ("R2map", "Hz", 1, "1/s"),
    ],
)
def test_units_are_found_and_converted_once(tmp_path, suffix, units, factor, file_unit):
    data = plausible(suffix) * np.float32(factor)
    path = save(tmp_path / f"sub-1_{suffix}.nii", data, sidecar={"Units": units} if units else None)
    found = read_volume(path)
    assert found.file_unit == file_unit
    np.testing.assert_allclose(found.data, plausible(suffix), rtol=1e-6)
    assert bool(found.notices) == (units is None)


def test_the_header_decides_about_a_bare_name(tmp_path):
    image = nib.Nifti1Image(plausible("T2map"), AFFINE)
    image.header["intent_name"] = b"T2 (sec)"
    nib.save(image, tmp_path / "T2.nii")
    assert read_volume(tmp_path / "T2.nii").suffix == "T2map"


def test_the_header_text_tells_the_unit_before_the_values(tmp_path):
    image = nib.Nifti1Image(plausible("T1map"), AFFINE)  # the values alone look like s
    image.header["descrip"] = b"relaxation time in ms"
    nib.save(image, tmp_path / "sub-1_T1map.nii")
    assert read_volume(tmp_path / "sub-1_T1map.nii").file_unit == "ms"


def test_scan_settings_in_texts_are_no_units(tmp_path):
    image = nib.Nifti1Image(plausible("T1map"), AFFINE)
    image.header["descrip"] = b"3T SE TR 600 ms TE=12ms"
    nib.save(image, tmp_path / "sub-1_T1map.nii")
    assert read_volume(tmp_path / "sub-1_T1map.nii").file_unit == "s"
    nib.save(image, tmp_path / "T1.nii")
    assert read_volume(tmp_path / "T1.nii").suffix == "T1w"


def test_a_declared_unit_is_kept_but_doubted(tmp_path):
    path = save(tmp_path / "sub-1_T1map.nii", 1000 * plausible("T1map"), sidecar={"Units": "s"})
    found = read_volume(path)
    assert found.file_unit == "s"
    assert any("look like ms" in notice for notice in found.notices)


@pytest.mark.parametrize(("suffix", "scale"), [("T1map", 1e3), ("T1map", 1e-3), ("T2map", 1e3), ("R2map", 1e-3)])
def test_times_that_cannot_be_in_their_unit_are_refused_until_the_unit_is_told(tmp_path, suffix, scale):
    path = save(tmp_path / f"sub-1_{suffix}.nii", scale * plausible(suffix), sidecar={"Units": "s"})
    with pytest.raises(ValueError, match=r"has a median of .* s, but T. lies between .* and . s; .*--units"):
        as_maps([with_kind(read_volume(path), suffix, "s" if suffix[0] == "T" else "1/s")])
    if scale == 1e3:
        found = read_volume(path, time_unit="ms")
        assert (found.file_unit, found.notices) == ("ms", ())
        np.testing.assert_allclose(as_maps([found]).data[0], plausible(suffix), rtol=1e-6)


def test_a_told_unit_goes_to_rates_and_folders_but_not_to_proton_density(tmp_path):
    for suffix, scale in (("PDmap", 1), ("R1map", 1e-3), ("T2map", 1e3)):
        save(tmp_path / f"sub-1_{suffix}.nii", scale * plausible(suffix))
    units = {volume.suffix: volume.file_unit for volume in read_folder(tmp_path, time_unit="ms")}
    assert units == {"PDmap": "arbitrary", "R1map": "1/ms", "T2map": "ms"}


def test_the_kind_and_unit_can_be_corrected():
    read_wrongly = volume(data=plausible("T1map"), suffix="T1map", unit="s", file_unit="s")
    corrected = with_kind(read_wrongly, "T1map", "ms")
    np.testing.assert_allclose(corrected.data, plausible("T1map") / 1000, rtol=1e-6)
    as_image = with_kind(corrected, "T1w")
    np.testing.assert_allclose(as_image.data, plausible("T1map"), rtol=1e-6)
    assert as_image.unit is None
    with pytest.raises(ValueError, match=r"cannot be in '1/s': choose one of s, ms"):
        with_kind(read_wrongly, "T1map", "1/s")


@pytest.mark.parametrize("code", CODES)
def test_writing_then_reading_is_the_identity(tmp_path, code):
    nib.save(stored_as(code, rotation((3, 4, 5)) @ AFFINE), tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii")
    write_volume(found, tmp_path / "b.nii")
    again = read_volume(tmp_path / "b.nii")
    np.testing.assert_array_equal(again.data, found.data)
    np.testing.assert_allclose(again.grid.affine, found.grid.affine, atol=1e-5)


def test_sheared_affines_and_whole_numbers_survive_writing(tmp_path):
    save(tmp_path / "a.nii.gz", numbered(dtype=np.int16), AFFINE @ SHEAR)
    write_volume(read_volume(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz")
    again = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(again.affine, AFFINE @ SHEAR, atol=1e-5)
    assert again.get_data_dtype() == np.int16


def test_the_unit_of_the_file_is_kept_and_told(tmp_path):
    data = 1000 * plausible("T1map")
    found = read_volume(save(tmp_path / "sub-1_T1map.nii", data))
    paths = write_volume(found, tmp_path / "copy_T1map.nii")
    np.testing.assert_allclose(np.asarray(nib.load(paths[0]).dataobj), data, rtol=1e-6)
    assert json.loads(paths[1].read_text())["Units"] == "ms"


@pytest.mark.parametrize("name", ["a.nii.gz", "a.hdr"])
def test_nothing_is_overwritten_unasked(tmp_path, name):
    write_volume(volume(), tmp_path / name)
    with pytest.raises(FileExistsError, match="choose another name or pass overwrite=True"):
        write_volume(volume(), tmp_path / name)
    write_volume(volume(data=2 * numbered()), tmp_path / name, overwrite=True)
    np.testing.assert_array_equal(read_volume(tmp_path / name).data, 2 * numbered())


def test_a_sidecar_of_another_image_is_not_overwritten_and_not_left_behind(tmp_path):
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


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_volume(volume(), tmp_path / "a.nii")

    def fail(self, name):
        Path(name).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(nib.Nifti1Image, "to_filename", fail)
    with pytest.raises(OSError, match="No space left"):
        write_volume(volume(data=2 * numbered()), tmp_path / "a.nii", overwrite=True)
    monkeypatch.undo()
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, numbered())
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii"]


def test_a_killed_write_leaves_the_old_file(tmp_path):
    write_volume(volume(), tmp_path / "a.nii")
    script = (
        "import os, sys, nibabel as nib\n"
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from napari_swig_qmri.data.files import read_volume, write_volume\n"
        "def die(self, name):\n"
        "    Path(name).write_bytes(b'half')\n"
        "    os._exit(9)\n"
        "found = read_volume(sys.argv[1])\n"
        "nib.Nifti1Image.to_filename = die\n"
        "write_volume(replace(found, data=2 * found.data), sys.argv[1], overwrite=True)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "a.nii"], check=False)
    assert run.returncode == 9
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, numbered())
    assert len(read_folder(tmp_path)) == 1  # what the killed write left is no image


def test_maps_come_in_order_in_seconds_with_rates_inverted():
    r1 = np.full((2, 2, 2), 0.8, np.float32)
    r1[0, 0, 0] = 0
    r2 = volume(data=np.full((2, 2, 2), 10, np.float32), suffix="R2map", unit="1/s", name="r2")
    found = as_maps([r2, volume(data=r1, suffix="R1map", unit="1/s", name="r1")])
    assert found.names == ("T1", "T2")
    assert np.isnan(found["T1"][0, 0, 0])
    np.testing.assert_allclose(found["T1"].ravel()[1:], 1.25, rtol=1e-6)
    np.testing.assert_allclose(found["T2"], 0.1, rtol=1e-6)


def test_proton_density_keeps_its_scale():
    pd = volume(data=plausible("PDmap") * 4000, suffix="PDmap", unit="arbitrary", name="pd")
    np.testing.assert_allclose(as_maps([pd])["PD"], 4000 * plausible("PDmap"), rtol=1e-6)
    assert map_notices([pd]) == ()


def test_maps_that_do_not_fit_together_are_refused():
    t1 = volume(suffix="T1map", unit="s", name="t1")
    with pytest.raises(ValueError, match=r"'image' is a T2w, but a PD, T1 or T2 map is needed"):
        as_maps([volume(suffix="T2w")])
    with pytest.raises(ValueError, match="one map per quantity"):
        as_maps([t1, volume(suffix="R1map", unit="1/s", name="r1")])
    with pytest.raises(ValueError, match="three axes"):
        as_maps([volume(data=numbered((3, 3, 3, 2)), suffix="T1map", unit="s")])
    with pytest.raises(ValueError, match="at least one"):
        as_maps([])


@pytest.mark.parametrize("code", CODES[::7])
def test_maps_stored_in_another_order_are_brought_together_exactly(code):
    image = stored_as(code, rotation((3, 4, 5)) @ AFFINE)
    other = volume(data=np.asarray(image.dataobj) / 100, affine=image.affine, suffix="T2map", unit="s")
    t1, pd = (
        volume(data=numbered() / 100, affine=rotation((3, 4, 5)) @ AFFINE, suffix=suffix, unit=unit, name=suffix)
        for suffix, unit in (("T1map", "s"), ("PDmap", "arbitrary"))
    )
    found = as_maps([other, t1, pd])
    np.testing.assert_array_equal(found.grid.affine, t1.grid.affine)
    np.testing.assert_allclose(found["T2"], numbered() / 100, rtol=1e-4)
    sentences = map_notices([other, t1, pd])
    assert ("image: interpolated onto the voxels of the other maps." in sentences) == (code != "RAS")


def test_a_map_on_another_grid_is_interpolated_onto_the_others():
    """A ramp along x in mm stays that ramp; outside of its own grid the map is NaN."""
    fine = VoxelGrid((8, 4, 4), np.diag([1.0, 1, 1, 1]))
    t1, t2 = (
        volume(
            data=np.broadcast_to(grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))[..., 0], grid.shape),
            affine=grid.affine,
            suffix=suffix,
            unit="s",
            name=suffix,
        )
        for grid, suffix in ((fine.with_shape((4, 4, 4)), "T1map"), (fine, "T2map"))
    )
    found = as_maps([t1, t2])
    np.testing.assert_allclose(found["T2"][:3], found["T1"][:3], atol=1e-6)
    beyond = as_maps([t1, volume(data=t2.data[:4], affine=fine.affine, suffix="T2map", unit="s")])
    assert np.isnan(beyond["T2"][2:]).all()


def test_a_guide_knows_its_sequence():
    sidecar = {"EchoTime": 0.012, "RepetitionTime": 0.6, "ScanningSequence": "SE", "SequenceName": "SE"}
    guide, _ = as_guide(volume(suffix="T1w", sidecar=sidecar))
    assert isinstance(guide.sequence, SpinEcho)
    assert guide.sequence.echo_time == 0.012
    with pytest.raises(ValueError, match="a guide is a weighted image"):
        as_guide(volume(suffix="T1map", unit="s"))


def test_a_guide_carries_what_was_assumed_into_what_is_saved(tmp_path):
    guide, notices = as_guide(read_volume(save(tmp_path / "sub-01_T2w.nii.gz", plausible(""))))
    assert "EchoTime (90 ms), RepetitionTime" in notices[-1]
    assert guide.notices == tuple(f"sub-01 T2w: {notice}" for notice in notices)
    run = small_run()
    run = replace(run, guides=(run.guides[0], replace(run.guides[1], notices=guide.notices)))
    sidecar = save_super_resolution(run, tmp_path / "out")[1]
    assert json.loads(sidecar.read_text())["Assumed"] == [*guide.notices, *run.notices]


@pytest.mark.parametrize("text", ['{"EchoTime": 0.09,', "[1]", ""])
def test_a_broken_sidecar_is_refused_instead_of_assumed(tmp_path, text):
    path = save(tmp_path / "sub-01_T2w.nii.gz", plausible(""))
    (tmp_path / "sub-01_T2w.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"sub-01_T2w\.json, the sidecar of .*, could not be read: .* Repair or remove"
    ):
        read_volume(path)
    save(tmp_path / "sub-01_T1w.nii.gz", plausible(""))
    with pytest.warns(UserWarning, match=r"sub-01_T2w\.json"):
        assert [volume.name for volume in read_folder(tmp_path)] == ["sub-01 T1w"]
    with pytest.raises(ValueError, match=r"sub-01_T2w\.json"):
        read_folder(tmp_path, strict=True)


def test_of_a_series_the_first_volume_guides():
    series = numbered((3, 3, 3, 2))
    guide, notices = as_guide(volume(data=series, suffix="T2w"))
    np.testing.assert_array_equal(guide.data, series[..., 0])
    assert any("2 volumes" in notice for notice in notices)


def test_a_dataset_opens_sorted_typed_and_with_inherited_settings(tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "T1w.json").write_text('{"EchoTime": 0.01, "RepetitionTime": 2}')
    anat = tmp_path / "sub-01" / "ses-1" / "anat"
    save(anat / "sub-01_ses-1_T1w.nii.gz", plausible(""), sidecar={"RepetitionTime": 0.6})
    save(anat / "sub-01_ses-1_T2map.nii.gz", plausible("T2map"), sidecar={"Units": "s"})
    save(anat / "sub-01_ses-1_T1map.nii.gz", plausible("T1map"), sidecar={"Units": "s"})
    save(tmp_path / "derivatives/x/sub-01/anat/sub-01_desc-brain_mask.nii", (numbered() > 9).astype(np.uint8))
    found = read_folder(tmp_path)
    assert [v.suffix for v in found] == ["T1map", "T2map", "T1w", "mask"]
    assert found[0].name == "sub-01 ses-1 T1map"
    assert found[2].sidecar == {"EchoTime": 0.01, "RepetitionTime": 0.6}


def test_equal_names_get_their_folder_and_broken_files_are_left_out(tmp_path):
    for place in ("lr", "truth"):
        save(tmp_path / place / "sub-01_T1map.nii", plausible("T1map"), sidecar={"Units": "s"})
    (tmp_path / "broken.nii").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"Left out of .*broken\.nii could not be read"):
        found = read_folder(tmp_path)
    assert [v.name for v in found] == ["sub-01 T1map (lr)", "sub-01 T1map (truth)"]


def test_only_so_many_images_are_read_at_once(tmp_path):
    for number in range(42):
        save(tmp_path / f"sub-{number:02}_func-x_T1w.nii", np.zeros((2, 2, 2), np.uint8))
    save(tmp_path / "func" / "sub-01_bold.nii", np.zeros((2, 2, 2, 2), np.uint8))
    with pytest.warns(UserWarning, match="1 images that are not anatomical. 2 of 42 images"):
        assert len(read_folder(tmp_path)) == 40


def test_a_link_to_a_missing_file_is_told_and_deep_and_hidden_folders_are_skipped(tmp_path):
    save(tmp_path / "sub-1_T1w.nii", numbered())
    save(tmp_path / ".git" / "sub-1_T2w.nii", numbered())
    save(tmp_path.joinpath(*"abcdefgh") / "sub-1_FLAIR.nii", numbered())
    (tmp_path / "sub-2_T1w.nii").symlink_to(tmp_path / "not-fetched")
    with pytest.warns(UserWarning, match=r"sub-2_T1w\.nii does not exist"):
        assert [v.name for v in read_folder(tmp_path)] == ["sub-1 T1w"]


def test_a_folder_without_images_gives_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"It holds no file that ends in \.nii"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        read_folder(tmp_path / "no")


@pytest.mark.parametrize(
    ("sources", "stem"),
    [
        (["maps/T1map.nii", "raw/sub-07_ses-2_T1w.nii.gz", "sub-08.nii"], "sub-07_ses-2"),
        (["in/sub-08.nii"], "sub-08"),
        (["T1.nii"], "sub-01"),
    ],
)
def test_a_run_takes_the_name_of_its_sources(tmp_path, sources, stem):
    paths = save_super_resolution(small_run(), tmp_path / "out", sources=[tmp_path / source for source in sources])
    assert paths[0].name.startswith(f"{stem}_desc-swig")


def test_validators_pass_over_results_that_bids_has_no_names_for(tmp_path):
    (tmp_path / ".bidsignore").write_text("mine/")
    paths = save_super_resolution(small_run(), tmp_path)
    first, *lines = (tmp_path / ".bidsignore").read_text().splitlines()
    assert first == "mine/"
    ignored = {path.name for path in paths if any(fnmatch(path.name, line) for line in lines)}
    assert {name for name in ignored if name.endswith(".nii.gz")} == {
        path.name for path in paths if re.search(r"_(\w*residual|conflict|weighted)\.nii\.gz$", path.name)
    }
    assert ignored
    assert not any("map" in name for name in ignored)


def test_a_run_becomes_a_derivative_dataset(tmp_path):
    run = small_run()
    source = save(tmp_path / "raw" / "sub-01_T1map.nii.gz", plausible("T1map"))
    paths = save_super_resolution(run, tmp_path / "out", sources=[source])
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


def test_a_run_without_a_number_is_not_saved(tmp_path):
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
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        save_super_resolution(run, tmp_path, stem="sub-02_ses-1")
    assert save_super_resolution(run, tmp_path, stem="sub-02_ses-1", overwrite=True)
    with pytest.raises(FileExistsError, match="is a file, but the results go into a folder"):
        save_super_resolution(run, tmp_path / "dataset_description.json")
