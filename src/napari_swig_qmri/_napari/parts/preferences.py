"""Preferences of the plugin: options of runs, view, and the reader of NIfTI files."""

from __future__ import annotations

from typing import Any

from napari.settings import get_plugin_settings, get_settings
from napari.utils.notifications import show_info

from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

PLUGIN = "napari-swig-qmri"
COMPUTATION, APPEARANCE = "computation", "appearance"  # keys of the pages in the manifest
VIEWS = ("radiological", "neurological")  # the first is the default
NIFTI_PATTERNS = ("*.nii", "*.nii.gz")
GIGABYTE = 1e9


def read_preferences() -> Options:
    """Options from the preferences page of the plugin; a memory limit of 0 GB means none."""
    page = _page(COMPUTATION)
    if page is None:
        return Options()
    return Options(
        method=page.method,
        weights=page.weights if page.method == "network" else None,
        device=page.device,
        memory_limit=round(page.memory_limit * GIGABYTE) or None,
    )


def preferred_weights() -> str:
    """Weights of the network from the preferences page, whatever the method there."""
    page = _page(COMPUTATION)
    return DEFAULT_WEIGHTS if page is None else str(page.weights)


def preferred_view() -> str:
    """View chosen last in a viewer or on the preferences page, one of `VIEWS`."""
    page = _page(APPEARANCE)
    return VIEWS[0] if page is None else str(page.view)


def prefer_view(view: str) -> None:
    """Store one of `VIEWS`; does nothing in a script in which the plugin is not registered."""
    page = _page(APPEARANCE)
    if page is not None:
        page.view = view


def _page(key: str) -> Any:
    """A page of the plugin's preferences; None in a script in which the plugin is not registered."""
    try:
        return getattr(get_plugin_settings(PLUGIN), key)
    except KeyError:
        return None


def make_default_reader() -> None:
    """Let napari open NIfTI files with this plugin without asking, and say how to undo that."""
    settings = get_settings().plugins
    settings.extension2reader = settings.extension2reader | dict.fromkeys(NIFTI_PATTERNS, PLUGIN)
    show_info(
        "NIfTI files (.nii, .nii.gz) now open with SWIG qMRI. To undo this, remove both lines under "
        "Preferences > Plugins > File extension readers."
    )
