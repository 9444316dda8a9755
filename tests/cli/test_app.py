"""The commands: what they write, print and refuse, and how they end."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from paths import DOCS
from typer.testing import CliRunner, Result
from volume_cases import volume

from napari_swig_qmri.cli import app as cli
from napari_swig_qmri.cli import console
from napari_swig_qmri.cli.contrast_options import sequence_of
from napari_swig_qmri.data.files import write_volume
from napari_swig_qmri.data.inputs import subject_of
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.physics.sequence import in_shown_units
from napari_swig_qmri.physics.signal_models import SEQUENCES, Mprage, T2Flair
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, VoxelTissue
from napari_swig_qmri.synthesis.protocol import Protocol, write_protocol

AFFINE = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0.3, -30], [0, -0.3, 1.5, 5], [0, 0, 0, 1.0]])
SHAPE = (12, 14, 10)

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Folder with maps of 12 x 14 x 10 voxels."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, low, high in (("PDmap", 0.6, 1.0), ("T1map", 0.7, 1.6), ("T2map", 0.05, 0.12)):
        save(folder / f"sub-07_{name}.nii.gz", rng.uniform(low, high, SHAPE), {"Units": "s"})
    return folder


def save(path: Path, data: np.ndarray, sidecar: dict[str, object] | None = None) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), path)
    if sidecar:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['swig-qmri', '--help']\n"
        "from napari_swig_qmri.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'nibabel' in sys.modules)"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"
    assert time.perf_counter() - begin < 5  # 0.4 s on an idle machine


def test_every_command_has_help(run: Run) -> None:
    for name in ("super-resolve", "synthesize", "sheet", "simulate", "evaluate"):
        result = run(name, "--help")
        assert result.exit_code == 0
        assert "--json" in result.stdout


def test_version_is_printed(run: Run) -> None:
    assert run("--version").stdout[0].isdigit()


def test_synthesize_writes_the_signal_of_the_equation(run: Run, maps: Path) -> None:
    words = ("--sequence", "t2-flair", "--tr", 9000, "--te", 120, "--ti", 2500)
    result = run("synthesize", maps, *words, "-o", "out/flair.nii.gz")
    assert result.exit_code == 0, result.stderr
    pd, t1, t2 = (load(maps / f"sub-07_{name}.nii.gz") for name in ("PDmap", "T1map", "T2map"))
    by_hand = np.abs(pd * (1 - 2 * np.exp(-2.5 / t1) + np.exp(-(9 - 0.16) / t1)) * np.exp(-0.12 / t2))
    written = nib.load("out/flair.nii.gz")
    np.testing.assert_allclose(np.asarray(written.dataobj), by_hand, rtol=1e-4, atol=1e-6)  # float32
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-5)


def test_synthesize_writes_a_sidecar_in_seconds_and_degrees(run: Run, maps: Path) -> None:
    words = ("--sequence", "mprage", "--tr", 2300, "--te", 3, "--ti", 900, "--flip-angle", 9)
    result = run("synthesize", maps, *words, "--n-partitions", 160, "-o", "t1w.nii.gz", "--json")
    sidecar = json.loads(Path("t1w.json").read_text())
    assert (sidecar["EchoTime"], sidecar["InversionTime"], sidecar["FlipAngle"]) == (0.003, 0.9, 9)
    assert sidecar["Notice"] == "synthetic: research use"
    assert json.loads(result.stdout)["outputs"] == ["t1w.nii.gz", "t1w.json"]


def test_synthesize_takes_a_refocusing_angle(run: Run, maps: Path) -> None:
    words = ("--sequence", "tse", "--tr", 5000, "--te", 90, "--echo-train-length", 16, "--echo-spacing", 10)
    run("synthesize", maps, *words, "-o", "ideal.nii.gz")
    result = run("synthesize", maps, *words, "--refocusing-angle", 120, "-o", "low.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert json.loads(Path("low.json").read_text())["RefocusingFlipAngle"] == 120
    assert "RefocusingFlipAngle" not in json.loads(Path("ideal.json").read_text())
    ratio = load(Path("low.nii.gz")) / load(Path("ideal.nii.gz"))
    assert 0.7 < np.median(ratio) < 0.99


def test_synthesize_renders_with_field_noise_and_sign(run: Run, maps: Path) -> None:
    words = ("--sequence", "ir-se", "--tr", 4000, "--te", 15, "--ti", 600)
    options = ("--b1", 0.9, "--snr", 30, "--seed", 4, "--sign", "signed")
    for name in ("once.nii.gz", "again.nii.gz"):
        result = run("synthesize", maps, *words, *options, "-o", name)
        assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(load(Path("once.nii.gz")), load(Path("again.nii.gz")))
    assert load(Path("once.nii.gz")).min() < 0
    recorded = json.loads(Path("once.json").read_text())["Rendering"]
    assert recorded == {"TransmitField": 0.9, "SNR": 30, "NoiseReference": "signal", "Seed": 4, "Sign": "signed"}
    refused = run("synthesize", maps, *words, "--snr", 0, "-o", "x.nii.gz")
    assert refused.exit_code == 1
    assert "the signal-to-noise ratio must be above 0" in refused.stderr


def test_options_are_milliseconds_and_degrees() -> None:
    shown = {"repetition_time": 2300, "echo_time": 3, "inversion_time": 900, "flip_angle": 9.0}
    model = sequence_of(Mprage, shown)
    assert model == Mprage(repetition_time=2.3, echo_time=0.003, inversion_time=0.9, flip_angle=np.radians(9))


@pytest.mark.parametrize("name", SEQUENCES)
def test_usual_settings_of_every_sequence_can_be_given(name: str) -> None:
    kind = SEQUENCES[name]
    usual = kind.from_typical()
    shown = in_shown_units(usual)
    given = sequence_of(kind, {name: shown[name] for name in kind.typical})
    for field in kind.typical:
        assert getattr(given, field) == pytest.approx(getattr(usual, field), rel=1e-4)  # shown to six digits


def test_a_t2star_map_is_used_by_gradient_echoes(run: Run, maps: Path) -> None:
    save(maps.parent / "sub-07_T2starmap.nii.gz", np.full(SHAPE, 0.03), {"Units": "s"})
    words = ("--sequence", "spgr", "--tr", 20, "--te", 5, "--flip-angle", 20)
    run("synthesize", maps, *words, "-o", "without.nii.gz")
    result = run("synthesize", maps, *words, "--t2star", "sub-07_T2starmap.nii.gz", "-o", "with.nii.gz")
    assert result.exit_code == 0, result.stderr
    ratio = load(Path("with.nii.gz")) / load(Path("without.nii.gz"))
    expected = np.exp(-0.005 / 0.03 + 0.005 / load(maps / "sub-07_T2map.nii.gz"))
    np.testing.assert_allclose(ratio, expected, rtol=1e-4)
    rates = np.full(SHAPE, 1 / 0.03)
    save(maps / "sub-07_R2starmap.nii.gz", rates, {"Units": "1/s"})  # found among the maps
    found = run("synthesize", maps, *words, "-o", "rates.nii.gz")
    assert found.exit_code == 0
    assert "sub-07 R2starmap: used as T2*, with which gradient echoes decay." in found.stderr
    np.testing.assert_allclose(load(Path("rates.nii.gz")), load(Path("with.nii.gz")), rtol=1e-5)
    (maps / "sub-07_T2map.nii.gz").unlink()  # which T2* makes superfluous
    assert run("synthesize", maps, *words, "-o", "alone.nii.gz").exit_code == 0
    np.testing.assert_allclose(load(Path("alone.nii.gz")), load(Path("with.nii.gz")), rtol=1e-5)


def test_a_t2star_map_on_other_voxels_is_left_out_unless_asked_for(run: Run, maps: Path) -> None:
    save(maps / "sub-07_T2starmap.nii.gz", np.full((3, 3, 3), 0.03), {"Units": "s"})
    words = ("synthesize", maps, "--sequence", "spgr", "--tr", 20, "--te", 5, "--flip-angle", 20, "-o", "x.nii.gz")
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "sub-07 T2starmap: left out, because it does not have the voxels of the other maps" in result.stderr
    asked = run(*words, "--t2star", maps / "sub-07_T2starmap.nii.gz", "--overwrite")
    assert asked.exit_code == 1
    assert "does not have the voxels of the other maps: resample it first" in asked.stderr


def test_a_map_of_the_transmit_field_does_what_the_number_does(run: Run, maps: Path) -> None:
    save(maps.parent / "sub-07_TB1map.nii.gz", np.full(SHAPE, 80.0))  # percent
    words = ("--sequence", "tse", "--tr", 5000, "--te", 90)
    result = run("synthesize", maps, *words, "--b1", "sub-07_TB1map.nii.gz", "-o", "map.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert "Read as percent of the nominal flip angle" in result.stderr
    assert run("synthesize", maps, *words, "--b1", 0.8, "-o", "number.nii.gz").exit_code == 0
    np.testing.assert_allclose(load(Path("map.nii.gz")), load(Path("number.nii.gz")), rtol=1e-5)
    sidecar = json.loads(Path("map.json").read_text())
    assert sidecar["Rendering"] == {"TransmitMap": "sub-07_TB1map.nii.gz"}
    assert "sub-07_TB1map.nii.gz" in sidecar["Sources"]


def test_files_that_are_no_map_of_the_field_or_of_t2star_are_refused(run: Run, maps: Path) -> None:
    save(maps.parent / "angles.nii.gz", np.full(SHAPE, 800.0))
    words = ("synthesize", maps, "--sequence", "tse", "--tr", 5000, "--te", 90, "-o", "x.nii.gz")
    for option, path, sentence in (
        ("--b1", "angles.nii.gz", "a B1+ map is a fraction of the nominal flip angle (near 1)"),
        ("--b1", "nowhere.nii.gz", "nowhere.nii.gz does not exist"),
        ("--t2star", maps / "sub-07_T2map.nii.gz", "is a T2map, not a T2* map"),
    ):
        result = run(*words, option, path)
        assert result.exit_code == 1
        assert sentence in result.stderr


def test_a_t1_map_is_enough_for_a_uniform_image(run: Run, maps: Path) -> None:
    result = run("synthesize", maps / "sub-07_T1map.nii.gz", "--preset", "MP2RAGE UNI", "-o", "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert run("synthesize", maps, "--preset", "MP2RAGE UNI", "-o", "all.nii.gz").exit_code == 0
    np.testing.assert_array_equal(load(Path("x.nii.gz")), load(Path("all.nii.gz")))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--sequence", "spin-echo", "--tr", 50, "--te", 90), "TE 90 ms is not shorter than TR 50 ms"),
        (("--sequence", "spin-echo", "--tr", 500, "--te", 9, "--ti", 5), "Spin echo has no --ti"),
        (("--sequence", "stir", "--tr", 5000, "--te", 50), "STIR needs --ti: for example --ti 220"),
        (
            ("--sequence", "spgr", "--tr", 20, "--te", 5, "--flip-angle", 400),
            "between 0.1 degrees and 180 degrees",
        ),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(
    run: Run, maps: Path, words: tuple[object, ...], sentence: str
) -> None:
    result = run("synthesize", maps, *words, "-o", "x.nii.gz")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not Path("x.nii.gz").exists()


def test_unknown_sequences_are_a_usage_error(run: Run, maps: Path) -> None:
    result = run("synthesize", maps, "--sequence", "epi", "-o", "x.nii.gz")
    assert result.exit_code == 2
    assert "mp2rage-uni" in result.stderr


def test_nothing_is_overwritten_unasked(run: Run, maps: Path) -> None:
    words = ("synthesize", maps, "--sequence", "tse", "--tr", 5000, "--te", 90, "-o", "x.nii.gz")
    Path("x.nii.gz").write_bytes(b"precious")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "x.nii.gz already in .: choose another name or use --overwrite." in refused.stderr
    assert Path("x.nii.gz").read_bytes() == b"precious"
    assert run(*words, "--overwrite").exit_code == 0
    assert load(Path("x.nii.gz")).shape == SHAPE


def test_missing_and_wrong_files_are_refused(run: Run, maps: Path) -> None:
    words = ("--sequence", "tse", "--tr", 5000, "--te", 90, "-o", "x.nii.gz")
    save(maps.parent / "sub-07_T1w.nii.gz", np.ones(SHAPE))
    Path("broken_T1map.nii.gz").write_bytes(b"no gzip")
    for path, sentence in (
        ("nowhere", "nowhere does not exist"),
        ("sub-07_T1w.nii.gz", "is a T1w, not a PD, T1 or T2 map"),
        ("broken_T1map.nii.gz", "could not be read"),
        (maps / "sub-07_T1map.nii.gz", "Turbo spin echo needs PD and T2 besides T1: open them, or choose MP2RAGE UNI."),
    ):
        result = run("synthesize", path, *words)
        assert result.exit_code == 1
        assert sentence in result.stderr


def test_simulate_degrades_the_given_maps(run: Run, maps: Path) -> None:
    words = ("--factor", "2", "--guide", "T1w", "--guide", "T2w", "--gain", 500, "--gain", 90)
    result = run("simulate", maps, *words, "-o", "case", "--json")
    assert result.exit_code == 0, result.stderr
    files = {str(path.relative_to("case")) for path in Path("case").rglob("*.nii.gz")}
    names = ("PDmap", "T1map", "T2map")
    assert files == {
        "mask.nii.gz",
        *(f"{folder}/sub-07_{name}.nii.gz" for folder in ("lr", "truth") for name in names),
        *(f"guides/sub-07_{name}.nii.gz" for name in ("T1w", "T2w")),
    }
    low = nib.load("case/lr/sub-07_T1map.nii.gz")
    assert low.shape == (6, 7, 5)
    np.testing.assert_allclose(low.affine[:3, :3], 2 * AFFINE[:3, :3], atol=1e-5)
    assert json.loads(Path("case/lr/sub-07_T1map.json").read_text())["Units"] == "s"
    guide = json.loads(Path("case/guides/sub-07_T1w.json").read_text())
    assert guide["RepetitionTime"] == 0.6
    assert guide["Sources"] == [f"../../maps/sub-07_{name}.nii.gz" for name in names]
    assert guide["Simulation"]["guides"] == ["T1w", "T2w"]
    assert guide["Simulation"]["gains"] == [500, 90]
    assert not {"lesion", "field_strength", "voxel_size"} & set(guide["Simulation"])  # there was no built-in head
    truth = json.loads(Path("case/truth/sub-07_T1map.json").read_text())
    assert not {"Notice", "Simulation"} & set(truth)  # a copy of what was given
    assert np.mean(load(Path("case/guides/sub-07_T1w.nii.gz"))) > 50


def test_simulate_refuses_a_folder_that_holds_a_case(run: Run, maps: Path) -> None:
    assert run("simulate", maps, "-o", "case").exit_code == 0
    result = run("simulate", maps, "-o", "case")
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert run("simulate", maps, "-o", "case", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("names", "stem"),
    [
        (("anna_T1map.nii.gz", "anna_PDmap.nii.gz"), "sub-anna"),
        (("patient7-t2-map-final.nii",), "sub-patient7final"),
        (("anna_ses-2_acq-x_T1map.hdr",), "sub-anna_ses-2"),
        (("other_PDmap.nii", "sub-04_ses-1_T1map.nii"), "sub-04_ses-1"),
        (("anna-miller_desc-lr_T2map.nii",), "sub-annamiller"),
        (("qT1.nii.gz",), "sub-unnamed"),
    ],
)
def test_results_are_of_the_subject_that_the_files_name(names: tuple[str, ...], stem: str) -> None:
    assert subject_of([volume(path=Path("somewhere") / name) for name in names]) == stem


def test_simulate_names_its_files_like_those_of_the_given_maps(run: Run, maps: Path) -> None:
    for path in maps.iterdir():
        path.rename(path.with_name(path.name.replace("sub-07", "anna")))
    assert run("simulate", maps, "-o", "case").exit_code == 0
    assert Path("case/lr/sub-anna_T1map.nii.gz").is_file()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--gain", 0), 1, "a gain must be a number above 0, but --gain is 0: leave it out for a gain of 1."),
        (("--gain", "nan"), 1, "a gain must be a number above 0, but --gain is nan"),
        (
            ("--factor", 99),
            1,
            "--factor 99 × 99 × 99 leaves fewer than two voxels along an axis of 12 × 14 × 10 voxels",
        ),
        (("--factor", "1x1x9"), 1, "--factor 1 × 1 × 9 leaves fewer than two voxels"),
        (("--seed", -1), 2, "'--seed'"),
    ],
)
def test_simulate_refuses_impossible_numbers(
    run: Run, maps: Path, words: tuple[object, ...], code: int, sentence: str
) -> None:
    result = run("simulate", maps, *words, "-o", "case")
    assert result.exit_code == code
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("case").exists()


@pytest.mark.slow
def test_simulate_without_maps_draws_the_built_in_head(run: Run) -> None:
    result = run("simulate", "--voxel-size", 2.5, "--factor", "1x1x2", "-o", "case", "--json")
    assert result.exit_code == 0, result.stderr
    assert load(Path("case/mask.nii.gz")).sum() > 50_000  # a brain fills more than 0.8 litres
    high, low = (load(Path(f"case/{folder}/sub-01_T1map.nii.gz")) for folder in ("truth", "lr"))
    assert low.shape[2] == round(high.shape[2] / 2)
    guide = json.loads(Path("case/guides/sub-01_FLAIR.json").read_text())
    assert guide["Simulation"]["lesion"] is True
    assert guide["Simulation"]["guides"] == ["T1w", "T2w", "FLAIR"]
    assert "Sources" not in guide


def test_evaluate_prints_scores_as_text_and_json(run: Run, maps: Path) -> None:
    other = maps.parent / "other"
    other.mkdir()
    for path in maps.glob("*.nii.gz"):
        save(other / path.name, load(path) * 1.02, {"Units": "s"})
    save(maps.parent / "mask.nii.gz", np.ones(SHAPE))
    words = ("evaluate", other, "--reference", maps, "--mask", "mask.nii.gz")
    text, as_json = run(*words), run(*words, "--json")
    assert text.exit_code == as_json.exit_code == 0, text.stderr
    assert "SSIM" in text.stdout
    scores = json.loads(as_json.stdout)
    assert scores["maps"]["T1"]["bias"] == pytest.approx(2, abs=1e-3)
    assert set(scores["tissues"]) == {"PD", "T1", "T2"}


def test_evaluate_refuses_other_grids(run: Run, maps: Path) -> None:
    assert run("simulate", maps, "-o", "case").exit_code == 0
    result = run("evaluate", "case/lr", "--reference", maps)
    assert result.exit_code == 1
    assert "the maps have (6, 7, 5) voxels and the reference (12, 14, 10): interpolate" in result.stderr
    assert "inf" not in result.stderr
    save(maps.parent / "mask.nii.gz", np.ones((3, 3, 3)))
    assert "mask" in run("evaluate", maps, "--reference", maps, "--mask", "mask.nii.gz").stderr


def test_evaluate_interpolates_maps_of_another_grid_if_asked(run: Run, case: Path) -> None:
    words = ("--reference", case / "truth", "--mask", case / "mask.nii.gz", "--interpolate", "--json")
    low, high = (json.loads(run("evaluate", case / folder, *words).stdout)["maps"] for folder in ("lr", "truth"))
    assert high["T1"]["median_ape"] == pytest.approx(0, abs=1e-3)
    assert 0 < low["T1"]["median_ape"] < 15  # blurred, but in place
    assert 0.5 < low["T1"]["ssim"] < 0.99


def test_interruption_ends_with_130_and_without_a_traceback(
    run: Run, maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: LazyContrast) -> Generator[float, None, None]:
        yield 0.1
        raise KeyboardInterrupt

    monkeypatch.setattr(LazyContrast, "rendered", interrupted)
    words = ("--sequence", "tse", "--tr", 5000, "--te", 90, "-o", "x.nii.gz")
    result = run("synthesize", maps, *words)
    assert result.exit_code == 130
    assert result.stderr.strip().endswith("Cancelled.")
    assert not Path("x.nii.gz").exists()


def test_a_missing_library_is_named(run: Run, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_torch(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(VoxelTissue, "of", without_torch)
    words = ("--sequence", "tse", "--tr", 5000, "--te", 90, "-o", "x.nii.gz")
    result = run("synthesize", maps, *words)
    assert result.exit_code == 1
    assert "pip install torch" in result.stderr


def test_drain_returns_what_the_generator_returns_and_closes_it() -> None:
    closed = []

    def steps() -> Generator[Progress, None, int]:
        try:
            yield Progress(0.5, "half")
        finally:
            closed.append(True)
        return 7

    assert console.drain(steps()) == 7
    assert closed == [True]


def test_json_has_null_for_numbers_that_are_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": [1.0, float("inf")], "c": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.0, None], "c": "x"}


def test_settings_keep_their_defaults() -> None:
    model = sequence_of(T2Flair, {"repetition_time": 9000, "echo_time": 120, "inversion_time": 2500})
    assert isinstance(model, T2Flair)
    assert model.echo_train_length == 16


def test_what_is_done_to_maps_of_another_grid_is_said_and_reported(run: Run, maps: Path) -> None:
    fine = np.diag([0.5, 1, 1, 1])
    nib.save(nib.Nifti1Image(np.full((24, 14, 10), 0.08, np.float32), AFFINE @ fine), maps / "sub-07_T2map.nii.gz")
    words = ("--sequence", "spin-echo", "--tr", 500, "--te", 9, "-o", "x.nii.gz", "--json")
    result = run("synthesize", maps, *words)
    assert result.exit_code == 0, result.stderr
    sentence = "sub-07 T2map: interpolated onto the voxels of the other maps."
    assert result.stderr.splitlines().count(sentence) == 1
    assert sentence in json.loads(result.stdout)["notices"]


@pytest.mark.parametrize(
    ("name", "shown", "train"),
    [
        ("tse", {"repetition_time": 5000, "echo_time": 200}, (20, 0.01)),
        ("t2-flair", {"repetition_time": 9000, "echo_time": 165, "inversion_time": 2500}, (17, 0.01)),
        ("tse", {"repetition_time": 5000, "echo_time": 200, "echo_train_length": 8}, (8, 0.025)),
        ("tse", {"repetition_time": 5000, "echo_time": 200, "echo_spacing": 4}, (50, 0.004)),
        ("tse", {"repetition_time": 5000, "echo_time": 90}, (16, 0.01)),
    ],
)
def test_an_echo_train_that_is_not_given_reaches_te(
    name: str, shown: dict[str, float], train: tuple[int, float]
) -> None:
    model = sequence_of(SEQUENCES[name], shown)
    assert (model.echo_train_length, model.echo_spacing) == pytest.approx(train)


@pytest.mark.parametrize(("option", "value"), [("--echo-train-length", 0), ("--echo-spacing", 0)])
def test_an_impossible_part_of_an_echo_train_is_refused(run: Run, maps: Path, option: str, value: int) -> None:
    words = ("--sequence", "tse", "--tr", 5000, "--te", 200, option, value)
    result = run("synthesize", maps, *words, "-o", "x.nii.gz")
    assert result.exit_code == 1
    assert "must be" in result.stderr


def test_synthesize_says_which_settings_were_not_given(run: Run, maps: Path) -> None:
    words = ("synthesize", maps, "--sequence", "tse", "--tr", 5000, "--te", 200, "-o", "x.nii.gz", "--json")
    result = run(*words)
    sentence = "Not given, so taken as usual: --echo-train-length 20 --echo-spacing 10."
    assert sentence in result.stderr.splitlines()
    assert sentence in json.loads(result.stdout)["notices"]
    given = run(*words, "--overwrite", "--echo-train-length", 25, "--echo-spacing", 8)
    assert given.exit_code == 0
    assert "Not given" not in given.stderr


@pytest.mark.slow
def test_the_commands_of_the_how_to_page_run_one_after_another(run: Run) -> None:
    pages = DOCS / "howto"
    lines = (pages / "command-line.md").read_text(encoding="utf-8").splitlines()
    _, protocol, _ = re.split(r"```toml\n(.*?)```", (pages / "compare.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    Path("brain.toml").write_text(protocol, encoding="utf-8")  # the sheet that the page names
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("swig-qmri ")]
    commands[0] += ["--voxel-size", "2.5"]  # quicker than the default of 1 mm
    for words in commands:
        result = run(*(word.replace("1x1x2", "2.5x2.5x5") for word in words))
        assert result.exit_code == 0, f"{words}: {result.stderr}"
    (code,) = (line.split('"', 1)[1].rstrip('"') for line in lines if line.startswith("python -c"))
    exec(code)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_stops_a_real_process_cleanly(tmp_path: Path) -> None:
    code = "from napari_swig_qmri.cli.app import main; main()"
    command = [sys.executable, "-c", code, "simulate", "--voxel-size", "0.6", "-o", "case"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background may inherit SIG_IGN
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True, preexec_fn=heed) as process:
        time.sleep(4)  # loaded, and at work for half a minute more
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Cancelled." in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob("*.nii.gz"))


EXTENT = ((-45.0, 45.0), (-60.0, 20.0), (0.0, 50.0))  # mm, RAS+: ventricles and cortex, 36 x 32 x 20 voxels


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated case in a folder: maps at 5 mm, three guides and the truth at 2.5 mm."""
    folder = tmp_path_factory.mktemp("case")
    truth = make_phantom(2.5, extent=EXTENT)
    for image in map_volumes(truth.maps, "truth"):
        write_volume(image, folder / f"sub-03_{image.suffix}.nii.gz")
    settings = ("--factor", "2", "--gain", "812", "--gain", "95", "--gain", "1")
    result = CliRunner().invoke(cli.app, ["simulate", str(folder), *settings, "-o", str(folder / "case")])
    assert result.exit_code == 0, result.stderr
    return folder / "case"


def guides_of(case: Path, *names: str) -> list[object]:
    return [word for name in names for word in ("--guide", case / "guides" / f"sub-03_{name}.nii.gz")]


def test_super_resolve_saves_maps_that_are_better_than_their_input(run: Run, case: Path) -> None:
    result = run("super-resolve", case / "lr", *guides_of(case, "T1w", "T2w", "FLAIR"), "-o", "out", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["gains"]["sub-03 T1w"] == pytest.approx(812, rel=0.05)
    for name in ("PD", "T1", "T2"):
        found = sorted(Path("out").rglob(f"*{name}map*.nii*"))
        assert [path.name for path in found] == [f"sub-03_desc-swig_{name}map.nii.gz"]
        truth = nib.load(case / "truth" / f"sub-03_{name}map.nii.gz")
        np.testing.assert_allclose(nib.load(found[0]).affine, truth.affine, atol=1e-4)
    scores = json.loads(run("evaluate", "out", "--reference", case / "truth", "--json").stdout)
    assert min(scores["maps"][name]["ssim"] for name in ("T1", "T2")) > 0.9


def test_super_resolve_sidecars_say_what_was_done(run: Run, case: Path) -> None:
    words = ("--method", "regression", "-o", "out")
    result = run("super-resolve", case / "lr", *guides_of(case, "T1w", "T2w"), *words)
    assert result.exit_code == 0, result.stderr
    assert "research use" in result.stdout
    sidecar = json.loads(next(Path("out").rglob("*desc-swig_T1map.json")).read_text())
    assert sidecar["Units"] == "s"
    assert sidecar["Notice"] == "synthetic: research use"
    assert sidecar["Parameters"]["method"] == "regression"
    assert any("T2w" in source for source in sidecar["Sources"])
    again = run("super-resolve", case / "lr", *guides_of(case, "T1w", "T2w"), *words)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert run("super-resolve", case / "lr", *guides_of(case, "T1w"), *words, "--overwrite").exit_code == 0


def test_super_resolve_takes_a_voxel_size_and_a_mask(run: Run, case: Path) -> None:
    guides = guides_of(case, "T1w", "T2w")
    size = ("--voxel-size", "2.5x2.5x5", "--method", "regression")
    result = run("super-resolve", case / "lr", *guides, *size, "-o", "coarse")
    assert result.exit_code == 0, result.stderr
    written = nib.load(next(Path("coarse").rglob("*desc-swig_T1map.nii.gz")))
    np.testing.assert_allclose(written.header.get_zooms(), (2.5, 2.5, 5.0), rtol=1e-4)
    masked = ("--mask", case / "mask.nii.gz", "--method", "regression", "-o", "masked")
    result = run("super-resolve", case / "lr", *guides, *masked)
    assert result.exit_code == 0, result.stderr
    wrong = run("super-resolve", case / "lr", *guides, "--voxel-size", 2, *masked[:2], "-o", "wrong")
    assert wrong.exit_code == 1
    assert "mask" in wrong.stderr


def test_maps_in_another_unit_than_stated_are_refused_until_the_unit_is_told(run: Run, case: Path) -> None:
    folder = Path("ms")
    folder.mkdir()
    for path in (case / "lr").glob("*.nii.gz"):
        image = nib.load(path)
        scale = 1 if "PDmap" in path.name else 1000
        nib.save(nib.Nifti1Image(scale * np.asarray(image.dataobj), image.affine), folder / path.name)
        (folder / path.name.replace(".nii.gz", ".json")).write_text('{"Units": "s"}')
    words = ("super-resolve", folder, *guides_of(case, "T1w", "T2w"), "--method", "regression", "-o", "out")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "lies between 0.02 and 8 s; its unit is wrong" in refused.stderr
    assert not Path("out").exists()
    told = run(*words, "--units", "ms")
    assert told.exit_code == 0, told.stderr
    scores = json.loads(run("evaluate", "out", "--reference", case / "truth", "--json").stdout)
    assert scores["maps"]["T1"]["ssim"] > 0.8
    for name, *rest in (("evaluate", "--reference", case / "truth"), ("simulate", "-o", "simulated")):
        assert "its unit is wrong" in run(name, folder, *rest).stderr


def test_what_was_assumed_about_a_guide_is_said_and_saved(run: Run, case: Path) -> None:
    image = nib.load(case / "guides" / "sub-03_T2w.nii.gz")
    nib.save(image, "bare_T2w.nii.gz")
    words = ("super-resolve", case / "lr", "--guide", "bare_T2w.nii.gz", "--method", "regression", "-o", "out")
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    saved = json.loads(next(Path("out").rglob("*desc-swig_T1map.json")).read_text())["Assumed"]
    assert any("bare T2w: EchoTime (90 ms)" in sentence for sentence in saved)
    assert json.loads(result.stdout)["notices"] == saved
    assert "bare T2w: EchoTime (90 ms)" in result.stderr
    assert "table" not in result.stderr
    Path("bare_T2w.json").write_text('{"EchoTime": 0.09')
    broken = run(*words, "--overwrite")
    assert broken.exit_code == 1
    assert "bare_T2w.json, the sidecar of bare_T2w.nii.gz, could not be read" in broken.stderr


def test_guides_may_be_a_folder_and_are_given_once(run: Run, case: Path) -> None:
    words = ("super-resolve", case / "lr", "--method", "regression", "-o", "out", "--guide", case / "guides")
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr
    assert set(json.loads(result.stdout)["gains"]) == {f"sub-03 {name}" for name in ("T1w", "T2w", "FLAIR")}
    sources = json.loads(next(Path("out").rglob("*desc-swig_T1map.json")).read_text())["Sources"]
    assert sum("guides/sub-03_" in source for source in sources) == 3
    twice = run(*words, "--overwrite", *guides_of(case, "T2w"))
    assert twice.exit_code == 1
    assert "the guide sub-03_T2w.nii.gz was given twice" in twice.stderr
    assert "no weighted image in" in run(*words[:-1], case / "lr", "--overwrite").stderr


def test_super_resolve_says_what_it_takes_and_refuses_more_than_there_is(
    run: Run, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("super-resolve", case / "lr", *guides_of(case, "T1w"), "--method", "regression")
    assert "Takes about 1 s and 0.0 GB of memory." in run(*words, "-o", "out").stderr
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}[name])
    refused = run(*words, "-o", "small")
    assert refused.exit_code == 1
    assert "of memory, but the machine has 0.0 GB: choose a larger voxel size" in refused.stderr
    assert not Path("small").exists()
    monkeypatch.delattr("os.sysconf")
    assert run(*words, "-o", "unknown").exit_code == 0


def test_results_do_not_go_into_a_file(run: Run, case: Path, maps: Path) -> None:
    Path("out").write_text("precious")
    for words in (("super-resolve", case / "lr", *guides_of(case, "T1w")), ("simulate", maps)):
        result = run(*words, "-o", "out")
        assert result.exit_code == 1
        assert "out is a file, but the results go into a folder" in result.stderr
    assert Path("out").read_text() == "precious"


def test_super_resolve_refuses_what_cannot_be_used(run: Run, case: Path) -> None:
    for words, sentence in (
        ((case / "guides", *guides_of(case, "T1w")), "no PD, T1 or T2 map"),
        ((case / "lr", "--guide", case / "lr" / "sub-03_T1map.nii.gz"), "a guide is a weighted image"),
        ((case / "lr", "--guide", "nowhere.nii.gz"), "nowhere.nii.gz does not exist"),
        ((case / "lr", case / "guides" / "sub-03_T1w.nii.gz"), "put --guide before it"),
    ):
        result = run("super-resolve", *words, "-o", "out")
        assert result.exit_code == 1
        assert sentence in result.stderr
        assert not Path("out").exists()
    assert run("super-resolve", case / "lr", "--voxel-size", "big", "-o", "out").exit_code == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--voxel-size", "2.5x2.5x6"),
            "voxels of 2.5 × 2.5 × 6 mm would be coarser than those of the maps, 5 × 5 × 5",
        ),
        ((), "without a guide and with the voxels of the maps, nothing would change"),
    ],
)
def test_super_resolve_refuses_what_adds_no_detail(run: Run, case: Path, words: tuple[str, ...], sentence: str) -> None:
    guides = guides_of(case, "T1w") if words else []
    result = run("super-resolve", case / "lr", *guides, *words, "-o", "out")
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not Path("out").exists()


def test_a_preset_gives_the_settings_and_options_change_them(run: Run, maps: Path) -> None:
    words = ("synthesize", maps, "--preset", "t2-flair 2d", "--te", 80, "-o", "x.nii.gz", "--json")
    result = run(*words, "--field", 1.5)
    assert result.exit_code == 0, result.stderr
    sidecar = json.loads(Path("x.json").read_text())
    assert (sidecar["RepetitionTime"], sidecar["InversionTime"], sidecar["EchoTime"]) == (9.0, 2.414, 0.08)
    assert "taken as usual" not in result.stderr
    assert run(*words, "--overwrite").exit_code == 0  # at 3 T
    assert json.loads(Path("x.json").read_text())["InversionTime"] == 2.415


def test_presets_of_a_file_can_be_given(run: Run, maps: Path, own_presets: Path) -> None:
    text = '[[preset]]\nname = "mine"\nfield_strength = 0.55\nsequence = "equation"\n'
    Path("shared.toml").write_text(text + 'equation = "PD * exp(-TE/T2)"\nsettings = { echo_time = 20 }\n')
    words = ("synthesize", maps, "--preset", "mine", "--field", 0.55, "-o", "x.nii.gz")
    result = run(*words, "--preset-file", "shared.toml", "--te", 40)
    assert result.exit_code == 0, result.stderr
    expected = load(maps / "sub-07_PDmap.nii.gz") * np.exp(-0.04 / load(maps / "sub-07_T2map.nii.gz"))
    np.testing.assert_allclose(load(Path("x.nii.gz")), expected, rtol=1e-4)
    refused = run(*words, "--preset-file", "shared.toml", "--ti", 40, "--overwrite")
    assert "this equation has no --ti: leave it out." in refused.stderr
    missing = run(*words, "--overwrite")
    assert "there are no presets at 0.55 T: choose a field strength among 1.5, 3, 7 T." in missing.stderr


def test_a_bad_file_among_the_own_presets_is_told_and_left_out(
    run: Run, maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "bad.toml").write_text("no toml")
    monkeypatch.setattr("napari_swig_qmri.synthesis.presets.user_folder", lambda: folder)
    result = run("synthesize", maps, "--preset", "STIR", "-o", "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert "preset file bad.toml is not TOML: " in result.stderr
    refused = run("synthesize", maps, "--preset", "STIR", "--preset-file", folder / "bad.toml", "-o", "y.nii.gz")
    assert refused.exit_code == 1


def test_an_equation_is_computed_and_recorded(run: Run, maps: Path) -> None:
    text = "PD * (1 - 2*exp(-TI/T1) + exp(-TR/T1)) * cos(FA)"
    words = ("--equation", text, "--tr", 3000, "--ti", 800, "--flip-angle", 60)
    result = run("synthesize", maps, *words, "-o", "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    pd, t1 = (load(maps / f"sub-07_{name}.nii.gz") for name in ("PDmap", "T1map"))
    by_hand = pd * (1 - 2 * np.exp(-0.8 / t1) + np.exp(-3 / t1)) / 2
    np.testing.assert_allclose(load(Path("x.nii.gz")), by_hand, rtol=1e-4, atol=1e-6)  # float32
    sidecar = json.loads(Path("x.json").read_text())
    assert sidecar["SignalEquation"] == text
    assert (sidecar["RepetitionTime"], sidecar["InversionTime"], sidecar["FlipAngle"]) == (3.0, 0.8, 60.0)
    assert "EchoTime" not in sidecar
    assert sidecar["Notice"] == "synthetic: research use"


def test_an_equation_sees_t2_and_t2star(run: Run, maps: Path) -> None:
    save(maps.parent / "sub-07_T2starmap.nii.gz", np.full(SHAPE, 0.03), {"Units": "s"})
    words = ("--t2star", "sub-07_T2starmap.nii.gz", "--equation", "T2/T2s", "-o", "x.nii.gz")
    assert run("synthesize", maps, *words).exit_code == 0
    np.testing.assert_allclose(load(Path("x.nii.gz")), load(maps / "sub-07_T2map.nii.gz") / 0.03, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--preset", "STAR"), 1, "no preset at 3 T is called 'STAR': choose among T1w SE"),
        (("--preset", "STIR", "--flip-angle", 3), 1, "STIR has no --flip-angle: leave it out."),
        (("--preset", "STIR", "--te", 900), 1, "TE 900 ms lies outside the echo train"),
        (("--equation", "PD * t3"), 1, "the equation cannot be read at position 6: unknown name 't3'"),
        (("--equation", "PD * exp(-TE/T2)"), 1, "this equation needs --te: for example --te 20."),
        (("--equation", "PD", "--te", 20), 1, "this equation has no --te: leave it out."),
        ((), 2, "give one of --sequence, --preset and --equation"),
        (("--preset", "STIR", "--equation", "PD"), 2, "give one of --sequence, --preset and --equation"),
        (("--equation", "PD", "--field", 3), 2, "--field and --preset-file go with --preset"),
    ],
)
def test_presets_and_equations_are_refused_with_a_sentence(
    run: Run, maps: Path, words: tuple[object, ...], code: int, sentence: str
) -> None:
    result = run("synthesize", maps, *words, "-o", "x.nii.gz")
    assert result.exit_code == code
    assert sentence in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("x.nii.gz").exists()


def test_sheet_renders_a_protocol(run: Run, maps: Path) -> None:
    write_protocol(Protocol.usual(), "brain.toml")
    result = run("sheet", "brain.toml", maps, "-o", "out", "--format", "png", "--format", "nifti", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["subject"] == "sub-07"
    assert Path("out/sub-07_sheet.png").is_file()
    assert len(list(Path("out/sub-07/anat").glob("*.nii.gz"))) == 4
    sidecar = json.loads(Path("out/sub-07/anat/sub-07_desc-synthetic_T1w.json").read_text())
    assert "../../../maps/sub-07_T1map.nii.gz" in sidecar["Sources"]
    again = run("sheet", "brain.toml", maps, "-o", "out")
    assert again.exit_code == 1
    assert "already in" in again.stderr


def test_sheet_takes_a_map_of_the_transmit_field(run: Run, maps: Path) -> None:
    write_protocol(Protocol.usual(), "brain.toml")
    save(maps.parent / "b1.nii.gz", np.full(SHAPE, 0.8))
    result = run("sheet", "brain.toml", maps, "-o", "out", "--format", "nifti", "--b1", "b1.nii.gz")
    assert result.exit_code == 0, result.stderr
    sidecar = json.loads(next(Path("out").rglob("*T2w.json")).read_text())
    assert sidecar["Rendering"] == {"TransmitMap": "b1.nii.gz"}


def test_sheet_refuses_what_is_no_protocol(run: Run, maps: Path) -> None:
    Path("bad.toml").write_text("[[contrasts]]\nname = 'x'\nsequence = 'epi'\n")
    result = run("sheet", "bad.toml", maps, "-o", "out")
    assert result.exit_code == 1
    assert "bad.toml: contrast 'x': sequence 'epi' is unknown" in result.stderr
