"""The preferences page: read as options, with the same choices and defaults as the engine."""

from __future__ import annotations

import pytest
from napari.settings import get_plugin_settings, get_settings
from npe2 import PluginManifest

from napari_swig_qmri._napari.parts.preferences import (
    APPEARANCE,
    COMPUTATION,
    PLUGIN,
    VIEWS,
    make_default_reader,
    preferred_weights,
    read_preferences,
)
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS


def test_preferences_are_read(plugin: None) -> None:
    assert read_preferences() == Options(weights=DEFAULT_WEIGHTS)
    page = get_plugin_settings(PLUGIN).computation
    page.method, page.weights, page.device, page.memory_limit = "network", "supervised", "cpu", 2.5
    assert read_preferences() == Options(
        method="network", weights="supervised", device="cpu", memory_limit=2_500_000_000
    )
    page.method = "posterior"
    assert read_preferences().weights is None
    assert preferred_weights() == "supervised"


def test_the_page_offers_the_choices_of_the_engine() -> None:
    pages = PluginManifest.from_distribution(PLUGIN).contributions.configurations or {}
    computation, appearance = pages[COMPUTATION].properties, pages[APPEARANCE].properties
    assert set(computation["method"].enum) == set(METHODS)
    assert computation["method"].default == DEFAULT_METHOD
    assert set(computation["weights"].enum) == set(WEIGHTS)
    assert computation["weights"].default == DEFAULT_WEIGHTS
    assert tuple(appearance["view"].enum) == VIEWS
    assert appearance["view"].default == VIEWS[0]


def test_without_the_plugin_there_are_defaults() -> None:
    assert read_preferences() == Options()
    assert preferred_weights() == DEFAULT_WEIGHTS


def test_nifti_files_open_with_this_plugin_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_settings().plugins
    monkeypatch.setattr(settings, "extension2reader", {"*.tif": "other"})
    make_default_reader()
    assert settings.extension2reader == {"*.tif": "other", "*.nii": PLUGIN, "*.nii.gz": PLUGIN}
