"""Training: runs that log, resume bit by bit, and do not depend on how they are computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import pytest
import torch
from training_cases import TINY, subject
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.super_resolution.network.training import (
    CHECKPOINT,
    LOG,
    TrainingConfig,
    TrainingRun,
    learning_rate_factor,
    train,
)
from napari_swig_qmri.super_resolution.weights import FILE

CPU = torch.device("cpu")


def weights_of(config: TrainingConfig) -> dict[str, torch.Tensor]:
    return read_tensors(drained(train(config)))[0]


def test_the_learning_rate_warms_up_and_slows_down():
    rates = [learning_rate_factor(step, 1000, 50) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[500] == pytest.approx(0.505)
    assert rates[1000] == pytest.approx(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["supervised", "bootstrapped", "self-supervised"])
def test_a_run_trains_logs_and_writes_weights(config, loss):
    weights = drained(train(replace(config, loss=loss)))
    assert weights == Path(config.output) / FILE
    assert SwigNet.from_pretrained(weights).config == TINY
    columns, *rows = (row.split(",") for row in (Path(config.output) / LOG).read_text().splitlines())
    assert columns == ["step", "rate", "truth", "guides", "LR maps", "cross-scale", "PD", "T1", "T2"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    logged = {name for name, value in zip(columns, rows[-1], strict=True) if value}
    terms = {"guides", "LR maps", "cross-scale"} if loss == "self-supervised" else {"truth"}
    assert logged == {"step", "rate", "PD", "T1", "T2"} | terms
    assert [bool(row[-1]) for row in rows] == [False, True, True]  # validated every two steps and at the end


def test_a_killed_run_resumes_to_the_same_weights_bit_by_bit(config, tmp_path):
    whole = weights_of(config)
    broken = replace(config, output=str(tmp_path / "broken"), checkpoint_every=2)
    steps = train(broken)
    for _ in range(2):
        next(steps)
    steps.close()
    log = tmp_path / "broken" / LOG
    log.write_text(log.read_text() + "3,0.1,,,,,,,\n")  # of a step after the last checkpoint
    stages: list[str] = []
    drained(train(broken), lambda step: stages.append(step.stage))
    assert [stage.split(":")[0] for stage in stages] == ["step 3 of 3"]
    assert "(validation error: PD " in stages[-1]
    assert [row.split(",")[0] for row in log.read_text().splitlines()] == ["step", *"123"]
    resumed, _ = read_tensors(tmp_path / "broken" / FILE)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert any(bool(value.abs().max() > 0) for name, value in whole.items() if name.startswith("tail"))


def test_a_checkpoint_of_other_settings_is_refused(config):
    TrainingRun.start(config, CPU).save(Path(config.output))
    TrainingRun.start(replace(config, n_workers=3), CPU).resume(Path(config.output))  # without effect on the weights
    with pytest.raises(ValueError, match="a run with other settings"):
        drained(train(replace(config, learning_rate=0.5)))


def test_a_damaged_checkpoint_is_refused(config):
    path = Path(config.output) / CHECKPOINT
    run = TrainingRun.start(config, CPU)
    run.save(path.parent)
    tensors, metadata = read_tensors(path)
    del metadata["pace"]
    write_tensors(path, tensors, metadata)
    with pytest.raises(ValueError, match="no complete checkpoint: remove it, or choose another output"):
        run.resume(path.parent)
    write_tensors(path, tensors, {})
    with pytest.raises(ValueError, match="a run with other settings"):
        run.resume(path.parent)


def test_training_in_low_precision_goes_where_full_precision_goes(config, tmp_path):
    full, low = weights_of(config), weights_of(replace(config, output=str(tmp_path / "low"), precision="bfloat16"))
    assert any(not torch.equal(low[name], full[name]) for name in full)
    for name in full:
        torch.testing.assert_close(low[name], full[name], rtol=0.1, atol=2e-3)


@pytest.mark.slow
def test_workers_change_nothing(config, tmp_path):
    alone, helped = weights_of(config), weights_of(replace(config, output=str(tmp_path / "helped"), n_workers=1))
    assert all(torch.equal(helped[name], alone[name]) for name in alone)


SETTINGS = """
    output = "{output}"
    examples = "{config.examples}"
    n_subjects = 1
    n_validation = 1
    crop = {config.crop}
    patch = 16
    n_steps = 2
    batch_size = 4
    largest_gradient = 1e9
    network = {{width = 4, n_blocks = 1}}
    device = "cpu"
    train = [{{scheme = "brainweb", files = ["{file}"]}}]
    validation = [{{scheme = "brainweb", files = ["{file}"]}}]
"""


def settings_file(config: TrainingConfig, folder: Path, output: str) -> Path:
    (file,) = config.train[0].files
    path = folder / f"{output}.toml"
    path.write_text(SETTINGS.format(output=output, config=config, file=file))
    return path


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_same_batch(config, tmp_path):
    """Their gradients are averaged, which shows in the optimiser; only the order of sums differs."""
    done = CliRunner().invoke(app, ["train", str(settings_file(config, tmp_path, "alone"))])
    assert done.exit_code == 0, done.output
    script = tmp_path / "train.py"
    script.write_text("from napari_swig_qmri.cli.app import main\n\nmain()\n")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    words += ["train", str(settings_file(config, tmp_path, "together"))]
    subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, timeout=200)
    alone, together = (read_tensors(tmp_path / output / CHECKPOINT)[0] for output in ("alone", "together"))
    momenta = [name for name in alone if name.endswith("exp_avg")]
    assert momenta
    for name in momenta:
        torch.testing.assert_close(together[name], alone[name], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_command_trains_on_maps_and_says_what_was_assumed_about_them(config, tmp_path):
    truth = subject().truth
    for name in truth.names:
        nib.save(nib.Nifti1Image(truth[name], truth.grid.affine), tmp_path / f"sub-01_{name}map.nii.gz")
    path = settings_file(config, tmp_path, "run")
    path.write_text(path.read_text().replace('"brainweb"', '"maps"').replace(config.train[0].files[0], str(tmp_path)))
    done = CliRunner().invoke(app, ["train", str(path), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert SwigNet.from_pretrained(Path(report["outputs"][0])).config == NetworkConfig(4, 1)
    assert report["notices"]
    assert all(notice in done.stderr for notice in report["notices"])
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "none.toml")])
    assert refused.exit_code == 1
    assert "does not exist: check the name" in refused.stderr
