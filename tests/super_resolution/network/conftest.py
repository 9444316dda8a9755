"""A training run of a few steps, whose simulated subjects are made once for all tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from training_cases import EDGE, TINY, labels

from napari_swig_qmri.super_resolution.network.configuration import Anatomies
from napari_swig_qmri.super_resolution.network.training import TrainingConfig


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a label map, ``labels.nii.gz``."""
    folder = tmp_path_factory.mktemp("heads")
    nib.save(nib.Nifti1Image(labels(), np.diag([0.5, 0.5, 0.5, 1.0])), folder / "labels.nii.gz")
    return folder


@pytest.fixture
def config(heads: Path, tmp_path: Path) -> TrainingConfig:
    anatomies = (Anatomies(files=(str(heads / "labels.nii.gz"),), scheme="brainweb"),)
    return TrainingConfig(
        output=str(tmp_path / "run"),
        examples=str(heads / "examples"),
        train=anatomies,
        validation=anatomies,
        network=TINY,
        n_subjects=2,
        n_validation=1,
        crop=EDGE,
        patch=16,
        n_steps=3,
        batch_size=1,
        checkpoint_every=1,
        validate_every=2,
    )
