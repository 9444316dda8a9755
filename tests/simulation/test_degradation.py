"""Simulated acquisitions: sizes, noise levels, and what truncating signals does to mixed voxels."""

import numpy as np
import pytest
import torch

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.physics.signal_models import InversionRecovery, PhaseSensitiveInversionRecovery, SpinEcho
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade

GREY, CSF = (0.86, 1.4, 0.083), (1.0, 4.0, 1.5)


def maps_of(data: np.ndarray) -> QuantitativeMaps:
    return QuantitativeMaps(data=data, grid=VoxelGrid(data.shape[1:], np.diag([1.0, 1.0, 1.0, 1.0])))


def uniform(shape: tuple[int, int, int] = (12, 10, 9)) -> QuantitativeMaps:
    return maps_of(np.array(GREY)[:, None, None, None] * np.ones((3, *shape)))


@pytest.mark.parametrize("domain", ["maps", "signals"])
def test_uniform_tissue_stays_itself_at_the_lower_resolution(domain):
    lr_maps, guides = degrade(uniform(), (2, 2.5, 1), domain=domain)
    assert lr_maps.grid.shape == (6, 4, 9)
    assert lr_maps.grid.field_of_view == pytest.approx((12, 10, 9))
    for value, expected in zip(lr_maps.data, GREY, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4)  # float32 through exp and log
    assert [guide.name for guide in guides] == list(USUAL_GUIDES)


def test_guides_are_the_signal_times_the_gain():
    sequence = SpinEcho(echo_time=0.02, repetition_time=0.8)
    _, (guide,) = degrade(uniform(), 2, {"T1w": sequence}, gains=[812.0])
    expected = 812 * GREY[0] * (1 - np.exp(-0.8 / GREY[1])) * np.exp(-0.02 / GREY[2])
    np.testing.assert_allclose(guide.data, expected, rtol=1e-5)
    assert guide.sequence is sequence


def test_noise_has_the_requested_level():
    maps = uniform((40, 40, 30))
    lr_maps, guides = degrade(maps, 1, map_noise=0.03, guide_noise=0.05, generator=np.random.default_rng(7))
    relative = lr_maps.data / np.array(GREY)[:, None, None, None] - 1
    assert relative.std() == pytest.approx(0.03, rel=0.02)
    for guide in guides:
        assert guide.data.std() / guide.data.mean() == pytest.approx(0.05, rel=0.03)


def test_noise_is_rician_in_magnitudes_and_gaussian_in_signed_images():
    nulled = InversionRecovery(echo_time=0.01, repetition_time=8.0, inversion_time=0.967)  # near the null of grey
    data = np.concatenate(
        [uniform((30, 30, 10)).data, np.array(CSF)[:, None, None, None] * np.ones((3, 30, 30, 20))], 3
    )
    settings = {"echo_time": 0.01, "repetition_time": 8.0, "inversion_time": 0.967}
    sequences = {"IR": nulled, "PSIR": PhaseSensitiveInversionRecovery(**settings)}
    _, (magnitude, signed) = degrade(maps_of(data), 1, sequences, guide_noise=0.1)
    dark = magnitude.data[:, :, :10]
    assert dark.min() >= 0
    assert dark.mean() / dark.std() == pytest.approx((np.pi / (4 - np.pi)) ** 0.5, rel=0.05)  # Rayleigh, near the null
    assert (signed.data[:, :, :10] < 0).mean() > 0.2


def test_noise_of_guides_is_relative_to_their_median_over_tissue():
    data = uniform((40, 40, 30)).data.copy()
    data[0, :8], data[0, 8:24], data[0, 24:] = 1.0, 0.5, 0.1  # the last is no tissue
    sequences = {"T1w": SpinEcho(echo_time=0.02, repetition_time=0.8)}
    _, (clean,) = degrade(maps_of(data), 1, sequences)
    _, (noisy,) = degrade(maps_of(data), 1, sequences, guide_noise=0.05)
    assert (noisy.data - clean.data)[:24].std() == pytest.approx(0.05 * clean.data[10, 0, 0], rel=0.02)


def test_the_same_generator_seed_gives_the_same_noise():
    first, second = (
        degrade(uniform(), 2, map_noise=0.1, guide_noise=0.1, generator=np.random.default_rng(4)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0].data, second[0].data)
    np.testing.assert_array_equal(first[1][0].data, second[1][0].data)


def test_mixed_voxels_differ_between_the_domains():
    """Alternating slabs of grey matter and CSF, averaged away: maps average times, signals average decays."""
    data = np.empty((3, 8, 4, 4))
    data[:, ::2] = np.array(GREY)[:, None, None, None]
    data[:, 1::2] = np.array(CSF)[:, None, None, None]
    from_maps, _ = degrade(maps_of(data), (8, 1, 1), {})
    from_signals, _ = degrade(maps_of(data), (8, 1, 1), {}, domain="signals")
    np.testing.assert_allclose(from_maps["T2"], (GREY[2] + CSF[2]) / 2, rtol=1e-4)
    decay = [pd * np.exp(-0.08 / t2) for pd, _, t2 in (GREY, CSF)]
    apparent = -0.08 / np.log(sum(decay) / (GREY[0] + CSF[0]))
    np.testing.assert_allclose(from_signals["T2"], apparent, rtol=1e-3)
    assert apparent < 0.3 < from_maps["T2"].mean()


def test_empty_and_missing_voxels_give_finite_images():
    data = uniform().data.copy()
    data[:, :3] = 0
    data[:, 3:5] = np.nan
    for domain in ("maps", "signals"):
        lr_maps, guides = degrade(maps_of(data), 2, domain=domain)
        assert np.isfinite(lr_maps.data).all()
        assert all(np.isfinite(guide.data).all() for guide in guides)
        assert all((guide.data[:5] == 0).all() for guide in guides)


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(ValueError, match="factors must be 1 or more"):
        degrade(uniform(), 0.5)
    with pytest.raises(ValueError, match="one gain each, but 1 were given"):
        degrade(uniform(), 2, gains=[1.0])
    with pytest.raises(ValueError, match="must be one of maps, signals"):
        degrade(uniform(), 2, domain="k-space")
    only_t1 = QuantitativeMaps(data=uniform().data[1:2], grid=uniform().grid, names=("T1",))
    with pytest.raises(ValueError, match="no PD or T2 map"):
        degrade(only_t1, 2)


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    degrade(uniform(), 2, map_noise=0.1)
    assert torch.rand(1) == expected
