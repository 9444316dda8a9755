"""Viewers, and settings of their own, for the tests of the napari plugin."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from napari.utils._testsupport import _clean_themes, _disable_qt_warnings  # noqa: F401
from npe2 import PluginManager, PluginManifest

from napari_swig_qmri._napari.parts.preferences import PLUGIN


@pytest.fixture(autouse=True)
def own_settings(plugin_settings: None) -> None:
    """No plugin and no preference is left over from another test."""


@pytest.fixture
def plugin(own_settings: None, npe2pm: PluginManager) -> PluginManager:
    """A plugin manager with this plugin alone."""
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))
    return npe2pm


@pytest.fixture
def viewer() -> ViewerModel:
    """An empty viewer without a window."""
    return ViewerModel()
