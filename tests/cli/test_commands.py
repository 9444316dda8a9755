"""Files that ``super-resolve`` writes, what it reports, and what it refuses; and notices of every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli_cases import AFFINE, NAMES, Run, load, save, save_maps, sidecar_of
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.cli.console import NOT_TO_BE_USED
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.synthesis.protocol import Protocol, write_protocol

REGRESSION = ("--method", "regression", "-o", "out")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a simulated case: maps with voxels of 8 mm, three guides and the truth with voxels of 4 mm."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(4.0, extent=((-45, 45), (-60, 20), (0, 48))).maps  # ventricles and cortex, 22 x 20 x 12 voxels
    save_maps(folder / "maps", truth.data, "sub-03", truth.grid.affine)
    words = ("simulate", folder / "maps", "--gain", 812, "--gain", 95, "--gain", 1, "-o", folder / "case")
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    nib.save(nib.Nifti1Image(np.zeros(truth.grid.shape, np.float32), truth.grid.affine), folder / "case/zeros.nii.gz")
    return folder / "case"


def guides_of(case: Path, *names: str) -> list[object]:
    return [word for name in names for word in ("--guide", case / "guides" / f"sub-03_{name}.nii.gz")]


@pytest.mark.slow
def test_super_resolved_maps_are_better_than_their_input_and_say_how_they_were_made(run: Run, case: Path) -> None:
    words = ("super-resolve", case / "lr", *guides_of(case, "T1w", "T2w", "FLAIR"), "-o", "out", "--report")
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    assert "Verdict: " in Path("out", "report.html").read_text("utf-8")
    report = json.loads(result.stdout)
    assert report["gains"]["sub-03 T1w"] == pytest.approx(812, rel=0.05)
    assert "Takes about" in result.stderr
    for name in NAMES:
        (path,) = Path("out").rglob(f"*_desc-swig_{name}.nii*")
        assert path.name == f"sub-03_desc-swig_{name}.nii.gz"
        assert path.with_name(f"sub-03_desc-swigsd_{name}.nii.gz").exists()
        truth = nib.load(case / "truth" / f"sub-03_{name}.nii.gz")
        np.testing.assert_allclose(nib.load(path).affine, truth.affine, atol=1e-4)
    sidecar = sidecar_of(path)
    assert (sidecar["Units"], sidecar["Notice"], sidecar["Parameters"]["method"]) == ("s", RESEARCH_NOTICE, "network")
    assert any("T2w" in source for source in sidecar["Sources"])
    against = ("--reference", case / "truth", "--interpolate", "--json")
    after, before = (json.loads(run("evaluate", each, *against).stdout)["maps"] for each in ("out", case / "lr"))
    for name in ("PD", "T1", "T2"):
        assert after[name]["median_ape"] < 0.5 * before[name]["median_ape"]
        assert after[name]["ssim"] > 0.95 > before[name]["ssim"]
    again = run(*words)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_a_slab_of_maps_in_guides_of_the_whole_head_gives_a_result_of_the_slab(run: Run, case: Path) -> None:
    for path in (case / "lr").glob("*.nii.gz"):
        maps, sidecar = nib.load(path).slicer[:, :, 2:4], {} if "PD" in path.name else {"Units": "s"}
        save(Path("slab") / path.name, maps.get_fdata(), sidecar, maps.affine)
    words = ("super-resolve", "slab", *guides_of(case, "T1w", "T2w"), *REGRESSION)
    result = run(*words, "--mask", case / "mask.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert "The low-resolution maps cover 33% of the head from foot to head in" in result.stderr
    (path,) = Path("out").rglob("*_desc-swig_T1map.nii*")
    found, truth = nib.load(path), nib.load(case / "truth" / "sub-03_T1map.nii.gz")
    np.testing.assert_allclose(found.affine[:3, 3], truth.affine[:3] @ [0, 0, 2, 1], atol=1e-4)
    assert found.shape == (*truth.shape[:2], 8)
    known = load(path) > 0
    assert known.any((0, 1)).sum() == 6
    error = np.abs(load(path) / load(case / "truth" / "sub-03_T1map.nii.gz")[:, :, 2:10] - 1)[known]
    assert np.median(error) < 0.05


@pytest.mark.slow
def test_a_folder_of_guides_a_mask_and_a_voxel_size_can_be_given(run: Run, case: Path) -> None:
    words = ("super-resolve", case / "lr", "--guide", case / "guides", *REGRESSION)
    result = run(*words, "--mask", case / "mask.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert "research use" in result.stdout
    sources = sidecar_of(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))["Sources"]
    assert sum("guides/sub-03_" in source for source in sources) == 3
    assert any(source.endswith("mask.nii.gz") for source in sources)
    coarse = run(*words, "--voxel-size", "4x4x8", "--overwrite")
    assert coarse.exit_code == 0, coarse.stderr
    written = nib.load(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))
    np.testing.assert_allclose(written.header.get_zooms(), (4, 4, 8), rtol=0.05)


def test_maps_in_another_unit_than_their_sidecars_say_are_refused_until_the_unit_is_given(run: Run, case: Path) -> None:
    images = [nib.load(case / "lr" / f"sub-03_{name}.nii.gz") for name in NAMES]
    data = [scale * image.get_fdata() for scale, image in zip((1, 1000, 1000), images, strict=True)]
    save_maps(Path("ms"), np.stack(data), "sub-03", images[0].affine)
    words = ("super-resolve", "ms", *guides_of(case, "T1w"), *REGRESSION)
    refused = run(*words)
    assert refused.exit_code == 1
    assert "its unit is wrong" in refused.stderr
    assert not Path("out").exists()
    assert run(*words, "--units", "ms").exit_code == 0
    assert np.median(load(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))) < 5  # s
    for name, *rest in (("evaluate", "--reference", case / "truth"), ("simulate", "-o", "simulated")):
        assert "its unit is wrong" in run(name, "ms", *rest).stderr


@pytest.mark.parametrize("names", [NAMES, NAMES[1:], NAMES[1:2]])
def test_residuals_are_reported_over_tissue_and_not_over_fluid(run: Run, case: Path, names: tuple[str, ...]) -> None:
    given = [word for name in names for word in (f"--{name[:2].lower()}", case / "lr" / f"sub-03_{name}.nii.gz")]
    result = run("super-resolve", *given, *guides_of(case, "T1w", "T2w"), *REGRESSION, "--json")
    assert result.exit_code in (0, NOT_TO_BE_USED), result.stderr
    pd, t1, t2 = (load(case / "lr" / f"sub-03_{name}.nii.gz") for name in NAMES)
    tissue = (pd > 0.35 * np.percentile(pd, 99)) & (t1 > 0.2) & (t1 < 2.5) & (t2 > 0.02) & (t2 < 0.15)
    for name in names:
        (path,) = Path("out").rglob(f"*_{name.removesuffix('map')}residual.nii.gz")
        share = np.abs(load(path) / load(case / "lr" / f"sub-03_{name}.nii.gz"))
        reported = json.loads(result.stdout)["median_relative_lr_residual"][name.removesuffix("map")]
        assert (reported, name) == (pytest.approx(np.nanmedian(share[tissue]), rel=0.02), name)


def test_an_assumption_about_a_guide_is_printed_and_saved(run: Run, case: Path) -> None:
    nib.save(nib.load(case / "guides" / "sub-03_T2w.nii.gz"), "bare_T2w.nii.gz")
    words = ("super-resolve", case / "lr", "--guide", "bare_T2w.nii.gz", *REGRESSION)
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    saved = sidecar_of(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))["Assumed"]
    assert any("bare T2w: EchoTime (90 ms)" in sentence for sentence in saved)
    assert json.loads(result.stdout)["notices"] == [each.replace("`sequence`", "--sequence") for each in saved]
    assert "bare T2w: EchoTime (90 ms)" in result.stderr
    Path("bare_T2w.json").write_text('{"EchoTime": 0.09')
    damaged = run(*words, "--overwrite")
    assert damaged.exit_code == 0
    assert "bare_T2w.json, a sidecar of bare_T2w.nii.gz, is damaged: only EchoTime could be read" in damaged.stderr


def test_a_result_that_should_not_be_used_is_written_and_exits_with_4(run: Run, case: Path) -> None:
    image = nib.load(case / "guides" / "sub-03_T1w.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata()[:, ::-1], image.affine), "turned_T1w.nii.gz")
    shutil.copy(case / "guides" / "sub-03_T1w.json", "turned_T1w.json")
    words = ("super-resolve", case / "lr", "--guide", "turned_T1w.nii.gz", *REGRESSION)
    result = run(*words, "--json")
    assert result.exit_code == 4
    report = json.loads(result.stdout)
    assert report["verdict"] == "do not use"
    assert report["reasons"][0].startswith("Worse than interpolation")
    sidecar = sidecar_of(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))
    assert (sidecar["Verdict"], sidecar["Reasons"]) == (report["verdict"], report["reasons"])
    assert all(result.stderr.splitlines().count(reason) == 1 for reason in report["reasons"])
    in_words = run(*words, "--overwrite")
    assert in_words.exit_code == 4
    assert "Verdict: do not use" in in_words.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("guides --guide guides/sub-03_T1w.nii.gz", 1, "no PD, T1 or T2 map"),
        ("lr --guide lr/sub-03_T1map.nii.gz", 1, "a guide is a weighted image"),
        ("lr --guide nowhere.nii.gz", 1, "nowhere.nii.gz does not exist"),
        ("lr --guide nowhere", 1, "nowhere does not exist"),
        ("--t1 nowhere --guide guides", 1, "nowhere does not exist"),
        (
            "lr --guide zeros.nii.gz",
            1,
            "sequence of the guide zeros.nii.gz is unknown: give it in the sidecar, or after",
        ),
        ("--t1 zeros.nii.gz --guide guides", 1, "zeros.nii.gz holds no finite value other than 0"),
        ("lr --guide guides --mask zeros.nii.gz", 1, "the mask zeros.nii.gz is empty"),
        ("lr --t2 lr/sub-03_T2map.nii.gz lr/sub-03_T2map.nii.gz", 1, "'lr/sub-03_T2map.nii.gz' (T2)"),
        ("lr guides/sub-03_T1w.nii.gz", 1, "name it as --guide"),
        ("lr --guide lr", 1, "no weighted image in lr"),
        ("lr --guide guides --guide guides/sub-03_T2w.nii.gz", 1, "the guide sub-03_T2w.nii.gz was given twice"),
        ("lr --guide guides --voxel-size 4x4x9", 1, "would be coarser than those of the maps"),
        ("lr", 1, "without a guide and with the voxels of the maps, nothing would change"),
        ("lr --voxel-size big", 2, "'big' is not one number"),
    ],
)
def test_super_resolve_refuses_in_a_sentence(
    run: Run, case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, code: int, sentence: str
) -> None:
    monkeypatch.chdir(case)
    result = run("super-resolve", *words.split(), "--method", "regression", "-o", tmp_path / "out")
    assert result.exit_code == code
    assert sentence in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_was_assumed_about_a_guide_is_said_before_it_is_refused(run: Run, case: Path) -> None:
    placeless = nib.Nifti1Image(np.ones((9, 9, 9), np.float32), None)  # shown centred, far from the maps
    placeless.header.set_sform(np.full((4, 4), np.nan), 1)
    nib.save(placeless, case / "odd_T1w.nii")
    result = run("super-resolve", case / "lr", "--guide", case / "odd_T1w.nii", *REGRESSION)
    assert result.exit_code == 1
    first, *_, last = result.stderr.splitlines()
    assert "The file has no position" in first
    assert last.startswith("swig-qmri: ")


def test_a_guide_of_another_subject_is_told(run: Run, case: Path) -> None:
    guide = shutil.copy(case / "guides" / "sub-03_T1w.nii.gz", Path("sub-04_T1w.nii.gz"))
    shutil.copy(case / "guides" / "sub-03_T1w.json", "sub-04_T1w.json")
    result = run("super-resolve", case / "lr", "--guide", guide, "--dry-run", "--method", "regression")
    assert "sub-04 T1w: Of sub-04 by its name, but the first map is of sub-03" in result.stdout
    assert "by its name" not in run("super-resolve", case / "lr", *guides_of(case, "T1w"), "--dry-run").stdout


@pytest.mark.parametrize("command", ["super-resolve", "simulate"])
def test_results_do_not_go_into_a_file(run: Run, maps: Path, command: str) -> None:
    Path("out").write_text("precious")
    result = run(command, maps, "-o", "out")
    assert result.exit_code == 1
    assert "out is a file, but the results go into a folder" in result.stderr
    assert Path("out").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [
        "super-resolve maps --guide bare_T1w.nii.gz --method regression -o out",
        "synthesize maps --sequence spin-echo --tr 500 --te 9 -o x.nii.gz",
        "sheet brain.toml maps --format nifti -o out",
        "simulate maps --guide T1w -o out",
        "evaluate maps --reference maps",
    ],
)
def test_every_notice_is_printed_once_on_stderr_and_reported(run: Run, maps: Path, words: str) -> None:
    fine = nib.Nifti1Image(np.full((24, 14, 10), 0.08, np.float32), AFFINE @ np.diag([0.5, 1, 1, 1]))
    nib.save(fine, maps / "sub-07_T2map.nii.gz")
    (maps / "sub-07_T1map.json").unlink()
    bare = np.random.default_rng(3).uniform(1, 2, (24, 28, 20)).astype(np.float32)
    nib.save(nib.Nifti1Image(bare, AFFINE @ np.diag([0.5, 0.5, 0.5, 1])), "bare_T1w.nii.gz")
    write_protocol(Protocol.usual(), "brain.toml")
    result = run(*words.split(), "--json")
    assert result.exit_code in (0, NOT_TO_BE_USED), result.stderr  # a guide without contrast helps no map
    notices = json.loads(result.stdout)["notices"]
    assert "sub-07 T2map: interpolated onto the voxels of the other maps." in notices
    assert any(notice.startswith("sub-07 T1map: ") for notice in notices)  # its unit was assumed
    printed = result.stderr.splitlines()
    assert [printed.count(notice) for notice in notices] == [notices.count(notice) for notice in notices]
