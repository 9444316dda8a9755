"""Random subjects: the same seed gives the same subject, with images and noise in their ranges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.simulation.label_maps import Anatomy
from napari_swig_qmri.simulation.subjects import (
    LOW_NOISE,
    NOISE_RANGE,
    Subject,
    random_factors,
    random_noise,
    random_protocol,
    random_scan,
    random_sequence,
    random_subject,
)

SEEDS = range(6)


@pytest.fixture(scope="module")
def subjects(layered_anatomy: Anatomy) -> list[Subject]:
    return [random_subject(layered_anatomy.crop((2, 2, 2), (16, 14, 12)), seed) for seed in SEEDS]


def arrays(subject: Subject) -> list[np.ndarray]:
    return [subject.truth.data, subject.lr_maps.data, *(guide.data for guide in subject.guides)]


def test_a_seed_is_a_subject(layered_anatomy: Anatomy, subjects: list[Subject]) -> None:
    again = random_subject(layered_anatomy.crop((2, 2, 2), (16, 14, 12)), SEEDS[3])
    assert all(map(np.array_equal, arrays(again), arrays(subjects[3])))
    assert not np.array_equal(subjects[3].truth.data, subjects[4].truth.data)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_subject_can_be_used(subjects: list[Subject], seed: int) -> None:
    subject = subjects[seed]
    assert 1 <= len(subject.guides) == len(subject.gains) <= 3
    assert all(n_lr <= n for n_lr, n in zip(subject.lr_maps.grid.shape, subject.truth.grid.shape, strict=True))
    assert all(np.isfinite(each).all() for each in arrays(subject))
    for guide in subject.guides:
        assert guide.grid.is_aligned_with(subject.truth.grid)
        assert guide.sequence is not None
        assert guide.sequence.is_signed or guide.data.min() >= 0
        assert np.abs(guide.data[subject.mask]).max() > 0
    for name, quantity in QUANTITIES.items():
        values = subject.truth[name][subject.mask]
        assert quantity.bounds[0] <= values.min() <= values.max() <= quantity.bounds[1]


def test_a_scan_of_known_maps_keeps_them_and_draws_the_rest(subjects: list[Subject]) -> None:
    maps = subjects[5].truth
    subject, again = (random_scan(maps, 7, 2) for _ in range(2))
    assert subject.truth is maps
    assert len(subject.guides) == 2
    assert not subject.lesions.any()
    np.testing.assert_array_equal(subject.mask, maps.data[0] > 0.3 * np.percentile(maps.data[0], 99))
    assert all(map(np.array_equal, arrays(again), arrays(subject)))


@pytest.mark.slow
def test_guides_are_mostly_the_signal_of_the_true_maps(layered_anatomy: Anatomy) -> None:
    """Few guides are shaded or misaligned, or show lesions that the true maps lack."""
    anatomy = layered_anatomy.crop((4, 4, 4), (12, 12, 10))
    quiet = [
        each for each in (random_subject(anatomy, seed, 1) for seed in range(120)) if each.guide_noise == LOW_NOISE
    ]
    is_imperfect = []
    for subject in quiet:
        (guide,), (gain,) = subject.guides, subject.gains
        assert guide.sequence is not None
        signal = gain * guide.sequence(*torch.from_numpy(subject.truth.data)).numpy()[subject.mask]
        error = np.abs(guide.data[subject.mask] - signal).max()
        is_imperfect.append(error > 10 * LOW_NOISE * np.median(np.abs(signal)))
    assert 0.02 < np.mean(is_imperfect) < 0.5


def test_all_sequences_are_drawn_and_none_twice() -> None:
    generator = np.random.default_rng(0)
    drawn = [random_sequence(generator) for _ in range(150)]
    assert {type(sequence) for sequence in drawn} == {SEQUENCES[kind] for kind in SEQUENCES if kind != "mp2rage-uni"}
    assert len({(type(s), s.echo_time) for s in drawn}) == len(drawn)


def test_protocols_are_mostly_t1w_t2w_and_flair_in_this_order() -> None:
    generator = np.random.default_rng(0)
    protocols = [[type(s).__name__ for s in random_protocol(3, generator).values()] for _ in range(60)]
    usual = [p for p in protocols if p[0] in ("SpinEcho", "Mprage", "Spgr") and p[2] == "T2Flair"]
    assert 30 < len(usual) < 60
    assert {len(random_protocol(n, generator)) for n in (1, 2, 3)} == {1, 2, 3}


def test_factors_are_those_of_the_four_kinds() -> None:
    generator = np.random.default_rng(0)
    drawn = [random_factors(generator) for _ in range(200)]
    assert all(1 <= factor <= 4 for factors in drawn for factor in factors)
    kinds = {
        "equal": [f for f in drawn if f[0] == f[1] == f[2]],
        "in plane": [f for f in drawn if f[0] == f[1] > f[2] == 1],
        "thick": [f for f in drawn if f[0] == f[1] == 1 < f[2]],
        "any": [f for f in drawn if len(set(f)) == 3],
    }
    assert sum(map(len, kinds.values())) == len(drawn)
    assert min(map(len, kinds.values())) > 30
    assert min(map(min, kinds["any"])) < 1.2
    assert max(map(max, kinds["any"])) > 3.8


def test_noise_is_very_low_in_a_fifth_of_the_images_and_else_in_its_range() -> None:
    drawn = list(map(random_noise, [np.random.default_rng(0)] * 200))
    loud = [noise for noise in drawn if noise != LOW_NOISE]
    assert 140 < len(loud) < 180
    assert NOISE_RANGE[0] <= min(loud) < 0.01 < 0.04 < max(loud) <= NOISE_RANGE[1]
