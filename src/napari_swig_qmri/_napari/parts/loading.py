"""Loading of torch in the background, which would otherwise block a window for seconds."""

from __future__ import annotations

import importlib
import sys

TORCH = "torch"


def is_loaded(name: str = TORCH) -> bool:
    """Whether a module is imported completely; while another thread imports it, importing it would wait."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def load() -> None:
    """Import torch and the signals that need it; for a thread."""
    importlib.import_module(TORCH)
    importlib.import_module("napari_swig_qmri.physics.epg")
