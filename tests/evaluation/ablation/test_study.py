"""The ablation study: equal budgets, what a killed run keeps, tables and figures."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from study_cases import small_study
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.evaluation.ablation import study as ablation
from napari_swig_qmri.evaluation.ablation.figures import MAPS_FILE, SUBJECTS_FILE, draw_figures, label_of
from napari_swig_qmri.evaluation.ablation.published_network import MODELS, loss_of, planes_of
from napari_swig_qmri.evaluation.ablation.study import (
    MODEL_FOLDER,
    drawn_planes,
    read_ablation,
    run_study,
    start_network,
    train_model,
)
from napari_swig_qmri.evaluation.ablation.tables import CLAIMS_FILE, SCORES_FILE, study_text, write_tables
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors
from napari_swig_qmri.super_resolution.weights import WEIGHTS

METHODS = [
    "zero filling",
    "cubic",
    "regression",
    "posterior",
    *(f"{name} network" for name in WEIGHTS),
    *(model.name for model in MODELS),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return small_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def study(config):
    return drained(run_study(config))


@pytest.fixture(scope="module")
def subjects(config):
    (file,) = config.train[0].files
    subject = ablation._subject(config, file, "brainweb", 0)
    return [planes_of(subject, config.map_noise, config.guide_noise)]


def weights_of(config, name):
    return read_tensors(Path(config.output) / MODEL_FOLDER / f"{name}.safetensors")[0]


@pytest.mark.slow
def test_every_method_is_scored_on_every_map_of_every_subject(study, config):
    keys = [(score.method, score.subject, score.quantity) for score in study.scores]
    assert len(set(keys)) == len(keys) == len(METHODS) * 6 * 3
    assert list(dict.fromkeys(method for method, _, _ in keys)) == METHODS
    assert {subject for _, subject, _ in keys} == {f"head{index}" for index in range(1, 7)}
    assert all(score.ssim < 1 and score.hfen > 0 for score in study.scores)
    assert "3 steps of 1 planes; 1 training and 6 test subjects of 8 axial planes" in study.budget
    by_method = {}
    for score in study.scores:
        by_method.setdefault(score.method, []).append(score.hfen)
    assert sum(by_method["posterior"]) < sum(by_method["zero filling"])


@pytest.mark.slow
def test_tables_and_figures_are_written(study, tmp_path):
    files = [*write_tables(tmp_path, study), *draw_figures(tmp_path, study)]
    assert [path.name for path in files] == [SCORES_FILE, CLAIMS_FILE, MAPS_FILE, SUBJECTS_FILE]
    rows = list(csv.DictReader((tmp_path / SCORES_FILE).read_text().splitlines()))
    assert list(rows[0]) == ["model", "subject", "map", "SSIM", "HFEN"]
    assert len(rows) == len(study.scores)
    assert float(rows[0]["SSIM"]) == study.scores[0].ssim
    claims = list(csv.DictReader((tmp_path / CLAIMS_FILE).read_text().splitlines()))
    assert list(claims[0]) == ["claim", "better", "worse", "measure", "n", "effect", "p", "verdict"]
    assert {row["n"] for row in claims} == {"6"}
    for name in (MAPS_FILE, SUBJECTS_FILE):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    text = study_text(study)
    assert all(f"\n{method} " in text for method in METHODS)
    assert study.budget in text


@pytest.mark.slow
def test_a_repeated_study_trains_nothing_and_finds_the_same(study, config, monkeypatch):
    monkeypatch.setattr(ablation, "train_model", None)
    again = drained(run_study(config))
    assert again.scores == study.scores


@pytest.mark.slow
def test_a_study_of_other_settings_is_refused(study, config):
    with pytest.raises(ValueError, match="a study with other settings"):
        next(run_study(replace(config, seed=1)))


def test_what_is_trained_depends_on_the_settings_alone(subjects, config, tmp_path):
    outputs = [replace(config, output=str(tmp_path / name)) for name in ("one", "two")]
    for each in outputs:
        torch.rand(3)
        drained(train_model(MODELS[0], subjects, each))
    one, two = (weights_of(each, "M1++") for each in outputs)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert float(one["tail.weight"].abs().max()) > 0


def test_training_lowers_the_loss(subjects, config, tmp_path):
    longer, model = replace(config, output=str(tmp_path), n_steps=40, warm_up=1), MODELS[8]
    networks = start_network(model, longer), drained(train_model(model, subjects, longer))
    before, after = (float(loss_of(model, network(subjects[0]), subjects[0]).detach()) for network in networks)
    assert after < 0.8 * before


def test_draws_are_planes_of_one_subject(subjects):
    drawn = drawn_planes(subjects, 3, np.random.default_rng(0))
    assert drawn.guides.shape[:2] == (3, 3)
    assert len(drawn) == drawn.lr_maps.shape[1] == 3
    whole = drawn_planes(subjects, 99, np.random.default_rng(0))
    assert len(whole) == len(subjects[0])


def test_a_configuration_is_read_and_its_paths_start_from_its_folder(tmp_path):
    tests = ", ".join(f'"{name}.nii.gz"' for name in "bcdefg")
    text = f"""
        output = "out"
        n_steps = 7
        network = {{width = 8, n_blocks = 2}}
        train = [{{scheme = "brainweb", files = ["a.nii.gz"]}}]
        test = [{{scheme = "brainweb", files = [{tests}]}}]
    """
    path = tmp_path / "study.toml"
    path.write_text(text)
    config = read_ablation(path)
    assert (config.n_steps, config.network.width, config.output) == (7, 8, str(tmp_path / "out"))
    assert config.test[0].files[0] == str(tmp_path / "b.nii.gz")
    for old, new, said in (
        ('"g.nii.gz"', "", "need 6 or more different test subjects, but there are 5"),
        ('"g.nii.gz"', '"b.nii.gz"', "but there are 5"),
        ('"a.nii.gz"', '"b.nii.gz"', "is in train and in test"),
        ('["a.nii.gz"]', "[]", "train needs a label map"),
        ("n_steps = 7", "n_steps = 0", "n_steps must be 1 or more"),
        ("n_steps = 7", "map_noise = -0.1", "map_noise must be at least 0 and below 1"),
        ("n_steps = 7", "steps = 7", "steps"),
        ('train = [{scheme = "brainweb"', 'train = [{scheme = "aseg"', "the scheme must be one of"),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=said):
            read_ablation(path)


def test_labels_of_methods():
    assert label_of("M12F+-") == "$M_{12F}^{{+}{-}}$"
    assert label_of("cubic") == "cubic"


@pytest.mark.slow
def test_the_command_writes_tables_and_figures(tmp_path, study, config):
    tests = ", ".join(f'"{file}"' for file in config.test[0].files)
    path = tmp_path / "study.toml"
    path.write_text(
        f"""
        output = "{config.output}"
        n_planes = 8
        n_steps = 3
        device = "cpu"
        network = {{width = 4, n_blocks = 1}}
        train = [{{scheme = "brainweb", files = ["{config.train[0].files[0]}"]}}]
        test = [{{scheme = "brainweb", files = [{tests}]}}]
        """
    )
    done = CliRunner().invoke(app, ["ablate", str(path), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [Path(file).name for file in report["outputs"]] == [SCORES_FILE, CLAIMS_FILE, MAPS_FILE, SUBJECTS_FILE]
    assert all(Path(file).stat().st_size > 0 for file in report["outputs"])
    assert "0 of 14 models trained" in report["budget"]


def test_the_command_refuses_in_one_sentence_before_training(tmp_path, monkeypatch):
    refused = CliRunner().invoke(app, ["ablate", str(tmp_path / "none.toml")])
    assert refused.exit_code == 1
    assert "does not exist: check the name" in refused.stderr
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [
        each for each in sys.modules if each.startswith(("matplotlib.", "napari_swig_qmri.evaluation.ablation.figures"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    refused = CliRunner().invoke(app, ["ablate", str(tmp_path / "none.toml")])
    assert refused.exit_code == 1
    assert "needs matplotlib, which is not installed" in refused.stderr
