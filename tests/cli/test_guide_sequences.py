"""Sequences of guides on the command line, and maps whose names say nothing."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from cli_cases import AFFINE, SHAPE, Run, save, sidecar_of

from napari_swig_qmri.cli.console import NOT_TO_BE_USED
from napari_swig_qmri.cli.guide_inputs import read_guides_with
from napari_swig_qmri.cli.guide_sequences import GuideSequence, parse_sequence
from napari_swig_qmri.data.recognition.sidecars import bids_key
from napari_swig_qmri.data.volumes import VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import Mprage, Spgr, SpinEcho, TurboSpinEcho

GUIDE = WeightedImage(
    data=np.ones((2, 2, 2)),
    grid=VoxelGrid((2, 2, 2), np.eye(4)),
    name="T1w",
    sequence=SpinEcho(echo_time=0.02, repetition_time=0.7),
    notices=("T1w: TR was assumed.",),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spin-echo,TR=500ms,TE=15ms", SpinEcho(repetition_time=0.5, echo_time=0.015)),
        ("Spin-Echo, tr = 0.5 s, te = 15", SpinEcho(repetition_time=0.5, echo_time=0.015)),
        ("TE=15ms", SpinEcho(repetition_time=0.7, echo_time=0.015)),
        ("auto", GUIDE.sequence),
        ("auto,", GUIDE.sequence),
        ("spgr,TR=15ms,TE=3ms,FA=20deg", Spgr(repetition_time=0.015, echo_time=0.003, flip_angle=math.radians(20))),
        (
            "mprage,TR=2.3s,TI=900ms,TE=3,FA=9°,PARTITIONS=160,ESP=7",
            Mprage(
                repetition_time=2.3, inversion_time=0.9, echo_time=0.003, flip_angle=math.radians(9), n_partitions=160,
                echo_spacing=0.007,
            ),
        ),
    ],
)  # fmt: skip
def test_a_text_is_a_sequence(text: str, expected: SpinEcho) -> None:
    sequence = parse_sequence(text).on(GUIDE, None).sequence
    assert type(sequence) is type(expected)
    for name, value in vars(expected).items():
        assert getattr(sequence, name) == pytest.approx(value), name


def test_a_preset_is_that_of_the_field_strength_that_is_given_or_closest_to_the_scanner() -> None:
    times = [
        parse_sequence(text).on(GUIDE, tesla).sequence.repetition_time
        for text, tesla in (("t2w tse", 2.89), ("T2w TSE,field=3T", 1.5), ("T2w TSE", None), ("T2w TSE", 1.494))
    ]
    assert times[0] == times[1] == times[2] != times[3]
    changed = parse_sequence("T2w TSE,TE=88ms").on(GUIDE, None)
    assert isinstance(changed.sequence, TurboSpinEcho)
    assert changed.sequence.echo_time == pytest.approx(0.088)
    assert changed.notices == ("T1w: settings of the preset T2w TSE at 3 T.",)


def test_what_is_not_given_is_assumed_with_a_notice() -> None:
    assert parse_sequence("spin-echo,TR=500,TE=15").on(GUIDE, None).notices == ()
    assert GuideSequence().on(GUIDE, None).notices == GUIDE.notices
    (notice,) = parse_sequence("spgr,TR=8ms").on(GUIDE, None).notices
    assert "usual settings are assumed: TE" in notice
    assert "TR" not in notice


NOT_OF_ALL = ("TR=6", "FA=0.2rad", "ESP=8ms", "TE=700ms")  # which some sequences do not have, or no scanner plays out


@pytest.mark.parametrize("suffix", ["T1w", "T2w", "FLAIR", "UNIT1"])
@pytest.mark.parametrize("sidecar", [{}, {"RepetitionTime": 3.0, "EchoTime": 0.01}, {"PulseSequenceType": "MPRAGE"}])
@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("TE=15ms", {"echo_time": 0.015}),
        ("TR=6", {"repetition_time": 0.006}),
        ("TR=9s", {"repetition_time": 9}),
        ("TI=0.9s", {"inversion_time": 0.9}),
        ("FA=0.2rad", {"flip_angle": 0.2}),
        ("ESP=8ms", {"echo_spacing": 0.008}),
        ("TE=700ms", {"echo_time": 0.7}),
        ("TE=40,TR=20s", {"echo_time": 0.04, "repetition_time": 20}),
    ],
)
def test_what_is_given_alone_is_used_and_never_called_assumed(
    tmp_path: Path, suffix: str, sidecar: dict[str, object], text: str, settings: dict[str, float]
) -> None:
    path = tmp_path / f"sub-01_{suffix}.nii.gz"
    save(path, np.ones(SHAPE), sidecar)
    guides: list[WeightedImage] = []
    with suppress(ValueError):
        guides = read_guides_with([path], [text])[1]
    assert guides or text in NOT_OF_ALL
    for guide in guides:
        assert [getattr(guide.sequence, name) for name in settings] == pytest.approx(list(settings.values()))
        missing = " ".join(notice.split(" missing from ")[0] for notice in guide.notices if " missing from " in notice)
        assert not any(f" {bids_key(name)} " in missing for name in settings)


def test_what_is_assumed_gives_way_to_what_is_given() -> None:
    assert parse_sequence("spgr,TE=30ms").on(GUIDE, None).sequence.repetition_time > 0.03


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spin-echo,TE=fast", "'fast' is no number with a unit"),
        ("spin-echo,TX=3", "'TX' is no setting; they are TR, TE"),
        ("spin-echo,TR=500,15", "'15' is no setting"),
        ("spin-echo,TE=3,TE=4ms", "TE is given twice"),
        ("spin-echo,field=3T", "field goes with a preset only"),
        ("", "it must have the form"),
    ],
)
def test_a_text_of_a_wrong_form_is_wrong_usage(text: str, sentence: str) -> None:
    with pytest.raises(typer.BadParameter, match=sentence):
        parse_sequence(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spin-echo,FA=20deg", "Spin echo has no FA: its settings are TR, TE."),
        ("spin-echo,TE=20deg", "TE has the unit 'deg', but ms or s is needed."),
        ("spin-echo,TR=10ms,TE=15ms", "TE 15 ms is not shorter than TR 10 ms"),
        ("gradient", "no preset at 3 T is called 'gradient'.*Sequences are spin-echo, tse"),
    ],
)
def test_a_sequence_that_does_not_exist_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_sequence(text).on(GUIDE, None)


@pytest.fixture
def odd_names(maps: Path) -> tuple[list[object], list[str]]:
    """Options for the maps, and two guides, in files whose names say nothing or hold characters of a shell."""
    named = {"--pd": r"C:\data\my scan,1=2.nii.gz", "--t1": "x y:#1.nii.gz", "--t2": "'t1'.nii.gz"}
    for quantity, name in zip(("PD", "T1", "T2"), named.values(), strict=True):
        shutil.copy(maps / f"sub-07_{quantity}map.nii.gz", name)
    guides = [r"D:\guides\a=sequence,TE=1.nii.gz", "gui de:[2].nii.gz"]
    generator = np.random.default_rng(0)
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    for name in guides:
        image = generator.uniform(50, 100, [2 * n for n in SHAPE]).astype(np.float32)
        nib.save(nib.Nifti1Image(image, fine), name)
    return [word for pair in named.items() for word in pair], guides


def test_files_of_any_name_are_understood(run: Run, odd_names: tuple[list[object], list[str]]) -> None:
    options, (first, second) = odd_names
    words = ("super-resolve", *options, "--units", "s", "--guide", first, "--guide", second, "--method", "regression")
    sequences = ("--sequence", "spin-echo,TR=500ms,TE=15ms", "--sequence", "tse,TR=5s,TE=90ms,ETL=16,ESP=10ms")
    done = run(*words, *sequences, "-o", "out", "--json", "--quiet")
    assert done.exit_code in (0, NOT_TO_BE_USED), done.stderr  # these images are noise
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["gains"]) == 2
    settings = json.dumps(sidecar_of(next(Path("out").rglob("*desc-swig_T1map.nii.gz")))["Parameters"])
    assert "0.015" in settings
    planned = run(*words, *sequences, "--dry-run")
    assert f"Guide {first}: Spin echo: TE 15 ms, TR 500 ms." in planned.stdout
    assert f"PD from {options[1]}, in arbitrary units." in planned.stdout


def test_a_refusal_names_the_guide_at_fault(run: Run, odd_names: tuple[list[object], list[str]]) -> None:
    options, (first, second) = odd_names
    words = ("super-resolve", *options, "--units", "s", "--guide", first, "--guide", second, "--dry-run")
    refused = run(*words, "--sequence", "auto,TE=15", "--sequence", "auto")
    assert refused.exit_code == 1
    assert f"the guide {first}: its sequence is unknown: name it" in refused.stderr
    twin = run(*words[:-5], "--guide", options[3], "--dry-run")  # the T1 map
    assert twin.exit_code == 1
    assert options[3] in twin.stderr
    too_many = run(*words, *["--sequence", "auto"] * 3)
    assert too_many.exit_code == 2
    assert "there are 3 for 2 guides" in " ".join(too_many.stderr.split())
    nothing = run("super-resolve", "--guide", first, "-o", "out")
    assert nothing.exit_code == 2
    assert "give maps" in nothing.stderr


def test_a_guide_that_looks_like_a_map_is_one_if_its_sequence_is_given(run: Run, maps: Path) -> None:
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    values = np.random.default_rng(0).uniform(800, 1500, [2 * n for n in SHAPE]).astype(np.float32)
    nib.save(nib.Nifti1Image(values, fine), "anna_T1map.nii.gz")
    words = ("super-resolve", maps, "--guide", "anna_T1map.nii.gz", "--dry-run", "--json")
    assert "'anna_T1map.nii.gz' is a T1map, but a guide is a weighted image" in run(*words).stderr
    done = run(*words, "--sequence", "spin-echo,TR=500ms,TE=15ms")
    assert done.exit_code == 0, done.stderr
    assert any("Taken as a guide because of its --sequence" in each for each in json.loads(done.stdout)["notices"])
