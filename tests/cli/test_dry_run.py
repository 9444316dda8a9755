"""``--dry-run`` of every command prints what it would do, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Run
from engine_cases import degraded, textured
from typer.testing import CliRunner, Result

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.data.interpretation import as_guide, as_maps, map_volumes
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.storage.files import read_volume, write_volume
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.preflight import preflight
from napari_swig_qmri.synthesis.protocol import Protocol, write_protocol


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """LR maps and a T1w guide of a small box, as files."""
    box = QuantitativeMaps(data=textured((16, 16, 12)), grid=VoxelGrid((16, 16, 12), np.eye(4)))
    maps, guides = degraded(box, 1)
    for volume in map_volumes(maps, "LR"):
        write_volume(volume, tmp_path / f"sub-01_{volume.suffix}.nii.gz")
    guide = guides[0]
    image = Volume(data=guide.data, grid=guide.grid, name="T1w", suffix="T1w", sidecar=to_sidecar(guide.sequence))
    (tmp_path / "guide").mkdir()
    write_volume(image, tmp_path / "guide" / "sub-01_T1w.nii.gz")
    return tmp_path


def dry_run(case: Path, *more: str) -> Result:
    maps = [str(path) for path in sorted(case.glob("*map.nii.gz"))]
    guide = str(case / "guide" / "sub-01_T1w.nii.gz")
    return CliRunner().invoke(app, ["super-resolve", *maps, "--guide", guide, "--dry-run", *more])


def test_it_says_what_the_window_says_and_writes_nothing(case: Path) -> None:
    before = sorted(case.rglob("*"))
    done = dry_run(case, "--method", "posterior", "--json", "-o", str(case / "out"))
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    maps = as_maps([read_volume(path) for path in sorted(case.glob("*map.nii.gz"))])
    guide, _ = as_guide(read_volume(case / "guide" / "sub-01_T1w.nii.gz"))
    expected = preflight(maps, [guide], Options(method="posterior"))
    assert report["statements"][-len(expected.statements) - 1 : -1] == list(expected.statements)
    assert "T1 from sub-01_T1map.nii.gz, in s." in report["statements"]
    assert "Guide sub-01_T1w.nii.gz: Spin echo: TE 12 ms, TR 600 ms." in report["statements"]
    assert report["estimated_memory_bytes"] == expected.memory
    assert report["shape"] == [16, 16, 12]
    assert report["options"]["method"] == "posterior"
    assert sorted(case.rglob("*")) == before


def test_it_needs_no_output_folder_but_a_run_does(case: Path) -> None:
    assert "1 × 1 × 1 mm, 16 × 16 × 12 voxels" in dry_run(case).stdout
    maps = [str(path) for path in sorted(case.glob("*map.nii.gz"))]
    assert CliRunner().invoke(app, ["super-resolve", *maps]).exit_code == 2


def test_it_refuses_what_the_run_would_refuse(case: Path) -> None:
    done = dry_run(case, "--voxel-size", "9")
    assert done.exit_code == 1
    assert "coarser than those of the maps" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("synthesize maps --sequence spin-echo --tr 500 --te 9 -o x.nii.gz", "Spin echo: TE 9 ms, TR 500 ms."),
        ("sheet brain.toml maps -o out", "T2w: Turbo spin echo: TE 90 ms, TR 5000 ms, ETL 16, ESP 10 ms."),
        ("simulate maps --factor 1x1x2 --guide T1w -o out", "Low-resolution voxels are 1 × 1 × 2 voxels"),
        ("simulate --voxel-size 2 -o out", "Draws the built-in head 0 at 2 × 2 × 2 mm."),
        ("evaluate maps --reference maps", "Reference: T2 from sub-07_T2map.nii.gz, in s."),
    ],
)
def test_every_command_says_what_it_would_do(run: Run, maps: Path, words: str, sentence: str) -> None:
    write_protocol(Protocol.usual(), "brain.toml")
    before = sorted(Path().rglob("*"))
    done = run(*words.split(), "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert any(each.startswith(sentence) for each in report["statements"]), report["statements"]
    assert report["outputs"] == []
    assert sorted(Path().rglob("*")) == before


def test_a_map_of_the_transmit_field_is_given_or_found_beside_the_maps(case: Path) -> None:
    (case / "fmap").mkdir()
    grid = VoxelGrid((6, 6, 6), np.diag([3.0, 3.0, 3.0, 1.0]))
    given = Volume(data=np.full(grid.shape, 95, np.float32), grid=grid, name="B1")
    path = case / "fmap" / "sub-01_TB1map.nii.gz"
    write_volume(given, path)
    (case / "anat").mkdir()
    for each in [*case.glob("*map.nii.gz"), *case.glob("*map.json")]:
        each.rename(case / "anat" / each.name)
    anat = ["super-resolve", str(case / "anat"), "--guide", str(case / "guide"), "--dry-run", "--json"]
    for more, is_used in (["--b1", str(path)], True), ([], True), (["--no-field"], False):
        report = json.loads(CliRunner().invoke(app, [*anat, "--method", "posterior", *more]).stdout)
        notices = " ".join(report["notices"])
        assert ("percent" in notices) == is_used
        assert ("not used here" in notices) == (not is_used)
        assert report["options"]["b1"] == (more[1] if more and is_used else None)
