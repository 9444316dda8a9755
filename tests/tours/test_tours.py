"""The scripts that draw the pictures of the documentation, through every state of the docks.

All of them, in three minutes: `pytest tests/tours`.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import DOCS
from skimage.io import imread

TOURS = [("widget_tour", 19), ("inspect_tour", 11), ("compare_tour", 4), ("doctor_tour", 3)]


@pytest.mark.slow
@pytest.mark.gui
@pytest.mark.parametrize(("tour", "n_pictures"), TOURS)
def test_a_tour_shows_every_state(tour: str, n_pictures: int, tmp_path: Path) -> None:
    script = DOCS / "examples" / f"{tour}.py"
    words = [sys.executable, str(script), str(tmp_path), "--voxel-size", "3"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pictures = {path.name: imread(path) for path in tmp_path.glob("*.png")}
    assert len(pictures) == n_pictures + (tour == "compare_tour" and find_spec("napari_orthogonal_views") is not None)
    assert all(picture[..., :3].std() > 10 for picture in pictures.values())
