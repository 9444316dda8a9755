"""The scripts of docs/examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from skimage.io import imread
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def run_script(name: str, *words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_script_super_resolves_and_saves(tmp_path: Path) -> None:
    printed = run_script(
        "super_resolve_script.py",
        "--no-window",
        "--voxel-size",
        "2.5",
        "--method",
        "regression",
        "--output",
        "out",
        cwd=tmp_path,
    )
    names = {path.name for path in (tmp_path / "out").rglob("*map.nii.gz")}
    assert names == {f"sub-01_desc-swig_{name}.nii.gz" for name in ("PDmap", "T1map", "T2map")}
    scores = {line.split(":")[0]: float(line.split()[2].rstrip(",")) for line in printed.splitlines() if "SSIM" in line}
    assert set(scores) == {"PD", "T1", "T2"}
    assert min(scores.values()) > 0.8  # far above what a broken run gives, below what a good one gives


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_readme_commands_and_script_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (EXAMPLES.parents[1] / "README.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in readme.splitlines() if line.startswith("    swig-qmri ")]
    assert [words[0] for words in commands] == ["simulate", "super-resolve", "evaluate", "synthesize"]
    commands[0] += ["--voxel-size", "2.5"]  # quicker than the default of 1 mm
    for words in commands:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stderr
    (script,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(script, "README.md", "exec"), {})
    assert len(list(Path("out").rglob("*desc-swig_T1map.nii.gz"))) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.gui
def test_demo_prints_scores_and_saves_maps_and_a_picture(tmp_path: Path) -> None:
    printed = run_script("demo.py", "--no-wait", "--voxel-size", "3", "--output", "out", cwd=tmp_path)
    assert "super-resolved" in (tmp_path / "out" / "scores.txt").read_text()
    assert "GM" in printed
    assert len(list((tmp_path / "out" / "maps").rglob("*desc-swig_T1map.nii.gz"))) == 1
    assert is_a_picture(tmp_path / "out" / "demo.png")


def is_a_picture(path: Path) -> bool:
    """Whether a screenshot shows more than one colour all over."""
    return float(imread(path)[..., :3].std()) > 10


def test_every_example_is_run_by_some_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    scripts = [path.stem for path in EXAMPLES.glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")]
    assert len(scripts) > 3
    assert [name for name in scripts if name not in tests] == []
