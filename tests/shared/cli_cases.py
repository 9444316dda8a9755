"""Files of small maps, and the types, that the tests of the commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from typer.testing import Result

AFFINE = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0.3, -30], [0, -0.3, 1.5, 5], [0, 0, 0, 1.0]])
SHAPE = (12, 14, 10)
NAMES = ("PDmap", "T1map", "T2map")

Run = Callable[..., Result]  # runs a command, given its words


def save(
    path: Path | str, data: np.ndarray, sidecar: Mapping[str, Any] | None = None, affine: np.ndarray = AFFINE
) -> None:
    """Save a volume, and its sidecar if there is one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    if sidecar is not None:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))


def load(path: Path | str) -> np.ndarray:
    """Voxels of a file."""
    return np.asarray(nib.load(path).dataobj)


def sidecar_of(path: Path | str) -> dict[str, Any]:
    """Sidecar of an image."""
    path = Path(path)
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


def save_maps(folder: Path, data: np.ndarray, stem: str = "sub-07", affine: np.ndarray = AFFINE) -> None:
    """Save PD, T1 and T2 maps ``(3, x, y, z)`` whose sidecars say that the times are in s."""
    for name, volume in zip(NAMES, data, strict=True):
        save(folder / f"{stem}_{name}.nii.gz", volume, {} if name == "PDmap" else {"Units": "s"}, affine)
