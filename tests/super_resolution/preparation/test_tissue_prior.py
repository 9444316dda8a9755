"""What tissues usually have, given what was measured of them."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.simulation.tissue_maps import TISSUE_RANGES
from napari_swig_qmri.super_resolution.preparation.tissue_prior import tissue_prior

AT_3_T = {name: (pd, t1[1], t2[1]) for name, (pd, t1, t2) in TISSUE_RANGES.items()}
BRAIN = ("white", "grey", "csf")
SUBSETS = [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False) if a or b or c]


def log_maps_of(names):
    """One voxel of the middle of each tissue at 3 T, ``(3, n)``."""
    return torch.tensor([AT_3_T[name] for name in names]).log().mean(-1).T


@pytest.mark.parametrize("measured", SUBSETS)
def test_measured_quantities_stay_and_others_have_a_finite_mean_and_a_variance(measured):
    log_maps = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    mean, variance = tissue_prior(log_maps, measured).moments(log_maps.view(3, 10, 5, 10), measured)
    for i, known in enumerate(measured):
        assert torch.equal(mean[i].flatten(), log_maps[i]) or not known
        assert (variance[i] == 0).all() if known else (variance[i] > 0).all()
    assert torch.isfinite(mean).all()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_quantity_lies_in_the_range_of_the_tissue_that_the_others_show(missing):
    measured = [i != missing for i in range(3)]
    log_maps = log_maps_of(BRAIN)
    mean, variance = tissue_prior(log_maps[:, :2].repeat(1, 100), measured).moments(log_maps, measured)
    for name, value, spread in zip(BRAIN, mean[missing].exp(), variance[missing].sqrt(), strict=True):
        pd, t1, t2 = TISSUE_RANGES[name]
        ranges = ((pd,), t1, t2)[missing]  # without T1 the field strength is unknown
        low, high = min(ends[0] for ends in ranges), max(ends[1] for ends in ranges)
        assert 0.9 * low < value < 1.1 * high
        assert 0.05 < spread < 0.8


@pytest.mark.parametrize(("index", "tesla"), [(0, 1.5), (1, 3.0), (2, 7.0)])
def test_t1_tells_the_field_strength(index, tesla):
    """At 7 T grey matter has a shorter T2 than at 1.5 T, which T1 alone decides."""
    ranges = {name: (pd, t1[index], t2[index]) for name, (pd, t1, t2) in TISSUE_RANGES.items()}
    log_maps = torch.tensor([ranges[name] for name in ("white", "grey")]).log().mean(-1).T.repeat(1, 50)
    measured = (True, True, False)
    found = tissue_prior(log_maps, measured).moments(log_maps, measured)[0][2, 1].exp()
    low, high = ranges["grey"][2]
    assert low < found < high


def test_t2_star_is_shorter_than_t2_and_varies_more_in_fluid():
    log_maps = log_maps_of(BRAIN)
    measured = (True, True, False)
    t2, of_t2 = tissue_prior(log_maps, measured).moments(log_maps, measured)
    star, of_star = tissue_prior(log_maps, measured, of_t2_star=True).moments(log_maps, measured)
    assert (star[2] < t2[2] - 0.2).all()
    assert 0.03 < star[2, 0].exp() < 0.06  # white matter at 3 T
    assert (of_star[2] > 0).all()
    assert torch.isfinite(of_t2).all()
