"""Commands in an empty folder, and maps for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import SHAPE, Run, save_maps
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Folder with random PD, T1 and T2 maps of 12 x 14 x 10 voxels."""
    low, high = (np.array(limits)[:, None, None, None] for limits in ((0.6, 0.7, 0.05), (1.0, 1.6, 0.12)))
    save_maps(tmp_path / "maps", np.random.default_rng(1).uniform(low, high, (3, *SHAPE)))
    return tmp_path / "maps"
