"""NIfTI and Analyze files: every type, shape and affine reads; writing then reading is the identity."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from volume_cases import AFFINE, numbered, rotation, stored_as, volume

from napari_swig_qmri.data.storage.files import read_folder, read_volume, write_volume
from napari_swig_qmri.data.storage.image_files import split_extension
from napari_swig_qmri.data.storage.nifti import NiftiContent, read_nifti, write_nifti

SHEAR = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
TILTED = rotation((5, -10, 20)) @ AFFINE


def rewritten(path: Path) -> NiftiContent:
    """Content of a file after reading, writing and reading again."""
    copy = path.with_name("copy.nii")
    write_nifti(read_nifti(path), copy)
    return read_nifti(copy)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4", "i8"])
def test_every_type_and_byte_order_reads(tmp_path, dtype):
    data = numbered((5, 4, 3), np.dtype(dtype).newbyteorder("="))
    header = nib.Nifti1Image(data, AFFINE, dtype=np.dtype(dtype)).header
    endian = ">" if dtype.startswith(">") else "<"
    image = nib.Nifti1Image(data, AFFINE, header.as_byteswapped(endian), dtype=np.dtype(dtype))
    image.to_filename(tmp_path / "a.nii")
    content = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(content.data, data)
    assert content.data.dtype in (np.float32, np.float64)
    assert content.data.dtype.isnative


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr", "a.NII.GZ"])
def test_every_extension_reads(tmp_path, name):
    kind = nib.Nifti1Pair if name.endswith(".hdr") else nib.Nifti1Image
    kind(numbered(), AFFINE).to_filename(tmp_path / name)
    content = rewritten(tmp_path / name)
    np.testing.assert_array_equal(content.data, numbered())
    np.testing.assert_allclose(content.affine, AFFINE, atol=1e-5)
    assert split_extension(tmp_path / name)[0] == "a"


def test_nifti_2_stays_nifti_2(tmp_path):
    nib.save(nib.Nifti2Image(numbered(), AFFINE), tmp_path / "a.nii.gz")
    rewritten(tmp_path / "a.nii.gz")
    assert isinstance(nib.load(tmp_path / "copy.nii"), nib.Nifti2Image)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii")
    assert (nib.load(tmp_path / "a.nii").dataobj.slope, nib.load(tmp_path / "a.nii").dataobj.inter) == (0.5, -3)
    expected = 0.5 * np.arange(60).reshape(5, 4, 3) - 3
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii").data, expected)
    np.testing.assert_array_equal(rewritten(tmp_path / "a.nii").data, expected)


def test_complex_values_become_magnitudes_and_colours_grey(tmp_path):
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"], colours["G"] = 30, 60
    for stored, value, word in ((np.full((3, 3, 3), 3 + 4j, np.complex64), 5, "magnitude"), (colours, 30, "colour")):
        nib.save(nib.Nifti1Image(stored, AFFINE), tmp_path / "a.nii")
        content = read_nifti(tmp_path / "a.nii")
        np.testing.assert_array_equal(content.data, value)
        assert word in content.notices[0]


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
    nib.save(nib.Nifti1Image(numbered(stored), AFFINE), tmp_path / "a.nii")
    assert read_nifti(tmp_path / "a.nii").data.shape == shown
    rewritten(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "copy.nii").dataobj), numbered(stored))


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1)])
def test_the_declared_affine_is_used(tmp_path, sform, qform):
    image = nib.Nifti1Image(numbered(), None)
    image.set_sform(TILTED if sform else None, sform)
    image.set_qform(TILTED if not sform else AFFINE, qform)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").affine, TILTED, atol=1e-4)
    np.testing.assert_allclose(rewritten(tmp_path / "a.nii").affine, TILTED, atol=1e-4)


@pytest.mark.parametrize("damage", ["no codes", "flat sform", "no unit"])
def test_without_a_usable_affine_the_image_is_centred_with_a_notice(tmp_path, damage):
    image = nib.Nifti1Image(numbered(), None)
    image.header.set_zooms((2, 3, 4))
    if damage == "flat sform":
        image.header["sform_code"] = 1
    if damage == "no unit":
        image.header["xyzt_units"] = 5  # no unit of NIfTI
    nib.save(image, tmp_path / "a.nii")
    content = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(np.diag(content.affine)[:3], (2, 3, 4) * np.sign(np.diag(content.affine)[:3]))
    np.testing.assert_allclose(content.affine @ [2, 2.5, 3, 1], (0, 0, 0, 1), atol=1e-5)
    assert "orientation" in content.notices[-1]


def test_analyze_files_have_no_orientation(tmp_path):
    nib.save(nib.AnalyzeImage(numbered(), np.diag([2, 3, 4, 1.0])), tmp_path / "a.hdr")
    content = read_nifti(tmp_path / "a.hdr")
    assert sorted(np.abs(np.diag(content.affine))) == [1, 2, 3, 4]
    assert content.notices == ("An Analyze file has no orientation: left and right may be swapped.",)


def test_positions_in_micrometres_become_millimetres(tmp_path):
    image = nib.Nifti1Image(numbered(), np.diag([500.0, 500, 500, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "a.nii").affine, np.diag([0.5, 0.5, 0.5, 1]))
    np.testing.assert_allclose(rewritten(tmp_path / "a.nii").affine, np.diag([0.5, 0.5, 0.5, 1]))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x1f\x8b broken"])
def test_a_broken_file_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nii\.gz could not be read"):
        read_nifti(tmp_path / "a.nii.gz")


def test_a_truncated_or_empty_file_is_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(20, 20, 20)), AFFINE), tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="Is the file complete"):
        read_nifti(tmp_path / "a.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((0, 3, 3), np.float32), AFFINE), tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"b\.nii has no voxels"):
        read_nifti(tmp_path / "b.nii")


@pytest.mark.parametrize("affine", [*(stored_as(code).affine for code in ("RAS", "LAS", "LPS", "PIR")), TILTED])
def test_writing_then_reading_is_the_identity(tmp_path, affine):
    write_nifti(NiftiContent(data=numbered(), affine=affine, header=None), tmp_path / "a.nii.gz", "made here")
    content = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(content.data, numbered())
    np.testing.assert_allclose(content.affine, affine, atol=1e-5)
    assert nib.load(tmp_path / "a.nii.gz").header["descrip"].item() == b"made here"


def test_sheared_affines_and_whole_numbers_are_kept(tmp_path):
    nib.save(nib.Nifti1Image(numbered(dtype=np.int16), AFFINE @ SHEAR), tmp_path / "a.nii.gz")
    np.testing.assert_allclose(rewritten(tmp_path / "a.nii.gz").affine, AFFINE @ SHEAR, atol=1e-5)
    assert nib.load(tmp_path / "copy.nii").get_data_dtype() == np.int16
    halves = NiftiContent(data=numbered() / 2, affine=AFFINE, header=nib.load(tmp_path / "a.nii.gz").header)
    write_nifti(halves, tmp_path / "b.nii")
    np.testing.assert_array_equal(read_nifti(tmp_path / "b.nii").data, numbered() / 2)


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, monkeypatch):
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


@pytest.mark.slow
def test_a_killed_write_keeps_the_old_file(tmp_path):
    write_volume(volume(), tmp_path / "a.nii")
    script = (
        "import os, sys, nibabel as nib\n"
        "from pathlib import Path\n"
        "from dataclasses import replace\n"
        "from napari_swig_qmri.data.storage.nifti import read_nifti, write_nifti\n"
        "def die(self, name):\n"
        "    Path(name).write_bytes(b'half')\n"
        "    os._exit(9)\n"
        "content = read_nifti(Path(sys.argv[1]))\n"
        "nib.Nifti1Image.to_filename = die\n"
        "write_nifti(replace(content, data=2 * content.data), Path(sys.argv[1]))\n"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "a.nii"], check=False)
    assert run.returncode == 9
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, numbered())
    assert len(read_folder(tmp_path)) == 1  # the unfinished file is ignored
