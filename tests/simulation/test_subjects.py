"""Random subjects: the same seed is the same subject, everything lies where and within what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.simulation.label_maps import (
    BRAINWEB_LABELS,
    FREESURFER_LABELS,
    LABELLED_TISSUES,
    Anatomy,
    anatomy_of,
    crop_of_maps,
    halved,
    random_crop,
)
from napari_swig_qmri.simulation.subjects import (
    _with_and_without_lesions,
    random_factors,
    random_protocol,
    random_scan,
    random_sequence,
    random_subject,
)
from napari_swig_qmri.simulation.tissue_maps import TISSUE_RANGES, random_maps

FINE = VoxelGrid((48, 40, 32), np.diag([0.5, 0.5, 0.5, 1.0]))


@pytest.fixture(scope="module")
def anatomy():
    """White matter around a block of grey matter and a block of CSF, air at one end."""
    labels = np.full(FINE.shape, 1 + LABELLED_TISSUES.index("white"), np.uint8)
    labels[10:24, 10:30, 8:24] = 1 + LABELLED_TISSUES.index("grey")
    labels[30:40, 10:30, 8:24] = 1 + LABELLED_TISSUES.index("csf")
    labels[:4] = 0
    return Anatomy(labels, FINE)


def same(a, b):
    return all(np.array_equal(x.data, y.data) for x, y in zip((a.truth, *a.guides), (b.truth, *b.guides), strict=True))


def test_a_seed_is_a_subject(anatomy):
    assert same(random_subject(anatomy, 3), random_subject(anatomy, 3))
    assert not same(random_subject(anatomy, 3, 2), random_subject(anatomy, 4, 2))


@pytest.mark.parametrize("seed", range(12))
def test_every_subject_can_be_used(anatomy, seed):
    subject = random_subject(anatomy, seed)
    assert subject.truth.grid.shape == (24, 20, 16)
    assert 1 <= len(subject.guides) <= 3
    assert all(n_lr <= n for n_lr, n in zip(subject.lr_maps.grid.shape, subject.truth.grid.shape, strict=True))
    for volume in (subject.truth.data, subject.lr_maps.data, *(guide.data for guide in subject.guides)):
        assert np.isfinite(volume).all()
    for guide in subject.guides:
        assert guide.grid.is_aligned_with(subject.truth.grid)
        assert guide.sequence.is_signed or guide.data.min() >= 0
        assert np.abs(guide.data[subject.mask]).max() > 0
    for name, quantity in QUANTITIES.items():
        assert subject.truth[name][subject.mask].max() <= quantity.bounds[1]
        assert subject.truth[name][subject.mask].min() >= quantity.bounds[0]


@pytest.mark.parametrize(("strength", "place"), [(1.5, 0), (3.0, 1), (7.0, 2)])
def test_tissues_lie_in_their_ranges(anatomy, strength, place):
    """Texture moves single voxels; medians move by little."""
    maps, _, _ = random_maps(anatomy, strength, np.random.default_rng(5))
    labels = anatomy.labels[::2, ::2, ::2]
    pure = halved((anatomy.labels == 1 + LABELLED_TISSUES.index("grey")).astype(np.float32)) == 1
    assert (labels[pure] == 1 + LABELLED_TISSUES.index("grey")).all()
    pd, t1, t2 = TISSUE_RANGES["grey"]
    for name, (low, high) in zip(QUANTITIES, (pd, t1[place], t2[place]), strict=True):
        assert low * 0.93 < np.median(maps[name][pure]) < high * 1.07


def test_mixed_voxels_add_signals_not_times():
    """Half white matter and half air: half of the PD, the times of white matter."""
    labels = np.zeros(FINE.shape, np.uint8)
    labels[9:] = 1 + LABELLED_TISSUES.index("white")
    maps, _, _ = random_maps(Anatomy(labels, FINE), 3.0, np.random.default_rng(0))
    whole, half = (np.median(maps.data[:, i], axis=(1, 2)) for i in (12, 4))
    np.testing.assert_allclose(half / whole, [0.5, 1, 1], rtol=0.1)
    assert (maps.data[:, :4] == 0).all()


def test_texture_differs_between_maps(anatomy):
    maps, _, _ = random_maps(replace(anatomy, labels=np.ones_like(anatomy.labels)), 3.0, np.random.default_rng(1))
    correlation = np.corrcoef(np.log(maps.data.reshape(3, -1)))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.95


def test_a_crop_keeps_its_place_in_the_world(anatomy):
    part = anatomy.crop((3, 4, 5), (8, 6, 4))
    assert part.labels.shape == (16, 12, 8)
    np.testing.assert_array_equal(part.labels, anatomy.labels[6:22, 8:20, 10:18])
    np.testing.assert_allclose(part.grid.world(np.zeros(3)), anatomy.grid.world(np.array([6, 8, 10])))
    maps, _, _ = random_maps(part, 3.0, np.random.default_rng(0))
    np.testing.assert_allclose(maps.grid.world(np.zeros(3)), anatomy.grid.world(np.array([6.5, 8.5, 10.5])))


def test_label_maps_of_both_schemes_become_tissues():
    grid = VoxelGrid((2, 2, 2), np.eye(4))
    brainweb = anatomy_of(np.array([0, 1, 2, 3, 4, 5, 7, 99]).reshape(2, 2, 2), grid, BRAINWEB_LABELS)
    assert [LABELLED_TISSUES[k - 1] if k else "air" for k in brainweb.labels.ravel()] == [
        "air", "csf", "grey", "white", "fat", "muscle", "bone", "air",
    ]  # fmt: skip
    freesurfer = anatomy_of(np.array([0, 2, 41, 3, 43, 10, 24, 17]).reshape(2, 2, 2), grid, FREESURFER_LABELS)
    assert [LABELLED_TISSUES[k - 1] if k else "air" for k in freesurfer.labels.ravel()] == [
        "air", "white", "white", "grey", "csf", "deep grey", "csf", "grey",
    ]  # fmt: skip


def test_labels_of_another_scheme_are_refused():
    with pytest.raises(ValueError, match="has no label of the scheme"):
        anatomy_of(np.full((2, 2, 2), 77), VoxelGrid((2, 2, 2), np.eye(4)), BRAINWEB_LABELS)


def test_all_sequences_are_drawn_and_none_twice():
    generator = np.random.default_rng(0)
    drawn = [random_sequence(generator) for _ in range(300)]
    assert {type(sequence) for sequence in drawn} == {SEQUENCES[kind] for kind in SEQUENCES if kind != "mp2rage-uni"}
    assert len({(type(s), s.echo_time) for s in drawn}) == len(drawn)


def test_factors_are_those_of_the_four_kinds():
    generator = np.random.default_rng(0)
    drawn = [random_factors(generator) for _ in range(200)]
    assert all(1 <= factor <= 4 for factors in drawn for factor in factors)
    kinds = {
        "all alike": [f for f in drawn if f[0] == f[1] == f[2]],
        "in plane": [f for f in drawn if f[0] == f[1] > f[2] == 1],
        "thick": [f for f in drawn if f[0] == f[1] == 1 < f[2]],
        "any": [f for f in drawn if len(set(f)) == 3],
    }
    assert sum(len(found) for found in kinds.values()) == len(drawn)
    assert all(len(found) > 30 for found in kinds.values())
    assert min(min(f) for f in kinds["any"]) < 1.2
    assert max(max(f) for f in kinds["any"]) > 3.8


def test_lesions_change_maps_where_they_are_and_nowhere_else(anatomy):
    healthy, ill, lesions = next(
        found
        for found in (random_maps(anatomy, 3.0, np.random.default_rng(seed)) for seed in range(20))
        if found[2].max() > 0.9
    )
    np.testing.assert_array_equal(ill.data[:, lesions == 0], healthy.data[:, lesions == 0])
    inside = lesions > 0.9
    assert (np.abs(ill["T2"] / np.where(healthy["T2"] > 0, healthy["T2"], 1) - 1)[inside] > 0.1).all()


def test_some_lesions_are_seen_by_maps_or_guides_alone():
    maps = ("healthy", "ill")
    seen = {_with_and_without_lesions(*maps, np.random.default_rng(seed)) for seed in range(60)}
    assert seen == {("ill", "ill"), ("ill", "healthy"), ("healthy", "ill")}


def test_crops_lie_inside_and_hold_brain(anatomy):
    part = random_crop(anatomy, 12, 0)
    assert part.labels.shape == (24, 24, 24)
    assert np.array_equal(part.labels, random_crop(anatomy, 12, 0).labels)
    assert (part.labels > 0).mean() > 0.3
    whole = random_crop(anatomy, 100, 0)
    assert whole.labels.shape == anatomy.labels.shape


def test_protocols_are_mostly_t1w_t2w_and_flair_in_this_order():
    generator = np.random.default_rng(0)
    protocols = [[type(s).__name__ for s in random_protocol(3, generator).values()] for _ in range(60)]
    usual = [p for p in protocols if p[0] in ("SpinEcho", "Mprage", "Spgr") and p[2] == "T2Flair"]
    assert 30 < len(usual) < 60
    assert {len(random_protocol(n, generator)) for n in (1, 2, 3)} == {1, 2, 3}


def test_crops_of_maps_keep_their_place_and_lie_in_tissue():
    grid = VoxelGrid((40, 32, 24), np.diag([2.0, 1.0, 1.0, 1.0]))
    pd = np.zeros(grid.shape, np.float32)
    pd[20:] = np.linspace(0.7, 0.9, 20)[:, None, None]
    maps = QuantitativeMaps(data=np.stack([pd, 1 + pd, pd / 10]), grid=grid)
    crop = crop_of_maps(maps, 16, 1)
    assert crop.grid.shape == (16, 16, 16)
    assert (crop.data[0] > 0).mean() > 0.3
    corner = np.round(np.linalg.inv(grid.affine) @ crop.grid.affine[:, 3])[:3].astype(int)
    x, y, z = (slice(first, first + 16) for first in corner)
    np.testing.assert_array_equal(crop.data, maps.data[:, x, y, z])


def test_a_scan_of_known_maps_keeps_them_and_draws_the_rest(anatomy):
    maps = random_subject(anatomy, 5).truth
    subject = random_scan(maps, 7, 2)
    assert subject.truth is maps
    assert len(subject.guides) == 2
    assert not subject.lesions.any()
    np.testing.assert_array_equal(subject.mask, maps.data[0] > 0.3 * np.percentile(maps.data[0], 99))
    again = random_scan(maps, 7, 2)
    np.testing.assert_array_equal(subject.lr_maps.data, again.lr_maps.data)
