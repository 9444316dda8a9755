"""Dictionary matching: what it finds on, between and beyond its entries, in noise and in background."""

from __future__ import annotations

import math

import pytest
import torch

from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.dictionary import Dictionary, make_dictionary, match

MODEL = MupaZte()
WHITE, GREY, CSF = (0.69, 0.9, 0.068), (0.81, 1.42, 0.09), (1.0, 3.9, 1.4)  # PD, T1 s, T2 s


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    return make_dictionary(MODEL)


def images_of(*tissues: tuple[float, float, float]) -> torch.Tensor:
    return MODEL(*torch.tensor(tissues).T)


def test_entries_have_unit_norm_and_t2_up_to_t1(dictionary: Dictionary) -> None:
    torch.testing.assert_close(dictionary.entries.norm(dim=1), torch.ones(len(dictionary.entries)))
    assert (dictionary.log_times[1] <= dictionary.log_times[0]).all()
    t1, t2 = dictionary.log_times.exp()
    found = [float(limit) for times in (t1, t2) for limit in (times.min(), times.max())]
    assert found == pytest.approx([0.1, 6.0, 0.01, 3.0])
    assert 0 < float(t1.unique().log().diff().max()) <= dictionary.step + 1e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_values_of_the_grid_are_found_as_they_are(dtype: torch.dtype, tolerance: float) -> None:
    dictionary = make_dictionary(MODEL, dtype=dtype)
    t1, t2 = dictionary.log_times.exp()
    truth = torch.stack([torch.linspace(0.4, 1.0, len(t1), dtype=dtype), t1, t2])
    maps = drained(match(MODEL(*truth), dictionary))
    # single precision tells neighbours apart where T2 is neither far below nor far above the TE of the preparation
    told = torch.ones_like(t1, dtype=torch.bool) if dtype == torch.float64 else (t2 < 0.5) & (t2 > 0.03)
    torch.testing.assert_close(maps[:, told], truth[:, told], rtol=tolerance, atol=0)


def test_values_between_the_entries_are_found_far_inside_a_step(dictionary: Dictionary) -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor([0.5, 0.4, 0.04]), torch.tensor([1.0, 3.0, 0.25])
    truth = (low + (high - low) * torch.rand(500, 3, generator=generator)).T
    maps = drained(match(MODEL(*truth), dictionary))
    assert float((maps / truth).log().abs().max()) < 1e-3 * dictionary.step  # rounding of float32


@pytest.mark.parametrize("name", ["qalas", "mdme", "ir-mese"])
def test_maps_of_other_protocols_come_back_from_their_images(name: str) -> None:
    model = PROTOCOLS[name]()
    truth = torch.tensor([WHITE, GREY, (0.9, 2.0, 0.2)]).T
    maps = drained(match(model(*truth), make_dictionary(model)))
    torch.testing.assert_close(maps, truth, rtol=2e-3, atol=0)  # rounding of float32


def test_pd_is_a_scale(dictionary: Dictionary) -> None:
    images = images_of(WHITE, GREY)
    maps, brighter = (drained(match(gain * images, dictionary)) for gain in (1.0, 812.0))
    torch.testing.assert_close(brighter[0], 812 * maps[0])
    torch.testing.assert_close(brighter[1:], maps[1:], rtol=1e-4, atol=0)


@pytest.mark.parametrize("tissue", [WHITE, GREY])
def test_noise_of_the_maps_is_the_least_possible(dictionary: Dictionary, tissue: tuple[float, float, float]) -> None:
    noise, n = 0.003, 4000
    generator = torch.Generator().manual_seed(1)
    images = images_of(*[tissue] * n)
    maps = drained(match(images + noise * torch.randn(images.shape, generator=generator), dictionary))
    values = torch.tensor(tissue, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda maps: MODEL(*maps), values)
    least = noise * torch.linalg.inv(jacobian.T @ jacobian).diagonal().sqrt()
    spread, bias = maps.double().std(dim=1) / least, (maps.double().mean(dim=1) - values).abs() / least
    # the standard deviation of 4000 draws is known to 1.1 %, their mean to 1.6 % of it
    assert ((spread > 0.95) & (spread < 1.08)).all()
    assert (bias < 0.1).all()


def test_background_is_zero_and_everything_finite(dictionary: Dictionary) -> None:
    generator = torch.Generator().manual_seed(2)
    images = torch.zeros(12, 4, 3, 2)
    images[:, 0] = images_of(*[WHITE] * 6).view(12, 3, 2)
    images[:, 1] = 0.002 * torch.randn(12, 3, 2, generator=generator)
    images[3, 2, 1, 1] = math.nan
    maps = drained(match(images, dictionary))
    assert maps.shape == (3, 4, 3, 2)
    assert maps.isfinite().all()
    assert (maps[:, 0] > 0).all()
    assert (maps[:, 1:] == 0).all()


@pytest.mark.parametrize("value", [0.0, math.nan])
def test_a_series_without_signal_gives_empty_maps(dictionary: Dictionary, value: float) -> None:
    assert (drained(match(torch.full((12, 5), value), dictionary)) == 0).all()


def test_noise_alone_stays_inside_the_dictionary(dictionary: Dictionary) -> None:
    images = torch.randn(12, 500, generator=torch.Generator().manual_seed(3))
    maps = drained(match(images, dictionary, background=0.0))
    found = maps[:, maps[0] > 0]
    assert maps.isfinite().all()
    assert (found[1] > 0.0999).all()
    assert (found[1] < 6.001).all()
    assert (found[2] > 0.00999).all()
    assert (found[2] < 3.001).all()


def test_more_voxels_than_are_processed_at_a_time(dictionary: Dictionary) -> None:
    images = images_of(WHITE, GREY, CSF, WHITE, GREY)
    steps = []
    in_parts = drained(match(images, dictionary, n_together=2), steps.append)
    assert [step.fraction for step in steps] == [0.0, 0.4, 0.8]
    torch.testing.assert_close(in_parts, drained(match(images, dictionary)), rtol=1e-3, atol=0)


def test_double_precision_is_a_choice_and_the_maps_come_as_the_images_did() -> None:
    exact = make_dictionary(MODEL, dtype=torch.float64)
    maps = drained(match(images_of(WHITE), exact))
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps[:, 0], torch.tensor(WHITE), rtol=1e-5, atol=0)


@pytest.mark.gpu
def test_a_gpu_finds_the_same() -> None:
    images = images_of(WHITE, GREY, CSF)
    maps = drained(match(images, make_dictionary(MODEL, device="cuda")))
    assert maps.device.type == "cpu"
    torch.testing.assert_close(maps, drained(match(images, make_dictionary(MODEL))), rtol=1e-3, atol=0)


def test_bad_input_is_refused(dictionary: Dictionary) -> None:
    with pytest.raises(ValueError, match="the dictionary has 12 images, but 3 came: pass the whole series"):
        drained(match(torch.ones(3, 12), dictionary))
    with pytest.raises(ValueError, match="background must be a share from 0 to below 1"):
        drained(match(torch.ones(12, 3), dictionary, background=5))
    with pytest.raises(ValueError, match="the T2 of a dictionary must rise from above 0 s, but it is 0 to 3 s"):
        make_dictionary(MODEL, t2_range=(0.0, 3.0))
    with pytest.raises(ValueError, match=r"the step of a dictionary must be above 0, but it is 0: 0\.12 is 12 %"):
        make_dictionary(MODEL, step=0)
