"""Folders of the project that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TRAINING = ROOT / "training"
PACKAGE = ROOT / "src" / "napari_swig_qmri"
