"""A study small enough for tests: heads of a few voxels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from napari_swig_qmri.evaluation.ablation.study import AblationConfig
from napari_swig_qmri.super_resolution.network.configuration import Anatomies
from napari_swig_qmri.super_resolution.network.model import NetworkConfig

EDGE = 32  # HR voxels
AFFINE = np.diag([0.5, 0.5, 0.5, 1.0])


def labels(turned: float = 0.0) -> np.ndarray:
    """White matter with folds of grey matter and a ventricle in BrainWeb's numbers, in air."""
    x, y, z = np.meshgrid(*[np.linspace(-1.1, 1.1, 2 * EDGE)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + 0.3 * z**2)
    found = np.where(radius < 1, 3, 0)
    found[(radius < 1) & (np.sin(9 * x + turned) + np.sin(9 * y - turned) > 0.8)] = 2
    found[radius < 0.25] = 1
    return found.astype(np.uint8)


def small_study(folder: Path, n_test: int = 6) -> AblationConfig:
    """Six test subjects, one to train on, three steps."""
    names = [f"head{index}.nii.gz" for index in range(n_test + 1)]
    for index, name in enumerate(names):
        nib.save(nib.Nifti1Image(labels(index), AFFINE), folder / name)
    train, *test = (str(folder / name) for name in names)
    return AblationConfig(
        output=str(folder / "study"),
        train=(Anatomies(files=(train,), scheme="brainweb"),),
        test=(Anatomies(files=tuple(test), scheme="brainweb"),),
        network=NetworkConfig(width=4, n_blocks=1),
        n_planes=8,
        n_steps=3,
        device="cpu",
    )
