"""Random maps of an anatomy: tissue values in their ranges, partial volume, texture and lesions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.simulation.label_maps import LABELLED_TISSUES, Anatomy, halved, labels_of
from napari_swig_qmri.simulation.tissue_maps import FIELD_STRENGTHS, TISSUE_RANGES, random_maps


def test_every_labelled_tissue_has_ranges_within_the_bounds_of_its_quantities() -> None:
    assert tuple(TISSUE_RANGES) == LABELLED_TISSUES
    for pd, t1, t2 in TISSUE_RANGES.values():
        for name, (low, high) in (("PD", pd), *(("T1", each) for each in t1), *(("T2", each) for each in t2)):
            assert QUANTITIES[name].bounds[0] <= low < high <= QUANTITIES[name].bounds[1]


@pytest.mark.parametrize("strength", FIELD_STRENGTHS)
def test_tissues_lie_in_their_ranges(layered_anatomy: Anatomy, strength: float) -> None:
    maps, _, _ = random_maps(layered_anatomy, strength, np.random.default_rng(5))
    pure = halved((layered_anatomy.labels == labels_of(["grey"])[0]).astype(np.float32)) == 1
    pd, t1, t2 = TISSUE_RANGES["grey"]
    column = FIELD_STRENGTHS.index(strength)
    for name, (low, high) in zip(QUANTITIES, (pd, t1[column], t2[column]), strict=True):
        assert low * 0.93 < np.median(maps[name][pure]) < high * 1.07  # texture shifts medians by little


def test_mixed_voxels_average_signals_and_not_times() -> None:
    """Half white matter and half air: half of the PD, the times of white matter."""
    grid = VoxelGrid((48, 40, 32), np.diag([0.5, 0.5, 0.5, 1.0]))
    labels = np.zeros(grid.shape, np.uint8)
    labels[9:] = labels_of(["white"])[0]
    maps, _, _ = random_maps(Anatomy(labels, grid), 3.0, np.random.default_rng(0))
    whole, half = (np.median(maps.data[:, i], axis=(1, 2)) for i in (12, 4))
    np.testing.assert_allclose(half / whole, [0.5, 1, 1], rtol=0.1)
    assert (maps.data[:, :4] == 0).all()
    np.testing.assert_allclose(maps.grid.world(np.zeros(3)), grid.world(np.full(3, 0.5)))


def test_texture_differs_between_maps(layered_anatomy: Anatomy) -> None:
    uniform = replace(layered_anatomy, labels=np.ones_like(layered_anatomy.labels))
    maps, _, _ = random_maps(uniform, 3.0, np.random.default_rng(1))
    correlation = np.corrcoef(np.log(maps.data.reshape(3, -1)))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.95


def test_lesions_change_maps_where_they_are_and_nowhere_else(layered_anatomy: Anatomy) -> None:
    draws = (random_maps(layered_anatomy, 3.0, np.random.default_rng(seed)) for seed in range(20))
    healthy, ill, lesions = next(maps for maps in draws if maps[2].max() > 0.9)
    np.testing.assert_array_equal(ill.data[:, lesions == 0], healthy.data[:, lesions == 0])
    core = (lesions > 0.9) & (healthy["T2"] > 0)
    assert (np.abs(ill["T2"][core] / healthy["T2"][core] - 1) > 0.1).all()


def test_without_brain_there_are_no_lesions() -> None:
    labels = np.full((8, 8, 8), labels_of(["fat"])[0], np.uint8)
    _, _, lesions = random_maps(Anatomy(labels, VoxelGrid((8, 8, 8), np.eye(4))), 3.0, np.random.default_rng(0))
    assert not lesions.any()
