"""The head of the demonstration: the anatomy of the digital head, with uneven tissue."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.simulation.phantom import CLASSES, Phantom, make_phantom
from napari_swig_qmri.simulation.textured_head import make_textured_head

PART = ((-60, 60), (-90, 60), (8, 12))  # mm, through cortex, ventricles and deep grey matter


@pytest.fixture(scope="module")
def textured() -> Phantom:
    return make_textured_head(1.0, extent=PART)


def test_anatomy_and_mean_values_are_those_of_the_digital_head(textured: Phantom) -> None:
    plain = make_phantom(1.0, extent=PART)
    np.testing.assert_array_equal(textured.fractions, plain.fractions)
    for where in plain.tissues.values():
        medians = (np.median(head.maps.data[:, where], axis=1) for head in (textured, plain))
        np.testing.assert_allclose(*medians, rtol=0.06)
    assert (textured.maps["PD"] == 0)[plain.maps["PD"] == 0].all()
    assert textured.maps["PD"].max() <= 1


def test_tissues_vary_by_a_few_percent_and_fluid_hardly(textured: Phantom) -> None:
    pure = {name: fraction > 0.999 for name, fraction in zip(CLASSES, textured.fractions, strict=True)}
    spread = {name: np.std(np.log(textured.maps.data[:, where]), axis=1) for name, where in pure.items()}
    for name in ("GM", "WM", "deep GM"):
        assert (spread[name][1:] > 0.015).all(), name
        assert (spread[name][1:] < 0.12).all(), name
    assert (spread["CSF"] < 0.03).all()


def test_the_cortex_has_a_shorter_t1_towards_white_matter(textured: Phantom) -> None:
    grey, white, fluid = (textured.fractions[CLASSES.index(name)] for name in ("GM", "WM", "CSF"))
    beside = [
        np.max([np.roll(each, step, axis) for axis in (0, 1) for step in (-2, 2)], axis=0) for each in (white, fluid)
    ]
    pure = grey > 0.98
    deep, shallow = pure & (beside[0] > 0.9) & (beside[1] < 0.1), pure & (beside[1] > 0.9) & (beside[0] < 0.1)
    assert np.median(textured.maps["T1"][deep]) < 0.97 * np.median(textured.maps["T1"][shallow])


def test_a_seed_names_a_head_at_every_voxel_size(textured: Phantom) -> None:
    np.testing.assert_array_equal(make_textured_head(1.0, extent=PART).maps.data, textured.maps.data)
    part = make_textured_head(1.0, extent=((0, 40), (-40, 0), (8, 12)))
    np.testing.assert_allclose(part.maps["PD"][5:-5, 5:-5], textured.maps["PD"][65:95, 55:85], rtol=0.02)
    assert not np.array_equal(make_textured_head(1.0, extent=PART, seed=1).maps.data, textured.maps.data)
