"""Guides compared with the solution, with what was planted in them and not corrected."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from engine_cases import degraded, slab
from scipy.ndimage import shift

from napari_swig_qmri import Mprage, Options, super_resolve
from napari_swig_qmri.super_resolution.examination.solution_check import SolutionCheck
from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings, departures_after

BARE = Options(method="posterior", pose=False, resolution=False, field=False)


@cache
def scan():
    """LR maps and two guides with noise, so that there is a level to compare with."""
    return degraded(slab().maps, map_noise=0.01, guide_noise=0.01)


def after(second, options=BARE):
    """What the solution leaves of a T1w guide as it is and of another one, and the notices on it."""
    maps, images = scan()
    result = super_resolve(maps, [images[0], second], options)
    doctors = [guide["doctor"] for guide in result.parameters["guides"]]
    return doctors, [notice for notice in result.notices if "does not fit:" in notice]


def test_right_guides_fit_and_nothing_is_said():
    doctors, told = after(scan()[1][1])
    for doctor in doctors:
        left = doctor["after"]
        assert left["fits"]
        assert doctor["verdict"].endswith("fits the solution.")
        assert 0 < left["residual_over_noise"] < 1.5
        assert left["shift_left_mm"] < 0.1
        assert left["field_left"] < 0.05
    assert not told


@pytest.mark.parametrize("moved", [(1.0, 0.0, 0.0), (0.6, -0.8, 0.0)])  # mm, in LR voxels of 6 mm
def test_a_move_that_was_not_corrected_is_measured(moved):
    image = scan()[1][1]
    data = shift(image.data, np.array(moved) / 3.0, order=5, mode="nearest").astype(np.float32)
    (first, second), (told,) = after(replace(image, data=data))
    assert first["after"]["fits"]
    assert second["after"]["shift_left_mm"] == pytest.approx(np.linalg.norm(moved), rel=0.2)
    assert "T2w does not fit: the solution leaves a move of 1.1 mm or more" in told
    corrected, silent = after(replace(image, data=data), replace(BARE, pose=True))
    assert corrected[1]["after"]["shift_left_mm"] < 0.5
    assert not silent


def test_shading_that_was_not_corrected_is_measured():
    image = scan()[1][1]
    shading = np.linspace(0.7, 1.3, image.grid.shape[0])[:, None, None]
    (_, second), (told,) = after(replace(image, data=(image.data * shading).astype(np.float32)))
    inside = slab().maps["PD"] > 0.5
    planted = float(np.log(np.broadcast_to(shading, inside.shape)[inside]).std())
    assert second["after"]["field_left"] == pytest.approx(planted, rel=0.25)
    assert "a shading of about" in told


def test_a_wrong_equation_leaves_more_than_noise():
    maps, images = scan()
    wrong = replace(images[0], sequence=Mprage.from_typical(inversion_time=0.9))
    result = super_resolve(maps, [wrong, images[1]], BARE)
    left = result.parameters["guides"][0]["doctor"]["after"]
    assert left["residual_over_noise"] > 2
    assert not left["fits"]


def test_regression_and_single_maps_tell_less():
    maps, images = scan()
    regression = super_resolve(maps, images, replace(BARE, method="regression"))
    left = regression.parameters["guides"][0]["doctor"]["after"]
    assert left == {"residual_over_noise": None, "shift_left_mm": None, "field_left": None, "fits": True}
    assert "solution" not in regression.parameters["guides"][0]["doctor"]["verdict"]
    t1 = replace(maps, data=maps.data[1:2], names=("T1",))
    left = super_resolve(t1, images, BARE).parameters["guides"][0]["doctor"]["after"]
    assert left["residual_over_noise"] is not None
    assert left["shift_left_mm"] is None


def test_thick_slices_are_compared_on_their_own_grid():
    maps, images = scan()
    thick = images[1].data.reshape(*images[1].grid.shape[:2], -1, 2).mean(3)
    affine = images[1].grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] / 2
    affine[:3, 2] *= 2
    grid = replace(images[1].grid, shape=thick.shape, affine=affine)
    result = super_resolve(maps, [images[0], replace(images[1], data=thick, grid=grid)], replace(BARE, resolution=True))
    assert result.parameters["guides"][1]["doctor"]["after"]["residual_over_noise"] < 1.5


def test_words_name_everything_that_is_left():
    off = SolutionCheck(residual=2.13, shift=0.84, field=0.071, is_moved=True, is_shaded=True)
    words = "the solution leaves 2.1 times its noise, a move of 0.8 mm or more and a shading of about 7 %"
    assert off.words() == words
    assert SolutionCheck().words() == ""
    found = GuideFindings(guide="T2w", is_placed=True, after=off)
    assert found.verdict.endswith(f"in place; {words}.")
    (told,) = departures_after([found, replace(found, after=SolutionCheck(residual=1.0))])
    assert told.startswith(f"T2w does not fit: {words}. Check")
