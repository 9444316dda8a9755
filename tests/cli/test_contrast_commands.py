"""Contrasts that ``synthesize`` and ``sheet`` write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli_cases import AFFINE, SHAPE, Run, load, save, sidecar_of
from export_cases import EXPORTS, write

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.synthesis.protocol import Protocol, write_protocol

TSE = ("--sequence", "tse", "--tr", 5000, "--te", 90)


def maps_of(folder: Path) -> tuple[np.ndarray, ...]:
    return tuple(load(folder / f"sub-07_{name}.nii.gz") for name in ("PDmap", "T1map", "T2map"))


def test_synthesize_writes_the_signal_of_the_sequence_with_a_sidecar(run: Run, maps: Path) -> None:
    words = ("--sequence", "t2-flair", "--tr", 9000, "--te", 120, "--ti", 2500)
    result = run("synthesize", maps, *words, "-o", "out/flair.nii.gz", "--json")
    assert result.exit_code == 0, result.stderr
    pd, t1, t2 = maps_of(maps)
    by_hand = np.abs(pd * (1 - 2 * np.exp(-2.5 / t1) + np.exp(-(9 - 0.16) / t1)) * np.exp(-0.12 / t2))
    np.testing.assert_allclose(load("out/flair.nii.gz"), by_hand, rtol=1e-4, atol=1e-6)  # float32
    np.testing.assert_allclose(nib.load("out/flair.nii.gz").affine, AFFINE, atol=1e-5)
    sidecar, report = sidecar_of("out/flair.nii.gz"), json.loads(result.stdout)
    assert (sidecar["EchoTime"], sidecar["InversionTime"], sidecar["Notice"]) == (0.12, 2.5, RESEARCH_NOTICE)
    assert report["outputs"] == ["out/flair.nii.gz", "out/flair.json"]
    (assumed,) = (line for line in result.stderr.splitlines() if line.startswith("Not given, so the usual"))
    assert assumed in report["notices"]


def test_a_refocusing_angle_is_recorded_unless_it_is_the_ideal(run: Run, maps: Path) -> None:
    run("synthesize", maps, *TSE, "-o", "ideal.nii.gz")
    result = run("synthesize", maps, *TSE, "--refocusing-angle", 120, "-o", "low.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert sidecar_of("low.nii.gz")["RefocusingFlipAngle"] == 120
    assert "RefocusingFlipAngle" not in sidecar_of("ideal.nii.gz")
    assert 0.7 < np.median(load("low.nii.gz") / load("ideal.nii.gz")) < 0.99


@pytest.mark.slow
def test_transmit_field_noise_and_sign_are_applied_and_recorded(run: Run, maps: Path) -> None:
    words = ("--sequence", "ir-se", "--tr", 4000, "--te", 15, "--ti", 600)
    options = ("--b1", 0.9, "--snr", 30, "--seed", 4, "--sign", "signed")
    assert run("synthesize", maps, *words, *options, "-o", "x.nii.gz").exit_code == 0
    assert load("x.nii.gz").min() < 0
    recorded = {"TransmitField": 0.9, "SNR": 30, "NoiseReference": "signal", "Seed": 4, "Sign": "signed"}
    assert sidecar_of("x.nii.gz")["Rendering"] == recorded


def test_a_map_of_the_transmit_field_has_the_effect_of_the_number(run: Run, maps: Path) -> None:
    save("sub-07_TB1map.nii.gz", np.full(SHAPE, 80.0))  # percent
    for b1, name in (("sub-07_TB1map.nii.gz", "map.nii.gz"), (0.8, "number.nii.gz")):
        result = run("synthesize", maps, *TSE, "--b1", b1, "-o", name)
        assert result.exit_code == 0, result.stderr
    np.testing.assert_allclose(load("map.nii.gz"), load("number.nii.gz"), rtol=1e-5)
    assert sidecar_of("map.nii.gz")["Rendering"] == {"TransmitMap": "sub-07_TB1map.nii.gz"}
    assert "sub-07_TB1map.nii.gz" in sidecar_of("map.nii.gz")["Sources"]


def test_gradient_echoes_decay_with_t2star_and_then_need_no_t2(run: Run, maps: Path) -> None:
    save("sub-07_T2starmap.nii.gz", np.full(SHAPE, 0.03), {"Units": "s"})
    words = ("--sequence", "spgr", "--tr", 20, "--te", 5, "--flip-angle", 20)
    t2 = maps_of(maps)[2]
    run("synthesize", maps, *words, "-o", "without.nii.gz")
    (maps / "sub-07_T2map.nii.gz").unlink()
    result = run("synthesize", maps, *words, "--t2star", "sub-07_T2starmap.nii.gz", "-o", "with.nii.gz")
    assert result.exit_code == 0, result.stderr
    ratio = load("with.nii.gz") / load("without.nii.gz")
    np.testing.assert_allclose(ratio, np.exp(-0.005 / 0.03 + 0.005 / t2), rtol=1e-4)


def test_mp2rage_uni_needs_t1_only(run: Run, maps: Path) -> None:
    for path, name in ((maps / "sub-07_T1map.nii.gz", "t1.nii.gz"), (maps, "all.nii.gz")):
        result = run("synthesize", path, "--preset", "MP2RAGE UNI", "-o", name)
        assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(load("t1.nii.gz"), load("all.nii.gz"))


def test_options_change_the_settings_of_a_preset(run: Run, maps: Path) -> None:
    words = ("synthesize", maps, "--preset", "t2-flair 2d", "--te", 80, "-o", "x.nii.gz")
    result = run(*words, "--field", 1.5)
    assert result.exit_code == 0, result.stderr
    sidecar = sidecar_of("x.nii.gz")
    assert (sidecar["RepetitionTime"], sidecar["InversionTime"], sidecar["EchoTime"]) == (9.0, 2.414, 0.08)
    assert "Not given" not in result.stderr
    assert run(*words, "--overwrite").exit_code == 0  # at 3 T
    assert sidecar_of("x.nii.gz")["InversionTime"] == 2.415


def test_presets_can_come_from_a_file(run: Run, maps: Path) -> None:
    preset = '[[preset]]\nname = "mine"\nfield_strength = 0.55\nsequence = "equation"\n'
    Path("shared.toml").write_text(preset + 'equation = "PD * exp(-TE/T2)"\nsettings = { echo_time = 20 }\n')
    words = ("synthesize", maps, "--preset", "mine", "--field", 0.55, "-o", "x.nii.gz")
    result = run(*words, "--preset-file", "shared.toml", "--te", 40)
    assert result.exit_code == 0, result.stderr
    pd, _, t2 = maps_of(maps)
    np.testing.assert_allclose(load("x.nii.gz"), pd * np.exp(-0.04 / t2), rtol=1e-4)
    refused = run(*words, "--preset-file", "shared.toml", "--ti", 40, "--overwrite")
    assert "this equation has no --ti: leave it out." in refused.stderr
    missing = run(*words, "--overwrite")
    assert "there are no presets at 0.55 T: choose a field strength among 1.5, 3, 7 T." in missing.stderr


def test_an_unreadable_file_among_the_own_presets_is_a_notice(
    run: Run, maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own").mkdir()
    Path("own/bad.toml").write_text("no toml")
    monkeypatch.setattr("napari_swig_qmri.synthesis.presets.user_folder", lambda: Path("own"))
    words = ("synthesize", maps, "--preset", "STIR", "-o")
    result = run(*words, "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert "preset file bad.toml is not TOML: " in result.stderr
    assert run(*words, "y.nii.gz", "--preset-file", "own/bad.toml").exit_code == 1


def test_an_equation_is_computed_and_recorded(run: Run, maps: Path) -> None:
    save("sub-07_T2starmap.nii.gz", np.full(SHAPE, 0.03), {"Units": "s"})
    text = "PD * (1 - 2*exp(-TI/T1) + exp(-TR/T1)) * cos(FA) * T2 / T2s"
    words = ("--equation", text, "--tr", 3000, "--ti", 800, "--flip-angle", 60, "--t2star", "sub-07_T2starmap.nii.gz")
    result = run("synthesize", maps, *words, "-o", "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    pd, t1, t2 = maps_of(maps)
    by_hand = pd * (1 - 2 * np.exp(-0.8 / t1) + np.exp(-3 / t1)) / 2 * t2 / 0.03
    np.testing.assert_allclose(load("x.nii.gz"), by_hand, rtol=1e-4, atol=1e-6)  # float32
    sidecar = sidecar_of("x.nii.gz")
    assert (sidecar["SignalEquation"], sidecar["Notice"]) == (text, RESEARCH_NOTICE)
    assert (sidecar["RepetitionTime"], sidecar["InversionTime"], sidecar["FlipAngle"]) == (3.0, 0.8, 60.0)
    assert "EchoTime" not in sidecar


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("--sequence spin-echo --tr 50 --te 90", 1, "TE 90 ms is not shorter than TR 50 ms"),
        ("--sequence spin-echo --tr 500 --te 9 --ti 5", 1, "Spin echo has no --ti"),
        ("--sequence stir --tr 5000 --te 50", 1, "STIR needs --ti: for example --ti 220"),
        ("--sequence spgr --tr 20 --te 5 --flip-angle 400", 1, "between 0.1 degrees and 180 degrees"),
        ("--sequence tse --tr 5000 --te 200 --echo-train-length 0", 1, "must be"),
        ("--sequence tse --tr 5000 --te 200 --echo-spacing 0", 1, "must be"),
        ("--sequence tse --tr 5000 --te 90 --snr 0", 1, "the signal-to-noise ratio must be above 0"),
        ("--sequence tse --tr 5000 --te 90 --b1 nowhere.nii.gz", 1, "nowhere.nii.gz does not exist"),
        ("--sequence epi", 2, "mp2rage-uni"),
        ("--preset STAR", 1, "no preset at 3 T is called 'STAR': choose among T1w SE"),
        ("--preset STIR --flip-angle 3", 1, "STIR has no --flip-angle: leave it out."),
        ("--preset STIR --te 900", 1, "TE 900 ms lies outside the echo train"),
        ("--equation PD*t3", 1, "the equation cannot be read at position 4: unknown name 't3'"),
        ("--equation PD*exp(-TE/T2)", 1, "this equation needs --te: for example --te 20."),
        ("--equation PD --te 20", 1, "this equation has no --te: leave it out."),
        ("", 2, "give one of --sequence, --preset and --equation"),
        ("--preset STIR --equation PD", 2, "give one of --sequence, --preset and --equation"),
        ("--equation PD --field 3", 2, "--field and --preset-file go with --preset"),
    ],
)
def test_impossible_contrasts_are_refused_in_a_sentence(
    run: Run, maps: Path, words: str, code: int, sentence: str
) -> None:
    result = run("synthesize", maps, *words.split(), "-o", "x.nii.gz")
    assert result.exit_code == code
    assert sentence in " ".join(result.stderr.split())
    assert code == 2 or len([line for line in result.stderr.splitlines() if line.startswith("swig-qmri: ")]) == 1
    assert not Path("x.nii.gz").exists()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nowhere", "nowhere does not exist"),
        ("sub-07_T1w.nii.gz", "is a T1w, not a PD, T1 or T2 map"),
        ("broken_T1map.nii.gz", "could not be read"),
        ("maps/sub-07_T1map.nii.gz", "Turbo spin echo needs PD and T2 besides T1: open them, or choose MP2RAGE UNI."),
    ],
)
def test_missing_and_wrong_files_are_refused_in_a_sentence(run: Run, maps: Path, path: str, sentence: str) -> None:
    save("sub-07_T1w.nii.gz", np.ones(SHAPE))
    Path("broken_T1map.nii.gz").write_bytes(b"no gzip")
    result = run("synthesize", path, *TSE, "-o", "x.nii.gz")
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_existing_files_are_kept_without_overwrite(run: Run, maps: Path) -> None:
    words = ("synthesize", maps, *TSE, "-o", "x.nii.gz")
    Path("x.nii.gz").write_bytes(b"precious")
    refused = run(*words)
    assert refused.exit_code == 1
    assert "x.nii.gz already in .: choose another name or use --overwrite." in refused.stderr
    assert Path("x.nii.gz").read_bytes() == b"precious"
    assert run(*words, "--overwrite").exit_code == 0
    assert load("x.nii.gz").shape == SHAPE


@pytest.mark.slow
def test_sheet_writes_every_contrast_of_a_protocol(run: Run, maps: Path) -> None:
    write_protocol(Protocol.usual(), "brain.toml")
    save("b1.nii.gz", np.full(SHAPE, 0.8))
    words = ("sheet", "brain.toml", maps, "--b1", "b1.nii.gz", "-o", "out")
    result = run(*words, "--format", "png", "--format", "nifti", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["subject"] == "sub-07"
    assert Path("out/sub-07_sheet.png").is_file()
    assert len(list(Path("out/sub-07/anat").glob("*.nii.gz"))) == 4
    sidecar = sidecar_of("out/sub-07/anat/sub-07_desc-synthetic_T2w.nii.gz")
    assert {"../../../maps/sub-07_T1map.nii.gz", "../../../b1.nii.gz"} <= set(sidecar["Sources"])
    assert sidecar["Rendering"] == {"TransmitMap": "b1.nii.gz"}
    again = run(*words)
    assert again.exit_code == 1
    assert "already in" in again.stderr


def test_sheet_refuses_a_file_that_is_no_protocol(run: Run, maps: Path) -> None:
    Path("bad.toml").write_text("[[contrasts]]\nname = 'x'\nsequence = 'epi'\n")
    result = run("sheet", "bad.toml", maps, "-o", "out")
    assert result.exit_code == 1
    assert "bad.toml: contrast 'x': sequence 'epi' is unknown" in result.stderr


@pytest.mark.parametrize(
    ("tool", "preset", "notice"), [("SyMRI", "T2w TSE", "ms assumed"), ("hMRI", "MP2RAGE UNI", "1/s")]
)
def test_maps_of_other_tools_are_taken_with_their_assumptions_stated(
    run: Run, tmp_path: Path, tool: str, preset: str, notice: str
) -> None:
    folder = write(tmp_path / "export", *EXPORTS[tool]())
    result = run("synthesize", folder, "--preset", preset, "-o", "x.nii.gz")
    assert result.exit_code == 0, result.stderr
    assert notice in result.stderr
    assert np.abs(load("x.nii.gz")[2, 5, 3]) > 0  # white matter
    assert load("x.nii.gz")[0, 0, 0] == 0  # air
