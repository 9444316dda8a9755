"""Components of LR signals against their protocols: values, derivatives, noise, what they tell of tissue."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.super_resolution.observations.lr_signals import LrSignals, generic_signals, lr_signals

MODELS = {"unknown": generic_signals, **{name: kind() for name, kind in PROTOCOLS.items()}}


def tissue(n: int = 4000) -> torch.Tensor:
    """PD, T1 and T2 between those of fat and CSF, ``(3, n)`` in double precision."""
    numbers = torch.rand(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    low, high = torch.tensor([(0.3, 0.25, 0.02), (1.1, 5.0, 2.0)], dtype=torch.float64).log()[:, :, None]
    return (low + (high - low) * numbers).exp()


@pytest.fixture(params=MODELS)
def signals(request: pytest.FixtureRequest) -> LrSignals:
    return lr_signals(request.param, dtype=torch.float64)


def test_values_and_derivatives_are_those_of_the_protocol(signals: LrSignals) -> None:
    maps = tissue().requires_grad_()
    images = MODELS[signals.name](*maps)
    exact = signals.components @ images
    by_component = [torch.autograd.grad(row.sum(), maps, retain_graph=True)[0] * maps for row in exact]
    strength = images.detach().norm(dim=0)
    values, slope = signals.linearised(maps.detach())
    assert values.shape == (signals.n_components, 4000)
    assert ((values - exact).norm(dim=0) / strength).max() < 1e-3
    assert ((slope - torch.stack(by_component)).norm(dim=0) / strength).max() < 1e-3
    torch.testing.assert_close(slope[:, 0], values)
    torch.testing.assert_close(signals(maps.detach()), values)


def test_components_keep_white_noise_white(signals: LrSignals) -> None:
    torch.testing.assert_close(signals.components @ signals.components.T, torch.eye(signals.n_components).double())


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("tissue", [(0.7, 0.9, 0.07), (0.82, 1.4, 0.09)])
def test_three_components_measure_brain_tissue_as_well_as_all_images(name: str, tissue: tuple[float, ...]) -> None:
    model, log_maps = MODELS[name], torch.tensor(tissue, dtype=torch.float64).log()
    columns = [("PD", "T1", "T2").index(quantity) for quantity in PROTOCOLS[name].measured]
    slopes = torch.autograd.functional.jacobian(lambda logs: model(*logs.exp()), log_maps)[:, columns]
    reduced = lr_signals(name, 3, dtype=torch.float64).components @ slopes
    least, noise = (torch.linalg.inv(each.T @ each).diagonal().sqrt() for each in (slopes, reduced))  # Cramer and Rao
    assert (noise < 1.15 * least).all()


def test_signals_scale_with_pd_and_stay_finite_beyond_the_bounds(signals: LrSignals) -> None:
    maps = torch.tensor([(0.0, 0.7, 1.4), (0.0, 0.9, 0.9), (0.0, 0.07, 0.07)], dtype=torch.float64)
    values, slope = signals.linearised(maps[:, :, None, None])
    assert not values[:, 0].any()
    assert slope.isfinite().all()
    torch.testing.assert_close(values[:, 2], 2 * values[:, 1])
    assert signals(torch.full((3, 1), 1e3, dtype=torch.float64)).isfinite().all()


def test_a_model_of_ones_own_with_two_images_has_two_components() -> None:
    own = lr_signals(lambda pd, t1, _: torch.stack([pd, pd * (-1 / t1).exp()]))
    assert own.linearised(torch.ones(3, 4, 5, 6))[1].shape == (2, 3, 4, 5, 6)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="must be one of unknown, mupa-zte"):
        lr_signals("mrf")
