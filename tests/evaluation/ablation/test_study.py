"""The ablation study: equal budgets, continued runs, settings, tables and figures."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import save
from study_cases import N_PLANES, N_TEST, TRAINING_HEAD, small_subject, write_heads, write_study
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.evaluation.ablation.figures import MAPS_FILE, SUBJECTS_FILE, label_of
from napari_swig_qmri.evaluation.ablation.published_network import MODELS, loss_of, planes_of
from napari_swig_qmri.evaluation.ablation.study import (
    MODEL_FOLDER,
    drawn_planes,
    read_ablation,
    run_study,
    start_network,
    train_model,
)
from napari_swig_qmri.evaluation.ablation.tables import CLAIMS_FILE, SCORES_FILE, study_text
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors
from napari_swig_qmri.super_resolution.weights import HUB

METHODS = [
    "zero filling",
    "cubic",
    "regression",
    "posterior",
    "supervised network",
    *(model.name for model in MODELS),
]
NOISE = 0.03


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def files(settings: Path) -> dict[str, Path]:
    """Files that the command writes for a whole study, by name."""
    write_heads(settings.parent)
    done = CliRunner().invoke(app, ["ablate", str(settings), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert "14 of 14 models trained" in report["budget"]
    return {Path(file).name: Path(file) for file in report["outputs"]}


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def planes(n_noisy: int = 1):
    return [planes_of(small_subject(NOISE, seed), NOISE, NOISE) for seed in range(1, n_noisy + 1)]


@pytest.mark.slow
def test_the_command_scores_every_method_on_every_map_of_every_subject(files: dict[str, Path]) -> None:
    assert list(files) == [SCORES_FILE, CLAIMS_FILE, MAPS_FILE, SUBJECTS_FILE]
    rows = rows_of(files[SCORES_FILE])
    assert list(rows[0]) == ["model", "subject", "map", "SSIM", "HFEN"]
    keys = [(row["model"], row["subject"], row["map"]) for row in rows]
    assert len(set(keys)) == len(keys) == len(METHODS) * N_TEST * 3
    assert list(dict.fromkeys(method for method, _, _ in keys)) == METHODS
    assert {subject for _, subject, _ in keys} == {f"head{index}" for index in range(1, N_TEST + 1)}
    hfen = {method: sum(float(row["HFEN"]) for row in rows if row["model"] == method) for method in METHODS}
    assert hfen["posterior"] < hfen["zero filling"]
    claims = rows_of(files[CLAIMS_FILE])
    assert list(claims[0]) == ["claim", "better", "worse", "measure", "n", "effect", "p", "verdict"]
    assert {row["n"] for row in claims} == {str(N_TEST)}
    for name in (MAPS_FILE, SUBJECTS_FILE):
        assert files[name].read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_repeated_study_trains_nothing_and_finds_the_same(files: dict[str, Path], settings: Path) -> None:
    again = drained(run_study(read_ablation(settings)))
    assert "3 steps of 1 planes; 1 training and 6 test subjects of 4 axial planes" in again.budget
    assert "0 of 14 models trained" in again.budget
    assert [str(each.ssim) for each in again.scores] == [row["SSIM"] for row in rows_of(files[SCORES_FILE])]
    text = study_text(again)
    assert all(f"\n{method} " in text for method in METHODS)
    assert again.budget in text


@pytest.mark.slow
def test_models_of_other_settings_are_not_used(files: dict[str, Path], settings: Path) -> None:
    with pytest.raises(ValueError, match="a study with other settings"):
        next(run_study(replace(read_ablation(settings), seed=1)))


@pytest.mark.slow
def test_training_depends_on_the_settings_alone(settings: Path, tmp_path: Path) -> None:
    config = read_ablation(settings)
    weights = []
    for name in ("one", "two"):
        torch.rand(3)
        drained(train_model(MODELS[0], planes(), replace(config, output=str(tmp_path / name))))
        weights.append(read_tensors(tmp_path / name / MODEL_FOLDER / "M1++.safetensors")[0])
    one, two = weights
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert float(one["tail.weight"].abs().max()) > 0


@pytest.mark.slow
def test_training_lowers_the_loss(settings: Path, tmp_path: Path) -> None:
    config = replace(read_ablation(settings), output=str(tmp_path), n_steps=40, warm_up=1)
    model, subjects = MODELS[8], planes()
    networks = start_network(model, config), drained(train_model(model, subjects, config))
    before, after = (float(loss_of(model, network(subjects[0]), subjects[0]).detach()) for network in networks)
    assert after < 0.8 * before


def test_a_label_map_without_a_brain_is_named(tmp_path: Path) -> None:
    save(tmp_path / TRAINING_HEAD, np.full((8, 8, 8), 7))  # skull
    with pytest.raises(ValueError, match=rf"no subject can be simulated from .*{TRAINING_HEAD}: the label map holds"):
        drained(run_study(read_ablation(write_study(tmp_path))))


def test_draws_are_different_planes_of_one_subject() -> None:
    subjects = planes(n_noisy=2)
    drawn = drawn_planes(subjects, 3, np.random.default_rng(0))
    assert len(drawn) == 3
    sources = [
        [int((each.lr_maps == plane).all(dim=(0, 2, 3)).sum()) for each in subjects]
        for plane in drawn.lr_maps.split(1, dim=1)
    ]
    assert sources in ([[1, 0]] * 3, [[0, 1]] * 3)
    assert len(drawn_planes(subjects, 99, np.random.default_rng(0))) == N_PLANES


def test_settings_are_read_and_their_paths_are_relative_to_the_file(settings: Path) -> None:
    folder, config = settings.parent, read_ablation(settings)
    assert (config.n_steps, config.network.width, config.output) == (3, 4, str(folder / "out"))
    assert config.test[0].files[0] == str(folder / "head1.nii.gz")
    assert config.weights == ("supervised",)
    own = settings.with_name("own.toml")
    weights = ("supervised", f"{HUB}a/b", "mine.safetensors")
    own.write_text(settings.read_text().replace('["supervised"]', json.dumps(weights)))
    assert read_ablation(own).weights == (*weights[:2], str(folder / "mine.safetensors"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (", 'head6.nii.gz'", "", "need 6 or more different test subjects, but there are 5"),
        ("'head6.nii.gz'", "'head5.nii.gz'", "but there are 5"),
        ('"head0.nii.gz"', '"head1.nii.gz"', "is in train and in test"),
        ('["head0.nii.gz"]', "[]", "train needs a label map"),
        ("n_steps = 3", "n_steps = 0", "n_steps must be 1 or more"),
        ("n_steps = 3", "map_noise = -0.1", "map_noise must be at least 0 and below 1"),
        ("n_steps = 3", "steps = 7", "steps"),
        ('train = [{scheme = "brainweb"', 'train = [{scheme = "aseg"', "the scheme must be one of"),
    ],
)
def test_impossible_settings_are_refused(settings: Path, tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = settings.read_text()
    assert old in text
    (tmp_path / "study.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=sentence):
        read_ablation(tmp_path / "study.toml")


def test_labels_of_methods() -> None:
    assert label_of("M12F+-") == "$M_{12F}^{{+}{-}}$"
    assert label_of("cubic") == "cubic"
    assert label_of("supervised network") == "network\nsupervised"
