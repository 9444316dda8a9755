"""The command info: what is understood of every image, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app

KEYS = ["file", "kind", "unit", "sequence", "confidence", "reasons"]


def save(path: Path, values: np.ndarray, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values.astype(np.float32), np.eye(4))
    image.header["descrip"] = text.encode()
    nib.save(image, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A map, weighted images, a phase, a tissue map, an unreadable file and sidecars."""
    values = np.random.default_rng(0).normal(1000, 100, (8, 8, 6))
    save(tmp_path / "anat" / "sub-01_T1map.nii.gz", values)
    save(tmp_path / "anat" / "sub-01_T1w.nii.gz", values, "TE=3.3;TI=900;Time=101500.000")
    save(tmp_path / "anat" / "sub-01_T2w.nii.gz", values)
    save(tmp_path / "anat" / "sub-01_part-phase_T2starw.nii.gz", values)
    save(tmp_path / "anat" / "c1sub-01_T1w.nii", values)
    save(tmp_path / "anat" / "sub-02_T1w.nii.gz", values)
    (tmp_path / "anat" / "sub-03_T2w.nii.gz").write_bytes(b"no image")
    (tmp_path / "anat" / "sub-01_T2w.json").write_text('{"EchoTime": 0.09, "RepetitionTime": 5, "EchoTrainLength": 9,}')
    return tmp_path


def test_json_is_a_list_with_an_object_per_image(folder: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(folder), "--json"])
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert all(list(row) == KEYS for row in rows)
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    found = {Path(row["file"]).name: (row["kind"], row["unit"], row["sequence"], row["confidence"]) for row in rows}
    assert found == {
        "sub-01_T1map.nii.gz": ("T1map", "ms", None, "likely"),
        "sub-01_T1w.nii.gz": ("T1w", None, "mprage", "sure"),
        "sub-01_T2w.nii.gz": ("T2w", None, "tse", "sure"),
        "sub-01_part-phase_T2starw.nii.gz": (None, None, None, "likely"),
        "c1sub-01_T1w.nii": (None, None, None, "likely"),
        "sub-02_T1w.nii.gz": ("T1w", None, None, "sure"),
        "sub-03_T2w.nii.gz": ("T2w", None, "tse", "ask"),
    }
    reasons = {Path(row["file"]).name: " ".join(row["reasons"]) for row in rows}
    assert "trailing comma" in reasons["sub-01_T2w.nii.gz"]
    assert "cannot be read" in reasons["sub-03_T2w.nii.gz"]
    assert "sequence is open" in reasons["sub-02_T1w.nii.gz"]


def test_the_table_says_how_to_say_otherwise(folder: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(folder / "anat" / "sub-01_T1map.nii.gz")])
    assert result.stdout.splitlines()[0].split() == KEYS[:-1]
    assert result.stdout.splitlines()[1].split()[1:] == ["T1map", "ms", "-", "likely"]
    assert '--units s, or "Units": "s" or "Suffix": "T1w" in its sidecar' in result.stdout
    assert '"PulseSequenceType"' in result.stdout


def test_paths_without_images_are_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "no image in"), (tmp_path / "none", "does not exist")):
        result = CliRunner().invoke(app, ["info", str(path)])
        assert (result.exit_code, message in result.stderr) == (1, True)


def test_values_are_read_only_where_they_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        save(tmp_path / f"sub-{number}_T1w.nii", np.ones((2, 2, 2)))
    monkeypatch.setattr("napari_swig_qmri.data.understanding.read_nifti", lambda path: pytest.fail(f"{path} was read"))
    result = CliRunner().invoke(app, ["info", str(tmp_path), "--json"])
    assert len(json.loads(result.stdout)) == 200
