"""Training: examples whose targets know nothing of the noise seen, losses that are what they say, runs that resume."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from paths import TRAINING as TRAINING_FOLDER
from torch.nn.parallel import DistributedDataParallel
from training_cases import EDGE, TINY, folded_labels, labels, trained_network
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app
from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.subjects import random_subject
from napari_swig_qmri.super_resolution.network.examples import LabelledExample, label_subject, rescan, scan_subject
from napari_swig_qmri.super_resolution.network.losses import (
    Patch,
    correct_patch,
    distance_to_truth,
    patch_lr_residual,
    random_patch,
    self_supervised_loss,
    supervised_loss,
)
from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.super_resolution.network.self_supervision import ALPHA, MORE_NOISE, ScanExample, recorrupt
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors
from napari_swig_qmri.super_resolution.network.training import (
    CHECKPOINT,
    LOG,
    Anatomies,
    ExampleDataset,
    TrainingConfig,
    TrainingRun,
    learning_rate_factor,
    read_config,
    take_step,
    train,
)
from napari_swig_qmri.super_resolution.weights import FILE

WHOLE = Patch((slice(0, EDGE), slice(0, EDGE), slice(0, EDGE)))


@pytest.fixture(scope="module")
def subject():
    return random_subject(folded_labels(), 2, 2)


@pytest.fixture(scope="module")
def solved(subject):
    return label_subject(subject)


@pytest.fixture(scope="module")
def measured(subject):
    return scan_subject(subject, 0)


@pytest.fixture
def config(tmp_path):
    image = nib.Nifti1Image(labels(), np.diag([0.5, 0.5, 0.5, 1.0]))
    nib.save(image, tmp_path / "labels.nii.gz")
    anatomies = (Anatomies(files=(str(tmp_path / "labels.nii.gz"),), scheme="brainweb"),)
    return TrainingConfig(
        output=str(tmp_path / "run"),
        examples=str(tmp_path / "examples"),
        train=anatomies,
        validation=anatomies,
        network=TINY,
        n_subjects=2,
        n_validation=1,
        crop=EDGE,
        patch=16,
        n_steps=4,
        batch_size=2,
        checkpoint_every=2,
        validate_every=2,
    )


def test_noise_of_input_and_target_is_independent():
    """Both are unbiased, and their noise has the size that the losses assume."""
    noise = 0.05
    measured = 1 + noise * torch.randn(3, 40, 40, 40, generator=torch.Generator().manual_seed(0))
    noisier, target = recorrupt(measured, noise * torch.ones(1), np.random.default_rng(1))
    given, wanted = (noisier.numpy() - 1).ravel(), (target.numpy() - 1).ravel()
    assert abs(np.corrcoef(given, wanted)[0, 1]) < 0.01
    assert abs(given.mean()) < 1e-3
    assert abs(wanted.mean()) < 1e-3
    np.testing.assert_allclose(given.std(), noise * np.sqrt(1 + ALPHA**2), rtol=0.02)
    np.testing.assert_allclose(wanted.std(), noise * MORE_NOISE, rtol=0.02)


def test_examples_come_back_from_their_files(solved, measured, tmp_path):
    solved.save(tmp_path / "solved.safetensors")
    measured.save(tmp_path / "measured.safetensors")
    truth = LabelledExample.load(tmp_path / "solved.safetensors").truth
    torch.testing.assert_close(truth, solved.truth, rtol=0, atol=0)
    again = ScanExample.load(tmp_path / "measured.safetensors")
    assert again.sequences == measured.sequences
    torch.testing.assert_close(again.coarse.volumes, measured.coarse.volumes, rtol=0, atol=0)
    torch.testing.assert_close(again.guides, measured.guides, rtol=0, atol=0)


def test_the_scenes_lie_on_their_grids(solved, measured):
    assert solved.scene.log_maps.shape == measured.again.log_maps.shape == (3, EDGE, EDGE, EDGE)
    assert measured.coarse.log_maps.shape == measured.coarse_target.shape == measured.lr_maps.shape
    assert measured.guides.shape == (2, EDGE, EDGE, EDGE)
    error = distance_to_truth(solved, solved.scene.log_maps, WHOLE)
    assert error.max() < 0.3  # the same head in the same unit


def test_truth_is_at_no_distance_from_itself(solved):
    log_maps = solved.truth.clamp(min=1e-6).log()
    assert distance_to_truth(solved, log_maps, WHOLE).max() == 0
    moved = distance_to_truth(solved, log_maps + 0.01, WHOLE)
    assert (moved < 0.0101).all()
    assert moved[1] > 0.005


def test_what_stands_in_for_the_truth_comes_from_the_scan_alone(subject):
    """It is what the posterior makes of it, whatever the truth was."""
    again = rescan(subject, 5)
    blind = replace(subject, truth=replace(subject.truth, data=np.full_like(subject.truth.data, np.nan)))
    np.testing.assert_array_equal(rescan(blind, 5).truth.data, again.truth.data)
    brain = subject.mask
    error = np.log(again.truth.data[:, brain] / subject.truth.data[:, brain])
    error[0] -= np.median(error[0])  # PD has another unit
    assert np.median(np.abs(error), axis=1).max() < 0.1
    assert np.median(np.abs(error), axis=1).min() > 1e-4
    assert not np.array_equal(again.lr_maps.data.shape, subject.lr_maps.data.shape) or not np.allclose(
        again.lr_maps.data, subject.lr_maps.data
    )


def test_lr_residual_of_a_patch_is_that_of_the_whole_head(measured):
    """With the maps changed in the patch alone."""
    patch = Patch((slice(4, 20), slice(2, 22), slice(0, 24)))
    log_maps = measured.again.log_maps.clone()
    log_maps[patch.of_volumes] += 0.05
    hr = VoxelGrid((EDGE,) * 3, np.eye(4))
    truncate = KSpaceTruncation(hr, hr.with_shape(tuple(measured.lr_maps.shape[1:])))
    expected = ((measured.lr_maps - truncate(log_maps.exp())) / measured.lr_deviation)[:, measured.lr_maps[0] > 0.2]
    whole = patch_lr_residual(measured, log_maps.exp(), WHOLE)
    torch.testing.assert_close(whole, expected, rtol=1e-3, atol=1e-3)
    part = patch_lr_residual(measured, log_maps[patch.of_volumes].exp(), patch)
    missing = [(value - whole[0]).abs().min() for value in part[0][::17]]
    assert 0 < len(part[0]) < len(whole[0])
    assert max(missing) < 1e-3


@pytest.mark.slow
def test_subjects_come_from_the_phantom_and_from_maps(config, tmp_path):
    phantom = replace(config, train=(Anatomies(files=("3",), scheme="phantom"),))
    assert ExampleDataset(phantom, phantom.train, 0, 1, "supervised")[0].brain.any()
    truth = random_subject(folded_labels(), 2, 2).truth
    for index, name in enumerate(truth.names):
        nib.save(nib.Nifti1Image(truth.data[index], truth.grid.affine), tmp_path / f"sub-01_{name}map.nii.gz")
    maps = (Anatomies(files=(str(tmp_path),), scheme="maps"),)
    example = ExampleDataset(replace(config, train=maps), maps, 0, 1, "supervised")[0]
    assert example.truth.shape == (3, EDGE, EDGE, EDGE)
    shutil.copytree(tmp_path, tmp_path / "less", ignore=shutil.ignore_patterns("*PDmap*", "less"))
    less = (Anatomies(files=(str(tmp_path / "less"),), scheme="maps"),)
    with pytest.raises(ValueError, match="no map of PD"):
        ExampleDataset(replace(config, train=less), less, 0, 1, "supervised")[0]


@pytest.mark.parametrize(("loss", "kind"), [(supervised_loss, "solved"), (self_supervised_loss, "measured")])
def test_losses_of_an_untrained_network_are_those_of_what_it_was_given(loss, kind, request):
    terms = loss(SwigNet(TINY), request.getfixturevalue(kind), np.random.default_rng(0), 16)
    total = float(sum(terms.values()).detach())
    assert total == pytest.approx(len(terms) - ("guides" in terms), rel=1e-4)


@pytest.mark.parametrize(("loss", "kind"), [(supervised_loss, "solved"), (self_supervised_loss, "measured")])
def test_losses_move_every_weight(loss, kind, request):
    network = trained_network()
    sum(loss(network, request.getfixturevalue(kind), np.random.default_rng(0), 16).values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_flips_are_undone(solved):
    """An untrained network changes nothing whichever way it looks; a trained one sees another head."""
    flipped = Patch(WHOLE.box, (1, 3))
    torch.testing.assert_close(correct_patch(SwigNet(TINY), solved.scene, flipped), solved.scene.log_maps)
    mirrored = replace(
        solved.scene,
        **{name: getattr(solved.scene, name).flip((1, 3)) for name in ("log_maps", "volumes", "unit")},
    )
    network = trained_network()
    once = correct_patch(network, solved.scene, flipped)
    torch.testing.assert_close(correct_patch(network, mirrored, WHOLE).flip((1, 3)), once)


def test_a_patch_without_a_head_costs_nothing(solved, measured):
    """Instead of making every weight NaN."""
    empty = replace(
        measured,
        again=replace(measured.again, log_maps=torch.full_like(measured.again.log_maps, -5.0)),
        lr_maps=torch.zeros_like(measured.lr_maps),
        coarse_target=torch.zeros_like(measured.coarse_target),
    )
    without_brain = replace(solved, brain=torch.zeros_like(solved.brain))
    for loss, example in ((supervised_loss, without_brain), (self_supervised_loss, empty)):
        terms = loss(trained_network(), example, np.random.default_rng(0), 16)
        assert all(float(value.detach()) == 0 for value in terms.values())


def test_patches_lie_inside_and_on_even_voxels():
    generator, inside = np.random.default_rng(0), torch.ones(25, 40, 10, dtype=torch.bool)
    for _ in range(50):
        patch = random_patch(inside, 16, generator)
        starts, stops = [side.start for side in patch.box], [side.stop for side in patch.box]
        assert all(start % 2 == 0 for start in starts)
        assert [b - a for a, b in zip(starts, stops, strict=True)] == [16, 16, 10]
        assert all(stop <= n for stop, n in zip(stops, inside.shape, strict=True))


def test_the_pace_warms_up_and_slows_down():
    rates = [learning_rate_factor(step, 1000, 50) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[1000] == pytest.approx(0.01)
    assert rates[500] == pytest.approx(0.505)


@pytest.mark.parametrize("loss", ["supervised", "bootstrapped", "self-supervised"])
def test_a_run_trains_logs_and_writes_weights(config, loss):
    weights = drained(train(replace(config, loss=loss)))
    assert weights == Path(config.output) / FILE
    assert SwigNet.from_pretrained(weights).config == TINY
    rows = (Path(config.output) / LOG).read_text().splitlines()
    assert rows[0] == "step,rate,truth,guides,LR maps,cross-scale,PD,T1,T2"
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3", "4"]


def test_a_killed_run_resumes_to_the_same_weights_bit_by_bit(config, tmp_path):
    whole, _ = read_tensors(drained(train(config)))
    broken = replace(config, output=str(tmp_path / "broken"))
    steps = train(broken)
    for _ in range(3):
        next(steps)
    steps.close()  # after the checkpoint of step 2, in step 3
    assert (tmp_path / "broken" / CHECKPOINT).exists()
    said = [step.stage for step in train(broken)]
    assert [stage.split(":")[0] for stage in said] == ["step 3 of 4", "step 4 of 4"]
    assert "(validation error: PD " in said[-1]
    assert [row.split(",")[0] for row in (tmp_path / "broken" / LOG).read_text().splitlines()] == ["step", *"1234"]
    again, _ = read_tensors(tmp_path / "broken" / FILE)
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    assert any(bool(value.abs().max() > 0) for name, value in whole.items() if name.startswith("tail"))


def test_a_checkpoint_of_other_settings_is_refused(config):
    drained(train(config))
    with pytest.raises(ValueError, match="a run with other settings"):
        drained(train(replace(config, learning_rate=0.5)))


def test_workers_change_nothing(config, tmp_path):
    alone, _ = read_tensors(drained(train(config)))
    helped, _ = read_tensors(drained(train(replace(config, output=str(tmp_path / "helped"), n_workers=1))))
    assert all(torch.equal(helped[name], alone[name]) for name in alone)


def _gradient_of_one_process(rank: int, folder: str, example_file: str, config: TrainingConfig) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    run = _disturbed(config)
    draw = (ScanExample.load(Path(example_file)), np.random.default_rng(rank))
    take_step(run, DistributedDataParallel(run.network), [draw])
    if rank == 0:
        torch.save([parameter.grad for parameter in run.network.parameters()], f"{folder}/gradient.pt")
    torch.distributed.destroy_process_group()


def _disturbed(config: TrainingConfig) -> TrainingRun:
    run = TrainingRun.start(config, torch.device("cpu"))
    run.network.load_state_dict(trained_network().state_dict())
    return run


@pytest.mark.slow
def test_two_processes_make_the_gradient_of_one_with_twice_the_batch(config, measured, tmp_path):
    measured.save(tmp_path / "one.safetensors")
    config = replace(config, largest_gradient=1e9)
    run = _disturbed(config)
    take_step(run, run.network, [(measured, np.random.default_rng(rank)) for rank in range(2)])
    torch.multiprocessing.spawn(
        _gradient_of_one_process, (str(tmp_path), str(tmp_path / "one.safetensors"), config), nprocs=2
    )
    gradients = torch.load(tmp_path / "gradient.pt", weights_only=True)
    for parameter, together in zip(run.network.parameters(), gradients, strict=True):
        torch.testing.assert_close(together, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(config, tmp_path):
    """Two processes share the batches of one; only the order of sums differs."""
    drained(train(config))  # makes the examples
    text = f"""
        output = "{tmp_path}/together"
        examples = "{config.examples}"
        loss = "{config.loss}"
        network = {{width = {config.network.width}, n_blocks = {config.network.n_blocks}}}
        n_subjects = {config.n_subjects}
        n_validation = {config.n_validation}
        crop = {config.crop}
        patch = {config.patch}
        n_steps = {config.n_steps}
        batch_size = 2
        device = "cpu"
        [[train]]
        scheme = "brainweb"
        files = {list(config.train[0].files)}
        [[validation]]
        scheme = "brainweb"
        files = {list(config.validation[0].files)}
    """
    (tmp_path / "run.toml").write_text(text)
    alone, _ = read_tensors(drained(train(replace(read_config(tmp_path / "run.toml"), output=str(tmp_path / "alone")))))
    command = Path(sys.executable).with_name("swig-qmri")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    words += [str(command), "train", str(tmp_path / "run.toml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(words, check=True, env=environment, capture_output=True, timeout=200)
    together, _ = read_tensors(tmp_path / "together" / FILE)
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, rtol=1e-2, atol=1e-4)


def test_training_in_low_precision_goes_where_full_precision_goes(config, tmp_path):
    full, _ = read_tensors(drained(train(config)))
    low, _ = read_tensors(drained(train(replace(config, output=str(tmp_path / "low"), precision="bfloat16"))))
    assert any(not torch.equal(low[name], full[name]) for name in full)
    for name in full:
        torch.testing.assert_close(low[name], full[name], rtol=0.1, atol=2e-3)


TRAINING = sorted(TRAINING_FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", TRAINING, ids=[path.stem for path in TRAINING])
def test_no_head_is_in_two_parts_of_a_split(path):
    """And those that cases and tables are made of are in none that anything learns from."""
    settings = tomllib.loads(path.read_text())
    parts = {
        name: {file for each in settings.get(name, ()) for file in each["files"]}
        for name in ("train", "validation", "test")
    }
    for first, second in combinations(parts.values(), 2):
        assert not first & second
    learned_from = " ".join(parts["train"] | parts["validation"])
    assert parts["train"]
    for held_out in ("subject06", "subject42", "subject43", "subject44", "subject45", "seg_11", "seg_13", "seg_14"):
        assert held_out not in learned_from


def test_a_configuration_is_read_and_its_paths_start_from_its_folder(tmp_path):
    text = """
        output = "out"
        examples = "examples"
        loss = "supervised"
        network = {width = 16, n_blocks = 2}
        [[train]]
        scheme = "brainweb"
        files = ["a.nii.gz", "b.nii.gz"]
        [[validation]]
        scheme = "freesurfer"
        files = ["c.nii.gz"]
    """
    path = tmp_path / "train.toml"
    path.write_text(text)
    config = read_config(path)
    assert config.network == NetworkConfig(16, 2)
    assert config.output == str(tmp_path / "out")
    assert config.train[0].files == (str(tmp_path / "a.nii.gz"), str(tmp_path / "b.nii.gz"))
    for old, new, said in (
        ('"supervised"', '"oracle"', "the loss must be one of"),
        ("examples =", "samples =", "examples"),
        ('"freesurfer"', '"aseg"', "the scheme must be one of"),
        ("width = 16", 'width = "wide"', "network.width"),
        ("loss =", "loss", "is no training configuration"),
        ('output = "out"', 'output = "out"\nbatch_size = 0', "batch_size must be 1 or more, but it is 0"),
        ('output = "out"', 'output = "out"\nema = 1.0', "ema must be at least 0 and below 1"),
        ('output = "out"', 'output = "out"\nterms = {"lr maps" = 5.0}', "terms must be among truth, guides, LR maps"),
        ('["c.nii.gz"]', "[]", "train and validation need a label map each"),
    ):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=said):
            read_config(path)


def test_the_command_trains_and_says_where_the_weights_are(config, tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(
        """
        output = "run"
        examples = "examples"
        n_subjects = 1
        n_validation = 1
        crop = 24
        patch = 16
        n_steps = 2
        batch_size = 1
        network = {width = 4, n_blocks = 0}
        train = [{scheme = "brainweb", files = ["labels.nii.gz"]}]
        validation = [{scheme = "brainweb", files = ["labels.nii.gz"]}]
        """
    )
    done = CliRunner().invoke(app, ["train", str(path), "--json"])
    assert done.exit_code == 0, done.output
    weights = Path(json.loads(done.stdout)["outputs"][0])
    assert SwigNet.from_pretrained(weights).config == NetworkConfig(4, 0)
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "none.toml")])
    assert refused.exit_code == 1
    assert "does not exist: check the name" in refused.stderr
