"""Laws of quantities that were not measured: without a part in what guides see, and found where guides see them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from engine_cases import slab
from run_cases import errors, tissue, zero_filled

from napari_swig_qmri.data.volumes import QuantitativeMaps
from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve
from napari_swig_qmri.super_resolution.plan import plan

LONG, SHORT = SpinEcho(echo_time=0.1, repetition_time=4.0), SpinEcho(echo_time=0.015, repetition_time=4.0)
T1_WEIGHTED = SpinEcho(echo_time=0.012, repetition_time=0.6)
GAINS = (100.0, 100.0)


@cache
def scan(*sequences):
    kinds = {f"guide {number}": sequence for number, sequence in enumerate(sequences)}
    gains = GAINS[: len(sequences)] if sequences[0].is_scaled_by_pd else (1.0,) * len(sequences)
    return degrade(slab().maps, 2, kinds, gains=gains, map_noise=0.005, guide_noise=0.005)


def some(maps, *names):
    return QuantitativeMaps(data=np.stack([maps[name] for name in names]), grid=maps.grid, names=names)


def median_error(found, name):
    """Median relative error in tissue."""
    return float(np.median(np.abs(found[name][tissue()] / slab().maps[name][tissue()] - 1)))


def with_values_of(planned, factor):
    """Plan whose quantities that were not measured have other usual values and spreads."""
    prior = planned.problem.prior
    other = replace(prior, means=prior.means + np.log(factor), deviations=factor * prior.deviations)
    return replace(planned, problem=replace(planned.problem, prior=other))


@pytest.mark.slow
@pytest.mark.parametrize("keep_noise", [False, True])
def test_a_quantity_that_no_guide_depends_on_changes_nothing_in_the_others(keep_noise):
    """An MP2RAGE uniform image depends on T1 alone: whatever PD and T2 are expected to be, T1 is the same."""
    maps, guides = scan(SEQUENCES["mp2rage-uni"].from_typical())
    planned = plan(some(maps, "T1"), guides, Options(method="posterior", keep_noise=keep_noise))
    usual, other = super_resolve(planned), super_resolve(with_values_of(planned, 1.3))
    np.testing.assert_allclose(other.maps["T1"], usual.maps["T1"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "sequences", "limit"),
    [("T2", (LONG, SHORT), 0.02), ("T1", (T1_WEIGHTED, SHORT), 0.02), ("PD", (LONG, SHORT), 0.02)],
)
def test_what_guides_determine_is_found_within_a_few_percent_with_known_gains(missing, sequences, limit):
    maps, guides = scan(*sequences)
    names = [name for name in maps.names if name != missing]
    result = super_resolve(some(maps, *names), guides, Options(method="posterior", gains=GAINS, all_maps=True))
    assert result.estimated == {missing: missing}
    assert median_error(result.maps, missing) < limit
    assert result.lr_residual.names == tuple(names)


@pytest.mark.slow
def test_without_t2_the_other_maps_are_nearly_as_good_as_with_it():
    """SPGR guides hardly depend on T2: their PD and T1 need no T2 map.

    Not known to 10 %, T2 changes the decay until the echo by half a percent, and PD with it.
    """
    maps, guides = scan(*(replace(SEQUENCES["spgr"].from_typical(), flip_angle=np.deg2rad(angle)) for angle in (4, 20)))
    without = super_resolve(some(maps, "PD", "T1"), guides, Options(method="posterior"))
    usual = super_resolve(maps, guides, Options(method="posterior"))
    interpolated = errors(zero_filled(some(maps, "PD", "T1"), usual.maps.grid), where=tissue())
    found = errors(without.maps, where=tissue())
    for ours, theirs, before in zip(found, errors(usual.maps, where=tissue()), interpolated, strict=False):
        assert ours < 1.4 * theirs
        assert ours < 0.5 * before
