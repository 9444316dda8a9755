"""What every test stands on: no settings of the user, and marks that skip where the hardware is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ.setdefault("NAPARI_CONFIG", "")  # napari neither reads nor writes the user's settings
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads; more threads slow small problems down


@pytest.fixture(autouse=True)
def own_presets(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for presets in place of the user's."""
    folder = tmp_path_factory.getbasetemp() / "no-presets"
    monkeypatch.setattr("napari_swig_qmri.synthesis.presets.user_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def _disable_qt_warnings() -> None:
    """In place of the fixture of napari, which loads Qt; tests of the plugin have that one."""


@pytest.fixture(autouse=True)
def _clean_themes() -> None:
    """In place of the fixture of napari, which costs every test 10 ms; tests of the plugin have that one."""


def has_screen() -> bool:
    """Whether a real window can open: another system's screen, an X server or Xvfb."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or shutil.which("Xvfb"))


def has_cuda() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


NEEDS = {
    "gui": (has_screen, "no display and no Xvfb: see `python ci/system_packages.py`"),
    "gpu": (has_cuda, "no CUDA device"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(mark) and not is_there():
            pytest.skip(reason)
