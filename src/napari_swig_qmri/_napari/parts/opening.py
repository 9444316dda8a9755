"""The reader that napari calls: opened images are shown upright, and notices appear in the window."""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import notification_manager, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_swig_qmri._napari import reader
from napari_swig_qmri._napari.parts.view import follow_current_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_swig_qmri._napari.layers import LayerData
    from napari_swig_qmri._napari.reader import Paths


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Reader of a path or a list of paths; None if one of them cannot be read."""
    read = reader.get_reader(path)
    if read is None:
        return None
    follow_current_view()
    return partial(_read, read)


def _read(read: Callable[[Paths], list[LayerData]], path: Paths) -> list[LayerData]:
    """Layers of a path. Notices of a window that is just starting are shown once it has started.

    napari shows warnings only while its event loop runs; before that, they would be on stderr alone.
    """
    is_shown = getattr(warnings.showwarning, "__self__", None) is notification_manager
    if is_shown or QApplication.instance() is None:
        return read(path)
    with warnings.catch_warnings(record=True) as caught:
        layers = read(path)
    for warning in caught:
        print(warning.message, file=sys.stderr)
        QTimer.singleShot(0, partial(show_info, str(warning.message)))
    return layers
