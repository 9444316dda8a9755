"""Examples of simulated subjects: solved in their own unit, made once per setting, and drawn by number alone."""

from __future__ import annotations

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from training_cases import EDGE, labelled, subject

from napari_swig_qmri.super_resolution.network.configuration import Anatomies, hr_map_notices
from napari_swig_qmri.super_resolution.network.examples import (
    DrawnExamples,
    ExampleDataset,
    LabelledExample,
    rescan,
)
from napari_swig_qmri.super_resolution.network.losses import WHOLE, distance_to_truth
from napari_swig_qmri.super_resolution.network.self_supervision import ScanExample, named_tensors


def test_a_solved_subject_is_the_same_head_in_the_same_unit():
    assert labelled().network_input.log_maps.shape == (3, EDGE, EDGE, EDGE)
    assert distance_to_truth(labelled(), labelled().network_input.log_maps, WHOLE).max() < 0.3


def test_a_labelled_example_comes_back_from_its_file(tmp_path):
    labelled().save(tmp_path / "labelled.safetensors")
    stored, expected = named_tensors(LabelledExample.load(tmp_path / "labelled.safetensors")), named_tensors(labelled())
    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())


def test_a_second_scan_uses_the_first_scan_alone():
    """Its truth is the maps that the posterior finds, whatever the truth was."""
    again = rescan(subject(), 5)
    blind = replace(subject(), truth=replace(subject().truth, data=np.full_like(subject().truth.data, np.nan)))
    np.testing.assert_array_equal(rescan(blind, 5).truth.data, again.truth.data)
    brain = subject().mask
    error = np.log(again.truth.data[:, brain] / subject().truth.data[:, brain])
    error[0] -= np.median(error[0])  # PD has another unit
    median = np.median(np.abs(error), axis=1)
    assert (median < 0.1).all()
    assert (median > 1e-4).all()
    assert again.lr_maps.data.shape != subject().lr_maps.data.shape or not np.allclose(
        again.lr_maps.data, subject().lr_maps.data
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "kind"),
    [("supervised", LabelledExample), ("bootstrapped", LabelledExample), ("self-supervised", ScanExample)],
)
def test_examples_are_made_once_and_then_read(config, loss, kind, tmp_path):
    examples = replace(config, loss=loss, examples=str(tmp_path)).dataset()
    first = examples[1]
    assert isinstance(first, kind)
    (path,) = tmp_path.rglob("*.safetensors")
    written = path.stat().st_mtime_ns
    second = examples[1]
    assert path.stat().st_mtime_ns == written
    assert all(torch.equal(tensor, named_tensors(second)[name]) for name, tensor in named_tensors(first).items())


def test_other_settings_have_examples_of_their_own(config):
    folders = {
        replace(config, **change).dataset(validation=validation).folder
        for validation in (False, True)
        for change in ({}, {"crop": 16}, {"loss": "bootstrapped"})
    }
    assert len(folders) == 3 + 2  # validation does not depend on the loss


@pytest.mark.slow
def test_draws_depend_on_their_number_and_the_seed_alone(config):
    examples = config.dataset()
    (first, one), (second, two) = (DrawnExamples(examples, 7)[3] for _ in range(2))
    assert torch.equal(first.guides, second.guides)
    assert one.integers(1 << 30) == two.integers(1 << 30)
    other = DrawnExamples(examples, 8)[3][1]
    assert other.integers(1 << 30) != one.integers(1 << 30)


def with_maps(folder, names):
    """Heads of a folder of the true maps of these quantities."""
    folder.mkdir()
    truth = subject().truth
    for name in names:
        nib.save(nib.Nifti1Image(truth[name], truth.grid.affine), folder / f"sub-01_{name}map.nii.gz")
    return (Anatomies(files=(str(folder),), scheme="maps"),)


def dataset(heads, folder):
    return ExampleDataset(heads, folder / "examples", first_seed=0, n=1, crop=EDGE, loss="supervised")


def test_subjects_come_from_maps_with_notices_on_what_was_assumed(tmp_path):
    heads = with_maps(tmp_path / "whole", ("PD", "T1", "T2"))
    assert dataset(heads, tmp_path)[0].truth.shape == (3, EDGE, EDGE, EDGE)
    assert hr_map_notices(heads)
    assert all(isinstance(notice, str) and notice.endswith(".") for notice in hr_map_notices(heads))
    without_pd = with_maps(tmp_path / "less", ("T1", "T2"))
    with pytest.raises(ValueError, match="no map of PD"):
        dataset(without_pd, tmp_path)[0]
    with pytest.raises(ValueError, match="no map of PD"):
        hr_map_notices(without_pd)


def test_a_head_without_tissue_is_given_up_after_a_few_draws(tmp_path):
    image = nib.Nifti1Image(np.zeros((2 * EDGE,) * 3, np.uint8), np.diag([0.5, 0.5, 0.5, 1.0]))
    nib.save(image, tmp_path / "air.nii.gz")
    heads = (Anatomies(files=(str(tmp_path / "air.nii.gz"),), scheme="brainweb"),)
    with pytest.raises(ValueError, match=r"no subject could be made of .*air\.nii\.gz, tried 5 times"):
        dataset(heads, tmp_path)[0]


@pytest.mark.slow
def test_subjects_come_from_the_phantom(tmp_path):
    heads = (Anatomies(files=("3",), scheme="phantom"),)
    assert dataset(heads, tmp_path)[0].brain.any()
