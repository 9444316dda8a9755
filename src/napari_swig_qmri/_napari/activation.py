"""What happens when napari uses the plugin for the first time."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_swig_qmri._napari.parts.view import follow_current_view

if TYPE_CHECKING:
    from npe2 import PluginContext

DOCKS = tuple(f"napari_swig_qmri._napari.{name}.dock" for name in ("super_resolve", "synthesize", "inspect"))


def on_activate(_context: PluginContext) -> None:
    """Follow the view of the current viewer, as sample data needs it, and load the docks in the background."""
    follow_current_view()
    if QApplication.instance() is not None:
        QTimer.singleShot(0, load_docks)  # later: first the command that napari wants


def load_docks() -> threading.Thread:
    """Import the docks in a thread, so that the window does not wait for them when they are opened; no torch."""
    thread = threading.Thread(target=_import_docks, name="import docks", daemon=True)
    thread.start()
    return thread


def _import_docks() -> None:
    for name in DOCKS:
        importlib.import_module(name)
