"""The verdict: results that are worse than interpolation say so, and right ones are not doubted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_cases import degraded, slab
from run_cases import case, errors, solved, usual, zero_filled


def with_echo_time(guide, seconds):
    return replace(guide, sequence=replace(guide.sequence, echo_time=seconds))


def exchanged(lr, t1w, t2w):
    return lr, [replace(t1w, sequence=t2w.sequence), replace(t2w, sequence=t1w.sequence)]


def turned_over(lr, t1w, t2w):
    return lr, [replace(guide, data=guide.data[:, ::-1].copy()) for guide in (t1w, t2w)]


def in_whole_seconds(lr, t1w, t2w):
    data = lr.data.copy()
    data[1] = data[1].round()
    return replace(lr, data=data), [t1w, t2w]


def test_the_usual_result_is_good():
    assert usual().verdict.word == "good"
    assert usual().verdict.reasons == ()
    assert repr(usual()).endswith("; verdict good>")


@pytest.mark.slow  # a run each
@pytest.mark.parametrize("wrong", [exchanged, turned_over, in_whole_seconds])
def test_a_result_that_is_worse_than_interpolation_says_so(wrong):
    lr, guides = wrong(case()[0], *case()[1])
    result = solved(lr, guides)
    assert result.verdict.word == "do not use"
    assert result.verdict.reasons[0].startswith("Worse than interpolation")
    assert result.verdict.reasons[-1].startswith("Check that guides and maps show the same head")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.03, 0.16])
def test_a_map_that_a_wrong_echo_time_biases_is_named(seconds):
    lr, (t1w, t2w) = case()
    result = solved(lr, [t1w, with_echo_time(t2w, seconds)])
    assert result.verdict.word != "good"
    assert any(reason.startswith("In flat tissue") and "in T2" in reason for reason in result.verdict.reasons)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.08])
@pytest.mark.parametrize("domain", ["maps", "signals"])
@pytest.mark.parametrize("method", ["regression", "posterior"])
def test_a_result_that_is_better_than_interpolation_is_not_doubted(noise, domain, method):
    lr, guides = degraded(slab().maps, map_noise=noise, guide_noise=noise, domain=domain)
    result = solved(lr, guides, method=method)
    interpolated = errors(zero_filled(lr, result.maps.grid))
    assert all(ours < theirs for ours, theirs in zip(errors(result.maps), interpolated, strict=True))
    assert result.verdict.word == "good"


@pytest.mark.slow
@pytest.mark.parametrize("factor", [(1, 1, 4), (2, 2, 1)])
def test_thick_slices_and_long_voxels_are_tested_on_a_part(factor):
    lr, guides = degraded(slab().maps, factor=factor)
    assert solved(lr, guides, method="posterior").verdict.word == "good"


def test_interpolation_alone_needs_no_test():
    assert solved(case()[0], [], voxel_size=3.0).verdict.word == "good"
