"""Simulated cases, scores of files, and what ``simulate``, ``evaluate``, ``train`` and ``ablate`` refuse."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli_cases import AFFINE, NAMES, SHAPE, Run, load, save, save_maps, sidecar_of


def test_simulate_degrades_the_given_maps(run: Run, maps: Path) -> None:
    words = ("--factor", "2", "--guide", "T1w", "--guide", "T2w", "--gain", 500, "--gain", 90)
    result = run("simulate", maps, *words, "-o", "case", "--json")
    assert result.exit_code == 0, result.stderr
    assert {str(path.relative_to("case")) for path in Path("case").rglob("*.nii.gz")} == {
        "mask.nii.gz",
        *(f"{folder}/sub-07_{name}.nii.gz" for folder in ("lr", "truth") for name in NAMES),
        *(f"guides/sub-07_{name}.nii.gz" for name in ("T1w", "T2w")),
    }
    low = nib.load("case/lr/sub-07_T1map.nii.gz")
    assert low.shape == (6, 7, 5)
    np.testing.assert_allclose(low.affine[:3, :3], 2 * AFFINE[:3, :3], atol=1e-5)
    assert sidecar_of("case/lr/sub-07_T1map.nii.gz")["Units"] == "s"
    guide = sidecar_of("case/guides/sub-07_T1w.nii.gz")
    assert guide["RepetitionTime"] == 0.6
    assert guide["Sources"] == [f"../../maps/sub-07_{name}.nii.gz" for name in NAMES]
    assert (guide["Simulation"]["guides"], guide["Simulation"]["gains"]) == (["T1w", "T2w"], [500, 90])
    assert not {"lesion", "field_strength", "voxel_size"} & set(guide["Simulation"])  # of the built-in head
    assert not {"Notice", "Simulation"} & set(sidecar_of("case/truth/sub-07_T1map.nii.gz"))  # a copy of the given map
    assert np.mean(load("case/guides/sub-07_T1w.nii.gz")) > 50


@pytest.mark.slow
def test_simulate_without_maps_draws_the_built_in_head(run: Run) -> None:
    result = run("simulate", "--voxel-size", 10, "--factor", "1x1x2", "-o", "case", "--json")
    assert result.exit_code == 0, result.stderr
    assert load("case/mask.nii.gz").sum() > 800  # ml; a brain fills more than 0.8 litres
    high, low = (load(f"case/{folder}/sub-01_T1map.nii.gz") for folder in ("truth", "lr"))
    assert low.shape[2] == round(high.shape[2] / 2)
    guide = sidecar_of("case/guides/sub-01_FLAIR.nii.gz")
    assert guide["Simulation"]["lesion"] is True
    assert guide["Simulation"]["guides"] == ["T1w", "T2w", "FLAIR"]
    assert "Sources" not in guide
    assert guide["Simulation"]["texture"] is False
    assert run("simulate", "--texture", "--voxel-size", 10, "--factor", "1x1x2", "-o", "uneven").exit_code == 0
    uneven = load("uneven/truth/sub-01_T1map.nii.gz")
    assert 0.01 < np.median(np.abs(uneven / np.maximum(high, 1e-3) - 1)[high > 0.5]) < 0.1


def test_simulate_names_its_files_like_the_maps_and_keeps_those_that_exist(run: Run, maps: Path) -> None:
    for path in maps.iterdir():
        path.rename(path.with_name(path.name.replace("sub-07", "anna")))
    words = ("simulate", maps, "--guide", "T1w", "-o", "case")
    assert run(*words).exit_code == 0
    assert Path("case/lr/sub-anna_T1map.nii.gz").is_file()
    again = run(*words)
    assert again.exit_code == 1
    assert "already in case/" in again.stderr
    assert "choose another folder or use --overwrite" in again.stderr
    assert run(*words, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("--gain 0", 1, "a gain must be a number above 0, but --gain is 0: leave it out for a gain of 1."),
        ("--gain nan", 1, "a gain must be a number above 0, but --gain is nan"),
        ("--guide PDw", 1, "no guide is called PDw: choose among T1w, T2w, FLAIR."),
        ("--factor 99", 1, "--factor 99 × 99 × 99 leaves fewer than two voxels along an axis of 12 × 14 × 10 voxels"),
        ("--factor 1x1x9", 1, "--factor 1 × 1 × 9 leaves fewer than two voxels"),
        ("--factor 1x2", 2, "'1x2' is not one number, as 2, or three, as 1x1x4."),
        ("--factor 0", 2, "'0' is not one number"),
        ("--factor big", 2, "'big' is not one number"),
        ("--seed -1", 2, "'--seed'"),
    ],
)
def test_simulate_refuses_impossible_numbers(run: Run, maps: Path, words: str, code: int, sentence: str) -> None:
    result = run("simulate", maps, *words.split(), "-o", "case")
    assert result.exit_code == code
    assert sentence in result.stderr
    assert not Path("case").exists()


def test_evaluate_prints_scores_as_text_and_json(run: Run, maps: Path) -> None:
    save_maps(Path("other"), 1.02 * np.stack([load(maps / f"sub-07_{name}.nii.gz") for name in NAMES]))
    save("mask.nii.gz", np.ones(SHAPE))
    words = ("evaluate", "other", "--reference", maps)
    text, as_json = run(*words), run(*words, "--mask", "mask.nii.gz", "--json")
    assert text.exit_code == as_json.exit_code == 0, text.stderr
    assert "SSIM" in text.stdout
    scores = json.loads(as_json.stdout)
    assert scores["maps"]["T1"]["bias"] == pytest.approx(2, abs=1e-3)
    assert set(scores["tissues"]) == {"PD", "T1", "T2"}


def test_evaluate_interpolates_maps_of_another_grid_only_if_asked(run: Run, maps: Path) -> None:
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    smooth = 1 + 0.2 * np.sin(2 * x) * np.cos(2 * y) * np.cos(z)
    save_maps(Path("smooth"), np.stack([0.7 * smooth, smooth, 0.08 * smooth]))
    assert run("simulate", "smooth", "--guide", "T1w", "-o", "case").exit_code == 0
    words = ("evaluate", "case/lr", "--reference", "smooth")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "the maps have (6, 7, 5) voxels and the reference (12, 14, 10): interpolate" in refused.stderr
    shutil.copytree("smooth", "far")
    for path in Path("far").glob("*.nii.gz"):
        image = nib.load(path)
        moved = image.affine + np.array([[0, 0, 0, 500], [0] * 4, [0] * 4, [0] * 4])
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), path)
    elsewhere = run("evaluate", "far", "--reference", "smooth", "--interpolate")
    assert "the maps and the reference do not overlap: their centres lie 500 mm apart" in elsewhere.stderr
    scores = json.loads(run(*words, "--interpolate", "--json").stdout)["maps"]
    assert 0 < scores["T1"]["median_ape"] < 5
    far = np.eye(4)
    far[0, 3] = 300
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3)), far), "tumour.nii.gz")
    wrong_mask = run("evaluate", maps, "--reference", maps, "--mask", "tumour.nii.gz")
    assert "the mask tumour.nii.gz and the reference do not overlap: their centres lie 2" in wrong_mask.stderr


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_settings_are_read_before_anything_is_trained(run: Run, command: str) -> None:
    missing = run(command, "none.toml")
    assert missing.exit_code == 1
    assert "none.toml does not exist: check the name" in missing.stderr
    Path("bad.toml").write_text("steps = 7")
    bad = run(command, "bad.toml")
    assert bad.exit_code == 1
    assert bad.stderr.startswith("swig-qmri: bad.toml is no ")


def test_ablate_names_matplotlib_where_it_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = "napari_swig_qmri.evaluation.ablation.figures"
    for name in [each for each in sys.modules if each.startswith(("matplotlib.", figures))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = run("ablate", "none.toml")
    assert refused.exit_code == 1
    assert "needs matplotlib, which is not installed: run `pip install matplotlib`" in refused.stderr
