"""Noise is taken out where it is alone; borders, texture and maps without noise stay."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.denoising import average_neighbours, denoise, noise_share
from napari_swig_qmri.super_resolution.solver.numerics.filters import gaussian_average

SHAPE = (24, 20, 16)
NOISE = torch.tensor([0.01, 0.02, 0.03])
CUBE = (1.0, 1.0, 1.0)
ALL = torch.ones(SHAPE, dtype=torch.bool)


def noisy(seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    """White noise of `NOISE` around nothing."""
    generator = torch.Generator().manual_seed(seed)
    return scale * NOISE.view(-1, 1, 1, 1) * torch.randn(3, *SHAPE, generator=generator)


def run(
    log_maps: torch.Tensor,
    flat: torch.Tensor = ALL,
    noise: torch.Tensor = NOISE,
    lr_noise: torch.Tensor = NOISE,
    n_planes: int = 100,
):
    return drained(denoise(log_maps, flat, noise, lr_noise, CUBE, n_planes=n_planes))


def test_noise_in_flat_tissue_falls_to_less_than_half_and_the_mean_stays():
    before = noisy()
    after = run(before)
    assert ((after.std((1, 2, 3)) / before.std((1, 2, 3))) < 0.4).all()
    torch.testing.assert_close(after.mean((1, 2, 3)), before.mean((1, 2, 3)), rtol=0, atol=2e-3)


def test_a_border_of_ten_times_the_noise_stays_where_it_is():
    step = torch.zeros(3, *SHAPE)
    step[:, 12:] = 10 * NOISE.view(-1, 1, 1, 1)
    after = run(step + noisy())
    height = (after[:, 12] - after[:, 11]).mean((1, 2)) / (10 * NOISE)
    torch.testing.assert_close(height, torch.ones(3), rtol=0, atol=0.05)


@pytest.mark.parametrize(("edge", "contrast", "least"), [(1, 8, 0.9), (2, 6, 0.9), (3, 6, 0.9), (2, 4, 0.7)])
def test_a_small_lesion_in_one_map_is_kept(edge, contrast, least):
    """Its contrast in multiples of the noise; mean over draws, the filtered noise taken off."""
    cube, kept = (2, *[slice(8, 8 + edge)] * 3), []
    for seed in range(8):
        lesioned = noisy(seed)
        lesioned[cube] += contrast * NOISE[2]
        kept.append((run(lesioned) - run(noisy(seed)))[cube].mean() / (contrast * NOISE[2]))
    assert torch.stack(kept).mean() > least


def test_a_border_in_one_map_is_kept_in_all():
    step = torch.zeros(3, *SHAPE)
    step[1, 12:] = 12 * NOISE[1]
    step[0, 12:] = NOISE[0]  # too small to be told from noise alone
    after = run(step + noisy(scale=0.3), noise=0.3 * NOISE)
    height = (after[0, 12:15].mean() - after[0, 9:12].mean()) / NOISE[0]
    assert height == pytest.approx(1, abs=0.1)


def test_maps_without_noise_stay_as_they_are():
    texture = noisy()
    torch.testing.assert_close(run(texture, noise=torch.zeros(3)), texture, rtol=0, atol=1e-6)


def test_noise_that_lr_maps_bring_is_averaged_too():
    """Noise that neighbours share, with a smaller white part: the white level alone averages few of them."""
    shared = gaussian_average(noisy(), 1.0)
    before = 0.8 * shared * (NOISE / shared.std((1, 2, 3))).view(-1, 1, 1, 1) + noisy(1, 0.3)
    alone, after = (run(before, noise=0.3 * NOISE, lr_noise=level) for level in (torch.zeros(3), NOISE))
    assert (after.std((1, 2, 3)) < 0.95 * alone.std((1, 2, 3))).all()


def test_where_there_is_no_flat_tissue_nothing_changes():
    before = noisy()
    torch.testing.assert_close(run(before, flat=~ALL), before, rtol=0, atol=0)


@pytest.mark.parametrize("n_planes", [1, 5, 24])
def test_slabs_change_nothing(n_planes):
    torch.testing.assert_close(run(noisy(), n_planes=n_planes), run(noisy()))


def test_the_ends_of_the_field_of_view_are_no_neighbours():
    log_maps = torch.zeros(3, 4, 1, 1)
    log_maps[:, 3] = 0.5 * NOISE.view(-1, 1, 1)
    mean, _ = average_neighbours(log_maps, NOISE, CUBE)
    torch.testing.assert_close(mean[:, 0], torch.zeros(3, 1, 1), rtol=0, atol=0)


def test_a_single_plane_has_neighbours_in_the_plane():
    mean, weight = average_neighbours(torch.zeros(3, 5, 5, 1), NOISE, CUBE)
    assert float(weight[2, 2, 0]) == pytest.approx(4 * torch.e ** (-1 / 8) + 4 * torch.e ** (-2 / 8))
    assert float(weight[0, 0, 0]) == pytest.approx(2 * torch.e ** (-1 / 8) + torch.e ** (-2 / 8))
    assert (mean == 0).all()


def test_far_neighbours_count_less():
    """Across slices four times as thick as their pixels."""
    _, weight = average_neighbours(torch.zeros(3, 1, 1, 3), NOISE, (1, 1, 4))
    assert float(weight[0, 0, 1]) == pytest.approx(2 * torch.e ** (-16 / 8))


def test_the_share_is_that_of_noise_in_the_difference():
    """Texture of three times the noise leaves a tenth; noise alone all."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.full(SHAPE, 1e6)
    noise = noisy()
    texture = 3 * NOISE.view(-1, 1, 1, 1) * torch.randn(3, *SHAPE, generator=generator)
    torch.testing.assert_close(noise_share(noise, weight, ALL, NOISE), torch.ones(3), rtol=0.06, atol=0)
    torch.testing.assert_close(
        noise_share(noise + texture, weight, ALL, NOISE), torch.full((3,), 0.1), rtol=0.06, atol=0
    )
