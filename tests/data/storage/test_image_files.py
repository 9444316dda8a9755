"""Image files are opened by what they are, and nothing that a header claims is believed before the file can hold it."""

from __future__ import annotations

import gzip
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from paths import PACKAGE
from volume_cases import AFFINE, numbered

from napari_swig_qmri.data.storage.files import read_folder, read_volume, write_volume
from napari_swig_qmri.data.storage.image_files import READABLE, UnreadableError, one_sentence
from napari_swig_qmri.data.storage.nifti import read_nifti

MB = 1e6


def nifti(**fields: object) -> bytes:
    """Bytes of a small NIfTI-1 file, with some fields of its header changed."""
    image = nib.Nifti1Image(numbered(dtype=np.int16), AFFINE)
    content = bytearray(image.to_bytes())
    header = np.ndarray((), nib.Nifti1Header.template_dtype, buffer=content)
    for name, value in fields.items():
        header[name] = value
    return bytes(content)


def saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def mgh() -> bytes:
    return nib.MGHImage(numbered(), AFFINE).to_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii", gzip.compress(nifti())),
        ("a.nii.gz", nifti()),
        ("a.mgz", gzip.compress(mgh())),
        ("a.mgz", mgh()),
        ("a.mgh", mgh()),
    ],
)
def test_files_read_by_their_first_bytes_whatever_they_are_called(tmp_path: Path, name: str, content: bytes) -> None:
    found = read_nifti(saved(tmp_path / name, content))
    np.testing.assert_array_equal(found.data, numbered())
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-5)
    is_named_so = (content[:2] == b"\x1f\x8b") == name.endswith("gz")
    assert ("other than its name says" in " ".join(found.notices)) != is_named_so


def test_minc_files_read_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.mnc"
    template = Path(nib.__file__).parent / "tests" / "data" / "tiny.mnc"
    saved(path, template.read_bytes())
    reference = nib.load(template)
    found = read_volume(path)
    np.testing.assert_allclose(found.data, reference.get_fdata(), rtol=1e-6)
    np.testing.assert_allclose(found.grid.affine, reference.affine)
    assert found.suffix == "T1w"
    assert write_volume(found, tmp_path / "copy_T1w.nii")[0].name == "copy_T1w.nii"
    with pytest.raises(ValueError, match="only NIfTI files can be written"):
        write_volume(found, tmp_path / "copy.mnc")


@pytest.mark.parametrize(("size", "code"), [(2**31 - 16, 6), (64, 2), (-16, 6), (0, 0)])
def test_damaged_extensions_of_a_header_are_left_out(tmp_path: Path, size: int, code: int) -> None:
    whole = nifti(vox_offset=512)
    extension = b"\x01\0\0\0" + struct.pack("<ii", size, code)
    found = read_nifti(saved(tmp_path / "a.nii", whole[:348] + extension + b"\xff" * 152 + whole[352:]))
    np.testing.assert_array_equal(found.data, numbered())
    assert "extensions of its header are damaged" in found.notices[0]


CLAIMS = {
    "voxels beyond the file": nifti(dim=(3, 2000, 2000, 400, 1, 1, 1, 1)),
    "terabytes": nifti(dim=(7, 32767, 32767, 32767, 32767, 32767, 1, 1)),
    "a far offset": nifti(vox_offset=3e9),
    "an infinite offset": nifti(vox_offset=np.inf),
    "an offset that is no number": nifti(vox_offset=np.nan),
    "negative numbers": nifti(dim=(3, -5, -6, 7, 1, 1, 1, 1)),
    "no axes": nifti(dim=(0, 0, 0, 0, 0, 0, 0, 0)),
    "a type that does not exist": nifti(datatype=77),
    "half a header": nifti()[:200],
    "nothing": b"",
    "another format": b"\x89PNG" * 200,
    "half a file": nifti()[:-50],
    "surfaces": nifti(intent_code=3001),
    "packed: voxels beyond the file": gzip.compress(nifti(dim=(3, 2000, 2000, 400, 1, 1, 1, 1))),
    "packed: zeros in gigabytes": b"",  # filled in by the test
    "packed: half a file": gzip.compress(nifti())[:-50],
    "packed: damaged": gzip.compress(nifti())[:30] + b"\xff" * 100,
    "packed: nothing": gzip.compress(b""),
    "FreeSurfer: voxels beyond the file": struct.pack(">6i", 1, 4000, 4000, 400, 1, 3) + bytes(300),
    "FreeSurfer: negative numbers": struct.pack(">6i", 1, -4, 4, 4, 1, 3) + bytes(300),
    "MINC: nothing": b"CDF\x01" + bytes(40),
    "MINC 2": b"\x89HDF\r\n\x1a\n" + bytes(400),
}


def zeros() -> bytes:
    """4 MB that unpack to 4 GB of zeros, with a header that claims just that."""
    head = nifti(dim=(3, 2000, 2000, 1000, 1, 1, 1, 1), datatype=2, bitpix=8)[:352]
    member = gzip.compress(bytes(1 << 27))
    return gzip.compress(head) + member * 30


@pytest.mark.parametrize("claim", CLAIMS)
def test_false_claims_are_refused_in_a_sentence_and_take_no_memory(tmp_path: Path, claim: str) -> None:
    kind, packed = claim.split(":")[0], claim.startswith("packed")
    name = {"FreeSurfer": "a.mgh", "MINC": "a.mnc", "MINC 2": "a.mnc"}.get(kind, "a.nii.gz" if packed else "a.nii")
    path = saved(tmp_path / name, zeros() if "zeros" in claim else CLAIMS[claim])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UnreadableError, match=rf"^{name} ") as refusal:
        read_nifti(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100e3  # kB
    assert time.process_time() - started < 2
    assert "\n" not in str(refusal.value)
    nib.save(nib.Nifti1Image(numbered(), AFFINE), tmp_path / "sub-1_T1w.nii")
    with pytest.warns(UserWarning, match=f"Left out of .*{name} "):
        assert [each.name for each in read_folder(tmp_path)] == ["sub-1 T1w"]


@pytest.mark.slow  # as large as real ones
@pytest.mark.parametrize(("n_slices", "datatype"), [(640, np.uint8), (300, np.int32)])
def test_large_masks_that_pack_well_are_read(tmp_path: Path, n_slices: int, datatype: type) -> None:
    shape = (512, 512, n_slices)
    head = nib.Nifti1Image(np.zeros((1, 1, 1), datatype), AFFINE).header
    head.set_data_shape(shape)
    plane = np.zeros(shape[:2], datatype)
    plane[100:300, 150:350] = 1
    path = tmp_path / "sub-1_mask.nii.gz"
    with gzip.open(path, "wb") as file:
        file.write(head.binaryblock + bytes(4))
        for _ in range(n_slices):
            file.write(plane.tobytes())
    assert path.stat().st_size < 2 * MB
    found = read_nifti(path).data
    assert found.shape == shape
    assert found[:, :, -1].sum() == 40_000


def too_deep() -> None:
    too_deep()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (lambda: 10**400 * 1.0, "int too large to convert to float"),
        (lambda: bytearray(1 << 62), "it needs more memory than there is"),
        (too_deep, "it is nested too deeply"),
        (lambda: [][1], "list index out of range"),
        (lambda: struct.unpack("i", b""), "unpack requires a buffer of 4 bytes"),
        (lambda: np.linalg.inv(np.zeros((2, 2))), "Singular matrix"),
        (lambda: None.shape, "'NoneType' object has no attribute 'shape'"),
        (lambda: b"\xff".decode(), "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (lambda: list(Path().glob("")), "Unacceptable pattern: ''"),
    ],
)
def test_every_failure_becomes_a_sentence_about_the_file(failure: Callable[[], object], reason: str) -> None:
    with pytest.raises(UnreadableError) as refusal, one_sentence(Path("folder/x.nii")):
        failure()
    assert str(refusal.value) == f"x.nii could not be read as an image: {reason}. Is the file complete?"


@pytest.mark.parametrize("name", ["sub-[1_T1w.nii", "a**b_T1w.nii", "x_**.nii", "sub-1_[!.nii", "~_?.nii"])
def test_names_are_no_patterns(tmp_path: Path, name: str) -> None:
    saved(tmp_path / "dataset_description.json", b"{}")
    saved(tmp_path / name, nifti())
    assert len(read_folder(tmp_path)) == 1


def test_the_manifest_offers_what_is_read() -> None:
    manifest = (PACKAGE / "napari.yaml").read_text()
    assert all(f'"*{extension}"' in manifest for extension in READABLE)
