"""Protocols rendered from maps, and the files written from them."""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import from_matvec
from PIL import Image

from napari_swig_qmri.data.provenance import is_computed
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import (
    Mp2rageUni,
    PhaseSensitiveInversionRecovery,
    SignalModel,
    SpinEcho,
    T2Flair,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol
from napari_swig_qmri.synthesis.rendering import Rendering
from napari_swig_qmri.synthesis.sheets import (
    FORMATS,
    PANE_WIDTH,
    SMALL_TEXT,
    SPACING,
    Sheet,
    check_sheet,
    picture,
    render,
    write_sheet,
)

T2W = Protocol(contrasts=(NamedContrast(name="T2w", sequence=TurboSpinEcho.from_typical()),))


def head() -> QuantitativeMaps:
    """An ellipsoid of white matter in layers of grey matter, CSF and fat, in voxels of 9 mm."""
    grid = VoxelGrid((20, 24, 8), from_matvec(9 * np.eye(3), (-85.5, -103.5, -31.5)))
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in grid.shape), indexing="ij", sparse=True)
    layer = np.digitize(sum(axis**2 for axis in axes), (0.3, 0.5, 0.7, 0.9))
    tissues = np.array([(0.7, 0.9, 0.07), (0.8, 1.4, 0.09), (1.0, 4.0, 1.5), (0.9, 0.37, 0.08), (0, 0, 0)])
    return QuantitativeMaps(data=tissues[layer].transpose(3, 0, 1, 2).astype(np.float32), grid=grid)


HEAD = head()


@cache
def sheet(protocol: Protocol | None = None, subject: str = "sub-01") -> Sheet:
    origin = {"Sources": ["/data/sub-01_T1map.nii.gz"]}
    return drained(render(ContrastMaps(maps=HEAD), protocol or Protocol.usual(), subject, origin))


def test_every_contrast_is_the_signal_of_its_sequence() -> None:
    protocol, rendered = Protocol.usual(), sheet()
    assert [volume.name for volume in rendered.volumes] == ["T1w", "T2w", "FLAIR", "DIR"]
    assert [volume.suffix for volume in rendered.volumes] == ["T1w", "T2w", "FLAIR", None]
    for volume, contrast in zip(rendered.volumes, protocol.contrasts, strict=True):
        np.testing.assert_allclose(volume.data, synthesise(contrast.sequence, *HEAD.data), rtol=1e-6)
        assert volume.sidecar["Protocol"] == "Brain"


def test_nifti_files_are_a_derivative_dataset(tmp_path: Path) -> None:
    drained(write_sheet(sheet(subject="sub-01_ses-02"), tmp_path / "out", ["nifti"]))
    place = tmp_path / "out" / "sub-01" / "ses-02" / "anat"
    names = sorted(path.name for path in place.glob("*.nii.gz"))
    assert names == [f"sub-01_ses-02_desc-synthetic{end}.nii.gz" for end in ("DIR", "_FLAIR", "_T1w", "_T2w")]
    read = read_volume(place / names[1])
    np.testing.assert_allclose(read.data, sheet().volumes[2].data, rtol=1e-6)
    np.testing.assert_allclose(read.grid.affine, HEAD.grid.affine, atol=1e-5)
    assert (read.suffix, read.sidecar["Notice"]) == ("FLAIR", "synthetic: research use")
    assert is_computed(read.sidecar, read.suffix)
    assert read.sidecar["Sources"][0].startswith("../")
    described = json.loads((tmp_path / "out" / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"


def test_validators_pass_over_what_bids_has_no_names_for(tmp_path: Path) -> None:
    dir_alone, renamed = (
        sheet(Protocol(contrasts=(replace(Protocol.usual().contrasts[3], name=name),))) for name in ("DIR", "DIR 2")
    )
    drained(write_sheet(dir_alone, tmp_path, ["png"]))
    assert not (tmp_path / ".bidsignore").exists()  # this is no dataset yet
    written = drained(write_sheet(dir_alone, tmp_path, ["nifti"]))
    assert tmp_path / ".bidsignore" in written
    lines = (tmp_path / ".bidsignore").read_text().splitlines()
    assert lines == ["/dicom", "*_sheet.png", "*_desc-syntheticDIR.*"]
    nameless = [path for path in written if fnmatch(path.name, lines[2])]
    assert sorted(path.suffix for path in nameless) == [".gz", ".json"]
    drained(write_sheet(renamed, tmp_path, ["nifti"]))
    assert (tmp_path / ".bidsignore").read_text().splitlines() == [*lines, "*_desc-syntheticDIR2.*"]
    assert tmp_path / ".bidsignore" not in drained(write_sheet(dir_alone, tmp_path, ["nifti"], overwrite=True))


@pytest.mark.parametrize("mine", [b"notes/", b"# m\xfcller\r\n /dicom \r\n", b"\n"])
def test_what_a_person_ignores_stays(tmp_path: Path, mine: bytes) -> None:
    (tmp_path / ".bidsignore").write_bytes(mine)
    drained(write_sheet(sheet(T2W), tmp_path, ["nifti"]))
    kept = (tmp_path / ".bidsignore").read_bytes()
    assert kept.startswith(mine)
    lines = [line.strip() for line in kept.splitlines()]
    assert lines.count(b"/dicom") == lines.count(b"*_sheet.png") == 1


def test_the_picture_shows_all_of_them(tmp_path: Path) -> None:
    (path,) = drained(write_sheet(sheet(), tmp_path, ["png"]))
    shown = np.asarray(Image.open(path))
    assert shown.shape[1] > 2 * PANE_WIDTH
    for column in (slice(8, PANE_WIDTH), slice(PANE_WIDTH + 16, 2 * PANE_WIDTH)):
        for row in (slice(100, 400), slice(600, 900)):
            assert shown[row, column].std() > 20
    assert picture(sheet(), columns=4).shape[1] > 4 * PANE_WIDTH


@pytest.mark.parametrize("columns", [1, 2])
def test_the_picture_warns_of_fluid_in_a_flair(columns: int) -> None:
    def made(*kinds: type[SignalModel]) -> np.ndarray:
        contrasts = tuple(NamedContrast(name=kind.title, sequence=kind.from_typical()) for kind in kinds)
        return picture(sheet(Protocol(contrasts=contrasts)), columns)

    without, with_flair = made(TurboSpinEcho, SpinEcho), made(TurboSpinEcho, T2Flair)
    added = with_flair[without.shape[0] :]
    assert added.shape[0] > 2 * SMALL_TEXT
    lit = np.flatnonzero(added.max(axis=(0, 2)) > 100)
    assert 0.8 * added.shape[1] < lit[-1] < added.shape[1] - SPACING  # as wide as the picture


def test_left_and_right_are_where_radiologists_expect_them() -> None:
    data = HEAD.data.copy()
    nx = HEAD.grid.shape[0]
    right_half = HEAD.grid.world(np.stack([np.arange(nx), np.zeros(nx), np.zeros(nx)], axis=-1))[:, 0] > 0
    data[0, right_half] = 0  # no proton density on the patient's right
    maps = QuantitativeMaps(data=data, grid=HEAD.grid)
    shown = picture(drained(render(ContrastMaps(maps=maps), T2W, "sub-01")))[120:400, 8 : 8 + PANE_WIDTH]
    assert shown[:, 30 : PANE_WIDTH // 2 - 20].mean() < 0.1 * shown[:, PANE_WIDTH // 2 + 20 : -60].mean()


def test_signed_contrasts_keep_their_dark_side() -> None:
    psir = PhaseSensitiveInversionRecovery.from_typical()
    protocol = Protocol(contrasts=(NamedContrast(name="PSIR", sequence=psir),))
    (volume,) = sheet(protocol).volumes
    assert volume.data.min() < 0
    air = picture(sheet(protocol))[110:130, 8:40]
    assert air.mean() > 20  # no signal is between dark and bright


def test_dicom_lies_beside_in_one_study(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    written = drained(write_sheet(sheet(), tmp_path, ["dicom"]))
    assert len(written) == 4 * HEAD.grid.shape[2]
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in written]
    assert len({each.StudyInstanceUID for each in read}) == 1
    assert [each.SeriesDescription for each in read[:: HEAD.grid.shape[2]]] == [
        f"SYNTHETIC {name}" for name in ("T1w", "T2w", "FLAIR", "DIR")
    ]
    assert "T2-FLAIR: TE 120, TR 9000, TI 2500 ms" in read[2 * HEAD.grid.shape[2]].DerivationDescription


def test_names_are_safe_and_different(tmp_path: Path) -> None:
    contrasts = [
        NamedContrast(name=name, sequence=T2Flair.from_typical(echo_time=0.08 + 0.01 * index))
        for index, name in enumerate(("dark fluid", "dark/fluid", "FLAIR", "3D FLAIR"))
    ]
    written = drained(write_sheet(sheet(Protocol(contrasts=tuple(contrasts))), tmp_path, ["nifti"]))
    names = sorted(path.name for path in written if path.name.endswith(".nii.gz"))
    assert len(set(names)) == 4
    assert "sub-01_desc-synthetic_FLAIR.nii.gz" in names


def test_files_are_replaced_only_on_request(tmp_path: Path) -> None:
    for form in FORMATS:
        drained(write_sheet(sheet(T2W), tmp_path, [form]))
        with pytest.raises(FileExistsError, match="already in"):
            check_sheet(T2W, sheet(T2W).subject, tmp_path, [form])  # before the contrasts are computed
        with pytest.raises(FileExistsError, match="already in"):
            drained(write_sheet(sheet(T2W), tmp_path, [form]))
        drained(write_sheet(sheet(T2W), tmp_path, [form], overwrite=True))


def test_what_cannot_be_rendered_or_written_is_refused(tmp_path: Path) -> None:
    two = QuantitativeMaps(data=HEAD.data[:2], grid=HEAD.grid, names=("PD", "T1"))
    with pytest.raises(ValueError, match="MPRAGE needs"):
        drained(render(ContrastMaps(maps=two), Protocol.usual(), "sub-01"))
    with pytest.raises(ValueError, match="cannot be written as tiff"):
        drained(write_sheet(sheet(), tmp_path, ["tiff"]))
    with pytest.raises(ValueError, match="cannot be written as nothing"):
        drained(write_sheet(sheet(), tmp_path, []))


def test_small_grids_have_a_picture_too() -> None:
    grid = VoxelGrid((4, 5, 3), np.eye(4))
    maps = QuantitativeMaps(data=np.ones((3, 4, 5, 3), np.float32), grid=grid)
    empty = QuantitativeMaps(data=np.zeros((3, 4, 5, 3), np.float32), grid=grid)
    for each in (maps, empty):
        assert picture(drained(render(ContrastMaps(maps=each), Protocol.usual(), "sub-01"))).ndim == 3


def test_options_apply_per_contrast_and_a_map_of_b1_to_all_with_pulses() -> None:
    noisy = Rendering(snr=20, transmit_field=0.9)
    contrasts = (
        NamedContrast(name="T2w", sequence=TurboSpinEcho.from_typical(), rendering=noisy),
        NamedContrast(name="FLAIR", sequence=T2Flair.from_typical()),
        NamedContrast(name="PD", sequence=UserEquation(text="PD")),
    )
    field = np.full(HEAD.grid.shape, 0.8, np.float32)
    maps = ContrastMaps(maps=HEAD, transmit_field=field, transmit_map="b1.nii")
    found = drained(render(maps, Protocol(contrasts=contrasts), "sub-01")).volumes
    expected = [
        LazyContrast(
            sequence=each.sequence,
            **{name.lower(): HEAD[name] for name in HEAD.names},
            rendering=replace(each.rendering, transmit_field=0.8 * each.rendering.transmit_field),
        )
        for each in contrasts[:2]
    ]
    for volume, contrast in zip(found[:2], expected, strict=True):
        np.testing.assert_allclose(volume.data, contrast, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found[2].data, np.nan_to_num(HEAD["PD"]) * (HEAD["T1"] > 0))
    assert [volume.sidecar.get("Rendering") for volume in found] == [
        {"TransmitField": 0.9, "TransmitMap": "b1.nii", "SNR": 20, "NoiseReference": "signal", "Seed": 0},
        {"TransmitMap": "b1.nii"},
        None,
    ]


def test_options_that_a_contrast_cannot_have_are_refused() -> None:
    uniform = NamedContrast(name="UNI", sequence=Mp2rageUni.from_typical(), rendering=Rendering(snr=20))
    with pytest.raises(ValueError, match="no noise can be added"):
        sheet(Protocol(contrasts=(uniform,)))
