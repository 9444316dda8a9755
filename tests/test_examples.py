"""The scripts of docs/examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def run_script(name: str, *words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(EXAMPLES / name), *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_script_super_resolves_and_saves(tmp_path: Path) -> None:
    printed = run_script(
        "super_resolve_script.py", "--no-window", "--voxel-size", "2.5", "--output", "out", cwd=tmp_path
    )
    names = {path.name for path in (tmp_path / "out").rglob("*map.nii.gz")}
    assert names == {f"sub-01_desc-swig_{name}.nii.gz" for name in ("PDmap", "T1map", "T2map")}
    scores = {
        line.split(":")[0]: float(line.split()[2].rstrip(","))
        for line in printed.splitlines()
        if "SSIM" in line
    }
    assert set(scores) == {"PD", "T1", "T2"}
    assert min(scores.values()) > 0.8  # far above what a broken run gives, below what a good one gives


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in text
