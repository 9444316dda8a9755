"""The models of the ablation: what each is given, and what each is trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from study_cases import N_PLANES, small_anatomy, small_subject

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.evaluation.ablation.published_network import (
    MODELS,
    Model,
    ReferenceNet,
    guide_term,
    loss_of,
    lr_term,
    planes_of,
)
from napari_swig_qmri.evaluation.ablation.study_subjects import STUDY_PROTOCOL, middle_of, study_subject
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.network.model import NetworkConfig

BY_NAME = {model.name: model for model in MODELS}
NOISE = 0.03


@pytest.fixture(scope="module")
def clean():
    return small_subject()


@pytest.fixture(scope="module")
def planes():
    return planes_of(small_subject(NOISE), NOISE, NOISE)


def network_of(name: str) -> ReferenceNet:
    torch.manual_seed(0)
    network = ReferenceNet(BY_NAME[name], NetworkConfig(width=4, n_blocks=1))
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    return network


def test_the_models_are_those_of_the_publication():
    signs = ("++", "+-", "-+", "--")
    assert list(BY_NAME) == [*(f"M{g}{s}" for g in ("1", "2", "12") for s in signs), "M12F++", "oracle"]
    assert BY_NAME["M1+-"] == Model(("T1w",), given_lr_maps=True, with_lr_term=False)
    assert BY_NAME["M2-+"] == Model(("T2w",), given_lr_maps=False, with_lr_term=True)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_model_sees_its_guides_and_lr_maps_and_nothing_else(planes, name):
    network, model = network_of(name), BY_NAME[name]
    whole = network(planes)
    for index, guide in enumerate(STUDY_PROTOCOL):
        guides = planes.guides.clone()
        guides[index] *= 1.1
        moved = not torch.equal(network(replace(planes, guides=guides)), whole)
        assert moved == (guide in model.guides)
    changed = replace(planes, zero_filled=1.1 * planes.zero_filled, lr_maps=1.1 * planes.lr_maps)
    assert torch.equal(network(changed), whole) == (not model.given_lr_maps)
    assert torch.equal(network(replace(planes, truth=1.1 * planes.truth)), whole)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_loss_has_the_terms_of_the_model(planes, name):
    model, maps = BY_NAME[name], 1.05 * planes.zero_filled.clamp(min=0.05)
    loss = loss_of(model, maps, planes)
    assert torch.equal(loss_of(model, maps, replace(planes, lr_maps=0.9 * planes.lr_maps)), loss) == (
        not model.with_lr_term or model.sees_truth
    )
    for index, guide in enumerate(STUDY_PROTOCOL):
        guides = planes.guides.clone()
        guides[index] *= 1.1
        moved = not torch.equal(loss_of(model, maps, replace(planes, guides=guides)), loss)
        assert moved == (guide in model.guides and not model.sees_truth)
    blind = loss_of(model, maps, replace(planes, truth=1.1 * planes.truth))
    assert torch.equal(blind, loss) == (not model.sees_truth)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_truth_without_noise_costs_nothing(clean, name):
    planes = planes_of(clean, 0.0, 0.0)
    assert float(loss_of(BY_NAME[name], planes.truth, planes)) == pytest.approx(0, abs=1e-6)
    assert float(loss_of(BY_NAME[name], 1.1 * planes.truth, planes)) > 0.01


def test_terms_of_the_truth_are_about_one_per_measurement(planes):
    """Noise has the size that the objective assumes; over tissue, for air is Rician."""
    brain = planes.truth[:, :, 8:-8, 8:-8]
    assert (brain[0] > 0.5).float().mean() > 0.9
    signal = STUDY_PROTOCOL["T1w"](*brain)
    misfit = (planes.guides[0, :, 8:-8, 8:-8] - signal) / planes.guide_deviation[0]
    assert float(misfit.std()) == pytest.approx(1, rel=0.1)
    assert float(lr_term(planes.truth, planes)) / planes.lr_maps.numel() < 1
    assert float(lr_term(1.2 * planes.truth, planes)) > 5 * float(lr_term(planes.truth, planes))


def test_truncation_of_planes_is_that_of_the_volume(clean):
    planes = planes_of(clean, 0.0, 0.0)
    volume = KSpaceTruncation(clean.truth.grid, clean.lr_maps.grid)(torch.as_tensor(clean.truth.data))
    for found in (planes.truncated(planes.truth), planes.lr_maps):
        np.testing.assert_allclose(found, volume.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5)  # float32


def test_an_untrained_network_answers_with_what_it_starts_from(planes):
    untrained = {name: ReferenceNet(BY_NAME[name], NetworkConfig(4, 1))(planes) for name in ("M1++", "M1-+")}
    assert untrained["M1-+"].std(dim=(1, 2, 3)).max() < 1e-6
    usual = planes.zero_filled > 0.05
    np.testing.assert_allclose(untrained["M1++"][usual].detach(), planes.zero_filled[usual], rtol=1e-5)


def test_maps_stay_within_bounds_and_move_every_weight(planes):
    network = network_of("M12F++")
    maps = network(planes)
    for part, quantity in zip(maps, QUANTITIES.values(), strict=True):
        assert part.min() >= quantity.bounds[0] * 0.999
        assert part.max() <= quantity.bounds[1] * 1.001
    loss_of(network.model, maps, planes).backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in network.parameters())


def test_the_guide_term_is_the_sum_of_those_of_its_guides(planes):
    maps = planes.zero_filled.clamp(min=0.05)
    one, two, both = (guide_term(BY_NAME[name], maps, planes) for name in ("M1++", "M2++", "M12++"))
    np.testing.assert_allclose(one + two, both, rtol=1e-6)


def test_a_subject_depends_on_the_seed_alone_and_has_even_planes(clean):
    again = study_subject(small_anatomy(), "again", N_PLANES, 0.0, 0.0, 1)
    assert np.array_equal(again.truth.data, clean.truth.data)
    assert not np.array_equal(small_subject(seed=2).truth.data, clean.truth.data)
    nx, ny, nz = clean.truth.grid.shape
    assert (nx % 2, ny % 2, nz) == (0, 0, N_PLANES)
    assert clean.lr_maps.grid.shape == (nx // 2, ny // 2, nz)
    assert 0.2 < clean.mask.mean() < 0.9


def test_a_head_without_a_brain_is_refused():
    anatomy = small_anatomy()
    skull = replace(anatomy, labels=np.where(anatomy.labels > 0, 7, 0).astype(np.uint8))
    with pytest.raises(ValueError, match="holds no brain"):
        middle_of(skull, N_PLANES, np.random.default_rng(0))
