"""Plots in the colours of the theme."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
import pytest

from napari_swig_qmri._napari.parts.plots import LEAST_ON_DARK, legible


def test_colours_of_labels_are_legible_on_the_theme() -> None:
    assert pg.mkColor(legible(np.array([0.2, 0.0, 0.0, 1.0]), "dark")).lightnessF() == pytest.approx(
        LEAST_ON_DARK, abs=0.01
    )
    assert legible(np.array([1.0, 1.0, 1.0, 1.0]), "dark") == "#ffffff"
