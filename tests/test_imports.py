"""Importing costs nothing: torch, napari and Qt are loaded by whom needs them, and only then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import napari_swig_qmri

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6", "magicgui", "superqt")


def loaded_after(code: str) -> set[str]:
    """Heavy modules that a fresh interpreter has loaded after running `code`."""
    script = f"import sys\n{code}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "napari_swig_qmri",
        "napari_swig_qmri._napari.reader",
        "napari_swig_qmri._napari.writer",
        "napari_swig_qmri._napari.sample_data",
        "napari_swig_qmri.cli.app",
    ],
)
def test_light_modules_load_neither_torch_nor_qt(module: str) -> None:
    assert loaded_after(f"import {module}") == set()


def test_asking_what_there_is_loads_nothing() -> None:
    assert loaded_after("import napari_swig_qmri; dir(napari_swig_qmri); napari_swig_qmri.__version__") == set()


@pytest.mark.slow
def test_files_open_without_torch(tmp_path: Path) -> None:
    path = str(tmp_path / "sub-01_T1map.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), path)
    code = f"from napari_swig_qmri._napari.reader import get_reader; assert get_reader({path!r})({path!r})"
    assert loaded_after(code) == set()


@pytest.mark.slow
def test_the_engine_loads_torch_but_no_window() -> None:
    assert loaded_after("from napari_swig_qmri import super_resolve") == {"torch"}


def test_public_names_exist_and_nothing_else_is_shown() -> None:
    assert dir(napari_swig_qmri) == sorted(napari_swig_qmri.__all__)
    for name in dir(napari_swig_qmri):
        assert getattr(napari_swig_qmri, name) is not None
        assert not name.startswith("_")


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = napari_swig_qmri.no_such_name


def test_version_is_told() -> None:
    assert napari_swig_qmri.__version__[0].isdigit()
