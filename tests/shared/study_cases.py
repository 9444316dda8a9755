"""A study small enough for tests: heads of a few voxels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.evaluation.ablation.study_subjects import StudySubject, study_subject
from napari_swig_qmri.simulation.label_maps import BRAINWEB_LABELS, Anatomy, anatomy_of

EDGE = 32  # HR voxels
AFFINE = np.diag([0.5, 0.5, 0.5, 1.0])
N_TEST = 6
N_PLANES = 4


def labels(phase: float = 0.0) -> np.ndarray:
    """White matter with folds of grey matter and a ventricle in BrainWeb's numbers, in air."""
    x, y, z = np.meshgrid(*[np.linspace(-1.1, 1.1, 2 * EDGE)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + 0.3 * z**2)
    found = np.where(radius < 1, 3, 0)
    found[(radius < 1) & (np.sin(9 * x + phase) + np.sin(9 * y - phase) > 0.8)] = 2
    found[radius < 0.25] = 1
    return found.astype(np.uint8)


@cache
def small_anatomy() -> Anatomy:
    return anatomy_of(labels(), VoxelGrid((2 * EDGE,) * 3, AFFINE), BRAINWEB_LABELS)


@cache
def small_subject(noise: float = 0.0, seed: int = 1) -> StudySubject:
    """A subject of four planes with this relative noise in maps and guides."""
    return study_subject(small_anatomy(), "small", N_PLANES, noise, noise, seed)


TRAINING_HEAD, *TEST_HEADS = (f"head{index}.nii.gz" for index in range(N_TEST + 1))


def write_heads(folder: Path) -> None:
    """Label maps of the training subject and the test subjects."""
    for phase, name in enumerate((TRAINING_HEAD, *TEST_HEADS)):
        nib.save(nib.Nifti1Image(labels(phase), AFFINE), folder / name)


def write_study(folder: Path) -> Path:
    """Settings of a study in a TOML file: one training subject, three steps, one set of weights."""
    path = folder / "study.toml"
    path.write_text(
        f"""
        output = "out"
        n_planes = {N_PLANES}
        n_steps = 3
        device = "cpu"
        weights = ["supervised"]
        network = {{width = 4, n_blocks = 1}}
        train = [{{scheme = "brainweb", files = ["{TRAINING_HEAD}"]}}]
        test = [{{scheme = "brainweb", files = {TEST_HEADS}}}]
        """
    )
    return path
