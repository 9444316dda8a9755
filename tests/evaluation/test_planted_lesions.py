"""Lesions: their shape, what they change, and where they are planted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.evaluation.planted_lesions import (
    BOTH,
    GUIDES,
    MAPS,
    NEITHER,
    changed,
    find_places,
    fitted_maps,
    sphere,
    with_lesion,
)
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

INFLAMED = (1.08, 0.65, 0.5)


@cache
def problem(maps_from="averaged"):
    """Problem of a block of the phantom with voxels of 3 mm, and its solution: the truth."""
    truth = make_phantom(3.0, extent=((-45, 45), (-60, 30), (0, 48))).maps
    maps, guides = degrade(truth, 2)
    options = Options(method="posterior", maps_from=maps_from, pose=False, field=False, resolution=False)
    run = plan(maps, guides[:2], options)
    data = torch.as_tensor(truth.data, dtype=torch.float32) / run.problem.map_units
    return run.problem, data.clamp(min=1e-3)


@pytest.mark.parametrize("edges", [(1, 1, 1), (0.8, 1, 1.3)])
def test_a_sphere_has_its_volume(edges):
    grid = VoxelGrid((24, 24, 24), np.diag([*edges, 1.0]))
    volume = float(sphere(grid, (11.3, 11.8, 12.1), 5.0).sum()) * np.prod(edges)
    assert volume == pytest.approx(4 / 3 * np.pi * 125, rel=0.03)


def test_a_lesion_changes_rates_by_its_factors_and_nothing_around_it():
    maps, share = torch.rand(3, 4, 4, 4) + 0.5, torch.zeros(4, 4, 4)
    share[1, 1, 1] = 1
    lesioned = changed(maps, share, INFLAMED)
    factors = (lesioned / maps)[:, 1, 1, 1].tolist()
    assert factors == pytest.approx([1.08, 1 / 0.65, 2.0])
    assert torch.equal(lesioned[:, 2:], maps[:, 2:])


@pytest.mark.parametrize("kind", [BOTH, MAPS, GUIDES])
def test_planting_nothing_changes_no_image(kind):
    given, solved = problem()
    planted = with_lesion(given, kind, solved, solved, torch.ones(2))
    assert torch.equal(planted.lr_maps, given.lr_maps)
    assert torch.equal(planted.guides, given.guides)


def test_each_kind_changes_its_images_alone():
    given, solved = problem()
    lesioned = changed(solved, sphere(given.hr_grid, (15, 15, 8), 6.0), INFLAMED)
    for kind, in_maps, in_guides in ((BOTH, True, True), (MAPS, True, False), (GUIDES, False, True), (NEITHER, 0, 0)):
        planted = with_lesion(given, kind, solved, lesioned, torch.ones(2))
        assert (not torch.equal(planted.lr_maps, given.lr_maps)) == in_maps
        assert (not torch.equal(planted.guides, given.guides)) == in_guides
    planted = with_lesion(given, BOTH, solved, lesioned, torch.tensor([2.0, 3.0]))
    expected = 3 * (given.sequences[1](*lesioned) - given.sequences[1](*solved))
    torch.testing.assert_close(planted.guides[1] - given.guides[1], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(planted.lr_maps - given.lr_maps, given.truncate(lesioned - solved), atol=1e-5, rtol=1e-4)


def test_maps_are_fitted_to_the_signals_of_other_maps():
    given, _ = problem("unknown")
    wanted = given.lr_maps * torch.tensor([1.05, 1.2, 1.3]).view(-1, 1, 1, 1)
    found = fitted_maps(given, given.lr_signals(wanted))
    torch.testing.assert_close(found[:, given.tissue], wanted[:, given.tissue], rtol=0.02, atol=0)


def test_places_are_in_tissue_apart_and_the_same_for_a_seed():
    given, _ = problem()
    places = find_places(given, None, 2.0, 3, seed=1)
    assert places == find_places(given, None, 2.0, 3, seed=1)
    assert places != find_places(given, None, 2.0, 3, seed=2)
    for place in places:
        voxel = tuple(round(each / 2 - 0.25) for each in place)
        assert given.tissue[voxel]
    distances = [3 * np.linalg.norm(np.subtract(a, b)) for a in places for b in places if a != b]
    assert min(distances) > 2.0


def test_a_place_in_conflict_is_not_chosen():
    given, _ = problem()
    with pytest.raises(ValueError, match="no tissue where guides and maps agree"):
        find_places(given, torch.ones(given.hr_grid.shape), 2.0, 1, seed=0)


def test_a_lesion_larger_than_the_head_has_no_place():
    given, _ = problem()
    with pytest.raises(ValueError, match="no room for a lesion with a `radius` of 90 mm"):
        find_places(given, None, 90.0, 1, seed=0)


def test_maps_without_signals_are_not_fitted():
    given, _ = problem()
    with pytest.raises(ValueError, match="not fitted"):
        fitted_maps(replace(given, lr_signals=None), given.lr_maps)
