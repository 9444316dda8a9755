"""The verdict: results that are worse than interpolation say so, and right ones are not doubted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_cases import degraded, slab
from run_cases import case, errors, solved, usual, zero_filled

from napari_swig_qmri import Options, Verdict, super_resolve
from napari_swig_qmri.super_resolution.examination.settings.findings import SettingCheck
from napari_swig_qmri.super_resolution.examination.verdict import GuideFindings
from napari_swig_qmri.super_resolution.judgement import DOUBTFUL, WORSE, expected_errors
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.solver.one_scale_up import Rehearsal


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


def test_settings_that_are_to_be_confirmed_need_a_look():
    lr, guides = case()
    doubtful = GuideFindings(guide="T1w", settings=SettingCheck(guides[0].sequence, 0.5))
    fine = GuideFindings(guide="T2w", moved=1.0, settings=SettingCheck(guides[1].sequence, 0.02))
    planned = plan(lr, guides, Options(method="posterior", device="cpu"))
    result = super_resolve(replace(planned, findings=(doubtful, fine)))
    assert result.verdict == Verdict("look", ("The sequence or a setting of T1w does not fit: confirm it.",))


def test_the_usual_result_is_good():
    assert usual().verdict.word == "good"
    assert usual().verdict.reasons == ()
    assert repr(usual()).endswith("; verdict good>")


@pytest.mark.slow  # a run each
@pytest.mark.parametrize("wrong", [turned_over, in_whole_seconds])
def test_a_result_that_is_worse_than_interpolation_says_so(wrong):
    lr, guides = wrong(case()[0], *case()[1])
    result = solved(lr, guides)
    assert result.verdict.word == "do not use"
    assert result.verdict.reasons[0].startswith("Worse than interpolation")
    assert result.verdict.reasons[-1].startswith("Check that guides and maps show the same head")


@pytest.mark.slow
def test_exchanged_guides_need_a_look_although_they_count_less():
    lr, guides = exchanged(case()[0], *case()[1])
    verdict = solved(lr, guides).verdict
    assert verdict.word == "look"
    assert any("sequence or a setting of T1w and T2w" in reason for reason in verdict.reasons)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.03, 0.16])
def test_a_map_that_a_wrong_echo_time_biases_is_named(seconds):
    lr, (t1w, t2w) = case()
    doubted = plan(lr, [t1w, with_echo_time(t2w, seconds)], Options(method="posterior", device="cpu"))
    believed = replace(doubted, problem=replace(doubted.problem, doubts=()))
    for planned in (doubted, believed):
        assert super_resolve(planned).verdict.word != "good"
    reasons = super_resolve(believed).verdict.reasons
    assert any(reason.startswith("In flat tissue") and "in T2" in reason for reason in reasons)


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


@pytest.mark.parametrize(
    ("solved", "interpolated", "left", "noise", "true"),
    [  # of PD, medians measured on a simulated head, and the error of the result over that of interpolation
        (0.020, 0.035, 0.005, 0.011, 0.46),  # usual noise
        (0.030, 0.041, 0.016, 0.029, 0.45),  # maps with 3 % noise
        (0.043, 0.050, 0.029, 0.050, 0.42),  # 5 %
        (0.074, 0.076, 0.066, 0.101, 0.29),  # 10 %
        (0.030, 0.035, 0.008, 0.014, 0.80),  # one guide 1 mm off
        (0.036, 0.035, 0.011, 0.016, 1.16),  # both
        (0.039, 0.035, 0.011, 0.017, 1.19),  # both warped by up to 2 mm
        (0.024, 0.035, 0.031, 0.011, 1.82),  # MPRAGE said to be a spin echo
    ],
)
def test_errors_are_expected_on_the_right_side_of_the_limits_at_any_noise(solved, interpolated, left, noise, true):
    problem = plan(*case()).problem
    rehearsal = Rehearsal(solved=torch.full((3,), solved), interpolated=torch.full((3,), interpolated))
    residual = torch.full_like(problem.lr_maps, left)
    expected = expected_errors(rehearsal, residual, torch.full((3,), noise), problem)[0]
    for limit in (DOUBTFUL, WORSE):
        assert (expected > limit) == (true >= limit)


def test_interpolation_alone_needs_no_test():
    assert solved(case()[0], [], voxel_size=3.0).verdict.word == "good"
