"""A run is repeated from the sidecar of its result, bit by bit, and what differs is said."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli_cases import Run, load, save, save_maps, sidecar_of
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.simulation.phantom import make_phantom

FAST = ("--no-pose", "--no-field", "--no-resolution")
RESULT = "sub-03/ses-1/anat/sub-03_ses-1_desc-swig_T1map.json"
PATIENT = "Doe^Jane"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated case, whose sidecars have the name of a patient and a folder."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(3.0, extent=((-45, 45), (-60, 30), (0, 48))).maps
    save_maps(folder / "maps", truth.data, "sub-03_ses-1", truth.grid.affine)
    result = CliRunner().invoke(app, ["simulate", str(folder / "maps"), "-o", str(folder / "case")])
    assert result.exit_code == 0, result.stderr
    for path in (folder / "case").rglob("*.json"):
        private = {"PatientName": PATIENT, "PatientID": PATIENT, "Origin": str(folder)}
        path.write_text(json.dumps(json.loads(path.read_text()) | private))
    save(folder / "case/mask.nii.gz", (truth["PD"] > 0.5).astype(np.uint8), affine=truth.grid.affine)
    save(folder / "case/b1.nii.gz", np.full(truth["PD"].shape, 1.02), affine=truth.grid.affine)
    return folder / "case"


@pytest.fixture
def case(made: Path, tmp_path: Path) -> Path:
    """The same in a folder of the test."""
    return Path(shutil.copytree(made, tmp_path / "case"))


def super_resolved(run: Run, *words: object) -> dict[str, object]:
    """Sidecar of the T1 map of a run of both guides, in the folder ``out``."""
    result = run("super-resolve", "case/lr", *(words or FAST), "-o", "out", "--report")
    assert result.exit_code == 0, result.stderr
    return json.loads(Path("out", RESULT).read_text())


def guide(name: str) -> tuple[object, ...]:
    return "--guide", f"case/guides/sub-03_ses-1_{name}.nii.gz"


GUIDES = (*guide("T1w"), *guide("T2w"))


@pytest.mark.parametrize(
    "words",
    [
        (*GUIDES, *FAST),
        (*GUIDES, *FAST, "--method", "posterior", "--lr-lock", "--maps-from", "averaged", "--voxel-size", "4"),
        (*GUIDES, "--method", "regression", "--mask", "case/mask.nii.gz", "--b1", "case/b1.nii.gz", "--units", "s"),
        (*guide("T1w"), "--sequence", "spin-echo,TR=600ms,TE=12ms", *guide("T2w"), *FAST, "--method", "posterior"),
    ],
    ids=["network", "posterior", "mask and B1", "sequence by hand"],
)
@pytest.mark.slow
def test_a_run_is_repeated_bit_by_bit(run: Run, case: Path, words: tuple[object, ...]) -> None:
    told = super_resolved(run, *words)
    done = run("rerun", Path("out", RESULT), "-o", "again", "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bit_equal"] is True
    assert report["differences"] == []
    assert sorted(report["compared"]) == [f"sub-03_ses-1_desc-swig_{name}map.nii.gz" for name in ("PD", "T1", "T2")]
    image = RESULT.replace(".json", ".nii.gz")
    np.testing.assert_array_equal(load(Path("again", image)), load(Path("out", image)))
    again = sidecar_of(Path("again", image))
    assert again["Parameters"] == told["Parameters"]
    assert again["Run"] == told["Run"]


@pytest.mark.slow
def test_inputs_that_moved_or_changed_and_other_versions_are_said(run: Run, case: Path) -> None:
    words = (*GUIDES, *FAST, "--method", "regression")
    super_resolved(run, *words)
    path = Path("out", RESULT)
    case.rename(case.with_name("moved"))
    lost = run("rerun", path, "-o", "again")
    assert lost.exit_code == 1
    assert "PDmap.nii.gz, of which the result was made, is not where it was" in lost.stderr
    assert "--inputs" in lost.stderr
    assert not Path("again").exists()
    found = json.loads(run("rerun", path, "--inputs", "moved", "-o", "again", "--json").stdout)
    assert found["bit_equal"] is True

    image = Path("moved/lr/sub-03_ses-1_T1map.nii.gz")
    save(image, 1.1 * load(image), sidecar_of(image), nib.load(image).affine)
    inputs = ("--inputs", "moved/lr", "--inputs", "moved/guides")
    refused = run("rerun", path, *inputs, "-o", "third")
    assert refused.exit_code == 1
    assert "sub-03_ses-1_T1map.nii.gz changed since the run" in refused.stderr
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"PackageVersions": {**told["PackageVersions"], "torch": "1.0"}}))
    done = run("rerun", path, *inputs, "-o", "third", "--changed-inputs", "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bit_equal"] is False
    assert "sub-03_ses-1_T1map.nii.gz changed since the run." in report["differences"]
    assert any(text.startswith("torch is ") and text.endswith("was 1.0.") for text in report["differences"])
    assert "differs by 0.1 of its value" in report["compared"]["sub-03_ses-1_desc-swig_T1map.nii.gz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("no json", "is no sidecar of a result"),
        ('{"Units": "s"}', "is no sidecar of a result"),
        ('{"Parameters": {}}', "does not say which files its run has read"),
    ],
)
def test_what_is_no_result_of_the_command_is_refused(run: Run, content: str | None, message: str) -> None:
    if content is not None:
        Path("some.json").write_text(content)
    refused = run("rerun", "some.json", "-o", "again")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 3


@pytest.mark.slow
def test_results_hold_no_name_of_a_patient_and_no_absolute_path(
    run: Run, made: Path, case: Path, tmp_path: Path
) -> None:
    words = (*GUIDES, *FAST, "--method", "posterior", "--b1", case / "b1.nii.gz", "--mask", case / "mask.nii.gz")
    super_resolved(run, *words)
    private = [PATIENT.encode(), str(tmp_path).encode(), str(made.parent).encode(), b"PatientName"]
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in written)
    for path in written:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not [each for each in private if each in content], path
