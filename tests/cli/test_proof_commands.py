"""The commands ``validate`` and ``audit``: what they report and write, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli_cases import Run, save_maps
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.simulation.phantom import make_phantom

FAST = ("--method", "posterior", "--no-pose", "--no-field", "--no-resolution", "--maps-from", "averaged")
SMALL = ("--radius", 3, "--places", 1)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated case: maps with voxels of 6 mm, and three guides with voxels of 3 mm."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(3.0, extent=((-45, 45), (-60, 30), (0, 48))).maps
    save_maps(folder / "maps", truth.data, "sub-03", truth.grid.affine)
    result = CliRunner().invoke(app, ["simulate", str(folder / "maps"), "-o", str(folder / "case")])
    assert result.exit_code == 0, result.stderr
    return folder / "case"


def guides_of(case: Path, *names: str) -> list[object]:
    return [word for name in names for word in ("--guide", case / "guides" / f"sub-03_{name}.nii.gz")]


def test_validate_scores_every_guide_and_map_and_writes_the_report(run: Run, case: Path) -> None:
    words = ("validate", case / "lr", *guides_of(case, "T1w", "T2w"), *FAST, "-o", "out")
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [each["name"] for each in report["guides"]] == ["sub-03 T1w", "sub-03 T2w"]
    assert set(report["lr_maps"]) == {"PD", "T1", "T2"}
    for each in (*report["guides"], *report["lr_maps"].values()):
        assert each["ssim"] > each["interpolated"]["ssim"]
    written = json.loads(Path("out/validation.json").read_text())
    assert written["guides"] == report["guides"]
    again = run(*words)
    assert again.exit_code == 1
    assert "validation.json already in out" in again.stderr
    assert "--overwrite" in again.stderr


def test_audit_reports_what_is_left_of_lesions_and_draws_it(run: Run, case: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ("audit", case / "lr", *guides_of(case, "T1w", "T2w"), *FAST, *SMALL, "-o", "out")
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "guides only    6 mm" in result.stdout
    assert "across" in result.stdout
    report = json.loads(Path("out/audit.json").read_text())
    assert [each["radius_mm"] for each in report["results"]] == [3.0, 3.0, 3.0]
    assert Path("out/audit.png").read_bytes().startswith(b"\x89PNG")
    assert "audit.json" in run(*words).stderr


def test_audit_needs_matplotlib_for_its_figure_alone(run: Run, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "napari_swig_qmri.evaluation.audit_figure", raising=False)
    words = ("audit", case / "lr", *guides_of(case, "T1w"), *FAST, *SMALL, "--change", "1,0.7,0.6")
    result = run(*words, "-o", "out")
    assert result.exit_code == 1
    assert "needs matplotlib" in result.stderr
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["change"] == {"PD": 1.0, "R1": 0.7, "R2": 0.6}


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("validate",), "Would leave out sub-03 T1w, sub-03 T2w and high frequencies of the maps, and solve 3 times."),
        (("audit", "--radius", 2, "--radius", 3, "--places", 2), "Would solve 12 small boxes"),
    ],
)
def test_a_dry_run_tells_what_would_be_done(run: Run, case: Path, command: tuple[object, ...], told: str) -> None:
    result = run(*command, case / "lr", *guides_of(case, "T1w", "T2w"), *FAST, "-o", "out", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert told in result.stdout
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("validate lr --voxel-size 3", 1, "without a guide there is nothing to predict"),
        ("audit lr --voxel-size 3", 1, "without a guide nothing can be hidden or invented"),
        ("audit lr --guide guides --radius 0", 1, "every --radius must be a number of mm above 0"),
        ("audit lr --guide guides --radius 70", 1, "no room for a lesion with a --radius of 70 mm"),
        ("audit lr --guide guides --places 0", 1, "number of --places must be 1 or more"),
        ("audit lr --guide guides --change 1,2", 2, "not three numbers above 0"),
        ("audit lr --guide guides --change 1,0,x", 2, "not three numbers above 0"),
        ("validate --guide guides", 2, "give maps"),
    ],
)
def test_commands_refuse_in_a_sentence(
    run: Run, case: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, sentence: str
) -> None:
    monkeypatch.chdir(case)
    result = run(*words.split(), *FAST)
    assert result.exit_code == code
    assert sentence in result.stderr
